"""Windows' names without a server: NetBIOS' on UDP 137 (RFC 1002 section 4.2) and LLMNR on UDP 5355 (RFC 4795).

Both ask as DNS does; NetBIOS writes a name's half-bytes as letters from A on. What is asked is stated. Addresses can be
forged, and every answer is larger than its question: it waits until the peer has asked so often that it is paid for.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import ClassVar

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
from eudaemon.protocols._windows import FileServer, server_of
from eudaemon.wire import PeerError, printable

HEAD = struct.Struct(">HHHHHH")  # as DNS has it
DATAGRAMS_MAX = 64  # of one peer that are looked at
LABEL_BYTES_MAX = 63
_RESPONSE, _AUTHORITATIVE = 0x8000, 0x0400
_NB, _NBSTAT, _A, _ANY = 0x20, 0x21, 0x01, 0xFF
_OPCODES = {5: "register", 6: "release", 8: "refresh", 9: "refresh"}
_TTL_S, _LLMNR_TTL_S = 300_000, 30
_UNIQUE, _GROUP = 0x0400, 0x8400  # an active name; of one computer, or of several
_TYPES = {1: "A", 12: "PTR", 28: "AAAA", 32: "NB", 33: "NBSTAT", 255: "ANY"}
_WORKSTATION, _SERVER = 0x00, 0x20


class NetBios(Room):
    """One asker."""

    name: ClassVar[str] = "netbios"

    __slots__ = ("_credit_bytes", "_datagrams")

    def __init__(self, visit: Visit) -> None:
        super().__init__(visit)
        self._credit_bytes = 0  # heard and not answered yet
        self._datagrams = 0

    @classmethod
    def claim(cls, first: bytes) -> Claim:  # noqa: ARG003
        """Over TCP nobody asks for names so."""
        return Claim.NO

    def tell(self, occasion: Occasion) -> Iterator[Order]:
        """Take one occasion and yield the orders that follow from it."""
        match occasion:
            case Received(_, data) if self.visit.transport == "udp":
                self._credit_bytes += len(data)
                self._datagrams += 1
                if self._datagrams <= DATAGRAMS_MAX:
                    yield from self._asked(data)
            case Received():
                raise PeerError("names are not asked for over TCP")
            case HalfClosed():
                yield HangUp()

    @property
    def _windows(self) -> FileServer:
        return server_of(self.visit.host)

    def _asked(self, data: bytes) -> Iterator[Order]:
        if len(data) < HEAD.size:
            return
        number, flags, questions, _, _, _ = HEAD.unpack_from(data)
        size = data[HEAD.size] if len(data) > HEAD.size else 0
        end = HEAD.size + 1 + size
        if flags & _RESPONSE or questions != 1 or not 0 < size <= LABEL_BYTES_MAX or len(data) < end + 5:
            return
        label, kind = data[HEAD.size + 1 : end], int.from_bytes(data[end + 1 : end + 3], "big")
        decoded = _unfolded(label)
        what = _OPCODES.get(flags >> 11 & 15, _TYPES.get(kind, f"TYPE{kind}"))
        yield Saw(CommandEntered(f"{what} {_shown(decoded) if decoded else printable(label, LABEL_BYTES_MAX)}"))
        if flags >> 11 & 15:
            return
        record = self._name(kind, decoded) if decoded else self._llmnr(kind, label)
        if record:
            is_llmnr = not decoded
            head = HEAD.pack(number, _RESPONSE | (0 if is_llmnr else _AUTHORITATIVE), int(is_llmnr), 1, 0, 0)
            question = data[HEAD.size : end + 5] if is_llmnr else b""
            name = data[HEAD.size : end + 1]
            yield from self._send(head + question + name + record)

    def _name(self, kind: int, decoded: bytes) -> bytes:
        """Return what NetBIOS answers, behind the name: all names, or an address."""
        windows = self._windows
        own = [(windows.name, _WORKSTATION, _UNIQUE), (windows.workgroup, _WORKSTATION, _GROUP),
               (windows.name, _SERVER, _UNIQUE)]  # fmt: skip
        if kind == _NBSTAT:
            names = b"".join(text.upper().encode()[:15].ljust(15) + struct.pack(">BH", *rest) for text, *rest in own)
            mac = bytes.fromhex(windows.machine.mac.replace("-", ""))
            data = bytes((len(own),)) + names + mac + bytes(40)
            return struct.pack(">HHIH", _NBSTAT, 1, 0, len(data)) + data
        known = {(text.upper(), suffix) for text, suffix, flags in own if flags == _UNIQUE}
        if kind == _NB and (decoded[:15].rstrip().decode("latin-1").upper(), decoded[15]) in known:
            return struct.pack(">HHIHH", _NB, 1, _TTL_S, 6, 0x6000) + IPv4Address(windows.machine.address).packed
        return b""

    def _llmnr(self, kind: int, label: bytes) -> bytes:
        if self.visit.local.port == 137 or label.decode("latin-1").upper() != self._windows.name.upper():
            return b""
        if kind not in (_A, _ANY):
            return b""
        return struct.pack(">HHIH", _A, 1, _LLMNR_TTL_S, 4) + IPv4Address(self._windows.machine.address).packed

    def _send(self, answer: bytes) -> Iterator[Order]:
        """Send an answer, unless it would be more than was heard."""
        if len(answer) <= self._credit_bytes:
            self._credit_bytes -= len(answer)
            yield Send(answer)


def _unfolded(label: bytes) -> bytes:
    """Return the 16 bytes of a name that is written in letters, empty if it is none (RFC 1001 section 14.1)."""
    if len(label) != 32 or label.strip(b"ABCDEFGHIJKLMNOP"):
        return b""
    return bytes((label[at] - 65) << 4 | label[at + 1] - 65 for at in range(0, 32, 2))


def _shown(decoded: bytes) -> str:
    return f"{printable(decoded[:15].rstrip(b' ' + bytes(1)), 64)}<{decoded[15]:02x}>"
