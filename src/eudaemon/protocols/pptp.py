"""PPTP's control connection on TCP 1723 (RFC 2637): who calls is stated, and the call is taken. No tunnel follows.

Start-Control-Connection --> Outgoing-Call --> (PPP would come in GRE, which is not heard)
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
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
from eudaemon.wire import ByteReader, PeerError, printable

HEAD = struct.Struct(">HHIHH")  # size, kind, cookie, control message, reserved
COOKIE = 0x1A2B3C4D
MESSAGE_BYTES_MAX = 1024
MESSAGES_MAX = 200
_START, _STOP, _ECHO, _CALL, _CLEAR = 1, 3, 5, 7, 12
# Version, result, error, framing, bearer, channels, firmware, host name, vendor: sections 2.1 and 2.2.
_STARTED = struct.Struct(">HBBIIHH64s64s")
# Vendors and firmware revisions, as routers and Linux servers answer.
_VENDORS = (("Linux", 1), ("MikroTik", 1), ("linux", 1), ("DrayTek", 1), ("BIZ", 0), ("Fortinet pptp", 1))


class Pptp(Room):
    """One caller's connection."""

    name: ClassVar[str] = "pptp"

    __slots__ = ("_calls", "_messages", "_reader")

    def __init__(self, visit: Visit) -> None:
        super().__init__(visit)
        self._reader = ByteReader(MESSAGE_BYTES_MAX + 65_536)
        self._messages = 0
        self._calls = 0

    @classmethod
    def claim(cls, first: bytes) -> Claim:
        """The cookie, where it belongs."""
        if len(first) < 8:
            return Claim.UNSURE if len(first) < 3 or first[2:4].startswith(b"\0") else Claim.NO
        return Claim.YES if first[4:8] == COOKIE.to_bytes(4, "big") else Claim.NO

    def tell(self, occasion: Occasion) -> Iterator[Order]:
        """Take one occasion and yield the orders that follow from it."""
        match occasion:
            case Received(_, data):
                self._reader.feed(data)
                while (message := self._next()) is not None:
                    self._messages += 1
                    if self._messages > MESSAGES_MAX:
                        raise PeerError(f"more than {MESSAGES_MAX} messages in one session")
                    yield from self._message(message)
                    if HEAD.unpack_from(message)[3] == _STOP:
                        return
            case HalfClosed():
                yield HangUp()

    def _next(self) -> bytes | None:
        head = self._reader.peek()[: HEAD.size]
        if len(head) < HEAD.size:
            return None
        size, kind, cookie, _, _ = HEAD.unpack(head)
        if kind != 1 or cookie != COOKIE or not HEAD.size <= size <= MESSAGE_BYTES_MAX:
            raise PeerError("PPTP: no control message")
        return self._reader.take(size)

    def _message(self, message: bytes) -> Iterator[Order]:
        control, data = HEAD.unpack_from(message)[3], message[HEAD.size :]
        if control == _START and len(data) >= _STARTED.size:
            *_, firmware, host, vendor = _STARTED.unpack_from(data)
            said = f"start host={_text(host)} vendor={_text(vendor)} firmware={firmware}"
            yield Saw(CommandEntered(said))
            own, revision = self.visit.host.seed.child("pptp").choice("vendor", _VENDORS)
            name = self.visit.host.name.encode()
            yield from self._answer(2, _STARTED.pack(0x0100, 1, 0, 1, 1, 1, revision, name[:63], own.encode()))
        elif control == _CALL and len(data) >= 4:
            number = printable(data[28:92].rstrip(b"\0"), 64)
            yield Saw(CommandEntered(f"call {number}".strip()))
            self._calls += 1
            ours = (self.visit.seed.number("call", 0xFFFF) + self._calls) & 0xFFFF
            told = struct.pack(">HHBBHIHHI", ours, int.from_bytes(data[:2], "big"), 1, 0, 0, 100_000_000, 64, 0, 0)
            yield from self._answer(8, told)
        elif control == _ECHO:
            yield from self._answer(6, data[:4].ljust(4, b"\0") + b"\1\0\0\0")
        elif control == _CLEAR:
            yield from self._answer(13, data[:2].ljust(2, b"\0") + b"\1\0\0\0\0\0" + bytes(128))
        elif control == _STOP:
            yield from self._answer(4, b"\1\0\0\0")
            yield HangUp()

    def _answer(self, control: int, data: bytes) -> Iterator[Order]:
        yield Send(HEAD.pack(HEAD.size + len(data), 1, COOKIE, control, 0) + data)


def _text(field: bytes) -> str:
    return printable(field.split(b"\0")[0], 64) or "-"
