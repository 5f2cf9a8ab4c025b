"""Hold our forms of the peers' statistics to the peers' own answers, on sample windows of a stream.

python verify.py ["hotel days"]
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from peers_detect import EVIDENTLY, EVIDENTLY_THRESHOLD, FEW_INTEGERS, NANNYML_ALL, NANNYML_JS, Reference, scores
from shifts import known, shifts_for
from streams import TIME, Day, Floats, Rng, Stream, available, to_table

CHILD = Path(__file__).with_name("peers_child.py")


def peers_python() -> str | None:
    """The interpreter that has nannyml and river: CONTROLPLANE_PEERS_PYTHON, or .venv-peers in the repository."""
    python = Path(os.environ.get("CONTROLPLANE_PEERS_PYTHON", Path(__file__).parents[3] / ".venv-peers/bin/python"))
    return str(python) if python.exists() else None


def child(task: str, given: Path, out: Path) -> None:
    """Run one task of peers_child.py in the peers' environment."""
    environment = {**os.environ, "NML_DISABLE_USAGE_LOGGING": "1"}
    command = [str(peers_python()), "-W", "ignore", str(CHILD), task, str(given), str(out)]
    subprocess.run(command, check=True, env=environment)


def samples(stream: Stream, rng: Rng, days: int) -> tuple[list[Day], list[Day]]:
    """A reference and eight windows: two calm ones, and one of each kind of shift at medium size."""
    drawn = stream.draw(rng, days + 8)
    reference, calm = drawn[:days], drawn[days:]
    normal, second = known(reference, stream)
    planted = [shift for (_, size), shift in shifts_for(stream, 0).items() if size == "medium"]
    moved = [shift.apply(day, rng, normal, second) for shift, day in zip(planted, calm[2:], strict=True)]
    return reference, calm[:2] + moved


def evidently_differs(stream: Stream, reference: list[Day], found: list[Day], measured: Floats) -> tuple[float, int]:
    """Largest difference of a column's distance from Evidently's, and in how many windows the verdict differs."""
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    def categorical(name: str) -> bool:
        if stream.kinds[name] == "int":
            return len({*np.concatenate([day.values[name] for day in reference]).tolist()}) <= FEW_INTEGERS
        return stream.kinds[name] != "float"

    names = list(stream.kinds)
    counted = [name for name in names if categorical(name)]
    types = DataDefinition(
        numerical_columns=[name for name in names if name not in counted], categorical_columns=counted
    )

    def dataset(days: list[Day]) -> Dataset:
        table = pa.concat_tables(to_table(day, 0, stream.kinds) for day in days).drop_columns([TIME])
        return Dataset.from_pandas(table.to_pandas(), data_definition=types)

    before, worst, wrong = dataset(reference), 0.0, 0
    share = scores(measured)["Evidently, preset"]
    for index, day in enumerate(found):
        metrics = Report([DataDriftPreset()]).run(dataset([day]), before).dict()["metrics"]
        drifted = next(m["value"]["share"] for m in metrics if "DriftedColumnsCount" in m["metric_name"])
        wrong += (drifted >= 0.5) != (share[index] >= 1)
        for metric in metrics:
            if "ValueDrift" in metric["metric_name"]:
                ours = measured[index, names.index(metric["config"]["column"]), EVIDENTLY] * EVIDENTLY_THRESHOLD
                worst = max(worst, abs(ours - metric["value"]))
    return worst, wrong


def nannyml_differs(stream: Stream, reference: list[Day], found: list[Day], measured: Floats) -> tuple[int, int, int]:
    """How many columns and windows there are, and in how many of them NannyML alerts otherwise: by Jensen-Shannon
    alone, and by any method."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for name, days, first in (("reference", reference, 0), ("windows", found, len(reference))):
            tables = (to_table(day, first + index, stream.kinds) for index, day in enumerate(days))
            pq.write_table(pa.concat_tables(tables), place / f"{name}.parquet")
        child("nannyml", place, place / "told.json")
        told = json.loads((place / "told.json").read_text())
    wrong_shannon = wrong_any = 0
    for place_of, name in enumerate(stream.kinds):
        alerts = {
            key.split("/")[1]: np.array(values) > 0
            for key, values in told["drift"].items()
            if key.startswith(f"{name}/") and key.endswith("/alert")
        }
        some = np.any([*alerts.values(), np.array(told["missing"][f"{name}/alert"]) > 0], axis=0)
        wrong_shannon += int(np.sum(alerts["jensen_shannon"] != (measured[:, place_of, NANNYML_JS] > 3)))
        wrong_any += int(np.sum(some != (measured[:, place_of, NANNYML_ALL] > 3)))
    return measured.shape[0] * measured.shape[1], wrong_shannon, wrong_any


def verify(stream: Stream, days: int = 112) -> list[str]:
    """One line a peer."""
    reference, found = samples(stream, np.random.default_rng(7), days)
    measured = Reference(reference, stream.kinds).measure(found)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        worst, wrong = evidently_differs(stream, reference, found, measured)
    told = f"Evidently's preset, {len(found)} windows: {wrong} verdicts differ, distances by {worst:.0e}"
    lines = [f"{stream.name}: {told}"]
    if peers_python():
        cells, shannon, some = nannyml_differs(stream, reference, found, measured)
        told = f"NannyML, {cells} columns and windows: {shannon} alerts by Jensen-Shannon differ, {some} by any"
        lines.append(f"{stream.name}: {told}")
    return lines


if __name__ == "__main__":
    for name, stream in available()[0].items():
        if not sys.argv[1:] or name in sys.argv[1:]:
            sys.stdout.write("\n".join(verify(stream)) + "\n")
