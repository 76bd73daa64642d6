"""What every fact is wrapped in: who saw it, when, in which conversation, between which endpoints."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from eudaemon.events.catalogue import Fact


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One end of a conversation. `ip` is the text form, IPv4 never mapped into IPv6."""

    ip: str
    port: int


@dataclass(frozen=True, slots=True)
class Event:
    """One fact with its envelope: one JSON line on the wire and on disk.

    `id` is a UUIDv7 (RFC 9562): unique, and sorting by it is sorting by time.
    `at_s` is seconds since the epoch, UTC, from the clock that was handed in.
    `session` is the id of the conversation, empty for facts about the sensor itself.
    """

    id: str
    at_s: float
    sensor: str
    fact: Fact
    session: str = ""
    attacker: Endpoint | None = None
    local: Endpoint | None = None


def rfc3339(at_s: float) -> str:
    """Return seconds since the epoch as RFC 3339 text in UTC with microseconds: `2026-11-24T01:53:27.123456Z`."""
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="microseconds")[:-6] + "Z"


class IdSource:
    """Makes UUIDv7 identifiers that strictly increase within one process.

    `random_bytes(n)` is handed in, so that tests are repeatable and no dice are imported here.
    """

    __slots__ = ("_last_ms", "_random_bytes", "_tick")

    def __init__(self, random_bytes: Callable[[int], bytes]) -> None:
        self._random_bytes = random_bytes
        self._last_ms = 0
        self._tick = 0

    def new(self, at_s: float) -> str:
        """Return a new id for an event at `at_s`. A clock that steps back does not make ids step back."""
        ms = int(at_s * 1000)
        if ms > self._last_ms:
            self._last_ms, self._tick = ms, 0
        else:
            # RFC 9562 section 6.2, method 1: rand_a is a counter within the millisecond.
            self._tick += 1
            if self._tick > 0xFFF:
                self._last_ms, self._tick = self._last_ms + 1, 0
        tail = int.from_bytes(self._random_bytes(8), "big") & (2**62 - 1)
        bits = (self._last_ms & (2**48 - 1)) << 80 | 0x7 << 76 | self._tick << 64 | 0b10 << 62 | tail
        text = f"{bits:032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
