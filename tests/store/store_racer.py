"""A process that races another one: it opens the database, says that it is ready, and acts when it is told to."""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from typing import Any

from store_samples import KEY, LEASE, T0, claim, monitor
from tampering import evidence

from controlplane.store import Store, actions, freezes, incidents, moves, new_id, records


def migrate(store: Store, owner: str) -> Any:
    """Prepare the schema."""
    store.migrate()
    return store.revision()[0]


def claim_run(store: Store, owner: str) -> Any:
    """Take the first window."""
    with store.begin() as session:
        claimed = claim(session, monitor(), owner=owner)
    return None if claimed is None else claimed.fence


def claim_expired_run(store: Store, owner: str) -> Any:
    """Take the first window over, once its lease is out."""
    with store.begin() as session:
        claimed = claim(session, monitor(), owner=owner, now=T0 + LEASE)
    return None if claimed is None else claimed.fence


def claim_deliveries(store: Store, owner: str) -> Any:
    """Take what is due."""
    with store.begin() as session:
        return [row.id for row, _, _ in incidents.claim_deliveries(session, "default", T0, LEASE)]


def claim_actions(store: Store, owner: str) -> Any:
    """Take the live actions."""
    with store.begin() as session:
        return [row.id for row in actions.claim_actions(session, "default", owner, T0, LEASE, lambda _: False)]


def claim_followup(store: Store, owner: str) -> Any:
    """Take a job."""
    with store.begin() as session:
        row = records.claim_followup(session, "default", T0, LEASE)
    return None if row is None else row.id


def take_alias_lease(store: Store, owner: str) -> Any:
    """Become the one who may move the alias."""
    with store.begin() as session:
        return actions.take_alias_lease(session, "default", KEY, owner, T0, LEASE)


def begin_move(store: Store, owner: str) -> Any:
    """Begin a move of one's own alias where nobody else's is under way."""
    with store.begin() as session:
        freezes.one_at_a_time(session)
        alone = moves.under_way(session, "default") == 0
        if alone:
            row = next(row for row in actions.find_action(session, "default", "") if row.monitor == owner)
            row.state = "moving"
    return alone


def see_holder(store: Store, owner: str) -> Any:
    """Note who holds the alias."""
    with store.begin() as session:
        return records.see_holder(session, "default", KEY, "2", T0 + timedelta(hours=1))


def append_links(store: Store, owner: str) -> Any:
    """Write thirty rows under the chain, each in a transaction of its own."""
    for number in range(30):
        with store.begin() as session:
            records.store_evidence(session, "default", [evidence(number, owner + new_id())])
    return 30


def main() -> None:
    """Lines in: `[act, url, owner]`, then `go`. Lines out: `ready`, then the result as JSON."""
    for line in sys.stdin:
        act, url, owner = json.loads(line)
        store = Store(url)
        if act != "migrate":
            store.revision()
        _say("ready")
        sys.stdin.readline()
        try:
            result = globals()[act](store, owner)
        except Exception as error:
            result = f"{type(error).__name__}: {error}"
        store.close()
        _say(json.dumps(result))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
