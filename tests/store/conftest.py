"""An open store on each database, and two processes that race for what is in it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from controlplane.store import Store

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """A store with our tables and no rows, on each database."""
    opened = Store(store_url)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def racers() -> Iterator[list[subprocess.Popen[str]]]:
    """Two processes that wait to be told what to race for."""
    command = [sys.executable, str(HERE / "store_racer.py")]
    started = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    yield started
    for process in started:
        process.communicate()


@pytest.fixture
def race(racers: list[subprocess.Popen[str]]) -> Callable[[str, str], list[Any]]:
    """Lets both processes do one thing of `store_racer` to a database at once; gives what each got."""

    def start(act: str, url: str) -> list[Any]:
        for number, process in enumerate(racers):
            _tell(process, json.dumps([act, url, f"racer-{number}"]))
        for process in racers:
            assert _hear(process) == "ready"
        for process in racers:
            _tell(process, "go")
        return [json.loads(_hear(process)) for process in racers]

    return start


def _tell(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()


def _hear(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()
