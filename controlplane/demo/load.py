"""The people who ask: requests at a steady rate over kept connections, each checked, and their outcomes written down.

    python -m controlplane.demo.load PORT ROWS ANSWERS OUTCOMES --rate R

Open loop: a request is due at its time whether or not the one before was answered, and its latency counts from then.
ROWS is a Parquet file of features, labels and what each version itself answers (`answer_1`, `answer_2`). ANSWERS gets
a line of JSON a request, the SQLite file OUTCOMES the label of each. It asks until SIGTERM, and then for what is due.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from controlplane.demo import insurance

CONNECTIONS = 16
ANSWER_SECONDS = 20.0
WRITE_EVERY = 0.2
TABLE = "outcomes"


class Connection:
    """One kept connection to a server on this machine, a request at a time."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request_id: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of the answer; status 0 where none came, and a new connection is made then."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                if self._streams is None:
                    self._streams = await asyncio.open_connection("127.0.0.1", self._port)
                reader, writer = self._streams
                head = (
                    "POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                    f"X-Request-Id: {request_id}\r\nContent-Length: {len(body)}\r\n\r\n"
                )
                writer.write(head.encode() + body)
                first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
                content = await reader.readexactly(int(fields["content-length"]))
                return int(first.split(" ", 2)[1]), fields, content
        except (OSError, asyncio.IncompleteReadError, KeyError, ValueError):
            self.close()
            return 0, {}, b""

    def close(self) -> None:
        """Let go of the connection."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


class Asking:
    """All requests of a run: which row each asks about, and what came back."""

    def __init__(self, port: int, rows: pa.Table, rate: float, answers: IO[str], outcomes: Path) -> None:
        self._rate, self._answers, self._outcomes = rate, answers, outcomes
        self._labels: list[int] = rows[insurance.LABEL].to_pylist()
        self._right = {version: rows[f"answer_{version}"].to_pylist() for version in ("1", "2")}
        features = zip(*(rows[name].to_pylist() for name in insurance.FEATURES), strict=True)
        self._bodies = [
            json.dumps({"dataframe_split": {"columns": insurance.FEATURES, "data": [row]}}).encode() for row in features
        ]
        self._order = np.zeros(0, np.int64)
        # In turn, so that none is idle for as long as a server keeps one.
        self._free: asyncio.Queue[Connection] = asyncio.Queue()
        self._connections = [Connection(port) for _ in range(CONNECTIONS)]
        self._told: list[dict[str, Any]] = []
        self.over = asyncio.Event()

    async def run(self) -> None:
        """Ask until `over` is set; every request that was due is answered or given up before this returns."""
        for connection in self._connections:
            self._free.put_nowait(connection)
        begun, number, asked = time.time(), 0, set()
        written = begun
        while not self.over.is_set():
            due = begun + number / self._rate
            await asyncio.sleep(max(0.0, due - time.time()))
            task = asyncio.create_task(self._one(number, due))
            asked.add(task)
            task.add_done_callback(asked.discard)
            number += 1
            if time.time() - written > WRITE_EVERY:
                written = time.time()
                await self._write()
        await asyncio.gather(*asked)
        await self._write()
        for connection in self._connections:
            connection.close()

    async def _one(self, number: int, due: float) -> None:
        place, request_id = self._place(number), f"live-{number:06d}"
        connection = await self._free.get()
        status, fields, content = await connection.ask(request_id, self._bodies[place])
        answered = time.time()
        self._free.put_nowait(connection)
        version = fields.get("x-model-version", "")
        answer = _answer(status, content)
        sound = fields.get("x-request-id") == request_id and answer is not None
        self._told.append(
            {
                "id": request_id,
                "due": due,
                "seconds": answered - due,
                "status": status,
                "version": version,
                "answer": answer,
                "label": self._labels[place],
                "sound": sound and version in self._right and self._right[version][place] == answer,
            }
        )

    def _place(self, number: int) -> int:
        """Which row a request asks about: all of them in an order of its own each time round."""
        turn, place = divmod(number, len(self._bodies))
        if place == 0:
            self._order = np.random.default_rng(turn).permutation(len(self._bodies))
        return int(self._order[place])

    async def _write(self) -> None:
        told, self._told = self._told, []
        if told:
            await asyncio.to_thread(self._keep, told)

    def _keep(self, told: list[dict[str, Any]]) -> None:
        # Outcomes first: whoever reads an answer finds what became of it.
        with closing(sqlite3.connect(self._outcomes, timeout=30.0)) as database, database:
            rows = [(each["id"], each["label"]) for each in told]
            database.executemany(f"insert into {TABLE} (row_id, {insurance.LABEL}) values (?, ?)", rows)
        self._answers.write("".join(json.dumps(each) + "\n" for each in told))
        self._answers.flush()


def _answer(status: int, content: bytes) -> int | None:
    """The one prediction of a good answer; None for any other."""
    if status != 200:
        return None
    try:
        (answer,) = json.loads(content)["predictions"]
        return int(answer)
    except (ValueError, KeyError, TypeError):
        return None


def make_outcomes(path: Path) -> None:
    """An empty table of labels by row id, in a SQLite file that is read while it is written."""
    with closing(sqlite3.connect(path)) as database:
        database.execute("pragma journal_mode = wal")
        database.execute(f"create table {TABLE} (row_id text primary key, {insurance.LABEL} integer not null)")


async def _ask(port: int, rows: pa.Table, rate: float, answers: IO[str], outcomes: Path) -> None:
    asking = Asking(port, rows, rate, answers, outcomes)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asking.over.set)
    await asking.run()


def main(argv: list[str]) -> None:
    """Ask, until told to stop."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", type=int)
    for name in ("rows", "answers", "outcomes"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--rate", type=float, required=True)
    given = parser.parse_args(argv)
    with given.answers.open("a") as answers:
        asyncio.run(_ask(given.port, pq.read_table(given.rows), given.rate, answers, given.outcomes))


if __name__ == "__main__":
    main(sys.argv[1:])
