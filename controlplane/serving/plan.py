"""What is served: which aliases, which share of the requests goes where, and within which limits."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

from controlplane.domain.monitor import ModelRef
from controlplane.errors import ConfigError


class Role(StrEnum):
    """What a version does here: it answers, it answers a share of the requests, or it is asked and not heard."""

    LIVE = "live"
    CANARY = "canary"
    SHADOW = "shadow"


def place(request_id: str, role: Role) -> float:
    """Where a request stands between 0 and 1, for one role: the same for the same id, on every worker and host.

    >>> round(place("a1", Role.CANARY), 3) == round(place("a1", Role.CANARY), 3)
    True
    >>> place("a1", Role.CANARY) == place("a1", Role.SHADOW)
    False
    """
    digest = hashlib.blake2b(request_id.encode(), digest_size=8, person=role.encode()).digest()
    return int.from_bytes(digest, "big") / 2**64


@dataclass(frozen=True, slots=True)
class Share:
    """A second alias, and the share of requests, above 0 and at most 1, that it takes part in."""

    alias: str
    share: float

    @classmethod
    def parse(cls, text: str) -> Share:
        """Read `ALIAS:SHARE`, the share in percent or as a number up to 1; raises ConfigError.

        >>> Share.parse("challenger:5%")
        Share(alias='challenger', share=0.05)
        >>> Share.parse("challenger:5")
        Traceback (most recent call last):
        ...
        controlplane.errors.ConfigError: 'challenger:5' names no share; valid: ALIAS:SHARE, such as challenger:5%
        """
        alias, _, said = text.rpartition(":")
        number = said.removesuffix("%")
        try:
            share = float(number) / (100 if said.endswith("%") else 1)
        except ValueError:
            share = 0.0
        if not alias or not 0 < share <= 1:
            raise ConfigError(f"{text!r} names no share; valid: ALIAS:SHARE, such as challenger:5%")
        return cls(alias, share)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one worker takes on: bytes of a body, seconds for reading one and for answering, requests at a time."""

    body_bytes: int = 16 << 20
    read_seconds: float = 30.0
    answer_seconds: float = 60.0
    at_a_time: int = 1000
    threads: int = 8


@dataclass(frozen=True, slots=True)
class Plan:
    """What `controlplane serve` was asked to do. `log` is what an InferenceLog is opened with; None keeps no log."""

    model: ModelRef
    address: str
    port: int
    home: Path
    canary: Share | None = None
    shadow: Share | None = None
    workers: int = 1
    every: timedelta = timedelta(seconds=2)
    limits: Limits = Limits()
    log: Mapping[str, Any] | None = None
    secret: str | None = field(default=None, repr=False)

    @property
    def redacts(self) -> bool:
        """Whether some of what is asked must not be kept as it is."""
        return self.log is not None and bool(self.log.get("drop") or self.log.get("hash"))

    def aliases(self) -> dict[Role, ModelRef]:
        """The alias that each role follows."""
        found = {Role.LIVE: self.model}
        for role, share in ((Role.CANARY, self.canary), (Role.SHADOW, self.shadow)):
            if share is not None:
                found[role] = ModelRef(self.model.name, share.alias)
        return found

    def role_of(self, request_id: str) -> Role:
        """Who answers a request: the canary for its share of the ids, the live version for the others."""
        canary = self.canary is not None and place(request_id, Role.CANARY) < self.canary.share
        return Role.CANARY if canary else Role.LIVE

    def shadows(self, request_id: str) -> bool:
        """Whether the shadow version is asked too."""
        return self.shadow is not None and place(request_id, Role.SHADOW) < self.shadow.share
