"""`controlplane drill`: what it prints, the exit code, what it leaves behind, and bad input."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from drill_jobs import write_job
from world import World

from controlplane.cli.main import call
from controlplane.drills.sandbox import Sandbox

Said = tuple[int, str, str]
Controlplane = Callable[..., Said]


@pytest.fixture
def controlplane(capsys: pytest.CaptureFixture[str], world: World) -> Controlplane:
    """Runs one command line in the world: exit code, standard output, standard error."""

    def run(*argv: str) -> Said:
        capsys.readouterr()
        code = call(*argv)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def contents(world: World) -> dict[str, list[Any]]:
    """Every row of every table of the store and of MLflow's database."""
    found: dict[str, list[Any]] = {}
    for file in (world.home / "home" / "controlplane.db", world.home / "mlflow.db"):
        with closing(sqlite3.connect(file)) as database:
            tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            found |= {f"{file.name} {name}": database.execute(f'SELECT * FROM "{name}"').fetchall() for name in tables}
    return found


def files(world: World, template: Path) -> dict[Path, bytes]:
    """Every file of the installation and of its registry but the databases, which `contents` reads."""
    paths = [*world.home.rglob("*"), *template.rglob("*")]
    return {path: path.read_bytes() for path in paths if path.is_file() and ".db" not in path.name}


def test_a_drill_leaves_its_evidence_and_nothing_else(
    controlplane: Controlplane, world: World, registry_template: Path
) -> None:
    controlplane("db", "upgrade")
    before, lying = contents(world), files(world, registry_template)
    code, out, _ = controlplane("drill", "regression", "scorer", "--json", "--healthy", "1")
    told = json.loads(out)
    assert (code, told["drills"][0]["outcome"], told["sandbox"]) == (0, "PASS", None)
    after = contents(world)
    changed = {name for name in after if after[name] != before[name]}
    assert changed <= {"controlplane.db cp_evidence", "controlplane.db cp_chain", "controlplane.db cp_chain_heads"}
    (row,) = set(after["controlplane.db cp_evidence"]) - set(before["controlplane.db cp_evidence"])
    assert {"rollback_drill", "scorer", "PASS", told["drills"][0]["source"]} <= set(row)
    assert files(world, registry_template) == lying
    assert not (world.home / "home" / "drills").exists()
    assert world.champion() == "1"


def test_one_drill_is_told_expectation_by_expectation_and_window_by_window(
    controlplane: Controlplane, world: World
) -> None:
    code, out, _ = controlplane("drill", "dead_worker", "scorer", "--healthy", "1", "--keep")
    assert code == 0
    assert "blind in window 2 with the fault" in " ".join(out.split())
    assert "the other checks" in out and "blind opens" in out
    kept = Path(out.partition("the sandbox is in ")[2].strip())
    assert (kept / "scorer" / "dead_worker" / "controlplane.db").is_file()


def test_all_drills_of_a_monitor_stand_in_one_table_and_what_does_not_fit_is_named(
    controlplane: Controlplane, world: World
) -> None:
    code, out, _ = controlplane("drill", "all", "blunt", "--json", "--healthy", "1")
    told = json.loads(out)
    went = {one["report"]["kind"]: one["outcome"] for one in told["drills"]}
    assert code == 1
    assert went == {
        "regression": "FAIL",
        "late_labels": "PASS",
        "registry_conflict": "FAIL",
        "dead_worker": "PASS",
        "unsafe_target": "FAIL",
    }
    assert {one["kind"]: one["why"] for one in told["left_out"]} == {
        "drift": "none of its checks watches inputs; drift, ood and evidently do",
        "attackable_version": "none of its checks attacks a version; evasion does",
    }


def test_after_ctrl_c_nothing_of_the_sandbox_is_left(
    controlplane: Controlplane, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = list((world.home / "home").rglob("*"))
    monkeypatch.setattr(Sandbox, "live", interrupt)
    assert call("drill", "regression", "scorer") == 130
    assert list((world.home / "home").rglob("*")) == before


def test_a_drill_that_breaks_is_told_and_leaves_no_evidence(
    controlplane: Controlplane, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from controlplane.errors import CheckError

    def break_off(*_: object) -> None:
        raise CheckError("version 1 failed at loading")

    monkeypatch.setattr(Sandbox, "live", break_off)
    controlplane("db", "upgrade")
    before = contents(world)["controlplane.db cp_evidence"]
    code, out, _ = controlplane("drill", "all", "scorer")
    assert code == 3
    assert "scorer drift: could not be carried through: version 1 failed at loading" in out
    assert contents(world)["controlplane.db cp_evidence"] == before


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("regresion", "scorer"), "unknown drill 'regresion'; did you mean 'regression'?"),
        (
            ("fire", "scorer"),
            "unknown drill 'fire'; valid: drift, regression, attackable_version, late_labels, registry_conflict, "
            "dead_worker, unsafe_target, all",
        ),
        (("drift", "scorrer"), "unknown monitor 'scorrer'; did you mean 'scorer'?"),
        (("drift", "scorer", "--reaction", "panic"), "unknown reaction 'panic'; valid: observe, propose, rollback"),
        (("dead_worker", "scorer", "--size", "1"), "--size is for one kind of drill that has a size; valid: drift"),
        (("regression", "scorer", "--size", "1.5"), "a share of rows, above 0 and at most 1; got 1.5"),
        (("drift", "scorer", "--size", "nan"), "the size of drift is a number other than 0; got nan"),
        (("attackable_version", "scorer"), "none of its checks attacks a version; evasion does"),
        (("regression", "unlabelled"), "the rows of its reference bear no labels, so that nobody could tell"),
        (("regression", "blank"), "monitor 'blank' has no reference to draw healthy rows from; add `reference:`"),
        (("late_labels", "hasty"), "it waits 0:30:00 for labels, no longer than a window of 1:00:00"),
    ],
)
def test_bad_input_is_one_sentence_with_what_is_valid(
    argv: tuple[str, ...], said: str, controlplane: Controlplane, world: World
) -> None:
    rows = pq.read_table(world.home / "data" / "reference.parquet")
    pq.write_table(rows.drop_columns(["label"]), world.home / "data" / "unlabelled.parquet")
    write_job(world, "unlabelled", reference="unlabelled")
    write_job(world, "hasty", late="late_labels: {wait: 30m}")
    write_job(world, "blank")
    job = (world.settings.jobs / "blank.yaml").read_text()
    kept = [line for line in job.partition("checks:")[0].splitlines(True) if "reference" not in line]
    (world.settings.jobs / "blank.yaml").write_text("".join(kept) + "checks:\n  - check: evasion\n")
    code, _, err = controlplane("drill", *argv)
    assert (code, err.count("\n"), "Traceback" in err) == (2, 1, False)
    assert said in err


def test_a_registry_that_is_away_is_one_sentence(
    controlplane: Controlplane, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONTROLPLANE_REGISTRY_URI", f"sqlite:///{world.home}/gone.db")
    code, _, err = controlplane("drill", "drift", "scorer")
    assert (code, "there is no registry at" in err) == (3, True)
