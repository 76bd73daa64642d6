"""Where sensors deliver: batches of events, and artefacts. An ASGI application; see docs/decisions/intake.md.

    POST /intake/v1/batch                 200 next, shellcodes | 400 403 413 refused whole | 429 503 507 later
    HEAD /intake/v1/artefacts/{sha256}    200 | 404
    PUT  /intake/v1/artefacts/{sha256}    201 kept | 200 was there | 400 413 refused | 503 507 later

Every request bears a credential, which is checked before anything of its body is read. A body states its length, is cut
off at the limits of size and time, and all bodies together take bounded memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from eudaemon.farm.fleet import Fleet
from eudaemon.farm.geo import Place
from eudaemon.farm.hub import Hub
from eudaemon.farm.intake.batch import BatchError, Uploaded, read_batch
from eudaemon.farm.intake.throttle import Throttle
from eudaemon.farm.samples import SHA256, HashError, SampleStore
from eudaemon.farm.samples.shells import Board
from eudaemon.farm.settings import Intake as IntakeSettings
from eudaemon.farm.store import DiskFullError, QueueFullError, Store

log = logging.getLogger("eudaemon.farm.intake")

BATCH = "/intake/v1/batch"
ARTEFACTS = "/intake/v1/artefacts/"
RETRY_S = 5
_DRAINED_BYTES_MAX = 16 * 1024 * 1024  # of a body that is refused, so that its sender gets to read why


class _RefusedError(Exception):
    """An answer other than success."""

    def __init__(self, status: int, error: str, *, line: int = 0, retry_s: int = 0) -> None:
        super().__init__(error)
        self.status, self.line, self.retry_s = status, line, retry_s


@dataclass(frozen=True)
class Taker:
    """Where what was delivered goes."""

    store: Store
    samples: SampleStore
    fleet: Fleet
    hub: Hub
    locate: Callable[[str], Place]
    sample_came: Callable[[], None]  # there are samples to be identified
    board: Board  # what samples are found to do, for who brought them


class Intake:
    """The application."""

    def __init__(self, taker: Taker, settings: IntakeSettings) -> None:
        self._to, self._settings = taker, settings
        self._throttle = Throttle(settings.failed_logins_max, 60.0)
        self._bytes_in_flight = 0
        self._uploads = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        body = _Receiver(receive)
        request = Request(scope, body)
        try:
            sensor = self._sensor(request)
            try:
                response = await self._answer(request, sensor)
            except _RefusedError:
                await self._drain(body)
                raise
        except _RefusedError as refused:
            response = _refusal(refused)
        except ClientDisconnect:
            return
        await response(scope, receive, send)

    def _sensor(self, request: Request) -> str:
        """Return who this is. Raises `_RefusedError`."""
        address = request.client.host if request.client else ""
        scheme, _, credential = request.headers.get("authorization", "").partition(" ")
        name, _, secret = credential.strip().partition(":")
        if scheme.lower() == "bearer" and self._to.fleet.is_admitted(name, secret):
            return name
        # A right credential is never kept waiting: a neighbour behind the same address may have a wrong one.
        if wait_s := self._throttle.wait_s(address):
            raise _RefusedError(429, "too many wrong credentials from this address", retry_s=wait_s)
        self._throttle.failed(address)
        log.warning("intake: wrong credential from %s for sensor %.64r", address, name)
        raise _RefusedError(401, "no such sensor, or not its secret")

    async def _answer(self, request: Request, sensor: str) -> Response:
        path, method = request.url.path, request.method
        if path == BATCH and method == "POST":
            return await self._within_limits(request, self._settings.batch_bytes_max, self._batch, sensor)
        sha256 = path.removeprefix(ARTEFACTS)
        if path.startswith(ARTEFACTS) and SHA256.fullmatch(sha256):
            if method == "HEAD":
                return Response(status_code=200 if await self._to.samples.is_here(sha256) else 404)
            if method == "PUT":
                return await self._within_limits(request, self._settings.artefact_bytes_max, self._artefact, sha256)
        raise _RefusedError(404, "there is no such endpoint")

    async def _within_limits(
        self, request: Request, bytes_max: int, take: Callable[[Request, int, str], Awaitable[Response]], what: str
    ) -> Response:
        """Take an upload, unless it is too large, too slow, or there are too many."""
        stated = request.headers.get("content-length", "")
        if not stated.isdecimal() or len(stated) > 20 or "transfer-encoding" in request.headers:
            raise _RefusedError(411, "a Content-Length is needed")
        length = int(stated)
        if length > bytes_max:
            raise _RefusedError(413, f"more than {bytes_max} bytes")
        if self._uploads >= self._settings.concurrent_max:
            raise _RefusedError(503, "too many uploads at a time", retry_s=RETRY_S)
        self._uploads += 1
        try:
            async with asyncio.timeout(self._settings.body_s_max):
                return await take(request, length, what)
        except TimeoutError:
            raise _RefusedError(408, "too slow") from None
        except DiskFullError as error:
            log.error("intake: refused, the disk is full: %s", error)
            raise _RefusedError(507, "the farm's disk is full", retry_s=60) from None
        except QueueFullError:
            raise _RefusedError(503, "the farm's queue is full", retry_s=RETRY_S) from None
        finally:
            self._uploads -= 1

    async def _batch(self, request: Request, length: int, sensor: str) -> Response:
        if self._bytes_in_flight + length > self._settings.in_flight_bytes_max:
            raise _RefusedError(503, "too much is being uploaded", retry_s=1)
        self._bytes_in_flight += length
        try:
            body = b"".join([chunk async for chunk in _body(request, length)])
            received_s = time.time()
            try:
                uploaded = await asyncio.to_thread(
                    read_batch, body, sensor, received_s, self._settings, self._to.locate
                )
            except BatchError as error:
                raise _RefusedError(error.status, str(error), line=error.line) from None
            return await self._take(sensor, uploaded, received_s)
        finally:
            self._bytes_in_flight -= length

    async def _take(self, sensor: str, uploaded: Uploaded, received_s: float) -> Response:
        rows = uploaded.rows
        # Before anything can be refused for want of room: a sensor that has to wait is not silent.
        self._to.fleet.heard(
            sensor, uploaded.health, session_s=uploaded.session_s, clock_off_s=clock_off_s(uploaded, received_s)
        )
        accepted = await self._to.store.append(sensor, uploaded.spool, uploaded.first, rows)
        self._to.hub.publish(rows[accepted.duplicates :])
        if uploaded.samples or uploaded.conversations:
            named = self._to.samples.catalogue.named
            if await asyncio.to_thread(named, uploaded.samples, uploaded.conversations):
                self._to.sample_came()
        self._to.board.brought(sensor, uploaded.payloads)
        answer: dict[str, Any] = {"next": accepted.next, "taken": accepted.taken, "duplicates": accepted.duplicates}
        if words := self._to.board.take(sensor):
            answer["shellcodes"] = words
        return _json(200, answer)

    async def _artefact(self, request: Request, length: int, sha256: str) -> Response:
        try:
            new = await self._to.samples.keep(sha256, _body(request, length))
        except HashError as error:
            raise _RefusedError(400, str(error)) from None
        return Response(status_code=201 if new else 200)

    async def _drain(self, body: _Receiver) -> None:
        """Read what an admitted sensor still sends, so that it reads our answer instead of a reset connection."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.body_s_max):
                while not body.ended and body.received < _DRAINED_BYTES_MAX:
                    await body()


class _Receiver:
    """Receives a request's body, and knows whether there is more of it."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.received, self.ended = 0, False

    async def __call__(self) -> Message:
        message = await self._receive()
        self.received += len(message.get("body", b""))
        self.ended = message["type"] != "http.request" or not message.get("more_body", False)
        return message


async def _body(request: Request, length: int) -> AsyncIterator[bytes]:
    """Yield a body that is exactly as long as it said."""
    left = length
    async for chunk in request.stream():
        left -= len(chunk)
        if left < 0:
            raise _RefusedError(400, "the body is longer than it said")
        if chunk:
            yield chunk
    if left:
        raise _RefusedError(400, "the body is shorter than it said")


def clock_off_s(uploaded: Uploaded, received_s: float) -> float:
    """Return how far a sensor's clock is ahead: by its own word, else by events that lie in the future."""
    told = (uploaded.health or {}).get("clock_s")
    if isinstance(told, int | float) and 0 <= told < 2**40:
        return told - received_s
    return max([0.0, *(row.event.at_s - received_s for row in uploaded.rows)])


def _refusal(refused: _RefusedError) -> Response:
    answer: dict[str, Any] = {"error": str(refused)}
    if refused.line:
        answer["line"] = refused.line
    response = _json(refused.status, answer)
    if refused.retry_s:
        response.headers["Retry-After"] = str(refused.retry_s)
    if refused.status in (401, 408, 411, 413, 429):
        response.headers["Connection"] = "close"
    return response


def _json(status: int, value: dict[str, Any]) -> Response:
    return Response(json.dumps(value), status, media_type="application/json")
