"""The command line on a small installation: what each command says, and the exit code it leaves with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from world import HOUR, T0, World

from controlplane.cli.main import call
from controlplane.store import Store
from controlplane.store.rows import Row
from controlplane.store.tables import RunRow, SilenceRow
from controlplane.store.tables_acts import IntentRow

TABLES = Row.metadata.sorted_tables
Said = tuple[int, str, str]
Controlplane = Callable[..., Said]


@pytest.fixture
def world(make_world: Callable[..., World], monkeypatch: pytest.MonkeyPatch) -> World:
    """A world whose environment this process has; its windows are long past, so that the next one is due.

    No command has made its database yet.
    """
    made = make_world(reaction="propose")
    (made.settings.home / "controlplane.db").unlink()
    for name, value in made.environment().items():
        monkeypatch.setenv(name, value)
    return made


@pytest.fixture
def controlplane(capsys: pytest.CaptureFixture[str]) -> Controlplane:
    """Runs one command line: exit code, standard output, standard error."""

    def run(*argv: str) -> Said:
        capsys.readouterr()
        code = call(*argv)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def told(said: Said) -> Any:
    """The JSON object a command printed."""
    return json.loads(said[1])


def counts(world: World) -> dict[str, int]:
    """How many rows each of our tables holds."""
    store = Store(world.settings.database)
    with store.begin() as session:
        found = {table.name: session.scalar(select(func.count()).select_from(table)) for table in TABLES}
    store.close()
    return found


def rows(world: World, table: type) -> list[Any]:
    store = Store(world.settings.database)
    with store.begin() as session:
        found = session.query(table).all()
    store.close()
    return found


def test_a_regression_is_run_shown_approved_and_told_in_history_and_report(
    world: World, controlplane: Controlplane
) -> None:
    world.publish(0, "1")
    said = controlplane("run", "scorer", "--json")
    assert (said[0], told(said)["run"]["outcome"], told(said)["run"]["version"]) == (0, "PASS", "1")
    assert told(said)["incidents"] == []

    world.release("2")
    world.publish(1, "2")
    code, out, _ = controlplane("run", "scorer")
    assert code == 1
    assert "FAIL performance: accuracy" in " ".join(out.split())
    assert "rollback" in out and "proposed" in out

    (incident,) = told(controlplane("incidents", "list", "--json"))["incidents"]
    assert (incident["cause"], incident["state"]) == ("performance", "open")
    said = controlplane("incidents", "ack", incident["id"][:12], "--by", "ann", "--json")
    assert (said[0], told(said)["intent"]["result"]) == (0, "acknowledged by ann")
    assert controlplane("incidents", "silence", incident["id"], "--hours", "1", "--by", "ann", "--why", "known")[0] == 0
    shown = told(controlplane("incidents", "show", incident["id"], "--json"))
    assert shown["incident"]["acknowledged_by"] == "ann"
    assert [change["event"] for change in shown["transitions"]] == ["opened", "rollback_proposed", "acknowledged"]
    assert "ann" in controlplane("incidents", "show", incident["id"])[1]
    assert [silence.why for silence in rows(world, SilenceRow)] == ["known"]

    (rollback,) = told(controlplane("rollbacks", "list", "--json"))["rollbacks"]
    assert (rollback["state"], rollback["to_version"]) == ("proposed", "1")
    assert world.champion() == "2"
    code, out, _ = controlplane("rollbacks", "approve", rollback["id"], "--by", "ann", "--why", "agreed")
    assert (code, out) == (0, "approved by ann: agreed\n")
    assert world.champion() == "1"
    proof = told(controlplane("rollbacks", "show", rollback["id"], "--json"))
    assert proof["rollback"]["state"] == "moved"
    assert proof["replays"][0]["candidate"] > proof["replays"][0]["current"]

    code, _, err = controlplane("rollbacks", "approve", rollback["id"], "--by", "bob")
    assert code == 2
    assert "is moved, it waits for nobody" in err
    assert [intent.state for intent in rows(world, IntentRow)] == ["applied", "applied", "applied", "refused"]

    world.publish(2, "1")
    assert controlplane("run", "scorer")[0] == 0
    assert told(controlplane("incidents", "list", "--json"))["incidents"] == []
    assert len(told(controlplane("incidents", "list", "--all", "--json"))["incidents"]) == 1
    held = told(controlplane("history", "scorer", "--json"))["history"]
    assert [holding["version"] for holding in held] == ["1", "2", "1"]
    assert "us" in controlplane("history", "scorer@champion")[1]

    report = told(controlplane("report", "rmf", "--format", "json"))
    assert len(report["rows"]) == 72
    assert report["incidents"]["closed"] == 1
    page = world.home / "made" / "report.html"
    assert controlplane("report", "rmf", "--out", str(page))[0] == 0
    assert page.read_text().startswith("<!doctype html>")


def test_a_rejected_rollback_moves_nothing(world: World, controlplane: Controlplane) -> None:
    world.publish(0, "1")
    controlplane("run", "scorer")
    world.release("2")
    world.publish(1, "2")
    controlplane("run", "scorer")
    (rollback,) = told(controlplane("rollbacks", "list", "--json"))["rollbacks"]
    said = controlplane("rollbacks", "reject", rollback["id"], "--by", "ann", "--why", "a test", "--json")
    assert said[0] == 0
    assert (told(said)["intent"]["state"], told(said)["intent"]["author"]) == ("applied", "ann")
    (rollback,) = told(controlplane("rollbacks", "list", "--json"))["rollbacks"]
    assert rollback["state"] == "rejected"
    assert "rejected by ann: a test" in rollback["why"]
    assert world.champion() == "2"


def test_a_dry_run_measures_and_stores_nothing(world: World, controlplane: Controlplane) -> None:
    world.publish(0, "1")
    assert controlplane("reference", "build", "scorer")[0] == 0
    before = counts(world)
    window = f"{T0.isoformat()}/{(T0 + HOUR).isoformat()}"
    for options in (["--window", window], []):
        said = controlplane("run", "scorer", *options, "--dry-run", "--json")
        assert (said[0], told(said)["verdict"]["outcome"]) == (0, "PASS")
        assert set(told(said)) == {"verdict", "findings"}
    assert "PASS" in controlplane("run", "scorer", "--dry-run")[1]
    assert counts(world) == before


def test_a_manual_run_has_no_consequences_and_is_a_new_revision_each_time(
    world: World, controlplane: Controlplane
) -> None:
    world.release("2")
    world.publish(0, "2")
    window = f"{T0.isoformat()}/{(T0 + HOUR).isoformat()}"
    assert [controlplane("run", "scorer", "--window", window)[0] for _ in range(2)] == [1, 1]
    assert [(run.kind, run.revision) for run in rows(world, RunRow)] == [("manual", 0), ("manual", 1)]
    assert told(controlplane("incidents", "list", "--all", "--json"))["incidents"] == []
    assert told(controlplane("rollbacks", "list", "--json"))["rollbacks"] == []


def test_with_nothing_due_it_says_when_the_next_window_is(world: World, controlplane: Controlplane) -> None:
    job = world.home / "jobs" / "scorer.yaml"
    job.write_text(job.read_text().replace("2026-03-01T00:00:00Z", "2100-01-01T00:00:00Z"))
    code, out, _ = controlplane("run", "scorer")
    assert code == 0
    assert out == "nothing is due for scorer; the next window is due at 2100-01-01T01:00:00Z\n"
    assert told(controlplane("run", "scorer", "--json"))["next_due"] == "2100-01-01T01:00:00Z"


def test_validate_schema_and_db_answer_for_people_and_machines(world: World, controlplane: Controlplane) -> None:
    assert told(controlplane("validate", "--json"))["monitors"][0]["name"] == "scorer"
    assert "scorer@champion" in controlplane("validate")[1]
    assert told(controlplane("schema"))["$schema"].startswith("https://json-schema.org/")
    code, _, err = controlplane("db", "status")
    assert code == 3
    assert "controlplane.db" in err
    assert (
        told(controlplane("db", "upgrade", "--json"))["revision"]
        == told(controlplane("db", "status", "--json"))["needed"]
    )


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (["run", "scorr"], 2, "unknown monitor 'scorr'; did you mean 'scorer'?"),
        (["run", "scorer", "--window", "yesterday"], 2, "a window is written START/END in ISO 8601, not 'yesterday'"),
        (["run", "scorer", "--window", "2026-01-01T00:00/2026-01-01T01:00"], 2, "a window needs a zone"),
        (["run", "scorer", "--window", "2026-01-02T00:00Z/2026-01-01T00:00Z"], 2, "must end after it starts"),
        (["incidents", "show", "01ABC"], 2, "there is no incident '01ABC'"),
        (["incidents", "ack", "01ABC"], 2, "there is no incident '01ABC'"),
        (["rollbacks", "approve", "01ABC"], 2, "there is no rollback '01ABC'"),
        (["history", "nobody"], 3, "there is no database"),
        (["report", "rmf", "--out", "/proc/none/report.html"], 2, "cannot be written to /proc/none/report.html"),
        (["report", "rmf", "--format", "pdf"], 2, "'pdf' is not one of 'html', 'json'"),
        (["validate", "/nowhere"], 2, "no job folder at /nowhere"),
        (["reference", "build", "nobody"], 2, "unknown monitor 'nobody'; valid: scorer"),
        (["demo", "/etc"], 2, "/etc holds files that no demo made"),
        (["incidents", "silence", "01ABC", "--hours", "-1"], 2, "Invalid value for '--hours'"),
        (["incidents", "silence", "01ABC", "--hours", "nan"], 2, "Invalid value for '--hours'"),
        (["incidents", "silence", "01ABC", "--hours", "inf"], 2, "Invalid value for '--hours'"),
        (["scheduler", "--every", "inf"], 2, "Invalid value for '--every'"),
        (["up", "--every", "0"], 2, "Invalid value for '--every'"),
        (["report", "rmf", "--days", "99999999"], 2, "Invalid value for '--days'"),
        (["report", "rmf", "--out", "/proc"], 2, "cannot be written to /proc: Is a directory"),
        (["run", "scorer", "--window", "today/tomorrow"], 2, "written START/END in ISO 8601, not 'today/tomorrow'"),
        (["run", "scorer", "--window", f"0001-01-01T00:00+14:00/{T0}"], 2, "within the years 1 to 9999"),
        (["run", "scorer", "--window", "9999-12-31T23:00-14:00/9999-12-31T23:30-14:00"], 2, "years 1 to 9999"),
        (["rollbacks", "show", "%"], 2, "there is no rollback '%'"),
        (["dashboard", "--port", "99999"], 2, "Invalid value for '--port'"),
        (["frobnicate"], 2, "No such command 'frobnicate'"),
        (["run"], 2, "Missing argument"),
    ],
)
def test_bad_usage_is_one_sentence_and_nothing_on_standard_output(
    world: World, controlplane: Controlplane, argv: list[str], code: int, said: str
) -> None:
    left, out, err = controlplane(*argv)
    assert (left, out) == (code, "")
    assert said in " ".join(err.split())
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["run", "scorr"], "unknown monitor 'scorr'; did you mean 'scorer'?"),
        (["run", "scorer", "--frob"], "No such option: --frob"),
        (["incidents", "ack", "01ABC"], "there is no incident '01ABC'; `controlplane incidents list` shows them"),
        (["rollbacks", "reject", "01ABC"], "there is no rollback '01ABC'; `controlplane rollbacks list` shows them"),
    ],
)
def test_an_error_is_an_object_too_where_machines_listen(
    world: World, controlplane: Controlplane, argv: list[str], said: str
) -> None:
    code, out, err = controlplane(*argv, "--json")
    assert code == 2
    assert json.loads(out) == {"error": said, "problems": []}
    assert said.partition(";")[0] in err


def test_a_beginning_that_several_ids_share_asks_for_more(world: World, controlplane: Controlplane) -> None:
    job = world.home / "jobs" / "scorer.yaml"
    (world.home / "jobs" / "other.yaml").write_text(job.read_text().replace("name: scorer\n", "name: other\n", 1))
    world.release("2")
    world.publish(0, "2")
    assert [controlplane("run", name)[0] for name in ("scorer", "other")] == [1, 1]
    ids = [incident["id"] for incident in told(controlplane("incidents", "list", "--json"))["incidents"]]
    assert ids[0][:4] == ids[1][:4]
    code, out, err = controlplane("incidents", "ack", ids[0][:4])
    assert (code, out) == (2, "")
    assert "2 incidents begin with" in err
    assert rows(world, IntentRow) == []


def test_who_decides_has_a_name_where_the_system_has_none(
    world: World, controlplane: Controlplane, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.release("2")
    world.publish(0, "2")
    assert controlplane("run", "scorer")[0] == 1
    (incident,) = told(controlplane("incidents", "list", "--json"))["incidents"]
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 987_654)
    assert controlplane("incidents", "ack", incident["id"])[:2] == (0, "acknowledged by uid 987654\n")


def test_every_mistake_of_a_job_file_is_listed_with_its_line(world: World, controlplane: Controlplane) -> None:
    job = world.home / "jobs" / "scorer.yaml"
    job.write_text(job.read_text().replace("owner:", "ownr:").replace("reaction: propose", "reaction: hope"))
    code, out, err = controlplane("validate")
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 2
    assert all(f"{job}:" in line for line in err.splitlines())
    assert controlplane("run", "scorer")[0] == 2
    assert len(json.loads(controlplane("validate", "--json")[1])["problems"]) == 2


@pytest.mark.parametrize(
    ("name", "value", "code", "said"),
    [
        ("CONTROLPLANE_WORKERS", "many", 2, "CONTROLPLANE_WORKERS is 'many'"),
        ("CONTROLPLANE_DATABASE_URL", "nosuch://x", 3, "the database cannot be 'nosuch'; valid: sqlite:///PATH"),
        ("CONTROLPLANE_DATABASE_URL", "postgresql+psycopg://ann:s3cret@127.0.0.1:9/x", 3, "ann:***@127.0.0.1"),
        ("CONTROLPLANE_DATABASE_URL", "nonsense", 3, "the database URL cannot be read; valid: sqlite:///PATH"),
        ("CONTROLPLANE_DATABASE_URL", "sqlite:////proc/none/x.db", 3, "the database sqlite:////proc/none/x.db"),
        ("CONTROLPLANE_JOBS", "/nowhere", 2, "no job folder at /nowhere"),
        ("CONTROLPLANE_HOME", "/dev/null", 2, "CONTROLPLANE_HOME is /dev/null, which cannot be a folder here"),
        ("CONTROLPLANE_LEASE_SECONDS", "0", 2, "CONTROLPLANE_LEASE_SECONDS"),
        ("CONTROLPLANE_WORKSPACE", "../x", 2, "CONTROLPLANE_WORKSPACE"),
    ],
)
def test_an_environment_that_cannot_be_used_is_one_sentence(
    world: World,
    controlplane: Controlplane,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: str,
    code: int,
    said: str,
) -> None:
    monkeypatch.setenv(name, value)
    left, out, err = controlplane("run", "scorer")
    assert (left, out) == (code, "")
    assert said in err
    assert "s3cret" not in err


def test_a_file_that_is_no_database_and_a_database_without_our_tables_are_told_apart(
    world: World, controlplane: Controlplane, monkeypatch: pytest.MonkeyPatch, empty_url: str
) -> None:
    monkeypatch.setenv("CONTROLPLANE_DATABASE_URL", empty_url)
    code, out, err = controlplane("db", "status", "--json")
    assert code == 3
    if err:
        assert "there is no database" in told((code, out, err))["error"]
    else:
        assert told((code, out, err))["revision"] is None
    assert controlplane("db", "upgrade")[0] == 0
    assert controlplane("db", "status")[0] == 0

    (world.home / "letter.db").write_text("Dear Sir or Madam, this is no database at all.")
    monkeypatch.setenv("CONTROLPLANE_DATABASE_URL", f"sqlite:///{world.home}/letter.db")
    for command in (["db", "status"], ["db", "upgrade"], ["incidents", "list"], ["run", "scorer"]):
        code, out, err = controlplane(*command)
        assert (code, out) == (3, "")
        assert "file is not a database" in err
        assert len(err.splitlines()) == 1


def test_a_report_says_which_job_files_it_had_to_leave_out(world: World, controlplane: Controlplane) -> None:
    (world.home / "jobs" / "broken.yaml").write_text("schema: 1\nmodel: nothing\n")
    code, out, err = controlplane("report", "rmf", "--format", "json")
    assert code == 0
    assert json.loads(out)["rows"]
    assert "left out: " in err and "broken.yaml:2" in err


def test_a_command_as_a_process_of_its_own_leaves_with_its_code(world: World) -> None:
    def start(*argv: str, **options: Any) -> Any:
        return subprocess.run([sys.executable, "-m", "controlplane", *argv], capture_output=True, text=True, **options)

    shown = start("--version")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.startswith("controlplane ")
    wrong = start("run", "scorr", "--json")
    assert wrong.returncode == 2
    assert json.loads(wrong.stdout)["error"].startswith("unknown monitor")
    assert "Traceback" not in wrong.stderr
    # Whoever read the other end of the pipe is gone before the first byte.
    reading, writing = os.pipe()
    os.close(reading)
    cut = subprocess.run(
        [sys.executable, "-m", "controlplane", "schema"], stdout=writing, stderr=subprocess.PIPE, text=True
    )
    os.close(writing)
    assert (cut.returncode, cut.stderr) == (1, "")


def test_the_dashboard_without_its_extra_says_what_to_install(
    world: World, controlplane: Controlplane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controlplane.cli.serve.find_spec", lambda name: None)
    code, _, err = controlplane("dashboard")
    assert code == 2
    assert "pip install 'controlplane[dashboard]'" in err


def test_a_report_that_cannot_be_written_leaves_nothing_behind(
    world: World, controlplane: Controlplane, tmp_path: Path
) -> None:
    folder = tmp_path / "full"
    folder.mkdir()
    (folder / "report.html").mkdir()
    assert controlplane("report", "rmf", "--out", str(folder / "report.html"))[0] == 2
    assert [path.name for path in folder.iterdir()] == ["report.html"]
