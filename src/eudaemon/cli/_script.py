"""A script, run line by line in the pretended shell as if an attacker had brought it: for `eudaemon replay` alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from eudaemon.protocols._base import Answered, Ended, HalfClosed, Keep, Occasion, Order, Received, Room, Visit
from eudaemon.protocols._shell import ShellDialogue
from eudaemon.wire import LineReader

LINE_BYTES_MAX = 64 * 1024


class Script(Room):
    """Takes a script's bytes in any pieces; nobody sees its output."""

    name: ClassVar[str] = "shell"

    __slots__ = ("_lines", "_payload", "_shell")

    def __init__(self, visit: Visit) -> None:
        super().__init__(visit)
        self._lines = LineReader(LINE_BYTES_MAX)
        self._shell = ShellDialogue(visit, muted=True)
        self._payload = bytearray()

    def tell(self, occasion: Occasion) -> Iterator[Order]:
        """Take one occasion and yield the orders that follow from it."""
        match occasion:
            case Received(at_s, data):
                self._payload += data
                for line in self._lines.feed(data):
                    yield from self._enter(line, at_s)
            case HalfClosed(at_s):
                last, self._lines = self._lines.unfinished(), LineReader(LINE_BYTES_MAX)
                yield from self._enter(last, at_s)
            case Answered():
                yield from self._shell.answered(occasion)
            case Ended():
                yield from self._shell.ended()
                yield Keep(bytes(self._payload), "payload")
            case _:
                return

    def _enter(self, line: bytes, at_s: float) -> Iterator[Order]:
        if line.strip() and not line.startswith(b"#!") and not self._shell.over:
            yield from self._shell.enter(line, at_s)
