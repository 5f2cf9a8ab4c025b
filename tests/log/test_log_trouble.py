"""What may happen to a log: its writer dies, its disk is full, slow or not there. Serving never notices, and every row
is written once or counted as gone."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from log_reading import adds_up, files_in, opened, rows_in, until, write

from controlplane.log import InferenceLog

FAULTY = '''
import os
import time
from fsspec.implementations.local import LocalFileSystem


class Faulty(LocalFileSystem):
    """A local folder behind another protocol that does what the file `mood` beside it says."""

    protocol = "faulty"

    def put_file(self, source, target, **kwargs):
        mood = os.environ["FAULTY_MOOD"]
        while os.path.exists(mood) and open(mood).read() == "stuck":
            time.sleep(0.01)
        if os.path.exists(mood) and open(mood).read() == "half":
            with open(source, "rb") as file, open(self._strip_protocol(target), "wb") as out:
                out.write(file.read()[:100])
            os.replace(mood, mood + ".was")
            raise ConnectionError("the line was cut: password=hunter2")
        super().put_file(source, target, **kwargs)
'''


@pytest.fixture
def mood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Says what a file system of the protocol `faulty` does: `stuck` or `half`; as all others do without it."""
    plugin = tmp_path / "plugin"
    (plugin / "faulty-1.dist-info").mkdir(parents=True)
    (plugin / "faulty.py").write_text(FAULTY)
    (plugin / "faulty-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: faulty\nVersion: 1\n")
    (plugin / "faulty-1.dist-info" / "entry_points.txt").write_text("[fsspec.specs]\nfaulty = faulty:Faulty\n")
    monkeypatch.setenv("PYTHONPATH", str(plugin))
    monkeypatch.setenv("FAULTY_MOOD", str(tmp_path / "mood"))
    monkeypatch.setattr("controlplane.log.inference.get_filesystem_class", lambda protocol: None)
    return tmp_path / "mood"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own that holds 1 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def kill(log: InferenceLog) -> None:
    """End the writer's process in the middle of whatever it does."""
    until(lambda: log.writer_pid)
    assert log.writer_pid is not None
    os.kill(log.writer_pid, signal.SIGKILL)


def test_every_row_is_written_once_however_often_the_writer_is_killed(tmp_path: Path) -> None:
    with opened(tmp_path, rotate_every=0.02) as log:
        sent = 0
        for life in range(3):
            until(lambda: log.writer_pid)
            end = time.monotonic() + 0.2 + 0.07 * life
            while time.monotonic() < end:
                write(log, sent)
                sent += 1
                time.sleep(0.001)
            kill(log)
    assert (log.counts.written, log.counts.lost, log.counts.dropped) == (sent, 0, 0)
    assert sorted(rows_in(tmp_path)["x"].to_pylist()) == list(range(sent))
    assert sorted(pd.read_parquet(tmp_path)["x"]) == list(range(sent))


def test_rows_of_two_hours_in_one_batch_are_written_once_though_sent_twice(tmp_path: Path, mood: Path) -> None:
    # The first of the two files is cut off half-way; the process ends before it can say so of either.
    mood.write_text("half")
    log = InferenceLog(f"faulty://{tmp_path}/log", rotate_every=0.05)
    noon = pd.Timestamp("2026-03-01T12:00Z").to_pydatetime()
    for number in range(40):
        hour = noon if number % 2 else noon - pd.Timedelta(hours=1).to_pytimedelta()
        write(log, number, event_time=hour)
    until(lambda: log.trouble)
    kill(log)
    log.close()
    assert log.counts.written == 40
    assert sorted(rows_in(tmp_path / "log")["x"].to_pylist()) == list(range(40))
    assert "hunter2" not in log.trouble


def test_a_full_disk_costs_counted_rows_and_nothing_else(small_disk: Path, caplog: pytest.LogCaptureFixture) -> None:
    hog = small_disk / "hog"
    hog.write_bytes(b"x" * (1 << 20))
    noise = np.random.default_rng(0)
    slowest = 0.0
    with caplog.at_level(logging.INFO), opened(small_disk / "log", memory=400_000) as log:
        for number in range(1500):
            begun = time.perf_counter()
            log.write(version="1", inputs={"x": [number], "noise": noise.random((1, 60))}, request_id=f"r{number}")
            slowest = max(slowest, time.perf_counter() - begun)
            if number % 20 == 0:
                time.sleep(0.005)
        until(lambda: "No space left" in log.trouble)
        assert log.counts.dropped > 0
        assert adds_up(log)
        hog.unlink()
        until(lambda: not log.counts.waiting)
        assert log.trouble == ""
        dropped = log.counts.dropped
        write(log, 10_000)
    assert log.counts.dropped == dropped
    assert log.counts.written == 1501 - dropped
    assert (log.counts.lost, len(rows_in(small_disk / "log"))) == (0, log.counts.written)
    told = [pq.read_schema(file).metadata for file in files_in(small_disk / "log")]
    assert sum(int(each[b"controlplane.dropped"]) for each in told) == dropped
    assert {(each[b"controlplane.rate"], each[b"controlplane.format"]) for each in told} == {(b"1.0", b"1")}
    assert [line.split(";")[0] for line in caplog.messages if "dropped" in line] == [
        "inference log: rows are being dropped",
        "inference log: no more rows are dropped",
    ]
    # The disk hangs for ever: whoever waited for it would do so too.
    assert slowest < 5


def test_what_is_not_on_disk_at_the_end_is_counted_as_lost(small_disk: Path) -> None:
    log = opened(small_disk / "log")
    write(log, *range(100))
    until(lambda: log.counts.written == 100)
    hog = small_disk / "hog"
    with open(hog, "wb", buffering=0) as file:
        while True:
            try:
                file.write(b"x" * 4096)
            except OSError:
                break
    write(log, *range(100, 150))
    log.close(timeout=0.5)
    assert (log.counts.written, log.counts.lost) == (100, 50)
    write(log, 7)
    assert (log.counts.taken, log.counts.dropped, log.counts.waiting) == (151, 1, 0)
    hog.unlink()
    assert sorted(rows_in(small_disk / "log")["x"].to_pylist()) == list(range(100))


def test_a_folder_that_cannot_be_made_is_said_and_tried_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    # Root may write to any folder, so that a file stands where the folder should.
    place = tmp_path / "log"
    place.write_text("in the way")
    with caplog.at_level(logging.WARNING), opened(place) as log:
        write(log, *range(10))
        until(lambda: log.trouble)
        assert "NotADirectoryError" in log.trouble or "FileExistsError" in log.trouble
        place.unlink()
        until(lambda: log.counts.written == 10)
    assert len([line for line in caplog.messages if "nothing can be written" in line]) == 1


def test_a_folder_that_may_not_be_written_to_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        log = opened(folder)
        write(log, *range(10))
        until(lambda: log.trouble)
        assert "Read-only file system" in log.trouble
        log.close(timeout=0.3)
        assert (log.counts.taken, log.counts.lost) == (10, 10)
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def test_a_disk_that_hangs_holds_nobody_up(tmp_path: Path, mood: Path) -> None:
    mood.write_text("stuck")
    log = InferenceLog(f"faulty://{tmp_path}/log", rotate_every=0.05, memory=300_000)
    slowest, number = 0.0, 0
    while not log.counts.dropped:
        begun = time.perf_counter()
        write(log, number, inputs=np.zeros((1, 500)))
        slowest, number = max(slowest, time.perf_counter() - begun), number + 1
        if number % 20 == 0:
            time.sleep(0.005)
    # The disk hangs for ever: whoever waited for it would do so too.
    assert slowest < 5
    assert adds_up(log)
    mood.unlink()
    until(lambda: log.counts.waiting == 0)
    log.close()
    assert log.counts.written == number - log.counts.dropped == len(rows_in(tmp_path / "log"))


def test_closing_waits_for_a_hanging_disk_no_longer_than_it_is_told(tmp_path: Path, mood: Path) -> None:
    mood.write_text("stuck")
    log = InferenceLog(f"faulty://{tmp_path}/log", rotate_every=0.05)
    write(log, *range(10))
    until(lambda: log.writer_pid)
    pid, begun = log.writer_pid, time.monotonic()
    log.close(timeout=0.5)
    assert time.monotonic() - begun < 6
    assert (log.counts.lost, log.counts.written) == (10, 0)
    assert pid is not None
    assert not Path(f"/proc/{pid}").exists()


def test_a_stopped_writer_fills_memory_and_no_more(tmp_path: Path) -> None:
    log = opened(tmp_path, memory=2_000_000)
    until(lambda: log.writer_pid)
    pid = log.writer_pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    number = 0
    while not log.counts.dropped:
        write(log, number, inputs=np.zeros((1, 2000)))
        number += 1
        if number % 20 == 0:
            time.sleep(0.005)
    assert adds_up(log)
    os.kill(pid, signal.SIGCONT)
    log.close()
    assert log.counts.written == number - log.counts.dropped == len(rows_in(tmp_path))


def test_many_threads_write_at_once(tmp_path: Path) -> None:
    with opened(tmp_path) as log:

        def serve(thread: int) -> None:
            for number in range(300):
                write(log, 1000 * thread + number)

        threads = [threading.Thread(target=serve, args=(thread,)) for thread in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert log.counts.taken == log.counts.written == 2400
    assert sorted(rows_in(tmp_path)["x"].to_pylist()) == sorted(1000 * t + n for t in range(8) for n in range(300))


SERVER = """
import os, signal, sys, time
from controlplane.log import InferenceLog
log = InferenceLog(sys.argv[1], rotate_every=3600)
for number in range(50):
    log.write(version="1", inputs={"x": [number]}, request_id=str(number))
while not log._feeder.ledger.unwritten():
    time.sleep(0.01)
time.sleep(0.3)
print(log.writer_pid, flush=True)
if sys.argv[2] == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("how", ["killed", "forgets to close"])
def test_the_writer_ends_with_its_server_and_writes_what_it_was_given(tmp_path: Path, how: str) -> None:
    done = subprocess.run([sys.executable, "-c", SERVER, tmp_path / "log", how], capture_output=True, text=True)
    pid = int(done.stdout)
    until(lambda: not Path(f"/proc/{pid}").exists() or "(python) Z" in Path(f"/proc/{pid}/stat").read_text())
    assert sorted(rows_in(tmp_path / "log")["x"].to_pylist()) == list(range(50))


def test_signals_meant_for_the_server_do_not_end_the_writer(tmp_path: Path) -> None:
    with opened(tmp_path, rotate_every=3600) as log:
        write(log, *range(5))
        until(lambda: log.writer_pid)
        pid = log.writer_pid
        assert pid is not None
        until(lambda: "SigIgn:\t0000000000000000" not in Path(f"/proc/{pid}/status").read_text())
        time.sleep(0.5)
        for each in (signal.SIGTERM, signal.SIGINT):
            os.kill(pid, each)
        write(log, *range(5, 10))
    assert (log.counts.written, log.writer_pid) == (10, None)
    shutil.rmtree(tmp_path)
