"""What a client wants run, as a service or a task: the pretended cmd.exe takes it, and nobody sees what it prints."""

from __future__ import annotations

import re

from eudaemon.protocols._base import Visit
from eudaemon.protocols._command_prompt import CommandPrompt
from eudaemon.world.files import Files
from eudaemon.world.windows.machine import Windows

# `%COMSPEC% /Q /c …`: what follows is a command line of its own, and is not to be read twice.
_SHELL = re.compile(
    r"""\s*"?(?:%comspec%|(?:[^\s"]*\\)?cmd(?:\.exe)?)"?\s+(?:/[abdefqstuv](?::\w+)?\s+)*/[ck]\s*(.*)""",
    re.IGNORECASE | re.DOTALL,
)


class CommandLine(CommandPrompt):
    """cmd.exe of the machine that is shown here."""

    __slots__ = ("_machine",)

    def __init__(self, visit: Visit, machine: Windows, files: Files) -> None:
        super().__init__(visit, muted=True, files=files)
        self._machine = machine

    @property
    def machine(self) -> Windows:
        """See `CommandPrompt`."""
        return self._machine


def command_in(line: str) -> str:
    """Return the command line that a shell is to carry out, or the line itself."""
    found = _SHELL.fullmatch(line)
    return found[1] if found else line
