"""What evidence says of a row: fresh, stale, blind or missing, and never more than was measured."""

from collections import Counter
from datetime import timedelta

import pytest

from controlplane.rmf.catalogue import Mode, Subcategory, catalogue
from controlplane.rmf.status import Standing, Status, assess, newest, standing

ASKED = ("drift_check", "check_history", "ood_rate")


def subcategory(mode, *kinds, max_age=7):
    return Subcategory("MEASURE 0.0", "MEASURE", "A row", mode, "system", kinds, timedelta(days=max_age))


@pytest.fixture
def judged(now, produced):
    def judge(mode, kinds, records):
        (row,) = assess([subcategory(mode, *kinds)], records, produced, now)
        return row

    return judge


AUTO, MIXED, ATTESTED = Mode.AUTOMATIC, Mode.MIXED, Mode.ATTESTED


@pytest.mark.parametrize(
    ("mode", "kinds", "records", "status"),
    [
        (AUTO, ["drift_check"], [("drift_check", "PASS", 1)], Status.SUPPORTED),
        (AUTO, ["drift_check"], [("drift_check", "FAIL", 1)], Status.SUPPORTED),
        (AUTO, ["drift_check", "check_history"], [("drift_check", "PASS", 1)], Status.PARTLY),
        (AUTO, ["drift_check", "ood_rate"], [("drift_check", "PASS", 1)], Status.PARTLY),
        (AUTO, ["drift_check"], [("drift_check", "PASS", 8 * 24)], Status.EXPIRED),
        (AUTO, ["drift_check"], [("drift_check", "ERROR", 1)], Status.GAP),
        (AUTO, ["drift_check"], [("drift_check", "INCONCLUSIVE", 1)], Status.GAP),
        (AUTO, ["drift_check"], [("drift_check", "silenced", 1)], Status.GAP),
        (AUTO, ["drift_check"], [("drift_check", "PASS", 2), ("drift_check", "ERROR", 1)], Status.GAP),
        (AUTO, ["drift_check"], [("drift_check", "ERROR", 2), ("drift_check", "PASS", 1)], Status.SUPPORTED),
        (AUTO, ["drift_check"], [("drift_check", "PASS", 8 * 24), ("drift_check", "PASS", 1)], Status.SUPPORTED),
        (AUTO, ["drift_check", "ood_rate"], [], Status.GAP),
        (AUTO, ["ood_rate", "calibration"], [], Status.NOT_ASSESSED),
        (MIXED, ["drift_check", "attestation"], [("drift_check", "PASS", 1)], Status.PARTLY),
        (MIXED, ["drift_check", "attestation"], [("attestation", "signed", 1)], Status.GAP),
        (MIXED, ["drift_check", "attestation"], [("drift_check", "PASS", 8 * 24)], Status.EXPIRED),
        (MIXED, ["model_card", "attestation"], [], Status.NOT_ASSESSED),
        (MIXED, ["silence_override", "attestation"], [("silence_override", "silenced", 1)], Status.PARTLY),
        (ATTESTED, ["attestation", "approval_record"], [("approval_record", "approved", 1)], Status.NOT_ASSESSED),
        (ATTESTED, ["attestation"], [("attestation", "signed", 1)], Status.NOT_ASSESSED),
    ],
)
def test_a_status_follows_from_mode_kinds_and_records(mode, kinds, records, status, judged, record):
    row = judged(mode, kinds, [record(kind, outcome, hours=hours) for kind, outcome, hours in records])
    assert row.status is status, row.why


def test_a_failing_measurement_is_evidence_and_its_failure_is_said(judged, record):
    row = judged(AUTO, ["drift_check"], [record("drift_check", "FAIL")])
    assert row.why == "1 of 1 machine kinds fresh: drift check; ended FAIL: drift check (insurance)."


def test_one_stale_or_blind_monitor_keeps_a_row_from_being_supported(judged, record):
    fresh = record("drift_check")
    assert judged(AUTO, ["drift_check"], [fresh, record("drift_check", subject="b")]).status is Status.SUPPORTED
    stale = judged(AUTO, ["drift_check"], [fresh, record("drift_check", subject="b", hours=8 * 24)])
    assert stale.status is Status.PARTLY and "stale: drift check (b)" in stale.why
    blind = judged(AUTO, ["drift_check"], [fresh, record("drift_check", "ERROR", subject="b")])
    assert blind.status is Status.PARTLY and "could not be measured: drift check (b)" in blind.why


def test_a_mixed_row_says_that_its_human_half_is_missing(judged, record):
    row = judged(MIXED, ["drift_check", "attestation"], [record("drift_check")])
    assert "human half is not attested" in row.why and row.missing == ("attestation",)


def test_an_attested_row_lists_machine_records_without_leaning_on_them(judged, record):
    row = judged(ATTESTED, ["attestation", "approval_record"], [record("approval_record", "approved")])
    assert [held.kind for held in row.evidence] == ["approval_record"]
    assert "none is claimed" in row.why and "prove nothing by themselves" in row.why


def test_the_moment_of_expiry_is_already_expired(record, now):
    assert standing(record("drift_check", hours=24, lasts=1.0), now) is Standing.STALE
    assert standing(record("drift_check", hours=23.9, lasts=1.0), now) is Standing.FRESH


def test_a_record_as_old_as_a_row_allows_still_counts(record, now):
    assert standing(record("drift_check", hours=168), now, timedelta(days=7)) is Standing.FRESH
    assert standing(record("drift_check", hours=168.1), now, timedelta(days=7)) is Standing.STALE


def test_the_newest_record_of_a_kind_and_subject_supersedes_and_a_later_one_is_not_seen_yet(record, now):
    old, new, later = (record("drift_check", hours=hours) for hours in (2, 1, -1))
    other = record("drift_check", subject="digits", hours=3)
    assert newest([new, later, other, old], now) == (other, new)


def test_of_two_records_of_one_moment_the_worse_stays_in_any_order(record, now):
    good, bad = record("drift_check", "PASS"), record("drift_check", "FAIL")
    assert newest([good, bad], now) == newest([bad, good], now) == (bad,)


def test_missing_kinds_are_named_and_the_age_is_that_of_the_newest_record(judged, record):
    row = judged(AUTO, ASKED, [record("drift_check", hours=5), record("check_history", hours=2)])
    assert row.missing == ("ood_rate",) and row.age == timedelta(hours=2)
    assert judged(AUTO, ASKED, []).age is None


def test_without_evidence_no_row_of_the_framework_is_supported(produced, now):
    seen = Counter(row.status for row in assess(catalogue().subcategories, [], produced, now))
    assert set(seen) == {Status.GAP, Status.NOT_ASSESSED} and seen.total() == 72


def test_with_every_kind_fresh_only_automatic_rows_are_supported(record, now):
    every = [record(kind) for kind in catalogue().vocabulary]
    rows = assess(catalogue().subcategories, every, frozenset(catalogue().vocabulary), now)
    for row in rows:
        assert (row.status is Status.SUPPORTED) == (row.subcategory.mode is Mode.AUTOMATIC), row.subcategory.id


def test_many_failing_monitors_are_counted_rather_than_listed_without_end(judged, record):
    row = judged(AUTO, ["drift_check"], [record("drift_check", "FAIL", subject) for subject in "abcde"])
    assert row.why.endswith("drift check (a), drift check (b), drift check (c) and 2 more.")
