"""Requests at a steady rate, or as many as can be, over connections that are kept; run as a process of its own.

    python load.py PORT --rate R --seconds S | --requests N   [--connections C] [--out FILE]

Open loop: a request is due at its time whether or not the one before was answered, and its latency counts from then.
Writes one line a request: due time, seconds until the answer, status, version, request id.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import uvloop
from servers import BODY

Told = tuple[float, float, int, str, str]


class Connection:
    """One kept connection, a request at a time, in as little Python as will do."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request_id: str, body: bytes = BODY) -> tuple[int, str, bytes]:
        """Status, version and body of the answer; status 0 where the connection broke."""
        try:
            if self._streams is None:
                self._streams = await asyncio.open_connection("127.0.0.1", self._port)
            reader, writer = self._streams
            head = (
                f"POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                f"X-Request-Id: {request_id}\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            writer.write(head.encode() + body)
            said = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            fields = dict(line.split(": ", 1) for line in said.split("\r\n")[1:] if ": " in line)
            content = await reader.readexactly(int(fields["content-length"]))
            assert fields.get("x-request-id", request_id) == request_id
            return int(said.split(" ", 2)[1]), fields.get("x-model-version", ""), content
        except (OSError, asyncio.IncompleteReadError):
            self._streams = None
            return 0, "", b""


async def steadily(
    port: int, rate: float, seconds: float, connections: int, body: Callable[[int], bytes] = lambda number: BODY
) -> list[Told]:
    """So many requests a second, for so long."""
    free: asyncio.LifoQueue[Connection] = asyncio.LifoQueue()
    for _ in range(connections):
        free.put_nowait(Connection(port))
    found: list[Told] = []

    async def one(number: int, due: float) -> None:
        connection = await free.get()
        status, version, _ = await connection.ask(f"r{number}", body(number))
        found.append((due, time.time() - due, status, version, f"r{number}"))
        free.put_nowait(connection)

    begun, asked = time.time(), []
    for number in range(round(rate * seconds)):
        due = begun + number / rate
        await asyncio.sleep(max(0.0, due - time.time()))
        asked.append(asyncio.create_task(one(number, due)))
    await asyncio.gather(*asked)
    return found


async def flat_out(port: int, requests: int, connections: int) -> list[Told]:
    """So many requests, each connection asking again as soon as it was answered."""
    numbers = iter(range(requests))
    found: list[Told] = []

    async def one() -> None:
        connection = Connection(port)
        for number in numbers:
            begun = time.time()
            status, version, _ = await connection.ask(f"r{number}")
            found.append((begun, time.time() - begun, status, version, f"r{number}"))

    await asyncio.gather(*(one() for _ in range(connections)))
    return found


def main() -> None:
    """Ask, and write what was answered."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", type=int)
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--requests", type=int, default=0)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    if given.rate:
        asking = steadily(given.port, given.rate, given.seconds, given.connections)
    else:
        asking = flat_out(given.port, given.requests, given.connections)
    found = sorted(uvloop.run(asking))
    text = "".join(json.dumps(each) + "\n" for each in found)
    (given.out.write_text if given.out else sys.stdout.write)(text)


if __name__ == "__main__":
    main()
