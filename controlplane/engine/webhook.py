"""MLflow's webhooks, only to look sooner: a signed message wakes the tick, and nothing it says is believed."""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import Message
from http.server import BaseHTTPRequestHandler, HTTPServer
from socketserver import TCPServer

from controlplane.errors import ConfigError

LONGEST = 64 * 1024
"""Bytes of a message that are read; MLflow's are a few hundred."""
FRESH = 300.0
"""Seconds between MLflow's clock and ours at which a message still counts, so that an old one cannot be sent again."""
_SLOWEST = 5.0
_log = logging.getLogger(__name__)


def signed(secret: str, headers: Message, body: bytes, now: float) -> bool:
    """Whether MLflow sent this with our secret, and not long before `now` (seconds since 1970)."""
    delivery, sent = headers.get("X-MLflow-Delivery-Id", ""), headers.get("X-MLflow-Timestamp", "")
    given = headers.get("X-MLflow-Signature", "")
    if not sent.isascii() or not sent.isdigit() or len(sent) > 18 or abs(now - int(sent)) > FRESH:
        return False
    told = f"{delivery}.{sent}.".encode("utf-8", "replace") + body
    digest = hmac.new(secret.encode(), told, hashlib.sha256).digest()
    wanted = "v1," + base64.b64encode(digest).decode()
    return hmac.compare_digest(wanted.encode(), given.encode("utf-8", "replace"))


@contextmanager
def listening(address: tuple[str, int], secret: str, wake: Callable[[], None]) -> Iterator[int]:
    """Answer at `address` in a thread of its own, and `wake` on each message that MLflow signed; yields the port.

    One connection at a time, cut off when it is slow: whoever keeps it busy leaves us with polling, as without it.
    Raises ConfigError where nothing can listen there.
    """

    class Receiver(BaseHTTPRequestHandler):
        timeout = _SLOWEST
        server_version, sys_version = "controlplane", ""

        def do_POST(self) -> None:
            length = self.headers.get("Content-Length", "")
            if not length.isascii() or not length.isdigit():
                self._end(411)
            elif len(length) > 9 or int(length) > LONGEST:
                self._end(413)
            elif signed(secret, self.headers, self.rfile.read(int(length)), time.time()):
                wake()
                self._end(204)
            else:
                self._end(401)

        def _end(self, status: int) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()
            self.close_connection = True

        def log_message(self, format: str, *told: object) -> None:
            _log.debug(format, *told)

    class Server(HTTPServer):
        def server_bind(self) -> None:
            # HTTPServer would ask a name server who we are, which can take long and serves nobody.
            TCPServer.server_bind(self)
            self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

        def handle_error(self, request: object, client: object) -> None:
            _log.debug("a webhook's connection broke off", exc_info=True)

    try:
        server = Server(address, Receiver)
    except OSError as error:
        raise ConfigError(
            f"CONTROLPLANE_WEBHOOK_LISTEN: nothing can listen at {address[0]}:{address[1]}: {error.strerror}"
        ) from None
    thread = threading.Thread(target=server.serve_forever, name="webhooks", daemon=True)
    thread.start()
    _log.info("listening for MLflow's webhooks at %s:%d", address[0], server.server_port)
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
