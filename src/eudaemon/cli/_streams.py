"""Conversations out of IP packets: TCP put together again, UDP as it came. From the attacker's side: who spoke first.

TCP (RFC 9293): bytes are taken in the order of their numbers; what came twice counts once, of two versions of a byte
the first counts, and what came early waits, within limits. A hole that nothing fills is told, and what lies behind it
is played.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from eudaemon.cli._packets import UDP, Packets

EARLY_BYTES_MAX = 4 * 1024 * 1024  # of one direction, waiting for what comes before it
EARLY_SEGMENTS_MAX = 1_000
WINDOW_BYTES = 1 << 30  # RFC 7323: no segment lies farther ahead
CONVERSATIONS_MAX = 100_000  # of one capture
_SYN, _ACK = 2, 16
_MODULUS = 1 << 32
_HALF = 1 << 31

End = tuple[str, int]


class TooManyError(ValueError):
    """More conversations than are held."""


@dataclass(slots=True)
class Conversation:
    """What one side said to the other, in order, each piece with its time."""

    transport: str
    attacker: End
    local: End
    pieces: list[tuple[float, bytes]] = field(default_factory=list)
    host_spoke_first: bool = False
    missing_bytes: int = 0  # that the capture lacks


@dataclass(slots=True)
class _Direction:
    """One direction of a TCP connection: what is next, and what came too early for it."""

    next: int | None = None
    early: list[tuple[int, float, bytes]] = field(default_factory=list)  # number, time, data
    missing_bytes: int = 0

    def take(self, at_s: float, number: int, data: bytes) -> list[tuple[float, bytes]]:
        """Take a segment; return what is in order now."""
        if self.next is None:
            self.next = number  # the capture began in the middle
        if not data or not -WINDOW_BYTES < _distance(self.next, number) < WINDOW_BYTES:
            return []
        self.early.append((number, at_s, data))
        found = self._ready()
        while len(self.early) > EARLY_SEGMENTS_MAX or sum(len(one[2]) for one in self.early) > EARLY_BYTES_MAX:
            found += self.skip()
        return found

    def skip(self) -> list[tuple[float, bytes]]:
        """Give up the hole before what came early; return what lies behind it."""
        if not self.early or self.next is None:
            return []
        hole = min(_distance(self.next, number) for number, _, _ in self.early)
        self.missing_bytes += hole
        self.next = (self.next + hole) % _MODULUS
        return self._ready()

    def _ready(self) -> list[tuple[float, bytes]]:
        found = []
        progress = True
        while progress and self.next is not None:
            progress, first = False, WINDOW_BYTES
            for one in list(self.early):  # in the order in which they came
                number, at_s, data = one
                ahead = _distance(self.next, number)
                if ahead > 0:
                    first = min(first, ahead)
                    continue
                # Up to where one that came before it begins: of two versions of a byte the first counts.
                fresh = data[-ahead : first - ahead]
                if len(data) + ahead <= first:
                    self.early.remove(one)
                if fresh:
                    found.append((at_s, fresh))
                    self.next = (self.next + len(fresh)) % _MODULUS
                    progress = True
                    break
        return found


@dataclass(slots=True)
class _Connection:
    said: Conversation
    began: int | None  # number of the SYN
    ways: dict[End, _Direction] = field(default_factory=dict)
    heard: bool = False  # whether anybody said anything

    def take(self, at_s: float, source: End, found: list[tuple[float, bytes]]) -> None:
        """Note what is whole of what a side said."""
        if source == self.said.attacker:
            self.said.pieces += [(max(at_s, moment), data) for moment, data in found]

    def end(self) -> None:
        """Play what lies behind holes that nothing filled."""
        for source, way in self.ways.items():
            while way.early:
                self.take(0.0, source, way.skip())
            if source == self.said.attacker:
                self.said.missing_bytes = way.missing_bytes


class Streams:
    """Puts conversations together out of packets."""

    def __init__(self) -> None:
        self.left_out: Counter[str] = Counter()
        self.conversations: list[Conversation] = []
        self._tcp: dict[frozenset[End], _Connection] = {}
        self._udp: dict[frozenset[End], Conversation] = {}

    def read(self, packets: Iterable[tuple[float, bytes]]) -> list[Conversation]:
        """Return the conversations in which the attacker said something. Raises `TooManyError`."""
        network = Packets()
        for at_s, packet in packets:
            found = network.read(at_s, packet)
            if found is None:
                continue
            protocol, source, target, segment = found
            if protocol == UDP:
                self._datagram(at_s, source, target, segment)
            else:
                self._segment(at_s, source, target, segment)
        for connection in self._tcp.values():
            connection.end()
        network.end()
        self.left_out += network.left_out
        return [one for one in self.conversations if one.pieces]

    def _datagram(self, at_s: float, source: str, target: str, segment: bytes) -> None:
        if len(segment) < 8:
            self.left_out["cut off"] += 1
            return
        source_port, target_port, length = struct.unpack_from(">3H", segment)
        ends = (source, source_port), (target, target_port)
        said = self._udp.get(frozenset(ends))
        if said is None:
            said = self._udp[frozenset(ends)] = self._new("udp", *ends)
        if said.attacker == ends[0]:
            said.pieces.append((at_s, segment[8 : max(8, length)]))

    def _segment(self, at_s: float, source_ip: str, target_ip: str, segment: bytes) -> None:
        if len(segment) < 20 or len(segment) < segment[12] >> 4 << 2 or segment[12] >> 4 < 5:
            self.left_out["cut off"] += 1
            return
        source_port, target_port, number = struct.unpack_from(">HHI", segment)
        flags, data = segment[13], segment[segment[12] >> 4 << 2 :]
        source, target = (source_ip, source_port), (target_ip, target_port)
        ends = frozenset((source, target))
        connection = self._tcp.get(ends)
        begins = flags & (_SYN | _ACK) == _SYN
        if connection is None or (begins and connection.began != number):  # the same ports once more
            if connection is not None:
                connection.end()
            # Without its beginning: whoever has the higher port is taken to have called.
            called = begins or (not flags & _SYN and source_port >= target_port)
            attacker, local = (source, target) if called else (target, source)
            connection = _Connection(self._new("tcp", attacker, local), number if begins else None)
            self._tcp[ends] = connection
        way = connection.ways.setdefault(source, _Direction())
        if flags & _SYN:
            number = (number + 1) % _MODULUS  # a SYN counts as a byte
            way.next = number if way.next is None else way.next
        if data and not connection.heard:
            connection.heard, connection.said.host_spoke_first = True, source != connection.said.attacker
        connection.take(at_s, source, way.take(at_s, number, data))

    def _new(self, transport: str, attacker: End, local: End) -> Conversation:
        if len(self.conversations) == CONVERSATIONS_MAX:
            raise TooManyError(f"more than {CONVERSATIONS_MAX} conversations")
        self.conversations.append(Conversation(transport, attacker, local))
        return self.conversations[-1]


def _distance(one: int, other: int) -> int:
    """Return by how much the number `other` lies behind `one`; negative if it lies before."""
    ahead = (other - one) % _MODULUS
    return ahead - _MODULUS if ahead >= _HALF else ahead
