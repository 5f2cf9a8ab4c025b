"""The blocks of a reference: every check that speaks to a page budget, measured on each stretch as long as a window."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from controlplane import ports
from controlplane.domain.monitor import Window
from controlplane.errors import CheckError, NotEnoughData
from controlplane.profiles import Profile, ProfileBuilder, Reference
from controlplane.profiles.blocks import Blocks, collect
from controlplane.profiles.requests import Requests
from controlplane.profiles.scores import Statistic


@dataclass(frozen=True, slots=True)
class ScoredCheck:
    """A check of a monitor as a worker needs it: its name there, its kind, its parameters and its least rows."""

    name: str
    kind: str
    params: Mapping[str, Any]
    min_rows: int


def cut(
    rows: pa.Table,
    reference: Reference,
    checks: Sequence[ScoredCheck],
    model: ports.Model | None,
    length: timedelta,
    anchor: datetime,
    requests: Requests | None = None,
) -> Blocks | None:
    """The statistics of each block of the rows, or None where the rows bear no times.

    Blocks are as long as a window and begin where windows begin: `anchor` is the end of any of them. A block that a
    check cannot measure lacks its statistics. `requests` are all that the rows came with.
    """
    starts, parts = [], []
    for window, block in _blocks(rows, reference.columns.event_time, length, anchor):
        starts.append(window.start.timestamp())
        parts.append((window, block))
    if not parts:
        return None
    found: list[dict[str, list[Statistic]]] = [{} for _ in parts]
    profiles = [_profile(block, reference) for _, block in parts]
    for spec in checks:
        check = ports.load("checks", spec.kind)()
        chosen = _spread(len(parts), check.most_blocks)
        for index in chosen:
            window, block = parts[index]
            asked = requests.within(window) if requests is not None and ports.Need.REQUESTS in check.needs else None
            if (block.num_rows if asked is None else len(asked)) >= spec.min_rows:
                found[index][spec.name] = _measure(check, spec, window, block, profiles[index], reference, model, asked)
    return collect(length, starts, found)


def _spread(number: int, most: int | None) -> list[int]:
    if most is None or number <= most:
        return list(range(number))
    return sorted({round(place) for place in np.linspace(0, number - 1, most)})


def _measure(
    check: Any,
    spec: ScoredCheck,
    window: Window,
    block: pa.Table,
    profile: Profile,
    reference: Reference,
    model: ports.Model | None,
    requests: Requests | None,
) -> list[Statistic]:
    sample = ports.Sample(
        window=window,
        rows=block,
        columns=reference.columns,
        version=reference.version,
        profile=profile,
        reference=reference,
        model=model,
        requests=requests,
    )
    params = check.Params(**spec.params)
    try:
        measures = check.measure(sample, params) if set(check.scored) & set(check.measures) else ()
        return list(check.statistics(sample, params, measures))
    except (NotEnoughData, CheckError):
        return []


def _profile(block: pa.Table, reference: Reference) -> Profile:
    builder = ProfileBuilder(reference.profile.bins)
    for batch in block.to_batches():
        builder.add(batch)
    return builder.build()


def _blocks(rows: pa.Table, event_time: str, length: timedelta, anchor: datetime) -> Iterator[tuple[Window, pa.Table]]:
    """Each block with rows in it, in time order."""
    if event_time not in rows.column_names or not pa.types.is_temporal(rows.schema.field(event_time).type):
        return
    times = rows.column(event_time)
    try:
        stamps = times.cast(pa.timestamp("us", "UTC")).combine_chunks()
    except pa.ArrowException as error:
        raise CheckError(f"the times in column {event_time!r} of the reference cannot be read: {error}") from None
    known = np.flatnonzero(pc.is_valid(stamps).to_numpy(zero_copy_only=False))
    micros = pc.fill_null(stamps.cast(pa.int64()), 0).to_numpy(zero_copy_only=False)[known]
    long, offset = length // timedelta(microseconds=1), round(anchor.timestamp() * 1e6)
    places = (micros - offset) // long
    order = np.argsort(places, kind="stable")
    values, firsts = np.unique(places[order], return_index=True)
    for place, members in zip(values, np.split(known[order], firsts[1:]), strict=True):
        start = datetime.fromtimestamp((int(place) * long + offset) / 1e6, UTC)
        yield Window(start, start + length), rows.take(pa.array(members))
