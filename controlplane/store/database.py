"""Opening the database: SQLite (WAL, foreign keys) by default, PostgreSQL the same code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.pool import ConnectionPoolEntry

from controlplane.errors import StoreError

VERSION_TABLE = "cp_alembic_version"
"""Our own, so that the migrations can live in a database whose `alembic_version` belongs to MLflow."""


class Store:
    """One database and one workspace in it.

    `read_only` is for those who only look (the dashboard): such a store cannot write, whoever asks it to.
    Raises StoreError with the URL's password masked.
    """

    def __init__(self, url: str, workspace: str = "default", read_only: bool = False) -> None:
        self.workspace = workspace
        try:
            self._url = make_url(url)
            if self._url.get_backend_name() == "sqlite" and self._url.database and not read_only:
                Path(self._url.database).parent.mkdir(parents=True, exist_ok=True)
            self.engine = _engine(url, read_only)
        except (ArgumentError, NoSuchModuleError, ImportError, OSError) as error:
            raise StoreError(f"the database URL cannot be used: {_first_line(error)}") from error
        self._session = sessionmaker(self.engine, expire_on_commit=False)

    def __str__(self) -> str:
        return self._url.render_as_string(hide_password=True)

    @contextmanager
    def begin(self) -> Iterator[Session]:
        """One transaction: all of it is stored, or nothing."""
        with self._session.begin() as session:
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
        except SQLAlchemyError as error:
            raise StoreError(f"the database {self} cannot be prepared: {_first_line(error)}") from error

    def revision(self) -> tuple[str | None, str]:
        """The schema's revision in the database, and the one this version of the product needs."""
        try:
            with self.engine.connect() as connection:
                return _current(connection), _head()
        except SQLAlchemyError as error:
            raise StoreError(f"the database {self} cannot be opened: {_first_line(error)}") from error

    def require_current(self) -> None:
        """Raise StoreError unless the schema is the one this version needs."""
        found, needed = self.revision()
        if found != needed:
            raise StoreError(f"the database {self} is at revision {found or 'none'}; run `controlplane db upgrade`")

    def close(self) -> None:
        """Let go of every connection."""
        self.engine.dispose()


def _engine(url: str, read_only: bool) -> Engine:
    if make_url(url).get_backend_name() != "sqlite":
        engine = create_engine(url, pool_pre_ping=True)
        if read_only:
            engine = engine.execution_options(postgresql_readonly=True)
        return engine
    engine = create_engine(url, connect_args={"timeout": 30, "isolation_level": None})

    @event.listens_for(engine, "connect")
    def _connected(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "busy_timeout=30000"):
            cursor.execute(f"PRAGMA {pragma}")
        if read_only:
            cursor.execute("PRAGMA query_only=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begun(connection: Connection) -> None:
        # A writer that starts as a reader can lose the upgrade to another; it takes the lock at once instead.
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

    return engine


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


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
