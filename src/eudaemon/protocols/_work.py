"""Work that runs commands on the way: a generator that yields orders, and `Run` for a command, whose output it gets.

    work --Order--> the driver          work --Run--> the pretended shell --printed--> work

A command that downloads or sleeps holds the work up, and whatever was begun after it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from eudaemon.protocols._base import Answered, Fetch, Order, WakeAt, Woken
from eudaemon.wire import PeerError

COMMAND_BYTES_MAX = 64 * 1024
COMMANDS_MAX = 10_000  # of one session
TURN_COMMANDS_MAX = 4  # after so many commands that waited for nothing the other sessions have their turn


@dataclass(frozen=True, slots=True)
class Run:
    """Run this line in the shell; what it printed is the answer."""

    line: bytes


@dataclass(frozen=True, slots=True)
class Rest:
    """Let so many seconds pass; the answer is empty."""

    seconds: float


class Shell(Protocol):
    """A shell whose output is taken: see `_shell.Captured`."""

    printed: bytes
    status: int

    @property
    def busy(self) -> bool:
        """Whether it waits for something."""
        ...

    def enter(self, line: bytes, at_s: float) -> Iterator[Order]:
        """Run a line."""
        ...

    def go_on(self, occasion: Answered | Woken) -> Iterator[Order]:
        """Go on with what was waited for."""
        ...

    def release(self) -> None:
        """Forget what was printed."""
        ...


Work: TypeAlias = "Generator[Any, Any, None]"


class Worker:
    """Carries out one session's work, one piece after the other. `shell` makes the shell when one is first needed."""

    __slots__ = ("_asked", "_commands", "_make", "_printed", "_resting", "_running", "_shell", "_work")

    def __init__(self, shell: Callable[[], Shell]) -> None:
        self._make = shell
        self._shell: Shell | None = None
        self._work: Work | None = None
        self._running = False
        self._resting = False
        self._printed = b""  # by the last command before a rest
        self._asked: list[bool] = []  # for each download that is waited for, whether the shell asked for it
        self._commands = 0

    @property
    def busy(self) -> bool:
        """Whether work waits for a command."""
        return self._work is not None

    @property
    def status(self) -> int:
        """What the last command ended with."""
        return self._shell.status if self._shell is not None else 0

    def start(self, work: Work, at_s: float) -> Iterator[Order]:
        """Begin, and go on as far as nothing is waited for."""
        self._work = work
        yield from self._go_on(None, at_s)

    def go_on(self, occasion: Answered | Woken) -> Iterator[Order]:
        """Go on with what was waited for."""
        if isinstance(occasion, Answered) and not (self._asked and self._asked.pop(0)):
            return
        if self._resting and isinstance(occasion, Woken):
            self._resting = False
            printed, self._printed = self._printed, b""
            yield from self._go_on(printed, occasion.at_s)
        elif self._running and self._shell is not None:
            yield from self._of_shell(self._shell.go_on(occasion))
            if self._shell.busy:
                return
            yield from self._go_on(self._taken(), occasion.at_s)

    def _go_on(self, answer: bytes | None, at_s: float) -> Iterator[Order]:
        commands = 0
        while self._work is not None:
            try:
                wants = self._work.send(answer)
            except StopIteration:
                self._work = None
                return
            answer = None
            if not isinstance(wants, Run | Rest):
                if isinstance(wants, Fetch):
                    self._asked.append(False)
                yield wants
                continue
            self._commands += 1
            if self._commands > COMMANDS_MAX:
                raise PeerError(f"more than {COMMANDS_MAX} commands in one session")
            if isinstance(wants, Rest):
                self._resting = True
                yield WakeAt(at_s + wants.seconds)
                return
            if self._shell is None:
                self._shell = self._make()
            self._running = True
            yield from self._of_shell(self._shell.enter(wants.line[:COMMAND_BYTES_MAX], at_s))
            if self._shell.busy:
                return
            answer = self._taken()
            commands += 1
            if commands == TURN_COMMANDS_MAX:
                self._printed, self._resting = answer, True
                yield WakeAt(at_s)
                return

    def _taken(self) -> bytes:
        shell, self._running = self._shell, False
        if shell is None:
            return b""
        printed = shell.printed
        shell.release()
        return printed

    def _of_shell(self, orders: Iterator[Order]) -> Iterator[Order]:
        for order in orders:
            if isinstance(order, Fetch):
                self._asked.append(True)
            yield order
