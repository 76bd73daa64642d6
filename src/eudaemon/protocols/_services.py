"""What can stand at the end of a stream of bytes: one command, a shell that reads lines, or somebody at a terminal.

A service gives orders as a room does, but its `Send` goes into its stream and its `HangUp` ends only that. The room
frames what comes and goes as its protocol wants it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from eudaemon.protocols._base import Answered, HangUp, Order, Send, Visit, Woken
from eudaemon.protocols._piped import Pipe
from eudaemon.protocols._seat import Seat
from eudaemon.protocols._shell import ShellDialogue
from eudaemon.protocols._terminal import Terminal
from eudaemon.world.files import Files


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
    gives_input: ClassVar[bool] = True

    def __init__(self, visit: Visit, files: Files, *, terminal: bool) -> None:
        super().__init__(visit, files=files)
        self._terminal = terminal

    def shown(self, data: bytes) -> bytes:
        """See `ShellDialogue`."""
        return data.replace(b"\n", b"\r\n") if self._terminal else data


class _Once(_CommandShell):
    """The same for one command."""

    __slots__ = ()
    shares: ClassVar[bool] = False


class Command(Service):
    """One command. `terminal` is whether it has one, `stdin` whether it is given anything to read."""

    def __init__(self, visit: Visit, files: Files, line: bytes, *, terminal: bool, stdin: bool = True) -> None:
        self._shell = _Once(visit, files, terminal=terminal)
        self._line = line
        self._stdin = stdin
        self._seat: Seat | Pipe = (
            Seat(visit, "root", Terminal(visit.purse), alone=self._shell) if terminal and stdin
            else Pipe(self._shell, takes_lines=False)
        )  # fmt: skip

    @property
    def status(self) -> int:  # type: ignore[override]
        """See `Service`."""
        return self._shell.status & 0xFF

    def opened(self, at_s: float) -> Iterator[Order]:
        """See `Service`."""
        yield from self._seat.run(self._line, at_s)
        if not self._stdin:
            yield from self.closed(at_s)
        else:
            yield from self._leave()

    def received(self, data: bytes, at_s: float) -> Iterator[Order]:
        """See `Service`."""
        if self._seat.over:
            return  # nobody reads it
        if isinstance(self._seat, Seat):
            yield from self._seat.typed(data, at_s)
        else:
            yield from self._seat.received(data, at_s)
        yield from self._leave()

    def told(self, occasion: Answered | Woken) -> Iterator[Order]:
        """See `Service`."""
        if isinstance(self._seat, Seat):
            yield from self._seat.go_on(occasion)
        else:
            yield from self._seat.told(occasion)
        yield from self._leave()

    def closed(self, at_s: float) -> Iterator[Order]:
        """See `Service`."""
        if isinstance(self._seat, Seat):
            yield from self._seat.typed(b"\x04", at_s)
        else:
            yield from self._seat.closed(at_s)
        yield from self._leave()

    def cut(self, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        """See `Service`: what is made of a part is one."""
        yield from self._seat.broken_off()

    def _leave(self) -> Iterator[Order]:
        if self._seat.over:
            yield HangUp()


class Lines(Service):
    """A shell that reads lines from a pipe: no echo and no prompt."""

    def __init__(self, visit: Visit, files: Files) -> None:
        self._pipe = Pipe(_CommandShell(visit, files, terminal=False), takes_lines=True)

    def received(self, data: bytes, at_s: float) -> Iterator[Order]:
        """See `Service`."""
        yield from self._pipe.received(data, at_s)
        yield from self._leave()

    def told(self, occasion: Answered | Woken) -> Iterator[Order]:
        """See `Service`."""
        yield from self._pipe.told(occasion)
        yield from self._leave()

    def closed(self, at_s: float) -> Iterator[Order]:
        """See `Service`."""
        yield from self._pipe.closed(at_s)
        yield from self._leave()

    def cut(self, at_s: float) -> Iterator[Order]:
        """See `Service`: what is made of a part is one, and a line without an end is a line."""
        yield from self.broken_off()
        yield from self.closed(at_s)

    def broken_off(self) -> Iterator[Order]:
        """The session is over, and a line without an end is none."""
        yield from self._pipe.broken_off()

    def _leave(self) -> Iterator[Order]:
        if self._pipe.over:
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

    def cut(self, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        """See `Service`: what is made of a part is one."""
        yield from self._seat.broken_off()

    def _leave(self) -> Iterator[Order]:
        if self._seat.over:
            yield HangUp()
