"""Somebody who sits at a terminal with the shell of the pretended host behind it: at telnet's door or at SSH's.

What is typed while a download is awaited or a command sleeps waits, but for Ctrl-C. What is typed while a command reads
is the command's.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator

from eudaemon.protocols._base import Answered, Order, Send, Visit, Woken
from eudaemon.protocols._shell import ShellDialogue, TerminalShell
from eudaemon.protocols._terminal import END, INTERRUPT, Terminal
from eudaemon.wire import PeerError
from eudaemon.world.files import Files
from eudaemon.world.host import Host

_STOP = 0x1A  # Ctrl-Z
_SHOWN_BYTES_MAX = 256  # of a command that is stopped
WAITING_BYTES_MAX = 256 * 1024  # typed while a download is awaited or a command sleeps


class Seat:
    """One terminal, from the first prompt on. `over` is true once the shell was left.

    With `alone`, a shell that runs one command (`run`) and shows no prompt, it is over when that command is.
    """

    __slots__ = ("_alone", "_line", "_shell", "_terminal", "_waiting", "over")

    def __init__(
        self,
        visit: Visit,
        user: str,
        terminal: Terminal,
        files: Files | None = None,
        alone: ShellDialogue | None = None,
    ) -> None:
        self._shell = alone or TerminalShell(visit, user, files=files)
        self._alone = alone is not None
        self._terminal = terminal
        self._line = b""  # that runs, for who stops it
        self._waiting = b""
        self.over = False

    @property
    def files(self) -> Files | None:
        """The files that the shell has; None while it has none yet."""
        return self._shell.files

    @files.setter
    def files(self, files: Files) -> None:
        self._shell.files = files

    @property
    def busy(self) -> bool:
        """Whether a download is awaited or a command takes its time."""
        return self._shell.busy

    @property
    def unfinished(self) -> bool:
        """Whether the last line wants to be continued."""
        return self._shell.unfinished

    @property
    def prompt(self) -> bytes:
        """The prompt that stands before the next line."""
        return self._shell.prompt

    @property
    def status(self) -> int:
        """What the last line ended with."""
        return self._shell.status

    def typed(self, text: bytes, at_s: float) -> Iterator[Order]:
        """Take what is typed. Raises `PeerError` past a limit."""
        at = 0
        while at < len(text) and not self.over:
            if self._shell.busy:
                interrupted = text.rfind(INTERRUPT, at)
                if interrupted < 0:
                    self._wait(text[at:])
                    return
                self._shell.interrupt()
                self._forget_waiting()
                at = interrupted
                if self._alone:
                    self.over = True
                    return
            if self._shell.listening:
                at = yield from self._give(text, at, at_s)
                continue
            if self._alone:
                self._wait(text[at:])
                return
            at, line, echo = self._terminal.take(text, at)
            if echo:
                yield Send(echo)
            if line is not None:
                yield from self._command(line, at_s)

    def run(self, line: bytes, at_s: float) -> Iterator[Order]:
        """Run the one command."""
        yield from self._shell.enter(line, at_s)
        yield from self._go_on(at_s)

    def _give(self, text: bytes, at: int, at_s: float) -> Generator[Order, None, int]:
        """Give what is typed to the command that reads; return how far that got."""
        at, gets, echo = self._terminal.cook(text, at)
        if echo:
            yield Send(echo)
        if isinstance(gets, int):
            yield from self._signalled(gets)
        elif gets == b"":
            yield from self._shell.end_input(at_s)
        elif gets is not None:
            yield from self._shell.hear(gets, at_s)
        if not self._shell.listening:
            self._shell.not_read()
        self._look_up()
        return at

    def _signalled(self, key: int) -> Iterator[Order]:
        self._shell.interrupt()
        self._terminal.echoes = True
        if self._alone:
            self.over = True
            return
        if key == _STOP:
            yield Send(b"[1]+  Stopped                    " + self._line + b"\r\n")
        yield Send(self._shell.prompt)

    def go_on(self, occasion: Answered | Woken) -> Iterator[Order]:
        """Go on with what a download brought, or with a command whose time has passed."""
        yield from self._shell.go_on(occasion)
        yield from self._go_on(occasion.at_s)

    def _go_on(self, at_s: float) -> Iterator[Order]:
        self._look_up()
        if not self._shell.busy and self._waiting:
            yield from self.typed(self._forget_waiting(), at_s)

    def ended(self) -> Iterator[Order]:
        """The session is over: keep what was written and not kept."""
        self._forget_waiting()
        yield from self.broken_off()
        yield from self._shell.ended()

    def broken_off(self) -> Iterator[Order]:
        """The session is over: what a command makes of what was typed for it is a part."""
        if self._shell.listening:
            yield from self._shell.broken_off(self._terminal.take_back())

    def _command(self, line: bytes, at_s: float) -> Iterator[Order]:
        if line == INTERRUPT:
            self._shell.interrupt()
            self._terminal.echoes = True
            yield Send(b"\r\n" + self._shell.prompt)
            return
        if self._terminal.echoes:
            self._terminal.remember(line)
        self._line = line[:_SHOWN_BYTES_MAX]
        yield from self._shell.enter(b"exit" if line == END else line, at_s)
        self._look_up()

    def _look_up(self) -> None:
        self._terminal.echoes = not self._shell.asking
        done = self._alone and not self._shell.busy and not self._shell.listening
        self.over = self.over or self._shell.over or done

    def _wait(self, text: bytes) -> None:
        if len(self._waiting) + len(text) > WAITING_BYTES_MAX:
            raise PeerError(f"over {WAITING_BYTES_MAX} bytes typed while a command runs")
        if not self._shell.visit.purse.take(len(text)):
            raise PeerError("the session holds too many bytes")
        self._waiting += text

    def _forget_waiting(self) -> bytes:
        waiting, self._waiting = self._waiting, b""
        self._shell.visit.purse.give_back(len(waiting))
        return waiting


def welcome(host: Host) -> bytes:
    """Return what a login shell shows before its first prompt."""
    shell = f"{host.busybox_line} built-in shell (ash)"
    return f"\r\n\r\n{shell}\r\nEnter 'help' for a list of built-in commands.\r\n\r\n".encode()
