"""Alerts as signed JSON posted to a URL."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

import httpx

from controlplane.errors import DeliveryError
from controlplane.ports import Message

# httpx logs every request with its whole URL at INFO, and the path of a webhook is often its only secret.
logging.getLogger("httpx").setLevel(logging.WARNING)

_RETRY = frozenset({408, 429})


class Webhook:
    """Posts each message as JSON, so that any service that takes HTTP can hear of it.

    The body holds the fields of `Message`. `Idempotency-Key` carries the message's key, the same at every attempt;
    with a secret, `X-ControlPlane-Signature: sha256=<hex>` is the HMAC-SHA256 (RFC 2104) of the exact body.
    Redirects are not followed: a body signed for one host is not handed to another.
    """

    @dataclass(frozen=True)
    class Params:
        """Where to post. `timeout` bounds one whole attempt in seconds; `url`, `secret` and `headers` are never shown.

        >>> Webhook.Params("https://hooks.example.com/T0/secret-path", secret="s3cret")
        Webhook.Params(timeout=10.0)
        """

        url: str = field(repr=False)
        secret: str | None = field(default=None, repr=False)
        timeout: float = 10.0
        headers: Mapping[str, str] = field(default_factory=dict, repr=False)

        def __post_init__(self) -> None:
            try:
                url = httpx.URL(self.url)
            except httpx.InvalidURL:
                url = httpx.URL("")
            if url.scheme not in ("http", "https") or not url.host:
                raise ValueError("a webhook's url must be http:// or https:// with a host")
            if not (self.timeout > 0 and math.isfinite(self.timeout)):
                raise ValueError(f"timeout must be a positive number of seconds, not {self.timeout}")
            for name, value in self.headers.items():
                if not (f"{name}{value}".isascii() and f"{name}{value}".isprintable() and name):
                    raise ValueError(f"header {name!r} must be printable ASCII on one line")

    def __init__(self, params: Params) -> None:
        self._params = params
        url = httpx.URL(params.url)
        self._host = url.host if url.port is None else f"{url.host}:{url.port}"

    def send(self, message: Message) -> None:
        """Post the message once; raises DeliveryError, permanent where trying again cannot help.

        A 2xx is a delivery. 408, 429, 5xx, no answer in time and a broken connection may pass by themselves;
        every other answer is permanent.
        """
        body = json.dumps(asdict(message), ensure_ascii=False).encode()
        try:
            status = asyncio.run(self._post(body, self._headers(message.key, body)))
        except (TimeoutError, httpx.TimeoutException):
            raise DeliveryError(f"webhook {self._host} did not answer within {self._params.timeout:g} s") from None
        except httpx.ConnectError:
            raise DeliveryError(f"webhook {self._host} could not be reached") from None
        except httpx.HTTPError:
            raise DeliveryError(f"webhook {self._host} broke the connection or did not answer in HTTP") from None
        if 200 <= status < 300:
            return
        if 300 <= status < 400:
            raise DeliveryError(f"webhook {self._host} answered {status}, a redirect; give its final URL", True)
        raise DeliveryError(f"webhook {self._host} answered {status}", status not in _RETRY and status < 500)

    def _headers(self, key: str, body: bytes) -> httpx.Headers:
        headers = httpx.Headers({"User-Agent": "controlplane", **self._params.headers})
        headers.update({"Content-Type": "application/json", "Idempotency-Key": key})
        if self._params.secret is not None:
            digest = hmac.new(self._params.secret.encode(), body, hashlib.sha256).hexdigest()
            headers["X-ControlPlane-Signature"] = f"sha256={digest}"
        return headers

    async def _post(self, body: bytes, headers: httpx.Headers) -> int:
        # httpx limits each read by itself, so a server that drips bytes would hold us for ever: this bounds them all.
        async with asyncio.timeout(self._params.timeout), httpx.AsyncClient(timeout=self._params.timeout) as client:
            async with client.stream("POST", self._params.url, content=body, headers=headers) as response:
                return response.status_code
