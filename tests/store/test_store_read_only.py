"""A store for those who only look cannot write, and keeps no writer waiting."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select, text
from store_samples import monitor, recorded

from controlplane.errors import StoreError
from controlplane.store import Store
from controlplane.store.tables import RunRow


@pytest.fixture
def reader(store_url: str) -> Iterator[Store]:
    opened = Store(store_url, read_only=True)
    yield opened
    opened.close()


def test_a_reader_sees_what_a_writer_stored(store: Store, reader: Store) -> None:
    reader.require_current()
    with store.begin() as session:
        run = recorded(session, monitor())
    with reader.begin() as session:
        assert session.scalars(select(RunRow.id)).all() == [run.run_id]


def test_a_reader_can_store_nothing_by_any_way(store: Store, reader: Store) -> None:
    for again in range(3):  # a connection that comes back from the pool is as read-only as a new one
        with pytest.raises(StoreError, match=r"read.?only"), reader.begin() as session:
            recorded(session, monitor(), again)
        with pytest.raises(StoreError, match=r"read.?only"), reader.begin() as session:
            session.execute(text("DELETE FROM cp_runs"))
        with pytest.raises(StoreError, match=r"read.?only"), reader.begin() as session:
            session.execute(text("CREATE TABLE cp_new (id INTEGER)"))
    with store.begin() as session:
        assert session.scalars(select(RunRow.id)).all() == []


def test_a_reader_that_looks_keeps_no_writer_waiting_and_sees_whole_transactions(store: Store, reader: Store) -> None:
    with store.begin() as session:
        recorded(session, monitor())
    with reader.begin() as looking:
        assert len(looking.scalars(select(RunRow.id)).all()) == 1
        with store.begin() as session:
            session.execute(text("SELECT 1"))
            recorded(session, monitor(), 1)
    with reader.begin() as looking:
        assert len(looking.scalars(select(RunRow.id)).all()) == 2


def test_a_reader_looks_while_a_writer_writes(store: Store, reader: Store) -> None:
    with store.begin() as session:
        recorded(session, monitor())
        with reader.begin() as looking:
            assert looking.scalars(select(RunRow.id)).all() == []


def test_a_reader_makes_no_database_where_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"there is no database .*; run `controlplane db upgrade`"):
        Store(f"sqlite:///{tmp_path}/none/store.db", read_only=True)
    assert list(tmp_path.iterdir()) == []
