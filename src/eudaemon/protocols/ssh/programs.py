"""What runs at the host's end of a channel: a login shell on a terminal or without one, or a single command.

A program yields orders as a room does; its `Send` is what it writes to its standard output, and the channel carries it.
SFTP and SCP, in files of their own, are programs too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from eudaemon.protocols._base import Answered, Order, Send, Visit, Woken
from eudaemon.protocols._piped import Pipe
from eudaemon.protocols._seat import Seat, welcome
from eudaemon.protocols._shell import ShellDialogue
from eudaemon.protocols._terminal import Terminal
from eudaemon.wire import PeerError
from eudaemon.world.files import Files
from eudaemon.world.shell.limits import LINE_BYTES_MAX


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

    __slots__ = ("_pipe", "_shell")

    def __init__(self, visit: Visit, user: str, files: Files) -> None:
        super().__init__()
        self._shell = _Reading(visit, user, files=files)
        self._pipe = Pipe(self._shell, takes_lines=True)

    def receive(self, data: bytes, at_s: float) -> Iterator[Order]:
        """See `Program`."""
        yield from self._pipe.received(data, at_s)
        self._look_up()

    def go_on(self, occasion: Answered | Woken) -> Iterator[Order]:
        """See `Program`."""
        yield from self._pipe.told(occasion)
        self._look_up()

    def end_of_input(self, at_s: float) -> Iterator[Order]:
        """See `Program`."""
        yield from self._pipe.closed(at_s)
        self._look_up()

    def ended(self, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        """See `Program`."""
        yield from self._pipe.broken_off()
        yield from self._shell.ended()

    def _look_up(self) -> None:
        if self._pipe.over:
            self.status = self._shell.status


class _Reading(ShellDialogue):
    """A shell whose commands read what comes behind its lines."""

    __slots__ = ()
    gives_input: ClassVar[bool] = True


class _Once(_Reading):
    """The shell as `sh -c` runs it."""

    __slots__ = ()
    name: ClassVar[bytes] = b"sh"
    shares: ClassVar[bool] = False


class _OnceShown(_Once):
    """The same with a terminal, which shows LF as CR LF."""

    __slots__ = ()
    watched: ClassVar[bool] = True

    def shown(self, data: bytes) -> bytes:
        """See `ShellDialogue`."""
        return data.replace(b"\n", b"\r\n")


class Command(Program):
    """A single command, as text for the shell, which reads what comes on the channel."""

    __slots__ = ("_seat", "_shell", "text")

    def __init__(self, visit: Visit, user: str, files: Files, text: bytes, *, on_terminal: bool) -> None:
        super().__init__()
        self.text = text
        self._shell = (_OnceShown if on_terminal else _Once)(visit, user, files=files)
        self._seat: Seat | Pipe = (
            Seat(visit, user, Terminal(visit.purse), alone=self._shell)
            if on_terminal
            else Pipe(self._shell, takes_lines=False)
        )

    def begin(self, at_s: float) -> Iterator[Order]:
        """See `Program`."""
        if len(self.text) > LINE_BYTES_MAX:
            raise PeerError(f"a command over {LINE_BYTES_MAX} bytes")
        yield from self._seat.run(self.text, at_s)
        if self._shell.unfinished:
            quoted = b"'" in self.text or b'"' in self.text
            what = b"unterminated quoted string" if quoted else b"unexpected end of file"
            yield Send(self._shell.shown(b"sh: syntax error: " + what + b"\n"))
        self._look_up()

    def receive(self, data: bytes, at_s: float) -> Iterator[Order]:
        """See `Program`; Ctrl-C on a terminal ends the command."""
        if isinstance(self._seat, Seat):
            yield from self._seat.typed(data, at_s)
        else:
            yield from self._seat.received(data, at_s)
        self._look_up()

    def end_of_input(self, at_s: float) -> Iterator[Order]:
        """See `Program`."""
        if isinstance(self._seat, Seat):
            yield from self._seat.typed(b"\x04", at_s)
        else:
            yield from self._seat.closed(at_s)
        self._look_up()

    def go_on(self, occasion: Answered | Woken) -> Iterator[Order]:
        """See `Program`."""
        if isinstance(self._seat, Seat):
            yield from self._seat.go_on(occasion)
        else:
            yield from self._seat.told(occasion)
        self._look_up()

    def ended(self, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        """See `Program`. What it wrote the next command may add to: of that the connection keeps what is left."""
        yield from self._seat.broken_off()
        yield from self._shell.ended(keeps=False)

    def _look_up(self) -> None:
        if self._shell.unfinished:
            self.status = 2
        elif self._seat.over:
            self.status = self._shell.status
