"""A rollback under load: what is measured of its answers, the picture of them, and the answers themselves."""

from __future__ import annotations

import io
import json
import os
import signal
import sqlite3
import struct
import subprocess
import sys
import threading
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from controlplane.config import load_jobs
from controlplane.demo import folder as place
from controlplane.demo import insurance, live, live_telling, load
from controlplane.demo.figures import Answer, Moments, broken, cut, figures, good_from, read_answers
from controlplane.demo.programs import Programs
from controlplane.errors import ControlPlaneError

WHEN = Moments(released=1_030.0, window_ends=1_060.0, arrived=1_062.0, moved=1_065.0)


def made_up(bad_until: float = 1_066.0, rate: int = 40, seconds: int = 120) -> list[Answer]:
    """Answers at a steady rate from second 1,000 on, of version 2 from its release to `bad_until`."""
    random = np.random.default_rng(3)
    found = []
    for number in range(rate * seconds):
        due = 1_000.0 + number / rate
        bad = WHEN.released <= due + 0.01 <= bad_until
        label = int(random.random() < 0.7)
        right = random.random() < (0.5 if bad else 0.75)
        answer = label if right else 1 - label
        found.append(Answer(f"r{number}", due, 0.01, 200, "2" if bad else "1", answer, label, True))
    return found


def measured(answers: list[Answer], logged: Counter[str] | None = None) -> dict[str, object]:
    return figures(answers, Counter(answer.id for answer in answers) if logged is None else logged, "1", WHEN)


def test_seconds_count_from_the_arrival_of_the_bad_window_to_the_last_answer_of_the_bad_version() -> None:
    found = measured(made_up())
    assert found["seconds_to_all_traffic_good"] == pytest.approx(4.0, abs=0.03)
    assert found["seconds_from_window_end"] == pytest.approx(6.0, abs=0.03)
    assert found["seconds_to_alias_moved"] == 3.0
    assert found["by_version"] == {"1": 3_360, "2": 1_440}
    assert found["accuracy"]["2"]["n"] == 1_440  # type: ignore[index]
    assert (found["failed"], found["answered_twice"], found["not_logged"], broken(found)) == (0, 0, 0, [])


def test_a_failure_after_the_bad_version_left_counts_against_the_time_and_as_failed() -> None:
    answers = made_up()
    answers[4_000] = replace(answers[4_000], status=500, answer=None)
    found = measured(answers)
    assert found["failed"] == 1
    assert found["seconds_to_all_traffic_good"] == pytest.approx(1_100.01 - 1_062.0, abs=0.03)
    assert [sentence.split(";")[0] for sentence in broken(found)] == [
        "1 of 4800 requests failed",
        "all traffic was good again 38.0 s after the bad window's arrival",
    ]


def test_an_answer_that_its_version_did_not_give_is_a_failed_request() -> None:
    answers = made_up()
    answers[7] = replace(answers[7], sound=False)
    assert measured(answers)["failed"] == 1


def test_requests_that_were_answered_or_logged_twice_or_not_at_all_are_counted() -> None:
    answers = made_up()
    logged = Counter(answer.id for answer in answers) + Counter(["r5"])
    del logged["r9"]
    found = measured([*answers, answers[3]], logged)
    assert (found["answered_twice"], found["not_logged"]) == (2, 1)


def test_traffic_that_never_came_back_is_one_sentence() -> None:
    with pytest.raises(ControlPlaneError, match="version 1 did not answer all requests again"):
        good_from(made_up(bad_until=9_999.0), "1")


@pytest.mark.parametrize("line", ["", "{", '{"id": "r1"}', '["r1"]', '{"id": "r1", "due": "soon"}'])
def test_a_line_that_is_no_answer_is_named(line: str) -> None:
    good = json.dumps(asdict(made_up()[0]))
    with pytest.raises(ControlPlaneError, match="line 2 of the answers is none"):
        read_answers([good, line])


def test_answers_read_back_are_those_written_in_the_order_they_were_due() -> None:
    answers = made_up()[:50]
    assert read_answers(json.dumps(asdict(answer)) for answer in reversed(answers)) == answers


def test_bins_hold_every_answer_and_share_them_among_versions() -> None:
    answers = made_up()
    bins = cut(answers, 1_000.0, 1_121.0, 1.0)
    assert bins.answers.sum() == len(answers)
    np.testing.assert_allclose(np.nansum(bins.share, axis=0)[:120], 1.0)
    assert (bins.led()[5], bins.led()[40], bins.led()[100], bins.led()[120]) == ("1", "2", "1", "")
    with pytest.raises(ControlPlaneError, match="are no bin of 5 s"):
        cut(answers, 1_000.0, 1_001.0, 5.0)


def test_the_picture_and_the_page_are_drawn_and_what_they_quote_is_text(tmp_path: Path) -> None:
    answers = made_up()
    found = measured(answers) | {"bad_window": {"version": "2", "answered": 1_200, "judged": 1_200}}
    story = [{"seconds": 31.0, "what": "<b>version 2</b> released", "why": "a & b"}]
    said = io.StringIO()
    console = Console(file=said, width=160)
    live_telling.tell(tmp_path, console, answers, found, WHEN, story, 1_110.0)
    png = (tmp_path / live_telling.PICTURE).read_bytes()
    assert png[:8] == b"\x89PNG\r\n\x1a\n" and len(png) < 150_000
    assert min(struct.unpack(">II", png[16:24])) >= 800
    page = (tmp_path / live_telling.PAGE).read_text()
    assert "&lt;b&gt;version 2&lt;/b&gt; released" in page and "a &amp; b" in page
    assert "http://" not in page.replace("http://www.w3.org", "").replace("http://purl.org", "").replace(
        "http://creativecommons.org", ""
    )
    ElementTree.fromstring(page[page.index("<svg") : page.index("</svg>") + 6])
    assert "4.0 s" in said.getvalue()


def test_windows_begin_with_this_minute_where_enough_of_it_is_left() -> None:
    early, late = (datetime(2026, 5, 1, 9, 30, second, 5, UTC) for second in (20, 40))
    assert live.first_window(early) == datetime(2026, 5, 1, 9, 30, tzinfo=UTC)
    assert live.first_window(late) == datetime(2026, 5, 1, 9, 31, tzinfo=UTC)


def test_the_job_is_valid_and_reads_the_log(tmp_path: Path) -> None:
    place.prepare(tmp_path)
    live.write_job(tmp_path, 8123, datetime(2026, 5, 1, 9, 30, tzinfo=UTC))
    (monitor,) = load_jobs(tmp_path / "jobs").monitors
    assert (monitor.source.kind, monitor.schedule.delay) == ("log", live.DELAY)
    assert monitor.serving is not None and monitor.serving.url == "http://127.0.0.1:8123/version"
    limits = {limit.measure: limit.min for check in monitor.checks for limit in check.limits}
    assert limits["accuracy"] == live_telling.LIMIT


def test_a_program_that_ends_early_is_told_with_its_last_words(tmp_path: Path) -> None:
    with Programs(tmp_path) as programs:
        programs.start("server", "controlplane", "serve", "no-alias")
        with pytest.raises(ControlPlaneError, match=r"server ended with exit code 2: error: 'no-alias' names no alias"):
            programs.until(lambda: False, 60, "nothing")
    assert programs.running == []


CASES = {0: (200, "1", False), 1: (200, "2", True), 2: (200, "", True), 3: (503, "1", True)}
"""What a server says to each fourth request, by status and version, and whether that request failed."""


@contextmanager
def answering() -> Iterator[int]:
    """A server that says 1 to everything, as in `CASES`; its port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            body, request_id = b'{"predictions": [1]}', self.headers["X-Request-Id"]
            status, version, _ = CASES[int(request_id[-6:]) % 4]
            self.send_response(status)
            for name, value in (("X-Model-Version", version), ("X-Request-Id", request_id)):
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def asked(tmp_path: Path, port: int) -> list[Answer]:
    """What the people who ask write down, who are stopped once they did."""
    columns: dict[str, object] = {name: [0.5, 1.5] for name in insurance.FEATURES}
    pq.write_table(pa.table(columns | {"any_visit": [1, 0], "answer_1": [1, 1], "answer_2": [0, 0]}), tmp_path / "rows")
    load.make_outcomes(tmp_path / "outcomes.db")
    files = [str(tmp_path / name) for name in ("rows", "answers", "outcomes.db")]
    command = [sys.executable, "-m", "controlplane.demo.load", str(port), *files, "--rate", "50"]
    asking = subprocess.Popen(command, env=os.environ | {"PYTHONWARNINGS": "error"})
    while not (tmp_path / "answers").exists() or not (tmp_path / "answers").stat().st_size:
        assert asking.poll() is None
    asking.send_signal(signal.SIGTERM)
    assert asking.wait(30) == 0
    return read_answers((tmp_path / "answers").read_text().splitlines())


def test_people_who_ask_check_each_answer_and_write_down_what_became_of_it(tmp_path: Path) -> None:
    with answering() as port:
        answers = asked(tmp_path, port)
    assert len({answer.id for answer in answers}) == len(answers) > 4
    for answer in answers:
        assert (answer.status, answer.version, answer.failed) == CASES[int(answer.id[-6:]) % 4]
    with closing(sqlite3.connect(tmp_path / "outcomes.db")) as database:
        known = dict(database.execute("select row_id, any_visit from outcomes"))
    assert known == {answer.id: answer.label for answer in answers}


def test_a_server_that_is_not_there_costs_failed_requests_and_nothing_else(tmp_path: Path) -> None:
    with answering() as port:
        pass
    assert {(answer.status, answer.failed) for answer in asked(tmp_path, port)} == {(0, True)}
