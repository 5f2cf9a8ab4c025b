"""The chain: whatever is asked, decided, done and found leaves a link, and nothing under it changes unseen."""

from __future__ import annotations

import ast
import random
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, event, func, select, update
from store_samples import KEY, LEASE, T0, monitor, nobody_gone, planned
from tampering import evidence, fill, tamper, write_anew

import controlplane
from controlplane.domain.action import ActionState
from controlplane.errors import StoreError
from controlplane.store import Session, Store, actions, records
from controlplane.store.audit import Broken, Head, Tampering, Verified, head_of, verify
from controlplane.store.chain import HEADS, LINKS, SEALED
from controlplane.store.tables import EvidenceRow
from controlplane.store.tables_acts import ActionRow, HoldingRow

TAMPERINGS = 60
DIGEST = "26384fe054aff812d14491bcb54958376baf2a6829bc6e3ed91e7f93068c8d2e"


@pytest.fixture
def told(store: Store) -> Store:
    fill(store, 3)
    return store


def links(store: Store) -> int:
    with store.begin() as session:
        return session.scalar(select(func.count()).select_from(LINKS)) or 0


def audit(store: Store, kept: Head | None = None) -> Verified | Broken:
    with store.snapshot() as session:
        return verify(session, store.workspace, kept)


def sound(store: Store, kept: Head | None = None) -> Verified:
    found = audit(store, kept)
    assert isinstance(found, Verified), found
    return found


def broken(store: Store, kept: Head | None = None) -> Broken:
    found = audit(store, kept)
    assert isinstance(found, Broken), found
    return found


def head(store: Store) -> Head:
    with store.begin() as session:
        found = head_of(session, store.workspace)
    assert found is not None
    return found


@pytest.fixture
def outsider(store_url: str) -> Iterator[Store]:
    """Somebody with the database's password, whom no foreign key stops."""
    opened = Store(store_url)
    lax = "SET session_replication_role = replica" if "postgresql" in store_url else "PRAGMA foreign_keys=OFF"
    event.listen(opened.engine, "connect", lambda connection, _: connection.execute(lax))
    yield opened
    opened.close()


def test_what_the_product_wrote_is_as_it_was_written(told: Store) -> None:
    found = sound(told)
    assert found.head == head(told)
    assert found.links == links(told) > found.rows > 30
    with told.begin() as session:
        assert set(session.scalars(select(LINKS.c.table))) == set(SEALED)


def test_a_store_without_a_row_has_an_empty_chain(store: Store) -> None:
    assert audit(store) == Verified("default", 0, 0, None)
    with store.begin() as session:
        assert head_of(session, "default") is None


def test_each_workspace_has_a_chain_of_its_own(store: Store, store_url: str) -> None:
    with store.begin() as session:
        records.store_evidence(session, "theirs", [evidence(0, 0), evidence(0, 1)])
        records.store_evidence(session, "default", [evidence(0, 0)])
    theirs = Store(store_url, "theirs", read_only=True)
    assert (sound(store).links, sound(theirs).links) == (1, 2)
    with store.begin() as session:
        session.execute(update(EvidenceRow).where(EvidenceRow.workspace == "theirs").values(summary="all is well"))
    sound(store)
    assert broken(theirs).table == "cp_evidence"
    theirs.close()


def test_taking_and_freeing_a_claim_adds_no_link_and_nothing_that_is_rolled_back_does(told: Store) -> None:
    with told.begin() as session:
        planned(session, monitor("another"))
    before = links(told)
    with told.begin() as session:
        [row] = actions.claim_actions(session, "default", "first", T0, LEASE, nobody_gone)
    with told.begin() as session:
        actions.step_action(session, row, ActionState.PLANNED)
        records.see_holder(session, "default", f"{KEY}-0", "1", T0 + timedelta(days=9))
    with pytest.raises(ZeroDivisionError), told.begin() as session:
        records.store_evidence(session, "default", [evidence(9, 9)])
        raise ZeroDivisionError
    assert links(told) == before
    sound(told)


def test_a_rows_digest_is_the_same_on_both_databases(store: Store) -> None:
    with store.begin() as session:
        session.add(
            EvidenceRow(id="01ARZ3NDEKTSV4RRFFQ69G5FAV", workspace="default", digest="a" * 64, **asdict(evidence(0, 0)))
        )
        session.flush()
        read = session.connection().execute(SEALED["cp_evidence"].read).one()
        assert SEALED["cp_evidence"].content(read) == DIGEST
        session.rollback()


def test_of_two_processes_that_append_at_once_none_loses_a_link_and_none_waits_for_ever(
    store: Store, store_url: str, race: Callable[[str, str], list[Any]]
) -> None:
    for times in range(1, 6):
        assert race("append_links", store_url) == [30, 30]
        assert sound(store).links == 2 * 30 * times


def test_a_single_tampering_is_found_and_the_right_row_is_named(store: Store, outsider: Store, backend: str) -> None:
    fill(store, 4)
    dice = random.Random(20)
    wrong = []
    with outsider.engine.connect() as connection:
        for _ in range(TAMPERINGS):
            done = tamper(connection, dice)
            found = verify(Session(connection), "default")
            connection.rollback()
            if not isinstance(found, Broken) or (found.table, found.row_id) != (done.table, done.row_id):
                wrong.append((done, found))
    assert wrong == []
    sound(store)


def test_what_was_done_is_said_in_a_sentence(told: Store, outsider: Store) -> None:
    with told.begin() as session:
        row = session.scalars(select(ActionRow).where(ActionRow.state == "verified")).one()
        newest = session.scalar(select(func.max(LINKS.c.sequence)).where(LINKS.c.row_id == row.id))
    with outsider.begin() as session:
        session.execute(update(ActionRow).where(ActionRow.id == row.id).values(approved_by="nobody"))
    found = broken(told)
    assert found == Broken(
        "default", Tampering.EDITED, "cp_actions", row.id, newest, f"action {row.id} was edited after link {newest}"
    )


def test_an_edit_that_a_later_change_of_ours_covers_is_still_found(told: Store, outsider: Store) -> None:
    with told.begin() as session:
        row = planned(session, monitor("another"))
    with outsider.begin() as session:
        session.execute(update(ActionRow).where(ActionRow.id == row.id).values(to_version="7"))
    with told.begin() as session:
        [claimed] = actions.claim_actions(session, "default", "first", T0, LEASE, nobody_gone)
        actions.step_action(session, claimed, ActionState.REFUSED)
    found = broken(told)
    assert (found.what, found.table, found.row_id) == (Tampering.EDITED, "cp_actions", row.id)
    assert "by somebody else before link" in found.why


def test_a_chain_that_was_written_anew_is_seen_by_a_head_kept_elsewhere(told: Store, outsider: Store) -> None:
    kept = head(told)
    with told.begin() as session:
        records.store_evidence(session, "default", [evidence(9, 1)])
    assert sound(told, kept).head != kept
    with outsider.begin() as session:
        first = session.scalars(select(HoldingRow).order_by(HoldingRow.id)).first()
        assert first is not None
        first.version = "9"
        session.flush()
        write_anew(session.connection())
    sound(told)
    found = broken(told, kept)
    assert (found.what, found.row_id) == (Tampering.REWRITTEN, str(kept.sequence))


def test_a_tail_that_was_cut_off_with_its_rows_is_seen_by_a_head_kept_elsewhere(told: Store, outsider: Store) -> None:
    before = head(told)
    with told.begin() as session:
        records.store_evidence(session, "default", [evidence(9, 1)])
    kept = head(told)
    with outsider.begin() as session:
        session.execute(delete(EvidenceRow).where(EvidenceRow.summary == evidence(9, 1).summary))
        session.execute(delete(LINKS).where(LINKS.c.sequence > before.sequence))
        session.execute(update(HEADS).values(sequence=before.sequence, hash=before.hash))
    sound(told, before)
    found = broken(told, kept)
    assert (found.what, found.row_id) == (Tampering.CUT_OFF, str(kept.sequence))


def test_what_nobody_can_read_is_an_edit_and_no_exception(told: Store, outsider: Store) -> None:
    with outsider.begin() as session:
        strange = "'infinity'" if outsider.engine.dialect.name == "postgresql" else "'last week'"
        session.connection().exec_driver_sql(f"UPDATE cp_evidence SET collected = {strange}")
    found = broken(told)
    assert (found.what, found.table) == (Tampering.EDITED, "cp_evidence")


def test_nothing_is_stored_on_a_chain_that_does_not_go_on_from_its_head(told: Store, outsider: Store) -> None:
    with outsider.begin() as session:
        session.execute(delete(HEADS))
    rows = links(told)
    with pytest.raises(StoreError, match=r"does not go on from its head.*audit verify"), told.begin() as session:
        records.store_evidence(session, "default", [evidence(9, 9)])
    assert links(told) == rows
    assert broken(told).what is Tampering.REMOVED


@pytest.mark.parametrize("text", ["", "12", "12:abc", f"-1:{'a' * 64}", f"x:{'a' * 64}", f"1:{'g' * 64}"])
def test_a_head_that_is_none_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match="is no head of a chain; valid: SEQUENCE:HASH"):
        Head.parse(text)


def test_who_writes_a_sealed_row_has_it_linked() -> None:
    """Every function of the product that makes, changes or deletes a sealed row also tells the chain."""
    sealed = {one.row.__name__ for one in SEALED.values()}
    silent = []
    for path in Path(controlplane.__file__).parent.rglob("*.py"):
        for function in (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)):
            calls = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
            writes = any(_writes(call, sealed) for call in calls)
            if writes and not any(ast.unparse(call.func) in ("chain.append", "chain.amend") for call in calls):
                silent.append(f"{path.name}: {function.name}")
    assert silent == ["actions.py: claim_actions"]  # leases are not sealed


def _writes(call: ast.Call, sealed: set[str]) -> bool:
    name = ast.unparse(call.func)
    first = ast.unparse(call.args[0]) if call.args else ""
    return name in sealed or (name in ("update", "delete", "insert") and first in sealed)
