"""After a move the serving side is told at once; whether it hears does not matter to the move."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from test_rollback import regress, the_action
from world import World

from controlplane.signing import is_signed


class Hears:
    """A server that keeps the reloads it is sent, and answers with a status."""

    def __init__(self, status: int) -> None:
        self.told: list[dict[str, str]] = []
        outer = self

        class Answer(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                assert is_signed("s3cret", dict(self.headers), body, time.time())
                outer.told.append(json.loads(body))
                self.send_response(status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture(params=[202, 500])
def hears(request: pytest.FixtureRequest) -> Iterator[Hears]:
    made = Hears(request.param)
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_a_move_is_told_to_the_server_once_and_signed(make_world: Callable[..., World], hears: Hears) -> None:
    world = make_world(reaction="rollback")
    job = world.home / "jobs" / "scorer.yaml"
    job.write_text(job.read_text() + f"serving: {{url: {hears.url}/version, reload: {hears.url}/reload}}\n")
    with world.open() as context:
        regress(world, replace(context, serving_secret="s3cret"))
        assert the_action(context).state == "moved"
    assert hears.told == [{"model": "scorer", "alias": "champion", "version": "1"}]
