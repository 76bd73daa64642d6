"""The page's questions about one address, across its sessions. Same rules as in `attacks`."""

# ruff: noqa: S608 - the text of queries is put together from this project's own tables, never from an argument

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from eudaemon.farm.queries.attacks import (
    EVENT,
    ROWS_MAX,
    WITHIN,
    Answers,
    Row,
    Window,
    address_range,
    ask,
    engine_time,
    said_time,
)

_FIRST_SLICE = timedelta(hours=6)
_HIS = f"attacker_ip = toIPv6({{ip:String}}) AND {WITHIN}"


async def address(store: Answers, ip: str, window: Window) -> Row | None:
    """Return when and where an address was, and where from, or `None` if it has opened no session.

    What it did is for `attacks.ranked` to say, and for `address_events`.
    """
    rows = await ask(
        store,
        f"""SELECT count() AS sessions, {said_time("min(time)")} AS first, {said_time("max(time)")} AS last,
                   argMax(country, time) AS country_, argMax(asn, time) AS asn_, argMax(as_name, time) AS as_name_,
                   arraySort(groupUniqArray(20)(sensor)) AS sensors
            FROM events WHERE kind = 'session.opened' AND {_HIS}""",
        _his(ip, window),
    )
    return rows[0] if rows[0]["sessions"] else None


async def address_events(
    store: Answers, ip: str, window: Window, *, limit: int = 100, before: tuple[str, str] | None = None
) -> list[Row]:
    """Return an address's facts in all its sessions, the newest first. Shape as `attacks.recent`.

    `before` is the (`time`, `id`) of the last row seen: those that follow it are returned.
    """
    limit = min(max(limit, 1), ROWS_MAX)
    condition, cursor = "", dict[str, Any]()
    if before:
        condition = "AND (time, id) < ({before_time:DateTime64(6, 'UTC')}, {before_id:UUID})"
        moment = datetime.fromisoformat(before[0])
        window = Window(window.since, min(window.until, moment + timedelta(microseconds=1)))
        cursor = {"before_time": engine_time(moment), "before_id": before[1]}
    rows: list[Row] = []
    for part in window.slices(_FIRST_SLICE):
        rows += await ask(
            store,
            f"""SELECT toString(id) AS id_, session, {EVENT} FROM events WHERE {_HIS} {condition}
                ORDER BY time DESC, id DESC LIMIT {{limit:UInt32}}""",
            {**_his(ip, part), **cursor, "limit": limit - len(rows)},
        )
        if len(rows) == limit:
            break
    return rows


def _his(ip: str, window: Window) -> dict[str, Any]:
    return {**window.parameters(), "ip": address_range(ip)[0]}
