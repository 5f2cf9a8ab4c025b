"""Estimates against truths: the error, its interval and the coverage, held to scipy and to simulated windows."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from controlplane.domain.student import student
from controlplane.domain.track_record import Estimate, TrackRecord, Truth, track_record


def pairs(said: list[float], so: list[float], half: float = 0.05) -> list[tuple[Estimate, Truth]]:
    return [(Estimate(one, one - half, one + half), Truth(true, 100)) for one, true in zip(said, so, strict=True)]


def test_the_record_is_what_scipy_says_of_the_errors() -> None:
    rng = np.random.default_rng(0)
    said, so = rng.uniform(0.7, 0.9, 23), rng.uniform(0.7, 0.9, 23)
    found = track_record(pairs(list(said), list(so)))
    errors = said - so
    assert found.windows == 23
    assert found.off == pytest.approx(np.abs(errors).mean())
    assert found.bias == pytest.approx(errors.mean())
    for values, interval in ((np.abs(errors), found.off_interval), (errors, found.bias_interval)):
        assert interval == pytest.approx(stats.t.interval(0.95, 22, values.mean(), stats.sem(values)), abs=1e-6)
    assert found.inside == int((np.abs(errors) <= 0.05).sum())
    wilson = stats.binomtest(found.inside, 23).proportion_ci(method="wilson")
    assert found.coverage == pytest.approx((wilson.low, wilson.high))


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 7, 30, 1000])
def test_the_quantile_is_students(freedom: int) -> None:
    assert student(0.975, freedom) == pytest.approx(stats.t.ppf(0.975, freedom), abs=0.01)


def test_it_is_told_in_one_sentence() -> None:
    record = TrackRecord(23, 0.012, (0.008, 0.016), 0.001, (-0.002, 0.004), 22, (0.79, 0.99))
    expected = "over 23 windows with labels since, off by 0.012 on average (0.008 to 0.016); "
    assert str(record) == expected + "22 of 23 truths inside its interval"


def test_a_record_that_is_always_on_one_side_says_so() -> None:
    found = track_record(pairs([0.85, 0.86, 0.84], [0.8, 0.81, 0.8]))
    assert str(found).endswith("; too high by 0.047")
    assert str(track_record(pairs([0.75, 0.76, 0.74], [0.8, 0.81, 0.8]))).endswith("; too low by 0.053")


def test_one_window_has_no_interval_and_none_has_no_record() -> None:
    one = track_record(pairs([0.8], [0.83]))
    assert (one.windows, one.off_interval, one.bias_interval) == (1, None, None)
    assert str(one) == "over 1 window with labels since, off by 0.030 on average; 1 of 1 truth inside its interval"
    assert str(track_record([])) == "no window with an estimate has labels yet"


def test_a_number_that_is_not_finite_and_a_window_without_labels_are_left_out() -> None:
    odd = [
        (Estimate(math.nan, 0.0, 1.0), Truth(0.8, 100)),
        (Estimate(0.8, 0.7, 0.9), Truth(math.nan, 100)),
        (Estimate(0.8, 0.7, 0.9), Truth(0.8, 0)),
    ]
    assert track_record(odd).windows == 0
    assert track_record([*odd, *pairs([0.8], [0.8])]).windows == 1


def test_a_truth_on_the_edge_of_the_interval_is_inside() -> None:
    assert track_record([(Estimate(0.8, 0.75, 0.85), Truth(0.75, 10))]).inside == 1


def test_honest_intervals_cover_their_truths_at_the_stated_rate() -> None:
    rng = np.random.default_rng(1)
    said = rng.uniform(0.6, 0.9, 2000)
    found = track_record(pairs(list(said), list(said + rng.normal(0, 0.05 / 1.96, 2000))))
    assert found.coverage[0] < 0.95 < found.coverage[1]
