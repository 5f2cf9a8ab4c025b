"""`controlplane log show`, `compact` and `prune`."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest
from log_reading import files_in, put

from controlplane.cli.main import call
from controlplane.log.rows import request_of

NOW = dt.datetime.now(dt.UTC)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log of three hours: one forty days ago, and two files of one of yesterday."""
    folder = tmp_path / "log"
    days = (40, 1, 1)
    for place, ago in enumerate(days):
        at = (NOW - dt.timedelta(days=ago)).replace(minute=0)
        version, status = ("2", 500) if place == 2 else ("1", 200)
        put(folder, [request_of(version, {"x": [1, 2]}, [0, 1], f"r{place}", "champion", at, 0.1, status, "")])
    for path, first in zip(files_in(folder)[1:], (1, 2), strict=True):
        path.rename(path.parent / f"01J00000000000000000000000-{first:012d}-{first:012d}.parquet")
    return folder


def test_what_a_log_holds_is_shown(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (log / files_in(log)[0].parent / f"01J00000000000000000000009-{1:012d}-{1:012d}.parquet").write_bytes(b"broken")
    assert call("log", "show", str(log), "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["rows"], said["files"], said["hours"], said["streams"], said["mergeable"]) == (6, 4, 2, 3, 1)
    assert (said["versions"], said["statuses"]) == ({"1": 4, "2": 2}, {"200": 4, "500": 2})
    assert (said["dropped"], len(said["unreadable"])) == (0, 1)
    assert said["first"] < said["last"]
    assert call("log", "show", str(log)) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "6 rows, from " in shown
    assert "4 files of 3 streams in 2 hours" in shown
    assert "cannot be read" in shown


def test_small_files_are_merged_and_old_ones_removed(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("log", "compact", str(log)) == 0
    assert "2 files were merged" in capsys.readouterr().out
    assert call("log", "prune", str(log), "--older", "30d", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"removed": 1}
    assert len(files_in(log)) == 1
    assert call("log", "prune", str(log), "--older", "1h") == 0
    assert files_in(log) == []
    assert list(log.iterdir()) == []


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (("show", "nowhere"), 3, "no inference log at nowhere"),
        (("compact", "nowhere"), 3, "no inference log at nowhere"),
        (("show", "gopher://user:secret@host/log"), 2, "gopher"),
        (("prune", "nowhere", "--older", "soon"), 2, "'soon' is not a duration"),
        (("prune", "nowhere"), 2, "--older"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    argv: tuple[str, ...], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("log", *argv) == code
    err = capsys.readouterr().err
    assert said in err
    assert "secret" not in err
