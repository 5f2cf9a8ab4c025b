"""Requests -> batches: sampled, grouped by shape, redacted, and none the worse for a bad neighbour."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa

from controlplane.log.rows import Prepared, Redaction, Request, prepare, to_batch
from controlplane.profiles.sampling import keep

# Not the seed of the samples that monitors draw: what is logged and what is looked at are to be independent.
_SEED = 0x10C


class Maker:
    """Makes batches. `refused` is told of requests that are no rows, and `warn` what else is out of order."""

    def __init__(
        self,
        rate: float,
        redaction: Redaction,
        refused: Callable[[int], None],
        sampled_out: Callable[[int], None],
        warn: Callable[[str], None],
    ) -> None:
        self._rate, self._redaction = rate, redaction
        self._refused, self._sampled_out, self._warn = refused, sampled_out, warn

    def batches(self, requests: Sequence[Request]) -> list[pa.RecordBatch]:
        """The requests as batches, one for each shape."""
        groups: dict[Any, list[Prepared]] = {}
        for request in self._kept(requests):
            try:
                prepared = prepare(request)
                groups.setdefault(prepared.shape, []).append(prepared)
            except Exception as error:
                self._refuse(request, error)
                continue
            if request.outputs is not None and prepared.outputs is None:
                self._warn("an answer that has not one value for each row is left out of the inference log")
        return [batch for group in groups.values() for batch in self._made(group)]

    def _kept(self, requests: Sequence[Request]) -> Sequence[Request]:
        if self._rate >= 1.0:
            return requests
        ids = pa.array([str(request.request_id) for request in requests], pa.string())
        stays = keep(pa.record_batch({"request_id": ids}), self._rate, "request_id", _SEED).tolist()
        self._sampled_out(sum(request.rows for request, kept in zip(requests, stays, strict=True) if not kept))
        return [request for request, kept in zip(requests, stays, strict=True) if kept]

    def _made(self, group: list[Prepared]) -> list[pa.RecordBatch]:
        try:
            return [to_batch(group, self._redaction)]
        except Exception as error:
            if len(group) == 1:
                self._refuse(group[0].request, error)
                return []
        return [batch for each in group for batch in self._made([each])]

    def _refuse(self, request: Request, error: Exception) -> None:
        self._refused(request.rows)
        self._warn(f"a request cannot be put as rows into the inference log: {type(error).__name__}: {error}")
