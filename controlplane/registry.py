"""The model registry: who holds an alias, moving it with a read before and after, and the product's own artifacts."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import unquote, urlsplit

from controlplane.domain.monitor import ModelRef
from controlplane.errors import AliasMoved, NotWritten, RegistryError, masked

EXPERIMENT = "controlplane"

_KEY_LENGTH = 255
_SHOWN = 20
_ENVIRONMENT = {"DO_NOT_TRACK": "true", "MLFLOW_DISABLE_TELEMETRY": "true"}
# MLflow would try for minutes: a registry that is not there must be an answer within seconds.
_DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
}
_DATABASE_ATTEMPTS = 2
_DATABASES = frozenset({"postgresql", "mysql", "mssql"})


@dataclass(frozen=True, slots=True)
class Move:
    """An alias that was moved. `gap_seconds` bounds the time between our read and our write from above."""

    before: str
    after: str
    gap_seconds: float


class Registry:
    """An MLflow model registry, and the tracking server beside it for artifacts, through MLflow's own client.

    MLflow is imported at the first question. Every failure is a RegistryError with one sentence, without credentials
    and within seconds; MLflow's own environment variables for timeouts win where they are set. `artifact_root` is
    where the product's experiment keeps its files if it has to be created; a tracking server decides that by itself.
    """

    def __init__(self, tracking_uri: str, registry_uri: str | None = None, artifact_root: str | None = None) -> None:
        self.tracking_uri = tracking_uri
        self.registry_uri = registry_uri or tracking_uri
        self._artifact_root = artifact_root
        self._connected: Any = None

    def holder(self, model: ModelRef) -> str:
        """The version that holds the alias; where there is none, the error names the aliases or models there are."""
        version = self.held(model)
        if version is None:
            raise self._no_alias(model)
        return version

    def held(self, model: ModelRef) -> str | None:
        """The version that holds the alias, or None where the model has no such alias (any more)."""
        version: Any = None
        with self._asking(f"{model}") as client, _absent() as absent:
            version = client.get_model_version_by_alias(model.name, model.alias)
        if absent:
            self._aliases(model.name)
            return None
        return str(version.version)

    def versions(self, name: str) -> list[str]:
        """Every version of a model, oldest first; empty for a model that does not exist."""
        quote = '"' if "'" in name else "'"
        found: list[str] = []
        token: str | None = None
        with self._asking(f"the versions of {name!r}") as client:
            while True:
                page = client.search_model_versions(f"name={quote}{name}{quote}", page_token=token)
                found.extend(str(version.version) for version in page)
                token = page.token
                if not token:
                    break
        return sorted(found, key=int)

    def exists(self, name: str, version: str) -> bool:
        """Whether the model has that version."""
        with self._asking(f"version {version} of {name!r}") as client, _absent() as absent:
            client.get_model_version(name, version)
        return not absent

    def address(self, name: str, version: str) -> str:
        """Where a version's artefacts lie: a URI or a path; of one that is not there, the error names the others."""
        address: Any = None
        with self._asking(f"version {version} of {name!r}") as client, _absent() as absent:
            address = client.get_model_version_download_uri(name, version)
        if absent:
            raise RegistryError(f"{name!r} has no version {version}; valid: {self._known(name)}")
        return str(address)

    def key(self, model: ModelRef) -> str:
        """What names this alias in every store: registry, model and alias, without credentials, 255 characters at most.

        >>> Registry("https://ann:secret@mlflow.example.com/").key(ModelRef("fraud", "champion"))
        'https://mlflow.example.com fraud@champion'
        """
        key = f"{_place(self.registry_uri)} {model}"
        return key if len(key) <= _KEY_LENGTH else f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"

    def tag(self, name: str, version: str, key: str, value: str | None) -> None:
        """Set a tag of a version, or take it away (None); a tag that is not there is taken away in peace."""
        with self._asking(f"tag {key!r} of version {version} of {name!r}") as client:
            if value is not None:
                client.set_model_version_tag(name, version, key, value)
            elif key in client.get_model_version(name, version).tags:
                client.delete_model_version_tag(name, version, key)

    def move(self, model: ModelRef, expected: str, to: str, last: float | None = None) -> Move:
        """Set the alias to version `to` if it holds version `expected`, and read it back.

        MLflow has no compare-and-swap and stamps no time on an alias, so the promise is this much. A move that was
        made before our read is never overwritten: AliasMoved, and nothing is written. A move that somebody makes
        between our read and our write is overwritten without a trace; that gap is measured, some milliseconds. A move
        made between our write and our read-back ends as AliasMoved too: our write was made, and theirs holds. Two
        of our own processes are kept apart by the lease around this call, not by this call.

        `last` is the moment of `time.monotonic` after which no write begins: a process that was held up for so long may
        have lost its lease. NotWritten is raised where the write was not even tried; of any other RegistryError the
        write may or may not have been made: read the alias again.
        """
        try:
            if not self.exists(model.name, to):
                known = self._known(model.name)
                raise NotWritten(f"{model.name!r} has no version {to} to move {model.alias!r} to; valid: {known}")
            started = time.monotonic()
            found = self.held(model)
        except RegistryError as error:
            raise NotWritten(str(error)) from None
        if found != expected:
            raise AliasMoved(f"{model} holds {_version(found)}, not version {expected}: somebody else moved it", found)
        if last is not None and time.monotonic() > last:
            raise NotWritten(f"{model} was not moved to version {to}: this process was held up for too long")
        with self._asking(f"{model} to be moved to version {to}") as client:
            client.set_registered_model_alias(model.name, model.alias, to)
        gap = time.monotonic() - started
        found = self.held(model)
        if found != to:
            raise AliasMoved(
                f"{model} was moved to version {to}, and holds {_version(found)} now: somebody moved it right after us",
                found,
            )
        return Move(expected, to, gap)

    def log_artifact(self, run_name: str, content: Path | bytes, name: str) -> str:
        """Keep a file, or bytes, under `name` in a new run of the product's own experiment; returns its URI."""
        with self._asking(f"artifact {name!r} to be stored") as client, TemporaryDirectory() as folder:
            path = content if isinstance(content, Path) and content.name == name else Path(folder) / name
            if isinstance(content, bytes):
                path.write_bytes(content)
            elif path != content:
                shutil.copyfile(content, path)
            run = client.create_run(self._experiment(client), run_name=run_name).info.run_id
            client.log_artifact(run, str(path))
            client.set_terminated(run)
        return f"runs:/{run}/{name}"

    def fetch_artifact(self, uri: str, into: Path) -> Path:
        """Copy what `log_artifact` kept into an existing folder; returns the path of the copy."""
        match = re.fullmatch(r"runs:/([^/]+)/(.+)", uri)
        if match is None:
            raise RegistryError(f"{masked(uri)!r} is no artifact of ours; valid: runs:/RUN/NAME")
        with self._asking(f"artifact {uri!r}") as client:
            return Path(client.download_artifacts(match[1], match[2], str(into)))

    def fetch_version(self, name: str, version: str, into: Path) -> Path:
        """Copy a version's artefacts, byte for byte, into a folder that is made; where they lie there."""
        into.mkdir(parents=True)
        address = self.address(name, version)
        with self._asking(f"version {version} of {name!r}"):
            from mlflow.artifacts import download_artifacts

            found = download_artifacts(artifact_uri=address, dst_path=str(into), tracking_uri=self.tracking_uri)
        return Path(found)

    def _known(self, name: str) -> str:
        return ", ".join(self.versions(name)) or "none"

    def _no_alias(self, model: ModelRef) -> RegistryError:
        aliases = self._aliases(model.name)
        valid = f"valid: {', '.join(aliases)}" if aliases else "it has none yet"
        return RegistryError(f"{model.name!r} has no alias {model.alias!r}; {valid}")

    def _aliases(self, name: str) -> list[str]:
        registered: Any = None
        with self._asking(f"model {name!r}") as client:
            with _absent() as absent:
                registered = client.get_registered_model(name)
            if not absent:
                return sorted(registered.aliases)
            known = [model.name for model in client.search_registered_models(max_results=_SHOWN)]
        valid = f"valid: {', '.join(known)}" if known else "it holds no models yet"
        raise RegistryError(f"there is no model {name!r} in the registry {_place(self.registry_uri)}; {valid}")

    def _experiment(self, client: Any) -> str:
        found = client.get_experiment_by_name(EXPERIMENT)
        if found is None:
            location = self._artifact_location()
            try:
                return str(client.create_experiment(EXPERIMENT, artifact_location=location))
            except Exception:
                found = client.get_experiment_by_name(EXPERIMENT)
                if found is None:
                    raise
        if found.lifecycle_stage != "active":
            raise RegistryError(f"the MLflow experiment {EXPERIMENT!r} is deleted; restore it to keep artifacts in it")
        return str(found.experiment_id)

    def _artifact_location(self) -> str | None:
        root = self._artifact_root
        if root is None:
            file = _sqlite_file(self.tracking_uri)
            if file is not None:
                root = str(file.parent / "artifacts")
            elif urlsplit(self.tracking_uri).scheme.partition("+")[0] in _DATABASES:
                raise RegistryError(
                    f"{_place(self.tracking_uri)} keeps no files: where MLflow is reached through its database, "
                    "the place of its artifacts must be set"
                )
            else:
                return None
        return root if "://" in root else (Path(root).resolve() / EXPERIMENT).as_uri()

    @contextlib.contextmanager
    def _asking(self, what: str) -> Iterator[Any]:
        """MLflow's client; whatever goes wrong with it ends as one sentence."""
        try:
            yield self._client()
        except RegistryError:
            raise
        except Exception as error:
            said = masked(" ".join(str(error).split()))[:300] or type(error).__name__
            raise RegistryError(
                f"the registry {_place(self.registry_uri)} could not be asked for {what}: {said}"
            ) from None

    def _client(self) -> Any:
        if self._connected is None:
            file = _sqlite_file(self.registry_uri)
            if file is not None and not file.exists():
                raise RegistryError(
                    f"there is no registry at {_place(self.registry_uri)}; "
                    "valid: the URI of an MLflow server or of a database that MLflow made"
                )
            os.environ.update(_ENVIRONMENT)
            for name, value in _DEFAULTS.items():
                os.environ.setdefault(name, value)
            import mlflow.store.db.utils
            from mlflow import MlflowClient

            # MLflow has no setting for this one, and tries a database that does not answer for minutes.
            mlflow.store.db.utils.MAX_RETRY_COUNT = _DATABASE_ATTEMPTS
            self._connected = MlflowClient(self.tracking_uri, self.registry_uri)
        return self._connected


@contextlib.contextmanager
def _absent() -> Iterator[list[str]]:
    """Catch MLflow's ways to say that something is not there; what it said stands in the yielded list afterwards.

    The SQL store calls a missing alias, and a version that is no number, an invalid parameter.
    """
    from mlflow.exceptions import MlflowException

    said: list[str] = []
    try:
        yield said
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "NOT_FOUND"):
            raise
        said.append(str(error))


def _place(uri: str) -> str:
    """The URI as it may be shown and compared: no credentials, no query, files absolute, no slash at the end."""
    file = _sqlite_file(uri)
    if file is not None:
        return f"sqlite:///{file}"
    if "://" not in uri:
        return str(Path(uri).resolve()) if uri not in ("databricks", "databricks-uc") else uri
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2].lower()}{parts.path}".rstrip("/")


def _sqlite_file(uri: str) -> Path | None:
    if not uri.startswith("sqlite:") or ":///" not in uri:
        return None
    path = unquote(uri.partition(":///")[2].partition("?")[0])
    return Path(path).resolve() if path and path != ":memory:" else None


def _version(found: str | None) -> str:
    return "no version" if found is None else f"version {found}"
