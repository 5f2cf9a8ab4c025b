"""The report: every row, every record behind it, the same bytes each time, and nothing a stranger wrote runs."""

import dataclasses
import json
import random
import re
from html.parser import HTMLParser

import pytest

from controlplane.rmf.report import build, to_html, to_json
from controlplane.rmf.status import Status


@pytest.fixture
def report(context, history, incidents, produced, now):
    return build(context, history, incidents, produced, now)


class Page(HTMLParser):
    """Every tag of a page with its attributes; complains about one left open or closed twice."""

    EMPTY = frozenset({"meta", "br"})

    def __init__(self, html):
        super().__init__()
        self.tags, self.open = [], []
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_json_lists_all_rows_with_status_reason_and_the_newest_evidence(report, history):
    document = json.loads(to_json(report))
    assert len(document["rows"]) == 72
    row = next(row for row in document["rows"] if row["id"] == "MEASURE 2.4")
    assert row["status"] == "partly" and row["missing"] == ["ood_rate", "label_free_estimate", "ops_measures"]
    behind = [document["evidence"][held["digest"]] for held in row["evidence"]]
    assert [(held["kind"], held["subject"], held["outcome"]) for held in behind] == [
        ("drift_check", "digits", "PASS"),
        ("drift_check", "insurance", "FAIL"),
        ("monitor_liveness", "digits", "ran"),
        ("monitor_liveness", "insurance", "ran"),
    ]
    assert len(document["evidence"]) == len(history) - 1 and document["superseded"] == 1


def test_counts_add_up_to_the_rows_of_each_function(report):
    totals = {name: sum(counts.values()) for name, counts in report.counts().items()}
    assert totals == {"GOVERN": 19, "MAP": 18, "MEASURE": 22, "MANAGE": 13}


def test_the_same_evidence_in_any_order_gives_the_same_bytes(context, history, incidents, produced, now):
    first = build(context, history, incidents, produced, now)
    mixed = random.Random(7).sample(history, len(history))
    second = build(context, iter(mixed), incidents[::-1], produced, now)
    assert to_json(first) == to_json(second) and to_html(first) == to_html(second)


def test_open_incidents_are_listed_newest_first_and_closed_ones_counted(report):
    assert [incident.id for incident in report.open_incidents] == ["01JD3", "01JD2"]
    assert report.closed_incidents == 1


def test_without_evidence_nothing_is_supported_and_the_page_says_so(context, produced, now):
    empty = build(context, [], [], produced, now)
    assert all(row.status in (Status.GAP, Status.NOT_ASSESSED) for row in empty.rows)
    assert "No evidence has been recorded yet, so nothing below is supported." in to_html(empty)


def test_kinds_that_cannot_be_recorded_are_printed_with_the_rows_that_wait(report):
    waiting = {limit.kind: limit.rows for limit in report.unrecorded}
    assert waiting["privacy_mia"] == ("MEASURE 2.7", "MEASURE 2.10")
    assert "drift_check" not in waiting and "attestation" not in waiting


def test_the_page_shows_every_row_and_every_record_and_its_links_lead_somewhere(report):
    page = Page(to_html(report))
    ids = {attrs["id"] for _, attrs in page.tags if "id" in attrs}
    targets = {attrs["href"].removeprefix("#") for tag, attrs in page.tags if tag == "a"}
    assert sum(tag == "article" for tag, _ in page.tags) == 72
    assert targets <= ids and {f"E{number}" for number in range(1, len(report.evidence) + 1)} <= ids


def test_the_page_loads_nothing_and_runs_nothing(report):
    html = to_html(report)
    tags = {tag for tag, _ in Page(html).tags}
    assert not tags & {"script", "link", "img", "iframe", "object", "form"}
    assert not re.search(r"https?:|url\(|@import|\bsrc=", html)


def test_what_a_stranger_wrote_is_shown_and_never_run(context, record, incidents, produced, now):
    evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
    monitor = dataclasses.replace(context.monitors[0], name=evil, owner=evil)
    hostile = dataclasses.replace(context, system=evil, organisation=evil, monitors=(monitor,))
    incident = dataclasses.replace(incidents[0], id=evil, monitor=evil, cause=evil, title=evil, version=evil)
    records = [record("drift_check", evil, evil, summary=evil, version=evil), record("check_history", "FAIL", evil)]
    html = to_html(build(hostile, records, [incident], produced, now))
    calm = to_html(build(context, records[:0], [incidents[0]], produced, now))
    assert {tag for tag, _ in Page(html).tags} <= {tag for tag, _ in Page(calm).tags} | {"ul", "li", "b"}
    assert "&lt;script&gt;alert(1)" in html
    assert not any(name.startswith("on") for _, attrs in Page(html).tags for name in attrs)


def test_the_report_never_says_the_word_that_would_make_it_a_certificate(report, context, produced, now):
    for each in (report, build(context, [], [], produced, now)):
        for text in (to_json(each), to_html(each)):
            assert "complian" not in text.lower() and "An account of evidence, not a certification." in text


def test_a_row_with_many_monitors_prints_the_failing_ones_first_and_points_to_the_annex(context, record, produced, now):
    records = [record("drift_check", "PASS", f"m{number:02}") for number in range(20)]
    records.append(record("drift_check", "FAIL", "z-last"))
    html = to_html(build(context, records, [], produced, now))
    row = re.search(r'<div class="id">MAP 2\.3.*?</article>', html, re.S).group()
    assert row.index("z-last") < row.index("m00") and "13 more in the annex" in row
