"""The page's questions about samples, and the one that searches everything. Same rules as in `attacks`."""

# ruff: noqa: S608 - the text of queries is put together from this project's own tables, never from an argument

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from eudaemon.farm.queries.attacks import (
    KEPT,
    PAYLOAD_KEPT,
    ROWS_MAX,
    SAMPLE_KEPT,
    TEXT_CHARS_MAX,
    WITHIN,
    Answers,
    Row,
    Window,
    address_range,
    ask,
    ranked,
    said_address,
    said_time,
    session_events,
)

KINDS = {"files": SAMPLE_KEPT, "payloads": PAYLOAD_KEPT, "all": KEPT}
_SAMPLE_ORDERS = {"last": "last_time", "first": "first_time", "count": "count", "size": "size_"}


async def samples(
    store: Answers,
    window: Window,
    *,
    kind: str = "files",
    order: str = "last",
    limit: int = 50,
    offset: int = 0,
    contains: str = "",
) -> list[Row]:
    """Return samples that arrived in the window, with how often, from how many attackers, and what they are.

    `kind` is one of `KINDS`: the samples proper, raw payloads, or both.
    `contains` looks into names, URLs, descriptions and the hash's beginning.
    """
    parameters = {**window.parameters(), "limit": min(max(limit, 1), ROWS_MAX), "offset": min(max(offset, 0), 100_000)}
    matches = ""
    if contains:
        parameters["contains"] = contains[:TEXT_CHARS_MAX]
        matches = """AND (startsWith(sha256, lower({contains:String}))
                     OR positionCaseInsensitiveUTF8(name, {contains:String}) > 0
                     OR positionCaseInsensitiveUTF8(url, {contains:String}) > 0)"""
    rows = await ask(
        store,
        f"""SELECT sha256, any(size) AS size_, argMaxIf(name, time, name != '') AS name_,
                   argMaxIf(url, time, url != '') AS url_, count() AS count,
                   uniqCombined64(attacker_ip) AS attackers, min(time) AS first_time, max(time) AS last_time,
                   {said_time("first_time")} AS first, {said_time("last_time")} AS last
            FROM events WHERE {KINDS[kind]} AND {WITHIN} {matches}
            GROUP BY sha256 ORDER BY {_SAMPLE_ORDERS[order]} DESC, sha256
            LIMIT {{limit:UInt32}} OFFSET {{offset:UInt32}}""",
        parameters,
    )
    known = await identities(store, [row["sha256"] for row in rows])
    unknown = {"format": "", "description": "", "rules": [], "fuzzy": "", "does": []}
    return [
        {**{k: v for k, v in row.items() if not k.endswith("_time")}, **known.get(row["sha256"], unknown)}
        for row in rows
    ]


async def identities(store: Answers, hashes: Sequence[str]) -> dict[str, Row]:
    """Return what the farm says each sample is, for those it has looked at."""
    if not hashes:
        return {}
    rows = await ask(
        store,
        """SELECT sha256, argMax(fields, time) AS fact FROM events
           WHERE kind = 'sample.identified' AND sha256 IN {hashes:Array(String)} GROUP BY sha256""",
        {"hashes": list(hashes)[:ROWS_MAX]},
    )
    return {row["sha256"]: _identity(row["fact"]) for row in rows}


def _identity(fact: Any) -> Row:
    values = fact if isinstance(fact, dict) else json.loads(fact)
    return {
        "format": str(values.get("format", "")),
        "description": str(values.get("description", "")),
        "rules": [str(rule) for rule in values.get("rules", ())],
        "fuzzy": str(values.get("fuzzy", "")),
        "does": [str(sentence) for sentence in values.get("does", ())],
    }


async def judgements(store: Answers, sha256: str) -> list[Row]:
    """Return what others said of a sample, of each of them what they said last."""
    rows = await ask(
        store,
        f"""SELECT JSONExtractString(fields, 'by') AS by_, argMax(fields, time) AS fact,
                   {said_time("max(time)")} AS last
            FROM events WHERE kind = 'sample.judged' AND sha256 = {{sha256:String}}
            GROUP BY by_ ORDER BY by_ LIMIT 20""",
        {"sha256": sha256},
    )
    return [_judgement(row["fact"], row["last"]) for row in rows]


def _judgement(fact: Any, last: Any) -> Row:
    values = fact if isinstance(fact, dict) else json.loads(fact)
    texts = {name: str(values.get(name, "")) for name in ("by", "outcome", "label", "link")}
    numbers = {name: values.get(name) for name in ("positives", "engines", "score")}
    known = {name: number if isinstance(number, int | float) else 0 for name, number in numbers.items()}
    return {**texts, **known, "positives": int(known["positives"]), "engines": int(known["engines"]), "time": last}


async def sample(store: Answers, sha256: str) -> Row | None:
    """Return when, how often and by whom one sample was brought, or `None` if no event names it."""
    rows = await ask(
        store,
        f"""SELECT count() AS count, max(size) AS size_, uniqExact(attacker_ip) AS attackers,
                   {said_time("min(time)")} AS first, {said_time("max(time)")} AS last,
                   groupUniqArrayIf(50)(name, name != '') AS names, groupUniqArray(20)(sensor) AS sensors,
                   groupUniqArrayIf(60)(country, country != '') AS countries,
                   groupUniqArray(5)(origin) AS origins
            FROM events WHERE kind = 'artefact.kept' AND sha256 = {{sha256:String}}""",
        {"sha256": sha256},
    )
    return dict(rows[0]) if rows and rows[0]["count"] else None


async def sample_relations(store: Answers, sha256: str) -> dict[str, list[Row]]:
    """Return what brought a sample: `attackers`, `urls` and the newest `sessions`, 50 of each at most."""
    condition = "kind = 'artefact.kept' AND sha256 = {sha256:String}"
    parameters = {"sha256": sha256}
    attackers, urls, latest = await asyncio.gather(
        ask(
            store,
            f"""SELECT {said_address("attacker_ip")} AS ip, any(country) AS country_, any(as_name) AS as_name_,
                       count() AS count, {said_time("max(time)")} AS last
                FROM events WHERE {condition} GROUP BY attacker_ip ORDER BY count DESC, attacker_ip LIMIT 50""",
            parameters,
        ),
        ask(
            store,
            f"""SELECT url, count() AS count, {said_time("max(time)")} AS last
                FROM events WHERE {condition} AND url != '' GROUP BY url ORDER BY count DESC, url LIMIT 50""",
            parameters,
        ),
        ask(
            store,
            f"""SELECT session, {said_time("max(time)")} AS time_, any(sensor) AS sensor_,
                       {said_address("any(attacker_ip)")} AS ip, any(country) AS country_
                FROM events WHERE {condition} AND session != ''
                GROUP BY session ORDER BY max(time) DESC, session LIMIT 50""",
            parameters,
        ),
    )
    return {"attackers": attackers, "urls": urls, "sessions": latest}


# --- search --------------------------------------------------------------------------------------


async def search(store: Answers, text: str, window: Window, *, limit: int = 10) -> dict[str, list[Row]]:
    """Return what holds the text: sessions by id, attackers by address or block, samples, and ranked texts.

    The groups are `sessions`, `attackers`, `samples`, `credentials`, `commands`, `urls` and `exploits`.
    """
    text = text.strip()[:TEXT_CHARS_MAX]
    found: dict[str, list[Row]] = {}
    if not text:
        return found
    if len(text) == 36 and text.count("-") == 4:
        try:
            if events := await session_events(store, text.lower()):
                return {"sessions": [{"session": text.lower(), **{k: events[0][k] for k in ("time", "sensor", "ip")}}]}
        except ValueError:
            pass
    try:
        first, last = address_range(text)
    except ValueError:
        pass
    else:
        rows = await ask(
            store,
            f"""SELECT {said_address("attacker_ip")} AS ip, any(country) AS country_, any(as_name) AS as_name_,
                       count() AS count, {said_time("max(time)")} AS last
                FROM events WHERE kind = 'session.opened' AND {WITHIN}
                      AND attacker_ip BETWEEN toIPv6({{first_ip:String}}) AND toIPv6({{last_ip:String}})
                GROUP BY attacker_ip ORDER BY count DESC, attacker_ip LIMIT {{limit:UInt32}}""",
            {**window.parameters(), "first_ip": first, "last_ip": last, "limit": limit},
        )
        found["attackers"] = list(rows)
    groups = ("credentials", "commands", "urls", "exploits")
    found["samples"], *texts = await asyncio.gather(
        samples(store, window, kind="all", limit=limit, contains=text),
        *(ranked(store, group, window, limit=limit, contains=text) for group in groups),
    )
    return {**found, **dict(zip(groups, texts, strict=True))}
