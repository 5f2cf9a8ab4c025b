"""A real receiver on loopback: a small HTTP server that keeps what it was told, and answers as it is set to."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Bell:
    """`status` is what it answers with; `told` is everything it was sent."""

    def __init__(self) -> None:
        self.status = 200
        self.told: list[dict[str, Any]] = []
        bell = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                bell.told.append(json.loads(body))
                self.send_response(bell.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/hook"

    def keys(self) -> set[str]:
        """The idempotency keys it was sent."""
        return {message["key"] for message in self.told}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
