"""A room whose peer says lines, with now and then a block of bytes between them: mail's protocols and FTP.

Lines end with LF; a CR before it is no part of them. What stands behind a line is looked at only when that line was
answered, for it may be the start of a block, or of TLS.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import ClassVar

from eudaemon.protocols._base import HangUp, Order, Room, Send, StartTls, Visit
from eudaemon.wire import PeerError


class LineRoom(Room):
    """One session of lines. A subclass takes them in `line`, and blocks in `block`."""

    __slots__ = ("_lines", "_unread", "over", "secured")
    line_bytes_max: ClassVar[int] = 4096
    lines_max: ClassVar[int] = 4000  # of one session

    def __init__(self, visit: Visit) -> None:
        super().__init__(visit)
        self._unread = bytearray()
        self._lines = 0
        self.over = False  # we have hung up
        self.secured = visit.tls

    def line(self, line: bytes, at_s: float) -> Iterator[Order]:
        """Take a line, without its end."""
        raise NotImplementedError

    def block(self, unread: bytearray, at_s: float) -> Generator[Order, None, bool | None]:  # noqa: ARG002
        """Take what belongs to a block from the front of `unread`.

        Return True when that was its end, False if more must come, None if no block is awaited.
        """
        yield from ()
        return None

    def hear(self, data: bytes, at_s: float) -> Iterator[Order]:
        """Take bytes, and yield what follows from the lines and blocks that are whole now. Raises `PeerError`."""
        self._unread += data
        while not self.over:
            done = yield from self.block(self._unread, at_s)
            if done is False:
                return
            if done is None:
                line = self._next()
                if line is None:
                    return
                self._lines += 1
                if self._lines > self.lines_max:
                    raise PeerError(f"more than {self.lines_max} lines in one session")
                yield from self.line(line, at_s)
        self._unread.clear()

    @property
    def may_start_tls(self) -> bool:
        """Whether TLS is there to be asked for."""
        return self.visit.can_tls and not self.secured

    def start_tls(self, answer: bytes) -> Iterator[Order]:
        """Answer a request for TLS, and begin; what was said in plain behind it is forgotten."""
        self.secured = True
        self._unread.clear()
        yield Send(answer)
        yield StartTls()

    def hang_up(self) -> Iterator[Order]:
        """End the session."""
        self.over = True
        yield HangUp()

    def _next(self) -> bytes | None:
        end = self._unread.find(b"\n", 0, self.line_bytes_max + 2)
        if end < 0:
            if len(self._unread) > self.line_bytes_max + 1:
                raise PeerError(f"line over {self.line_bytes_max} bytes")
            return None
        line = bytes(self._unread[:end])
        del self._unread[: end + 1]
        line = line.removesuffix(b"\r")
        if len(line) > self.line_bytes_max:
            raise PeerError(f"line over {self.line_bytes_max} bytes")
        return line
