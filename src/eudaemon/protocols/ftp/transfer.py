"""One transfer over the side connection: of what, which way, and how far it is.

    ordered --> [150] side open --> bytes --> side closed --> [226] or [426]

A client that sends before it was asked to is heard as well.
"""

from __future__ import annotations

from collections.abc import Iterator

from eudaemon.protocols import _uploads
from eudaemon.protocols._base import AwaitSide, CallSide, CloseSide, Order, Send, SendSide, TellDrained
from eudaemon.wire import PeerError, Purse
from eudaemon.world.files import FileError, Files, Written

PIECE_BYTES = 64 * 1024  # that are sent at a time
EARLY_BYTES_MAX = 256 * 1024  # that come before they were asked for


class Upload:
    """A file that comes."""

    __slots__ = ("at", "file", "path")

    def __init__(self, path: bytes, file: Written, at: int) -> None:
        self.path = path
        self.file = file
        self.at = at


class Transfers:
    """The side connection of an FTP session. `busy` while something is being transferred."""

    __slots__ = ("_called", "_early", "_ended", "_files", "_open", "_purse", "_sending", "_taking", "_there", "begins",
                 "busy", "tls")  # fmt: skip

    def __init__(self, files: Files, purse: Purse) -> None:
        self._files = files
        self._purse = purse
        self._there = False  # whether one was ordered, and not used up
        self._called = 0  # the port to call, once there is something to transfer
        self._open = False
        self._ended: bool | None = None  # whether it ended well, before its transfer was ordered
        self._early = bytearray()
        self._sending: bytes | None = None
        self._taking: Upload | None = None
        self.begins = b""  # the reply with which the transfer begins
        self.busy = False
        self.tls = False

    # --- orders --------------------------------------------------------------------------------------

    def wait(self) -> Iterator[Order]:
        """Passive mode."""
        self._reset()
        self._there = True
        yield AwaitSide(self.tls)

    def call(self, port: int) -> Iterator[Order]:
        """Active mode: the connection is made when there is something to transfer."""
        self._reset()
        self._there, self._called = True, port
        yield CloseSide()

    def send(self, data: bytes, begins: bytes) -> Iterator[Order]:
        """Send this to the client."""
        self._sending = data
        yield from self._begin(begins)

    def take(self, upload: Upload, begins: bytes) -> Iterator[Order]:
        """Take a file from the client."""
        self._taking = upload
        yield from self._begin(begins)

    def _begin(self, begins: bytes) -> Iterator[Order]:
        if not self._there:
            self._sending = self._taking = None
            yield Send(b"425 Use PORT or PASV first.\r\n")
            return
        self.busy, self.begins = True, begins
        if self._called:
            yield CallSide(self._called, self.tls)
        elif self._open or self._ended is not None:
            yield from self._go()

    def abort(self) -> Iterator[Order]:
        """ABOR: give up what is under way."""
        if self.busy:
            yield from self._keep(partial=True)
            yield Send(b"426 Failure writing network stream.\r\n")
        self._reset()
        yield CloseSide()
        yield Send(b"226 ABOR successful.\r\n")

    # --- occasions -----------------------------------------------------------------------------------

    def opened(self) -> Iterator[Order]:
        """The side connection is there."""
        self._open = True
        if self.busy:
            yield from self._go()

    def received(self, data: bytes, at_s: float) -> Iterator[Order]:
        """Bytes came on it. Raises `PeerError`."""
        upload = self._taking if self.busy else None
        if upload is not None:
            yield from self._put(upload, data, at_s)
        elif self._sending is None:
            if len(self._early) + len(data) > EARLY_BYTES_MAX or not self._purse.take(len(data)):
                raise PeerError(f"sends over {EARLY_BYTES_MAX} bytes before it says what they are")
            self._early += data

    def drained(self) -> Iterator[Order]:
        """What was sent is on its way: send the next piece, or be done."""
        if self._sending is None or not self._open:
            return
        piece, self._sending = self._sending[:PIECE_BYTES], self._sending[PIECE_BYTES:]
        if piece:
            yield SendSide(piece)
            yield TellDrained()
            return
        self._reset()
        yield CloseSide()
        yield Send(b"226 Transfer complete.\r\n")

    def closed(self, at_s: float, *, clean: bool) -> Iterator[Order]:
        """The peer closed it, or it never came about."""
        was_open, self._open = self._open, False
        if not self.busy:
            self._ended = clean if was_open else None
            self._there = was_open
            return
        if not was_open:
            yield Send(b"425 Failed to establish connection.\r\n")
            yield from self._keep(partial=True)
        elif self._taking is not None:
            yield from self._finish(at_s, clean=clean)
            return
        else:
            yield Send(b"426 Failure writing network stream.\r\n")
        self._reset()

    def ended(self) -> Iterator[Order]:
        """The session is over."""
        yield from self._keep(partial=True)
        self._purse.give_back(len(self._early))
        self._early.clear()

    # --- the work ------------------------------------------------------------------------------------

    def _go(self) -> Iterator[Order]:
        yield Send(self.begins)
        if self._sending is not None:
            yield from self.drained()
            return
        early = bytes(self._early)
        self._purse.give_back(len(early))
        self._early.clear()
        if self._taking is not None and early:
            yield from self._put(self._taking, early, self._taking.file.mtime_s)
        if self._ended is not None and self.busy:
            yield from self._finish(0.0, clean=self._ended)

    def _put(self, upload: Upload, data: bytes, at_s: float) -> Iterator[Order]:
        try:
            self._files.write(upload.file, upload.at, data, at_s)
        except FileError:
            yield from self._keep(partial=True)
            self._reset()
            yield CloseSide()
            yield Send(b"452 Insufficient storage space.\r\n")
            return
        upload.at += len(data)

    def _finish(self, at_s: float, *, clean: bool) -> Iterator[Order]:  # noqa: ARG002
        yield from self._keep(partial=not clean)
        self._reset()
        yield Send(b"226 Transfer complete.\r\n" if clean else b"426 Failure reading network stream.\r\n")

    def _keep(self, *, partial: bool) -> Iterator[Order]:
        upload, self._taking = self._taking, None
        if upload is not None:
            yield _uploads.kept(upload.path, upload.file, partial=partial)

    def _reset(self) -> None:
        self._there = self._open = self.busy = False
        self._called, self._ended, self._sending, self._taking = 0, None, None, None
        self._purse.give_back(len(self._early))
        self._early.clear()
