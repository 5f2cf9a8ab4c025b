"""What the drills of a monitor share: taken over from an installation that has lived for a while."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from drill_jobs import prepared_of
from world import World

from controlplane.domain.monitor import Reaction
from controlplane.drills.drill import drill, faults
from controlplane.engine import cycle


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory, registry_template: Path) -> Iterator[World]:
    """Three hours of 150 rows: version 2, which is bad, takes the alias in the second and is rolled back from."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BELL_URL", "http://127.0.0.1:9/nobody-listens")
        world = World(tmp_path_factory.mktemp("lived") / "installation", registry_template)
        with world.open() as context:
            for hour, released in enumerate(("1", "2", "1")):
                world.release(released)
                world.publish(hour, released, n=150)
                cycle.tick(context)
        assert world.champion() == "1"
        yield world


def test_what_was_rolled_back_from_is_no_target_and_what_is_known_of_versions_comes_along(
    lived: World, tmp_path: Path
) -> None:
    stock = prepared_of(lived.settings, tmp_path / "stock")
    assert (stock.holder, stock.earlier, stock.newest, list(stock.versions)) == ("1", (), 2, ["1"])
    assert [row.version for row in stock.seen] == ["1"]
    assert (stock.supply.usual, stock.supply.rows.num_rows) == (150, 1_000)


def test_who_would_be_told_of_the_copy_and_what_serves_it_are_left_out(lived: World, tmp_path: Path) -> None:
    job = lived.settings.jobs / "scorer.yaml"
    before = job.read_text()
    job.write_text(before + "serving: {url: http://127.0.0.1:9/version}\n")
    copy = prepared_of(lived.settings, tmp_path / "stock", reaction="observe").monitor
    job.write_text(before)
    assert (copy.receivers, copy.serving, copy.reaction) == (("log",), None, Reaction.OBSERVE)


def test_a_version_that_is_not_what_it_was_in_production_is_found_by_a_drill(lived: World, tmp_path: Path) -> None:
    stock = prepared_of(lived.settings, tmp_path / "stock")
    (weights,) = stock.versions["1"].rglob("MLmodel")
    weights.write_text(weights.read_text() + "\n")
    (fault,) = faults("regression")
    report = drill(stock, fault, tmp_path / "sandbox", healthy=1)
    assert report.outcome == "FAIL"
    assert {act.code for one in report.seen for act in one.acts} == {"artefact_changed"}
