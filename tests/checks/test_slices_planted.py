"""The bench of planted weak slices, reduced to seconds: 20,000 rows x 20 columns, as in `make bench-performance`."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

BENCH = Path(__file__).parents[1] / "benchmarks/performance/slices.py"


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    spec = spec_from_file_location("slices_bench", BENCH)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("support", "width"), [(0.03, 1), (0.03, 2), (0.10, 1), (0.10, 2)])
def test_a_planted_slice_is_found_where_it_is(bench: ModuleType, support: float, width: int) -> None:
    overlaps = bench.power(support, width, seeds=4)
    assert sum(overlap >= 0.5 for overlap in overlaps) >= 3, overlaps


def test_where_there_is_none_hardly_any_is_reported(bench: ModuleType) -> None:
    assert bench.false(5, uneven=False) + bench.false(5, uneven=True) <= 3
