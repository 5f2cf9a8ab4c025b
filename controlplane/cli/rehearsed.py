"""What a reaction would have done over replayed windows, as a table and in sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from controlplane.cli.show import console, table

if TYPE_CHECKING:
    from controlplane.domain.monitor import Monitor
    from controlplane.engine.policy import Policy, Response

HEADINGS = ("", "page", "at (UTC)", "would", "versions", "measures", "windows", "because")


def show_policy(monitor: Monitor, policy: Policy | None) -> None:
    """Print what would have been done, and what of it cannot be known."""
    if policy is None:
        said = "it only observes, so it would have done nothing; ask with --reaction propose or --reaction rollback"
        console().print(f"the reaction of {monitor.name}: {said}", markup=False, soft_wrap=True)
        return
    if policy.responses:
        title = f"{monitor.name}: what the reaction {policy.reaction} would have done"
        table(title, HEADINGS, [_row(response) for response in policy.responses])
    for line in _lines(monitor, policy):
        console().print(line, markup=False, soft_wrap=True)


def _row(response: Response) -> tuple[object, ...]:
    to = response.to_version or ", ".join(f"{target}?" for target in response.targets)
    return (
        response.number,
        response.page,
        f"{response.at:%Y-%m-%d %H:%M}",
        f"{response.would}: {response.code}" if response.code else response.would,
        f"{response.from_version} → {to}" if to else response.from_version,
        f"{response.check}: {', '.join(response.measures)}" if response.check else "",
        response.windows,
        response.why,
    )


def _lines(monitor: Monitor, policy: Policy) -> Iterator[str]:
    """The counts, and what is assumed or unknown, one sentence a line."""
    from controlplane.engine.policy import Would

    codes = Counter(str(response.code) for response in policy.responses if response.code)
    refused = f" ({', '.join(f'{code} {count}' for code, count in codes.most_common())})" if codes else ""
    counts = policy.counts
    yield (
        f"the reaction {policy.reaction} would have rolled back {_times(counts[Would.ROLL_BACK])}, proposed "
        f"{_times(counts[Would.PROPOSE])} and refused {_times(counts[Would.REFUSE])}{refused}; nothing was moved"
    )
    if counts[Would.ROLL_BACK]:
        yield (
            "what follows a rollback that was not made cannot be replayed, because the rows are still those of the "
            f"version it would have left: {policy.unknown} windows, until the alias was really moved, are passed over"
        )
    if counts[Would.PROPOSE]:
        yield "a proposal is taken to be answered by nobody, and to run out"
    if policy.responses and monitor.late_labels is not None:
        yield "labels are taken as they are known now, as if each window had had them when it ended; runs wait for them"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
