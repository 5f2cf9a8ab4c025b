"""Which rows are kept of a stream too long to keep: decided by a hash, so that everybody keeps the same ones."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from controlplane.profiles.hashing import Hashes, hash_rows, hash_values, mix


def hashes_of(batch: pa.RecordBatch, row_id: str | None, seed: int = 0, start: int = 0) -> Hashes:
    """One uniform 64-bit number a row: of its row id, or, without one, of its content and its place in the stream.

    `start` is how many rows came before the batch. A batch without the column `row_id` is hashed by content.
    """
    salt = mix(np.array([seed % 2**64], np.uint64))
    if row_id is not None and row_id in batch.schema.names:
        return mix(hash_values(batch.column(row_id)) ^ salt)
    places = np.arange(start, start + len(batch), dtype=np.uint64)
    return mix(mix(hash_rows(batch) + places * np.uint64(0x9E3779B97F4A7C15)) ^ salt)


def keep(
    batch: pa.RecordBatch, rate: float, row_id: str | None = None, seed: int = 0, start: int = 0
) -> npt.NDArray[np.bool_]:
    """Which rows a sample of this rate keeps, shape (n,); a row kept at a rate is kept at every higher one.

    >>> batch = pa.record_batch({"id": range(10_000)})
    >>> int(keep(batch, 0.1, "id").sum())
    1023
    """
    if rate >= 1.0:
        return np.ones(len(batch), bool)
    kept: npt.NDArray[np.bool_] = hashes_of(batch, row_id, seed, start) < np.uint64(int(max(rate, 0.0) * 2**64))
    return kept


class Sampler:
    """Keeps the `cap` rows of a stream with the smallest hashes, in memory for about twice as many.

    The result does not depend on where batches end; with a `row_id` column it does not depend on the rows' order
    either, and rows that carry one id are kept or left together but for the very last.

    >>> table, rate = Sampler(2, "id").add(pa.record_batch({"id": ["a", "b", "c", "d"]})).table()
    >>> table["id"].to_pylist(), rate
    (['a', 'b'], 0.5)
    """

    def __init__(self, cap: int, row_id: str | None = None, seed: int = 0) -> None:
        self.cap, self.row_id, self.seed = cap, row_id, seed
        self._seen = 0
        self._schema: pa.Schema | None = None
        self._parts: list[tuple[pa.RecordBatch, Hashes, npt.NDArray[np.int64]]] = []
        self._held = 0
        self._bound = np.uint64(2**64 - 1)

    def add(self, batch: pa.RecordBatch) -> Sampler:
        """Take in one batch."""
        self._schema = self._schema or batch.schema
        hashes = hashes_of(batch, self.row_id, self.seed, self._seen)
        places = np.arange(self._seen, self._seen + len(batch))
        self._seen += len(batch)
        low = hashes <= self._bound
        self._parts.append((batch if low.all() else batch.filter(pa.array(low)), hashes[low], places[low]))
        self._held += int(low.sum())
        if self._held > 2 * self.cap:
            self._shrink()
        return self

    def _shrink(self) -> None:
        if self._held <= self.cap:
            return
        hashes = np.concatenate([part[1] for part in self._parts])
        places = np.concatenate([part[2] for part in self._parts])
        kept = np.zeros(len(hashes), bool)
        kept[np.lexsort((places, hashes))[: self.cap]] = True
        self._bound = hashes[kept].max() if self.cap else np.uint64(0)
        parts, end = [], 0
        for batch, own, place in self._parts:
            mask = kept[end : end + len(own)]
            end += len(own)
            if mask.any():
                parts.append((batch.filter(pa.array(mask)), own[mask], place[mask]))
        self._parts, self._held = parts, self.cap

    def table(self) -> tuple[pa.Table, float]:
        """The kept rows in order of arrival, and their share of all rows (1.0 of an empty stream)."""
        self._shrink()
        rate = self._held / self._seen if self._seen else 1.0
        if self._schema is None:
            return pa.table({}), rate
        batches = [batch for batch, _, _ in self._parts]
        return _concatenate(batches, self._schema), rate


def _concatenate(batches: list[pa.RecordBatch], schema: pa.Schema) -> pa.Table:
    if all(batch.schema.equals(schema) for batch in batches):
        return pa.Table.from_batches(batches, schema)
    tables = [pa.Table.from_batches([batch]) for batch in batches]
    try:
        return pa.concat_tables(tables, promote_options="permissive").combine_chunks()
    except pa.ArrowTypeError:
        return pa.concat_tables([_as_strings(table, tables) for table in tables], promote_options="permissive")


def _as_strings(table: pa.Table, tables: list[pa.Table]) -> pa.Table:
    """Spell out the columns whose types disagree beyond promotion, so that no row is lost to them."""
    for index, field in enumerate(table.schema):
        others = {str(other.schema.field(field.name).type) for other in tables if field.name in other.schema.names}
        if len(others) > 1:
            words = [None if value is None else str(value) for value in table.column(index).to_pylist()]
            table = table.set_column(index, field.name, pa.array(words, pa.string()))
    return table
