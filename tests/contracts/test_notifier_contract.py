"""What every notifier promises, whichever it is: each entry of `ports.NOTIFIERS` is held to all of this."""

from __future__ import annotations

import dataclasses
import json
import logging
import pickle
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from controlplane import ports
from controlplane.errors import DeliveryError

MESSAGE = ports.Message("key-1", "opened", "m", "drift", "warning", "a\nb", "2026-01-02", "i", "a@b", "o", "r")


class Inbox(HTTPServer):
    """Takes every request, and keeps the bodies."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Keeper)
        self.bodies: list[bytes] = []


class Keeper(BaseHTTPRequestHandler):
    server: Inbox

    def do_POST(self) -> None:
        self.server.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    with Inbox() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def options(name: str, inbox: Inbox) -> dict[str, Any]:
    made = {"log": {}, "webhook": {"url": f"http://127.0.0.1:{inbox.server_port}/", "secret": "s3cret"}}
    assert set(made) == set(ports.NOTIFIERS), "a built-in notifier is not held to the contract"
    return made[name]


def notifier(name: str, made: dict[str, Any]) -> Any:
    kind = ports.load("notifiers", name)
    return kind(kind.Params(**made))


every_notifier = pytest.mark.parametrize("name", sorted(ports.NOTIFIERS))


@every_notifier
def test_every_field_arrives_in_one_piece(name: str, inbox: Inbox, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        notifier(name, options(name, inbox)).send(MESSAGE)
    arrived = [body.decode() for body in inbox.bodies] or [record.getMessage() for record in caplog.records]
    assert [json.loads(text) for text in arrived] == [dataclasses.asdict(MESSAGE)]


@every_notifier
def test_sending_again_says_exactly_the_same(name: str, inbox: Inbox, caplog: pytest.LogCaptureFixture) -> None:
    made = notifier(name, options(name, inbox))
    with caplog.at_level(logging.INFO):
        made.send(MESSAGE)
        made.send(MESSAGE)
    first, again = [body.decode() for body in inbox.bodies] or [record.getMessage() for record in caplog.records]
    assert first == again


@every_notifier
def test_params_are_frozen_survive_a_pickle_and_keep_secrets(name: str, inbox: Inbox) -> None:
    params = ports.load("notifiers", name).Params(**options(name, inbox))
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(params, dataclasses.fields(params)[0].name, "other")
    assert pickle.loads(pickle.dumps(params)) == params
    assert "s3cret" not in f"{params} {params!r}"


def test_a_delivery_that_fails_is_one_sentence() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        made = notifier("webhook", {"url": f"http://127.0.0.1:{unused.getsockname()[1]}/t0ken", "timeout": 5.0})
        with pytest.raises(DeliveryError) as caught:
            made.send(MESSAGE)
    assert "\n" not in str(caught.value)
    assert "t0ken" not in str(caught.value)
