"""`controlplane serve`, as processes: it follows the alias, and no request is dropped over it."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from servers import ONE_BY_ONE, Server, Shelf

from controlplane.signing import sign


@pytest.fixture(autouse=True)
def version_1(shelf: Shelf, server: Server) -> None:
    """Every test begins with version 1 on every worker."""
    shelf.release("1")
    server.until(lambda said: said["wanted"] == said["version"] == "1" and not said["why"])


def test_all_workers_switch_when_the_alias_moves_and_no_request_is_lost(shelf: Shelf, server: Server) -> None:
    answers: list[tuple[int, str, int]] = []
    over = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=server.http.base_url, timeout=30) as http:
            while not over.is_set():
                got = http.post("/invocations", json={"dataframe_records": [{"a": 1.0, "b": -1.0}]})
                said = got.json()["predictions"][0] if got.status_code == 200 else -1
                answers.append((got.status_code, got.headers["x-model-version"], said))

    asking = [threading.Thread(target=ask) for _ in range(3)]
    for thread in asking:
        thread.start()
    for version in ("2", "1", "2"):
        shelf.release(version)
        said = server.until(lambda said, version=version: said["version"] == version)  # type: ignore[misc]
        assert set(said["workers"].values()) == {version}
    over.set()
    for thread in asking:
        thread.join()
    # What the version in the header answers, and nothing else: it is bound to the request.
    assert {status for status, _, _ in answers} == {200}
    assert {(version, said) for _, version, said in answers} == {("1", 1), ("2", 0)}


def test_an_alias_that_is_moved_to_and_fro_ends_where_it_was_left(shelf: Shelf, server: Server) -> None:
    for version in ("2", "1", "3", "2", "4", "1", "2"):
        shelf.release(version)
    said = server.until(lambda said: said["wanted"] == said["version"] == "2")
    assert set(said["workers"].values()) == {"2"} and not said["why"]


@pytest.mark.parametrize(
    ("version", "said"),
    [("3", "this version needs a library that is not here"), ("4", "version 4 could not answer a recent request")],
)
def test_a_version_that_does_not_load_or_breaks_off_never_takes_traffic(
    shelf: Shelf, server: Server, version: str, said: str
) -> None:
    for _ in range(40):
        assert server.ask().status_code == 200
    shelf.release(version)
    told = server.until(lambda told: bool(told["why"]))
    assert said in told["why"]
    assert (told["version"], told["wanted"]) == ("1", version)
    assert {server.ask().headers["x-model-version"] for _ in range(10)} == {"1"}


def test_while_one_worker_still_loads_what_another_could_not_its_artefacts_stay(shelf: Shelf, server: Server) -> None:
    def says_why(told: dict[str, Any]) -> bool:
        # Whoever loads hears nothing meanwhile: the next connection may lead to the other one.
        server.connect()
        return bool(told["why"])

    version = shelf.add(ONE_BY_ONE.format(home=str(shelf.home)))
    shelf.release(version)
    try:
        told = server.until(says_why)
    finally:
        (shelf.home / "go").touch()
    shelf.release("2")
    server.until(lambda told: told["version"] == "2")
    assert "this version needs a library that is not here" in told["why"]
    assert (shelf.home / "second").read_text() == "whole"
    # Both workers said so, of one and the same try.
    assert (shelf.home / "server.log").read_text().count(f"version {version} is not served") == 1


def test_an_alias_that_is_deleted_leaves_the_version_that_answers(shelf: Shelf, server: Server) -> None:
    shelf.client().delete_registered_model_alias("scorer", "champion")
    told = server.until(lambda told: told["wanted"] is None)
    assert (told["version"], told["why"]) == ("1", "scorer@champion does not exist (any more)")
    assert server.ask().status_code == 200


def test_a_worker_that_is_killed_is_replaced_and_the_other_answers_meanwhile(server: Server) -> None:
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
    os.kill(int(children[0]), signal.SIGKILL)
    server.connect()
    server.until(lambda told: len(told["workers"]) < 2 or None in told["workers"].values())
    assert server.ask().status_code == 200
    server.until(lambda told: list(told["workers"].values()) == ["1", "1"])


def test_counts_are_those_of_all_workers(server: Server) -> None:
    def count() -> float:
        lines = server.http.get("/metrics").text.splitlines()
        return sum(float(line.split()[1]) for line in lines if line.startswith("controlplane_requests_total{"))

    before = count()
    for _ in range(20):
        assert httpx.post(f"{server.http.base_url}/invocations", content=b"{").status_code == 415
    assert count() == before + 20


def test_a_reload_is_taken_only_with_a_fresh_signature(shelf: Shelf) -> None:
    other = Server(shelf, "--every", "3600", "--log", "none")
    try:
        other.until(lambda said: said["version"] == "1")
        shelf.release("2")
        now = time.time()
        for headers in ({}, sign("wrong", b"{}", now), sign("s3cret", b"[]", now), sign("s3cret", b"{}", now - 600)):
            assert other.http.post("/reload", content=b"{}", headers=headers).status_code == 401
        assert other.version()["version"] == "1"
        assert other.http.post("/reload", content=b"{}", headers=sign("s3cret", b"{}", now)).status_code == 202
        other.until(lambda said: said["version"] == "2")
    finally:
        assert other.stop() == 0


def test_without_the_registry_the_version_served_last_comes_from_disk_and_is_called_stale(shelf: Shelf) -> None:
    first = Server(shelf, "--log", "none")
    first.until(lambda said: said["version"] == "1")
    port = str(first.http.base_url.port)
    assert first.stop() == 0
    file = shelf.home / "mlflow.db"
    file.rename(shelf.home / "away.db")
    try:
        second = Server(shelf, "--log", "none", "--port", port, "--every", "0.2")
        told = second.until(lambda said: said["version"] == "1")
        assert told["stale"] and "there is no registry" in told["why"]
        assert second.ask().json() == {"predictions": [1]}
        (shelf.home / "away.db").rename(file)
        second.until(lambda said: not said["stale"] and not said["why"])
        assert second.stop() == 0
    finally:
        if not file.exists():
            (shelf.home / "away.db").rename(file)
