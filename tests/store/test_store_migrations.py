"""The schema: made once, by whoever comes first, also inside a database that MLflow owns."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import inspect, text
from store_samples import monitor, recorded

from controlplane.errors import StoreError
from controlplane.store import Store
from controlplane.store.database import VERSION_TABLE
from controlplane.store.tables import RunRow

OURS = {*RunRow.metadata.tables, VERSION_TABLE}


def tables(store: Store) -> set[str]:
    return set(inspect(store.engine).get_table_names())


@pytest.fixture
def empty(empty_url: str) -> Any:
    opened = Store(empty_url)
    yield opened
    opened.close()


def test_an_empty_database_gets_every_table_and_the_newest_revision(empty: Store) -> None:
    assert empty.revision()[0] is None
    empty.migrate()
    found, needed = empty.revision()
    assert found == needed
    assert tables(empty) == OURS
    empty.require_current()


def test_migrating_again_keeps_what_is_stored(store: Store) -> None:
    with store.begin() as session:
        run = recorded(session, monitor())
    store.migrate()
    with store.begin() as session:
        assert session.get_one(RunRow, run.run_id).outcome == "PASS"


def test_two_processes_that_migrate_at_once_both_find_the_schema_made(
    empty_url: str, race: Callable[[str, str], list[Any]]
) -> None:
    store = Store(empty_url)
    assert race("migrate", empty_url) == [store.revision()[1]] * 2
    assert tables(store) == OURS
    store.close()


def test_the_migrations_make_exactly_what_the_models_say(store: Store) -> None:
    with store.engine.connect() as connection:
        command.check(_config(connection))


def test_going_down_removes_every_table_and_coming_up_again_works(empty: Store) -> None:
    empty.migrate()
    with empty.engine.begin() as connection:
        command.downgrade(_config(connection), "base")
    assert tables(empty) == {VERSION_TABLE}
    empty.migrate()
    assert tables(empty) == OURS


def test_a_database_without_our_tables_is_one_sentence_that_says_what_to_do(empty: Store) -> None:
    with pytest.raises(StoreError, match=r"is at revision none, this version needs \w+; run `controlplane db upgrade`"):
        empty.require_current()


def test_a_database_of_a_newer_version_is_refused_and_left_alone(empty: Store) -> None:
    empty.migrate()
    with empty.engine.begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    with pytest.raises(StoreError, match="9999"):
        empty.migrate()
    with pytest.raises(StoreError, match="is at revision 9999"):
        empty.require_current()
    assert empty.revision()[0] == "9999"


@pytest.mark.parametrize("first", ["mlflow", "ours"])
def test_the_tables_live_in_mlflows_database_and_both_keep_working(empty: Store, first: str, tmp_path: Path) -> None:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    url = empty.engine.url.render_as_string(hide_password=False)

    def theirs() -> Any:
        return SqlAlchemyStore(url, tmp_path.as_uri())

    if first == "ours":
        empty.migrate()
    before = theirs()
    experiment = before.create_experiment("before")
    revision = _mlflows_revision(empty)
    empty.migrate()
    empty.migrate()
    with empty.begin() as session:
        recorded(session, monitor())
    assert _mlflows_revision(empty) == revision
    assert revision not in empty.revision()
    after = theirs()
    assert after.get_experiment(experiment).name == "before"
    assert after.create_experiment("after") != experiment
    assert tables(empty) > OURS
    with empty.engine.connect() as connection:
        command.check(_config(connection))
    for opened in (before, after):
        opened._dispose_engine()


def test_foreign_keys_hold(store: Store) -> None:
    from sqlalchemy.exc import IntegrityError

    from controlplane.store.tables import PartRow

    with pytest.raises(IntegrityError), store.begin() as session:
        session.add(PartRow(run_id="nobody", version="1", n_rows=1, sample_digest="", sample_rate=1.0))


def test_sqlite_is_opened_with_a_write_ahead_log(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "store.db"
    store = Store(f"sqlite:///{path}")
    store.migrate()
    store.close()
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_a_writer_waits_for_another_writer_instead_of_failing(store: Store) -> None:
    """Both read first and write then, which on SQLite is the way to lose the lock without a wait."""
    inside = threading.Event()
    watched = monitor()

    def other() -> None:
        inside.wait()
        with store.begin() as session:
            recorded(session, monitor("other"))

    thread = threading.Thread(target=other)
    thread.start()
    with store.begin() as session:
        recorded(session, watched)
        inside.set()
        thread.join(0.05)
        recorded(session, watched, 1)
    thread.join()
    with store.begin() as session:
        assert session.query(RunRow).count() == 3


def _config(connection: Any) -> Config:
    config = Config()
    config.set_main_option("script_location", str(resources.files("controlplane.store") / "migrations"))
    config.attributes["connection"] = connection
    return config


def _mlflows_revision(store: Store) -> str:
    with store.engine.connect() as connection:
        return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one())
