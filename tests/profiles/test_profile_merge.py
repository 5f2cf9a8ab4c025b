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


@pytest.mark.parametrize("seed", range(40))
def test_any_cut_merged_in_any_order_and_any_grouping_is_the_whole(seed: int) -> None:
    """Columns, sizes, cuts and the shape of the tree of merges are all drawn; counts are equal, moments to 1e-12."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 3000))
    window = drawn(rng, n)
    bins = fit_bins(lambda: iter([drawn(rng, 500)]), max_bins=int(rng.integers(4, 200)))
    cuts = np.sort(rng.integers(0, n + 1, rng.integers(0, 40)))
    pieces = [window.slice(a, b - a) for a, b in zip([0, *cuts], [*cuts, n], strict=True)]
    parts = [ProfileBuilder(bins).add(piece).build() for piece in pieces]
    while len(parts) > 1:
        one, other = (parts.pop(int(rng.integers(len(parts)))) for _ in range(2))
        parts.append(one.merge(other))
    whole = ProfileBuilder(bins).add(window).build()
    assert parts[0].digest == whole.digest, "every count, range and example"
    for name, same in whole.columns.items():
        column = parts[0][name]
        # Both are taken about the bins' origin, so rounding is relative to the distance from it.
        assert column.offset == pytest.approx(same.offset, rel=1e-12, abs=1e-12 * (same.std + abs(same.offset)))
        assert column.m2 == pytest.approx(same.m2, rel=1e-12, abs=1e-12 * same.finite * same.offset**2)


def drawn(rng: np.random.Generator, n: int) -> pa.RecordBatch:
    """Rows with holes, infinities, atoms, ties and strangers, at a scale and place that are drawn too."""
    numbers = rng.normal(rng.normal() * 10.0 ** rng.integers(-3, 6), 10.0 ** rng.integers(-3, 4), n)
    odd = rng.choice([np.inf, -np.inf, np.nan, 0.0, -0.0], n)
    names = rng.choice(["a", "b", "c", f"stranger {rng.integers(9)}"], n)
    return pa.record_batch(
        {
            "number": pa.array(np.where(rng.random(n) < 0.2, odd, numbers), mask=rng.random(n) < 0.1),
            "count": pa.array(rng.poisson(3, n)),
            "name": pa.array(names, mask=rng.random(n) < 0.1),
            "code": pa.array(names).dictionary_encode(),
            "flag": pa.array(rng.random(n) < 0.3, mask=rng.random(n) < 0.1),
            "vector": pa.array([rng.normal(size=size) for size in rng.integers(0, 3, n)]),
        }
    )


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
