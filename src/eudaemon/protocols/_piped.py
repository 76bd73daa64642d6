"""The shell, or one command, at the end of a pipe: no prompt, no echo, and what a command reads comes as it is.

    cat > f\\n          --> a line for the shell, which begins `cat`
    \\x7fELF…           --> for `cat`, however it is cut, until the other side says nothing more
    read x\\nab\\nid\\n   --> a line for the shell, one for `read`, and one for the shell

As bash does, the shell takes its lines one by one: what stands behind them is for the command.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from eudaemon.protocols._base import Answered, Order, Woken
from eudaemon.protocols._shell import ShellDialogue
from eudaemon.wire import PeerError
from eudaemon.world.shell.limits import LINE_BYTES_MAX, TYPED_BYTES_MAX

WAITING_BYTES_MAX = 256 * 1024  # that came while a download is awaited or a command sleeps, for a shell
_LINE_END = re.compile(rb"[\r\n]")


class Pipe:
    """One pipe into `shell`, which `takes_lines` from it, or only runs what it is told."""

    __slots__ = ("_after_cr", "_closed", "_looked_at", "_rest", "_shell", "_takes_lines")

    def __init__(self, shell: ShellDialogue, *, takes_lines: bool) -> None:
        self._shell = shell
        self._takes_lines = takes_lines
        self._rest = bytearray()
        self._looked_at = 0  # bytes of the rest in which no line ends
        self._after_cr = False
        self._closed = False

    @property
    def over(self) -> bool:
        """Whether there is nothing more to be done: the shell was left, or all that came was run."""
        waits = self._shell.busy or self._shell.listening
        return self._shell.over or (not waits and (self._closed or not self._takes_lines))

    def run(self, line: bytes, at_s: float) -> Iterator[Order]:
        """Run one command, which reads from the pipe."""
        yield from self._shell.enter(line, at_s)
        yield from self._go_on(at_s)

    def received(self, data: bytes, at_s: float) -> Iterator[Order]:
        """Take bytes. Raises `PeerError` past a limit."""
        if self._shell.over or (not self._takes_lines and self.over):
            return  # nobody reads it
        if self._after_cr and data:
            self._after_cr = False
            data = data[data[:1] in (b"\n", b"\0") :]
        if not self._shell.visit.purse.take(len(data)):
            raise PeerError("the session holds too many bytes")
        self._rest += data
        yield from self._go_on(at_s)
        limit = WAITING_BYTES_MAX if self._takes_lines else TYPED_BYTES_MAX
        if len(self._rest) > limit:
            raise PeerError(f"over {limit} bytes that no command has read")

    def told(self, occasion: Answered | Woken) -> Iterator[Order]:
        """What was waited for has come."""
        yield from self._shell.go_on(occasion)
        yield from self._go_on(occasion.at_s)

    def closed(self, at_s: float) -> Iterator[Order]:
        """Nothing more comes. A last line without an end is a line."""
        self._closed = True
        yield from self._go_on(at_s)

    def broken_off(self) -> Iterator[Order]:
        """The session is over: what a command makes of what came of its input is a part."""
        if self._shell.listening:
            self._shell.visit.purse.give_back(len(self._rest))
            rest, self._rest = bytes(self._rest), bytearray()
            yield from self._shell.broken_off(rest)

    def _go_on(self, at_s: float) -> Iterator[Order]:
        """Give out what came, as far as somebody wants it."""
        shell = self._shell
        while not shell.over and not shell.busy:
            if shell.listening:
                piece = self._line(b"\n") if shell.wants_line else self._taken(len(self._rest))
                if piece:
                    yield from shell.hear(piece, at_s)
                elif self._closed:
                    yield from shell.end_input(at_s)
                else:
                    return
            elif not self._takes_lines:
                return
            else:
                self._take_back(shell.not_read())
                line = self._line(None)
                if not line:
                    return
                yield from shell.enter(line.rstrip(b"\r\n"), at_s)

    def _line(self, end: bytes | None) -> bytes:
        """Return what stands up to an end of a line, with it; of a shell's lines there are several. Empty if none."""
        if end is None:
            found = _LINE_END.search(self._rest, self._looked_at)
            at = found.end() if found else 0
        else:
            at = self._rest.find(end, self._looked_at) + 1
        if (at or len(self._rest)) > LINE_BYTES_MAX + 1 and (end is None or not at):
            if end is None:
                raise PeerError(f"line over {LINE_BYTES_MAX} bytes")
            at = LINE_BYTES_MAX
        if not at:
            self._looked_at = len(self._rest)
            return self._taken(len(self._rest)) if self._closed else b""
        line = self._taken(at)
        if end is None and line.endswith(b"\r"):
            self._after_cr = not self._rest
            if self._rest.startswith((b"\n", b"\0")):
                self._taken(1)
        return line

    def _taken(self, count: int) -> bytes:
        piece = bytes(self._rest[:count])
        del self._rest[:count]
        self._looked_at = 0
        self._shell.visit.purse.give_back(len(piece))
        return piece

    def _take_back(self, data: bytes) -> None:
        if data:
            self._shell.visit.purse.take(len(data))
            self._rest[:0] = data
            self._looked_at = 0
