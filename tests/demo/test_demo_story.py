"""The main job, end to end, as a user runs it: one command, its JSON, and the alias read with MLflow's own client."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from controlplane.demo import folder as place

pytest.importorskip("torch")


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """What `controlplane demo --json` says, in a folder where an earlier demo had been."""
    cwd, home, temporary = (tmp_path_factory.mktemp(name) for name in ("cwd", "home", "temporary"))
    place.prepare(cwd / "demo-output")
    (cwd / "demo-output" / "home" / "controlplane.db").write_text("what an earlier demo left")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("CONTROLPLANE", "MLFLOW"))}
    environment |= {"HOME": str(home), "TMPDIR": str(temporary), "CONTROLPLANE_HOME": str(cwd / "not-here")}
    command = [sys.executable, "-m", "controlplane", "demo", "--json"]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in cwd.iterdir()] == ["demo-output"]
    assert [list(folder.iterdir()) for folder in (home, temporary)] == [[], []]
    return json.loads(done.stdout), cwd / "demo-output"


def incidents(told: dict[str, Any]) -> list[tuple[str, str, str]]:
    return sorted((each["monitor"], each["cause"], each["state"]) for each in told["incidents"])


def actions(told: dict[str, Any], monitor: str) -> list[dict[str, Any]]:
    return [each for each in told["actions"] if each["rollback"]["monitor"] == monitor]


def test_every_bad_hour_is_one_incident_and_all_close_by_themselves(lived: tuple[dict[str, Any], Path]) -> None:
    assert incidents(lived[0]) == [
        ("digits", "evasion", "closed"),
        ("insurance", "drift", "closed"),
        ("insurance", "performance", "closed"),
    ]


def test_only_the_bad_hours_fail(lived: tuple[dict[str, Any], Path]) -> None:
    outcomes = {name: [] for name in ("insurance", "digits")}
    for run in lived[0]["runs"]:
        outcomes[run["monitor"]].append((run["outcome"], run["version"]))
    assert outcomes["insurance"] == [*[("PASS", "1")] * 4, ("FAIL", "1"), ("PASS", "1"), ("FAIL", "2"), ("PASS", "1")]
    assert outcomes["digits"] == [("PASS", "1"), ("PASS", "1"), ("FAIL", "2"), ("PASS", "1")]


def test_a_change_of_the_world_is_refused_and_a_worse_version_rolled_back(lived: tuple[dict[str, Any], Path]) -> None:
    refused, made = actions(lived[0], "insurance")
    assert (refused["rollback"]["state"], refused["rollback"]["code"]) == ("refused", "world_changed")
    assert made["rollback"]["state"] == "verified"
    (accuracy,) = [each for each in made["replays"] if each["measure"] == "accuracy"]
    assert accuracy["high"] < 0


def test_an_attackable_version_is_rolled_back_once_somebody_approved(lived: tuple[dict[str, Any], Path]) -> None:
    (made,) = actions(lived[0], "digits")
    assert (made["rollback"]["state"], made["rollback"]["approved_by"]) == ("verified", "demo")
    assert made["rollback"]["proposed_at"] < made["rollback"]["moved_at"]


def test_mlflow_itself_says_that_version_1_holds_both_aliases(lived: tuple[dict[str, Any], Path]) -> None:
    told, folder = lived
    script = (
        "import mlflow, sys; client = mlflow.MlflowClient(sys.argv[1], sys.argv[1]);"
        "print(*(client.get_model_version_by_alias(name, 'champion').version for name in ('insurance', 'digits')))"
    )
    uri = f"sqlite:///{folder / 'home' / 'mlflow.db'}"
    read = subprocess.run([sys.executable, "-c", script, uri], capture_output=True, text=True, check=True)
    assert read.stdout.split() == ["1", "1"] == list(told["final_versions"].values())


def test_each_move_came_soon_after_the_bad_rows(lived: tuple[dict[str, Any], Path]) -> None:
    moves = lived[0]["moves"]
    assert [(move["monitor"], move["from"], move["to"]) for move in moves] == [
        ("insurance", "2", "1"),
        ("digits", "2", "1"),
    ]
    assert all(0 < move["seconds"] < 30 for move in moves)


def test_the_report_and_the_timeline_are_there(lived: tuple[dict[str, Any], Path]) -> None:
    told, folder = lived
    assert Path(told["report"]) == folder / "report.html"
    assert "GOVERN" in (folder / "report.html").read_text().upper()
    whats = " ".join(line["what"] for line in told["timeline"])
    for event in ("opened", "rollback refused", "rollback made", "rollback proposed", "rollback approved", "closed"):
        assert event in whats
    assert told["dashboard"].endswith("controlplane dashboard")


def test_the_drift_left_a_report_for_its_readers(lived: tuple[dict[str, Any], Path]) -> None:
    assert [path.name for path in (lived[1] / "home" / "artifacts").rglob("*.html")] == ["drift.html"]


def test_a_folder_that_is_no_demos_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("")
    done = subprocess.run(
        [sys.executable, "-m", "controlplane", "demo", str(tmp_path)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert "holds files that no demo made" in done.stderr and "Traceback" not in done.stderr
