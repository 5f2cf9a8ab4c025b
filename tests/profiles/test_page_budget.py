"""The page budget, from statistics to pages: known answers, and simulated streams that keep the promise."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import stats

from controlplane.profiles import Bins, Profile, ProfileBuilder, fit_bins
from controlplane.profiles.blocks import Blocks, Key, collect
from controlplane.profiles.calibration import Calibration, calibrate
from controlplane.profiles.detector import EDetector, Name, accumulate, step
from controlplane.profiles.promise import ENOUGH_BLOCKS, promise
from controlplane.profiles.scores import Statistic, statistics

DAY = 86_400
MONDAY = 4 * DAY  # 1970-01-05
HORIZON = 90.0
DATA = Path(os.environ.get("CONTROLPLANE_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))

Stream = Callable[[np.random.Generator, int], np.ndarray]


def blocks_of(values: np.ndarray, n: float = 200.0, variance: float = 1.0) -> Blocks:
    """Daily blocks of S statistics over n rows each; `values` has shape (B, S)."""
    keys = tuple(Key("drift", f"s{index}") for index in range(values.shape[1]))
    starts = MONDAY + DAY * np.arange(len(values))
    return Blocks(float(DAY), starts, keys, values, np.full(values.shape, n), np.full(values.shape[1], variance))


def scores_of(calibration: Calibration, values: np.ndarray, first: int, n: float = 200.0) -> np.ndarray:
    """The scores of days `first` and after, shape (T, 2 S)."""
    starts = MONDAY + DAY * (first + np.arange(len(values)))
    scores = calibration.score(values, np.full(values.shape, n), starts)
    return np.concatenate(scores, axis=1)


def pages_of(scores: np.ndarray, threshold: float) -> list[int]:
    """The windows that page, where every page starts the detector afresh."""
    values, pages = np.zeros((scores.shape[1], 4)), []
    for index, window in enumerate(scores):
        values = step(values, window)
        if values.mean() >= threshold:
            pages.append(index)
            values[:] = 0.0
    return pages


def independent(rng: np.random.Generator, days: int) -> np.ndarray:
    return rng.normal(0, 0.1, (days, 20)) + rng.normal(0, 200**-0.5, (days, 20))


def days_that_depend(rng: np.random.Generator, days: int) -> np.ndarray:
    state, rows = rng.normal(size=20), []
    for _ in range(days):
        state = 0.5 * state + math.sqrt(0.75) * rng.normal(size=20)
        rows.append(0.1 * state)
    return np.array(rows) + rng.normal(0, 200**-0.5, (days, 20))


def weekly_season(rng: np.random.Generator, days: int) -> np.ndarray:
    season = rng.normal(0, 0.2, (7, 20))
    return season[np.arange(days) % 7] + rng.normal(0, 0.05, (days, 20)) + rng.normal(0, 200**-0.5, (days, 20))


@pytest.mark.parametrize("stream", [independent, days_that_depend, weekly_season])
def test_without_drift_pages_come_no_more_often_than_the_budget(stream: Stream) -> None:
    """2,000 windows on 8 references: a detector at twice its budget would pass with less than one chance in 1,000."""
    rng, pages, windows = np.random.default_rng(11), 0, 0
    for seed in range(8):
        values = stream(rng, 91 + 250)
        reference = blocks_of(values[:91])
        made = promise(reference, HORIZON, 0.05, seed)
        pages += len(pages_of(scores_of(calibrate(reference), values[91:], 91), made.threshold))
        windows += 250
    assert pages <= stats.poisson.ppf(0.99, windows / HORIZON)


@pytest.mark.skipif(not (DATA / "reference_hotel_booking.parquet").exists(), reason="the data is not here")
def test_real_days_of_bookings_keep_the_budget() -> None:
    table = pq.read_table(DATA / "reference_hotel_booking.parquet")
    days = np.array([str(moment)[:10] for moment in table["timestamp"].to_pylist()])
    names = [name for name in table.column_names if name not in ("timestamp", "is_canceled")]
    table = table.select(names)
    bins = fit_bins(lambda: iter(table.to_batches()))
    whole = counted(table, bins)
    found = [
        {"drift": statistics(whole, counted(table.filter(pa.array(days == day)), bins), tuple(names), "drift")}
        for day in np.unique(days)
    ]
    blocks = collect(timedelta(days=1), [MONDAY + DAY * index for index in range(len(found))], found)
    rng, pages = np.random.default_rng(3), 0
    for seed in range(8):
        drawn = rng.integers(0, len(blocks), 90 + 250)
        values, counts = blocks.values[drawn], blocks.counts[drawn]
        starts = MONDAY + DAY * np.arange(90)
        reference = Blocks(blocks.length, starts, blocks.keys, values[:90], counts[:90], blocks.variances)
        made = promise(reference, HORIZON, 0.05, seed)
        scores = calibrate(reference).score(values[90:], counts[90:], MONDAY + DAY * np.arange(90, 340))
        pages += len(pages_of(np.concatenate(scores, axis=1), made.threshold))
    assert pages <= stats.poisson.ppf(0.99, 8 * 250 / HORIZON)


def counted(table: pa.Table, bins: Bins) -> Profile:
    builder = ProfileBuilder(bins)
    for batch in table.to_batches():
        builder.add(batch)
    return builder.build()


@pytest.mark.parametrize(("shift", "most"), [(0.5, 6), (1.0, 2)])
def test_a_shift_is_seen_soon(shift: float, most: int) -> None:
    """Of one statistic in twenty, by `shift` standard deviations of a row; a day's own deviation is 0.12 of them."""
    rng, delays = np.random.default_rng(5), []
    for _ in range(40):
        values = independent(rng, 90 + 30)
        values[90:, 0] += shift
        pages = pages_of(scores_of(calibrate(blocks_of(values[:90])), values[90:], 90), HORIZON)
        delays.append(pages[0] + 1 if pages else 31)
    assert np.quantile(delays, 0.9) <= most


def test_a_shift_below_the_minimum_effect_does_not_page() -> None:
    rng = np.random.default_rng(6)
    values = rng.normal(0, 1e-3, (90 + 200, 5))
    values[90:] += 0.04
    reference = blocks_of(values[:90], 1e6)
    scores = scores_of(calibrate(reference, min_effect=0.05), values[90:], 90, 1e6)
    assert pages_of(scores, HORIZON) == []
    scores = scores_of(calibrate(reference, min_effect=0.0), values[90:], 90, 1e6)
    assert pages_of(scores, HORIZON)


def test_a_score_is_standard_normal_less_the_allowance_while_nothing_changes() -> None:
    """The mean over references is minus the allowance: here the reference's own error of one over the root of 90."""
    rng, means, spreads = np.random.default_rng(7), [], []
    for _ in range(200):
        values = rng.normal(0, 0.2, (90 + 50, 10))
        scores = calibrate(blocks_of(values[:90], 1e9), 0.0).score(
            values[90:], np.full((50, 10), 1e9), MONDAY + DAY * np.arange(90, 140)
        )
        means.append(scores[0].mean())
        spreads.append(scores[0].std())
    assert abs(np.mean(means) + 90**-0.5) < 4 * np.std(means) / math.sqrt(200)
    assert 0.9 < np.mean(spreads) <= 1.01


def test_fewer_rows_make_a_window_less_surprising() -> None:
    rng = np.random.default_rng(8)
    calibration = calibrate(blocks_of(rng.normal(0, 0.1, (60, 1)), 100.0))
    odd = np.array([[1.0]])
    many, few = (
        float(calibration.score(odd, np.array([[n]]), np.array([MONDAY + 60 * DAY]))[0, 0, 0]) for n in (1e3, 1.0)
    )
    assert many > 5 > 1 > few


def test_a_weekly_season_is_expected() -> None:
    rng = np.random.default_rng(9)
    season = np.where(np.arange(7 * 20) % 7 >= 5, 1.0, 0.0)[:, None]
    values = season + rng.normal(0, 0.1, (140, 1))
    calibration = calibrate(blocks_of(values[:133], 1e6))
    week = scores_of(calibration, values[133:], 133, 1e6)
    assert np.abs(week).max() < 4
    wrong_day = scores_of(calibration, np.array([[1.0]]), 133, 1e6)
    assert wrong_day.max() > 4


def test_inside_what_was_seen_a_value_counts_no_more_than_its_rank() -> None:
    """A statistic that leaps once in thirty days: the leap is nothing new, whatever its standard deviations are."""
    values = np.zeros((90, 1))
    values[::30] = 1.0
    values += np.random.default_rng(1).normal(0, 1e-3, values.shape)
    calibration = calibrate(blocks_of(values, 1e9), 0.0)
    leap = float(scores_of(calibration, np.array([[0.999]]), 90, 1e9)[0, 0])
    assert leap <= stats.norm.isf(1.5 / 91)


def test_statistics_with_too_few_blocks_are_left_out_and_the_rest_are_not() -> None:
    values = np.random.default_rng(2).normal(0, 0.1, (20, 2))
    values[7:, 1] = np.nan
    calibration = calibrate(blocks_of(values))
    assert [key.name for key in calibration.keys] == ["s0"]
    assert calibrate(blocks_of(values[:7])).keys == ()


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_constant_statistic_gives_finite_scores(value: float) -> None:
    calibration = calibrate(blocks_of(np.full((30, 1), value), 50.0, 1e-3))
    assert np.isfinite(scores_of(calibration, np.array([[value], [0.5]]), 30, 50.0)).all()


def test_location_is_the_rank_test_of_mann_and_whitney() -> None:
    rng = np.random.default_rng(4)
    before, after = np.round(rng.normal(size=500), 1), np.round(rng.normal(0.3, 1.5, 80), 1)
    batch = pa.table({"x": before})
    bins = fit_bins(lambda: iter(batch.to_batches()))
    found = statistics(counted(batch, bins), counted(pa.table({"x": after}), bins), ("x",), "drift")
    location = next(one for one in found if one.name == "location")
    chance = stats.mannwhitneyu(after, before).statistic / (len(before) * len(after))
    assert location.value == pytest.approx(math.sqrt(3) * (2 * chance - 1), abs=1e-9)
    assert (location.n, location.side, location.measure) == (80, 0, "drift")


def test_a_column_of_two_values_is_watched_by_one_number() -> None:
    batch = pa.table({"x": [0.0, 1.0] * 50, "s": ["a", "b"] * 50, "t": pa.array([True, False] * 50)})
    bins = fit_bins(lambda: iter(batch.to_batches()))
    whole = counted(batch, bins)
    found = statistics(whole, whole, ("x", "s", "t"), "drift")
    assert [(one.column, one.name) for one in found if one.name != "missing"] == [
        ("x", "location"),
        ("s", "share of 'a'"),
        ("s", "share of other categories"),
        ("t", "share of 'false'"),
    ]


def test_the_mean_time_to_a_false_page_is_at_least_the_threshold() -> None:
    """Standard normal scores, half of them copies of one another: an average of e-detectors cares for neither."""
    rng, first = np.random.default_rng(12), []
    for _ in range(300):
        values, window = np.zeros((8, 4)), 0
        while values.mean() < 20 and window < 2_000:
            common = rng.normal()
            values = step(values, np.concatenate((np.full(4, common), rng.normal(size=4))))
            window += 1
        first.append(window)
    assert np.mean(first) - 4 * np.std(first) / math.sqrt(300) >= 20


SCORE: Name = ("drift", "location", "age", 1)
OTHER: Name = ("performance", "accuracy", None, -1)


def test_folding_the_scores_again_gives_the_same_state_to_the_last_bit() -> None:
    rng, windows = np.random.default_rng(13), []
    state = EDetector()
    for index in range(120):
        shift = 2.5 if 60 <= index < 80 else 0.0
        windows.append({SCORE: float(rng.normal() + shift), OTHER: float(rng.normal())})
        if index % 7 == 0:
            windows[-1].pop(OTHER)
        state = accumulate(EDetector.load(state.dump()), windows[-1], 90)
    again = EDetector()
    for scores in windows:
        again = accumulate(again, scores, 90)
    assert again.dump() == state.dump()


def test_checks_weigh_the_same_however_many_scores_they_hand_in() -> None:
    many: dict[Name, float] = {("drift", "location", f"c{index}", 1): -9.0 for index in range(99)}
    state = accumulate(EDetector(), {**many, OTHER: 4.0}, 1e9)
    assert state.levels()["performance"] == pytest.approx(
        accumulate(EDetector(), {OTHER: 4.0}, 1e9).levels()["performance"] / 2
    )


def test_a_page_lasts_until_what_moved_is_back_and_then_starts_afresh() -> None:
    state = EDetector()
    for score in (6.0, 6.0, 6.0):
        state = accumulate(state, {SCORE: score, OTHER: -1.0}, 90)
    assert list(state.moved) == [SCORE]
    state = accumulate(state, {OTHER: -1.0}, 90)
    assert state.alarms, "a window without the score that moved says nothing of it"
    for _ in range(3):
        state = accumulate(state, {SCORE: -0.3, OTHER: -1.0}, 90)
    assert not state.alarms


def test_a_reference_that_pages_in_its_own_replays_gets_a_higher_threshold() -> None:
    rng = np.random.default_rng(14)
    runs = np.repeat(rng.standard_t(2, (18, 20)), 5, axis=0) * 0.3 + rng.normal(0, 0.1, (90, 20))
    made = promise(blocks_of(runs), HORIZON, 0.0)
    assert made.threshold > promise(blocks_of(independent(rng, 90)), HORIZON, 0.0).threshold
    assert made.high <= 1.0 and 0 <= made.low <= made.pages <= made.high


def test_what_a_reference_is_short_of_is_said() -> None:
    rng = np.random.default_rng(15)
    assert promise(blocks_of(independent(rng, ENOUGH_BLOCKS)), HORIZON, 0.05).short == ""
    assert "holds 20 windows, 40 fewer than the 60" in promise(blocks_of(independent(rng, 20)), HORIZON, 0.05).short
    assert "below 8 nothing can be scored" in promise(blocks_of(independent(rng, 5)), HORIZON, 0.05).short


def test_blocks_come_back_from_arrow_as_they_were() -> None:
    found = [
        {"drift": [Statistic("location", 0.1 * day, 10, 1.0, "age", 0, "drift")], "performance": []} for day in range(3)
    ]
    found[1]["performance"] = [Statistic("accuracy", 0.8, 9, 0.16, None, -1, "accuracy")]
    blocks = collect(timedelta(days=1), [MONDAY + DAY * day for day in range(3)], found)
    again = Blocks.from_table(blocks.to_table())
    assert again.keys == blocks.keys and again.length == blocks.length
    for name in ("starts", "values", "counts", "variances"):
        np.testing.assert_array_equal(getattr(again, name), getattr(blocks, name))
    assert [key.check for key in again.of(["performance"]).keys] == ["performance"]
