"""Profiles as bytes: an Arrow stream with one row a column, so that numbers stay exact and nothing is executed."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa

from controlplane.profiles.bins import Bins, ColumnBins
from controlplane.profiles.column import ColumnProfile
from controlplane.profiles.kinds import Kind
from controlplane.profiles.profile import COUNTS, MOMENTS, Profile, numbers_in

FORMAT = "controlplane-profile-2"
_SCHEMA = pa.schema(
    [
        ("name", pa.string()),
        ("kind", pa.string()),
        ("type", pa.string()),
        ("length", pa.int64()),
        ("step", pa.float64()),
        ("edges", pa.list_(pa.float64())),
        ("categories", pa.list_(pa.string())),
        ("slots", pa.list_(pa.int64())),
        ("examples", pa.list_(pa.string())),
        *((name, pa.int64()) for name in COUNTS),
        *((name, pa.float64()) for name in MOMENTS),
    ]
)


def libraries() -> dict[str, str]:
    """The versions of the libraries whose arithmetic a stored profile depends on."""
    return {"numpy": np.__version__, "pyarrow": pa.__version__}


def encode(profile: Profile) -> bytes:
    """The profile as an Arrow stream; see `Profile.to_bytes`."""
    header = {
        "format": FORMAT,
        "libraries": libraries(),
        "n": profile.n,
        "ignored": profile.bins.ignored,
        "unreadable": dict(profile.bins.unreadable),
        "missing_columns": profile.missing_columns,
        "type_changed": dict(profile.type_changed),
        "new_columns": profile.new_columns,
    }
    schema = _SCHEMA.with_metadata({"controlplane": json.dumps(header, sort_keys=True)})
    rows = [_row(profile.columns[bins.name]) for bins in profile.bins.columns]
    arrays = [pa.array([row[name] for row in rows], _SCHEMA.field(name).type) for name in _SCHEMA.names]
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_batch(pa.record_batch(arrays, schema=schema))
    data: bytes = sink.getvalue().to_pybytes()
    return data


def _row(column: ColumnProfile) -> dict[str, Any]:
    bins = column.bins
    return {
        "name": bins.name,
        "kind": bins.kind.value,
        "type": bins.type,
        "length": bins.length,
        "step": bins.step,
        "edges": bins.edges,
        "categories": bins.categories,
        "slots": column.slots,
        "examples": column.examples,
        **numbers_in(column),
    }


def decode(data: bytes) -> Profile:
    """The inverse of `encode`; raises ValueError."""
    try:
        table = pa.ipc.open_stream(pa.py_buffer(data)).read_all()
    except pa.ArrowInvalid as error:
        raise ValueError(f"not a profile: {error}") from None
    header = json.loads((table.schema.metadata or {}).get(b"controlplane", b"{}"))
    if header.get("format") != FORMAT:
        raise ValueError(f"a profile of format {header.get('format')!r} cannot be read; this version reads {FORMAT!r}")
    columns = [_column(table, index) for index in range(len(table))]
    return Profile(
        Bins(tuple(column.bins for column in columns), tuple(header["ignored"]), header.get("unreadable", {})),
        {column.bins.name: column for column in columns},
        header["n"],
        tuple(header["missing_columns"]),
        header["type_changed"],
        tuple(header["new_columns"]),
    )


def _column(table: pa.Table, index: int) -> ColumnProfile:
    def cell(name: str) -> Any:
        return table[name][index]

    bins = ColumnBins(
        cell("name").as_py(),
        Kind(cell("kind").as_py()),
        cell("type").as_py(),
        cell("edges").values.to_numpy(),
        tuple(cell("categories").as_py()),
        cell("length").as_py(),
        cell("step").as_py(),
    )
    numbers = {name: cell(name).as_py() for name in (*COUNTS, *MOMENTS)}
    return ColumnProfile(bins, cell("slots").values.to_numpy(), **numbers, examples=tuple(cell("examples").as_py()))
