"""Late rows: which recorded windows hold more rows by now, and what a look at them counts for."""

from __future__ import annotations

from dataclasses import dataclass, replace

from controlplane.domain.monitor import Monitor
from controlplane.engine.context import Context
from controlplane.store import revisions
from controlplane.store.revisions import Revision

MATURE = "its own are here, and are judged next"


@dataclass(frozen=True, slots=True)
class More:
    """A recorded window whose source gives `n_rows` rows by now, more than its newest revision `before` was given.

    `counts` says that the look at it feeds detectors and actions: it is the look that the window never had.
    """

    before: Revision
    n_rows: int
    counts: bool = False

    @property
    def held_up(self) -> str | None:
        """Why it is not judged by labels that are here: late labels do that next. None where they did already."""
        return MATURE if self.before.awaits_labels or not self.before.parts else None

    def told(self, n_read: int) -> str:
        """How many rows came late, of the `n_read` that the source gave now."""
        late = n_read - self.before.n_read
        return f"; {late} came late: {self.before.n_read} could be read before, {n_read} now" if late > 0 else ""


def found(context: Context, monitor: Monitor) -> list[More]:
    """The windows that more rows came for, oldest first; raises SourceError."""
    with context.store.begin() as session:
        recorded = revisions.open_to_rows(session, monitor)
    if not recorded:
        return []
    counts = context.open_source(monitor, monitor.source).count([one.window for one in recorded])
    return [More(one, n) for one, n in zip(recorded, counts, strict=True) if n > one.n_read]


def placed(context: Context, monitor: Monitor, more: More) -> More:
    """Decide what the look counts for; asked while its run is claimed, so that no other window is judged meanwhile.

    Windows are folded in their order, each once. So a window counts only where not one of its rows was seen before, and
    the rows of no later window were judged.
    """
    if more.before.parts:
        return more
    with context.store.begin() as session:
        return replace(more, counts=not revisions.rows_judged_after(session, monitor, more.before.window))
