"""What can stand at the end of a stream of bytes: one command, a shell that reads lines, or somebody at a terminal.

A service gives orders as a room does, but its `Send` goes into its stream and its `HangUp` ends only that. The room
frames what comes and goes as its protocol wants it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from eudaemon.protocols._base import Answered, HangUp, Keep, Order, Send, Visit, Woken
from eudaemon.protocols._seat import Seat
from eudaemon.protocols._shell import ShellDialogue
from eudaemon.protocols._terminal import Terminal
from eudaemon.wire import LineReader, PeerError
from eudaemon.world.files import Files
from eudaemon.world.shell.limits import LINE_BYTES_MAX
from eudaemon.world.shell.survey import reads_input

GIVEN_BYTES_MAX = 16 * 1024 * 1024  # what one command gets as its standard input
# A command that is told how much it is to read: `adb install`.
_WAITS_FOR = re.compile(rb"\s*(?:pm|cmd\s+'?package'?)\s+'?install(?:-write)?'?\s.*-S'?\s+'?(\d{1,9})", re.DOTALL)


class Service:
    """What stands at the end of a stream. This one hears everything and says nothing."""

    __slots__ = ()
    status: int = 0  # with which it ended

    def opened(self, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        """The stream begins."""
        yield from ()

    def received(self, data: bytes, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        """Bytes came on the stream."""
        yield from ()

    def told(self, occasion: Answered | Woken) -> Iterator[Order]:  # noqa: ARG002
        """What was waited for has come."""
        yield from ()

    def closed(self, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        """The other side says nothing more."""
        yield from ()

    def cut(self, at_s: float) -> Iterator[Order]:
        """The session is over before the other side said that this is all."""
        yield from self.closed(at_s)


class Said(Service):
    """Says one thing and is over."""

    __slots__ = ("_text",)

    def __init__(self, text: bytes) -> None:
        self._text = text

    def opened(self, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        """See `Service`."""
        yield Send(self._text)
        yield HangUp()


class _CommandShell(ShellDialogue):
    """A shell of which nobody sees a prompt. `terminal` is whether a line discipline makes CR LF of its LF."""

    __slots__ = ("_terminal",)

    def __init__(self, visit: Visit, files: Files, *, terminal: bool) -> None:
        super().__init__(visit, files=files)
        self._terminal = terminal

    def shown(self, data: bytes) -> bytes:
        """See `ShellDialogue`."""
        return data.replace(b"\n", b"\r\n") if self._terminal else data


class Command(Service):
    """One command. It runs at once, or when what it reads is there. `stdin` is whether it is given anything."""

    def __init__(self, visit: Visit, files: Files, line: bytes, *, terminal: bool, stdin: bool = True) -> None:
        self._shell = _CommandShell(visit, files, terminal=terminal)
        self._purse = visit.purse
        self._line = line
        self._given = bytearray()
        counted = _WAITS_FOR.match(line)
        self._wants = int(counted[1]) if counted else None if stdin and reads_input(line) else 0  # None: all that comes
        self._ran = False

    @property
    def status(self) -> int:  # type: ignore[override]
        """See `Service`."""
        return self._shell.status & 0xFF

    def opened(self, at_s: float) -> Iterator[Order]:
        """See `Service`."""
        if self._wants == 0:
            yield from self._run(at_s)

    def received(self, data: bytes, at_s: float) -> Iterator[Order]:
        """See `Service`."""
        if self._ran:
            return  # nobody reads it
        if len(self._given) + len(data) > GIVEN_BYTES_MAX or not self._purse.take(len(data)):
            raise PeerError(f"over {GIVEN_BYTES_MAX} bytes for a command, or more than the session may hold")
        self._given += data
        if self._wants is not None and len(self._given) >= self._wants:
            yield from self._run(at_s)

    def told(self, occasion: Answered | Woken) -> Iterator[Order]:
        """See `Service`."""
        if isinstance(occasion, Answered):
            yield from self._shell.answered(occasion)
        if self._ran and not self._shell.busy:
            yield HangUp()

    def closed(self, at_s: float) -> Iterator[Order]:
        """See `Service`."""
        if not self._ran:
            yield from self._run(at_s)

    def cut(self, at_s: float) -> Iterator[Order]:
        """See `Service`: what is made of a part is one."""
        if self._ran or not self._given:
            return
        for order in (*self._run(at_s), *self._shell.ended()):
            yield replace(order, partial=True) if isinstance(order, Keep) else order

    def _run(self, at_s: float) -> Iterator[Order]:
        self._ran = True
        given, self._given = bytes(self._given), bytearray()
        if given:
            self._shell.read_from(given)
        yield from self._shell.enter(self._line, at_s)
        self._purse.give_back(len(given))
        if not self._shell.busy:
            yield HangUp()


class Lines(Service):
    """A shell that reads lines from a pipe: no echo and no prompt."""

    def __init__(self, visit: Visit, files: Files) -> None:
        self._shell = _CommandShell(visit, files, terminal=False)
        self._lines = LineReader(LINE_BYTES_MAX)
        self._leaves = False

    def received(self, data: bytes, at_s: float) -> Iterator[Order]:
        """See `Service`."""
        for line in self._lines.feed(data):
            if not self._shell.over:
                yield from self._shell.enter(line, at_s)
        yield from self._leave()

    def told(self, occasion: Answered | Woken) -> Iterator[Order]:
        """See `Service`."""
        if isinstance(occasion, Answered):
            yield from self._shell.answered(occasion)
        yield from self._leave()

    def closed(self, at_s: float) -> Iterator[Order]:
        """See `Service`."""
        last, self._lines = self._lines.unfinished(), LineReader(LINE_BYTES_MAX)
        if last and not self._shell.over:
            yield from self._shell.enter(last, at_s)
        self._leaves = True
        yield from self._leave()

    def _leave(self) -> Iterator[Order]:
        if self._shell.over or (self._leaves and not self._shell.busy):
            yield HangUp()


class Person(Service):
    """Somebody at a terminal."""

    def __init__(self, visit: Visit, files: Files) -> None:
        self._seat = Seat(visit, "root", Terminal(visit.purse), files)

    def opened(self, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        """See `Service`."""
        yield Send(self._seat.prompt)

    def received(self, data: bytes, at_s: float) -> Iterator[Order]:
        """See `Service`."""
        yield from self._seat.typed(data, at_s)
        yield from self._leave()

    def told(self, occasion: Answered | Woken) -> Iterator[Order]:
        """See `Service`."""
        yield from self._seat.go_on(occasion)
        yield from self._leave()

    def closed(self, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        """See `Service`."""
        yield HangUp()

    def _leave(self) -> Iterator[Order]:
        if self._seat.over:
            yield HangUp()
