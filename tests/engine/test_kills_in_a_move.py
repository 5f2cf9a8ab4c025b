"""Real kills (-9) in the middle of a move and of its undoing, with one scheduler and with two at once.

Here on PostgreSQL; `test_walk_of_kills` kills on SQLite, and `make bench-rollback` on both.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from bell import Bell
from kills import FAILING, READY, Death, Files, Nursery, Stage, Template
from world import World

from controlplane.store import Store


@pytest.fixture
def stage(
    empty_url: str,
    make_world: Callable[..., World],
    bell: Bell,
    nursery: Nursery,
    tmp_path: Path,
) -> Stage:
    """An approved rollback that can be lived through from there as often as one likes."""
    store = Store(empty_url)
    store.migrate()
    store.close()
    world = make_world(database=empty_url, reaction="propose")
    return Stage(world, bell, nursery, [Files(tmp_path / "mlflow.db"), Template(empty_url)])


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_a_move_and_its_undoing_are_made_once_at_most_and_told_once_wherever_they_are_killed(stage: Stage) -> None:
    plays: list[tuple[list[Death], str]] = [
        ([step], "") for step in ("moving", "write begun", "moved", "move recorded")
    ]
    plays += [(["moving", "write begun"], ""), (["moved", "moving"], ""), (["moved"], "3"), (["moved"], "2")]
    for deaths, stranger in plays:
        story = stage.play(READY, [deaths], stranger)
        assert (story.wrong, story.kills > 0) == ([], True), (deaths, stranger, story)
    stage.fail()
    for step in ("write begun", "undone"):
        story = stage.play(FAILING, [[step]])
        assert (story.wrong, story.kills) == ([], 1), (step, story)
