r"""cmd.exe as rooms use it: the same dialogue as `_shell`'s, with Windows behind it.

    prompt = CommandPrompt(visit)                        # SYSTEM, in C:\Windows\system32
    yield from prompt.enter(b"whoami", at_s)             # Send(b"nt authority\\system\r\n")
    yield from prompt.go_on(occasion)                    # when the room is told Answered or Woken
    yield from prompt.ended()                            # when the session is over

Text ends its lines with CR LF already. The engine is loaded when the first line is entered.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from eudaemon.protocols._base import Keep, Order, Visit
from eudaemon.protocols._shell import Interpreter, ShellDialogue
from eudaemon.world.files import Files
from eudaemon.world.windows.machine import Windows, windows_of

SYSTEM = "nt authority\\system"


class CommandPrompt(ShellDialogue):
    r"""One attacker at cmd.exe as `user`, whom `whoami` names: `nt authority\system`, `nt service\mssqlserver`.

    `files` are those that several shells of one session share: see `files_of`. `starts_in`, bytes as in
    `ShellDialogue`, is a directory as Windows writes it.
    """

    __slots__ = ()

    def __init__(
        self, visit: Visit, user: str = SYSTEM, *, muted: bool = False, files: Files | None = None
    ) -> None:  # fmt: skip
        super().__init__(visit, user, muted=muted, files=files)

    @property
    def machine(self) -> Windows:
        """The pretended Windows."""
        return windows_of(self.visit.host)

    @property
    def prompt(self) -> bytes:
        """See `ShellDialogue`."""
        return self._made().prompt()

    @property
    def greeting(self) -> bytes:
        """What cmd.exe says before its first prompt."""
        return self.machine.greeting.encode("latin-1")

    @property
    def reads(self) -> bool:
        """Whether a program that reads what is typed was started, and not left."""
        from eudaemon.world.windows.engine import CommandShell

        return self.listening or (isinstance(self._shell, CommandShell) and self._shell.mode is not None)

    def _make(self) -> Interpreter:
        from eudaemon.world.windows.engine import CommandShell

        visit = self.visit
        return CommandShell(
            self.machine, purse=visit.purse, seed=visit.seed, user=self._user, peer=visit.attacker.ip,
            watched=self.watched, files=self.files, starts_in=self.starts_in.decode("latin-1"),
            typed=self._typed(),
        )  # fmt: skip


class PipedPrompt(CommandPrompt):
    """cmd.exe with a socket for its screen, as a bind shell has it: it repeats each line, and its prompt follows."""

    __slots__ = ()
    watched: ClassVar[bool] = True
    gives_input: ClassVar[bool] = True

    def _start(self, line: bytes, at_s: float) -> Iterator[Order]:
        yield from self._send(line + b"\r\n")  # also of one that waited for a download
        yield from super()._start(line, at_s)

    def after_line(self) -> bytes:
        """See `ShellDialogue`."""
        return b"\r\n" + self.prompt


class CapturedPrompt(CommandPrompt):
    """A command whose output is taken, for an answer that the room gives: `printed`. Call `release` afterwards."""

    __slots__ = ()
    captures: ClassVar[bool] = True


def files_of(visit: Visit) -> Files:
    """Return a session's files of the pretended Windows, for several shells or for what a room writes itself."""
    from eudaemon.world.windows.tree import WRITABLE

    return Files(windows_of(visit.host).tree, WRITABLE, visit.purse)


def left_in(files: Files, visit: Visit) -> Iterator[Keep]:
    """Yield what shells that share these files wrote and did not keep. Call it when the session is over."""
    from eudaemon.world.windows.engine import CommandShell

    shell = CommandShell(windows_of(visit.host), purse=visit.purse, seed=visit.seed, user=SYSTEM, files=files)
    for kept in shell.finish():
        yield Keep(kept.data, kept.origin, kept.path)
