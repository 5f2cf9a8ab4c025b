"""A registry with versions that answer, that cannot be loaded and that break off, and servers of them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

NOT_LOADED = "raise ImportError('this version needs a library that is not here')\n"
BREAKS_OFF = """
import mlflow


class Scorer(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        raise ValueError("the first row is too much")


mlflow.models.set_model(Scorer())
"""

ONE_BY_ONE = """
import time
from pathlib import Path

home = Path({home!r})
try:
    (home / "first").touch(exist_ok=False)
except FileExistsError:
    while not (home / "go").exists():
        time.sleep(0.01)
    (home / "second").write_text("whole" if Path(__file__).exists() else "its artefacts are gone")
raise ImportError("this version needs a library that is not here")
"""


class Shelf:
    """A copy of the registry, and what people do to it past us. `more` are versions: 3 does not load, 4 breaks off."""

    def __init__(self, home: Path, template: Path) -> None:
        self.home = home
        home.mkdir()
        shutil.copyfile(template / "mlflow.db", home / "mlflow.db")
        self.uri = f"sqlite:///{home}/mlflow.db"
        for code in (NOT_LOADED, BREAKS_OFF):
            self.add(code)

    def client(self) -> Any:
        """MLflow's own client."""
        import mlflow

        return mlflow.MlflowClient(self.uri, self.uri)

    def add(self, code: str) -> str:
        """Register version 1 with other code; the new version's number."""
        from mlflow.artifacts import download_artifacts

        client = self.client()
        into = self.home / f"more-{len(list(self.home.glob('more-*')))}"
        into.mkdir()
        address = client.get_model_version_download_uri("scorer", "1")
        folder = Path(download_artifacts(artifact_uri=address, dst_path=str(into), tracking_uri=self.uri))
        (file,) = folder.rglob("scorer_a.py")
        file.write_text(code)
        return str(client.create_model_version("scorer", source=folder.as_uri()).version)

    def release(self, version: str, alias: str = "champion") -> None:
        """Set an alias."""
        self.client().set_registered_model_alias("scorer", alias, version)

    def environment(self) -> dict[str, str]:
        """The environment of a command that works on it."""
        return os.environ | {
            "CONTROLPLANE_HOME": str(self.home / "home"),
            "CONTROLPLANE_TRACKING_URI": self.uri,
            "CONTROLPLANE_REGISTRY_URI": self.uri,
            "CONTROLPLANE_SERVING_SECRET": "s3cret",
        }


class Server:
    """A running `controlplane serve`, asked over HTTP."""

    def __init__(self, shelf: Shelf, *options: str) -> None:
        command = [sys.executable, "-m", "controlplane", "serve", "scorer@champion", "--port", "0", "--json", *options]
        self._log = (shelf.home / "server.log").open("ab")
        self.process = subprocess.Popen(command, env=shelf.environment(), stdout=subprocess.PIPE, stderr=self._log)
        assert self.process.stdout is not None
        told = json.loads(self.process.stdout.readline() or b"{}")
        self.process.stdout.close()
        assert told, (shelf.home / "server.log").read_text()
        self.port = told["port"]
        self.http = httpx.Client()
        self.connect()

    def connect(self) -> None:
        """Use new connections, as those to a worker that was killed are gone with it."""
        self.http.close()
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=30)

    def ask(self, a: float = 1.0, b: float = -1.0, **headers: str) -> httpx.Response:
        """Score one row: version 1 answers whether `a` is above zero, version 2 whether `b` is."""
        return self.http.post("/invocations", json={"dataframe_records": [{"a": a, "b": b}]}, headers=headers)

    def version(self) -> dict[str, Any]:
        """What /version says."""
        found: dict[str, Any] = self.http.get("/version").json()
        return found

    def until(self, true: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Wait until something is true of what /version says."""
        last = time.monotonic() + 60
        while not true(said := self.version()):
            assert time.monotonic() < last, said
            time.sleep(0.02)
        return said

    def stop(self) -> int:
        """End it in good order; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(60)
        self.http.close()
        self._log.close()
        return code
