"""Webhooks make the next look sooner, whoever else knocks; they are sent by MLflow's own code here."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator
from email.message import Message
from typing import Any

import pytest
from sqlalchemy import select
from world import World

from controlplane.cli.main import call
from controlplane.engine import register, scheduler
from controlplane.engine.webhook import FRESH, LONGEST, listening, signed
from controlplane.errors import ConfigError
from controlplane.store.tables_acts import HoldingRow

SECRET = "shared with MLflow"
NOW = 1_800_000_000.0
MakeWorld = Callable[..., World]


@pytest.fixture
def woken() -> threading.Event:
    return threading.Event()


@pytest.fixture
def port(woken: threading.Event) -> Iterator[int]:
    with listening(("127.0.0.1", 0), SECRET, woken.set) as number:
        yield number


@pytest.fixture
def send(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Have MLflow send its example of an alias that was set; gives what it says of the answer."""
    monkeypatch.setenv("MLFLOW_WEBHOOK_ALLOWED_SCHEMES", "http")
    monkeypatch.setenv("MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS", "true")
    from mlflow.entities.webhook import Webhook, WebhookAction, WebhookEntity, WebhookEvent
    from mlflow.webhooks.delivery import test_webhook as send_example

    def deliver(port: int, secret: str | None) -> Any:
        event = WebhookEvent(WebhookEntity.MODEL_VERSION_ALIAS, WebhookAction.CREATED)
        return send_example(Webhook("1", "moves", f"http://127.0.0.1:{port}/", [event], 0, 0, secret=secret))

    return deliver


def test_a_message_that_mlflow_signed_with_our_secret_wakes(
    port: int, woken: threading.Event, send: Callable[..., Any]
) -> None:
    assert send(port, SECRET).response_status == 204
    assert woken.is_set()


@pytest.mark.parametrize("secret", ["another", None])
def test_a_message_that_is_not_signed_with_our_secret_wakes_nobody(
    port: int, woken: threading.Event, send: Callable[..., Any], secret: str | None
) -> None:
    assert send(port, secret).response_status == 401
    assert not woken.is_set()


def headers(body: bytes, at: float = NOW, secret: str = SECRET, **changes: str) -> Message:
    from mlflow.webhooks.delivery import _generate_hmac_signature

    sent = str(int(at))
    told = Message()
    values = {
        "X-MLflow-Delivery-Id": "one",
        "X-MLflow-Timestamp": sent,
        "X-MLflow-Signature": _generate_hmac_signature(secret, "one", sent, body.decode()),
    }
    for name, value in (values | changes).items():
        told[name] = value
    return told


def test_what_was_signed_is_checked_whole() -> None:
    body = '{"data": {"name": "über"}}'.encode()
    assert signed(SECRET, headers(body), body, NOW)
    assert not signed(SECRET, headers(body), body + b" ", NOW)
    assert not signed(SECRET, headers(body, **{"X-MLflow-Delivery-Id": "two"}), body, NOW)
    assert not signed(SECRET, headers(body, **{"X-MLflow-Timestamp": str(int(NOW) + 1)}), body, NOW)
    assert not signed(SECRET, headers(body, **{"X-MLflow-Signature": "v1,"}), body, NOW)
    assert not signed(SECRET, Message(), body, NOW)


@pytest.mark.parametrize("late", [FRESH + 1, -FRESH - 1])
def test_an_old_message_cannot_be_sent_again(late: float) -> None:
    assert signed(SECRET, headers(b"{}"), b"{}", NOW + FRESH)
    assert not signed(SECRET, headers(b"{}"), b"{}", NOW + late)


@pytest.mark.parametrize("sent", ["", "soon", "-1", "1e9", "\uff19", "9" * 400])
def test_a_moment_that_is_none_is_no_error(sent: str) -> None:
    assert not signed(SECRET, headers(b"{}", **{"X-MLflow-Timestamp": sent}), b"{}", NOW)


@pytest.mark.parametrize(
    ("length", "status"), [(str(LONGEST + 1), 413), ("9" * 5_000, 413), ("-1", 411), ("many", 411), (None, 411)]
)
def test_a_message_is_not_read_whatever_its_length(
    port: int, woken: threading.Event, length: str | None, status: int
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.putrequest("POST", "/")
    if length is not None:
        connection.putheader("Content-Length", length)
    connection.endheaders()
    assert connection.getresponse().status == status
    connection.close()
    assert not woken.is_set()


def test_who_asks_for_anything_else_or_leaves_halfway_is_no_trouble(
    port: int, woken: threading.Event, send: Callable[..., Any]
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/")
    assert connection.getresponse().status == 501
    connection.close()
    with socket.create_connection(("127.0.0.1", port)) as rude:
        rude.sendall(b"POST / HTTP/1.1\r\nContent-Length: 50\r\n\r\nhalf")
    assert send(port, SECRET).response_status == 204
    assert woken.is_set()


def test_an_address_that_is_taken_is_said(port: int) -> None:
    with pytest.raises(ConfigError, match=f"nothing can listen at 127.0.0.1:{port}"):
        with listening(("127.0.0.1", port), SECRET, lambda: None):
            pass


def test_a_scheduler_that_cannot_listen_where_the_environment_says_does_not_start(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], port: int
) -> None:
    told = {"CONTROLPLANE_WEBHOOK_LISTEN": f"127.0.0.1:{port}", "CONTROLPLANE_WEBHOOK_SECRET": SECRET}
    for name, value in (make_world().environment() | told).items():
        monkeypatch.setenv(name, value)
    assert call("scheduler") == 2
    assert f"nothing can listen at 127.0.0.1:{port}: Address already in use" in capsys.readouterr().err


def test_a_move_by_somebody_else_is_seen_at_once_when_mlflow_tells(
    make_world: MakeWorld, send: Callable[..., Any]
) -> None:
    world = make_world(reaction="observe")
    stop, woken = threading.Event(), threading.Event()

    def held() -> list[str]:
        with context.store.begin() as session:
            return list(session.scalars(select(HoldingRow.version).order_by(HoldingRow.sequence)))

    def wait_for(versions: list[str]) -> None:
        until = time.monotonic() + 60
        while held() != versions and time.monotonic() < until:
            stop.wait(0.05)
        assert held() == versions

    with world.open() as context, listening(("127.0.0.1", 0), SECRET, woken.set) as port:
        register.register(context)
        serving = threading.Thread(target=scheduler.serve, args=(context, 3_600.0, stop, woken))
        serving.start()
        try:
            # The first tick is due on the world's clock, which is long past: at once.
            wait_for(["1"])
            world.release("2")
            assert send(port, SECRET).response_status == 204
            wait_for(["1", "2"])
        finally:
            stop.set()
            serving.join()
