"""What a check brings to inherit the contract suite: a quiet sample, and a harm that gets louder with its size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from controlplane.domain.monitor import Limit
from controlplane.ports import Sample


def with_rows(sample: Sample, rows: pa.Table) -> Sample:
    """The same sample over other rows; enough for a check that reads no profile."""
    return replace(sample, rows=rows)


@dataclass(frozen=True)
class Fixture:
    """Samples of one check. The same arguments must build the same sample.

    `quiet(seed)` holds no harm: under the check's default limits nothing may fail. `harm(size, seed)` holds harm of a
    size in [0, 1] (0: none) that moves `measure` towards worse, more for a larger size. `few(seed)` holds fewer than
    `min_rows` rows, for which the check must raise NotEnoughData. `hostile` names columns of the quiet sample's rows
    that the suite replaces by constant, all-null, infinite and unseen ones, handing the new rows to `rebuild`: a
    check that cannot measure them says so with CheckError or NotEnoughData, and never with another exception.
    `limits` stand where the check has no limits of its own. `apart` says that it measures several things that do not
    need one another: one that cannot be measured may then be no number, with the reason in its detail.
    """

    measure: str
    quiet: Callable[[int], Sample]
    harm: Callable[[float, int], Sample]
    few: Callable[[int], Sample]
    min_rows: int
    params: Any
    hostile: tuple[str, ...] = ()
    rebuild: Callable[[Sample, pa.Table], Sample] = with_rows
    sizes: tuple[float, ...] = (0.25, 0.5, 1.0)
    limits: tuple[Limit, ...] = ()
    apart: bool = False
