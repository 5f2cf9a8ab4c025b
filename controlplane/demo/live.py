"""A rollback under load, live: real programs, real rows, a real clock, and a bad version released in between.

What happens is decided by the data, the job file and the product; this file lets people ask, releases a version, and
writes down when what happened. No expected outcome stands here but what is waited for.
"""

from __future__ import annotations

import json
import re
import secrets
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection, HTTPException
from importlib import resources
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from controlplane.demo import folder as place
from controlplane.demo import insurance, load, release
from controlplane.demo.figures import Moments, broken, figures, read_answers
from controlplane.demo.live_telling import PAGE, PICTURE, tell
from controlplane.demo.programs import Program, Programs
from controlplane.demo.story import Call, ask
from controlplane.domain.monitor import Window, iso

if TYPE_CHECKING:
    from rich.console import Console

GOOD, BAD = "1", "2"
RATE = 100.0
MINUTE = timedelta(minutes=1)
DELAY = timedelta(seconds=2)
ROOM = timedelta(seconds=35)
"""How much of a window has to be left where something begins that it is to judge."""
AFTER = 6.0
"""Seconds for which people still ask when all is well again."""
_RUN = re.compile(r"INFO insurance (\S+) (PASS|WARN|INCONCLUSIVE|ERROR|FAIL): (.*)")
_ALERT = re.compile(r"INFO (\{.*\})$")


@dataclass(slots=True)
class Story:
    """What happened so far, told as it happens: seconds count from the first request."""

    console: Console
    begun: float = field(default_factory=time.time)
    lines: list[dict[str, Any]] = field(default_factory=list)
    runs: dict[str, str] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)

    def note(self, what: str, why: str, at: float | None = None) -> None:
        """Keep and show one line."""
        moment = time.time() if at is None else at
        told = {"at": iso(datetime.fromtimestamp(moment, UTC)), "seconds": moment - self.begun}
        self.lines.append(told | {"what": what, "why": why})
        self.console.print(f"{moment - self.begun:6.1f} s  {what}: {why}", markup=False, highlight=False)

    def hear(self, scheduler: Program) -> None:
        """Tell what the scheduler has said since: windows that it judged, and what it told people."""
        for line in scheduler.heard():
            if run := _RUN.search(line):
                window, outcome, why = run.groups()
                self.runs[window] = outcome
                start, end = (datetime.fromisoformat(each) for each in window.split("/"))
                self.note(f"window {start:%H:%M} to {end:%H:%M} {outcome}", why)
            elif alert := _ALERT.search(line):
                told = json.loads(alert[1])
                self.events.append(told["event"])
                when = datetime.fromisoformat(told["at"]).timestamp()
                self.note(f"{told['cause']} incident: {told['event'].replace('_', ' ')}", told["text"], when)


@dataclass(slots=True)
class Traffic:
    """The answers of late, as the people who ask write them down."""

    file: Path
    recent: deque[str] = field(default_factory=lambda: deque(maxlen=round(RATE)))
    _read: int = 0

    def versions(self) -> set[str]:
        """The versions that answered the last second's requests; empty before there were as many."""
        with self.file.open("rb") as file:
            file.seek(self._read)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._read += len(whole)
        self.recent.extend(json.loads(line)["version"] for line in whole.splitlines())
        return set(self.recent) if len(self.recent) == self.recent.maxlen else set()


def run_live(folder: Path, call: Call, console: Console) -> dict[str, Any]:
    """Live through a bad release in `folder`, show it on `console`, and measure it.

    `call` runs one public command in this process. Returns figures, timeline, incidents and rollbacks as plain values
    for JSON, and leaves demo-rollback.png and demo-rollback.html. Raises ConfigError for a folder that is not a demo's,
    ControlPlaneError where something ended or did not happen.
    """
    folder = folder.expanduser().absolute()
    place.prepare(folder)
    environment = place.settings(folder) | settings(folder)
    story = Story(console)
    with place.environment(environment):
        console.print("training two versions of insurance", markup=False)
        uri = lay_out(folder)
        release.promote(uri, insurance.NAME, GOOD)
        with Programs(folder / "home") as programs:
            when, window = live(folder, call, story, programs, uri)
        told = ask(call, "rollbacks", "list")["rollbacks"]
        actions = [ask(call, "rollbacks", "show", each["id"]) for each in reversed(told)]
        incidents = ask(call, "incidents", "list", "--all")["incidents"]
        holder = release.holder(uri, insurance.NAME)
        answers = read_answers((folder / "data" / "answers.jsonl").read_text("utf-8").splitlines())
        log = logged(folder / "data" / "log")
        found = figures(answers, Counter(log["request_id"].to_pylist()), GOOD, when)
        found["bad_window"] = {
            "version": BAD,
            "answered": pc.sum(pc.and_(pc.equal(log["model_version"], BAD), inside(log, window))).as_py(),
            "judged": max(replay["n"] for action in actions for replay in action["replays"]),
        }
        closed = max(datetime.fromisoformat(each["closed_at"]).timestamp() for each in incidents)
        tell(folder, console, answers, found, when, story.lines, closed)
    return {
        "figures": found,
        "broken": broken(found),
        "timeline": story.lines,
        "incidents": incidents,
        "actions": actions,
        "final_version": holder,
        "picture": str(folder / PICTURE),
        "page": str(folder / PAGE),
    }


def settings(folder: Path) -> dict[str, str]:
    """What the programs need beside the folder's own settings, and what of the user's they must not see."""
    made = folder / "home" / "tmp"
    made.mkdir()
    ours = {"CONTROLPLANE_SERVING_SECRET": secrets.token_hex(), "TMPDIR": str(made), "MPLCONFIGDIR": str(made)}
    theirs = ("WEBHOOK_LISTEN", "WEBHOOK_SECRET", "WORKERS", "LEASE_SECONDS")
    return ours | {f"CONTROLPLANE_{name}": "" for name in theirs}


def lay_out(folder: Path) -> str:
    """Train and register both versions, and write down the rows that people will ask about; the registry's URI."""
    uri = release.open_registry(folder)
    parts = insurance.split(insurance.people())
    columns = [*insurance.FEATURES, insurance.LABEL]
    pq.write_table(parts.reference.select(columns), folder / "data" / "insurance-reference.parquet")
    rows = parts.stream
    for version, trained_on in ((GOOD, parts.train), (BAD, insurance.narrow(parts.train))):
        model = insurance.fit(trained_on)
        release.register_insurance(model)
        answered: pa.Table = insurance.answer(model, parts.stream)
        rows = rows.append_column(f"answer_{version}", answered["prediction"])
    pq.write_table(rows, folder / "data" / "rows.parquet")
    load.make_outcomes(folder / "data" / "outcomes.db")
    return uri


def live(folder: Path, call: Call, story: Story, programs: Programs, uri: str) -> tuple[Moments, Window]:
    """The whole of it, from the server's start until every incident is closed: when what happened, the bad window."""
    server = programs.start(
        *("server", "controlplane", "serve", f"{insurance.NAME}@{release.ALIAS}", "--port", "0", "--workers", "2"),
        *("--every", "0.5", "--log", str(folder / "data" / "log"), "--log-rotate", "1", "--json"),
    )
    programs.until(lambda: server.out.read_bytes().endswith(b"\n"), 60, "the server's start")
    port = json.loads(server.out.read_text())["port"]
    programs.until(lambda: is_ready(port), 60, "the server's first version")
    starts = first_window(datetime.now(UTC))
    write_job(folder, port, starts)
    ask(call, "validate")
    ask(call, "reference", "build", insurance.NAME)

    people = start_load(folder, programs, port)
    traffic = Traffic(folder / "data" / "answers.jsonl")
    story.begun = time.time()
    scheduler = programs.start("scheduler", "controlplane", "scheduler", "--every", "1")
    story.note("traffic", f"{RATE:g} requests a second over {load.CONNECTIONS} connections, answered by version {GOOD}")

    def until(true: Callable[[], bool], seconds: float, what: str) -> None:
        def heard() -> bool:
            story.hear(scheduler)
            return true()

        programs.until(heard, seconds, what)

    def judged(window: datetime) -> bool:
        return f"{iso(window)}/{iso(window + MINUTE)}" in story.runs

    until(lambda: judged(starts), 180, "the first window's judgement")
    until(lambda: has_room(datetime.now(UTC)), 60, "the next minute")
    release.promote(uri, insurance.NAME, BAD)
    released = time.time()
    bad = datetime.fromtimestamp(released, UTC).replace(second=0, microsecond=0)
    story.note(f"version {BAD} released", "somebody gave it the alias and asked nobody", released)
    until(lambda: traffic.versions() == {BAD}, 30, f"the release of version {BAD}")
    story.note(f"version {BAD} answers everything", "the server followed the alias")
    until(lambda: judged(bad), 120, "the bad window's judgement")
    until(lambda: traffic.versions() == {GOOD}, 60, "the rollback")
    story.note(f"version {GOOD} answers everything", "as it did for the last second's requests")
    until(lambda: judged(bad + MINUTE), 120, "the next window's judgement")
    until(lambda: "rollback_verified" in story.events and "closed" in story.events, 90, "the incident's end")
    closed = time.monotonic()
    until(lambda: time.monotonic() > closed + AFTER, 60, "the end")
    programs.stop(people)
    story.hear(scheduler)
    story.note("traffic", "ends")
    ends = (bad + MINUTE).timestamp()
    moved = datetime.fromisoformat(ask(call, "rollbacks", "list")["rollbacks"][0]["moved_at"]).timestamp()
    return Moments(released, ends, ends + DELAY.total_seconds(), moved), Window(bad, bad + MINUTE)


def first_window(now: datetime) -> datetime:
    """When the first window starts: with this minute where enough of it is left to be asked in, else the next."""
    start = now.replace(second=0, microsecond=0)
    return start if has_room(now) else start + MINUTE


def has_room(now: datetime) -> bool:
    """Whether enough of this minute is left for its window to say something of what begins now."""
    return now.second <= MINUTE.seconds - ROOM.seconds


def write_job(folder: Path, port: int, starts: datetime) -> None:
    """The job file, and the one that all jobs share."""
    given = {"port": port, "starts": iso(starts), "outcomes": f"sqlite:///{folder / 'data' / 'outcomes.db'}"}
    text = resources.files("controlplane.demo").joinpath("live.yaml").read_text("utf-8")
    (folder / "jobs" / "insurance.yaml").write_text(Template(text).substitute(given), "utf-8")
    shared = resources.files("controlplane.jobs").joinpath("system.yaml").read_text("utf-8")
    (folder / "jobs" / "system.yaml").write_text(shared, "utf-8")


def start_load(folder: Path, programs: Programs, port: int) -> Program:
    """People begin to ask; their first requests are answered when this returns."""
    data = folder / "data"
    files = (str(data / name) for name in ("rows.parquet", "answers.jsonl", "outcomes.db"))
    people = programs.start("load", "controlplane.demo.load", str(port), *files, "--rate", f"{RATE:g}")
    answers = data / "answers.jsonl"
    programs.until(lambda: answers.exists() and answers.stat().st_size > 0, 60, "the first answer")
    return people


def is_ready(port: int) -> bool:
    """Whether the server on this machine answers with a version."""
    asked = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        asked.request("GET", "/readyz")
        return asked.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        asked.close()


def logged(folder: Path) -> pa.Table:
    """Every row of the inference log: its request, version and time."""
    columns = ["request_id", "model_version", "event_time"]
    return pa.concat_tables([pq.ParquetFile(file).read(columns) for file in folder.rglob("*.parquet")])


def inside(rows: pa.Table, window: Window) -> pa.ChunkedArray:
    """Which rows lie in the window."""
    start, end = (pa.scalar(moment, rows["event_time"].type) for moment in (window.start, window.end))
    return pc.and_(pc.greater_equal(rows["event_time"], start), pc.less(rows["event_time"], end))
