"""The serving side, asked to look at its aliases and which version answers: a rollback must reach the traffic."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping

from controlplane.errors import ProbeError, masked
from controlplane.signing import sign

_SECONDS = 5.0
_LONGEST = 65_536


def served_version(url: str) -> str:
    """The version that the server behind `url` says it answers with; raises ProbeError with one sentence.

    The contract is one GET that answers 200 with a JSON object whose `version` is the registered version, as text or
    number. Redirects are not followed; an answer past 64 KiB or later than 5 seconds is none.
    """
    import httpx

    shown = masked(url)
    try:
        with (
            httpx.Client(timeout=_SECONDS, follow_redirects=False) as client,
            client.stream("GET", url, headers={"Accept": "application/json"}) as answer,
        ):
            if answer.status_code != httpx.codes.OK:
                raise ProbeError(f"{shown} answered with status {answer.status_code}, not 200")
            body = b""
            for chunk in answer.iter_bytes():
                body += chunk
                if len(body) > _LONGEST:
                    raise ProbeError(f"{shown} answered with more than {_LONGEST} bytes")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ProbeError(f"{shown} did not answer: {masked(str(error)) or type(error).__name__}") from None
    return _version_in(body, shown)


def ask_to_reload(url: str, secret: str, told: Mapping[str, str]) -> None:
    """Have the server behind `url` look at its aliases now: one signed POST; raises ProbeError with one sentence.

    `told` says what moved, as JSON, for servers that want to know; `controlplane.signing` has the signature.
    """
    import httpx

    shown, body = masked(url), json.dumps(told).encode()
    headers = {"Content-Type": "application/json", **sign(secret, body, time.time())}
    try:
        answer = httpx.post(url, content=body, headers=headers, timeout=_SECONDS, follow_redirects=False)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ProbeError(f"{shown} did not answer: {masked(str(error)) or type(error).__name__}") from None
    if not answer.is_success:
        raise ProbeError(f"{shown} answered a reload with status {answer.status_code}")


def _version_in(body: bytes, shown: str) -> str:
    try:
        said = json.loads(body)
    except ValueError:
        raise ProbeError(f"{shown} answered with something that is no JSON") from None
    version = said.get("version") if isinstance(said, dict) else None
    if isinstance(version, bool) or not isinstance(version, str | int):
        raise ProbeError(f'{shown} names no version; valid: a JSON object such as {{"version": "3"}}')
    return str(version)
