"""What a backtest found: pages, windows, and how often pages come. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from controlplane.domain.monitor import Window
from controlplane.domain.verdict import Outcome
from controlplane.profiles.rates import Rate

PERIOD = timedelta(days=90)


class By(StrEnum):
    """What a page comes from: evidence for the page budget, a limit passed, or checks without sight."""

    BUDGET = "budget"
    LIMIT = "limit"
    BLIND = "blind"


@dataclass(frozen=True, slots=True)
class Page:
    """An incident that would have opened: when, by which window, and what it would have said.

    `by` is the budget where its evidence alone was enough. `vouched` says that the owner knows that nothing was wrong
    then; such a page, unless it is of blind checks, is a false one.
    """

    number: int
    cause: str
    by: By
    window: Window
    at: datetime
    text: str
    version: str
    vouched: bool
    closed_at: datetime | None = None
    closed_text: str = ""


@dataclass(frozen=True, slots=True)
class Past:
    """One window as it was seen again.

    `saw` is whether any check could be judged, `counted` whether the page budget learnt from it, and `level` its
    evidence as a share of the threshold, on a scale of logarithms. `opened` numbers the pages that it opened.
    """

    window: Window
    version: str
    outcome: Outcome
    why: str
    n_rows: int
    saw: bool
    counted: bool
    vouched: bool
    opened: tuple[int, ...]
    paged: bool
    level: float | None


@dataclass(frozen=True, slots=True)
class Rates:
    """Pages in `per`: of the budget and of limits, and those of them that came while nothing was wrong.

    A rate's time is that of the windows in which such a page could come: `windows` counts them.
    """

    per: timedelta
    budget: Rate
    limit: Rate
    windows: dict[By, int]
    false_budget: Rate | None = None
    false_limit: Rate | None = None
    false_windows: dict[By, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Backtest:
    """What a monitor would have done: its pages, its windows in order, and how often it pages.

    `before_rows` counts windows left out because the source holds nothing that old; `built` are versions whose
    reference was made for this; `notes` says what else a reader should know.
    """

    pages: tuple[Page, ...]
    windows: tuple[Past, ...]
    rates: Rates
    before_rows: int
    built: tuple[str, ...]
    notes: tuple[str, ...]

    def blind(self) -> int:
        """In how many windows no check could see."""
        return sum(not past.saw for past in self.windows)


def measured(windows: Sequence[Past], pages: Sequence[Page], per: timedelta | None, vouched: bool) -> Rates:
    """How often pages came in `per` (90 days where nobody asks for another span).

    Blind windows are no time in which one could come, and pages of blind checks are not counted.
    """
    per = per or PERIOD

    def of(by: By, healthy: bool) -> tuple[Rate, int]:
        watched = [
            past.window
            for past in windows
            if (past.counted if by is By.BUDGET else past.saw) and (past.vouched or not healthy)
        ]
        found = sum(page.by is by and (page.vouched or not healthy) for page in pages)
        return Rate.of(found, _covered(watched) / per), len(watched)

    budget, limit = of(By.BUDGET, False), of(By.LIMIT, False)
    rates = Rates(per, budget[0], limit[0], {By.BUDGET: budget[1], By.LIMIT: limit[1]})
    if not vouched:
        return rates
    budget, limit = of(By.BUDGET, True), of(By.LIMIT, True)
    counts = {By.BUDGET: budget[1], By.LIMIT: limit[1]}
    return replace(rates, false_budget=budget[0], false_limit=limit[0], false_windows=counts)


def _covered(windows: Iterable[Window]) -> timedelta:
    """The time that windows in order cover; what two of them share is counted once."""
    covered, until = timedelta(0), datetime.min
    for window in windows:
        start = window.start if until == datetime.min else max(window.start, until)
        covered += max(window.end - start, timedelta(0))
        until = window.end
    return covered
