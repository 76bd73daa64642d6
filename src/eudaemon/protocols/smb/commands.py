"""What a client wants run: as a service or a task, whose output nobody sees, or at a terminal of its own.

The pretended cmd.exe takes it. A connection may have several of them, and each hears what it waits for itself.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from typing import ClassVar

from eudaemon.protocols._base import Answered, Fetch, Order, Visit, WakeAt, Woken
from eudaemon.protocols._command_prompt import CommandPrompt, PipedPrompt
from eudaemon.world.files import Files
from eudaemon.world.windows.machine import Windows

# `%COMSPEC% /Q /c …`: what follows is a command line of its own, and is not to be read twice.
_SHELL = re.compile(
    r"""\s*"?(?:%comspec%|(?:[^\s"]*\\)?cmd(?:\.exe)?)"?\s+(?:/[abdefqstuv](?::\w+)?\s+)*/[ck]\s*(.*)""",
    re.IGNORECASE | re.DOTALL,
)
_SHELL_ALONE = re.compile(
    r"""\s*"?(?:%comspec%|(?:[^\s"]*\\)?cmd(?:\.exe)?)"?(?:\s+/\w+(?::\w+)?)*\s*""", re.IGNORECASE
)


class CommandLine(CommandPrompt):
    """cmd.exe of the machine that is shown here."""

    __slots__ = ("_machine",)

    def __init__(self, visit: Visit, machine: Windows, files: Files, *, muted: bool = True) -> None:
        super().__init__(visit, muted=muted, files=files)
        self._machine = machine

    @property
    def machine(self) -> Windows:
        """See `CommandPrompt`."""
        return self._machine


class SeenCommandLine(CommandLine):
    """The same, for somebody who sees what one command prints, and types what it reads."""

    __slots__ = ()
    gives_input: ClassVar[bool] = True


class PipedCommandLine(PipedPrompt):
    """The same, with pipes for its screen and keyboard."""

    __slots__ = ("_machine",)

    def __init__(self, visit: Visit, machine: Windows, files: Files) -> None:
        super().__init__(visit, files=files)
        self._machine = machine

    @property
    def machine(self) -> Windows:
        """See `CommandPrompt`."""
        return self._machine


class Commands:
    """The shells of one connection. `files` is called when the first one is needed."""

    __slots__ = ("_asked", "_files", "_machine", "_of_services", "_visit", "_wakes")

    def __init__(self, visit: Visit, machine: Windows, files: Callable[[], Files]) -> None:
        self._visit = visit
        self._machine = machine
        self._files = files
        self._of_services: CommandLine | None = None
        self._asked: deque[CommandPrompt] = deque()  # whose download each one is
        self._wakes: dict[Hashable, float] = {}  # who is to be woken, and when

    def run(self, command: str, at_s: float) -> Iterator[Order]:
        """Run a command line whose output nobody sees."""
        if self._of_services is None:
            self._of_services = CommandLine(self._visit, self._machine, self._files())
        line = command_in(command).encode("latin-1", "replace")
        yield from self.of(self._of_services, self._of_services.enter(line, at_s))

    def at_terminal(self, command: str) -> CommandPrompt:
        """Return the shell for a command line whose output somebody sees, or who types at it."""
        if _SHELL_ALONE.fullmatch(command):
            return PipedCommandLine(self._visit, self._machine, self._files())
        return SeenCommandLine(self._visit, self._machine, self._files(), muted=False)

    def of(self, prompt: CommandPrompt, orders: Iterator[Order]) -> Iterator[Order]:
        """Pass a shell's orders on, and note what it waits for."""
        for order in orders:
            if isinstance(order, WakeAt):
                yield self.wake_at(prompt, order.at_s)
                continue
            if isinstance(order, Fetch):
                self._asked.append(prompt)
            yield order

    def wake_at(self, who: Hashable, at_s: float) -> WakeAt:
        """Note when somebody is to be woken; return the order that wakes whoever is first."""
        self._wakes[who] = at_s
        return WakeAt(min(self._wakes.values()))

    def told(self, occasion: Answered | Woken) -> Iterator[tuple[CommandPrompt, Iterator[Order]]]:
        """Go on with what waited: yield each shell that does, with its orders, which are to be carried out at once."""
        if isinstance(occasion, Answered):
            if self._asked:
                prompt = self._asked.popleft()
                yield prompt, self.of(prompt, prompt.go_on(occasion))
            return
        due = [who for who, at_s in self._wakes.items() if at_s <= occasion.at_s]
        for who in due:
            del self._wakes[who]
        for who in due:
            if isinstance(who, CommandPrompt):
                yield who, self.of(who, who.go_on(occasion))

    def again(self) -> Iterator[Order]:
        """Have the next one woken, if anybody is to be."""
        if self._wakes:
            yield WakeAt(min(self._wakes.values()))

    @property
    def is_busy(self) -> bool:
        """Whether a service waits for a download, or takes its time."""
        return self._of_services is not None and self._of_services.busy

    def ended(self) -> Iterator[Order]:
        """The client is gone: keep what was written and not kept."""
        if self._of_services is not None:
            yield from self._of_services.ended()


def command_in(line: str) -> str:
    """Return the command line that a shell is to carry out, or the line itself."""
    found = _SHELL.fullmatch(line)
    return found[1] if found else line


def is_shell_alone(line: str) -> bool:
    """Say whether a command line starts a shell and gives it nothing to do."""
    return _SHELL_ALONE.fullmatch(line) is not None
