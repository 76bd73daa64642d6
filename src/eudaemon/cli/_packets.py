"""IP packets, of either version, down to what they carry for TCP and UDP; fragments put together. Knows no connections.

    packet --> headers --> whole: Segment, or a tunnel's packet, from the beginning
                       --> a fragment --> waits for the others of its kind --> Segment

A datagram's fragments (RFC 791 section 3.2, RFC 8200 section 4.5) come in any order and more than once. Of two versions
of a byte the first counts, as in `_streams`: a host of today would drop a datagram whose fragments overlap (RFC 5722),
and what an attacker hid in them would be lost. Where something is missing for too long, or where there are too many
that wait, what there is of the oldest is counted and passed over.
"""

from __future__ import annotations

import ipaddress
import struct
from collections import Counter
from dataclasses import dataclass, field, replace

from eudaemon.cli._tunnels import NESTED_MAX, inner

TCP, UDP = 6, 17
DATAGRAM_BYTES_MAX = 65_535
DATAGRAMS_MAX = 256  # that wait for their rest
PARTS_MAX = 2048  # of one datagram; over the smallest link, of 68 bytes, a whole one has 1,366
WAIT_S_MAX = 60.0  # RFC 8200; then the same number may be another datagram's
_FRAGMENT = 44
_EXTENSIONS = {0, 43, 51, 60, 135}  # of IPv6; 51 counts its length in other units
_MISSING = "a fragment of an IP packet whose rest is missing"
_STRANGE = "a fragment that fits into no IP packet"

Segment = tuple[int, str, str, bytes]  # protocol, source, target, what is carried
_Key = tuple[bytes, bytes, int, int]  # source, target, number, protocol


@dataclass(frozen=True, slots=True)
class _Part:
    """What one IP packet carries: at which place of a datagram, and whether more of it follows."""

    source: bytes
    target: bytes
    protocol: int
    data: bytes
    number: int = 0
    offset: int = 0
    more: bool = False
    whole: bool = True

    @property
    def is_6(self) -> bool:
        """Whether it came over IPv6."""
        return len(self.source) == 16


@dataclass(slots=True)
class _Datagram:
    """Fragments of one datagram, in the order in which they came."""

    began_s: float
    parts: list[tuple[int, bytes]] = field(default_factory=list)
    bytes_total: int | None = None  # once the last fragment has come
    bytes_seen: int = 0

    def take(self, part: _Part) -> bytes | None:
        """Take a fragment; return the datagram once nothing is missing."""
        if not part.more and self.bytes_total is None:
            self.bytes_total = part.offset + len(part.data)
        self.parts.append((part.offset, part.data))
        self.bytes_seen += len(part.data)
        if self.bytes_total is None or self.bytes_seen < self.bytes_total:
            return None
        end = 0
        for offset, data in sorted(self.parts, key=lambda one: one[0]):
            if offset > end:
                return None
            end = max(end, offset + len(data))
        if end < self.bytes_total:
            return None
        whole = bytearray(end)
        for offset, data in reversed(self.parts):  # the first last, over the others
            whole[offset : offset + len(data)] = data
        return bytes(whole[: self.bytes_total])


class Packets:
    """Reads IP packets, in the order of a capture."""

    def __init__(self) -> None:
        self.left_out: Counter[str] = Counter()  # why, and how many packets
        self._waiting: dict[_Key, _Datagram] = {}  # the oldest first

    def read(self, at_s: float, packet: bytes) -> Segment | None:
        """Return what a packet carries, or makes whole; None if that is nothing, or nothing yet."""
        part = self._whole(at_s, packet)
        for _ in range(NESTED_MAX):
            if not isinstance(part, _Part) or not part.whole or (carried := inner(part.protocol, part.data)) is None:
                break
            part = self._whole(at_s, carried)
        found = _segment(part) if isinstance(part, _Part) else part
        if found is None:
            return None
        if isinstance(found, str):
            self.left_out[found] += 1
            return None
        return found

    def end(self) -> None:
        """Count what waits for a rest that has not come."""
        for key in list(self._waiting):
            self._give_up(key)

    def _whole(self, at_s: float, packet: bytes) -> _Part | str | None:
        """Return what a packet carries, or makes whole; why it carries nothing; None if something is to come yet."""
        part = _part(packet)
        return self._together(at_s, part) if isinstance(part, _Part) and not part.whole else part

    def _together(self, at_s: float, part: _Part) -> _Part | str | None:
        size = len(part.data)
        if part.offset + size > DATAGRAM_BYTES_MAX or (part.more and (size % 8 or not size)):
            return _STRANGE
        key = (part.source, part.target, part.number, part.protocol)
        waiting = self._waiting.get(key)
        if waiting is not None and at_s - waiting.began_s > WAIT_S_MAX:
            self._give_up(key)
            waiting = None
        if waiting is None:
            if len(self._waiting) == DATAGRAMS_MAX:
                self._give_up(next(iter(self._waiting)))
            waiting = self._waiting[key] = _Datagram(at_s)
        if len(waiting.parts) == PARTS_MAX:
            return _STRANGE
        data = waiting.take(part)
        if data is None:
            return None
        del self._waiting[key]
        if part.is_6:
            return _unwrapped(part.source, part.target, part.protocol, data)
        return replace(part, data=data, whole=True)

    def _give_up(self, key: _Key) -> None:
        self.left_out[_MISSING] += len(self._waiting.pop(key).parts)


def _part(packet: bytes) -> _Part | str:
    """Read an IP packet's headers; return why it has none that can be read."""
    version = packet[0] >> 4 if packet else 0
    if version == 4 and len(packet) >= 20:
        header = (packet[0] & 15) * 4
        total, number, fragment = struct.unpack_from(">3H", packet, 2)
        source, target, data = packet[12:16], packet[16:20], packet[header : total or len(packet)]
        offset, more = (fragment & 0x1FFF) * 8, bool(fragment & 0x2000)
        return _Part(source, target, packet[9], data, number, offset, more, whole=not (offset or more))
    if version == 6 and len(packet) >= 40:
        (length,) = struct.unpack_from(">H", packet, 4)
        return _unwrapped(packet[8:24], packet[24:40], packet[6], packet[40 : 40 + length if length else len(packet)])
    return "cut off" if version in (4, 6) else "of another protocol than IP"


def _unwrapped(source: bytes, target: bytes, protocol: int, data: bytes) -> _Part | str:
    """Return what lies behind IPv6's extension headers, up to one that says that this is a fragment."""
    at = 0
    while protocol in (*_EXTENSIONS, _FRAGMENT) and at + 8 <= len(data):
        inner, size = data[at], data[at + 1]
        if protocol == _FRAGMENT:
            place, number = struct.unpack_from(">HI", data, at + 2)
            if offset := place & 0xFFF9:  # where it belongs, and the bit that more follows
                return _Part(source, target, inner, data[at + 8 :], number, offset & ~7, bool(place & 1), whole=False)
            size = 0  # one that is the whole datagram stands for itself, whatever else has its number: RFC 6946
        unit, before = (4, 2) if protocol == 51 else (8, 1)
        protocol, at = inner, at + (size + before) * unit
    return _Part(source, target, protocol, data[at:])


def _segment(part: _Part) -> Segment | str:
    if not part.whole:
        return _STRANGE  # fragments in fragments
    if part.protocol not in (TCP, UDP):
        return "of another protocol than TCP and UDP"
    return part.protocol, str(ipaddress.ip_address(part.source)), str(ipaddress.ip_address(part.target)), part.data
