"""A recorded conversation as captured packets, for whoever reads those: Wireshark, tshark, `eudaemon replay`.

    section, with a comment ─► interface (raw IP) ─► SYN, SYN-ACK, ACK ─► data … ─► FIN or RST     one packet a block

Addresses, ports, bytes and times are those of the recording. What a recording does not have is made up: the handshake,
where segments end, sequence numbers. Each datagram is a packet. File format: draft-ietf-opsawg-pcapng.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from eudaemon.wire.conversation import ATTACKER, Utterance

SEGMENT_BYTES = 1400  # fits any link
DATAGRAM_BYTES_MAX = 65_507  # over IPv4; what is longer in a recording is no datagram, and divided
COMMENT_BYTES_MAX = 1000
_TCP, _UDP = 6, 17
_FIN, _SYN, _RST, _PSH, _ACK = 1, 2, 4, 8, 16
_HOPS = 64
_WINDOW = 0xFFFF
_OPTIONS = b"\x02\x04" + struct.pack(">H", SEGMENT_BYTES) + b"\x01\x03\x03\x0e"  # size of segments, scale of windows
_RAW_IP = 101  # tcpdump.org/linktypes.html
_COMMENT = 1


@dataclass(frozen=True, slots=True)
class Talk:
    """Between whom a conversation was. `began_s` is since 1970; `ending` why it ended, empty if not recorded."""

    transport: str  # tcp, udp
    attacker: tuple[str, int]
    local: tuple[str, int]
    began_s: float
    ending: str = ""


def pcapng(talk: Talk, pieces: Iterable[Utterance], comment: str) -> Iterator[bytes]:
    """Yield the file, block by block. Raises `ValueError` for what is no address."""
    text = comment.encode()[:COMMENT_BYTES_MAX].decode(errors="ignore").encode()
    yield _block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1) + _option(_COMMENT, text) + _option(0, b""))
    yield _block(1, struct.pack("<HHI", _RAW_IP, 0, 0))
    for ms, packet in _packets(talk, pieces):
        at_us = int(talk.began_s * 1_000_000) + ms * 1000
        head = struct.pack("<5I", 0, at_us >> 32 & 0xFFFFFFFF, at_us & 0xFFFFFFFF, len(packet), len(packet))
        yield _block(6, head + packet)


def _block(kind: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    size = len(body) + 12
    return struct.pack("<II", kind, size) + body + struct.pack("<I", size)


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + value + bytes(-len(value) % 4)


def _packets(talk: Talk, pieces: Iterable[Utterance]) -> Iterator[tuple[int, bytes]]:
    """Yield milliseconds since the beginning, and the IP packet."""
    ends = (_End.of(*talk.attacker), _End.of(*talk.local))
    if ends[0].is_6 != ends[1].is_6:
        ends = (ends[0].as_6(), ends[1].as_6())
    return _datagrams(ends, pieces) if talk.transport == "udp" else _connection(ends, pieces, talk.ending)


@dataclass(slots=True)
class _End:
    """One end, and how much of its bytes it has sent. `sequence` counts from 0 on, modulo 2^32."""

    ip: bytes
    port: int
    sequence: int = field(default=0)

    @classmethod
    def of(cls, ip: str, port: int) -> _End:
        return cls(ipaddress.ip_address(ip or "::").packed, port)

    @property
    def is_6(self) -> bool:
        return len(self.ip) == 16

    def as_6(self) -> _End:
        """Return it with its address mapped into IPv6, for a peer that is there."""
        return self if self.is_6 else _End(bytes(10) + b"\xff\xff" + self.ip, self.port)


def _datagrams(ends: tuple[_End, _End], pieces: Iterable[Utterance]) -> Iterator[tuple[int, bytes]]:
    for piece in pieces:
        source, target = ends if piece.side == ATTACKER else ends[::-1]
        for data in _cut(piece.data, DATAGRAM_BYTES_MAX):
            head = struct.pack(">HHHH", source.port, target.port, 8 + len(data), 0)
            yield piece.ms, _ip(source, target, _UDP, head, 6, data)


def _connection(ends: tuple[_End, _End], pieces: Iterable[Utterance], ending: str) -> Iterator[tuple[int, bytes]]:
    attacker, local = ends
    yield 0, _segment(attacker, local, _SYN)
    yield 0, _segment(local, attacker, _SYN | _ACK)
    yield 0, _segment(attacker, local, _ACK)
    ms = 0
    for piece in pieces:
        ms = max(ms, piece.ms)
        source, target = ends if piece.side == ATTACKER else ends[::-1]
        for data in _cut(piece.data, SEGMENT_BYTES):
            if data:
                yield ms, _segment(source, target, _PSH | _ACK, data)
    if not ending:
        return
    first, second = ends if ending in ("peer", "reset") else ends[::-1]
    if ending == "reset":
        yield ms, _segment(first, second, _RST | _ACK)
        return
    yield ms, _segment(first, second, _FIN | _ACK)
    yield ms, _segment(second, first, _FIN | _ACK)
    yield ms, _segment(first, second, _ACK)


def _segment(source: _End, target: _End, flags: int, data: bytes = b"") -> bytes:
    options = _OPTIONS if flags & _SYN else b""
    head = struct.pack(
        ">HHIIBBHHH", source.port, target.port, source.sequence, target.sequence if flags & _ACK else 0,
        (20 + len(options)) << 2, flags, _WINDOW, 0, 0,
    ) + options  # fmt: skip
    source.sequence = (source.sequence + len(data) + bool(flags & (_SYN | _FIN))) & 0xFFFFFFFF
    return _ip(source, target, _TCP, head, 16, data)


def _ip(source: _End, target: _End, protocol: int, head: bytes, checksum_at: int, data: bytes) -> bytes:
    """Return the packet; the transport's checksum covers the addresses, too (RFC 9293 section 3.1)."""
    size = len(head) + len(data)
    pseudo = source.ip + target.ip + struct.pack(">II", size, protocol)
    head = head[:checksum_at] + _checksum(pseudo + head + data) + head[checksum_at + 2 :]
    if source.is_6:
        return struct.pack(">IHBB", 0x60000000, size, protocol, _HOPS) + source.ip + target.ip + head + data
    front = struct.pack(">BBHHHBBH", 0x45, 0, 20 + size, 0, 0x4000, _HOPS, protocol, 0) + source.ip + target.ip
    return front[:10] + _checksum(front) + front[12:] + head + data


def _checksum(data: bytes) -> bytes:
    """Return the Internet checksum (RFC 1071): a sum in ones' complement is one modulo 65535."""
    words = int.from_bytes(data + bytes(len(data) % 2), "big")
    return (0xFFFF - words % 0xFFFF).to_bytes(2, "big")


def _cut(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, max(1, len(data)), size))
