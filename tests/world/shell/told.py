"""A shell that is asked from tests: lines in, what it printed and kept out."""

from __future__ import annotations

from collections.abc import Generator

from eudaemon.wire import PeerError, Purse
from eudaemon.world.host import Host
from eudaemon.world.outside import Download, Downloaded
from eudaemon.world.seed import Seed
from eudaemon.world.shell import Act, Kept, Listen, Pause, Print, Shell
from eudaemon.world.shell.streams import Typed

AT_S = 1_700_000_000.0
HOST = Host.from_seed(Seed(b"test"), persona="router")
NO_DOWNLOADS = Host.from_seed(Seed(b"test"), persona="router", downloads=False)


class Told:
    """One shell session. `outside` maps URLs to what a download brings; what it lacks is missing."""

    def __init__(
        self, host: Host = HOST, outside: dict[str, bytes] | None = None, bytes_max: int = 32 << 20, user: str = "root"
    ) -> None:
        self.purse = Purse(bytes_max)
        self.shell = Shell(host, purse=self.purse, seed=Seed(b"session"), user=user, watched=True,
                           typed=Typed(self.purse, on_terminal=True))  # fmt: skip
        self._running: Generator[Act, Downloaded | None, int] | None = None
        self.outside = outside or {}
        self.kept: list[Kept] = []
        self.wished: list[str] = []
        self.paused: list[float] = []
        self.status = 0

    @property
    def listening(self) -> bool:
        """Whether a command waits for what is typed."""
        return self._running is not None

    def end(self) -> str:
        """Press Ctrl-D; return what was printed."""
        assert self.shell.typed is not None
        self.shell.typed.end()
        return self._go_on()

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        if self._running is not None:
            self._running.close()
        self._running = None
        self.shell.interrupt()

    def run(self, line: bytes | str) -> str:
        """Run a line, or give it to the command that reads; return what was printed."""
        line = line if isinstance(line, bytes) else line.encode()
        if self._running is not None:
            self.shell.hear_line(line)
        else:
            self._running = self.shell.run(line, AT_S)
        return self._go_on()

    def _go_on(self) -> str:
        assert self._running is not None
        printed, run = bytearray(), self._running
        answer: Downloaded | None = None
        while True:
            try:
                act = run.send(answer)
            except PeerError:
                self._running = None
                raise
            except StopIteration as end:
                self.status, self._running = end.value, None
                return printed.decode("latin-1")
            answer = None
            match act:
                case Print(data):
                    printed += data
                case Kept():
                    self.kept.append(act)
                case Listen():
                    return printed.decode("latin-1")
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
