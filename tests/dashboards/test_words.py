"""The examples in the docstrings hold; pages are scripts, so nothing under them is collected by itself."""

from __future__ import annotations

import doctest
from types import ModuleType

import pytest

from controlplane.dashboards import canonical, words


@pytest.mark.parametrize("module", [words, canonical])
def test_the_examples_of_a_module_hold(module: ModuleType) -> None:
    result = doctest.testmod(module)
    assert result.attempted > 0 and result.failed == 0
