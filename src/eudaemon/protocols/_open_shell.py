"""A shell that stands open: at a port that a shellcode bound, on a connection that it made, or on the one it came over.

    opened --> [greeting] --> lines --> the pretended shell
                          --> bytes that are no text: the second stage of two, kept as far as it comes

Rooms say which shell it is, by what stands at the connection's end (`_services.Service`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from eudaemon.protocols._base import (
    Answered,
    Ended,
    HalfClosed,
    HangUp,
    Keep,
    Occasion,
    Opened,
    Order,
    Received,
    Room,
    Visit,
    Woken,
)  # fmt: skip
from eudaemon.protocols._services import Service

STAGE_BYTES_MAX = 4 * 1024 * 1024
HEAD_BYTES = 4  # that tell code from lines: most stages begin with their length in so many bytes
_HELLO = re.compile(rb"\x16\x03[\x00-\x04]..\x01", re.DOTALL)  # RFC 8446 sections 5.1 and 4: of a scanner, and no code
_TEXT = bytes((7, 8, 9, 10, 13, 27, *range(0x20, 0x7F)))


class OpenShell(Room):
    """One connection with a shell at its end."""

    __slots__ = ("_head", "_is_text", "_service", "_stage")

    def __init__(self, visit: Visit) -> None:
        super().__init__(visit)
        self._service = self.service()
        self._head = b""  # what is too little to tell yet
        self._is_text = False  # whether a line has begun, after which nothing is code
        self._stage = bytearray()

    def service(self) -> Service:
        """Return the shell that this room has."""
        raise NotImplementedError

    def left(self) -> Iterator[Order]:
        """Yield what the shell leaves when the session is over."""
        raise NotImplementedError

    def tell(self, occasion: Occasion) -> Iterator[Order]:
        """Take one occasion and yield the orders that follow from it."""
        match occasion:
            case Opened(at_s):
                yield from self._service.opened(at_s)
            case Received(at_s, data):
                yield from self._hear(data, at_s)
            case Answered() | Woken():
                yield from self._service.told(occasion)
            case HalfClosed() if self._stage:
                yield HangUp()
            case HalfClosed(at_s):
                yield from self._service.received(self._head, at_s)
                yield from self._service.closed(at_s)
            case Ended():
                yield from self._keep()
                yield from self.left()
            case _:
                return

    def _hear(self, data: bytes, at_s: float) -> Iterator[Order]:
        if self._stage:
            yield from self._take(data)
        elif self._is_text:
            yield from self._service.received(data, at_s)
        else:
            data, self._head = self._head + data, b""
            head = data[:HEAD_BYTES].partition(b"\n")
            if head[0].translate(None, _TEXT):
                yield from self._take(data)
            elif not head[1] and len(data) < HEAD_BYTES:
                self._head = data
            else:
                self._is_text = True
                yield from self._service.received(data, at_s)

    def _take(self, data: bytes) -> Iterator[Order]:
        """Take what is sent to be run, as far as it fits."""
        part = data[: STAGE_BYTES_MAX - len(self._stage)]
        fits = self.visit.purse.take(len(part))
        if fits:
            self._stage += part
        if not fits or len(part) < len(data):
            yield from self._keep(partial=True)
            yield HangUp()

    def _keep(self, *, partial: bool = False) -> Iterator[Order]:
        if self._stage:
            stage, self._stage = bytes(self._stage), bytearray()
            self.visit.purse.give_back(len(stage))
            if not _HELLO.match(stage):
                yield Keep(stage, "payload", "second stage", partial)
