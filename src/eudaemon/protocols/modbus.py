"""Modbus over TCP 502 (Modbus Messaging on TCP/IP 1.0b, Application Protocol 1.1b3): a controller's registers and name.

    transaction | protocol 0 | size | unit | function | data

What is read is drawn and stays the same; what is written is stated, and there for the rest of the session.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import ClassVar, TypeAlias

from eudaemon.events.catalogue import CommandEntered
from eudaemon.protocols._base import (
    Claim,
    HalfClosed,
    HangUp,
    Occasion,
    Order,
    Received,
    Room,
    Saw,
    Send,
    Visit,
)  # fmt: skip
from eudaemon.wire import ByteReader, PeerError
from eudaemon.world.host import Host

HEAD = struct.Struct(">HHHB")
SIZE_BYTES_MAX = 254  # Messaging section 4.1: of unit, function and data
REQUESTS_MAX = 5000  # of one session
WRITTEN_MAX = 1024  # registers and coils of one session that are there afterwards
SAID_MAX = 200  # reads of one session that are stated; writes, always
_ILLEGAL_FUNCTION, _ILLEGAL_ADDRESS, _ILLEGAL_VALUE = 1, 2, 3  # Application section 7
_READ_BITS, _READ_WORDS = {1: "coils", 2: "discrete inputs"}, {3: "holding registers", 4: "input registers"}
# Vendor, product, revisions, what else its name says: as such devices answer on the Internet.
_DEVICES = (
    ("Schneider Electric", "BMX P34 2020", ("v2.5", "v2.6", "v2.8"), ""),
    ("Schneider Electric", "TM221CE40T", ("V1.6.2.0", "V1.10.2.2"), ""),
    ("Schneider Electric", "SAS TSXETY4103", ("V04.03", "V05.05"), ""),
    ("WAGO", "750-881", ("01.07.13", "01.09.18"), "WAGO 750-881"),
    ("Solare Datensysteme GmbH", "SDS", ("2.8.4", "3.5.0"), "Solar-Log"),
    ("ABB", "PM554-TP-ETH", ("2.5.1", "2.7.2"), ""),
)
Answer: TypeAlias = "bytes | int"  # data, or an exception's code


class Modbus(Room):
    """One master's connection."""

    name: ClassVar[str] = "modbus"

    __slots__ = ("_reader", "_requests", "_said", "_written")

    def __init__(self, visit: Visit) -> None:
        super().__init__(visit)
        self._reader = ByteReader(HEAD.size + SIZE_BYTES_MAX + 65_536)
        self._requests = 0
        self._said = 0
        self._written: dict[tuple[int, int, int], int] = {}  # by unit, kind and address

    @classmethod
    def claim(cls, first: bytes) -> Claim:
        """Protocol 0, a size that may be, and a function."""
        if len(first) < 8:
            return Claim.UNSURE if len(first) < 3 or first[2:4].strip(b"\0") == b"" else Claim.NO
        _, protocol, size, _ = HEAD.unpack_from(first)
        return Claim.YES if protocol == 0 and 2 <= size <= SIZE_BYTES_MAX and 0 < first[7] < 128 else Claim.NO

    def tell(self, occasion: Occasion) -> Iterator[Order]:
        """Take one occasion and yield the orders that follow from it."""
        match occasion:
            case Received(_, data):
                self._reader.feed(data)
                while (request := self._next()) is not None:
                    self._requests += 1
                    if self._requests > REQUESTS_MAX:
                        raise PeerError(f"more than {REQUESTS_MAX} requests in one session")
                    yield from self._request(request)
            case HalfClosed():
                yield HangUp()

    def _next(self) -> bytes | None:
        """Return the next request, and of what is none as much as one has at least."""
        head = self._reader.peek()[: HEAD.size + 1]
        if len(head) <= HEAD.size:
            return None
        size = HEAD.unpack_from(head)[2]
        return self._reader.take(6 + size) if _is_framed(head) else head

    def _request(self, request: bytes) -> Iterator[Order]:
        transaction, _, _, unit = HEAD.unpack_from(request)
        function, data = request[7], request[8:]
        if not _is_framed(request):  # many devices refuse what they were never asked for, as if it were a function
            yield Send(HEAD.pack(transaction, 0, 3, unit) + bytes((function | 0x80, _ILLEGAL_FUNCTION)))
            raise PeerError("Modbus: no request")
        name, step = _STEPS.get(function, (f"function {function}", _unknown))
        writes = step in (_write_one, _write_bits, _write_words)
        self._said += not writes
        if writes or self._said <= SAID_MAX:
            yield Saw(CommandEntered(f"unit {unit}: {name}{_shown(step, function, data)}"))
        answer = step(self, unit, function, data)
        told = bytes((function | 0x80, answer)) if isinstance(answer, int) else bytes((function,)) + answer
        yield Send(HEAD.pack(transaction, 0, 1 + len(told), unit) + told)

    def value(self, unit: int, kind: int, address: int) -> int:
        """Return what stands in a register, or whether a coil is set."""
        written = self._written.get((unit, kind, address))
        if written is not None:
            return written
        seed = self.visit.host.seed.child("modbus")
        if kind < 3:
            return seed.number(f"coil {unit} {kind} {address}", 2)
        draw = seed.number(f"register {unit} {kind} {address}", 1 << 20)
        return draw & 0x3FF if draw & 0x70000 else 0  # most are nothing, some a measurement

    def write(self, unit: int, kind: int, address: int, value: int) -> bool:
        """Set a register or coil; say whether there is room for it."""
        key = unit, kind, address
        if key not in self._written and len(self._written) >= WRITTEN_MAX:
            return False
        self._written[key] = value
        return True


def _is_framed(request: bytes) -> bool:
    _, protocol, size, _ = HEAD.unpack_from(request)
    return not protocol and 2 <= int(size) <= SIZE_BYTES_MAX


def _shown(step: Step, function: int, data: bytes) -> str:
    if step is _identify or step is _unknown or len(data) < 4:
        return ""
    first, second = struct.unpack_from(">HH", data)
    if step is _write_one:
        return f" {first} = {second}"
    written = f" = {data[5:].hex()}" if function in (15, 16) else ""
    return f" {first}+{second}{written}"


def _unknown(_room: Modbus, _unit: int, _function: int, _data: bytes) -> Answer:
    return _ILLEGAL_FUNCTION


def _read_bits(room: Modbus, unit: int, function: int, data: bytes) -> Answer:
    if len(data) < 4:
        return _ILLEGAL_VALUE
    first, count = struct.unpack_from(">HH", data)
    if not 1 <= count <= 2000:
        return _ILLEGAL_VALUE
    if first + count > 0x10000:
        return _ILLEGAL_ADDRESS
    packed = bytearray((count + 7) // 8)
    for at in range(count):
        packed[at // 8] |= room.value(unit, function, first + at) << at % 8
    return bytes((len(packed),)) + packed


def _read_words(room: Modbus, unit: int, function: int, data: bytes) -> Answer:
    if len(data) < 4:
        return _ILLEGAL_VALUE
    first, count = struct.unpack_from(">HH", data)
    if not 1 <= count <= 125:
        return _ILLEGAL_VALUE
    if first + count > 0x10000:
        return _ILLEGAL_ADDRESS
    return bytes((2 * count,)) + b"".join(
        room.value(unit, function, first + at).to_bytes(2, "big") for at in range(count)
    )


def _write_one(room: Modbus, unit: int, function: int, data: bytes) -> Answer:
    if len(data) < 4:
        return _ILLEGAL_VALUE
    address, value = struct.unpack_from(">HH", data)
    kind, written = (1, int(value == 0xFF00)) if function == 5 else (3, value)
    return data[:4] if room.write(unit, kind, address, written) else _ILLEGAL_ADDRESS


def _write_bits(room: Modbus, unit: int, _function: int, data: bytes) -> Answer:
    if len(data) < 6:
        return _ILLEGAL_VALUE
    first, count, size = struct.unpack_from(">HHB", data)
    if not 1 <= count <= 1968 or size != (count + 7) // 8 or len(data) < 5 + size:
        return _ILLEGAL_VALUE
    bits = ((first + at, data[5 + at // 8] >> at % 8 & 1) for at in range(count))
    return data[:4] if all(room.write(unit, 1, *bit) for bit in bits) else _ILLEGAL_ADDRESS


def _write_words(room: Modbus, unit: int, _function: int, data: bytes) -> Answer:
    if len(data) < 7:
        return _ILLEGAL_VALUE
    first, count, size = struct.unpack_from(">HHB", data)
    if not 1 <= count <= 123 or size != 2 * count or len(data) < 5 + size:
        return _ILLEGAL_VALUE
    words = ((first + at, int.from_bytes(data[5 + 2 * at : 7 + 2 * at], "big")) for at in range(count))
    return data[:4] if all(room.write(unit, 3, *word) for word in words) else _ILLEGAL_ADDRESS


def _server_id(room: Modbus, unit: int, _function: int, _data: bytes) -> Answer:
    vendor, product, revision, _ = device_of(room.visit.host)
    text = bytes((unit or 1, 0xFF)) + f"{vendor} {product} {revision}".encode()
    return bytes((len(text),)) + text


def _identify(room: Modbus, _unit: int, _function: int, data: bytes) -> Answer:
    """Application section 6.21: read device identification."""
    if len(data) < 3 or data[0] != 0x0E:
        return _ILLEGAL_FUNCTION
    if not 1 <= data[1] <= 4:
        return _ILLEGAL_VALUE
    vendor, product, revision, name = device_of(room.visit.host)
    objects = {0: vendor, 1: product, 2: revision, **({4: name} if name and data[1] > 1 else {})}
    if data[1] == 4:  # one of them
        if data[2] not in objects:
            return _ILLEGAL_ADDRESS
        objects = {data[2]: objects[data[2]]}
    told = b"".join(bytes((number, len(text))) + text.encode() for number, text in objects.items())
    return bytes((0x0E, data[1], 0x82 if name else 0x81, 0, 0, len(objects))) + told


Step: TypeAlias = Callable[[Modbus, int, int, bytes], Answer]
_STEPS: dict[int, tuple[str, Step]] = {
    **{number: (f"read {what}", _read_bits) for number, what in _READ_BITS.items()},
    **{number: (f"read {what}", _read_words) for number, what in _READ_WORDS.items()},
    5: ("write coil", _write_one), 6: ("write register", _write_one), 15: ("write coils", _write_bits),
    16: ("write registers", _write_words), 17: ("report server id", _server_id), 43: ("identify", _identify),
}  # fmt: skip


@lru_cache(maxsize=8)
def device_of(host: Host) -> tuple[str, str, str, str]:
    """Return vendor, product, revision and name of this host's controller."""
    seed = host.seed.child("modbus")
    vendor, product, revisions, name = seed.choice("device", _DEVICES)
    return vendor, product, seed.choice("revision", revisions), name
