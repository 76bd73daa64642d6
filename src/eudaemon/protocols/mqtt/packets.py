"""MQTT's control packets (MQTT 3.1.1 and 5.0, section 2 and 3): reading and writing, no meaning."""

from __future__ import annotations

from dataclasses import dataclass

from eudaemon.wire import PeerError

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP = 1, 2, 3, 4, 5, 6, 7
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT, AUTH = 8, 9, 10, 11, 12, 13, 14, 15
PACKET_BYTES_MAX = 16 * 1024 * 1024  # of one packet; the protocol allows 256 MiB
PROPERTIES_MAX = 32  # of one packet
SUBSCRIPTION_ID = 0x0B
# MQTT 5.0 table 2-4: how the value of a property is written.
_ONE = frozenset((0x01, 0x17, 0x19, 0x24, 0x25, 0x28, 0x29, 0x2A))
_TWO = frozenset((0x13, 0x21, 0x22, 0x23))
_FOUR = frozenset((0x02, 0x11, 0x18, 0x27))
_TEXT = frozenset((0x03, 0x08, 0x09, 0x12, 0x15, 0x16, 0x1A, 0x1C, 0x1F))
_PAIR = 0x26


class Cursor:
    """Reads the fields of a packet's body. Raises `PeerError` at its end."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def take(self, count: int) -> bytes:
        """Return so many bytes."""
        piece = self._data[self._at : self._at + count]
        if len(piece) < count:
            raise PeerError("MQTT packet ends within a field")
        self._at += count
        return piece

    def number(self, count: int) -> int:
        """Return an integer of so many bytes."""
        return int.from_bytes(self.take(count), "big")

    def text(self) -> bytes:
        """Return bytes or text with their length before them."""
        return self.take(self.number(2))

    def variable(self) -> int:
        """Return a variable byte integer (section 1.5.5 of version 5)."""
        value = 0
        for shift in (0, 7, 14, 21):
            byte = self.number(1)
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise PeerError("MQTT length of more than four bytes")

    def rest(self) -> bytes:
        """Return what is left."""
        return self.take(len(self._data) - self._at)

    def properties(self) -> dict[int, bytes | int]:
        """Return the properties of version 5, the last of those that are there twice."""
        inner = Cursor(self.take(self.variable()))
        found: dict[int, bytes | int] = {}
        for _ in range(PROPERTIES_MAX):
            if not inner:
                return found
            kind = inner.variable()
            if kind in _ONE or kind in _TWO or kind in _FOUR:
                found[kind] = inner.number(1 if kind in _ONE else 2 if kind in _TWO else 4)
            elif kind in _TEXT:
                found[kind] = inner.text()
            elif kind == SUBSCRIPTION_ID:
                found[kind] = inner.variable()
            elif kind == _PAIR:
                found[kind] = inner.text() + b"=" + inner.text()
            else:
                raise PeerError(f"MQTT property {kind:#x}")
        if inner:
            raise PeerError(f"more than {PROPERTIES_MAX} properties in a packet")
        return found


@dataclass(frozen=True, slots=True)
class Connect:
    """What a client says first (section 3.1). `user` and `password` are None where there is none."""

    level: int
    client: bytes
    will: tuple[bytes, bytes] | None  # topic, message
    user: bytes | None
    password: bytes | None


def connect_of(body: bytes) -> Connect:
    """Read a CONNECT. Raises `PeerError` for what is none."""
    cursor = Cursor(body)
    name, level, flags, _ = cursor.text(), cursor.number(1), cursor.number(1), cursor.number(2)
    if (name, level & 0x7F) not in ((b"MQTT", 4), (b"MQTT", 5), (b"MQIsdp", 3)):
        raise PeerError("MQTT of a version that is not known")
    if level == 5:
        cursor.properties()
    client, will = cursor.text(), None
    if flags & 0x04:
        if level == 5:
            cursor.properties()
        will = cursor.text(), cursor.text()
    user = cursor.text() if flags & 0x80 else None
    password = cursor.text() if flags & 0x40 else None
    return Connect(level & 0x7F, client, will, user, password)


def variable(value: int) -> bytes:
    """Return a number as a variable byte integer."""
    out = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        out.append(low | (0x80 if value else 0))
        if not value:
            return bytes(out)


def packet(kind: int, body: bytes = b"", flags: int = 0) -> bytes:
    """Return a packet."""
    return bytes((kind << 4 | flags,)) + variable(len(body)) + body


def text(data: bytes) -> bytes:
    """Return bytes with their length before them."""
    return len(data).to_bytes(2, "big") + data


def matches(topic: bytes, wanted: bytes) -> bool:
    """Say whether a topic is meant by a filter (section 4.7)."""
    levels, parts = topic.split(b"/"), wanted.split(b"/")
    if topic[:1] == b"$" and parts[0] in (b"#", b"+"):
        return False
    for at, part in enumerate(parts):
        if part == b"#":
            return True
        if at >= len(levels) or part not in (b"+", levels[at]):
            return False
    return len(levels) == len(parts)
