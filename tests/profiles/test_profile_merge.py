"""Profiles of parts merge to the profile of the whole, and survive being bytes."""

from __future__ import annotations

import pickle

import numpy as np
import pyarrow as pa
import pytest

from controlplane.profiles import Bins, Profile, ProfileBuilder, fit_bins


def rows(n: int, seed: int) -> pa.RecordBatch:
    rng = np.random.default_rng(seed)
    holes = rng.random(n) < 0.1
    return pa.record_batch(
        {
            "x": pa.array(rng.normal(1e6, 1.0, n), mask=holes),
            "n": pa.array(rng.integers(0, 9, n)),
            "city": pa.array(rng.choice(["a", "b", f"new{seed}"], n)),
            "v": pa.array(list(rng.normal(size=(n, 3)))),
        }
    )


@pytest.fixture(scope="module")
def bins() -> Bins:
    reference = rows(4000, 0)
    return fit_bins(lambda: iter([reference]), max_bins=256)


def test_counts_merge_exactly_and_moments_to_rounding_however_the_rows_are_cut(bins: Bins) -> None:
    window = rows(10_000, 1)
    whole = ProfileBuilder(bins).add(window).build()
    parts = [ProfileBuilder(bins).add(window.slice(start, 777)).build() for start in range(0, 10_000, 777)]
    for order in (parts, parts[::-1]):
        merged = order[0]
        for part in order[1:]:
            merged = merged.merge(part)
        for name, column in merged.columns.items():
            same = whole[name]
            assert np.array_equal(column.slots, same.slots)
            for count in ("n", "nulls", "nans", "unseen", "absent", "wrong_length", "examples"):
                assert getattr(column, count) == getattr(same, count)
            if column.finite:
                assert (column.low, column.high) == (same.low, same.high)
                assert column.mean == pytest.approx(same.mean, rel=1e-12, abs=1e-12)
                assert column.m2 == pytest.approx(same.m2, rel=1e-12)


def test_the_moments_are_those_of_numpy(bins: Bins) -> None:
    window = rows(10_000, 2)
    builder = ProfileBuilder(bins)
    for start in range(0, 10_000, 1234):
        builder.add(window.slice(start, 1234))
    column, values = builder.build()["x"], window["x"].drop_null().to_numpy()
    assert column.mean == pytest.approx(values.mean(), rel=1e-12)
    assert column.std == pytest.approx(values.std(), rel=1e-11), "a mean of a million spreads of one"


def test_schema_remarks_of_parts_are_united(bins: Bins) -> None:
    one = ProfileBuilder(bins).add(rows(9, 3).drop_columns(["x"])).build()
    other = ProfileBuilder(bins).add(rows(9, 3).append_column("late", pa.array(range(9)))).build()
    merged = one.merge(other)
    assert merged.missing_columns == ("x",) and merged.new_columns == ("late",) and merged["x"].absent == 9


def test_profiles_of_different_bins_do_not_merge(bins: Bins) -> None:
    one = ProfileBuilder(bins).add(rows(9, 3)).build()
    with pytest.raises(ValueError, match="different bins"):
        one.merge(ProfileBuilder(fit_bins(lambda: iter([rows(9, 3)]))).build())


def test_a_profile_survives_being_bytes_and_being_pickled(bins: Bins) -> None:
    window = rows(500, 4)
    odd = window.set_column(1, "n", pa.array(["?"] * 500)).append_column("late", pa.array(range(500)))
    profile = ProfileBuilder(bins).add(window).add(odd).build()
    for again in (Profile.from_bytes(profile.to_bytes()), pickle.loads(pickle.dumps(profile))):
        assert again.digest == profile.digest and again.bins.digest == bins.digest
        assert again["x"].low == profile["x"].low and dict(again.type_changed) == {"n": "string"}
        assert again.merge(profile).n == 2000


def test_any_difference_changes_the_digest(bins: Bins) -> None:
    one = ProfileBuilder(bins).add(rows(500, 5)).build()
    assert one.digest == ProfileBuilder(bins).add(rows(500, 5)).build().digest
    assert one.digest != ProfileBuilder(bins).add(rows(500, 6)).build().digest


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"not a profile"])
def test_bytes_that_are_no_profile_are_one_sentence(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"not a profile|format"):
        Profile.from_bytes(data)


def test_a_profile_of_another_format_is_refused_by_name() -> None:
    sink = pa.BufferOutputStream()
    schema = pa.schema([("name", pa.string())], metadata={"controlplane": '{"format": "controlplane-profile-99"}'})
    with pa.ipc.new_stream(sink, schema):
        pass
    with pytest.raises(ValueError, match="controlplane-profile-99"):
        Profile.from_bytes(sink.getvalue().to_pybytes())
