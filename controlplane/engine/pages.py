"""What a backtest found: pages, windows, and how often pages come. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise

from controlplane.domain.monitor import Window
from controlplane.domain.verdict import Outcome
from controlplane.engine.policy import Policy
from controlplane.profiles.rates import poisson_interval

PERIOD = timedelta(days=90)


class By(StrEnum):
    """What a page comes from: evidence for the page budget, a limit passed, or checks without sight."""

    BUDGET = "budget"
    LIMIT = "limit"
    BLIND = "blind"


@dataclass(frozen=True, slots=True)
class Page:
    """An incident that would have opened: when, by which window, and what it would have said.

    `by` names everything that was enough for it; `vouched` says that the owner knows that nothing was wrong then.
    """

    number: int
    cause: str
    by: tuple[By, ...]
    window: Window
    at: datetime
    text: str
    version: str
    vouched: bool
    closed_at: datetime | None = None
    closed_text: str = ""

    @property
    def false(self) -> bool:
        """Whether it spoke of something wrong when the owner knows that nothing was."""
        return self.vouched and By.BLIND not in self.by


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
class Rate:
    """How often pages came in the span of `Rates.per`; None where no window could have paged.

    `windows` counts those that could: blind ones are none of them. `low` to `high` is the exact 95 % interval if pages
    come independently of one another.
    """

    pages: int
    windows: int
    estimate: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Rates:
    """Pages in `per`: of the budget and of limits; a page that both call for is counted as one of each.

    The false ones are those that came while nothing was wrong; None where nobody vouched for that.
    """

    per: timedelta
    budget: Rate
    limit: Rate
    false_budget: Rate | None = None
    false_limit: Rate | None = None


@dataclass(frozen=True, slots=True)
class Backtest:
    """What a monitor would have done: its pages, its windows in order, and how often it pages.

    `before_rows` counts windows left out because the source holds nothing that old; `built` are versions whose
    reference was made for this; `notes` says what else a reader should know. `policy` is what its reaction would have
    done about the pages, None where it only observes.
    """

    pages: tuple[Page, ...]
    windows: tuple[Past, ...]
    rates: Rates
    before_rows: int
    built: tuple[str, ...]
    notes: tuple[str, ...]
    policy: Policy | None = None

    def blind(self) -> int:
        """In how many windows no check could see."""
        return sum(not past.saw for past in self.windows)


def measured(windows: Sequence[Past], pages: Sequence[Page], per: timedelta | None, vouched: bool) -> Rates:
    """How often pages came in `per` (None: 90 days), and how often false ones, if somebody `vouched`."""
    per = per or PERIOD
    rates = Rates(per, rate(By.BUDGET, windows, pages, per), rate(By.LIMIT, windows, pages, per))
    if not vouched:
        return rates
    windows, pages = [past for past in windows if past.vouched], [page for page in pages if page.vouched]
    return replace(
        rates,
        false_budget=rate(By.BUDGET, windows, pages, per),
        false_limit=rate(By.LIMIT, windows, pages, per),
    )


def rate(by: By, windows: Sequence[Past], pages: Sequence[Page], per: timedelta) -> Rate:
    """The rate of one kind of page over windows in order; time that two of them share is counted once."""
    count = sum(by in page.by for page in pages)
    watched = [past.window for past in windows if (past.counted if by is By.BUDGET else past.saw)]
    if not watched:
        return Rate(count, 0, None, None, None)
    shared = sum((max(timedelta(0), one.end - two.start) for one, two in pairwise(watched)), timedelta(0))
    time = (sum((window.end - window.start for window in watched), timedelta(0)) - shared) / per
    low, high = poisson_interval(count)
    return Rate(count, len(watched), count / time, low / time, high / time)
