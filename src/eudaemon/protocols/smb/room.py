"""The framing: NetBIOS' session service (RFC 1002 section 4.3), whose header direct TCP has kept.

| kind | length | message          00 a message, 81 who is called, 85 still there
  1      3
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from eudaemon.protocols._base import (
    Answered,
    Claim,
    Ended,
    HalfClosed,
    HangUp,
    Keep,
    Occasion,
    Order,
    Received,
    Room,
    Send,
    Visit,
    Woken,
)  # fmt: skip
from eudaemon.protocols.smb import smb1, smb2
from eudaemon.protocols.smb.connection import LOOK_AGAIN_S, Connection
from eudaemon.protocols.smb.smb1 import Smb1
from eudaemon.protocols.smb.smb2 import Smb2
from eudaemon.wire import PeerError

MESSAGE_BYTES_MAX = smb2.IO_BYTES_MAX + 64 * 1024
MESSAGES_MAX = 50_000  # of one connection
GARBAGE_KEPT_MAX = 8  # messages of one connection that are none
GARBAGE_BYTES_MIN = 64  # from which on they are kept
_MESSAGE, _CALL, _CALLED, _STILL_THERE = 0x00, 0x81, 0x82, 0x85
_MAGICS = (smb1.MAGIC, smb2.MAGIC)
_CALL_BEGINS = b"\x81\0\0\x44"


class Smb(Room):
    """One client's connection."""

    name: ClassVar[str] = "smb"

    __slots__ = ("_buffer", "_connection", "_garbage", "_leaving", "_messages", "_smb1", "_smb2")

    def __init__(self, visit: Visit) -> None:
        super().__init__(visit)
        self._buffer = bytearray()
        self._connection: Connection | None = None
        self._smb1: Smb1 | None = None
        self._smb2: Smb2 | None = None
        self._messages = self._garbage = 0
        self._leaving = False

    @classmethod
    def claim(cls, first: bytes) -> Claim:
        """A message of SMB in its frame, or a call of NetBIOS."""
        if first[:1] == _CALL_BEGINS[:1]:
            if len(first) < len(_CALL_BEGINS):
                return Claim.UNSURE
            return Claim.YES if first.startswith(_CALL_BEGINS) else Claim.NO
        if first[:1] != b"\0":
            return Claim.NO
        if len(first) < 8:
            return Claim.UNSURE if any(magic.startswith(first[4:8]) for magic in _MAGICS) else Claim.NO
        return Claim.YES if first[4:8] in _MAGICS else Claim.NO

    def tell(self, occasion: Occasion) -> Iterator[Order]:
        """Take one occasion and yield the orders that follow from it."""
        match occasion:
            case Received(at_s, data):
                yield from self._receive(data, at_s)
                yield from self._go_on(at_s)
            case HalfClosed():
                self._leaving = True
                yield from self._leave()
            case Answered() | Woken():
                if self._connection is not None:
                    self._connection.at_s = occasion.at_s
                    yield from self._connection.told(occasion)
                    yield from self._go_on(occasion.at_s)
                    yield from self._leave()
            case Ended():
                yield from self._ended()
            case _:
                return

    def _go_on(self, at_s: float) -> Iterator[Order]:
        """Answer what waited for something that is there now; look again soon, if somebody still waits."""
        connection = self._connection
        if connection is None:
            return
        waits = connection.looks_again
        yield from connection.go_on()
        for dialect in (self._smb1, self._smb2):
            if dialect is not None and dialect.waits:
                waits = True
                yield from _framed(dialect.go_on())
        if waits:
            yield connection.commands.wake_at("other connections", at_s + LOOK_AGAIN_S)
        else:
            yield from connection.commands.again()

    def _leave(self) -> Iterator[Order]:
        """Hang up when the peer has left and nothing that it wanted run is still waited for."""
        if self._leaving and not (self._connection is not None and self._connection.is_busy):
            yield HangUp()

    def _receive(self, data: bytes, at_s: float) -> Iterator[Order]:
        if not self.visit.purse.take(len(data)):
            raise PeerError("more bytes held than this session may")
        self._buffer += data
        while len(self._buffer) >= 4:
            kind, size = self._buffer[0], int.from_bytes(self._buffer[1:4], "big")
            if kind not in (_MESSAGE, _CALL, _STILL_THERE) or size > MESSAGE_BYTES_MAX:
                self._forget()
                raise PeerError("no frame of NetBIOS, or one of over a megabyte")
            if len(self._buffer) < 4 + size:
                return
            message = bytes(self._buffer[4 : 4 + size])
            del self._buffer[: 4 + size]
            self.visit.purse.give_back(4 + size)
            if kind == _CALL:
                yield Send(bytes((_CALLED, 0, 0, 0)))
            elif kind == _MESSAGE:
                yield from self._hear(message, at_s)

    def _hear(self, message: bytes, at_s: float) -> Iterator[Order]:
        self._messages += 1
        if self._messages > MESSAGES_MAX:
            raise PeerError(f"more than {MESSAGES_MAX} messages")
        connection = self._connection = self._connection or Connection(self.visit)
        connection.at_s = at_s
        yield from _framed(self._heard(message, connection))

    def _heard(self, message: bytes, connection: Connection) -> Iterator[Order]:
        try:
            if message[:4] == smb1.MAGIC:
                if self._smb1 is None:
                    self._smb1 = Smb1(connection, self._offered)
                yield from self._smb1.hear(message)
            elif message[:4] == smb2.MAGIC:
                self._smb2 = self._smb2 or Smb2(connection)
                yield from self._smb2.hear(message)
            else:
                raise PeerError("no message of SMB")
        except PeerError:
            self._forget()
            yield from self._keep(message)
            raise

    def _offered(self, dialects: list[bytes]) -> Order | None:
        """Answer in SMB 2 whoever offers it in SMB 1."""
        if self._connection is None or not any(name in dialects for name in (b"SMB 2.???", b"SMB 2.002")):
            return None
        self._smb2 = self._smb2 or Smb2(self._connection)
        return self._smb2.negotiate_from_1(dialects)

    def _keep(self, message: bytes, *, partial: bool = False) -> Iterator[Order]:
        """Keep what is no message: what fills the kernel's memory before EternalBlue strikes, for one."""
        if len(message) >= GARBAGE_BYTES_MIN and self._garbage < GARBAGE_KEPT_MAX:
            self._garbage += 1
            yield Keep(message, "payload", "smb", partial)

    def _ended(self) -> Iterator[Order]:
        rest = self._forget()
        if self._smb1 is not None:
            yield from self._smb1.transactions.ended()
        if self._connection is not None:
            yield from self._connection.ended()
        if rest[4:8] in _MAGICS:
            yield from self._keep(rest[4:], partial=True)

    def _forget(self) -> bytes:
        """Give back what waits to be whole, and return it."""
        rest, self._buffer = bytes(self._buffer), bytearray()
        self.visit.purse.give_back(len(rest))
        return rest


def _framed(orders: Iterator[Order]) -> Iterator[Order]:
    for order in orders:
        yield Send(len(order.data).to_bytes(4, "big") + order.data) if isinstance(order, Send) else order
