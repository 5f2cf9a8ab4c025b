"""The signature of a reload: who may ask a server to look at its aliases now."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

FRESH = 300.0
"""Seconds between the sender's clock and ours at which a signature still counts, so that an old one cannot be sent
again."""
SIGNATURE, TIMESTAMP = "X-ControlPlane-Signature", "X-ControlPlane-Timestamp"


def sign(secret: str, body: bytes, now: float) -> dict[str, str]:
    """The headers that go with a body: HMAC-SHA256 (RFC 2104) of the time, a dot and the body, in hexadecimal.

    >>> sign("s3cret", b"{}", 1_700_000_000.0)["X-ControlPlane-Timestamp"]
    '1700000000'
    """
    sent = str(int(now))
    return {TIMESTAMP: sent, SIGNATURE: f"sha256={_digest(secret, sent, body)}"}


def is_signed(secret: str, headers: Mapping[str, str], body: bytes, now: float) -> bool:
    """Whether whoever sent this knows the secret, and sent it not long before `now` (seconds since 1970)."""
    sent, given = headers.get(TIMESTAMP, ""), headers.get(SIGNATURE, "")
    if not sent.isascii() or not sent.isdigit() or len(sent) > 18 or abs(now - int(sent)) > FRESH:
        return False
    return hmac.compare_digest(f"sha256={_digest(secret, sent, body)}".encode(), given.encode("utf-8", "replace"))


def _digest(secret: str, sent: str, body: bytes) -> str:
    return hmac.new(secret.encode(), f"{sent}.".encode() + body, hashlib.sha256).hexdigest()
