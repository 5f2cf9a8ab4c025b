"""The web server of a worker: MLflow's routes, and what tells of the server itself."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect
from starlette.requests import Request as Asked
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from controlplane.serving import metrics
from controlplane.serving.answers import JSON, Answer, Loaded, Request, refusal
from controlplane.serving.plan import Role
from controlplane.serving.worker import Worker
from controlplane.signing import SIGNATURE, is_signed

REQUEST_ID = "X-Request-Id"
_LONGEST_ID = 128
_RELOAD_BYTES = 65_536
_NOBODY_WAITS = 499


def make_app(worker: Worker) -> Starlette:
    """The application of one worker."""
    served = _Served(worker)
    return Starlette(
        routes=[
            Route("/invocations", served.invocations, methods=["POST"]),
            *(Route(path, served.ready, methods=["GET"]) for path in ("/ping", "/health", "/readyz")),
            Route("/healthz", served.healthy, methods=["GET"]),
            Route("/version", served.version, methods=["GET"]),
            Route("/metrics", served.metrics, methods=["GET"]),
            Route("/reload", served.reload, methods=["POST"]),
        ],
        exception_handlers={status: _in_form for status in (404, 405, 500)},
    )


async def _in_form(asked: Asked, error: Exception) -> Response:
    status = getattr(error, "status_code", 500)
    said = {404: "ENDPOINT_NOT_FOUND", 405: "BAD_REQUEST"}.get(status, "INTERNAL_ERROR")
    text = (
        f"{asked.method} {asked.url.path} is not served here; valid: POST /invocations" if status != 500 else "it broke"
    )
    return _response(refusal(status, said, text))


class _Refused(Exception):
    """A request that no version is asked."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.answer = refusal(status, code, message)


class _Served:
    """The routes. A version is bound to a request when its body is here, and to nothing before."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._limits = worker.plan.limits
        self._in_flight = 0

    async def invocations(self, asked: Asked) -> Response:
        """Score one batch of rows, as MLflow's server does."""
        started, at = time.perf_counter(), datetime.now(UTC)
        request_id = _request_id(asked)
        self._in_flight += 1
        metrics.IN_FLIGHT.set(self._in_flight)
        role, loaded, request = Role.LIVE, None, None
        try:
            request = await self._read(asked)
            role, loaded = self._choose(request_id)
            answer = await self._score(loaded, request)
        except _Refused as error:
            answer = error.answer
        finally:
            self._in_flight -= 1
            metrics.IN_FLIGHT.set(self._in_flight)
        seconds = time.perf_counter() - started
        version = "" if loaded is None else loaded.version
        self._keep(request_id, role, version, at, seconds, answer)
        if loaded is not None and request is not None and answer.status == 200:
            self._worker.remember(request)
            self._shadow(request_id, request, at)
        headers = {REQUEST_ID: request_id}
        if loaded is not None:
            headers |= {"X-Model-Version": version, "X-Model-Alias": self._worker.plan.aliases()[role].alias}
        return _response(answer, headers)

    async def _read(self, asked: Asked) -> Request:
        most, seconds = self._limits.body_bytes, self._limits.read_seconds
        if self._in_flight > self._limits.at_a_time:
            raise _Refused(503, "TEMPORARILY_UNAVAILABLE", f"{self._limits.at_a_time} requests are in hand here")
        parts: list[bytes] = []
        size, said = 0, asked.headers.get("content-length", "")
        try:
            async with asyncio.timeout(seconds):
                if said.isdigit() and int(said) > most:
                    raise _Refused(413, "BAD_REQUEST", f"the body has {said} bytes; at most {most} are taken")
                async for chunk in asked.stream():
                    size += len(chunk)
                    if size > most:
                        raise _Refused(
                            413, "BAD_REQUEST", f"the body has more bytes than {most}, the most that are taken"
                        )
                    parts.append(chunk)
        except TimeoutError:
            said = f"the body was not here within {seconds:g} seconds"
            raise _Refused(408, "REQUEST_LIMIT_EXCEEDED", said) from None
        except ClientDisconnect:
            raise _Refused(_NOBODY_WAITS, "CANCELLED", "the client left before its body was here") from None
        return Request(b"".join(parts), asked.headers.get("content-type", ""))

    def _choose(self, request_id: str) -> tuple[Role, Loaded]:
        found = self._worker.slots.of(self._worker.plan.role_of(request_id))
        if found is None:
            why = self._worker.told.get("why") or "no version is loaded yet"
            raise _Refused(503, "TEMPORARILY_UNAVAILABLE", why)
        return found

    async def _score(self, loaded: Loaded, request: Request) -> Answer:
        seconds = self._limits.answer_seconds
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.get_running_loop().run_in_executor(self._worker.threads, loaded.answer, request)
        except TimeoutError:
            said = f"version {loaded.version} took longer than {seconds:g} seconds"
            return refusal(504, "DEADLINE_EXCEEDED", said)

    def _shadow(self, request_id: str, request: Request, at: datetime) -> None:
        """Ask the shadow version too, later and by itself: it may be slow, wrong or broken, and nobody waits for it."""
        worker = self._worker
        loaded = worker.slots.by_role.get(Role.SHADOW)
        if loaded is None or not worker.plan.shadows(request_id):
            return
        if not worker.shadows_waiting.acquire(blocking=False):
            metrics.SHADOWS_SKIPPED.inc()
            return

        def ask() -> None:
            try:
                started = time.perf_counter()
                answer = loaded.answer(request)
                self._keep(request_id, Role.SHADOW, loaded.version, at, time.perf_counter() - started, answer)
            finally:
                worker.shadows_waiting.release()

        worker.shadows.submit(ask)

    def _keep(self, request_id: str, role: Role, version: str, at: datetime, seconds: float, answer: Answer) -> None:
        metrics.count(role, version, answer.status, seconds)
        if self._worker.log is not None:
            self._worker.log.write(
                version=version,
                inputs=answer.inputs,
                outputs=answer.outputs,
                request_id=request_id,
                role=role.value,
                event_time=at,
                latency=seconds,
                status=answer.status,
                # A message quotes what was asked, columns that must not be kept among it.
                error=answer.code if self._worker.plan.redacts else answer.error,
            )

    async def ready(self, asked: Asked) -> Response:
        """200 once a version answers, 503 before."""
        ready = self._worker.slots.of(Role.LIVE) is not None
        return Response("\n", 200 if ready else 503, media_type=JSON)

    async def healthy(self, asked: Asked) -> Response:
        """200 while the process lives."""
        return Response("\n", 200, media_type=JSON)

    async def version(self, asked: Asked) -> Response:
        """Which version answers on all workers, and what keeps another from doing so."""
        return Response(json.dumps(self._worker.told), 200, media_type=JSON)

    async def metrics(self, asked: Asked) -> Response:
        """The whole server's metrics in Prometheus' text form, whichever worker is asked."""
        text, content_type = await asyncio.to_thread(metrics.exposed)
        return PlainTextResponse(text, 200, {"Content-Type": content_type})

    async def reload(self, asked: Asked) -> Response:
        """Look at the aliases now; only for who can sign for it, and nothing the body says is believed."""
        secret = self._worker.plan.secret
        if secret is None:
            return _response(refusal(403, "PERMISSION_DENIED", "set CONTROLPLANE_SERVING_SECRET to have reloads taken"))
        body = b""
        async for chunk in asked.stream():
            body += chunk
            if len(body) > _RELOAD_BYTES:
                return _response(refusal(413, "BAD_REQUEST", f"a reload has at most {_RELOAD_BYTES} bytes"))
        if not is_signed(secret, asked.headers, body, time.time()):
            return _response(refusal(401, "UNAUTHENTICATED", f"the reload bears no fresh and valid {SIGNATURE}"))
        self._worker.ask_for_a_look()
        return Response(status_code=202)


def _request_id(asked: Asked) -> str:
    given = asked.headers.get(REQUEST_ID, "")
    sound = 0 < len(given) <= _LONGEST_ID and given.isascii() and given.isprintable()
    return given if sound else uuid4().hex


def _response(answer: Answer, headers: dict[str, Any] | None = None) -> Response:
    return Response(answer.body, answer.status, headers, answer.content_type)
