"""A cmd.exe that is asked from tests: lines in, what it printed, kept and wished out."""

from __future__ import annotations

from eudaemon.wire import Purse
from eudaemon.world.outside import Download, Downloaded
from eudaemon.world.seed import Seed
from eudaemon.world.shell import Kept, Pause, Print
from eudaemon.world.windows.engine import CommandShell
from eudaemon.world.windows.machine import Windows

AT_S = 1_700_000_000.0
MACHINE = Windows(Seed(b"test"))
SYSTEM = "nt authority\\system"


class Told:
    """One session. `outside` maps URLs to what a download brings; what it lacks is missing, or ok if `brings` is."""

    def __init__(
        self, machine: Windows = MACHINE, outside: dict[str, bytes] | None = None, bytes_max: int = 32 << 20,
        user: str = SYSTEM, brings: bytes | None = None,
    ) -> None:  # fmt: skip
        self.purse = Purse(bytes_max)
        self.shell = CommandShell(machine, purse=self.purse, seed=Seed(b"session"), user=user, watched=True)
        self.outside = outside or {}
        self.brings = brings
        self.kept: list[Kept] = []
        self.wishes: list[Download] = []
        self.paused: list[float] = []
        self.status = 0

    @property
    def wished(self) -> list[str]:
        return [wish.url for wish in self.wishes]

    def run(self, line: bytes | str) -> str:
        """Run a line; return what it printed."""
        printed = bytearray()
        run = self.shell.run(line if isinstance(line, bytes) else line.encode("latin-1"), AT_S)
        answer: Downloaded | None = None
        while True:
            try:
                act = run.send(answer)
            except StopIteration as end:
                self.status = end.value
                return printed.decode("latin-1")
            answer = None
            match act:
                case Print(data):
                    printed += data
                case Kept():
                    self.kept.append(act)
                case Pause(seconds):
                    self.paused.append(seconds)
                case Download(url):
                    self.wishes.append(act)
                    content = self.outside.get(url, self.brings)
                    answer = Downloaded(url, "missing") if content is None else Downloaded(
                        url, "ok", head=content[: 256 * 1024], size=len(content))  # fmt: skip

    def file(self, path: str) -> bytes:
        """Return a file's content."""
        node = self.shell.drives.get(path, self.shell.scope.cwd)
        return bytes(getattr(node, "data", b""))

    def finish(self) -> list[Kept]:
        """End the session; return all that was kept."""
        self.kept += self.shell.finish()
        return self.kept


def printed(line: bytes | str) -> str:
    """Return what a line prints in a new session."""
    return Told().run(line)
