"""Every question the page asks of the store, in one place.

Owns SQL and nothing else: each function takes a store and typed arguments and returns plain dicts. Values only ever
reach the engine as parameters; what is put into the text of a query comes from the tables in this file. Every answer is
bounded. Times in answers are RFC 3339 text; addresses are plain, IPv4 never mapped into IPv6. An attack is a session.
A sample is a file that was brought (uploaded, downloaded, or a script); raw payloads are kept too, but are none.
"""

# ruff: noqa: S608 - the text of queries is put together from this file's own tables, never from an argument

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

ROWS_MAX = 500
TEXT_CHARS_MAX = 200
SESSION_EVENTS_MAX = 5_000
_FIRST_SLICE = timedelta(hours=6)
_SESSION_S_MAX = 86_400  # a session's facts lie within this of its beginning

Row = dict[str, Any]


class Answers(Protocol):
    """What is needed of the store."""

    async def query(self, sql: str, parameters: Mapping[str, Any]) -> Sequence[Row]:
        """Return the rows that a query selects."""


def said_time(column: str) -> str:
    """Return the expression that says a time as RFC 3339."""
    return f"formatDateTime({column}, '%Y-%m-%dT%H:%i:%S.%fZ', 'UTC')"


def said_address(column: str) -> str:
    """Return the expression that says an address plainly."""
    return f"if({column} = toIPv6('::'), '', replaceOne(toString({column}), '::ffff:', ''))"


async def ask(store: Answers, sql: str, parameters: Mapping[str, Any]) -> list[Row]:
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
        """Return what `WITHIN` needs."""
        return {"since": engine_time(self.since), "until": engine_time(self.until)}

    def slices(self, first: timedelta) -> Iterator[Window]:
        """Yield the window in parts, the newest first and each four times as long as the one before.

        What is asked for newest first is mostly found in the first part; only a rare find costs a look at all.
        """
        until, span = self.until, first
        while until > self.since:
            since = max(self.since, until - span)
            yield Window(since, until)
            until, span = since, span * 4


WITHIN = "time >= {since:DateTime64(6, 'UTC')} AND time < {until:DateTime64(6, 'UTC')}"


KEPT = "kind = 'artefact.kept'"
SAMPLE_KEPT = f"({KEPT} AND origin IN ('upload', 'download', 'script'))"
PAYLOAD_KEPT = f"({KEPT} AND origin = 'payload')"


def engine_time(moment: datetime) -> str:
    """Return a time as the engine reads it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


# --- the overview --------------------------------------------------------------------------------


_COUNTED = {
    "attacks": "session.opened", "logins": "login.tried", "commands": "command.entered",
    "exploits": "exploit.recognised", "alerts": "control.hijacked",
}  # fmt: skip


async def totals(store: Answers, window: Window) -> Row:
    """Return how many attacks, attackers, logins, commands, exploits, alerts and samples, and attacks `with_sample`."""
    counted, attackers, samples = await asyncio.gather(
        ask(
            store,
            f"""SELECT kind, count() AS count FROM events WHERE {WITHIN} AND kind IN {{kinds:Array(String)}}
                GROUP BY kind""",
            {**window.parameters(), "kinds": list(_COUNTED.values())},
        ),
        ask(
            store,
            f"SELECT uniqCombined64(attacker_ip) AS count FROM events WHERE kind = 'session.opened' AND {WITHIN}",
            window.parameters(),
        ),
        ask(
            store,
            f"""SELECT uniqCombined64(sha256) AS count, uniqCombined64(session) AS sessions
                FROM events WHERE {SAMPLE_KEPT} AND {WITHIN}""",
            window.parameters(),
        ),
    )
    count_of = {row["kind"]: row["count"] for row in counted}
    counts = {name: count_of.get(kind, 0) for name, kind in _COUNTED.items()}
    brought = {"with_sample": samples[0]["sessions"], "samples": samples[0]["count"]}
    return {**counts, "attackers": attackers[0]["count"], **brought}


BUCKETS_S = (60, 300, 900, 3600, 10_800, 21_600, 86_400, 604_800)
_BUCKETS_WANTED = 96


def bucket_s(window: Window) -> int:
    """Return how many seconds one bar of a chart over the window stands for: at most about a hundred bars."""
    span_s = (window.until - window.since).total_seconds()
    return next((size for size in BUCKETS_S if span_s / size <= _BUCKETS_WANTED), BUCKETS_S[-1])


async def over_time(store: Answers, window: Window) -> list[Row]:
    """Return attacks, those of them `with_sample`, and logins per bucket of `bucket_s`, empty buckets left out."""
    parameters = {**window.parameters(), "size": bucket_s(window)}
    bucket = "intDiv(toUnixTimestamp(time), {size:UInt32}) * {size:UInt32} AS at_s"
    rows, brought = await asyncio.gather(
        ask(
            store,
            f"""SELECT {bucket}, countIf(kind = 'session.opened') AS attacks, countIf(kind = 'login.tried') AS logins
                FROM events WHERE {WITHIN} AND kind IN ('session.opened', 'login.tried')
                GROUP BY at_s ORDER BY at_s LIMIT 2000""",
            parameters,
        ),
        # A session counts when it brings something; one that was opened in an earlier bucket is rare.
        ask(
            store,
            f"""SELECT {bucket}, uniqCombined64(session) AS sessions FROM events
                WHERE {SAMPLE_KEPT} AND session != '' AND {WITHIN} GROUP BY at_s ORDER BY at_s LIMIT 2000""",
            parameters,
        ),
    )
    sessions_at = {row["at_s"]: row["sessions"] for row in brought}
    return [{**row, "with_sample": min(row["attacks"], sessions_at.get(row["at_s"], 0))} for row in rows]


@dataclass(frozen=True, slots=True)
class Ranking:
    """One way to rank attacks: the kind of fact that counts, and the columns that make up one entry."""

    kind: str
    columns: Mapping[str, str]  # name in the answer -> column
    carried: Mapping[str, str] = field(default_factory=dict)  # columns that follow from those, and need no grouping
    also_holds: tuple[str, ...] = ()  # what else is looked into for a text


REFERENCE = "JSONExtractString(fields, 'reference')"  # of an exploit: its CVE, mostly

RANKINGS: dict[str, Ranking] = {
    "countries": Ranking("session.opened", {"country": "country"}),
    "networks": Ranking("session.opened", {"asn": "asn", "as_name": "as_name"}),
    "attackers": Ranking(
        "session.opened", {"ip": "attacker_ip"}, carried={"country": "any(country)", "as_name": "any(as_name)"}
    ),
    "ports": Ranking("session.opened", {"port": "local_port", "room": "room"}),
    "sensors": Ranking("session.opened", {"sensor": "sensor"}),
    "credentials": Ranking("login.tried", {"user": "user", "password": "password"}),
    "users": Ranking("login.tried", {"user": "user"}),
    "passwords": Ranking("login.tried", {"password": "password"}),
    "commands": Ranking("command.entered", {"command": "command"}),
    "exploits": Ranking(
        "exploit.recognised", {"name": "name"}, carried={"reference": f"any({REFERENCE})"}, also_holds=(REFERENCE,)
    ),
    "urls": Ranking("download.wished", {"url": "url"}),
    "artefacts": Ranking(
        "artefact.kept", {"sha256": "sha256"},
        carried={"name": "any(name)", "size": "any(size)", "origin": "any(origin)"}, also_holds=("name",),
    ),
}  # fmt: skip


async def ranked(
    store: Answers, what: str, window: Window, *, limit: int = 10, contains: str = "", network: str = ""
) -> list[Row]:  # fmt: skip
    """Return the most frequent entries of a ranking: its columns, `count`, `attackers`, `first` and `last`.

    `contains` keeps entries of which a text column holds the text, in any case; `network` is one address or a CIDR
    block, and what others did does not count. Raises `KeyError` for another ranking.
    """
    ranking = RANKINGS[what]
    limit = min(max(limit, 1), ROWS_MAX)
    groups = list(ranking.columns.values())
    shown = [f"{said_address(e) if e == 'attacker_ip' else e} AS {n}_" for n, e in ranking.columns.items()]
    shown += [f"{e} AS {n}_" for n, e in ranking.carried.items()]
    attackers = "1" if groups == ["attacker_ip"] else "uniqCombined64(attacker_ip)"
    matches = ""
    parameters = {**window.parameters(), "limit": limit, "kind": ranking.kind}
    if contains:
        texts = [*(e for e in groups if e not in ("asn", "local_port", "attacker_ip")), *ranking.also_holds]
        matches = (
            "AND (" + " OR ".join(f"positionCaseInsensitiveUTF8({e}, {{contains:String}}) > 0" for e in texts) + ")"
        )
        parameters["contains"] = contains[:TEXT_CHARS_MAX]
    if network:
        parameters["first_ip"], parameters["last_ip"] = address_range(network)
        matches += f" AND {_IN_NETWORK}"
    return await ask(
        store,
        f"""SELECT {", ".join(shown)}, count() AS count, {attackers} AS attackers,
                   {said_time("min(time)")} AS first, {said_time("max(time)")} AS last
            FROM events WHERE kind = {{kind:String}} AND {WITHIN} {matches}
            GROUP BY {", ".join(groups)} ORDER BY count DESC, {", ".join(groups)} LIMIT {{limit:UInt32}}""",
        parameters,
    )


# --- sessions ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SessionFilter:
    """Which sessions are wanted; what is given holds together. Empty means any.

    `network` is one address or a CIDR block, `exploit` its name or its CVE.
    """

    window: Window
    country: str = ""
    network: str = ""
    sensor: str = ""
    room: str = ""
    port: int = 0
    asn: int = 0
    exploit: str = ""
    with_sample: bool = False
    with_login: bool = False
    with_command: bool = False
    with_exploit: bool = False
    with_alert: bool = False
    text: str = ""


def address_range(network: str) -> tuple[str, str]:
    """Return the first and the last address of a block as the engine holds them. Raises `ValueError` if it is none."""
    block = ipaddress.ip_network(network.strip(), strict=False)
    prefix = "::ffff:" if block.version == 4 else ""
    return f"{prefix}{block[0]}", f"{prefix}{block[-1]}"


_IN_NETWORK = "attacker_ip BETWEEN toIPv6({first_ip:String}) AND toIPv6({last_ip:String})"

# Sessions in which something of the kind happened and a column holds the text.
_TEXT_COLUMNS = ("user", "password", "command", "url", "name")
_SESSIONS_WITH = """session IN (SELECT session FROM events WHERE {condition} AND session != ''
    AND time >= {{since:DateTime64(6, 'UTC')}} AND time < {{until_closed:DateTime64(6, 'UTC')}})"""


_OUTCOMES = {
    "with_sample": SAMPLE_KEPT, "with_login": "kind = 'login.tried' AND accepted",
    "with_command": "kind = 'command.entered'", "with_exploit": "kind = 'exploit.recognised'",
    "with_alert": "kind = 'control.hijacked'",
}  # fmt: skip
_EXPLOIT = f"kind = 'exploit.recognised' AND (name = {{exploit:String}} OR {REFERENCE} = upper({{exploit:String}}))"


# Where several rooms share a port (`telnet+tr069`), which one answered is known when the session has ended.
_ANSWERED = _SESSIONS_WITH.format(
    condition="kind = 'session.closed' AND room = {room:String} AND "
    + _SESSIONS_WITH.format(condition="kind = 'session.opened' AND position(room, '+') > 0")
)


def _until_closed(window: Window) -> dict[str, Any]:
    return {"until_closed": engine_time(window.until + timedelta(seconds=_SESSION_S_MAX))}


def _session_conditions(wanted: SessionFilter) -> tuple[list[str], dict[str, Any]]:
    conditions, parameters = [WITHIN], wanted.window.parameters()
    parameters |= _until_closed(wanted.window)
    for column, type_, value in (
        ("country", "String", wanted.country.upper()), ("sensor", "String", wanted.sensor),
        ("local_port", "UInt16", wanted.port), ("asn", "UInt32", wanted.asn),
    ):  # fmt: skip
        if value:
            conditions.append(f"{column} = {{{column}:{type_}}}")
            parameters[column] = value
    if wanted.room:
        conditions.append(f"(room = {{room:String}} OR {_ANSWERED})")
        parameters["room"] = wanted.room
    if wanted.network:
        parameters["first_ip"], parameters["last_ip"] = address_range(wanted.network)
        conditions.append(_IN_NETWORK)
    conditions += [_SESSIONS_WITH.format(condition=c) for name, c in _OUTCOMES.items() if getattr(wanted, name)]
    if wanted.exploit:
        conditions.append(_SESSIONS_WITH.format(condition=_EXPLOIT))
        parameters["exploit"] = wanted.exploit[:TEXT_CHARS_MAX]
    if wanted.text:
        found = " OR ".join(f"positionCaseInsensitiveUTF8({c}, {{text:String}}) > 0" for c in _TEXT_COLUMNS)
        kinds = "kind IN ('login.tried', 'command.entered', 'exploit.recognised', 'download.wished', 'artefact.kept')"
        conditions.append(_SESSIONS_WITH.format(condition=f"{kinds} AND ({found})"))
        parameters["text"] = wanted.text[:TEXT_CHARS_MAX]
    return conditions, parameters


async def sessions(
    store: Answers, wanted: SessionFilter, *, limit: int = 50, before: tuple[str, str] | None = None
) -> list[Row]:
    """Return sessions, the newest first, each with what happened in it.

    `before` is the (`opened`, `session`) of the last row seen: the page that follows it is returned.
    """
    limit = min(max(limit, 1), ROWS_MAX)
    window = wanted.window
    if before:
        window = Window(window.since, min(window.until, datetime.fromisoformat(before[0]) + timedelta(microseconds=1)))
    opened: list[Row] = []
    for part in window.slices(_FIRST_SLICE):
        opened += await _opened(store, replace(wanted, window=part), limit - len(opened), before)
        if len(opened) == limit:
            break
    if not opened:
        return []
    happened = await _happened(store, opened)
    nothing = {"logins": 0, "credential": "", "commands": 0, "samples": 0, "hijacked": "", "exploit": "",
               "reference": "", "request": "", "guess": "", "closed": "", "duration_s": None,
               "conversation": ""}  # fmt: skip
    rows = [{**row, **nothing, **happened.get(row["session"], {})} for row in opened]
    for row in rows:
        row["room"] = row.pop("answered", "") or row["room"]
    return rows


async def _opened(store: Answers, wanted: SessionFilter, limit: int, before: tuple[str, str] | None) -> Sequence[Row]:
    conditions, parameters = _session_conditions(wanted)
    parameters["limit"] = limit
    if before:
        conditions.append("(time, session) < ({before_time:DateTime64(6, 'UTC')}, {before_session:String})")
        parameters["before_time"] = engine_time(datetime.fromisoformat(before[0]))
        parameters["before_session"] = before[1]
    return await ask(
        store,
        f"""SELECT session, {said_time("time")} AS opened, sensor, room, {said_address("attacker_ip")} AS ip,
                   attacker_port, local_port AS port, country, asn, as_name
            FROM events WHERE kind = 'session.opened' AND {" AND ".join(conditions)}
            ORDER BY time DESC, session DESC LIMIT {{limit:UInt32}}""",
        parameters,
    )


async def _happened(store: Answers, opened: Sequence[Row]) -> dict[str, Row]:
    first, last = opened[-1]["opened"], opened[0]["opened"]
    rows = await ask(
        store,
        f"""SELECT session, countIf(kind = 'login.tried') AS logins,
                   anyIf(concat(user, ' / ', password), kind = 'login.tried' AND accepted) AS credential,
                   countIf(kind = 'command.entered') AS commands,
                   uniqExactIf(sha256, {SAMPLE_KEPT}) AS samples,
                   anyIf(JSONExtractString(fields, 'process'), kind = 'control.hijacked') AS hijacked,
                   anyIf(name, kind = 'exploit.recognised') AS exploit,
                   anyIf({REFERENCE}, kind = 'exploit.recognised') AS reference,
                   anyIf(concat(name, ' ', url), kind = 'http.request') AS request,
                   anyIf(name, kind = 'payload.classified') AS guess,
                   anyIf(room, kind = 'session.closed') AS answered,
                   anyIf(JSONExtractString(fields, 'reason'), kind = 'session.closed') AS closed,
                   anyIf(toNullable(JSONExtractFloat(fields, 'duration_s')), kind = 'session.closed') AS duration_s,
                   anyIf(JSONExtractString(fields, 'conversation'), kind = 'session.closed') AS conversation
            FROM events WHERE {WITHIN} AND session IN {{sessions:Array(String)}} GROUP BY session""",
        {
            "since": engine_time(datetime.fromisoformat(first)),
            "until": engine_time(datetime.fromisoformat(last) + timedelta(seconds=_SESSION_S_MAX)),
            "sessions": [row["session"] for row in opened],
        },
    )
    return {row["session"]: {k: v for k, v in row.items() if k != "session"} for row in rows}


def session_window(session: str) -> Window:
    """Return the time in which a session's facts lie: its id is a UUIDv7, which begins with the time (RFC 9562)."""
    begun = datetime.fromtimestamp(int(session.replace("-", "")[:12], 16) / 1000, UTC)
    return Window(begun - timedelta(minutes=5), begun + timedelta(seconds=_SESSION_S_MAX))


EVENT = f"""{said_time("time")} AS time_, sensor, kind, {said_address("attacker_ip")} AS ip, attacker_port,
             {said_address("local_ip")} AS local_ip_, local_port AS port, country, asn, as_name, fields"""


async def session_events(store: Answers, session: str) -> list[Row]:
    """Return one session's facts in order, at most `SESSION_EVENTS_MAX`. Raises `ValueError` if it is no session id."""
    rows = await ask(
        store,
        f"""SELECT toString(id) AS id_, {EVENT} FROM events WHERE {WITHIN} AND session = {{session:String}}
            ORDER BY time, id LIMIT {SESSION_EVENTS_MAX}""",
        {**session_window(session).parameters(), "session": session},
    )
    return list(rows)


async def recent(store: Answers, *, limit: int = 60) -> list[Row]:
    """Return the newest facts, whatever they are, the newest first. Shape as `session_events`, with `session`."""
    limit = min(max(limit, 1), ROWS_MAX)
    rows: list[Row] = []
    for part in Window.last(timedelta(days=30)).slices(timedelta(minutes=10)):
        rows += await ask(
            store,
            f"""SELECT toString(id) AS id_, session, {EVENT} FROM events WHERE {WITHIN}
                ORDER BY time DESC, id DESC LIMIT {{limit:UInt32}}""",
            {**part.parameters(), "limit": limit - len(rows)},
        )
        if len(rows) == limit:
            break
    return rows


async def whole_sessions(store: Answers, sessions: Sequence[str]) -> list[Row]:
    """Return the facts of sessions, each whole, with the names of the store's columns, in order of time."""
    windows = [session_window(session) for session in sessions]
    window = Window(min(w.since for w in windows), max(w.until for w in windows))
    return await ask(
        store,
        f"""SELECT toString(id) AS id_, {said_time("time")} AS time_, sensor, session, kind,
                   {said_address("attacker_ip")} AS attacker_ip_, attacker_port,
                   {said_address("local_ip")} AS local_ip_, local_port, country, asn, as_name, fields
            FROM events WHERE {WITHIN} AND session IN {{sessions:Array(String)}}
            ORDER BY time, id LIMIT {SESSION_EVENTS_MAX} BY session""",
        {**window.parameters(), "sessions": list(sessions)},
    )
