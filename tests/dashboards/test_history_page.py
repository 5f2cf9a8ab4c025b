"""The page that looks back: who held an alias, and whether the store was changed past the product."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import seed
from conftest import words_of
from streamlit.testing.v1 import AppTest

Show = Callable[..., AppTest]


def test_an_alias_is_told_with_who_moved_it_why_and_on_what_evidence(show: Show) -> None:
    app = show("history.py", alias="insurance@champion")
    assert "**Version 1** holds insurance@champion" in words_of(app)
    rows = app.dataframe[0].value
    assert rows["Version"].tolist() == ["1", "2", "1"]
    assert rows["Moved by"].tolist() == ["us: moved in mode rollback", "somebody else", "first look"]
    assert "version regressed" in rows["Why"][0]
    assert (
        "on the same 812 rows accuracy is 0.611 with version 2 and 0.751 with version 1" in rows["On what evidence"][0]
    )
    assert rows["Not before"][1] != ""


def test_an_alias_that_is_unknown_shows_the_first_one_there_is(show: Show) -> None:
    assert show("history.py", alias="nobody@none").selectbox[0].value == "digits@champion"


def test_the_chain_is_verified_on_demand_and_says_which_row_was_edited(show: Show, folder: Path) -> None:
    app = show("history.py")
    assert app.code[0].value.count(":") == 1
    app.button[0].click().run()
    assert "All " in app.success[0].value
    assert "as they were written" in app.success[0].value
    database = seed.url_of(folder).removeprefix("sqlite:///")
    with sqlite3.connect(database) as connection:
        row = connection.execute("SELECT id FROM cp_evidence LIMIT 1").fetchone()[0]
        connection.execute("UPDATE cp_evidence SET outcome = '<b>PASS</b>' WHERE id = ?", (row,))
    connection.close()
    app.button[0].click().run()
    assert app.success.values == []
    assert f"Evidence {row} was edited after link" in app.error[0].value.replace("\\", "")
