"""What formats read and make: stored events, whole sessions, samples; and items, which are what a peer is sent."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Protocol, TypeVar

from eudaemon.events import Endpoint, Event, Fact, fact_of
from eudaemon.events import catalogue as facts
from eudaemon.farm.store.schema import COLUMNS, NO_ADDRESS

KEPT_S_MAX = float("inf")
BROUGHT = ("upload", "download", "script")  # origins of artefacts that are samples
F = TypeVar("F", bound=Fact)
_NAMES = [name for name, _ in COLUMNS[:-1]]


@dataclass(frozen=True, slots=True)
class Item:
    """One record or file for a peer.

    `key` names it: what a peer took with this key within `kept_s` is not sent again. `also` are keys that are
    remembered with it. With `sample`, the body is that sample's bytes, which are read when it is sent. `at_s` is when
    it happened, for peers that want to know it apart from the body; 0 where it does not say.
    """

    data: bytes = b""
    name: str = ""
    key: str = ""
    also: tuple[str, ...] = ()
    kept_s: float = KEPT_S_MAX
    sample: str = ""
    at_s: float = 0.0


class Source(Protocol):
    """Where more can be asked than the events say. Every method blocks."""

    def sessions(self, ids: Sequence[str]) -> list[Mapping[str, Any]]:
        """Return the facts of whole sessions as the store returns them, in order of time."""

    def sample(self, sha256: str, bytes_max: int) -> bytes | None:
        """Return an artefact's bytes; None if it is not here, or larger."""

    def was_told(self, key: str, within_s: float = KEPT_S_MAX) -> bool:
        """Say whether the peer was sent something with this key, in the last so many seconds."""


@dataclass(frozen=True, slots=True)
class Told:
    """An event as it was stored, and where the attacker's address lies."""

    event: Event
    country: str = ""
    asn: int = 0
    as_name: str = ""


@dataclass(frozen=True, slots=True)
class Session:
    """A session from its beginning to its end."""

    id: str
    sensor: str
    attacker: Endpoint
    local: Endpoint
    opened_s: float
    closed_s: float
    transport: str
    room: str
    told: tuple[Told, ...] = field(repr=False)

    @property
    def closed(self) -> facts.SessionClosed | None:
        """Return the fact of its end."""
        return next(iter(self.every(facts.SessionClosed)), None)

    def every(self, kind: type[F]) -> list[F]:
        """Return its facts of a kind, in order."""
        return [told.event.fact for told in self.told if isinstance(told.event.fact, kind)]

    def samples(self) -> dict[str, facts.ArtefactKept]:
        """Return what was brought whole, by SHA-256."""
        return {
            kept.sha256: kept for kept in self.every(facts.ArtefactKept) if kept.origin in BROUGHT and not kept.partial
        }

    def urls(self) -> list[str]:
        """Return what it wanted to be downloaded, each once."""
        return list(dict.fromkeys(wished.url for wished in self.every(facts.DownloadWished)))


class Batch:
    """Events that were stored together."""

    def __init__(self, events: Sequence[Told], source: Source) -> None:
        self.events, self.source = events, source

    @classmethod
    def of_lines(cls, lines: Iterable[bytes], source: Source) -> Batch:
        """Read what `schema.Row.line` wrote."""
        rows = (dict(zip(_NAMES, json.loads(line + b"]"), strict=True)) for line in lines)
        return cls([told_of(row) for row in rows], source)

    @cached_property
    def sessions(self) -> list[Session]:
        """Return the sessions that ended in this batch, whole."""
        return self.sessions_of(
            told.event.session for told in self.events if isinstance(told.event.fact, facts.SessionClosed)
        )

    def sessions_of(self, ids: Iterable[str]) -> list[Session]:
        """Return sessions by their ids, each as far as it has come."""
        wanted = list(dict.fromkeys(ids))
        return list(_sessions(self.source.sessions(wanted))) if wanted else []


Make = Callable[[Batch], Iterable[Item]]


@dataclass(frozen=True, slots=True)
class Format:
    """A way to tell. `lines`: each item is a line of text; else each is a file. `whole`: it tells of whole sessions.

    With `gather_s`, what comes within so many seconds is told together. `file` is what a file of lines is called: a
    pattern of `strftime`, so that there is one for a day, or a name that stays.
    """

    make: Make
    media: str
    lines: bool = False
    whole: bool = False
    gather_s: float = 0.0
    file: str = "%Y-%m-%d.jsonl"


def told_of(row: Mapping[str, Any]) -> Told:
    """Return an event from a row with the names of the store's columns."""
    moment = datetime.fromisoformat(str(row["time"]).removesuffix("Z")).replace(tzinfo=UTC)
    event = Event(
        row["id"], moment.timestamp(), row["sensor"], fact_of(row["kind"], json.loads(row["fields"])), row["session"],
        _endpoint(row["attacker_ip"], row["attacker_port"]), _endpoint(row["local_ip"], row["local_port"]),
    )  # fmt: skip
    return Told(event, row["country"], row["asn"], row["as_name"])


def _endpoint(ip: str, port: int) -> Endpoint | None:
    return None if ip in ("", NO_ADDRESS) else Endpoint(ip.removeprefix("::ffff:"), port)


def _sessions(rows: Iterable[Mapping[str, Any]]) -> Iterator[Session]:
    by_id: dict[str, list[Told]] = {}
    for row in rows:
        by_id.setdefault(row["session"], []).append(told_of(row))
    for id_, told in by_id.items():
        first = next((one.event for one in told if isinstance(one.event.fact, facts.SessionOpened)), None)
        closed_s = [one.event.at_s for one in told if isinstance(one.event.fact, facts.SessionClosed)]
        # Of several rooms at a port, the end says which one answered.
        answered = [one.event.fact.room for one in told if isinstance(one.event.fact, facts.SessionClosed)]
        if first is not None and isinstance(first.fact, facts.SessionOpened) and first.attacker and first.local:
            yield Session(
                id_, first.sensor, first.attacker, first.local, first.at_s, max(closed_s, default=first.at_s),
                first.fact.transport, next(iter(answered), "") or first.fact.room, tuple(told),
            )  # fmt: skip


def compact(record: Mapping[str, Any]) -> bytes:
    """Return a record as one line of ASCII JSON."""
    return json.dumps(record, separators=(",", ":")).encode("ascii")
