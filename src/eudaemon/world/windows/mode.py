"""What a program is that reads what is typed, until it is left: ftp.exe, PowerShell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eudaemon.world.windows.call import Run

if TYPE_CHECKING:
    from eudaemon.world.shell.streams import Stream
    from eudaemon.world.windows.engine import CommandShell


class Mode:
    """A program that reads what is typed, until it is left."""

    __slots__ = ()

    def prompt(self, shell: CommandShell) -> bytes:
        """Return its prompt."""
        raise NotImplementedError

    def line(self, shell: CommandShell, line: str, streams: dict[int, Stream]) -> Run:
        """Take a line."""
        raise NotImplementedError

    def held_bytes(self) -> int:
        """Return about how many bytes it holds for its user."""
        return 0
