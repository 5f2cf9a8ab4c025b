"""Throughput and memory beside `mlflow models serve`: the same model, the same cores, our log on.

    python beside_mlflow.py [--quick] [--json PATH]

One server at a time, in turn, as many requests as eight connections can ask. Medians, and their ratio.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table
from servers import make_registry, memory_mb, mlflows, ours

HERE = Path(__file__).parent
LEAST_RATIO, MOST_MEMORY = 0.9, 1.1


def asked(port: int, requests: int) -> float:
    """Requests a second, of which none may fail."""
    command = [sys.executable, str(HERE / "load.py"), str(port), "--requests", str(requests), "--connections", "8"]
    lines = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    told = [json.loads(line) for line in lines]
    assert len(told) == requests and {status for _, _, status, *_ in told} == {200}, "a request failed"
    return requests / (max(due + took for due, took, *_ in told) - min(due for due, *_ in told))


def main() -> None:
    """Print the table, and write it where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rounds, requests = (2, 1_000) if given.quick else (4, 2_000)
    found: dict[str, list[tuple[float, float]]] = {"controlplane serve": [], "mlflow models serve": []}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        uri = make_registry(folder)
        for number in range(rounds):
            for name, started in (
                ("controlplane serve", ours(uri, folder / f"home-{number}")),
                ("mlflow models serve", mlflows(uri, folder)),
            ):
                with started as (port, pid):
                    asked(port, requests // 4)
                    found[name].append((asked(port, requests), memory_mb(pid)))
    table = Table(title=f"{rounds} rounds of {requests} requests of one row, 8 connections; medians (least to most)")
    for column in ("server", "requests/s", "memory, MB (PSS)"):
        table.add_column(column)
    medians: dict[str, list[float]] = {}
    for name, rows in found.items():
        columns = list(zip(*rows, strict=True))
        medians[name] = [statistics.median(column) for column in columns]
        table.add_row(name, *(f"{statistics.median(c):.0f} ({min(c):.0f} to {max(c):.0f})" for c in columns))
    (rate, memory), (their_rate, their_memory) = medians.values()
    say = Console(width=None if sys.stdout.isatty() else 120)
    say.print(table)
    say.print(f"throughput {rate / their_rate:.2f} of MLflow's (promised: at least {LEAST_RATIO})")
    say.print(f"memory {memory / their_memory:.2f} of MLflow's (promised: at most {MOST_MEMORY})")
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        told = {"rounds": found, "throughput": rate / their_rate, "memory": memory / their_memory}
        given.json.write_text(json.dumps(told, indent=2) + "\n")


if __name__ == "__main__":
    main()
