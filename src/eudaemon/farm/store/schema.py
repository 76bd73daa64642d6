"""The one table, and how an event becomes a row of it.

    one event  =  the envelope  +  where the attacker's address lies  +  columns lifted from its fact  +  the whole fact

The statements are ClickHouse's, and hold for the embedded engine as for a cluster. Whatever an event says is brought
into what its column can hold here, so that nothing that was acknowledged can be refused by the engine later.
"""

from __future__ import annotations

import ipaddress
import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from eudaemon.events import Event, Fact, Unknown, fields_of, rfc3339
from eudaemon.events import catalogue as facts
from eudaemon.farm.geo import NOWHERE, Place

TABLE = "events"

TOLD_OR_NOT = "LowCardinality(Nullable(String))"
# name, type. The order is the order of a row's values.
COLUMNS: tuple[tuple[str, str], ...] = (
    ("id", "UUID"),
    ("time", "DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1))"),
    ("received", "DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1))"),
    ("sensor", "LowCardinality(String)"),
    ("session", "String CODEC(ZSTD(1))"),
    ("kind", "LowCardinality(String)"),
    ("attacker_ip", "IPv6 CODEC(ZSTD(1))"),  # IPv4 as ::ffff:a.b.c.d; :: if there is no attacker
    ("attacker_port", "UInt16"),
    ("local_ip", "IPv6 CODEC(ZSTD(1))"),
    ("local_port", "UInt16"),
    ("country", "LowCardinality(String)"),  # two letters, empty if unknown
    ("asn", "UInt32"),
    ("as_name", "LowCardinality(String)"),
    ("room", "LowCardinality(String)"),
    # What attackers write repeats itself a thousandfold: a dictionary makes ranking it twice and searching it six times
    # as fast; for what does not repeat, each part of the table falls back to plain text by itself.
    ("user", "LowCardinality(String)"),
    ("password", TOLD_OR_NOT),  # NULL where it was not told
    ("accepted", "Bool"),
    ("command", "LowCardinality(String)"),
    ("name", "LowCardinality(String)"),
    ("origin", "LowCardinality(String)"),  # of an artefact
    ("url", "LowCardinality(String)"),
    ("sha256", "String CODEC(ZSTD(1))"),
    ("size", "UInt64"),
    ("fields", "String CODEC(ZSTD(1))"),  # the fact's own fields, JSON
    ("block", "UInt64 CODEC(Delta, ZSTD(1))"),  # the block of the queue that brought the row; see engine.Engine
)

# Weeks, because a year of them is few enough to open for a question and small enough to drop one when space is short.
CREATE = f"""CREATE TABLE IF NOT EXISTS {TABLE} (
    {", ".join(f"`{name}` {type_}" for name, type_ in COLUMNS)},
    INDEX by_session session TYPE bloom_filter(0.01) GRANULARITY 4,
    INDEX by_sha256 sha256 TYPE bloom_filter(0.01) GRANULARITY 4
) ENGINE = MergeTree PARTITION BY toMonday(time) ORDER BY (kind, time, id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1"""

NO_ADDRESS = "::"
_UINT64_MAX = 2**64 - 1
# A router without a clock chip starts in the past; nobody sees an attack before the project was begun.
_EARLIEST_S = 1_577_836_800.0  # 2020-01-01
_AHEAD_S_MAX = 86_400.0

# kind -> column -> field of the fact
_LIFTED: dict[str, dict[str, str]] = {
    facts.SessionOpened.kind: {"room": "room"},
    facts.SessionClosed.kind: {"room": "room"},
    facts.SensorFaulted.kind: {"room": "room"},
    facts.PeerFaulted.kind: {"room": "room"},
    facts.LoginTried.kind: {"user": "user", "password": "password", "accepted": "accepted"},
    facts.CommandEntered.kind: {"command": "line"},
    facts.ExploitRecognised.kind: {"name": "name", "command": "command"},
    facts.PayloadClassified.kind: {"name": "guess"},
    facts.RequestReceived.kind: {"name": "method", "url": "target"},
    facts.ArtefactKept.kind: {
        "sha256": "sha256",
        "size": "size",
        "name": "name",
        "origin": "origin",
        "url": "url",
    },
    facts.DownloadWished.kind: {"url": "url", "name": "tool"},
    facts.DownloadFinished.kind: {"url": "url", "name": "outcome", "sha256": "sha256", "size": "size"},
    facts.SampleIdentified.kind: {"sha256": "sha256", "size": "size", "name": "format"},
    facts.SampleJudged.kind: {"sha256": "sha256", "name": "label"},
}
_FIELDS = {kind: tuple(f.name for f in fields_of(fact)) for kind, fact in facts.KINDS.items()}
# NaN and infinities are no JSON, although Python reads and writes them.
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False, allow_nan=False).encode


class RowError(ValueError):
    """An event that reads as one but cannot be a row. The message says why."""


@dataclass(frozen=True, slots=True)
class Row:
    """An event as it is stored. `values` are in the order of `COLUMNS`, without the block."""

    event: Event
    values: tuple[Any, ...]
    fact: dict[str, Any]
    place: Place

    def line(self) -> bytes:
        """Return the row as JSONCompactEachRow, open for the block's number: `["id",…,"fields"`, in UTF-8."""
        text = _encode(self.values)[:-1]
        # A lone surrogate is no text; attackers' bytes that are no text arrive escaped by the sensor.
        return text.encode("utf-8", "replace")

    def shown(self) -> dict[str, Any]:
        """Return the row as the live feed shows it."""
        attacker, local = self.event.attacker, self.event.local
        return {
            "id": self.values[0], "time": f"{self.values[1].replace(' ', 'T')}Z", "sensor": self.event.sensor,
            "session": self.values[4], "kind": self.values[5],
            "ip": attacker.ip if attacker else "", "attacker_port": attacker.port if attacker else 0,
            "port": local.port if local else 0,
            "country": self.place.country, "asn": self.place.asn, "as_name": self.place.as_name, "fields": self.fact,
        }  # fmt: skip


def row_of(event: Event, received_s: float, place: Place = NOWHERE) -> Row:
    """Return an event's row. Raises `RowError`."""
    fact = event.fact
    kind = fact.name if isinstance(fact, Unknown) else fact.kind
    values = own_fields(fact)
    try:
        fields = _encode(values)
    except (RecursionError, ValueError):
        raise RowError("nested too deep, or with a number that is none") from None
    lifted = {column: values.get(field) for column, field in _LIFTED.get(kind, {}).items()}
    attacker, local = event.attacker, event.local
    at_s = event.at_s if _EARLIEST_S <= event.at_s <= received_s + _AHEAD_S_MAX else received_s
    return Row(
        event,
        (
            _uuid(event.id), _engine_time(at_s), _engine_time(received_s)[:-3], event.sensor,
            _uuid(event.session) if event.session else "", kind,
            stored_address(attacker.ip) if attacker else NO_ADDRESS, attacker.port if attacker else 0,
            stored_address(local.ip) if local else NO_ADDRESS, local.port if local else 0,
            place.country, place.asn, place.as_name,
            *(_text(lifted.get(column)) for column in ("room", "user")),
            None if lifted.get("password", "") is None else _text(lifted.get("password")),
            lifted.get("accepted") is True,
            *(_text(lifted.get(column)) for column in ("command", "name", "origin", "url", "sha256")),
            _number(lifted.get("size")), fields,
        ),
        values,
        place,
    )  # fmt: skip


def own_fields(fact: Fact) -> dict[str, Any]:
    """Return a fact's own fields by name."""
    if isinstance(fact, Unknown):
        return fact.values
    return {name: getattr(fact, name) for name in _FIELDS[fact.kind]}


@lru_cache(maxsize=65_536)
def stored_address(ip: str) -> str:
    """Return an address as the engine's IPv6 column takes it. Raises `RowError` if it is none."""
    try:
        address = ipaddress.ip_address(ip.partition("%")[0])
    except ValueError:
        raise RowError(f"{ip!r} is no address") from None
    return str(address) if address.version == 6 else f"::ffff:{address}"


def _engine_time(at_s: float) -> str:
    text = rfc3339(at_s)
    return f"{text[:10]} {text[11:26]}"


def _uuid(value: str) -> str:
    digits = value.replace("-", "")
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _number(value: object) -> int:
    return min(max(value, 0), _UINT64_MAX) if type(value) is int else 0
