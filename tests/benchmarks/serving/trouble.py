"""10,000 requests while the log's disk is full, hangs, or the process that writes it is killed.

    python trouble.py [--quick] [--json PATH]

What is promised: every request is answered, and every row ends as exactly one of written (and really there), dropped or
lost. The server's own counts, read at its end, are held against the rows in the files.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table
from servers import family, make_registry, ours

HERE = Path(__file__).parent
RATE = 150


@contextmanager
def small_disk(place: Path) -> Iterator[Path]:
    """A file system that holds 256 KB; needs root."""
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def writers(pid: int) -> list[int]:
    """The processes that write the log."""
    return [each for each in family(pid) if b"controlplane.log.writer" in Path(f"/proc/{each}/cmdline").read_bytes()]


def kill(pid: int, over: threading.Event) -> None:
    """Kill the writer (-9), every second and a half."""
    while not over.wait(1.5):
        for each in writers(pid):
            os.kill(each, signal.SIGKILL)


def hold(pid: int, over: threading.Event) -> None:
    """Stop the writer for five seconds at a time, as a disk does that hangs."""
    while not over.wait(1.0):
        held = writers(pid)
        for each in held:
            os.kill(each, signal.SIGSTOP)
        over.wait(5.0)
        for each in held:
            os.kill(each, signal.SIGCONT)


def nothing(pid: int, over: threading.Event) -> None:
    """All is well."""
    over.wait()


def counts(port: int) -> dict[str, int]:
    """What the server says became of its rows."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    rows = [line for line in lines if line.startswith("controlplane_log_rows{")]
    return {line.split('"')[1]: int(float(line.split()[-1])) for line in rows}


def trial(
    uri: str, home: Path, log: Path, requests: int, trouble: Callable[[int, threading.Event], None]
) -> dict[str, float]:
    """One server in one kind of trouble."""
    out, over = home.with_suffix(".jsonl"), threading.Event()
    with ours(uri, home, "--log", str(log), "--log-rotate", "1") as (port, pid):
        harm = threading.Thread(target=trouble, args=(pid, over))
        harm.start()
        asking = [sys.executable, str(HERE / "load.py"), str(port), "--rate", str(RATE), "--out", str(out)]
        subprocess.run([*asking, "--seconds", str(requests / RATE), "--connections", "32"], check=True)
        over.set()
        harm.join()
        last = time.monotonic() + 20
        while (said := counts(port))["waiting"] and time.monotonic() < last:
            time.sleep(0.2)
    answers = [json.loads(line) for line in out.read_text().splitlines()]
    there = sum(pq.ParquetFile(file).metadata.num_rows for file in log.rglob("*.parquet") if file.name[0] != ".")
    took = [1000 * each for _, each, *_ in answers]
    unexplained = said["taken"] - said["written"] - said["dropped"] - said["lost"] - said["waiting"]
    return {
        "requests": len(answers),
        "failed": sum(status != 200 for _, _, status, *_ in answers),
        "p50 ms": float(np.percentile(took, 50)),
        "p99 ms": float(np.percentile(took, 99)),
        "rows taken": said["taken"],
        "written": said["written"],
        "dropped": said["dropped"],
        "waiting at the end": said["waiting"],
        "unexplained": unexplained,
        # What still waited when its counts were read may have been written at its end.
        "written and not there": max(0, said["written"] - there),
    }


def main() -> None:
    """Print the table, and write it where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    requests = 2_000 if given.quick else 10_000
    say = Console(width=None if sys.stdout.isatty() else 140)
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        uri = make_registry(folder)
        for name, trouble in (("all is well", nothing), ("writer killed", kill), ("disk hangs", hold)):
            where = folder / name.replace(" ", "-")
            found[name] = trial(uri, where, folder / f"{where.name}-log", requests, trouble)
        try:
            with small_disk(folder / "small") as disk:
                found["disk full"] = trial(uri, folder / "disk-full", disk / "log", requests, nothing)
        except (OSError, subprocess.CalledProcessError):
            say.print("disk full: skipped, only root can mount a small file system")
    table = Table(title=f"{requests} requests, {RATE} a second, one worker")
    for column in ("", *found):
        table.add_column(column)
    for what in found["all is well"]:
        table.add_row(what, *(f"{found[name][what]:.5g}" for name in found))
    say.print(table)
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
