"""The API's routes for sessions: the list and its filters, one session, its alert, and exports."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, HTTPException, Query
from fastapi.responses import StreamingResponse

from eudaemon.evidence.codec import EvidenceError, loads
from eudaemon.evidence.facts import REPORT_BYTES_MAX
from eudaemon.farm.api import models
from eudaemon.farm.api.alerts import alert_shown
from eudaemon.farm.api.common import (
    FAILURES,
    NOT_FOUND,
    Limit,
    NetworkHere,
    Parts,
    PartsHere,
    SessionHere,
    Text,
    WindowHere,
    event_shown,
    events_of,
    fields_of,
)
from eudaemon.farm.queries import attacks
from eudaemon.farm.queries.attacks import SessionFilter

router = APIRouter(prefix="/api", tags=["sessions"], responses=FAILURES)

EXPORT_ROWS_MAX = 100_000


def filter_of(
    window: WindowHere,
    network: NetworkHere,
    country: Annotated[str, Query(pattern="^([A-Za-z]{2})?$", description="two letters")] = "",
    sensor: Annotated[str, Query(max_length=128)] = "",
    room: Annotated[str, Query(max_length=64, description="the room that answered, such as `telnet`")] = "",
    port: Annotated[int, Query(ge=0, le=65535, description="the port that was attacked; 0 is any")] = 0,
    asn: Annotated[int, Query(ge=0, le=4_294_967_295, description="autonomous system; 0 is any")] = 0,
    exploit: Annotated[str, Query(max_length=200, description="a known exploit's name, or its CVE")] = "",
    with_sample: Annotated[bool, Query(description="only sessions that brought a sample")] = False,
    with_login: Annotated[bool, Query(description="only sessions that were let in")] = False,
    with_command: Annotated[bool, Query(description="only sessions that entered a command")] = False,
    with_exploit: Annotated[bool, Query(description="only sessions with a known exploit")] = False,
    with_alert: Annotated[bool, Query(description="only those that were about to take control of a process")] = False,
    text: Text = "",
) -> SessionFilter:
    """Return which sessions a request asks for."""
    return SessionFilter(
        window, country, network, sensor, room, port, asn, exploit, with_sample, with_login, with_command, with_exploit,
        with_alert, text,
    )  # fmt: skip


Filter = Annotated[SessionFilter, Depends(filter_of)]


def _cursor(row: dict[str, Any]) -> str:
    return f"{row['opened']}~{row['session']}"


def _before(cursor: str) -> tuple[str, str] | None:
    if not cursor:
        return None
    opened, _, session = cursor.partition("~")
    return opened, session


@router.get("/sessions", summary="Sessions, the newest first")
async def sessions(
    parts: PartsHere,
    wanted: Filter,
    limit: Limit = 50,
    before: Annotated[
        str,
        Query(pattern=r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z~[0-9a-f-]{1,64})?$", description="a former `next`"),
    ] = "",
) -> models.Sessions:
    """Return a page of sessions that fit the filters."""
    try:
        rows = await attacks.sessions(parts.store, wanted, limit=limit, before=_before(before))
    except ValueError:
        raise HTTPException(422, "before: pass the `next` of a former answer as it was.") from None
    following = _cursor(rows[-1]) if len(rows) == limit else None
    return models.Sessions(sessions=[models.Session(**row) for row in rows], next=following)


@router.get(
    "/export/sessions",
    summary="All sessions that fit the filters, as a file",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/csv": {}, "application/x-ndjson": {}}}},
)
async def export(
    parts: PartsHere,
    wanted: Filter,
    form: Annotated[Literal["csv", "json"], Query(alias="format", description="`json` is one object a line")] = "csv",
) -> StreamingResponse:
    """Stream up to 100,000 sessions, the newest first."""
    lines = _csv(parts, wanted) if form == "csv" else _ndjson(parts, wanted)
    name, media_type = ("sessions.csv", "text/csv") if form == "csv" else ("sessions.ndjson", "application/x-ndjson")
    return StreamingResponse(
        lines, media_type=media_type, headers={"Content-Disposition": f'attachment; filename="{name}"'}
    )


async def _pages(parts: Parts, wanted: SessionFilter) -> AsyncIterator[list[dict[str, Any]]]:
    before, left = None, EXPORT_ROWS_MAX
    while left > 0:
        rows = await attacks.sessions(parts.store, wanted, limit=min(attacks.ROWS_MAX, left), before=before)
        yield rows
        if len(rows) < attacks.ROWS_MAX:
            return
        left -= len(rows)
        before = _before(_cursor(rows[-1]))


async def _ndjson(parts: Parts, wanted: SessionFilter) -> AsyncIterator[bytes]:
    async for rows in _pages(parts, wanted):
        yield b"".join(json.dumps(row).encode() + b"\n" for row in rows)


async def _csv(parts: Parts, wanted: SessionFilter) -> AsyncIterator[bytes]:
    columns = tuple(models.Session.model_fields)
    yield (",".join(columns) + "\r\n").encode()
    async for rows in _pages(parts, wanted):
        page = io.StringIO()
        writer = csv.writer(page)
        writer.writerows([_cell(row[column]) for column in columns] for row in rows)
        yield page.getvalue().encode()


def _cell(value: object) -> object:
    """Return a cell that no spreadsheet takes for a formula, whatever an attacker called himself."""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{value}"
    return "" if value is None else value


@router.get("/sessions/{session}", summary="One session and its facts", responses=NOT_FOUND)
async def session(parts: PartsHere, session: SessionHere) -> models.SessionDetail:
    """Return all facts of a session in order."""
    rows = await events_of(parts, session)
    events = [event_shown(row, session) for row in rows]
    sha256 = next((str(e.fields.get("conversation", "")) for e in events if e.kind == "session.closed"), "")
    return models.SessionDetail(
        session=session, events=events, truncated=len(events) == attacks.SESSION_EVENTS_MAX, conversation=sha256
    )


@router.get("/sessions/{session}/alert", summary="What took control of a possessed process", responses=NOT_FOUND)
async def alert(parts: PartsHere, session: SessionHere) -> models.Alert:
    """Return the report of the session's alert: whose bytes they were, and the memory around them."""
    told = [fields_of(row["fields"]) for row in await events_of(parts, session) if row["kind"] == "control.hijacked"]
    sha256 = next((str(fields.get("report", "")) for fields in told), "")
    size = await parts.samples.size(sha256) if sha256 else None
    if size is None or size > REPORT_BYTES_MAX:
        raise HTTPException(404, "No report of an alert was kept of this session.")
    try:
        return alert_shown(loads(await parts.samples.read(sha256, 0, size)))
    except (EvidenceError, ValueError, OverflowError) as error:
        raise HTTPException(404, f"The report cannot be read: {error}.") from None
