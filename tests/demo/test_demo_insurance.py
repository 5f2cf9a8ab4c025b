"""The tabular task: its split, its two versions and its windows."""

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from controlplane.arrival import publish
from controlplane.checks.intervals import wilson
from controlplane.demo import insurance
from controlplane.demo.stream import last_hours
from controlplane.demo.team import COLUMNS

SHIFTED = (False, False, False, False, True, False, False, False)


@pytest.fixture(scope="module")
def people() -> pa.Table:
    return insurance.people()


@pytest.fixture(scope="module")
def parts(people: pa.Table) -> insurance.Parts:
    return insurance.split(people)


@pytest.fixture(scope="module")
def versions(parts: insurance.Parts) -> tuple[object, object]:
    return insurance.fit(parts.train), insurance.fit(insurance.narrow(parts.train))


def feature_rows(rows: pa.Table) -> set[tuple[float, ...]]:
    return set(zip(*(rows[name].to_pylist() for name in insurance.FEATURES), strict=True))


def right(model: object, rows: pa.Table) -> tuple[float, float, float]:
    answered = insurance.answer(model, rows)
    hits = int((answered["prediction"].to_numpy() == answered[insurance.LABEL].to_numpy()).sum())
    return hits / rows.num_rows, *wilson(hits, rows.num_rows)


def test_the_data_are_the_published_ones(people: pa.Table) -> None:
    assert people.num_rows == 20_190
    assert np.mean(people[insurance.LABEL].to_numpy()) == pytest.approx(0.6876, abs=1e-4)


def test_no_feature_row_of_the_held_out_half_was_trained_on(parts: insurance.Parts) -> None:
    held_out = pa.concat_tables([parts.reference, parts.stream])
    assert feature_rows(parts.train).isdisjoint(feature_rows(held_out))


def test_no_person_straddles_the_split(people: pa.Table, parts: insurance.Parts) -> None:
    health = np.column_stack([people["disea"].to_numpy(), people["physlm"].to_numpy()])
    person = np.concatenate([[0], np.cumsum((health[1:] != health[:-1]).any(axis=1))])
    of = dict(zip(people["id"].to_pylist(), person.tolist(), strict=True))
    trained = {of[row] for row in parts.train["id"].to_pylist()}
    held_out = {of[row] for part in (parts.reference, parts.stream) for row in part["id"].to_pylist()}
    assert trained.isdisjoint(held_out)


def test_every_row_is_in_one_part(people: pa.Table, parts: insurance.Parts) -> None:
    ids = [row for part in (parts.train, parts.reference, parts.stream) for row in part["id"].to_pylist()]
    assert sorted(ids) == people["id"].to_pylist()


def test_no_window_repeats_a_row_of_another(parts: insurance.Parts) -> None:
    tables = insurance.windows(parts.stream, SHIFTED)
    ids = [row for table in tables for row in table["id"].to_pylist()]
    assert len(ids) == len(set(ids)) == 8 * insurance.WINDOW_ROWS


def test_more_windows_than_rows_are_refused(parts: insurance.Parts) -> None:
    with pytest.raises(ValueError, match="do not fill 20 windows"):
        insurance.windows(parts.stream, [False] * 20)


def test_the_narrow_version_is_worse_on_every_usual_window_beyond_doubt(
    parts: insurance.Parts, versions: tuple[object, object]
) -> None:
    for rows in insurance.windows(parts.stream, SHIFTED):
        _, low, _ = right(versions[0], rows)
        _, _, high = right(versions[1], rows)
        assert high < low


def test_only_the_shifted_window_differs_from_the_reference(parts: insurance.Parts) -> None:
    from scipy.stats import ks_2samp

    for rows, shifted in zip(insurance.windows(parts.stream, SHIFTED), SHIFTED, strict=True):
        largest = max(
            ks_2samp(rows[name].to_numpy(), parts.reference[name].to_numpy()).statistic for name in insurance.FEATURES
        )
        assert largest > 0.4 if shifted else largest < 0.1


def test_a_published_window_holds_its_rows_inside_its_hour(
    parts: insurance.Parts, versions: tuple[object, object], tmp_path: object
) -> None:
    import pyarrow.parquet as pq

    (window,) = last_hours(1, datetime(2026, 3, 1, 12, 34, tzinfo=UTC))
    rows = parts.stream.slice(0, 600)
    path = publish(insurance.answer(versions[0], rows), COLUMNS, "7", window, tmp_path / "rows")
    written = pq.read_table(path)
    moments = written["at"].to_pylist()
    assert window.start <= min(moments) and max(moments) < window.end
    assert set(written["model_version"].to_pylist()) == {"7"}
    assert written["id"].to_pylist() == rows["id"].to_pylist()
    assert [path.name for path in path.parent.iterdir()] == ["2026-03-01T1100.parquet"]
