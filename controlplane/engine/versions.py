"""Versions as they were when first seen: what a rollback goes back to must still be the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from controlplane.domain.action import Refusal, Refused
from controlplane.domain.monitor import Monitor
from controlplane.engine import references
from controlplane.engine.context import Context
from controlplane.engine.measure import ModelPlace
from controlplane.errors import RegistryError
from controlplane.models import Fingerprint
from controlplane.store import actions
from controlplane.workers import Task

TIMEOUT = 300.0


def note(context: Context, monitor: Monitor, versions: Sequence[str]) -> None:
    """Keep the fingerprint of every version that has none yet; one that cannot be read is left for later."""
    key = context.registry.key(monitor.model)
    with context.store.begin() as session:
        known = actions.versions_seen(session, context.workspace, key)
    new = [version for version in dict.fromkeys(versions) if version not in known]
    found = read(context, monitor, new)
    with context.store.begin() as session:
        for version, one in found.items():
            if isinstance(one, Fingerprint):
                actions.see_version(session, context.workspace, key, version, one.digest, one.signature, context.now())


def read(context: Context, monitor: Monitor, versions: Sequence[str]) -> Mapping[str, Fingerprint | str]:
    """The fingerprints of versions as they are now, or why one could not be read; each in a worker of its own."""
    places: dict[str, ModelPlace] = {}
    found: dict[str, Fingerprint | str] = {}
    for version in versions:
        try:
            places[version] = references.place_of(context, monitor, version)
        except RegistryError as error:
            found[version] = str(error)
    done = context.workers.measure_all([Task(_fingerprint, (place,), TIMEOUT) for place in places.values()])
    for version, result in zip(places, done, strict=True):
        found[version] = str(result.error or result.blind) if result.error or result.blind else result.value
    return found


def unsafe(
    context: Context, monitor: Monitor, failing: str, targets: Sequence[str]
) -> tuple[dict[str, Refused], Mapping[str, Fingerprint | str]]:
    """The targets that nobody should go back to, each with its reason, and every fingerprint that was taken.

    A target must load its description, be byte for byte what it was when it was first seen, and state the inputs and
    outputs of the version it takes over from.
    """
    now = read(context, monitor, [failing, *targets])
    with context.store.begin() as session:
        seen = actions.versions_seen(session, context.workspace, context.registry.key(monitor.model))
    ours = now[failing]
    found: dict[str, Refused] = {}
    for version in targets:
        theirs, before = now[version], seen.get(version)
        if not isinstance(theirs, Fingerprint):
            found[version] = Refused(Refusal.NOT_LOADED, f"version {version} cannot be used: {theirs}")
        elif before is not None and before.digest != theirs.digest:
            found[version] = Refused(
                Refusal.ARTEFACT_CHANGED,
                f"the artefacts of version {version} are not those first seen at {before.seen_at:%Y-%m-%d %H:%M} UTC "
                f"(sha256 {before.digest[:12]} then, {theirs.digest[:12]} now)",
            )
        elif isinstance(ours, Fingerprint) and ours.signature and theirs.signature not in ("", ours.signature):
            found[version] = Refused(
                Refusal.OTHER_SIGNATURE,
                f"version {version} takes or gives something else than version {failing}: their signatures differ",
            )
    return found, now


def _fingerprint(place: ModelPlace) -> Fingerprint:
    return place.fingerprint()
