"""A database that cannot be used is one sentence, and never tells the password."""

from __future__ import annotations

import socket
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import make_url

from controlplane.errors import StoreError
from controlplane.store import Store


def said(url: str) -> str:
    """The sentence that opening this database ends with."""
    with pytest.raises(StoreError) as caught:
        store = Store(url)
        try:
            store.revision()
        finally:
            store.close()
    sentence = str(caught.value)
    assert "s3cret" not in sentence
    assert "\n" not in sentence
    assert "sqlalche.me" not in sentence
    return sentence


@pytest.mark.parametrize(
    ("url", "wrong"),
    [
        ("", "cannot be read"),
        ("just words s3cret", "cannot be read"),
        ("postgresql+psycopg://u:s3cret@host:port/db", "its port is not a number"),
        ("postgresql://u:s3cret/db", "its port is not a number"),
        ("mysql://u:s3cret@host/db", "cannot be 'mysql'"),
        ("postgres://u:s3cret@host/db", "cannot be 'postgres'"),
        ("postgresql+nope://u:s3cret@host/db", "postgresql.nope"),
        ("postgresql+pg8000://u:s3cret@host/db", "No module named 'pg8000'"),
        ("postgresql+psycopg_async://u:s3cret@host/db", "asynchronous"),
    ],
)
def test_a_url_that_cannot_be_used_says_what_would_be_valid(url: str, wrong: str) -> None:
    sentence = said(url)
    assert wrong in sentence
    assert sentence.endswith("valid: sqlite:///PATH or postgresql+psycopg://USER:PASSWORD@HOST/DATABASE")


@pytest.mark.parametrize(
    "url", ["postgresql+psycopg://u:s3cret@{at}/db", "postgresql+psycopg://{at}/db?password=s3cret"]
)
def test_an_unreachable_server_is_one_sentence_that_names_it(url: str) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        at = f"127.0.0.1:{listener.getsockname()[1]}"
    sentence = said(url.format(at=at))
    assert at in sentence
    assert "onnection refused" in sentence


def test_a_server_that_never_answers_is_given_up() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        at = f"127.0.0.1:{listener.getsockname()[1]}"
        assert "timeout" in said(f"postgresql+psycopg://u:s3cret@{at}/db?connect_timeout=2")


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_a_database_that_the_server_does_not_have_is_named(empty_url: str) -> None:
    url = make_url(empty_url).set(database="nowhere")
    assert 'database "nowhere" does not exist' in said(url.render_as_string(hide_password=False))


def test_a_path_where_no_file_can_be_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "cannot be used" in said(f"sqlite:///{tmp_path}/file/store.db")
    assert "unable to open database file" in said(f"sqlite:///{tmp_path}")


def test_a_file_that_is_no_database_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("these are my notes, not a database" * 50)
    assert "file is not a database" in said(f"sqlite:///{tmp_path}/notes.txt")


def test_a_database_that_goes_away_while_it_is_used_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = Store(f"sqlite:///{path}")
    store.migrate()
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("DROP TABLE cp_runs")
    holder.close()
    from controlplane.store.runs import last_window_end

    with pytest.raises(StoreError, match=r"did not do it: no such table: cp_runs$"), store.begin() as session:
        last_window_end(session, "default", "scorer")
    store.close()
