"""What docker/compose.yaml starts, as processes: the same commands, secrets and health checks, at other addresses."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from servers import Shelf

from controlplane.signing import sign

DOCKER = Path(__file__).parents[2] / "docker"
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]
WITHIN = 90.0


class Machine:
    """This machine as the compose file's containers: their commands, their secrets, and a port of its own for 8080."""

    def __init__(self, home: Path, database: str) -> None:
        self.home = home
        home.mkdir()
        self.add("controlplane", f'exec {sys.executable} -m controlplane "$@"')
        self.add("python", f'exec {sys.executable} "$@"')
        subprocess.run(["sh", DOCKER / "secrets.sh", home / "secrets"], check=True)
        (home / "secrets/database_url").write_text(database + "\n")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = str(free.getsockname()[1])
        self._instead = {
            "/run/secrets": str(home / "secrets"),
            "http://mlflow:5000": database,
            "0.0.0.0": "127.0.0.1",
            "8080": self.port,
        }

    def add(self, name: str, script: str) -> None:
        """A command of the image."""
        (self.home / "bin").mkdir(exist_ok=True)
        (self.home / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.home / "bin" / name).chmod(0o755)

    def here(self, text: str) -> str:
        """A text of the compose file, with what compose fills in and with this machine's places."""
        text = re.sub(r"\$\{CONTROLPLANE_SERVE:\?[^}]*\}", "scorer@champion", text)
        text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text).replace("$$", "$")
        return re.sub("|".join(map(re.escape, self._instead)), lambda found: self._instead[found[0]], text)

    def run(self, name: str, command: list[str], **options: Any) -> subprocess.Popen[str]:
        """A command inside a service: with its environment, and nothing of the tests' own installation."""
        own = {key: value for key, value in os.environ.items() if not key.startswith(("CONTROLPLANE_", "MLFLOW_"))}
        own |= {"PATH": f"{self.home}/bin:{os.environ['PATH']}", "CONTROLPLANE_HOME": str(self.home / "state")}
        own |= {key: self.here(value) for key, value in SERVICES[name]["environment"].items()}
        return subprocess.Popen([*map(self.here, command)], env=own, cwd=self.home, text=True, **options)

    @contextmanager
    def server(self) -> Iterator[subprocess.Popen[str]]:
        """The server, ended as `docker stop` does."""
        with (self.home / "log").open("w") as log:
            process = self.run("server", ["controlplane", *SERVICES["server"]["command"]], stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)

    def is_healthy(self) -> bool:
        """What the server's own health check says."""
        how, *command = SERVICES["server"]["healthcheck"]["test"]
        assert how == "CMD"
        return self.run("server", command, stderr=subprocess.DEVNULL).wait(60) == 0


@pytest.fixture(scope="module")
def machine(shelf: Shelf) -> Machine:
    """A machine that shares one database with MLflow, as the services do."""
    return Machine(shelf.home / "machine", shelf.uri)


def test_the_server_is_healthy_once_the_alias_is_held_and_logs_what_it_answers(machine: Machine, shelf: Shelf) -> None:
    shelf.client().delete_registered_model_alias("scorer", "champion")
    last = time.monotonic() + WITHIN
    with machine.server() as server, httpx.Client(base_url=f"http://127.0.0.1:{machine.port}", timeout=30) as http:
        while status_of(http, "/healthz") != 200:
            assert time.monotonic() < last and server.poll() is None, (machine.home / "log").read_text()
            time.sleep(0.05)
        assert http.get("/readyz").status_code == 503
        assert not machine.is_healthy()
        shelf.release("1")
        while not machine.is_healthy():
            assert time.monotonic() < last, (machine.home / "log").read_text()
        got = http.post("/invocations", json={"dataframe_records": [{"a": 1.0, "b": -1.0}]})
        assert (got.json(), got.headers["x-model-version"]) == ({"predictions": [1]}, "1")
        secret = (machine.home / "secrets/serving_secret").read_text()
        assert http.post("/reload", content=b"{}", headers=sign(secret, b"{}", time.time())).status_code == 202
    assert server.returncode == 0
    # Below the state volume, where the jobs of the scheduler read it.
    assert list((machine.home / "state/log/scorer").rglob("*.parquet"))
    assert sorted(path.name for path in (machine.home / "state").iterdir()) == ["log", "serving"]


def status_of(http: httpx.Client, path: str) -> int:
    """The status of an answer; 0 while nobody listens."""
    try:
        return http.get(path).status_code
    except httpx.TransportError:
        return 0


def test_mlflow_is_told_its_database_from_the_secret_alone(machine: Machine) -> None:
    machine.add("mlflow", 'echo "$MLFLOW_BACKEND_STORE_URI" "$@"')
    line = SERVICES["mlflow"]["entrypoint"]
    told, _ = machine.run("mlflow", line, stdout=subprocess.PIPE).communicate(timeout=30)
    database = (machine.home / "secrets/database_url").read_text().strip()
    assert told.startswith(f"{database} server --host ")
    secret = (machine.home / "secrets/database_url").rename(machine.home / "away")
    told, _ = machine.run("mlflow", line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).communicate(timeout=30)
    secret.rename(machine.home / "secrets/database_url")
    # Without an address MLflow would start on an empty store.
    assert told == ""
