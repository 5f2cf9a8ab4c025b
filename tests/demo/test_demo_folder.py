"""The demo's folder: its own, emptied of its own things only."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from controlplane.config import load_jobs
from controlplane.demo import folder as place
from controlplane.errors import ConfigError


def test_a_new_folder_is_made_and_marked(tmp_path: Path) -> None:
    place.prepare(tmp_path / "a" / "demo")
    assert sorted(path.name for path in (tmp_path / "a" / "demo").iterdir()) == [place.MARKER, "data", "home", "jobs"]


def test_a_folder_with_files_of_somebody_else_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigError, match=r"holds files that no demo made; valid: an empty folder"):
        place.prepare(tmp_path)
    assert (tmp_path / "home" / "thesis.txt").read_text() == "years of work"


def test_a_file_in_the_way_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "demo").write_text("")
    with pytest.raises(ConfigError, match="is a file; valid:"):
        place.prepare(tmp_path / "demo")


def test_what_an_earlier_demo_left_goes_and_what_somebody_added_stays(tmp_path: Path) -> None:
    place.prepare(tmp_path)
    (tmp_path / "data" / "old.parquet").write_text("old")
    (tmp_path / "report.html").write_text("old")
    (tmp_path / "notes.txt").write_text("mine")
    place.prepare(tmp_path)
    assert list((tmp_path / "data").iterdir()) == []
    assert not (tmp_path / "report.html").exists()
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_link_in_the_folder_is_removed_and_what_it_leads_to_is_kept(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept.txt").write_text("kept")
    place.prepare(tmp_path / "demo")
    (tmp_path / "demo" / "data").rmdir()
    (tmp_path / "demo" / "data").symlink_to(outside)
    place.prepare(tmp_path / "demo")
    assert (outside / "kept.txt").read_text() == "kept"
    assert not (tmp_path / "demo" / "data").is_symlink()


def test_the_copied_jobs_are_valid_and_start_when_they_are_told(tmp_path: Path) -> None:
    place.prepare(tmp_path)
    moment = datetime(2026, 5, 1, 7, tzinfo=UTC)
    place.copy_jobs(tmp_path, {"insurance": moment, "digits": moment})
    jobs = load_jobs(tmp_path / "jobs")
    assert {monitor.name: monitor.schedule.starts for monitor in jobs.monitors} == {
        "insurance": moment,
        "digits": moment,
    }


def test_the_environment_is_put_back_even_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTROLPLANE_HOME", "before")
    monkeypatch.delenv("CONTROLPLANE_JOBS", raising=False)
    values = {"CONTROLPLANE_HOME": "during", "CONTROLPLANE_JOBS": "during"}
    with pytest.raises(RuntimeError), place.environment(values):
        assert {name: os.environ[name] for name in values} == values
        raise RuntimeError
    assert os.environ["CONTROLPLANE_HOME"] == "before"
    assert "CONTROLPLANE_JOBS" not in os.environ
