"""A Siemens S7 controller on TCP 102: TPKT (RFC 1006), COTP (ISO 8073) class 0, and S7comm as its clients write it.

    connection request --> confirm --> setup --> jobs, each acknowledged; and lists of what the module is (SZL)

Identification is answered as an S7-300 or S7-1200 does. Reading finds nothing, writing, starting and stopping is stated
and succeeds; blocks are neither loaded nor given.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

from eudaemon.events.catalogue import CommandEntered, ExploitRecognised
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

PACKET_BYTES_MAX = 4096
PACKETS_MAX = 5000  # of one session
_CONNECT, _DATA, _DISCONNECT = 0xE0, 0xF0, 0x80
_PROTOCOL, _JOB, _ACKNOWLEDGED, _USER = 0x32, 1, 3, 7
_SETUP, _READ, _WRITE, _START, _STOP = 0xF0, 0x04, 0x05, 0x28, 0x29
_NAMES = {_SETUP: "setup", _READ: "read", _WRITE: "write", _START: "start", _STOP: "stop", 0x1A: "request download",
          0x1B: "download", 0x1C: "end download", 0x1D: "start upload", 0x1E: "upload", 0x1F: "end upload"}  # fmt: skip
_HEAD = struct.Struct(">BBHHHH")  # protocol, kind, reserved, number, sizes of parameters and data
# Order number, module's name, system's name, firmware: as such modules answer on the Internet.
_MODULES = (
    ("6ES7 315-2EH14-0AB0 ", "CPU 315-2 PN/DP", "SIMATIC 300(1)", (3, 2, 6)),
    ("6ES7 315-2EH14-0AB0 ", "CPU 315-2 PN/DP", "SIMATIC 300 Station", (3, 2, 14)),
    ("6ES7 314-6EH04-0AB0 ", "CPU 314C-2 PN/DP", "SIMATIC 300(1)", (3, 3, 10)),
    ("6ES7 317-2EK14-0AB0 ", "CPU 317-2 PN/DP", "S7-300 station_1", (3, 2, 8)),
    ("6ES7 212-1BE31-0XB0 ", "CPU 1212C AC/DC/Rly", "S71200", (3, 0, 2)),
    ("6ES7 214-1AG31-0XB0 ", "CPU 1214C DC/DC/DC", "S71200", (3, 0, 1)),
)


@dataclass(frozen=True, slots=True)
class Module:
    """One sensor's controller."""

    order: str
    name: str
    system: str
    version: tuple[int, int, int]
    serial: str

    def lists(self, number: int) -> list[bytes] | None:
        """Return the records of one of its lists: 0x11 says what it is, 0x1C how it is called."""
        if number & 0xFF == 0x11:
            records = ((1, self.order, (0x20, 0x20)), (6, self.order, (0x20, 0x20)), (7, "", (0x5600 + self.version[0],
                        self.version[1] << 8 | self.version[2])))  # fmt: skip
            return [
                struct.pack(">H20sHHH", index, text.encode().ljust(20), 0xC0, *words) for index, text, words in records
            ]
        if number & 0xFF == 0x1C:
            texts = (self.system, self.name, "", "Original Siemens Equipment", self.serial)
            return [struct.pack(">H32s", index, text.encode()) for index, text in enumerate(texts, start=1)]
        return None


class S7(Room):
    """One client's connection."""

    name: ClassVar[str] = "s7"

    __slots__ = ("_connected", "_packets", "_reader")

    def __init__(self, visit: Visit) -> None:
        super().__init__(visit)
        self._reader = ByteReader(PACKET_BYTES_MAX + 65_536)
        self._packets = 0
        self._connected = False

    @classmethod
    def claim(cls, first: bytes) -> Claim:
        """A connection request whose first parameter is one of ISO 8073, where Remote Desktop has its own."""
        if first[:2] != b"\3\0"[: len(first)]:
            return Claim.NO
        if len(first) < 12:
            return Claim.UNSURE if first[5:6] in (b"", b"\xe0") else Claim.NO
        return Claim.YES if first[5] == _CONNECT and first[11] in (0xC0, 0xC1, 0xC2) else Claim.NO

    def tell(self, occasion: Occasion) -> Iterator[Order]:
        """Take one occasion and yield the orders that follow from it."""
        match occasion:
            case Received(_, data):
                self._reader.feed(data)
                while (packet := self._next()) is not None:
                    self._packets += 1
                    if self._packets > PACKETS_MAX:
                        raise PeerError(f"more than {PACKETS_MAX} packets in one session")
                    yield from self._packet(packet)
                    if packet[1] == _DISCONNECT:
                        return
            case HalfClosed():
                yield HangUp()

    def _next(self) -> bytes | None:
        head = self._reader.peek()[:4]
        if len(head) < 4:
            return None
        size = int.from_bytes(head[2:], "big")
        if head[:2] != b"\3\0" or not 7 <= size <= PACKET_BYTES_MAX:
            raise PeerError("no TPKT")
        packet = self._reader.take(size)
        return packet[4:] if packet is not None else None

    def _packet(self, packet: bytes) -> Iterator[Order]:
        kind = packet[1] & 0xF0
        if kind == _CONNECT and len(packet) >= 7:
            self._connected = True
            yield Saw(CommandEntered(f"connect {packet[7:].hex()}"))
            yield from self._send(bytes((packet[0], 0xD0)) + packet[4:6] + b"\0\1\0" + packet[7 : 1 + packet[0]])
        elif packet[1] == _DISCONNECT:
            yield HangUp()
        elif kind == _DATA and self._connected:
            yield from self._pdu(packet[1 + packet[0] :])
        else:
            raise PeerError("COTP: nothing that belongs here")

    def _pdu(self, pdu: bytes) -> Iterator[Order]:
        if len(pdu) < _HEAD.size or pdu[0] != _PROTOCOL:
            raise PeerError("S7: no PDU")
        _, kind, _, number, parameters_size, data_size = _HEAD.unpack_from(pdu)
        parameters = pdu[_HEAD.size : _HEAD.size + parameters_size]
        data = pdu[_HEAD.size + parameters_size :][:data_size]
        if kind == _USER and len(parameters) >= 8:
            yield from self._user(number, parameters, data)
        elif kind == _JOB and parameters:
            yield from self._job(number, parameters, data)

    def _job(self, number: int, parameters: bytes, data: bytes) -> Iterator[Order]:
        function = parameters[0]
        name = _NAMES.get(function, f"function {function:#04x}")
        shown = f" {parameters[1:].hex()}{' = ' if data else ''}{data.hex()}" if function != _SETUP else ""
        yield Saw(CommandEntered(f"{name}{shown}"[:1024]))
        items = parameters[1] if len(parameters) > 1 else 0
        if function == _SETUP:
            yield from self._acknowledge(number, b"\xf0\0\0\1\0\1\0\xf0")
        elif function == _READ:
            yield from self._acknowledge(number, bytes((_READ, items)), b"\x0a\0\0\0" * items)  # there is no such thing
        elif function == _WRITE:
            yield from self._acknowledge(number, bytes((_WRITE, items)), b"\xff" * items)
        elif function in (_START, _STOP):
            what = "s7-stop" if function == _STOP else "s7-control"
            yield Saw(ExploitRecognised(what, "T0858", parameters.hex()[:512]))
            yield from self._acknowledge(number, bytes((function,)))
        else:
            yield from self._acknowledge(number, bytes((function,)), error=0x8104)  # not supported

    def _user(self, number: int, parameters: bytes, data: bytes) -> Iterator[Order]:
        """Read a list (SZL): parameters 00 01 12 04 11 44 01 00, data FF 09 00 04 and its number and index."""
        group, sub, sequence = parameters[5] & 0x0F, parameters[6], parameters[7]
        wanted, index = struct.unpack_from(">HH", data, 4) if len(data) >= 8 else (0, 0)
        yield Saw(CommandEntered(f"list {wanted:#06x}/{index}" if group == 4 else f"user group {group}, {sub}"))
        records = module_of(self.visit.host).lists(wanted) if group == 4 and sub == 1 else None
        told = b"\0\1\x12\x08\x12" + bytes((0x80 | group, sub, sequence)) + bytes(4)
        if records is None:
            yield from self._send_pdu(_USER, number, told[:-2] + b"\xd4\1", b"\x0a\0\0\0")
            return
        body = struct.pack(">HHHH", wanted, index, len(records[0]), len(records)) + b"".join(records)
        yield from self._send_pdu(_USER, number, told, b"\xff\x09" + len(body).to_bytes(2, "big") + body)

    def _acknowledge(self, number: int, parameters: bytes, data: bytes = b"", error: int = 0) -> Iterator[Order]:
        yield from self._send_pdu(_ACKNOWLEDGED, number, parameters, data, error.to_bytes(2, "big"))

    def _send_pdu(self, kind: int, number: int, parameters: bytes, data: bytes, error: bytes = b"") -> Iterator[Order]:
        head = _HEAD.pack(_PROTOCOL, kind, 0, number, len(parameters), len(data))
        yield from self._send(b"\2\xf0\x80" + head + error + parameters + data)

    def _send(self, packet: bytes) -> Iterator[Order]:
        yield Send(b"\3\0" + (4 + len(packet)).to_bytes(2, "big") + packet)


@lru_cache(maxsize=8)
def module_of(host: Host) -> Module:
    """Return the controller of this host."""
    seed = host.seed.child("s7")
    order, name, system, version = seed.choice("module", _MODULES)
    digits = f"{seed.number('serial', 10**8):08d}"
    return Module(order, name, system, version, f"S C-{'X' if digits[0] < '5' else 'C'}{digits[:1]}U{digits}2012"[:18])
