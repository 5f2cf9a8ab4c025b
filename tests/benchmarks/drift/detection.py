"""False pages on streams without drift, and how soon planted shifts are seen: ours beside its peers.

    python detection.py [--quick] [--json PATH] [--stream NAME] [--references N] [--detections N] [--processes N]

Every detector sees the same windows. Peers are measured at their own defaults, and again with one threshold tuned so
that on the same windows without drift they page no more often than ours did.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
from episodes import Drawing, Plan, Row, make, run
from peers_detect import DEFAULTS
from report import Delay, Rate, delay, plain, rate, show_delays, show_rates, standing
from rich.console import Console
from streams import STREAMS, Floats, Stream, available
from verify import child, peers_python, verify

QUICK = {"references": 6, "detections": 3}
DETECT_ON = ("hotel days", "car_loan days", "dependent days")
ADWIN = "ADWIN, daily means"
Found = dict[str, Delay]


def first_pages(pages: np.ndarray) -> list[int]:
    """Of each row the place of its first page, counted from 1; 0 where there is none."""
    return [int(row.argmax()) + 1 if row.any() else 0 for row in pages]


def tuned_threshold(scores: Floats, pages: int) -> float:
    """The least threshold that no more than this many scores lie above."""
    return float(np.sort(scores, axis=None)[-1 - min(pages, scores.size - 1)])


class Outcome:
    """One stream's drawings, turned into rates and delays."""

    def __init__(self, ours: str, drawings: list[Drawing], plan: Plan) -> None:
        self._plan, self._drawings = plan, drawings
        self._ours = ours
        pages = np.stack([drawing.ours for drawing in drawings])
        self.rates: dict[str, Rate] = {ours: rate(pages, plan.budget_windows)}
        self.tuned: dict[str, float] = {}
        self.own: dict[Row, Found] = {}
        self.equal: dict[Row, Found] = {}
        for row in self._rows():
            mine = delay([drawing.delays[row] for drawing in drawings if row in drawing.delays], plan.horizon)
            self.own[row], self.equal[row] = {ours: mine}, {ours: mine}
        for name, default in DEFAULTS.items():
            calm = np.stack([drawing.scores[name] for drawing in drawings])
            self.rates[name] = rate(calm > default, plan.budget_windows)
            self.tuned[name] = tuned_threshold(calm, int(pages.sum()))
            for row in self._rows():
                scores = np.stack([drawing.shifted[row][name] for drawing in drawings if row in drawing.shifted])
                self.own[row][name] = delay(first_pages(scores > default), plan.horizon)
                self.equal[row][name] = delay(first_pages(scores > self.tuned[name]), plan.horizon)
        if peers_python():
            self._adwin(int(pages.sum()))

    def _rows(self) -> list[Row]:
        return list(self._drawings[0].delays)

    def _adwin(self, target: int) -> None:
        """ADWIN starts afresh after each page, so it is run again for every series that a shift changes."""
        plan = self._plan
        planted = [
            (row, index, place, series)
            for index, drawing in enumerate(self._drawings)
            for row, changed in drawing.replaced.items()
            for place, series in changed.items()
        ]
        length = plan.reference_days + plan.onset + plan.horizon
        shifted = np.stack([series for *_, series in planted]) if planted else np.zeros((0, length))
        with tempfile.TemporaryDirectory() as folder:
            given, out = Path(folder) / "given.npz", Path(folder) / "out.npz"
            calm = np.stack([drawing.series for drawing in self._drawings])
            np.savez(given, calm=calm, start=plan.reference_days, target=target, shifted=shifted)
            child("adwin", given, out)
            with np.load(out) as told:
                found = {name: told[name] for name in told.files}
        self.rates[ADWIN] = rate(found["default"].any(axis=1), plan.budget_windows)
        self.tuned[ADWIN] = float(found["delta"])
        onset, first = slice(plan.onset, plan.onset + plan.horizon), plan.reference_days + plan.onset
        for name, rows in (("default", self.own), ("tuned", self.equal)):
            alarms: dict[tuple[Row, int], np.ndarray] = {}
            for (row, index, place, _), seen in zip(planted, found[f"shifted_{name}"], strict=True):
                at = (row, index)
                alarms.setdefault(at, found[name][index, :, onset].copy())[place] = seen[first:]
            for row, by_detector in rows.items():
                pages = np.stack([seen.any(axis=0) for (of, _), seen in alarms.items() if of == row])
                by_detector[ADWIN] = delay(first_pages(pages), plan.horizon)


def drawings(stream: Stream, detector: str, plan: Plan, processes: int) -> list[Drawing]:
    """All drawings of a stream, over the given number of processes."""
    detected = plan.detections if stream.name in DETECT_ON else 0
    jobs = [(stream.name, detector, plan, draw, draw < detected) for draw in range(plan.references)]
    if processes == 1:
        return [_job(job) for job in jobs]
    with multiprocessing.get_context("fork").Pool(processes) as pool:
        return list(pool.imap(_job, jobs, chunksize=1))


def _job(job: tuple[str, str, Plan, int, bool]) -> Drawing:
    name, *rest = job
    return run(STREAMS[name](), *rest)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few references: a look, not a measurement")
    parser.add_argument("--json", type=Path, help="also write everything here")
    parser.add_argument("--stream", action="append", choices=list(STREAMS), help="only this one; may be repeated")
    parser.add_argument("--references", type=int, help="drawings of the reference a stream (default 200)")
    parser.add_argument("--detections", type=int, help="drawings with planted shifts a stream (default 60)")
    parser.add_argument("--detector", default="ours:Ours", help="module:Class of the detector under test")
    parser.add_argument("--processes", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--no-verify", action="store_true", help="do not hold the peers' statistics to the peers")
    return parser.parse_args()


@dataclass
class Told:
    """What all streams gave, by stream or by row."""

    rates: dict[str, dict[str, Rate]] = field(default_factory=dict)
    tuned: dict[str, dict[str, float]] = field(default_factory=dict)
    own: dict[str, Found] = field(default_factory=dict)
    equal: dict[str, Found] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def add(self, stream: str, outcome: Outcome, seconds: float) -> None:
        """Take in one stream."""
        self.rates[stream], self.tuned[stream], self.seconds[stream] = outcome.rates, outcome.tuned, seconds
        for rows, found in ((self.own, outcome.own), (self.equal, outcome.equal)):
            rows |= {f"{stream}: {kind}, {size}": by_detector for (kind, size), by_detector in found.items()}

    def show(self, ours: str, plan: Plan, say: Console) -> None:
        """Both tables and the standing."""
        show_rates(self.rates, ours, plan.budget_windows, say)
        if self.equal:
            legend = f"median · mean · missed in {plan.horizon} windows"
            show_delays(f"Windows until a planted shift pages, each at its own defaults ({legend})", self.own, say)
            show_delays(f"The same, each tuned to page as often as {ours} without drift ({legend})", self.equal, say)
            least, behind = standing(self.equal, ours)
            say.print(f"At equal false pages the mean delay of {ours} is the shortest, or level with it, on", end=" ")
            say.print(f"{least} of {len(self.equal)} rows.")
            for line in behind:
                say.print(f"  not on {line}")

    def plain(self, ours: str, plan: Plan) -> dict[str, object]:
        """Everything, as `json` can write it."""
        least, behind = standing(self.equal, ours)
        return {
            "plan": asdict(plan),
            "false_pages": plain(self.rates),
            "delays_at_defaults": plain(self.own),
            "delays_at_equal_false_pages": plain(self.equal),
            "tuned_thresholds": self.tuned,
            "shortest": {"rows": least, "of": len(self.equal), "not": behind},
            "seconds": self.seconds,
        }


def main() -> None:
    """Print both tables and the standing, and write them where asked."""
    given = arguments()
    say = Console(width=None if sys.stdout.isatty() else 200)
    sizes = dict(QUICK) if given.quick else {}
    sizes |= {name: getattr(given, name) for name in ("references", "detections") if getattr(given, name) is not None}
    plan = replace(Plan(), **sizes)
    streams, skipped = available()
    for line in skipped:
        say.print(line)
    if not peers_python():
        say.print("ADWIN and NannyML's own answers: skipped, there is no .venv-peers (make bench-drift makes it)")
    told, ours = Told(), make(given.detector).name
    for name, stream in streams.items():
        if not given.stream or name in given.stream:
            started = time.perf_counter()
            outcome = Outcome(ours, drawings(stream, given.detector, plan, given.processes), plan)
            told.add(name, outcome, time.perf_counter() - started)
            say.print(f"{name}: {plan.references} references x {plan.windows} windows, {told.seconds[name]:.0f} s")
    if not told.rates:
        say.print("nothing was measured: none of the streams asked for can be drawn here")
        return
    told.show(ours, plan, say)
    verified = [] if given.quick or given.no_verify else verify(next(iter(streams.values())))
    for line in verified:
        say.print(line)
    if given.json:
        everything = {**told.plain(ours, plan), "peers_verified": verified}
        given.json.write_text(json.dumps(everything, indent=2) + "\n")


if __name__ == "__main__":
    main()
