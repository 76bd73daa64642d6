"""DoublePulsar, the backdoor that EternalBlue leaves in an SMB 1 server, as worms expect to find it.

It is spoken to in TRANS2 requests of a kind that no server implements (SESSION_SETUP, 0x000e). What is wanted stands
in the sum of the timeout's four bytes; what came of it is added to the number of the answer (`mid`):

    0x23 ping     0xc8 execute     0x77 leave          + 0x10 done     + 0x20 wrong parameters     + 0x30 no memory

The signature of an answer holds a random number, from which both sides make a key. A payload comes in pieces; before
each stand three numbers under the key: bytes in all, bytes in this piece, and where it belongs. The bytes are under
the key, too.

A later version (of 2017's Petya) has 0xf0, 0xf2 and 0xf1, and answers + 0x11, 0x21, 0x31 in a reserved field instead.
Sources: the analyses by Countercept, zerosum0x0 and Microsoft. Nothing is executed: a payload that is whole is kept.
"""

from __future__ import annotations

import struct
from collections.abc import Generator, Iterator
from dataclasses import dataclass

from eudaemon.events.catalogue import ExploitRecognised
from eudaemon.protocols._base import Keep, Order, Saw, Visit
from eudaemon.protocols._windows import server_of

PAYLOAD_BYTES_MAX = 16 * 1024 * 1024
PAYLOADS_MAX = 16  # of one connection
SUBCOMMAND = 0x000E
PING, EXECUTE, LEAVE = "ping", "execute", "leave"
_OPCODES = {
    0x23: (PING, 1),
    0xC8: (EXECUTE, 1),
    0x77: (LEAVE, 1),
    0xF0: (PING, 2),
    0xF2: (EXECUTE, 2),
    0xF1: (LEAVE, 2),
}
_DONE, _WRONG, _NO_MEMORY = 0x10, 0x20, 0x30
_PARAMETERS = struct.Struct("<III")
_SERVICE = "doublepulsar"  # in the memory of addresses
_THERE, _GONE = b"there", b"gone"
_REFERENCE = "MS17-010"


@dataclass(frozen=True, slots=True)
class Reply:
    """What is answered: `code` is what came of it, in the place of that version; `signature` the field of that name."""

    code: int
    version: int
    signature: bytes


class DoublePulsar:
    """The backdoor, as one connection sees it."""

    __slots__ = ("_payload", "_payloads", "_received", "_seed", "_visit")

    def __init__(self, visit: Visit) -> None:
        self._visit = visit
        self._seed = visit.seed.number("doublepulsar", 1 << 32)
        self._payload: bytearray | None = None
        self._received = 0
        self._payloads = 0

    @property
    def is_there(self) -> bool:
        """Whether the host has it: from the start, or since this address has put it there, until it takes it away."""
        remembered = self._visit.memory.recall(_SERVICE, self._visit.attacker.ip)
        return remembered == _THERE if remembered else self._begins_with_it

    @property
    def _begins_with_it(self) -> bool:
        return server_of(self._visit.host).is_old and self._visit.host.seed.number(_SERVICE, 2) == 0

    def arrive(self) -> None:
        """EternalBlue has come through."""
        self._visit.memory.remember(_SERVICE, self._visit.attacker.ip, _THERE)

    def hear(self, timeout: int, body: bytes) -> Iterator[Order | Reply]:
        """Take a request: its timeout, and its parameters with the data behind them; yield, last, what is answered."""
        command, version = _OPCODES.get(sum(timeout.to_bytes(4, "little")) & 0xFF, ("", 0))
        if not command or not self.is_there:
            if command:
                yield Saw(ExploitRecognised("doublepulsar", _REFERENCE, f"{command}, not there"))
            return
        code = _DONE
        if command == EXECUTE:
            code = yield from self._take(body)
        else:
            yield Saw(ExploitRecognised("doublepulsar", _REFERENCE, command))
        if command == LEAVE:
            self._visit.memory.remember(_SERVICE, self._visit.attacker.ip, _GONE)
        is_64_bit = b"\1\0\0\0"
        yield Reply(code + version - 1, version, struct.pack("<I", self._seed) + is_64_bit)

    def _take(self, body: bytes) -> Generator[Order, None, int]:
        """Take a piece of a payload; return what came of it."""
        key = key_of(self._seed).to_bytes(4, "little")
        if len(body) < _PARAMETERS.size:
            return _WRONG
        total, size, at = _PARAMETERS.unpack(xored(body[: _PARAMETERS.size], key))
        data = body[_PARAMETERS.size : _PARAMETERS.size + size]
        if not 0 < total <= PAYLOAD_BYTES_MAX or at + size > total or len(data) < size:
            return _WRONG
        if self._payload is None or at == 0 or len(self._payload) != total:
            self.forget()
            if self._payloads >= PAYLOADS_MAX or not self._visit.purse.take(total):
                return _NO_MEMORY
            self._payload = bytearray(total)
            self._received = 0
        self._payload[at : at + size] = xored(data, key)
        self._received += size
        if self._received >= total:
            yield from self._whole(partial=False)
        return _DONE

    def ended(self) -> Iterator[Order]:
        """The connection is over: what came of a payload is kept as a part."""
        if self._payload is not None and self._received:
            yield from self._whole(partial=True)
        self.forget()

    def forget(self) -> None:
        """Give back what is held."""
        if self._payload is not None:
            self._visit.purse.give_back(len(self._payload))
            self._payload = None

    def _whole(self, *, partial: bool) -> Iterator[Order]:
        payload = bytes(self._payload or b"")
        self.forget()
        self._payloads += 1
        yield Saw(ExploitRecognised("doublepulsar", _REFERENCE, f"{EXECUTE} {len(payload)} bytes"))
        start = program_in(payload)
        if start < 0:
            yield Keep(payload, "payload", "doublepulsar", partial)
            return
        if start:
            yield Keep(payload[:start], "payload", "doublepulsar stub")
        yield Keep(payload[start:], "upload", "doublepulsar program", partial)


def key_of(seed: int) -> int:
    """Return the key that both sides make of the random number."""
    turned = ((seed & 0xFF00 | seed << 16) << 8) | ((seed >> 16 | seed & 0xFF0000) >> 8)
    return (2 * seed ^ turned) & 0xFFFF_FFFF


def xored(data: bytes, key: bytes) -> bytes:
    """Return the bytes under a key of four."""
    if not data:
        return b""
    whole = (key * (len(data) // 4 + 1))[: len(data)]
    return (int.from_bytes(data, "little") ^ int.from_bytes(whole, "little")).to_bytes(len(data), "little")


def program_in(payload: bytes) -> int:
    """Return where a Windows program begins: `MZ`, and `PE` where its header says. -1 if there is none."""
    at = payload.find(b"MZ")
    while at >= 0:
        header = int.from_bytes(payload[at + 60 : at + 64], "little")
        if payload[at + header : at + header + 4] == b"PE\0\0":
            return at
        at = payload.find(b"MZ", at + 1)
    return -1
