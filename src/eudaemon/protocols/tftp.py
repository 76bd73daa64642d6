r"""The room that pretends to be a TFTP server (RFC 1350, RFC 2347 to 2349): writes are taken, small files are given.

    WRQ name --> ACK 0 or OACK;  DATA n --> ACK n;  a block that is not full is the last

Nobody's address is proven, so nothing is ever said that is longer than what was heard: a file that would be is refused.
The answers come from the port that was asked, which clients take for the transfer's.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import ClassVar

from eudaemon.events.catalogue import FileRequested
from eudaemon.protocols import _uploads
from eudaemon.protocols._base import (
    Claim,
    Ended,
    HalfClosed,
    HangUp,
    Keep,
    Occasion,
    Order,
    Received,
    Room,
    Saw,
    Send,
    Visit,
    WakeAt,
    Woken,
)  # fmt: skip
from eudaemon.wire import printable
from eudaemon.world.files import FileError, Files

FILE_BYTES_MAX = 20 * 1024 * 1024
TRANSFERS_MAX = 64  # of one peer's port
RETRY_S = 3.0
RETRIES_MAX = 4
BLOCK_BYTES = 512
_BLOCK_BYTES_MAX = 65_464  # RFC 2348
_READ, _WRITE, _DATA, _ACK, _ERROR, _OACK = range(1, 7)
_NOT_FOUND, _DENIED, _FULL, _ILLEGAL = 1, 2, 3, 4
_WORDS = {
    _NOT_FOUND: b"File not found",
    _DENIED: b"Access violation",
    _FULL: b"Disk full",
    _ILLEGAL: b"Illegal operation",
}
_MODES = (b"octet", b"netascii", b"mail")


class Tftp(Room):
    """One peer's datagrams, from one port."""

    name: ClassVar[str] = "tftp"

    __slots__ = ("_answer", "_block", "_block_bytes", "_data", "_heard", "_name", "_retries", "_said", "_transfers")

    def __init__(self, visit: Visit) -> None:
        super().__init__(visit)
        self._heard = self._said = 0  # bytes
        self._transfers = 0
        self._name = b""
        self._data: bytearray | None = None  # of a file that comes, while it does
        self._block = 0  # the last that came, and is acknowledged
        self._block_bytes = BLOCK_BYTES
        self._answer = b""  # our last, to be said again when the peer seems not to have heard it
        self._retries = 0

    @classmethod
    def claim(cls, first: bytes) -> Claim:
        """A request: operation, name, mode."""
        if len(first) < 2:
            return Claim.UNSURE if first == b"\0" else Claim.NO
        return Claim.YES if first[:2] in (b"\0\1", b"\0\2") and first.count(b"\0") > 2 else Claim.NO

    def tell(self, occasion: Occasion) -> Iterator[Order]:
        """Take one occasion and yield the orders that follow from it."""
        match occasion:
            case Received(at_s, data) if self.visit.transport == "udp":
                self._heard += len(data)
                if len(data) >= 4:
                    yield from self._packet(int.from_bytes(data[:2], "big"), data, at_s)
            case Woken(at_s):
                if self._data is not None and self._retries < RETRIES_MAX:
                    self._retries += 1
                    yield from self._say_again(at_s)
            case HalfClosed():
                yield HangUp()
            case Ended():
                yield from self._keep(partial=True)

    def _packet(self, operation: int, data: bytes, at_s: float) -> Iterator[Order]:
        if operation in (_READ, _WRITE):
            yield from self._request(operation, data[2:], at_s)
        elif operation == _DATA:
            yield from self._take(int.from_bytes(data[2:4], "big"), data[4:], at_s)
        elif operation == _ERROR:
            yield from self._keep(partial=True)
        elif operation != _ACK:
            yield from self._refuse(_ILLEGAL)

    # --- requests ------------------------------------------------------------------------------------

    def _request(self, operation: int, text: bytes, at_s: float) -> Iterator[Order]:
        name, *rest = text.split(b"\0")
        if not name or not rest or rest[0].lower() not in _MODES:
            yield from self._refuse(_ILLEGAL)
            return
        if operation == _WRITE and self._data is not None and name == self._name and not self._data:
            yield from self._say_again(at_s)  # it has not heard the answer
            return
        self._transfers += 1
        if self._transfers > TRANSFERS_MAX:
            return
        yield from self._keep(partial=True)
        self._name = name
        if operation == _READ:
            yield from self._read(name, at_s)
            return
        options = self._agreed(rest[1:])
        yield Saw(FileRequested("write", printable(name, _uploads.PATH_CHARS_MAX)))
        self._data, self._block, self._retries = bytearray(), 0, 0
        yield from self._say(struct.pack("!H", _OACK) + options if options else struct.pack("!HH", _ACK, 0), at_s)

    def _agreed(self, words: list[bytes]) -> bytes:
        """Return the options that we take, as they go into an OACK, and do as they say."""
        self._block_bytes, taken = BLOCK_BYTES, b""
        for name, value in zip(words[::2], words[1::2], strict=False):
            if not value.isdigit() or len(value) > 10:
                continue
            if name.lower() == b"blksize" and 8 <= int(value) <= _BLOCK_BYTES_MAX:
                self._block_bytes = int(value)
            elif name.lower() != b"tsize" and not (name.lower() == b"timeout" and 1 <= int(value) <= 255):
                continue
            taken += name + b"\0" + value + b"\0"
        return taken

    def _read(self, name: bytes, at_s: float) -> Iterator[Order]:
        """Give a file that is smaller than the request for it; refuse any other."""
        host = self.visit.host
        files = Files(host.tree, host.writable, self.visit.purse)
        try:
            data = _uploads.read(files.get(files.resolve(name)), at_s)
        except FileError:
            yield Saw(FileRequested("read", printable(name, _uploads.PATH_CHARS_MAX), done=False))
            yield from self._refuse(_NOT_FOUND)
            return
        fits = len(data) < BLOCK_BYTES and 4 + len(data) <= self._heard - self._said
        yield Saw(FileRequested("read", printable(name, _uploads.PATH_CHARS_MAX), done=fits))
        if fits:
            yield from self._send(struct.pack("!HH", _DATA, 1) + data)
        else:
            yield from self._refuse(_DENIED)

    # --- data ----------------------------------------------------------------------------------------

    def _take(self, number: int, data: bytes, at_s: float) -> Iterator[Order]:
        if number == self._block & 0xFFFF and self._block:
            yield from self._send(self._answer)  # our acknowledgement was lost
            return
        if self._data is None or number != (self._block + 1) & 0xFFFF or len(data) > self._block_bytes:
            return
        if len(self._data) + len(data) > FILE_BYTES_MAX or not self.visit.purse.take(len(data)):
            yield from self._keep(partial=True)
            yield from self._refuse(_FULL)
            return
        self._data += data
        self._block += 1
        self._retries = 0
        yield from self._say(struct.pack("!HH", _ACK, number), at_s)
        if len(data) < self._block_bytes:
            yield from self._keep()

    def _keep(self, *, partial: bool = False) -> Iterator[Order]:
        data, self._data = self._data, None
        if data is not None:
            if data or not partial:
                yield Keep(bytes(data), "upload", printable(self._name, _uploads.PATH_CHARS_MAX), partial)
            self.visit.purse.give_back(len(data))

    # --- answers -------------------------------------------------------------------------------------

    def _say(self, answer: bytes, at_s: float) -> Iterator[Order]:
        self._answer = answer
        yield from self._say_again(at_s)

    def _say_again(self, at_s: float) -> Iterator[Order]:
        yield from self._send(self._answer)
        yield WakeAt(at_s + RETRY_S)

    def _refuse(self, code: int) -> Iterator[Order]:
        """Say what is wrong, in as many words as there is room for."""
        room = self._heard - self._said - 5
        if room >= 0:
            yield from self._send(struct.pack("!HH", _ERROR, code) + _WORDS[code][:room] + b"\0")

    def _send(self, data: bytes) -> Iterator[Order]:
        if self._said + len(data) <= self._heard:
            self._said += len(data)
            yield Send(data)
