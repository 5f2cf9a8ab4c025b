"""On values in memory every statistic is scipy's and Evidently's to 1e-6: numbers, ties, categories, missing values."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import chi2_contingency, ks_2samp, wasserstein_distance
from scipy.stats.contingency import association

from controlplane.profiles.distances import chi_squared
from controlplane.profiles.figures import figures
from controlplane.profiles.intervals import Figure
from controlplane.profiles.pairs import Pair, exact_pair
from controlplane.profiles.significance import chi_squared_p_value

AGREE = 1e-6


@pytest.fixture(scope="module")
def evidently() -> Iterator[Callable[[str, str, pd.Series, pd.Series], float]]:
    """Evidently's drift score by the name of the method."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from evidently.legacy.calculations import stattests
        from evidently.legacy.core import ColumnType

        methods = {
            "ks": stattests.ks_stat_test,
            "wasserstein": stattests.wasserstein_stat_test,
            "psi": stattests.psi_stat_test,
            "jensenshannon": stattests.jensenshannon_stat_test,
            "chisquare": stattests.chi_stat_test,
            "z": stattests.z_stat_test,
        }

        def score(method: str, kind: str, before: pd.Series, after: pd.Series) -> float:
            # Evidently's own report drops what is missing before it calls a method.
            found = methods[method](before.dropna(), after.dropna(), ColumnType(kind), None)
            return float(found.drift_score)

        yield score


def pair(before: pd.Series, after: pd.Series) -> Pair:
    """The pair, with the arrays cut in two as the chunks of a table may be."""
    sides = []
    for side in (before, after):
        array = pa.array(side, from_pandas=True)
        sides.append([array.slice(0, 37), array.slice(37)])
    found = exact_pair("x", *sides)
    assert found is not None
    return found


def with_gaps(values: np.ndarray, rng: np.random.Generator) -> pd.Series:
    series = pd.Series(values.astype(object) if values.dtype.kind == "U" else values)
    return series.where(rng.random(len(series)) > 0.07)


def numbers(seed: int) -> tuple[pd.Series, pd.Series]:
    """Normal, skewed, tied, of few values, whole, and with an infinite spread of sizes; some with missing values."""
    rng = np.random.default_rng(seed)
    m, n = int(rng.integers(150, 3000)), int(rng.integers(90, 2500))
    shift = rng.uniform(-0.4, 0.4)
    draw: Callable[[int, float], np.ndarray] = [
        lambda size, by: rng.normal(5 + by, 1 + by / 3, size),
        lambda size, by: rng.gamma(2, 1 + by, size) ** 3,
        lambda size, by: np.round(rng.normal(by, 2, size), 1),
        lambda size, by: rng.poisson(4 + by, size).astype(float),
        lambda size, by: rng.integers(0, 300 + int(by * 50), size),
        lambda size, by: rng.integers(0, 26, size) + int(by * 5),
    ][seed % 6]
    before, after = draw(m, 0.0), draw(n, shift)
    if seed % 6 >= 4:
        return pd.Series(before), pd.Series(after)
    return with_gaps(before, rng), with_gaps(after, rng) if seed % 4 else pd.Series(after)


def names(seed: int) -> tuple[pd.Series, pd.Series]:
    """Categories that both sides hold; every other seed gives either side one that the other lacks."""
    rng = np.random.default_rng(seed)
    words = [f"c{index}" for index in range(2 + seed * 3)]
    p, q = rng.dirichlet(np.full(len(words), 5.0)), rng.dirichlet(np.full(len(words), 5.0))
    before, after = rng.choice(words, 2000 + seed, p=p), rng.choice(words, 700, p=q)
    before, after = np.concatenate([words, before]), np.concatenate([words, after])
    if seed % 2:
        before, after = np.append(before, ["only before"] * 9), np.append(after, ["new"] * 30)
    return with_gaps(before, rng), with_gaps(after, rng)


@pytest.mark.parametrize("seed", range(12))
def test_numbers_are_compared_as_scipy_and_evidently_do(seed: int, evidently: Any) -> None:
    before, after = numbers(seed)
    found, one, two = figures(pair(before, after)), before.dropna(), after.dropna()
    ks = ks_2samp(one, two)
    assert found["ks"].estimate == pytest.approx(ks.statistic, abs=AGREE)
    assert found["ks"].p_value == pytest.approx(ks.pvalue, abs=AGREE, rel=AGREE)
    assert found["ks"].p_value == pytest.approx(evidently("ks", "num", before, after), abs=AGREE)
    carried = wasserstein_distance(one, two) / np.std(one)
    assert found["wasserstein"].estimate == pytest.approx(carried, abs=AGREE)
    assert found["wasserstein"].estimate == pytest.approx(evidently("wasserstein", "num", before, after), abs=AGREE)
    assert found["psi"].estimate == pytest.approx(evidently("psi", "num", before, after), abs=AGREE)
    nats = found["jensen_shannon"].estimate * math.sqrt(math.log(2))
    assert nats == pytest.approx(evidently("jensenshannon", "num", before, after), abs=AGREE)
    assert all(figure.hidden == pytest.approx(0, abs=1e-12) for figure in found.values())


@pytest.mark.parametrize("seed", range(8))
def test_categories_are_compared_as_scipy_and_evidently_do(seed: int, evidently: Any) -> None:
    before, after = names(seed)
    compared = pair(before, after)
    found = figures(compared)
    table = pd.DataFrame({"one": before.value_counts(), "two": after.value_counts()}).fillna(0).to_numpy()
    test = chi2_contingency(table, correction=False)
    assert found["chi_squared"].p_value == pytest.approx(test.pvalue, abs=AGREE, rel=AGREE)
    assert found["chi_squared"].estimate == pytest.approx(association(table.astype(int), method="cramer"), abs=AGREE)
    distance = jensenshannon(table[:, 0], table[:, 1], base=2)
    assert found["jensen_shannon"].estimate == pytest.approx(distance, abs=AGREE)
    nats = found["jensen_shannon"].estimate * math.sqrt(math.log(2))
    assert nats == pytest.approx(evidently("jensenshannon", "cat", before, after), abs=AGREE)
    assert found["psi"].estimate == pytest.approx(evidently("psi", "cat", before, after), abs=AGREE)
    against_the_reference = chi_squared_p_value(*chi_squared(*compared.cells, known=True))
    with np.errstate(divide="ignore"):
        assert against_the_reference == pytest.approx(evidently("chisquare", "cat", before, after), abs=AGREE)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.usefixtures("evidently")
def test_total_variation_is_the_one_that_evidently_permutes(seed: int) -> None:
    from evidently.legacy.calculations.stattests.tvd_stattest import _total_variation_distance

    before, after = names(seed)
    found = figures(pair(before, after))["total_variation"]
    table = pd.DataFrame({"one": before.value_counts(), "two": after.value_counts()}).fillna(0)
    shares = table / table.sum()
    assert found.estimate == pytest.approx((shares["one"] - shares["two"]).abs().sum() / 2, abs=AGREE)
    assert _total_variation_distance(before.dropna(), after.dropna()) == pytest.approx(found.estimate, abs=AGREE)


def test_missing_values_are_tested_as_evidently_tests_two_shares(evidently: Any) -> None:
    rng = np.random.default_rng(3)
    before, after = (pd.Series(np.where(rng.random(n) < share, np.nan, 1.0)) for n, share in ((900, 0.1), (500, 0.14)))
    found = figures(pair(before, after))["missing"]
    gone = [side.isna().map({True: "gone", False: "there"}) for side in (before, after)]
    assert found.p_value == pytest.approx(evidently("z", "cat", *gone), abs=AGREE)
    assert found.estimate == pytest.approx(after.isna().mean() - before.isna().mean())
    assert found.low < found.estimate < found.high and found.n == 500


def test_infinities_are_the_ends_of_the_line_as_in_scipy() -> None:
    rng = np.random.default_rng(4)
    before, after = rng.normal(size=400), np.append(rng.normal(size=300), [np.inf] * 40 + [-np.inf] * 5)
    found = figures(pair(pd.Series(before), pd.Series(after)))["ks"]
    exact = ks_2samp(before, after)
    assert (found.estimate, found.p_value) == pytest.approx((exact.statistic, exact.pvalue), abs=AGREE)


def test_more_rows_than_the_exact_p_value_takes_are_scipys_too() -> None:
    rng = np.random.default_rng(5)
    before, after = rng.normal(size=12_000), rng.normal(0.02, 1, size=15_000)
    found, exact = figures(pair(pd.Series(before), pd.Series(after)))["ks"], ks_2samp(before, after)
    assert (found.estimate, found.p_value) == pytest.approx((exact.statistic, exact.pvalue), abs=AGREE)


def test_a_unit_does_not_change_the_distance_where_evidently_takes_a_floor(evidently: Any) -> None:
    rng = np.random.default_rng(6)
    before, after = pd.Series(rng.normal(0, 1e-4, 500)), pd.Series(rng.normal(1e-4, 1e-4, 500))
    ours, theirs = figures(pair(before, after))["wasserstein"].estimate, evidently("wasserstein", "num", before, after)
    assert ours == pytest.approx(figures(pair(before * 1e6, after * 1e6))["wasserstein"].estimate)
    assert theirs == pytest.approx(ours * float(np.std(before)) / 0.001)


def test_no_rows_and_no_values_give_no_statistic_of_values() -> None:
    none, some = pd.Series([], dtype=float), pd.Series([1.0, 2.0])
    assert figures(pair(some, none)) == {}
    assert list(figures(pair(some, pd.Series([np.nan, np.nan])))) == ["missing"]


def test_one_constant_value_on_both_sides_is_no_distance() -> None:
    found = figures(pair(pd.Series([7.0] * 50), pd.Series([7.0] * 80)))
    assert {name: figure.estimate for name, figure in found.items() if isinstance(figure, Figure)} == {
        "missing": 0.0,
        "ks": 0.0,
        "wasserstein": 0.0,
        "total_variation": 0.0,
        "jensen_shannon": 0.0,
        "psi": 0.0,
    }


def test_numbers_too_far_apart_for_a_histogram_are_still_compared() -> None:
    upper = np.linspace(1e307, 1.7e308, 30)
    before, after = pd.Series(np.append(-upper, upper)), pd.Series(upper)
    found = figures(pair(before, after))
    assert found["ks"].estimate == pytest.approx(ks_2samp(before, after).statistic)
    assert 0 < found["total_variation"].estimate < 1
