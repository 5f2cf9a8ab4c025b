"""How far estimates made without labels lie from the truth, beside NannyML's CBPE and the reference's own figure.

    python label_free.py [--quick] [--json PATH]

Real bookings in chunks of a week and of a day (every fifth), and car loans in chunks of 1,000 and of 5,000 rows, the
same chunks for all three; ROC AUC where a chunk holds both classes. Then chunks that are moved out of the reference:
two numeric columns by its whole range, or a category it never had, in 30, 50 and 100 % of the rows. NannyML runs in an
environment of its own: CONTROLPLANE_PEERS_PYTHON, or .venv-peers in the repository.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table
from scipy.stats import rankdata, t

from controlplane.checks.estimate import EstimatedPerformance, EstimateParams
from controlplane.domain.monitor import Columns, Window
from controlplane.errors import NotEnoughData
from controlplane.ports import Sample
from controlplane.profiles import Reference, build_reference

ROOT = Path(__file__).parents[3]
DATA = Path(os.environ.get("CONTROLPLANE_TEST_DATA", ROOT.parent / "shared" / "data"))
START = datetime(2026, 1, 1, tzinfo=UTC)
WINDOW = Window(START, START + timedelta(days=1))
METRICS = ("accuracy", "roc_auc")
COVERED, NEEDLESS, CAUGHT = 0.90, 0.10, 0.90
SHARES = (0.3, 0.5, 1.0)
SHIFTED_CHUNKS = 8


@dataclass(frozen=True)
class Data:
    """A reference, the rows that followed, and the columns that are moved in the second part."""

    name: str
    label: str
    numbers: tuple[str, str]
    category: str

    def read(self, part: str) -> pa.Table:
        """`reference` or `monitoring` rows in the order of time, with times as times."""
        rows = pq.read_table(DATA / f"{part}_{self.name}.parquet")
        rows = rows.drop_columns([name for name in ("Index", "__index_level_0__") if name in rows.column_names])
        seconds = pc.utf8_slice_codeunits(pc.cast(rows["timestamp"], pa.string()), 0, 19)
        form = "%Y-%m-%d" if len(seconds[0].as_py()) == 10 else "%Y-%m-%d %H:%M:%S"
        return rows.set_column(rows.column_names.index("timestamp"), "timestamp", pc.strptime(seconds, form, "us"))

    @property
    def columns(self) -> Columns:
        """Who is who."""
        return Columns("timestamp", prediction="y_pred", probability="y_pred_proba", label=self.label)


HOTEL = Data("hotel_booking", "is_canceled", ("lead_time", "adr"), "market_segment")
LOANS = Data("synthetic_car_loan", "repaid", ("car_value", "debt_to_income_ratio"), "salary_range")


def by_time(rows: pa.Table, unit: str, every: int) -> list[pa.Table]:
    """A chunk a unit of time, and only every so-manieth of them."""
    units = pc.floor_temporal(rows["timestamp"], unit=unit)
    return [rows.filter(pc.equal(units, one)) for one in pc.unique(units)[::every]]


def by_size(rows: pa.Table, size: int, every: int) -> list[pa.Table]:
    """Chunks of as many rows."""
    return [rows.slice(first, size) for first in range(0, len(rows) - size + 1, size * every)]


def truth(rows: pa.Table, label: str) -> dict[str, float]:
    """Accuracy, and ROC AUC or NaN."""
    labels, said, score = (rows[name].to_numpy() for name in (label, "y_pred", "y_pred_proba"))
    yes, no = int((labels == 1).sum()), int((labels == 0).sum())
    ranks = float(rankdata(score)[labels == 1].sum())
    auc = (ranks - yes * (yes + 1) / 2) / (yes * no) if yes and no else float("nan")
    return {"accuracy": float((labels == said).mean()), "roc_auc": auc}


def estimate(rows: pa.Table, data: Data, reference: Reference) -> dict[str, list[float]] | None:
    """Ours by metric: value, low, high; None where it abstains."""
    sample = Sample(WINDOW, rows.drop_columns([data.label]), data.columns, reference=reference)
    try:
        found = {one.name: one for one in EstimatedPerformance().measure(sample, EstimateParams())}
    except NotEnoughData:
        return None
    named = {metric: found.get(f"estimated_{metric}") for metric in METRICS}
    return {metric: [one.estimate, one.low, one.high] for metric, one in named.items() if one is not None}


def peer(reference: pa.Table, chunks: list[pa.Table], data: Data) -> dict[str, Any]:
    """NannyML's, by metric and chunk; nothing where it is not installed."""
    python = Path(os.environ.get("CONTROLPLANE_PEERS_PYTHON", ROOT / ".venv-peers/bin/python"))
    if not python.exists():
        return {}
    with TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("reference.parquet", "windows.parquet")]
        named = [one.append_column("chunk", pa.array([str(i)] * len(one))) for i, one in enumerate(chunks)]
        for path, rows in zip(paths, (reference, pa.concat_tables(named)), strict=True):
            pq.write_table(rows, path)
        program = str(Path(__file__).with_name("peers_label_free.py"))
        command = [str(python), "-W", "ignore", program, *map(str, paths), "timestamp", data.label]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def figures(true: np.ndarray, found: np.ndarray) -> dict[str, float]:
    """Mean absolute error and coverage of (value, low, high), over the chunks where all is known."""
    errors = np.abs(found[:, 0] - true)
    inside = (found[:, 1] <= true) & (true <= found[:, 2])
    return {"mae": float(errors.mean()), "coverage": float(inside.mean())}


def one_row(
    metric: str, truths: list[dict[str, float]], ours: list[Any], theirs: dict[str, Any], baseline: float
) -> dict[str, Any]:
    """All three on the chunks that ours answers, and where ours abstains though NannyML's interval holds the truth."""
    kept = [i for i, one in enumerate(ours) if one and metric in one and np.isfinite(truths[i][metric])]
    true = np.array([truths[i][metric] for i in kept])
    mine = np.array([ours[i][metric] for i in kept])
    row: dict[str, Any] = {
        "chunks": len(kept),
        "constant": float(np.abs(true - baseline).mean()),
        "ours": figures(true, mine),
    }
    if theirs:
        row["nannyml"] = figures(true, np.array([theirs[metric][str(i)] for i in kept]))
        gaps = np.abs(mine[:, 0] - true) - np.abs(np.array([theirs[metric][str(i)][0] for i in kept]) - true)
        half = float(t.ppf(0.975, len(gaps) - 1) * gaps.std(ddof=1) / np.sqrt(len(gaps)))
        row["more_than_nannyml"] = [float(gaps.mean()), float(gaps.mean()) - half, float(gaps.mean()) + half]
        fine = [
            i
            for i, one in enumerate(truths)
            if str(i) in theirs[metric] and theirs[metric][str(i)][1] <= one[metric] <= theirs[metric][str(i)][2]
        ]
        row["fine"], row["abstained"] = len(fine), sum(ours[i] is None for i in fine)
    return row


def shifted(chunks: list[pa.Table], reference: pa.Table, data: Data) -> Iterator[tuple[str, float, pa.Table]]:
    """Each chunk moved out of the reference: what was done, in which share of its rows, and the rows."""
    for index, rows in enumerate(chunks):
        for share in SHARES:
            moved = np.random.default_rng(index).random(len(rows)) < share
            out = rows
            for name in data.numbers:
                limits = pc.min_max(reference[name]).as_py()
                values = rows[name].to_numpy() + moved * (limits["max"] - limits["min"])
                out = out.set_column(out.column_names.index(name), name, pa.array(values))
            yield "numbers", share, out
            names = pc.if_else(pa.array(moved), "a name it never had", rows[data.category])
            yield "category", share, rows.set_column(rows.column_names.index(data.category), data.category, names)


def measure(quick: bool) -> dict[str, Any]:
    """Every figure of both parts."""
    part = 6 if quick else 1
    found: dict[str, Any] = {"rows": {}, "shifted": {}, "seconds": []}
    for data in (HOTEL, LOANS):
        before, after = data.read("reference"), data.read("monitoring")
        reference = build_reference(before.to_batches, data.columns, cap=100_000)
        if data is HOTEL:
            cuts = {"hotel, weeks": by_time(after, "week", part), "hotel, days": by_time(after, "day", 5 * part)}
        else:
            cuts = {f"car_loan, {size:,} rows": by_size(after, size, part) for size in (1000, 5000)}
        baseline = truth(before, data.label)
        for name, chunks in cuts.items():
            chunks = [rows for rows in chunks if len(rows) >= EstimateParams().min_rows]
            ours = []
            for rows in chunks:
                started = time.perf_counter()
                ours.append(estimate(rows, data, reference))
                found["seconds"].append(time.perf_counter() - started)
            truths, theirs = [truth(rows, data.label) for rows in chunks], peer(before, chunks, data)
            for metric in METRICS:
                found["rows"][f"{name}: {metric}"] = one_row(metric, truths, ours, theirs, baseline[metric])
        chunks = next(iter(cuts.values()))
        some = chunks[:: max(1, len(chunks) // SHIFTED_CHUNKS)][: 2 if quick else SHIFTED_CHUNKS]
        for what, share, rows in shifted(some, before, data):
            place = found["shifted"].setdefault(f"{data.name}: {what} moved in {share:.0%} of the rows", [0, 0])
            place[0] += estimate(rows, data, reference) is None
            place[1] += 1
    return found


def show(found: dict[str, Any], say: Console) -> None:
    """Promised beside measured."""
    table = Table(title="Mean absolute error, and in brackets how often the 95 % interval held the truth")
    for heading in ("", "chunks", "constant", "NannyML CBPE", "ours", "ours - NannyML (95 %)", "abstained"):
        table.add_column(heading, justify="right" if heading else "left")
    for name, row in found["rows"].items():
        both = (
            f"{row[who]['mae']:.5f} ({row[who]['coverage']:.0%})" if who in row else "" for who in ("nannyml", "ours")
        )
        cells = [name, str(row["chunks"]), f"{row['constant']:.5f}", *both]
        if "nannyml" in row:
            gap, low, high = row["more_than_nannyml"]
            cells += [f"{gap:+.5f} ({low:+.5f} to {high:+.5f})", f"{row['abstained']} of {row['fine']}"]
        table.add_row(*cells)
    say.print(table)
    table = Table(title="Abstained on chunks moved out of the reference")
    table.add_column("")
    table.add_column("abstained", justify="right")
    for name, (caught, all_) in found["shifted"].items():
        table.add_row(name, f"{caught} of {all_}")
    say.print(table)
    for line, well in promises(found).items():
        say.print(f"{'kept  ' if well else 'MISSED'} {line}")


def promises(found: dict[str, Any]) -> dict[str, bool]:
    """Each promise with what was measured, and whether it is kept."""
    rows = found["rows"]
    weights = {name: row["chunks"] for name, row in rows.items()}
    covered = sum(row["ours"]["coverage"] * weights[name] for name, row in rows.items()) / sum(weights.values())
    least = min(rows, key=lambda name: rows[name]["ours"]["coverage"])
    caught, moved = np.array(list(found["shifted"].values())).sum(axis=0)
    lines = {
        f"intervals hold the truth in at least {COVERED:.0%}: {covered:.1%} of all chunks; "
        f"least in {least}, {rows[least]['ours']['coverage']:.1%}": covered >= COVERED,
        f"abstains on at least {CAUGHT:.0%} of chunks moved out of the reference: {caught} of {moved}": caught
        >= CAUGHT * moved,
    }
    if all("nannyml" in row for row in rows.values()):
        worse = [name for name, row in rows.items() if row["ours"]["mae"] > row["nannyml"]["mae"]]
        sure = [name for name in worse if rows[name]["more_than_nannyml"][1] > 0]
        most = max(row["ours"]["mae"] / row["nannyml"]["mae"] for row in rows.values())
        lines[
            f"no worse than NannyML on any row: greater error on {len(worse)} of {len(rows)}, for sure on {len(sure)}, "
            f"at most {most:.3f} times ({', '.join(worse) or 'none'})"
        ] = not worse
        fine, abstained = (sum(row[key] for row in rows.values()) for key in ("fine", "abstained"))
        lines[
            f"abstains on at most {NEEDLESS:.0%} of chunks where NannyML's interval holds the truth: "
            f"{abstained} of {fine}"
        ] = abstained <= NEEDLESS * fine
    lines[f"seconds a chunk: {np.median(found['seconds']):.2f}, at most {max(found['seconds']):.2f}"] = True
    return lines


def main() -> None:
    """Measure, print and, where asked, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a sixth of the chunks")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    given = parser.parse_args()
    say = Console(width=150)
    if not (DATA / f"monitoring_{HOTEL.name}.parquet").exists():
        say.print("label_free: skipped, the data is not in shared/data nor where CONTROLPLANE_TEST_DATA says")
        return
    found = measure(given.quick)
    show(found, say)
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
