"""Backtests: what runs would have paged, from the same rows through the same judgement, and nothing kept of it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import func, select
from world import HOUR, T0, World, signal_rows

from controlplane.cli.main import call
from controlplane.domain.monitor import Limit, Window
from controlplane.engine import cycle, references
from controlplane.engine.backtest import By, replay, windows_of
from controlplane.engine.context import Context
from controlplane.store import incidents
from controlplane.store.rows import Row
from controlplane.store.tables import ReferenceRow

MakeWorld = Callable[..., World]
Said = tuple[int, str, str]
HOURS = 10
BAD = (3, 4, 7)


def counts(context: Context) -> dict[str, int]:
    """How many rows each of our tables holds."""
    with context.store.begin() as session:
        tables = Row.metadata.sorted_tables
        return {table.name: session.scalar(select(func.count()).select_from(table)) or 0 for table in tables}


def contents(context: Context) -> dict[str, list[Any]]:
    with context.store.begin() as session:
        return {table.name: sorted(map(repr, session.execute(select(table)))) for table in Row.metadata.sorted_tables}


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    """Ten hours of version 1, of which three went wrong: their rows were answered by the wrong feature."""
    made = make_world(reaction="observe")
    for hour in range(HOURS):
        if hour != 5:
            made.publish(hour, "1", answered_like="2" if hour in BAD else "")
    made.clock = T0 + HOURS * HOUR
    return made


def test_a_backtest_of_what_the_scheduler_did_says_the_same_pages(world: World) -> None:
    with world.open() as context:
        end = world.clock
        for hour in range(1, HOURS + 1):
            world.clock = T0 + hour * HOUR
            cycle.tick(context)
        world.clock = end
        with context.store.begin() as session:
            rows = incidents.find_incident(session, context.workspace, "")
            recorded = sorted((row.opened_at, row.closed_at, row.cause, row.title, row.version) for row in rows)
        monitor = context.monitors["scorer"]
        before = contents(context)
        found = replay(context, monitor, windows_of(context, monitor, 1))
        assert contents(context) == before
    said = [(page.at, page.closed_at, page.cause, page.text, page.version) for page in found.pages]
    assert len(said) == 2
    assert said == recorded
    assert [past.window.start for past in found.windows if not past.saw] == [T0 + 5 * HOUR]
    assert [past.outcome == "FAIL" for past in found.windows] == [hour in BAD for hour in range(HOURS)]
