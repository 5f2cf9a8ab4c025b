"""A reference: what normal looks like, as a profile with its bins and a capped sample of its rows."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property

import numpy as np
import pyarrow as pa

from controlplane.domain.monitor import Columns
from controlplane.profiles.bins import MAX_BINS, Batches, fit_bins
from controlplane.profiles.blocks import Blocks
from controlplane.profiles.codec import libraries
from controlplane.profiles.digests import feed
from controlplane.profiles.hashing import hash_rows
from controlplane.profiles.kinds import Ints
from controlplane.profiles.profile import Profile, ProfileBuilder
from controlplane.profiles.requests import Requests
from controlplane.profiles.sampling import Sampler

FORMAT = "controlplane-reference-2"


@dataclass(frozen=True, eq=False)
class Reference:
    """What the rows of a model's reference look like.

    `profile` counts all of them, `rows` is a sample by hash at `rate`, `version` the model version it belongs to,
    `source` in words where the rows came from. `blocks` is what a page budget learns from, `importance` how much each
    column weighs in the model's answers, 1 for the one that weighs most. `requests` are those that the rows came with,
    failed ones too; None where the rows do not tell of any.
    """

    profile: Profile
    rows: pa.Table
    columns: Columns
    version: str | None = None
    rate: float = 1.0
    source: str = ""
    blocks: Blocks | None = None
    importance: Mapping[str, float] = field(default_factory=dict)
    requests: Requests | None = None

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the content, in hexadecimal: the same rows give the same digest, whenever and wherever built."""
        digest = hashlib.sha256()
        schema = [[field.name, str(field.type)] for field in self.rows.schema]
        feed(digest, [self.profile.digest, json.dumps(asdict(self.columns), sort_keys=True), self.version, self.rate])
        feed(digest, [self.source, schema, json.dumps(dict(self.importance), sort_keys=True)])
        if self.blocks is not None:
            self.blocks.feed(digest)
        if self.requests is not None:
            feed(digest, [self.requests.rate])
            feed(digest, _hashes(self.requests.table))
        feed(digest, _hashes(self.rows))
        return digest.hexdigest()

    def to_bytes(self) -> bytes:
        """A zip of a header, the profile and the rows (Arrow, uncompressed, so that reading it copies nothing)."""
        header = {
            "format": FORMAT,
            "libraries": libraries(),
            "columns": asdict(self.columns),
            "version": self.version,
            "rate": self.rate,
            "source": self.source,
            "importance": dict(self.importance),
        }
        parts = {
            "header.json": json.dumps(header, sort_keys=True).encode(),
            "profile.arrow": self.profile.to_bytes(),
            "rows.arrow": _stream(self.rows),
        }
        if self.blocks is not None:
            parts["blocks.arrow"] = _stream(self.blocks.to_table())
        if self.requests is not None:
            parts["requests.arrow"] = _stream(self.requests.to_table())
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            for name, data in parts.items():
                archive.writestr(zipfile.ZipInfo(name), data)
        return file.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Reference:
        """The inverse of `to_bytes`; raises ValueError for bytes that are no reference, or of another format."""
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                header, profile, rows = (
                    archive.read(f"{name}") for name in ("header.json", "profile.arrow", "rows.arrow")
                )
                blocks, requests = (
                    archive.read(name) if name in archive.namelist() else None
                    for name in ("blocks.arrow", "requests.arrow")
                )
        except (zipfile.BadZipFile, KeyError) as error:
            raise ValueError(f"not a reference: {error}") from None
        said = json.loads(header)
        if said.get("format") != FORMAT:
            raise ValueError(f"a reference of format {said.get('format')!r} cannot be read; this one reads {FORMAT!r}")
        lists = {name: tuple(said["columns"].get(name, ())) for name in ("features", "ignored")}
        columns = Columns(**{**said["columns"], **lists})
        table = pa.ipc.open_stream(pa.py_buffer(rows)).read_all()
        return cls(
            Profile.from_bytes(profile),
            table,
            columns,
            said["version"],
            said["rate"],
            said["source"],
            None if blocks is None else Blocks.from_table(pa.ipc.open_stream(pa.py_buffer(blocks)).read_all()),
            said["importance"],
            None if requests is None else Requests.from_table(pa.ipc.open_stream(pa.py_buffer(requests)).read_all()),
        )


def build_reference(
    batches: Batches,
    columns: Columns,
    version: str | None = None,
    cap: int = 20_000,
    seed: int = 0,
    max_bins: int = MAX_BINS,
    source: str = "",
) -> Reference:
    """Build a reference in two passes over its rows: one fits the bins, one counts into them and samples.

    `batches` is called twice and must give the same rows both times. Features, prediction and probability are
    profiled; times, ids, versions and labels are not, for a window may lack them.
    """
    first = next(iter(batches()), None)
    names = [] if first is None else first.schema.names
    watched = [*columns.features_of(names), *_named(columns.prediction), *_named(columns.probability)]
    bins = fit_bins(batches, watched, max_bins, columns.no_inputs)
    builder, sampler = ProfileBuilder(bins), Sampler(cap, columns.row_id, seed)
    for batch in batches():
        builder.add(batch)
        sampler.add(batch)
    rows, rate = sampler.table()
    return Reference(builder.build(), rows, columns, version, rate, source)


def _hashes(table: pa.Table) -> Ints:
    hashes = [hash_rows(batch) for batch in table.to_batches()]
    return np.concatenate([np.empty(0, np.uint64), *hashes]).view(np.int64)


def _stream(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def _named(name: str | None) -> Iterator[str]:
    if name is not None:
        yield name
