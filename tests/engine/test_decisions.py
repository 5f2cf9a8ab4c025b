"""The bench of decisions, reduced to seconds: whole histories lived through, as in `make bench-rollback`."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

BENCH = Path(__file__).parents[1] / "benchmarks/rollback/decisions.py"


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    spec = spec_from_file_location("decisions_bench", BENCH)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_no_rollback_is_made_where_none_would_help(bench: ModuleType) -> None:
    lived = [one for found in bench.lives(bench.NO_HELP, 4, 1, 0).values() for one in found]
    assert [one.made for one in lived if one.made is not None] == []
    assert sum(one.proofs for one in lived) > 50


def test_a_version_that_fell_is_left_for_the_one_that_did_not(bench: ModuleType) -> None:
    lived = [one for found in bench.lives(bench.HELP, 8, 1, 100).values() for one in found]
    assert [one.case for one in lived if not one.found] == []
    assert {len(one.case.targets) for one in lived} == {1, 2, 3}
