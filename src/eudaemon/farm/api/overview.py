"""The API's routes for numbers, rankings, search, sensors, and the live feed."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import StreamingResponse

from eudaemon.events import rfc3339
from eudaemon.farm.api import models
from eudaemon.farm.api.common import FAILURES, Limit, NetworkHere, Parts, PartsHere, Text, WindowHere, event_shown
from eudaemon.farm.queries import attacks, samples
from eudaemon.farm.queries.attacks import Window

router = APIRouter(prefix="/api", tags=["overview"], responses=FAILURES)

KEEPALIVE_S = 15.0
LIVE_S_MAX = 3600.0  # then the browser asks again, and whoever was logged out meanwhile is refused
What = Literal["countries", "networks", "attackers", "ports", "sensors", "credentials", "users", "passwords",
               "commands", "exploits", "urls", "artefacts"]  # fmt: skip


@router.get("/health", summary="Whether the farm answers (needs no login)", tags=["sensors"])
async def health(parts: PartsHere) -> models.Health:
    """Say that the farm is up."""
    return models.Health(status="ok", version=parts.version)


@router.get("/overview", summary="Totals and attacks over time")
async def overview(parts: PartsHere, window: WindowHere) -> models.Overview:
    """Return the numbers for a window, and for the one before it to compare with."""
    before = Window(window.since - (window.until - window.since), window.since)
    if before.since.year < 1990:
        before = Window(window.since, window.since)
    totals, former, buckets = await asyncio.gather(
        attacks.totals(parts.store, window), attacks.totals(parts.store, before), attacks.over_time(parts.store, window)
    )
    timeline = models.Timeline(
        since=rfc3339(window.since.timestamp()), until=rfc3339(window.until.timestamp()),
        bucket_s=attacks.bucket_s(window), buckets=[models.Bucket(**row) for row in buckets],
    )  # fmt: skip
    return models.Overview(totals=models.Totals(**totals), before=models.Totals(**former), timeline=timeline)


@router.get("/ranked/{what}", summary="The most frequent countries, networks, credentials, commands, …")
async def ranked(
    parts: PartsHere, window: WindowHere, what: What, network: NetworkHere, limit: Limit = 10, contains: Text = ""
) -> list[models.Ranked]:
    """Return one ranking. With `network` it is of what that address or block did."""
    rows = await attacks.ranked(parts.store, what, window, limit=limit, contains=contains, network=network)
    return [models.Ranked(**row) for row in rows]


@router.get("/recent", summary="The newest events")
async def recent(parts: PartsHere, limit: Limit = 60) -> list[models.EventShown]:
    """Return what has just happened, the newest first: what the live feed begins with."""
    return [event_shown(row) for row in await attacks.recent(parts.store, limit=limit)]


@router.get("/search", summary="Search everything by one text")
async def search(
    parts: PartsHere,
    window: WindowHere,
    q: Annotated[str, Query(min_length=1, max_length=200, description="address, CIDR block, hash, id, or any text")],
    limit: Annotated[int, Query(ge=1, le=50)] = 10,
) -> models.SearchResult:
    """Return what holds the text: an address, a block, a hash or its beginning, a session's id, or any text."""
    found = await samples.search(parts.store, q, window, limit=limit)
    return models.SearchResult.model_validate({"query": q, **found})


@router.get("/sensors", summary="Sensors and their health", tags=["sensors"])
async def sensors(parts: PartsHere) -> models.Fleet:
    """Return every sensor, how it does, and how the farm itself does."""
    return models.Fleet(**await parts.fleet())


@router.get(
    "/live",
    summary="Events as they come in (server-sent events)",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}}, 503: {"model": models.Failure}},
)
async def live(parts: PartsHere, request: Request) -> StreamingResponse:
    """Stream every accepted event as one `event` message of JSON (`EventShown`), until the client goes away."""
    if len(parts.followers) >= parts.live_max:
        raise HTTPException(503, f"{parts.live_max} live feeds are open already. Close one.", {"Retry-After": "30"})
    return StreamingResponse(_stream(parts, request), media_type="text/event-stream")


async def _stream(parts: Parts, request: Request) -> AsyncIterator[bytes]:
    me, until_s = id(request), time.monotonic() + LIVE_S_MAX
    parts.followers.add(me)
    try:
        with parts.live.subscribe() as queue:
            yield b"retry: 2000\n\n"
            while time.monotonic() < until_s and not await request.is_disconnected():
                try:
                    row = await asyncio.wait_for(queue.get(), KEEPALIVE_S)
                except TimeoutError:
                    yield b": nothing new\n\n"
                    continue
                yield _message(row)
    finally:
        parts.followers.discard(me)


def _message(row: dict[str, Any]) -> bytes:
    # JSON in ASCII holds no line end, so that nothing in it can end the message.
    return b"event: event\ndata: " + json.dumps(row).encode("ascii") + b"\n\n"
