"""Opening the database: SQLite (WAL, foreign keys) by default, PostgreSQL the same code."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection, DBAPICursor
from sqlalchemy.exc import ArgumentError, DBAPIError, InternalError, OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.pool import ConnectionPoolEntry

from controlplane.errors import StoreError
from controlplane.store import chain

VERSION_TABLE = "cp_alembic_version"
"""Our own, so that the migrations can live in a database whose `alembic_version` belongs to MLflow."""

_VALID = "valid: sqlite:///PATH or postgresql+psycopg://USER:PASSWORD@HOST/DATABASE"
_CONNECT_SECONDS = 10


class Store:
    """One database and one workspace in it.

    `read_only` is for those who only look (the dashboard): such a store cannot write, whoever asks it to.
    Raises StoreError with the URL's password masked.
    """

    def __init__(self, url: str, workspace: str = "default", read_only: bool = False) -> None:
        self.workspace = workspace
        self._url = _parse(url)
        try:
            if self._url.get_backend_name() == "sqlite" and self._url.database:
                if read_only and not Path(self._url.database).exists():
                    raise StoreError(f"there is no database {self} yet; run `controlplane db upgrade`")
                Path(self._url.database).parent.mkdir(parents=True, exist_ok=True)
            self.engine = _engine(self._url, read_only)
        except (SQLAlchemyError, ImportError, OSError) as error:
            raise StoreError(f"the database {self} cannot be used: {_sentence(error)}; {_VALID}") from error
        if self.engine.dialect.is_async:
            raise StoreError(f"the database {self} cannot be used: its driver is an asynchronous one; {_VALID}")
        self._session = sessionmaker(self.engine, expire_on_commit=False)

    def __str__(self) -> str:
        secret = {name: "***" for name in self._url.query if "password" in name}
        return self._url.update_query_dict(secret).render_as_string(hide_password=True)

    @contextmanager
    def begin(self) -> Iterator[Session]:
        """One transaction: all of it is stored and chained, or nothing. Raises StoreError where it cannot be."""
        try:
            with self._session.begin() as session:
                yield session
                chain.close(session)
        except (OperationalError, InternalError) as error:
            raise StoreError(f"the database {self} did not do it: {_sentence(error)}") from error

    @contextmanager
    def snapshot(self) -> Iterator[Session]:
        """A transaction in which every question is answered as of one moment, whoever writes meanwhile."""
        with self.begin() as session:
            if self.engine.dialect.name == "postgresql":
                session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
            yield session

    def migrate(self) -> None:
        """Bring the schema to the newest revision; safe to call by several processes at once."""
        try:
            with self.engine.begin() as connection:
                if self.engine.dialect.name == "postgresql":
                    connection.exec_driver_sql("SELECT pg_advisory_xact_lock(4242001)")
                if _current(connection) != _head():
                    config = _config()
                    config.attributes["connection"] = connection
                    command.upgrade(config, "head")
        except (SQLAlchemyError, CommandError) as error:
            raise StoreError(f"the database {self} cannot be prepared: {_sentence(error)}") from error

    def revision(self) -> tuple[str | None, str]:
        """The schema's revision in the database, and the one this version of the product needs."""
        try:
            with self.engine.connect() as connection:
                return _current(connection), _head()
        except SQLAlchemyError as error:
            raise StoreError(f"the database {self} cannot be opened: {_sentence(error)}") from error

    def require_current(self) -> None:
        """Raise StoreError unless the schema is the one this version needs."""
        found, needed = self.revision()
        if found != needed:
            raise StoreError(
                f"the database {self} is at revision {found or 'none'}, this version needs {needed}; "
                "run `controlplane db upgrade`"
            )

    def close(self) -> None:
        """Let go of every connection."""
        self.engine.dispose()


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise StoreError(f"the database URL cannot be read; {_VALID}") from error
    except ValueError as error:
        # What stands in the port's place may be a password, so it is not repeated.
        raise StoreError(f"the database URL cannot be read: its port is not a number; {_VALID}") from error
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        raise StoreError(f"the database cannot be {parsed.get_backend_name()!r}; {_VALID}")
    return parsed


def _engine(url: URL, read_only: bool) -> Engine:
    if url.get_backend_name() != "sqlite":
        knows = url.get_driver_name().startswith("psycopg") and "connect_timeout" not in url.query
        patience = {"connect_timeout": _CONNECT_SECONDS} if knows else {}
        engine = create_engine(url, pool_pre_ping=True, connect_args=patience)
        if read_only:
            engine = engine.execution_options(postgresql_readonly=True)
        return engine
    engine = create_engine(url, connect_args={"timeout": 30, "isolation_level": None})

    @event.listens_for(engine, "connect")
    def _connected(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        cursor = connection.cursor()
        keeping = ("query_only=ON",) if read_only else ("synchronous=NORMAL", "foreign_keys=ON")
        for pragma in ("busy_timeout=30000", *keeping):
            cursor.execute(f"PRAGMA {pragma}")
        if not read_only:
            _write_ahead(cursor)
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begun(connection: Connection) -> None:
        # A writer that starts as a reader can lose the upgrade to another; it takes the lock at once instead.
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

    return engine


def _write_ahead(cursor: DBAPICursor) -> None:
    """Turn write-ahead logging on. While another process does just that, SQLite refuses at once instead of waiting."""
    deadline = time.monotonic() + 30
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(resources.files("controlplane.store") / "migrations"))
    return config


def _head() -> str:
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None
    return head


def _current(connection: Connection) -> str | None:
    return MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_revision()


def _sentence(error: Exception) -> str:
    """What the driver said, on one line and without SQLAlchemy's additions."""
    said = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    return " ".join(str(said).split()) or type(said).__name__
