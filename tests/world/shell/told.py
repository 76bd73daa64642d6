"""A shell that is asked from tests: lines in, what it printed and kept out."""

from __future__ import annotations

from eudaemon.wire import Purse
from eudaemon.world.host import Host
from eudaemon.world.outside import Download, Downloaded
from eudaemon.world.seed import Seed
from eudaemon.world.shell import Kept, Pause, Print, Shell

AT_S = 1_700_000_000.0
HOST = Host.from_seed(Seed(b"test"), persona="router")
NO_DOWNLOADS = Host.from_seed(Seed(b"test"), persona="router", downloads=False)


class Told:
    """One shell session. `outside` maps URLs to what a download brings; what it lacks is missing."""

    def __init__(
        self, host: Host = HOST, outside: dict[str, bytes] | None = None, bytes_max: int = 32 << 20, user: str = "root"
    ) -> None:
        self.purse = Purse(bytes_max)
        self.shell = Shell(host, purse=self.purse, seed=Seed(b"session"), user=user, watched=True)
        self.outside = outside or {}
        self.kept: list[Kept] = []
        self.wished: list[str] = []
        self.paused: list[float] = []
        self.status = 0

    def run(self, line: bytes | str) -> str:
        """Run a line; return what it printed."""
        printed = bytearray()
        run = self.shell.run(line if isinstance(line, bytes) else line.encode(), AT_S)
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
                    self.wished.append(url)
                    content = self.outside.get(url)
                    answer = Downloaded(url, "missing") if content is None else Downloaded(
                        url, "ok", head=content[: 256 * 1024], size=len(content))  # fmt: skip

    def finish(self) -> list[Kept]:
        """End the session; return all that was kept."""
        self.kept += self.shell.finish()
        return self.kept


def printed(line: bytes | str) -> str:
    """Return what a line prints in a new session."""
    return Told().run(line)
