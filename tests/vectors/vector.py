"""What brings a file into the collector, as rows: who brings it, how, and of which sizes.

    Vector.bring(attack, data) --> attack.table(room).say(…) --> the room, cut at the attack's places --> Keep

A row's `bring` speaks to a room as a client does and knows nothing of cuts and ends: `Line.say` cuts what it says, and
breaks it off when the attack's bytes are used up. So each row is tried whole, in pieces, and broken off, by one text.
A session has what one has at a sensor's default limits, in memory and in bytes that it may send.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from eudaemon.protocols import load
from eudaemon.protocols._base import Keep, Visit
from eudaemon.sensor.settings import Limits
from eudaemon.sensor.tcp import READ_BYTES
from eudaemon.testing.script import Table, visit
from eudaemon.wire import Purse

SMALL = (0, 1, 4095, 4096, 4097)
SIZES = (*SMALL, 65_536, 1_500_000, 10_000_000)
MOST = SIZES[-1]
_LIMITS = Limits()
# What protocols cut off, end with or take for their own.
_HEAD, _TAIL = b"\0\r\n \t\xff\xfe\x1a\x1b", b"\x04.\r\n.\r\n \0\n"


def sample(size: int) -> bytes:
    """Return bytes of every value, at both ends those that a careless reader strips; the same for the same size."""
    inner = max(0, size - len(_HEAD) - len(_TAIL))
    return (_HEAD + hashlib.shake_128(b"%d" % size).digest(inner) + _TAIL)[:size] if size > 32 else _HEAD[:size]


def text(size: int, ends: bytes = b"\n") -> bytes:
    """Return lines of printable characters, for what carries nothing else."""
    digits = hashlib.shake_128(b"text %d" % size).hexdigest(size // 2 + 1).encode()
    lines = b"".join(digits[at : at + 70] + ends for at in range(0, size, 70))[: max(0, size - len(ends))]
    return lines.rstrip(ends).ljust(max(0, size - len(ends)), b"=") + ends if size >= len(ends) else lines


BROKEN = {
    "partial": "as far as it came, and called partial",
    "as it is": "as far as it came: nobody had said how much there would be",
    "with gaps": "called partial, with zeros where nothing came",
    "encoded": "as it came, encoded",
    "nothing": "one datagram, header or message, which comes or does not",
}


class BrokenOffError(Exception):
    """The attacker is gone in the middle of it."""


@dataclass(frozen=True)
class Cuts:
    """Where what is said is cut: into pieces of at most so many bytes, each of a length drawn from the seed."""

    name: str
    bytes_max: int = 0  # 0: as much as the sensor reads at a time
    seed: int = 0

    def pieces(self, data: bytes, dice: random.Random) -> Iterator[bytes]:
        """Yield the pieces of what is said at a time."""
        at = 0
        while at < len(data) or not at:
            step = dice.randint(1, self.bytes_max) if self.bytes_max else READ_BYTES
            yield data[at : at + step]
            at += max(1, step)


@dataclass
class Attack:
    """One run of a row: its conversations, the bytes said in all, and the bytes after which it breaks off."""

    cuts: Cuts
    bytes_max: int | None = None
    said_bytes: int = 0
    tables: list[Line] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.dice = random.Random(self.cuts.seed)

    def table(self, room: str, *, wrap: Callable[[Visit], Any] | None = None, **more: Any) -> Line:
        """Open a conversation with a room, for as much memory as a session may have."""
        purse = Purse(_LIMITS.session_held_bytes_max, Purse(_LIMITS.held_bytes_max))
        table = Line((wrap or load(room))(visit(purse=purse, can_tls=True, **more)))
        table.attack = self
        self.tables.append(table)
        table.open()
        return table

    def end(self) -> None:
        """End all conversations."""
        for table in self.tables:
            table.end()

    @property
    def kept(self) -> list[Keep]:
        """All that was kept."""
        return [keep for table in self.tables for keep in table.kept]

    @property
    def faults(self) -> list[str]:
        """What the rooms had against it."""
        return [table.fault for table in self.tables if table.fault]

    def spend(self, data: bytes) -> bytes:
        """Return what of this is still said."""
        left = len(data) if self.bytes_max is None else self.bytes_max - self.said_bytes
        self.said_bytes += min(len(data), left)
        return data[:left]


class Line(Table):
    """A conversation in which what is said comes in pieces."""

    attack: Attack
    received_bytes = 0

    def say(self, data: bytes, split: int = 0) -> bytes:
        """See `Table`; the cuts are the attack's. A datagram comes whole or not at all."""
        before = len(self.sent)
        self._pass(data, super().say)
        return self.sent[before:]

    def say_side(self, data: bytes, split: int = 0) -> None:
        """See `Table`."""
        self._pass(data, super().say_side)

    def forget(self) -> None:
        """Forget what the room has said: who types megabytes is told each of them again."""
        self.sent = b""

    def _pass(self, data: bytes, way: Callable[[bytes], object]) -> None:
        attack, whole = self.attack, self.room.visit.transport == "udp"
        said = attack.spend(data)
        if said and (len(said) == len(data) or not whole):
            for piece in (said,) if whole else attack.cuts.pieces(said, attack.dice):
                way(piece)
                self.received_bytes += len(piece)
        assert self.received_bytes <= _LIMITS.received_bytes_max, "more than a session may send"
        if len(said) < len(data):
            raise BrokenOffError


@dataclass(frozen=True)
class Vector:
    """A row. Below `bytes_min` nothing is kept, above `bytes_max` it cannot be carried; `why` says why, in a word."""

    room: str  # as in ROOMS
    way: str
    bring: Callable[[Attack, bytes], object]
    bytes_min: int = 0
    bytes_max: int = MOST
    why: str = ""
    text_ends: bytes = b""  # carries lines of text alone, which end so
    form: Callable[[bytes], bytes] = bytes  # what is kept of it, if not the bytes themselves: a message, an archive
    inside: bool = False  # what is kept has more around it: a database's own format
    never_whole: bool = False  # nobody could say that it is all
    broken: str = "partial"  # how what came is kept when nothing more comes: a row of `BROKEN`
    broken_bytes: int = 20_000  # of which size it is then

    def __str__(self) -> str:
        return f"{self.room}: {self.way}"

    def sizes(self, among: tuple[int, ...] = SIZES) -> list[int]:
        """Return the sizes of the brief that it carries."""
        return [size for size in among if self.bytes_min <= size <= self.bytes_max]

    def content(self, size: int) -> bytes:
        """Return what is brought."""
        return text(size, self.text_ends) if self.text_ends else sample(size)

    def holds(self, keep: Keep, data: bytes) -> bool:
        """Say whether this is what was brought, byte for byte."""
        wanted = self.form(data)
        if self.inside:
            return wanted in keep.data
        return hashlib.sha256(keep.data).digest() == hashlib.sha256(wanted).digest()
