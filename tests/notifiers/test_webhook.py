"""Webhooks against a real server on the loopback that behaves well, badly, or not at all."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from controlplane.errors import DeliveryError
from controlplane.notifiers.webhook import Webhook
from controlplane.ports import Message

MESSAGE = Message("key-1", "opened", "m", "drift", "warning", "ks größer\nthan", "2026-01-02", "i", "a@b", "o", "")


class Receiver(ThreadingHTTPServer):
    """Answers `/200/...` with 200 and so on; `/hang`, `/drip`, `/body`, `/garbage` and `/drop` misbehave."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[tuple[str, dict[str, str], bytes]] = []
        self.over = threading.Event()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is what these tests are about."""


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen.append((self.path, dict(self.headers.items()), body))
        way = self.path.split("/")[1].split("?")[0]
        if way == "hang":
            self.server.over.wait(20)
        elif way == "drip":
            self._drip(b"HTTP/1.1 200 OK\r\nX-Slow: " + b"z" * 10_000)
        elif way == "body":
            self._drip(b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n" + b"z" * 10_000)
        elif way == "garbage":
            self.wfile.write(b"s3cret is not HTTP at all\r\n\r\n")
        elif way != "drop":
            self.send_response(int(way))
            if 300 <= int(way) < 400:
                self.send_header("Location", f"http://127.0.0.1:{self.server.server_port}/200")
            self.send_header("Content-Length", "0")
            self.end_headers()

    def _drip(self, data: bytes) -> None:
        for index in range(len(data)):
            self.wfile.write(data[index : index + 1])
            if self.server.over.wait(0.01):
                return

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.over.set()
        server.shutdown()
        thread.join()


def webhook(receiver: Receiver, path: str, **params: Any) -> Webhook:
    return Webhook(Webhook.Params(f"http://127.0.0.1:{receiver.server_port}/{path}", **{"timeout": 5.0, **params}))


def refusal(receiver: Receiver, path: str, **params: Any) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        webhook(receiver, path, **params).send(MESSAGE)
    return caught.value


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_every_2xx_is_a_delivery_of_the_whole_message(receiver: Receiver, status: int) -> None:
    webhook(receiver, str(status)).send(MESSAGE)
    [(_, headers, body)] = receiver.seen
    assert json.loads(body) == asdict(MESSAGE)
    assert headers["Content-Type"] == "application/json"
    assert headers["Idempotency-Key"] == "key-1"
    assert "X-ControlPlane-Signature" not in headers


def test_a_repeated_message_carries_the_same_key_and_the_same_bytes(receiver: Receiver) -> None:
    for _ in range(2):
        webhook(receiver, "200", secret="s3cret").send(MESSAGE)
    assert receiver.seen[0] == receiver.seen[1]


def test_the_signature_is_the_hmac_of_the_exact_body(receiver: Receiver) -> None:
    webhook(receiver, "200", secret="s3cret").send(MESSAGE)
    [(_, headers, body)] = receiver.seen
    assert headers["X-ControlPlane-Signature"] == "sha256=" + hmac.new(b"s3cret", body, hashlib.sha256).hexdigest()


def test_headers_of_the_owner_are_sent_but_cannot_replace_the_key(receiver: Receiver) -> None:
    webhook(receiver, "200", headers={"Authorization": "Bearer t0ken", "idempotency-key": "mine"}).send(MESSAGE)
    [(_, headers, _)] = receiver.seen
    assert headers["Authorization"] == "Bearer t0ken"
    assert [value for name, value in headers.items() if name.lower() == "idempotency-key"] == ["key-1"]


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_trouble_that_may_pass_is_worth_another_try(receiver: Receiver, status: int) -> None:
    error = refusal(receiver, str(status))
    assert not error.permanent
    assert str(error) == f"webhook 127.0.0.1:{receiver.server_port} answered {status}"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 422])
def test_a_refusal_is_permanent(receiver: Receiver, status: int) -> None:
    error = refusal(receiver, str(status))
    assert error.permanent
    assert str(error) == f"webhook 127.0.0.1:{receiver.server_port} answered {status}"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(receiver: Receiver, status: int) -> None:
    error = refusal(receiver, str(status), secret="s3cret")
    assert error.permanent
    assert "a redirect; give its final URL" in str(error)
    assert len(receiver.seen) == 1


@pytest.mark.parametrize("way", ["hang", "drip"])
def test_a_server_that_never_finishes_its_answer_is_given_up_on_in_time(receiver: Receiver, way: str) -> None:
    began = time.monotonic()
    error = refusal(receiver, way, timeout=0.3)
    assert time.monotonic() - began < 3
    assert not error.permanent
    assert str(error).endswith("did not answer within 0.3 s")


def test_an_endless_body_after_a_good_status_is_not_waited_for(receiver: Receiver) -> None:
    began = time.monotonic()
    webhook(receiver, "body", timeout=30.0).send(MESSAGE)
    assert time.monotonic() - began < 3


@pytest.mark.parametrize("way", ["garbage", "drop"])
def test_an_answer_that_is_not_http_is_worth_another_try(receiver: Receiver, way: str) -> None:
    error = refusal(receiver, way)
    assert not error.permanent
    assert "did not answer in HTTP" in str(error)
    assert "s3cret" not in str(error)


def test_nobody_listening_is_worth_another_try() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(DeliveryError, match=rf"webhook 127\.0\.0\.1:{port} could not be reached") as caught:
            Webhook(Webhook.Params(f"http://127.0.0.1:{port}/")).send(MESSAGE)
    assert not caught.value.permanent


def test_a_host_without_a_name_is_worth_another_try() -> None:
    with pytest.raises(DeliveryError, match=r"webhook nowhere\.invalid could not be reached") as caught:
        Webhook(Webhook.Params("http://nowhere.invalid/t0ken", timeout=5.0)).send(MESSAGE)
    assert not caught.value.permanent


@pytest.mark.parametrize("way", ["200", "404", "302", "garbage"])
def test_no_secret_is_ever_shown(receiver: Receiver, way: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    hook = webhook(receiver, f"{way}/T0/pa55?token=t0ken", secret="s3cret", headers={"X-Api-Key": "hush"})
    shown = [repr(hook._params), str(hook._params), repr(hook)]
    try:
        hook.send(MESSAGE)
    except DeliveryError as error:
        shown += [str(error), repr(error.__cause__), str(error.__suppress_context__ or error.__context__)]
    shown.append(caplog.text)
    assert receiver.seen
    for secret in ("pa55", "t0ken", "s3cret", "hush"):
        assert not any(secret in text for text in shown)


@pytest.mark.parametrize("url", ["", "not a url", "ftp://host/x", "http://", "//host", "http://host:port/"])
def test_a_url_that_is_none_is_refused_at_once(url: str) -> None:
    with pytest.raises(ValueError, match="a webhook's url must be http:// or https:// with a host"):
        Webhook.Params(url)


@pytest.mark.parametrize("timeout", [0.0, -1.0, float("nan"), float("inf")])
def test_a_time_limit_that_is_none_is_refused_at_once(timeout: float) -> None:
    with pytest.raises(ValueError, match="timeout must be a positive number of seconds"):
        Webhook.Params("http://host", timeout=timeout)


@pytest.mark.parametrize("value", ["two\r\nlines", "grün"])
def test_a_header_that_cannot_be_sent_is_refused_without_its_value(value: str) -> None:
    with pytest.raises(ValueError, match="header 'X-A' must be printable ASCII on one line") as caught:
        Webhook.Params("http://host", headers={"X-A": value})
    assert value not in str(caught.value)
