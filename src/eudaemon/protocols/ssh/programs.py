"""What runs at the host's end of a channel: a login shell on a terminal or without one, or a single command.

A program yields orders as a room does; its `Send` is what it writes to its standard output, and the channel carries it.
SFTP and SCP, in files of their own, are programs too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

from eudaemon.protocols._base import Answered, Keep, Order, Send, Visit, Woken
from eudaemon.protocols._seat import Seat, welcome
from eudaemon.protocols._shell import ShellDialogue
from eudaemon.protocols._terminal import INTERRUPT, Terminal
from eudaemon.wire import PeerError
from eudaemon.wire.readers import LineReader
from eudaemon.world.files import Files
from eudaemon.world.shell.limits import LINE_BYTES_MAX
from eudaemon.world.shell.survey import reads_input

_INTERRUPTED = 130  # what a command ends with that SIGINT has ended


class Program:
    """See the module. `status` is None until it has ended, then what it ended with."""

    __slots__ = ("status",)
    recorded: ClassVar[bool] = True  # whether a recording of both sides' bytes is worth looking at

    def __init__(self) -> None:
        self.status: int | None = None

    def begin(self, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        """Start."""
        yield from ()

    def receive(self, data: bytes, at_s: float) -> Iterator[Order]:
        """Read from standard input."""
        raise NotImplementedError

    def end_of_input(self, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        """There is nothing more to read."""
        yield from ()

    def go_on(self, occasion: Answered | Woken) -> Iterator[Order]:  # noqa: ARG002
        """Go on with what a download brought, or when time has passed."""
        yield from ()

    def ended(self, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        """The channel or the session is over: the last chance to keep something."""
        yield from ()


class OnTerminal(Program):
    """A login shell on a terminal."""

    __slots__ = ("_host", "_seat")

    def __init__(self, visit: Visit, user: str, files: Files) -> None:
        super().__init__()
        self._host = visit.host
        self._seat = Seat(visit, user, Terminal(visit.purse), files)

    def begin(self, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        """See `Program`."""
        yield Send(welcome(self._host) + self._seat.prompt)

    def receive(self, data: bytes, at_s: float) -> Iterator[Order]:
        """See `Program`."""
        yield from self._seat.typed(data, at_s)
        self._look_up()

    def go_on(self, occasion: Answered | Woken) -> Iterator[Order]:
        """See `Program`."""
        yield from self._seat.go_on(occasion)
        self._look_up()

    def end_of_input(self, at_s: float) -> Iterator[Order]:
        """See `Program`."""
        yield from self.receive(b"\x04", at_s)  # what is typed so far stays; an empty line ends the shell

    def ended(self, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        """See `Program`."""
        yield from self._seat.ended()

    def _look_up(self) -> None:
        if self._seat.over:
            self.status = self._seat.status


class Piped(Program):
    """A login shell without a terminal: no prompt, no echo, a line when it is whole."""

    __slots__ = ("_ending", "_lines", "_shell")

    def __init__(self, visit: Visit, user: str, files: Files) -> None:
        super().__init__()
        self._shell = ShellDialogue(visit, user, files=files)
        self._lines = LineReader(LINE_BYTES_MAX)
        self._ending = False

    def receive(self, data: bytes, at_s: float) -> Iterator[Order]:
        """See `Program`."""
        for line in self._lines.feed(data):
            if self.status is None:
                yield from self._shell.enter(line, at_s)
                self._look_up()

    def go_on(self, occasion: Answered | Woken) -> Iterator[Order]:
        """See `Program`."""
        yield from self._shell.go_on(occasion)
        self._look_up()

    def end_of_input(self, at_s: float) -> Iterator[Order]:
        """See `Program`."""
        last = self._lines.unfinished()
        if last and self.status is None:
            yield from self._shell.enter(last, at_s)
        self._ending = True
        self._look_up()

    def ended(self, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        """See `Program`."""
        yield from self._shell.ended()

    def _look_up(self) -> None:
        if self._shell.over or (self._ending and not self._shell.busy):
            self.status = self._shell.status


class _Once(ShellDialogue):
    """The shell as `sh -c` runs it."""

    __slots__ = ()
    name: ClassVar[bytes] = b"sh"


class _OnceShown(_Once):
    """The same with a terminal, which shows LF as CR LF."""

    __slots__ = ()
    watched: ClassVar[bool] = True

    def shown(self, data: bytes) -> bytes:
        """See `ShellDialogue`."""
        return data.replace(b"\n", b"\r\n")


class Command(Program):
    """A single command, as text for the shell. One that reads its input is run when all of that has come."""

    __slots__ = ("_input", "_purse", "_shell", "_waits", "text")

    def __init__(self, visit: Visit, user: str, files: Files, text: bytes, *, on_terminal: bool) -> None:
        super().__init__()
        self._purse = visit.purse
        self.text = text
        self._shell = (_OnceShown if on_terminal else _Once)(visit, user, files=files)
        self._waits = not on_terminal and reads_input(text)
        self._input = bytearray()

    def begin(self, at_s: float) -> Iterator[Order]:
        """See `Program`."""
        if len(self.text) > LINE_BYTES_MAX:
            raise PeerError(f"a command over {LINE_BYTES_MAX} bytes")
        if not self._waits:
            yield from self._run(at_s)

    def receive(self, data: bytes, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        """See `Program`; Ctrl-C on a terminal ends a command that takes its time."""
        if self._waits:
            if not self._purse.take(len(data)):
                raise PeerError("the session holds too many bytes")
            self._input += data
        elif self._shell.watched and INTERRUPT in data:
            self._shell.interrupt()
            self.status = _INTERRUPTED
        yield from ()

    def end_of_input(self, at_s: float) -> Iterator[Order]:
        """See `Program`."""
        if self._waits:
            self._waits = False
            yield from self._run(at_s)

    def go_on(self, occasion: Answered | Woken) -> Iterator[Order]:
        """See `Program`."""
        yield from self._shell.go_on(occasion)
        self._look_up()

    def ended(self, at_s: float) -> Iterator[Order]:
        """See `Program`. What it wrote the next command may add to: of that the connection keeps what is left."""
        partial = self._waits and bool(self._input)  # what came is a part of it, and worth keeping
        ran: Iterator[Order] = iter(())
        if partial:
            self._waits = False
            ran = self._run(at_s)
        for order in (*ran, *self._shell.ended(keeps=partial)):
            yield replace(order, partial=partial or order.partial) if isinstance(order, Keep) else order

    def _run(self, at_s: float) -> Iterator[Order]:
        given = bytes(self._input)
        self._input.clear()
        self._shell.read_from(given)
        yield from self._shell.enter(self.text, at_s)
        self._purse.give_back(len(given))
        if self._shell.unfinished:
            quoted = b"'" in self.text or b'"' in self.text
            what = b"unterminated quoted string" if quoted else b"unexpected end of file"
            yield Send(self._shell.shown(b"sh: syntax error: " + what + b"\n"))
        self._look_up()

    def _look_up(self) -> None:
        if self._shell.unfinished:
            self.status = 2
        elif not self._shell.busy:
            self.status = self._shell.status
