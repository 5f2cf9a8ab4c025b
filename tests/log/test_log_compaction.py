"""Hours that are over become one file, and what is old goes; whoever reads meanwhile sees every row once."""

from __future__ import annotations

import datetime as dt
import os
import signal
import subprocess
import sys
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from log_reading import files_in, put, rows_in

from controlplane.domain.monitor import Columns, Window
from controlplane.log.compaction import compact, prune
from controlplane.log.folder import KEPT, Folder
from controlplane.log.frames import BATCH, Frame
from controlplane.log.layout import file_name, folder_name, visible
from controlplane.log.making import Maker
from controlplane.log.parts import body_of
from controlplane.log.rows import Redaction, request_of
from controlplane.log.writer import Tidy, Writer
from controlplane.sources.log import Log

NOON = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
STREAM = "01J00000000000000000000000"
SETTINGS = {"stream": STREAM, "rate": 1.0, "rotate_every": 0, "rotate_bytes": 1 << 20, "resumed": False, "retain": None}


def a_log(folder: Path | str, hours: int = 3, files: int = 4, stream: str = STREAM, dropped: int = 0) -> None:
    """So many files of ten rows an hour, from noon on; `x` counts the rows."""
    maker = Maker(1.0, Redaction(), lambda rows: None, lambda rows: None, lambda said: None)
    told: list[object] = []
    writer = Writer(Folder(str(folder)), {**SETTINGS, "stream": stream}, told.append)
    for file in range(hours * files):
        at = NOON + file // files * HOUR
        requests = [
            request_of("1", {"x": [10 * file + row]}, [row], f"r{10 * file + row}", "champion", at, None, 200, "")
            for row in range(10)
        ]
        [batch] = maker.batches(requests)
        writer.take(Frame(BATCH, file + 1, dropped, body_of(batch)))
        writer.write_due()
    assert writer.empty, told


def numbers(folder: Path | str, window: Window | None = None) -> list[int]:
    found = rows_in(folder, window)
    return sorted(found["x"].to_pylist()) if len(found) else []


def test_an_hour_that_is_over_becomes_one_file(tmp_path: Path) -> None:
    a_log(tmp_path, dropped=2)
    assert compact(Folder(str(tmp_path)), NOON + 2.5 * HOUR) == 8
    names = [path.name for path in files_in(tmp_path)]
    assert names[:2] == [file_name(STREAM, 1, 4), file_name(STREAM, 5, 8)]
    assert len(names) == 6
    assert numbers(tmp_path) == list(range(120))
    assert pq.read_table(files_in(tmp_path)[0])["x"].to_pylist() == list(range(40))
    assert pq.read_schema(files_in(tmp_path)[0]).metadata[b"controlplane.dropped"] == b"8"
    assert compact(Folder(str(tmp_path)), NOON + 2.5 * HOUR) == 0


def test_each_stream_keeps_its_own_file(tmp_path: Path) -> None:
    a_log(tmp_path, hours=1)
    a_log(tmp_path, hours=1, stream="01J00000000000000000000001")
    compact(Folder(str(tmp_path)), NOON + 2 * HOUR)
    assert len(files_in(tmp_path)) == 2
    assert numbers(tmp_path) == sorted([*range(40), *range(40)])


def test_a_writer_merges_its_own_stream_alone(tmp_path: Path) -> None:
    a_log(tmp_path, hours=1)
    a_log(tmp_path, hours=1, stream="01J00000000000000000000001")
    tidy = Tidy(Folder(str(tmp_path)), SETTINGS, lambda said: pytest.fail(str(said)))
    for now in (NOON + HOUR, NOON + HOUR - dt.timedelta(minutes=20), NOON + HOUR + dt.timedelta(minutes=2)):
        # The second look is one of a clock that went back.
        tidy.begin(now)
        assert tidy._thread is not None
        tidy._thread.join()
    assert len(files_in(tmp_path)) == 5


def test_a_crash_between_merging_and_removing_shows_every_row_once(tmp_path: Path) -> None:
    a_log(tmp_path, hours=1)
    script = (
        "import os, signal, sys, datetime as dt\n"
        "from controlplane.log.folder import Folder\n"
        "from controlplane.log.compaction import compact\n"
        "class Dies(Folder):\n"
        "    left = 1\n"
        "    def retire(self, file):\n"
        "        if not self.left: os.kill(os.getpid(), signal.SIGKILL)\n"
        "        self.left -= 1\n"
        "        super().retire(file)\n"
        "compact(Dies(sys.argv[1]), dt.datetime.fromisoformat(sys.argv[2]))\n"
    )
    done = subprocess.run([sys.executable, "-c", script, tmp_path, (NOON + 2 * HOUR).isoformat()])
    assert done.returncode == -signal.SIGKILL
    assert len(files_in(tmp_path)) == 4
    assert numbers(tmp_path) == list(range(40))
    assert compact(Folder(str(tmp_path)), NOON + 2 * HOUR) == 3
    assert [path.name for path in files_in(tmp_path)] == [file_name(STREAM, 1, 4)]
    assert numbers(tmp_path) == list(range(40))


def test_a_reader_that_began_before_the_merging_reads_on(tmp_path: Path) -> None:
    a_log(tmp_path)
    source = Log(Log.Params(str(tmp_path)), Columns("event_time"))
    batches = source.fetch(None)
    found = next(batches).column("x").to_pylist()
    compact(Folder(str(tmp_path)), NOON + 5 * HOUR)
    for batch in batches:
        found += batch.column("x").to_pylist()
    assert sorted(found) == list(range(120))


def test_what_was_merged_is_removed_once_nobody_can_be_reading_it(tmp_path: Path) -> None:
    a_log(tmp_path, hours=1)
    folder, now = Folder(str(tmp_path)), dt.datetime.now(dt.UTC)
    compact(folder, now)
    aside = list(tmp_path.rglob(".*.old"))
    assert len(aside) == 4
    compact(folder, now)
    assert list(tmp_path.rglob(".*.old")) == aside
    compact(folder, now + KEPT + dt.timedelta(minutes=1))
    assert list(tmp_path.rglob(".*.old")) == []
    assert numbers(tmp_path) == list(range(40))


def test_rows_that_came_after_the_merging_are_merged_with_the_next(tmp_path: Path) -> None:
    a_log(tmp_path, hours=1)
    compact(Folder(str(tmp_path)), NOON + 2 * HOUR)
    late = pq.read_table(files_in(tmp_path)[0]).slice(0, 1)
    late = late.set_column(late.column_names.index("x"), "x", pa.array([99.5]))
    pq.write_table(late, files_in(tmp_path)[0].parent / file_name(STREAM, 7, 7))
    compact(Folder(str(tmp_path)), NOON + 2 * HOUR)
    assert [path.name for path in files_in(tmp_path)] == [file_name(STREAM, 1, 7)]
    assert numbers(tmp_path) == [*range(40), 99.5]


def test_a_column_of_two_types_is_merged_as_text(tmp_path: Path) -> None:
    big = (1, 2**63)
    for place, value in enumerate([*big, "a", [1]]):
        put(tmp_path, [request_of("1", {"x": [value]}, None, f"r{place}", "champion", NOON, None, 200, "")])
    for place, path in enumerate(files_in(tmp_path), 1):
        path.rename(path.parent / file_name(STREAM, place, place))
    compact(Folder(str(tmp_path)), NOON + 2 * HOUR)
    assert sorted(rows_in(tmp_path)["x"].to_pylist()) == ["1", str(2**63), "[1]", "a"]


def test_old_hours_go_and_what_is_not_ours_stays(tmp_path: Path) -> None:
    a_log(tmp_path)
    stranger = tmp_path / folder_name(NOON) / "part-0.parquet"
    stranger.write_bytes(b"mine")
    elsewhere = tmp_path / "date=2020-01-01" / "notes"
    elsewhere.mkdir(parents=True)
    (elsewhere / file_name(STREAM, 1, 1)).write_bytes(b"mine")
    assert prune(Folder(str(tmp_path)), NOON + 2 * HOUR) == 8
    assert stranger.exists()
    assert len(list(elsewhere.iterdir())) == 1
    assert not (tmp_path / folder_name(NOON + HOUR)).exists()
    window = Window(NOON + 2 * HOUR, NOON + 3 * HOUR)
    assert numbers(tmp_path, window) == list(range(80, 120))


def test_the_writer_removes_what_is_older_than_the_log_keeps(tmp_path: Path) -> None:
    a_log(tmp_path)
    tidy = Tidy(Folder(str(tmp_path)), {**SETTINGS, "retain": 3600}, lambda said: pytest.fail(str(said)))
    tidy.begin(NOON + 2.1 * HOUR)
    assert tidy._thread is not None
    tidy._thread.join()
    assert numbers(tmp_path) == list(range(40, 120))


def test_a_log_behind_a_url_is_merged_and_pruned_alike() -> None:
    url = "memory://a-log-to-merge"
    a_log(url)
    folder = Folder(url)
    assert compact(folder, NOON + 9 * HOUR) == 12
    assert numbers(url) == list(range(120))
    assert [len(visible(folder.files(hour))) for hour in folder.hours()] == [1, 1, 1]
    assert prune(folder, NOON + HOUR) == 1
    assert numbers(url) == list(range(40, 120))
    fsspec.filesystem("memory").rm("/a-log-to-merge", recursive=True)


def test_a_file_that_is_cut_off_half_way_never_shows(tmp_path: Path) -> None:
    def fail(out: object) -> None:
        out.write(b"half")  # type: ignore[attr-defined]
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        Folder(str(tmp_path)).put(NOON, file_name(STREAM, 1, 1), fail)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert os.listdir(tmp_path / folder_name(NOON)) == []
