"""What the API's routes share: the parts they ask, the arguments that many of them take, and how they refuse."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, Protocol

from fastapi import Depends, HTTPException, Path, Query, Request

from eudaemon.events import Event
from eudaemon.farm.accounts import Accounts
from eudaemon.farm.api import models
from eudaemon.farm.queries.attacks import Answers, Window, address_range, session_events

Row = dict[str, Any]


class Bytes(Protocol):
    """What is needed of the sample store."""

    async def size(self, sha256: str) -> int | None:
        """Return how many bytes an artefact has, or `None` if it is not here."""

    async def read(self, sha256: str, offset: int, length: int) -> bytes:
        """Return at most `length` bytes from `offset`."""


class Shown(Protocol):
    """One accepted event and what the farm added to it, as the live feed shows it."""

    event: Event
    country: str
    asn: int
    as_name: str


class Live(Protocol):
    """What is needed of the hub."""

    def subscribe(self) -> AbstractContextManager[asyncio.Queue[Row]]:
        """Return a queue that gets every accepted event as a row of `EventShown`, for as long as it is entered."""


@dataclass(frozen=True)
class Parts:
    """Whom the API asks."""

    store: Answers
    samples: Bytes
    live: Live
    accounts: Accounts
    fleet: Callable[[], Awaitable[Mapping[str, Any]]]
    version: str
    secure: bool = False  # whether the page is served over TLS
    live_max: int = 64
    followers: set[int] = field(default_factory=set)


def parts_of(request: Request) -> Parts:
    """Return the parts that this application was made with."""
    parts: Parts = request.app.state.parts
    return parts


def user_of(request: Request) -> str:
    """Return who asks. The guard lets nobody through without, but to /api/me."""
    user: str = request.state.user
    return user


def fields_of(fields: Any) -> Row:
    """Return a fact's own fields, which the store keeps as JSON."""
    values = json.loads(fields) if isinstance(fields, str) else fields
    return values if isinstance(values, dict) else {}


def event_shown(row: Row, session: str = "") -> models.EventShown:
    """Return a row of the store as the API shows it."""
    return models.EventShown(**{"session": session, **row, "fields": fields_of(row["fields"])})


async def events_of(parts: Parts, session: str) -> list[Row]:
    """Return one session's facts as the store has them. Refuses with 404 where there is no such session."""
    try:
        rows = await session_events(parts.store, session)
    except (ValueError, OverflowError):
        rows = []
    if not rows:
        raise HTTPException(404, "There is no such session. What has just happened may take some seconds to show.")
    return rows


SPANS = {"1h": 1, "24h": 24, "7d": 7 * 24, "30d": 30 * 24, "365d": 365 * 24}
_FIRST = datetime(2000, 1, 1, tzinfo=UTC)


def window_of(
    span: Annotated[
        Literal["1h", "24h", "7d", "30d", "365d", "all"], Query(description="how far back from now, or from `until`")
    ] = "24h",
    since: Annotated[datetime | None, Query(description="RFC 3339; instead of `span`")] = None,
    until: Annotated[datetime | None, Query(description="RFC 3339; now if absent")] = None,
) -> Window:
    """Return the window that a request asks for."""
    end = _with_zone(until) if until else datetime.now(UTC) + timedelta(seconds=1)
    begin = _with_zone(since) if since else _FIRST if span == "all" else end - timedelta(hours=SPANS[span])
    if begin >= end:
        raise HTTPException(422, "`since` must be before `until`.")
    return Window(max(begin, _FIRST), min(end, datetime(2200, 1, 1, tzinfo=UTC)))


def _with_zone(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def network_of(
    network: Annotated[str, Query(max_length=49, description="an address, or a block such as 198.51.100.0/24")] = "",
) -> str:
    """Return the address or block that a request asks for; empty is any."""
    if network:
        try:
            address_range(network)
        except ValueError:
            raise HTTPException(
                422, f"network: {network!r} is no address and no block such as 198.51.100.0/24 or 2001:db8::/32."
            ) from None
    return network


NetworkHere = Annotated[str, Depends(network_of)]
PartsHere = Annotated[Parts, Depends(parts_of)]
User = Annotated[str, Depends(user_of)]
WindowHere = Annotated[Window, Depends(window_of)]
Limit = Annotated[int, Query(ge=1, le=500, description="at most so many rows")]
Text = Annotated[str, Query(max_length=200, description="only what holds this text, in any case")]
Sha256Here = Annotated[str, Path(pattern="^[0-9a-f]{64}$", description="SHA-256, hexadecimal, lower case")]
SessionHere = Annotated[
    str, Path(pattern="^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", description="the session's id, a UUID")
]
FAILURES: dict[int | str, dict[str, Any]] = {
    401: {"model": models.Failure, "description": "Nobody is logged in, and there is no valid token."},
    422: {"model": models.Failure, "description": "An argument is wrong; the text says which."},
}
NOT_FOUND: dict[int | str, dict[str, Any]] = {404: {"model": models.Failure, "description": "There is no such thing."}}
