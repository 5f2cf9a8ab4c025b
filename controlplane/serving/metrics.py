"""What a server counts, in Prometheus' terms, over all of its workers.

The client library adds workers up through files in the folder that PROMETHEUS_MULTIPROC_DIR names, which must stand in
the environment before this module is imported.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from controlplane.serving.plan import Role

if TYPE_CHECKING:
    from controlplane.log import Counts

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

REQUESTS = Counter("controlplane_requests", "Requests by who answered, and how", ["role", "version", "status"])
SECONDS = Histogram(
    "controlplane_request_seconds", "From a request's first byte to its answer", ["role", "version"], buckets=_BUCKETS
)
IN_FLIGHT = Gauge("controlplane_requests_in_flight", "Requests in hand", multiprocess_mode="livesum")
SHADOWS_SKIPPED = Counter("controlplane_shadows_skipped", "Requests that the shadow version was too slow to be asked")
LOG_ROWS = Gauge(
    "controlplane_log_rows", "Rows of the inference log, by what became of them", ["outcome"], multiprocess_mode="sum"
)


def count(role: Role, version: str, status: int, seconds: float) -> None:
    """Count one request."""
    REQUESTS.labels(role.value, version, str(status)).inc()
    SECONDS.labels(role.value, version).observe(seconds)


def count_log(counts: Counts) -> None:
    """Say what became of the rows that this worker logged."""
    for outcome, rows in asdict(counts).items():
        LOG_ROWS.labels(outcome).set(rows)


def exposed() -> tuple[str, str]:
    """All workers' metrics as text, and its content type."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry)
    return generate_latest(registry).decode(), CONTENT_TYPE_LATEST
