"""Every question the page asks of the store, in one place.

Owns SQL and nothing else: each function takes a store and typed arguments and returns plain dicts. Values only ever
reach the engine as parameters; what is put into the text of a query comes from the tables in this file. Every answer is
bounded. Times in answers are RFC 3339 text; addresses are plain, IPv4 never mapped into IPv6. An attack is a session.
"""

# ruff: noqa: S608 - the text of queries is put together from this file's own tables, never from an argument

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

ROWS_MAX = 500
TEXT_CHARS_MAX = 200
SESSION_EVENTS_MAX = 5_000
_SESSION_S_MAX = 86_400  # a session's facts lie within this of its beginning

Row = dict[str, Any]


class Answers(Protocol):
    """What is needed of the store."""

    async def query(self, sql: str, parameters: Mapping[str, Any]) -> Sequence[Row]:
        """Return the rows that a query selects."""


def _time(column: str) -> str:
    return f"formatDateTime({column}, '%Y-%m-%dT%H:%i:%S.%fZ', 'UTC')"


def _address(column: str) -> str:
    return f"if({column} = toIPv6('::'), '', replaceOne(toString({column}), '::ffff:', ''))"


async def _rows(store: Answers, sql: str, parameters: Mapping[str, Any]) -> list[Row]:
    """Return the rows of a query. A name that ends in `_` loses that: in the engine an alias would hide the column."""
    rows = await store.query(sql, parameters)
    return [{name.removesuffix("_"): value for name, value in row.items()} for row in rows]


@dataclass(frozen=True, slots=True)
class Window:
    """A span of time: from `since` up to, but not including, `until`. UTC."""

    since: datetime
    until: datetime

    @classmethod
    def last(cls, span: timedelta, *, now: datetime | None = None) -> Window:
        """Return the span that ends now."""
        until = now or datetime.now(UTC)
        return cls(until - span, until)

    def parameters(self) -> dict[str, Any]:
        """Return what `_WITHIN` needs."""
        return {"since": _engine_time(self.since), "until": _engine_time(self.until)}


_WITHIN = "time >= {since:DateTime64(6, 'UTC')} AND time < {until:DateTime64(6, 'UTC')}"


def _engine_time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


# --- the overview --------------------------------------------------------------------------------


async def totals(store: Answers, window: Window) -> Row:
    """Return how many attacks, attackers, logins, commands, exploits, downloads and samples there were."""
    rows = await _rows(
        store,
        f"""SELECT countIf(kind = 'session.opened') AS attacks,
                   uniqCombined64If(attacker_ip, kind = 'session.opened') AS attackers,
                   countIf(kind = 'login.tried') AS logins, countIf(kind = 'command.entered') AS commands,
                   countIf(kind = 'exploit.recognised') AS exploits, countIf(kind = 'artefact.kept') AS captures,
                   uniqCombined64If(sha256, kind = 'artefact.kept') AS samples
            FROM events WHERE {_WITHIN} AND kind IN ('session.opened', 'login.tried', 'command.entered',
                   'exploit.recognised', 'artefact.kept')""",
        window.parameters(),
    )
    return dict(rows[0])


BUCKETS_S = (60, 300, 900, 3600, 10_800, 21_600, 86_400, 604_800)
_BUCKETS_WANTED = 96


def bucket_s(window: Window) -> int:
    """Return how many seconds one bar of a chart over the window stands for: at most about a hundred bars."""
    span_s = (window.until - window.since).total_seconds()
    return next((size for size in BUCKETS_S if span_s / size <= _BUCKETS_WANTED), BUCKETS_S[-1])


async def over_time(store: Answers, window: Window) -> list[Row]:
    """Return attacks, logins and captured samples per bucket of `bucket_s`, empty buckets left out."""
    rows = await _rows(
        store,
        f"""SELECT intDiv(toUnixTimestamp(time), {{size:UInt32}}) * {{size:UInt32}} AS at_s,
                   countIf(kind = 'session.opened') AS attacks, countIf(kind = 'login.tried') AS logins,
                   countIf(kind = 'artefact.kept') AS captures
            FROM events WHERE {_WITHIN} AND kind IN ('session.opened', 'login.tried', 'artefact.kept')
            GROUP BY at_s ORDER BY at_s LIMIT 2000""",
        {**window.parameters(), "size": bucket_s(window)},
    )
    return list(rows)


@dataclass(frozen=True, slots=True)
class Ranking:
    """One way to rank attacks: the kind of fact that counts, and the columns that make up one entry."""

    kind: str
    columns: Mapping[str, str]  # name in the answer -> expression
    keep: str = "1"


RANKINGS: dict[str, Ranking] = {
    "countries": Ranking("session.opened", {"country": "country"}, "country != ''"),
    "networks": Ranking("session.opened", {"asn": "asn", "as_name": "as_name"}, "asn != 0"),
    "attackers": Ranking("session.opened", {"ip": "attacker_ip", "country": "country", "as_name": "as_name"}),
    "ports": Ranking("session.opened", {"port": "local_port", "room": "room"}),
    "sensors": Ranking("session.opened", {"sensor": "sensor"}),
    "credentials": Ranking("login.tried", {"user": "user", "password": "password"}),
    "users": Ranking("login.tried", {"user": "user"}),
    "passwords": Ranking("login.tried", {"password": "password"}),
    "commands": Ranking("command.entered", {"command": "command"}),
    "exploits": Ranking("exploit.recognised", {"name": "name"}),
    "urls": Ranking("download.wished", {"url": "url"}),
}


async def ranked(store: Answers, what: str, window: Window, *, limit: int = 10, contains: str = "") -> list[Row]:
    """Return the most frequent entries of a ranking: its columns, `count`, `attackers` and `last`.

    `contains` keeps entries of which a text column holds the text, in any case. Raises `KeyError` for an unknown ranking.
    """
    ranking = RANKINGS[what]
    limit = min(max(limit, 1), ROWS_MAX)
    groups = list(ranking.columns.values())
    shown = [f"{_address(e) if e == 'attacker_ip' else e} AS {n}_" for n, e in ranking.columns.items()]
    matches = ""
    parameters = {**window.parameters(), "limit": limit, "kind": ranking.kind}
    if contains:
        texts = [e for e in groups if e not in ("asn", "local_port", "attacker_ip")]
        matches = (
            "AND (" + " OR ".join(f"positionCaseInsensitiveUTF8({e}, {{contains:String}}) > 0" for e in texts) + ")"
        )
        parameters["contains"] = contains[:TEXT_CHARS_MAX]
    rows = await _rows(
        store,
        f"""SELECT {", ".join(shown)}, count() AS count, uniqCombined64(attacker_ip) AS attackers, {_time("max(time)")} AS last
            FROM events WHERE kind = {{kind:String}} AND {_WITHIN} AND {ranking.keep} {matches}
            GROUP BY {", ".join(groups)} ORDER BY count DESC, {", ".join(groups)} LIMIT {{limit:UInt32}}""",
        parameters,
    )
    return rows


# --- sessions ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SessionFilter:
    """Which sessions are wanted. Empty means any. `network` is one address or a CIDR block."""

    window: Window
    country: str = ""
    network: str = ""
    sensor: str = ""
    room: str = ""
    port: int = 0
    asn: int = 0
    with_sample: bool = False
    with_login: bool = False
    text: str = ""


def address_range(network: str) -> tuple[str, str]:
    """Return the first and the last address of a block as the engine holds them. Raises `ValueError` if it is none."""
    block = ipaddress.ip_network(network.strip(), strict=False)
    prefix = "::ffff:" if block.version == 4 else ""
    return f"{prefix}{block[0]}", f"{prefix}{block[-1]}"


# Sessions in which something of the kind happened and a column holds the text.
_TEXT_COLUMNS = ("user", "password", "command", "url", "name")
_SESSIONS_WITH = "session IN (SELECT session FROM events WHERE {condition} AND {within} AND session != '')"


def _session_conditions(wanted: SessionFilter) -> tuple[list[str], dict[str, Any]]:
    conditions, parameters = [_WITHIN], wanted.window.parameters()
    for column, type_, value in (
        ("country", "String", wanted.country.upper()), ("sensor", "String", wanted.sensor), ("room", "String", wanted.room),
        ("local_port", "UInt16", wanted.port), ("asn", "UInt32", wanted.asn),
    ):  # fmt: skip
        if value:
            conditions.append(f"{column} = {{{column}:{type_}}}")
            parameters[column] = value
    if wanted.network:
        parameters["first_ip"], parameters["last_ip"] = address_range(wanted.network)
        conditions.append("attacker_ip BETWEEN toIPv6({first_ip:String}) AND toIPv6({last_ip:String})")
    if wanted.with_sample:
        conditions.append(_SESSIONS_WITH.format(condition="kind = 'artefact.kept'", within=_WITHIN))
    if wanted.with_login:
        conditions.append(_SESSIONS_WITH.format(condition="kind = 'login.tried' AND accepted", within=_WITHIN))
    if wanted.text:
        found = " OR ".join(f"positionCaseInsensitiveUTF8({c}, {{text:String}}) > 0" for c in _TEXT_COLUMNS)
        kinds = "kind IN ('login.tried', 'command.entered', 'exploit.recognised', 'download.wished', 'artefact.kept')"
        conditions.append(_SESSIONS_WITH.format(condition=f"{kinds} AND ({found})", within=_WITHIN))
        parameters["text"] = wanted.text[:TEXT_CHARS_MAX]
    return conditions, parameters


async def sessions(
    store: Answers, wanted: SessionFilter, *, limit: int = 50, before: tuple[str, str] | None = None
) -> list[Row]:
    """Return sessions, the newest first, each with what happened in it.

    `before` is the (`opened`, `session`) of the last row seen: the page that follows it is returned.
    """
    conditions, parameters = _session_conditions(wanted)
    parameters["limit"] = min(max(limit, 1), ROWS_MAX)
    if before:
        conditions.append("(time, session) < ({before_time:DateTime64(6, 'UTC')}, {before_session:String})")
        parameters["before_time"] = _engine_time(datetime.fromisoformat(before[0]))
        parameters["before_session"] = before[1]
    opened = await _rows(
        store,
        f"""SELECT session, {_time("time")} AS opened, sensor, room, {_address("attacker_ip")} AS ip, attacker_port,
                   local_port AS port, country, asn, as_name
            FROM events WHERE kind = 'session.opened' AND {" AND ".join(conditions)}
            ORDER BY time DESC, session DESC LIMIT {{limit:UInt32}}""",
        parameters,
    )
    if not opened:
        return []
    happened = await _happened(store, opened)
    nothing = {"logins": 0, "credential": "", "commands": 0, "samples": 0, "exploit": "", "closed": "",
               "duration_s": None, "conversation": ""}  # fmt: skip
    return [{**row, **nothing, **happened.get(row["session"], {})} for row in opened]


async def _happened(store: Answers, opened: Sequence[Row]) -> dict[str, Row]:
    first, last = opened[-1]["opened"], opened[0]["opened"]
    rows = await _rows(
        store,
        f"""SELECT session, countIf(kind = 'login.tried') AS logins,
                   anyIf(concat(user, ' / ', password), kind = 'login.tried' AND accepted) AS credential,
                   countIf(kind = 'command.entered') AS commands, uniqExactIf(sha256, kind = 'artefact.kept') AS samples,
                   anyIf(name, kind = 'exploit.recognised') AS exploit,
                   anyIf(JSONExtractString(fields, 'reason'), kind = 'session.closed') AS closed,
                   anyIf(toNullable(JSONExtractFloat(fields, 'duration_s')), kind = 'session.closed') AS duration_s,
                   anyIf(JSONExtractString(fields, 'conversation'), kind = 'session.closed') AS conversation
            FROM events WHERE {_WITHIN} AND session IN {{sessions:Array(String)}} GROUP BY session""",
        {
            "since": _engine_time(datetime.fromisoformat(first)),
            "until": _engine_time(datetime.fromisoformat(last) + timedelta(seconds=_SESSION_S_MAX)),
            "sessions": [row["session"] for row in opened],
        },
    )
    return {row["session"]: {k: v for k, v in row.items() if k != "session"} for row in rows}


def session_window(session: str) -> Window:
    """Return the time in which a session's facts lie: its id is a UUIDv7, which begins with the time (RFC 9562)."""
    begun = datetime.fromtimestamp(int(session.replace("-", "")[:12], 16) / 1000, UTC)
    return Window(begun - timedelta(minutes=5), begun + timedelta(seconds=_SESSION_S_MAX))


_EVENT = f"""{_time("time")} AS time_, sensor, kind, {_address("attacker_ip")} AS ip, attacker_port,
             {_address("local_ip")} AS local_ip_, local_port AS port, country, asn, as_name, fields"""


async def session_events(store: Answers, session: str) -> list[Row]:
    """Return one session's facts in order, at most `SESSION_EVENTS_MAX`. Raises `ValueError` if it is no session id."""
    rows = await _rows(
        store,
        f"""SELECT toString(id) AS id_, {_EVENT} FROM events WHERE {_WITHIN} AND session = {{session:String}}
            ORDER BY time, id LIMIT {SESSION_EVENTS_MAX}""",
        {**session_window(session).parameters(), "session": session},
    )
    return list(rows)


async def recent(store: Answers, *, limit: int = 60) -> list[Row]:
    """Return the newest facts, whatever they are, the newest first. Shape as `session_events`, with `session`."""
    rows = await _rows(
        store,
        f"""SELECT toString(id) AS id_, session, {_EVENT} FROM events
            WHERE time >= {{since:DateTime64(6, 'UTC')}} ORDER BY time DESC, id DESC LIMIT {{limit:UInt32}}""",
        {"since": _engine_time(datetime.now(UTC) - timedelta(days=30)), "limit": min(max(limit, 1), ROWS_MAX)},
    )
    return list(rows)


# --- samples -------------------------------------------------------------------------------------

_SAMPLE_ORDERS = {"last": "last_time", "first": "first_time", "count": "count", "size": "size_"}


async def samples(
    store: Answers, window: Window, *, order: str = "last", limit: int = 50, offset: int = 0, contains: str = ""
) -> list[Row]:
    """Return samples that arrived in the window, with how often, from how many attackers, and what they are.

    `contains` looks into names, URLs, descriptions and the hash's beginning.
    """
    parameters = {**window.parameters(), "limit": min(max(limit, 1), ROWS_MAX), "offset": min(max(offset, 0), 100_000)}
    matches = ""
    if contains:
        parameters["contains"] = contains[:TEXT_CHARS_MAX]
        matches = """AND (startsWith(sha256, lower({contains:String}))
                     OR positionCaseInsensitiveUTF8(name, {contains:String}) > 0
                     OR positionCaseInsensitiveUTF8(url, {contains:String}) > 0)"""
    rows = await _rows(
        store,
        f"""SELECT sha256, any(size) AS size_, argMax(name, time) AS name_, argMax(url, time) AS url_, count() AS count,
                   uniqCombined64(attacker_ip) AS attackers, min(time) AS first_time, max(time) AS last_time,
                   {_time("first_time")} AS first, {_time("last_time")} AS last
            FROM events WHERE kind = 'artefact.kept' AND {_WITHIN} {matches}
            GROUP BY sha256 ORDER BY {_SAMPLE_ORDERS[order]} DESC, sha256 LIMIT {{limit:UInt32}} OFFSET {{offset:UInt32}}""",
        parameters,
    )
    known = await identities(store, [row["sha256"] for row in rows])
    unknown = {"format": "", "description": "", "rules": [], "fuzzy": ""}
    return [
        {**{k: v for k, v in row.items() if not k.endswith("_time")}, **known.get(row["sha256"], unknown)}
        for row in rows
    ]


async def identities(store: Answers, hashes: Sequence[str]) -> dict[str, Row]:
    """Return what the farm says each sample is, for those it has looked at."""
    if not hashes:
        return {}
    rows = await _rows(
        store,
        """SELECT sha256, argMax(fields, time) AS fact FROM events
           WHERE kind = 'sample.identified' AND sha256 IN {hashes:Array(String)} GROUP BY sha256""",
        {"hashes": list(hashes)[:ROWS_MAX]},
    )
    return {row["sha256"]: _identity(row["fact"]) for row in rows}


def _identity(fact: Any) -> Row:
    import json

    values = fact if isinstance(fact, dict) else json.loads(fact)
    return {
        "format": str(values.get("format", "")),
        "description": str(values.get("description", "")),
        "rules": [str(rule) for rule in values.get("rules", ())],
        "fuzzy": str(values.get("fuzzy", "")),
    }


async def sample(store: Answers, sha256: str) -> Row | None:
    """Return when, how often and by whom one sample was brought, or `None` if no event names it."""
    rows = await _rows(
        store,
        f"""SELECT count() AS count, max(size) AS size_, uniqExact(attacker_ip) AS attackers, {_time("min(time)")} AS first,
                   {_time("max(time)")} AS last, groupUniqArray(50)(name) AS names, groupUniqArray(20)(sensor) AS sensors,
                   groupUniqArrayIf(60)(country, country != '') AS countries,
                   groupUniqArray(5)(JSONExtractString(fields, 'origin')) AS origins
            FROM events WHERE kind = 'artefact.kept' AND sha256 = {{sha256:String}}""",
        {"sha256": sha256},
    )
    return dict(rows[0]) if rows and rows[0]["count"] else None


async def sample_relations(store: Answers, sha256: str) -> dict[str, list[Row]]:
    """Return what brought a sample: `attackers`, `urls` and the newest `sessions`, 50 of each at most."""
    condition = "kind = 'artefact.kept' AND sha256 = {sha256:String}"
    parameters = {"sha256": sha256}
    attackers = await _rows(
        store,
        f"""SELECT {_address("attacker_ip")} AS ip, any(country) AS country_, any(as_name) AS as_name_, count() AS count,
                   {_time("max(time)")} AS last
            FROM events WHERE {condition} GROUP BY attacker_ip ORDER BY count DESC, attacker_ip LIMIT 50""",
        parameters,
    )
    urls = await _rows(
        store,
        f"""SELECT url, count() AS count, {_time("max(time)")} AS last FROM events WHERE {condition} AND url != ''
            GROUP BY url ORDER BY count DESC, url LIMIT 50""",
        parameters,
    )
    latest = await _rows(
        store,
        f"""SELECT session, {_time("max(time)")} AS time_, any(sensor) AS sensor_,
                   {_address("any(attacker_ip)")} AS ip, any(country) AS country_
            FROM events WHERE {condition} AND session != '' GROUP BY session ORDER BY max(time) DESC, session LIMIT 50""",
        parameters,
    )
    return {"attackers": list(attackers), "urls": list(urls), "sessions": list(latest)}


# --- search --------------------------------------------------------------------------------------


async def search(store: Answers, text: str, window: Window, *, limit: int = 10) -> dict[str, list[Row]]:
    """Return what holds the text: sessions by id, attackers by address or block, samples, and ranked texts.

    The groups are `sessions`, `attackers`, `samples`, `credentials`, `commands`, `urls` and `exploits`.
    """
    text = text.strip()[:TEXT_CHARS_MAX]
    found: dict[str, list[Row]] = {}
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
        rows = await _rows(
            store,
            f"""SELECT {_address("attacker_ip")} AS ip, any(country) AS country_, any(as_name) AS as_name_, count() AS count,
                       {_time("max(time)")} AS last
                FROM events WHERE kind = 'session.opened' AND {_WITHIN}
                      AND attacker_ip BETWEEN toIPv6({{first_ip:String}}) AND toIPv6({{last_ip:String}})
                GROUP BY attacker_ip ORDER BY count DESC, attacker_ip LIMIT {{limit:UInt32}}""",
            {**window.parameters(), "first_ip": first, "last_ip": last, "limit": limit},
        )
        found["attackers"] = list(rows)
    found["samples"] = await samples(store, window, limit=limit, contains=text)
    for group in ("credentials", "commands", "urls", "exploits"):
        found[group] = await ranked(store, group, window, limit=limit, contains=text)
    return found
