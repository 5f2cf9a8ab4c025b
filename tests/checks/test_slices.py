"""`slices` against hand-computed tables, planted weak slices and data without one, the page budget, and bad input."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from controlplane.checks.slices import Slices, SlicesParams
from controlplane.domain.monitor import Columns, Window
from controlplane.domain.verdict import Measure
from controlplane.errors import CheckError, NotEnoughData
from controlplane.ports import Sample
from controlplane.profiles import Reference, build_reference

START = datetime(2026, 1, 1, tzinfo=UTC)
WINDOW = Window(START, START + timedelta(days=1))
COLUMNS = Columns("at", row_id="id", prediction="said", probability="sure", label="truth")


def table_of(n: int, seed: int, wrong: Any = None, **columns: Any) -> pa.Table:
    """Rows answered right nine times in ten; `wrong` turns that chance of an error into another, row by row."""
    rng = np.random.default_rng(seed)
    rows = {
        "id": np.arange(n),
        "at": [START] * n,
        "age": rng.uniform(18, 90, n),
        "visits": rng.poisson(3, n),
        "sex": rng.choice(np.array(["f", "m"]), n),
        "country": rng.choice(np.array(["ESP", "FRA", "PRT"]), n, p=[0.3, 0.3, 0.4]),
        **columns,
    }
    chance = np.full(n, 0.1) if wrong is None else wrong(rows)
    truth = rng.integers(0, 2, n)
    said = np.where(rng.random(n) < chance, 1 - truth, truth)
    return pa.table({**rows, "said": said, "sure": np.where(said == 1, 0.9, 0.1), "truth": truth})


def sample(rows: pa.Table, reference: Reference | None = None, columns: Columns = COLUMNS, **more: Any) -> Sample:
    return Sample(WINDOW, rows, columns, version="1", reference=reference, **more)


def reference_of(rows: pa.Table) -> Reference:
    return build_reference(rows.to_batches, COLUMNS, "1")


def measured(given: Sample, **params: Any) -> dict[tuple[str, str | None], Measure]:
    found = Slices().measure(given, SlicesParams(**params))
    places = [(one.name, one.column or one.segment) for one in found]
    assert len(set(places)) == len(places)
    return dict(zip(places, found, strict=True))


def test_a_segment_is_measured_on_its_rows_with_wilsons_interval_and_against_the_reference() -> None:
    before = table_of(3000, 1)
    rows = table_of(2000, 2, lambda rows: np.where(rows["country"] == "PRT", 0.3, 0.1))
    found = measured(sample(rows, reference_of(before)), segments=("country", "age"), search=False)
    here, then = (
        np.asarray(one["said"])[np.asarray(one["country"]) == "PRT"]
        == np.asarray(one["truth"])[np.asarray(one["country"]) == "PRT"]
        for one in (rows, before)
    )
    level, fall = found["accuracy", "country=PRT"], found["accuracy_vs_baseline", "country=PRT"]
    assert level.estimate == pytest.approx(here.mean()) and level.n == len(here)
    assert level.low < here.mean() < level.high < 0.78
    assert fall.estimate == pytest.approx(here.mean() - then.mean()) and fall.high < -0.1
    assert abs(found["accuracy_vs_baseline", "country=ESP"].estimate) < 0.06
    ages = [one.n for (name, segment), one in found.items() if name == "accuracy" and segment and "age" in segment]
    assert len(ages) == 4 and sum(ages) == 2000
    assert found["accuracy", None].n == 2000


def test_two_columns_make_a_segment_and_a_number_keeps_the_references_edges() -> None:
    before = reference_of(table_of(3000, 1))
    young = table_of(2000, 2, age=np.random.default_rng(2).uniform(18, 40, 2000))
    found = measured(sample(young, before), segments=("country x sex", "age"), search=False)
    pairs = [segment for name, segment in found if name == "accuracy" and segment and "sex" in segment]
    assert sorted(pairs) == [f"country={country} and sex={sex}" for country in ("ESP", "FRA", "PRT") for sex in "fm"]
    old = measured(sample(table_of(2000, 3), before), segments=("age",), search=False)
    assert {segment for _, segment in found if segment and "age" in segment} < {segment for _, segment in old}


def test_a_slice_with_too_few_or_no_rows_is_named_and_is_no_number() -> None:
    before = reference_of(table_of(3000, 1))
    gone = table_of(600, 2)
    country = np.asarray(gone["country"]).astype(object)
    country[country == "FRA"] = "PRT"
    country[:7] = "USA"
    country[7:10] = None
    rows = gone.set_column(gone.column_names.index("country"), "country", pa.array(country.tolist()))
    found = measured(sample(rows, before), segments=("country",), search=False)
    assert {segment for _, segment in found} == {None, "country=ESP", "country=PRT"}
    assert found["accuracy", None].detail == (
        "left out: country=FRA has 0 rows, country is another has 7 rows, country is missing has 3 rows (30 are needed)"
    )


def test_a_planted_weak_slice_is_found_by_name_and_its_gap_is_measured_without_the_luck_of_being_found() -> None:
    rows = table_of(8000, 5, lambda rows: np.where((rows["age"] < 35) & (rows["sex"] == "f"), 0.35, 0.1))
    found = measured(sample(rows, reference_of(table_of(4000, 6))))
    assert found["weak_slices", None].estimate == found["new_weak_slices", None].estimate == 1.0
    ((_, segment),) = [place for place in found if place[0] == "slice_gap"]
    gap = found["slice_gap", segment]
    assert segment is not None and segment.startswith("age < 3") and segment.endswith(" and sex=f")
    assert gap.low < 0.25 < gap.high and gap.n < 0.6 * 8000 * 0.118
    assert "in the reference" in gap.detail and gap.detail.startswith("accuracy 0.")


def test_a_weakness_the_reference_has_too_is_not_new() -> None:
    def weak(rows: Any) -> np.ndarray:
        return np.where(rows["country"] == "ESP", 0.3, 0.1)

    found = measured(sample(table_of(6000, 7, weak), reference_of(table_of(6000, 8, weak))))
    assert found["weak_slices", None].estimate == 1.0
    assert found["new_weak_slices", None].estimate == 0.0


def test_two_weak_slices_are_two_and_one_is_not_reported_in_twenty_spellings() -> None:
    def weak(rows: Any) -> np.ndarray:
        return np.where(rows["country"] == "ESP", 0.3, np.where(rows["age"] > 70, 0.35, 0.1))

    found = measured(sample(table_of(8000, 9, weak)))
    names = [segment for name, segment in found if name == "slice_gap"]
    assert len(names) == 2 and "country=ESP" in names
    assert any(str(name).startswith(("age >= 7", "age in [70")) for name in names)


def test_the_interval_of_a_gap_covers_what_was_planted() -> None:
    covered = 0
    for seed in range(60):
        rows = table_of(3000, 100 + seed, lambda rows: np.where(rows["country"] == "FRA", 0.35, 0.1))
        found = measured(sample(rows, seed=seed))
        gap = found.get(("slice_gap", "country=FRA"))
        assert gap is not None
        covered += gap.low <= 0.25 <= gap.high
    assert covered / 60 > 0.88


def test_without_a_weak_slice_hardly_any_window_reports_one() -> None:
    windows = (sample(table_of(2000, seed), seed=seed) for seed in range(80))
    reported = sum(measured(window)["weak_slices", None].estimate > 0 for window in windows)
    assert reported <= 8  # at most 5 % each: more than 8 of 80 come by chance once in 50 such tests


def test_a_row_is_on_the_same_side_of_the_search_whatever_the_order() -> None:
    rows = table_of(4000, 11, lambda rows: np.where(rows["country"] == "ESP", 0.3, 0.1))
    shuffled = rows.take(np.random.default_rng(0).permutation(4000))
    one, other = (measured(sample(given))["slice_gap", "country=ESP"] for given in (rows, shuffled))
    assert one.estimate == pytest.approx(other.estimate) and one.n == other.n
    nameless = replace(COLUMNS, row_id=None)
    assert ("slice_gap", "country=ESP") in measured(sample(rows.drop_columns(["id"]), columns=nameless))


def test_a_regression_is_sliced_by_its_mean_absolute_error() -> None:
    rng = np.random.default_rng(12)
    rows = table_of(4000, 12)
    truth = rng.normal(100, 20, 4000)
    far = np.where(np.asarray(rows["country"]) == "FRA", 20.0, 10.0)
    rows = rows.drop_columns(["said", "sure", "truth"])
    rows = rows.append_column("said", pa.array(truth + rng.normal(size=4000) * far)).append_column("truth", [truth])
    found = measured(
        sample(rows, columns=replace(COLUMNS, probability=None)),
        task="regression",
        segments=("country",),
        groups=("sex",),
    )
    off = np.abs(np.asarray(rows["said"]) - truth)[np.asarray(rows["country"]) == "FRA"]
    assert found["mae", "country=FRA"].estimate == pytest.approx(off.mean())
    gap = found["slice_gap", "country=FRA"]
    assert gap.low < 10 * np.sqrt(2 / np.pi) < gap.high
    assert ("rate_gap", "sex") not in found and ("error_gap", "sex") in found


def test_each_segment_and_each_slice_of_the_grid_speaks_to_the_page_budget_on_its_harmful_side() -> None:
    before = reference_of(table_of(3000, 1))
    check, params = Slices(), SlicesParams(segments=("country",))
    given = sample(table_of(1000, 2, lambda rows: np.where(rows["country"] == "PRT", 0.4, 0.1)), before)
    said = {one.name: one for one in check.statistics(given, params, check.measure(given, params))}
    level = said["accuracy in country=PRT"]
    assert (level.measure, level.side, level.column) == ("accuracy", -1, None)
    assert level.variance == pytest.approx(level.value * (1 - level.value), rel=0.05)
    gap = said["slice_gap in country=PRT"]
    assert (gap.measure, gap.side, gap.n) == ("slice_gap", 1, level.n) and gap.value == pytest.approx(0.3, abs=0.07)
    assert {name for name in said if "age" in name} == {
        name.replace("accuracy", "slice_gap")
        for name, _ in ((f"accuracy in {segment}", 0) for segment in _quarters(given))
    }
    quiet = SlicesParams(segments=("country",), search=False)
    assert {one.name for one in check.statistics(given, quiet, check.measure(given, quiet))} == {
        f"accuracy in country={name}" for name in ("ESP", "FRA", "PRT")
    }


def _quarters(given: Sample) -> list[str]:
    found = measured(given, segments=("age",), search=False)
    return [str(segment) for name, segment in found if name == "accuracy" and segment]


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"metric": "rmse"}, "accuracy or brier or log_loss"),
        ({"task": "regression", "metric": "accuracy"}, "mae"),
        ({"search": False}, "nothing to measure"),
        ({"min_support": 0.7}, "between 0 and 0.5"),
        ({"min_gap": -1.0}, "at least 0"),
        ({"min_labels": 1}, "at least 2"),
    ],
)
def test_what_cannot_be_asked_for_is_one_sentence(params: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        SlicesParams(**params)


def test_bad_rows_are_named() -> None:
    rows = table_of(500, 1)
    with pytest.raises(CheckError, match="no column 'county'; a segment is"):
        measured(sample(rows), segments=("county",))
    with pytest.raises(CheckError, match="crosses more than two"):
        measured(sample(rows), segments=("country x sex x age",))
    with pytest.raises(CheckError, match="cannot be cut into segments"):
        measured(sample(rows), segments=("at",))
    with pytest.raises(NotEnoughData, match="0 of 500 rows have a label"):
        empty = rows.set_column(rows.column_names.index("truth"), "truth", pa.nulls(500, pa.int64()))
        measured(sample(empty))
    spelled = rows.set_column(rows.column_names.index("age"), "age", pa.array(["old"] * 500))
    with pytest.raises(CheckError, match="'age' came as string"):
        measured(sample(spelled, reference_of(table_of(500, 2))), segments=("age",))
    with pytest.raises(CheckError, match="needs class probabilities"):
        measured(sample(rows, columns=replace(COLUMNS, probability=None)), metric="brier")


def test_few_rows_are_not_searched_and_report_none() -> None:
    found = measured(sample(table_of(40, 3)))
    assert found["weak_slices", None].estimate == 0.0 and found["weak_slices", None].n == 40
