"""The conversation: banner, login, password, shell. Held sessions cost little: the shell is made when it is used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar

from eudaemon.events.catalogue import LoginTried
from eudaemon.protocols._base import (
    Answered,
    Claim,
    Ended,
    HalfClosed,
    HangUp,
    Occasion,
    Opened,
    Order,
    Received,
    Room,
    Saw,
    Send,
    Visit,
    Woken,
)  # fmt: skip
from eudaemon.protocols._shell import ShellDialogue
from eudaemon.protocols.telnet.iac import IAC, OPENING, IacReader
from eudaemon.protocols.telnet.terminal import END, INTERRUPT, Terminal
from eudaemon.wire import PeerError, printable

TRIES_MAX = 3  # BusyBox login's own
WAITING_BYTES_MAX = 256 * 1024  # typed while a download is awaited or a command sleeps
_NAME_CHARS_MAX = 256
_COMMANDS = range(0xF0, 0x100)
_TYPED = bytes(range(0x20, 0x7F))
NAME, PASSWORD, SHELL, GONE = range(4)


class _TerminalShell(ShellDialogue):
    """The shell behind a terminal: LF is shown as CR LF, and a prompt follows each line."""

    __slots__ = ()
    watched: ClassVar[bool] = True

    def shown(self, data: bytes) -> bytes:
        """See `ShellDialogue`."""
        return data.replace(b"\n", b"\r\n")

    def after_line(self) -> bytes:
        """See `ShellDialogue`."""
        return self.prompt


class Telnet(Room):
    """See the module."""

    __slots__ = ("_iac", "_leaving", "_shell", "_stage", "_terminal", "_tries", "_user", "_waiting")
    name: ClassVar[str] = "telnet"
    speaks_first: ClassVar[bool] = True

    def __init__(self, visit: Visit) -> None:
        super().__init__(visit)
        self._iac = IacReader()
        self._terminal = Terminal(visit.purse)
        self._stage = NAME
        self._tries = 0
        self._user = b""
        self._shell: _TerminalShell | None = None
        self._waiting = b""
        self._leaving = False

    @classmethod
    def claim(cls, first: bytes) -> Claim:
        """A client that speaks telnet begins with IAC; one that just types could be anybody."""
        if first[:1] == bytes((IAC,)):
            return Claim.YES if len(first) < 2 or first[1] in _COMMANDS else Claim.NO
        line = first.partition(b"\r")[0].partition(b"\n")[0]
        typed = len(line) <= 64 and not line.translate(None, _TYPED)
        return Claim.UNSURE if typed and b" HTTP/" not in line else Claim.NO

    def tell(self, occasion: Occasion) -> Iterable[Order]:
        """See `Room`."""
        match occasion:
            case Opened():
                yield Send(OPENING + self._banner() + self._login_prompt())
            case Received(at_s, data):
                text, answer = self._iac.feed(data)
                if answer:
                    yield Send(answer)
                yield from self._typed(text, at_s)
            case Answered(at_s) | Woken(at_s):
                yield from self._go_on(occasion, at_s)
            case HalfClosed():
                self._leaving = True
                if self._shell is None or not self._shell.busy:
                    yield HangUp()
            case Ended():
                if self._shell is not None:
                    yield from self._shell.ended()

    # --- input -------------------------------------------------------------------------------------

    def _typed(self, text: bytes, at_s: float) -> Iterator[Order]:
        at = 0
        while at < len(text) and self._stage != GONE:
            if self._shell is not None and self._shell.busy:
                interrupted = text.rfind(INTERRUPT, at)
                if interrupted < 0:
                    self._wait(text[at:])
                    return
                self._shell.interrupt()
                self._forget_waiting()
                at = interrupted
            at, line, echo = self._terminal.take(text, at)
            if echo:
                yield Send(echo)
            if line is not None:
                yield from self._STAGES[self._stage](self, line, at_s)

    def _wait(self, text: bytes) -> None:
        if len(self._waiting) + len(text) > WAITING_BYTES_MAX:
            raise PeerError(f"over {WAITING_BYTES_MAX} bytes typed while a command runs")
        if not self.visit.purse.take(len(text)):
            raise PeerError("the session holds too many bytes")
        self._waiting += text

    def _forget_waiting(self) -> bytes:
        waiting, self._waiting = self._waiting, b""
        self.visit.purse.give_back(len(waiting))
        return waiting

    def _go_on(self, occasion: Answered | Woken, at_s: float) -> Iterator[Order]:
        if self._shell is None:
            return
        yield from self._shell.answered(occasion) if isinstance(occasion, Answered) else self._shell.woken(at_s)
        yield from self._after_line()
        if not self._shell.busy and self._waiting:
            yield from self._typed(self._forget_waiting(), at_s)
        if self._leaving and not self._shell.busy and self._stage != GONE:
            self._stage = GONE
            yield HangUp()

    # --- stages ------------------------------------------------------------------------------------

    def _name(self, line: bytes, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        if line == END:
            yield from self._leave()
        elif line == INTERRUPT or not line.strip():
            yield Send(self._login_prompt())
        else:
            self._user = line.strip()[:_NAME_CHARS_MAX]
            self._stage = PASSWORD
            self._terminal.echoes = False
            yield Send(b"Password: ")

    def _password(self, line: bytes, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        if line in (END, INTERRUPT):
            yield from self._leave()
            return
        self._terminal.echoes = True
        accepted = self.visit.host.accepts(self._user, line)
        yield Saw(LoginTried(printable(self._user, _NAME_CHARS_MAX), printable(line, _NAME_CHARS_MAX), accepted))
        if accepted:
            self._stage = SHELL
            self._shell = _TerminalShell(self.visit, self._user.decode())  # one of the host's: ASCII
            yield Send(self._welcome() + self._shell.prompt)
            return
        self._tries += 1
        self._stage = NAME
        yield Send(b"Login incorrect\r\n")
        if self._tries >= TRIES_MAX:
            yield from self._leave()
        else:
            yield Send(self._login_prompt())

    def _command(self, line: bytes, at_s: float) -> Iterator[Order]:
        if self._shell is None:
            return
        if line == INTERRUPT:
            self._shell.interrupt()
            self._terminal.echoes = True
            yield Send(b"\r\n" + self._shell.prompt)
            return
        if self._terminal.echoes:
            self._terminal.remember(line)
        yield from self._shell.enter(b"exit" if line == END else line, at_s)
        yield from self._after_line()

    def _after_line(self) -> Iterator[Order]:
        if self._shell is None:
            return
        self._terminal.echoes = not self._shell.asking
        if self._shell.over and self._stage != GONE:
            yield from self._leave()

    def _leave(self) -> Iterator[Order]:
        self._stage = GONE
        yield HangUp()

    _STAGES: ClassVar = {NAME: _name, PASSWORD: _password, SHELL: _command}

    # --- what the host shows -----------------------------------------------------------------------

    def _banner(self) -> bytes:
        banner = self.visit.host.persona.banner.replace("\n", "\r\n")
        return b"\r\n" + banner.encode()

    def _login_prompt(self) -> bytes:
        return self.visit.host.name.encode() + b" login: "

    def _welcome(self) -> bytes:
        shell = f"{self.visit.host.busybox_line} built-in shell (ash)"
        return f"\r\n\r\n{shell}\r\nEnter 'help' for a list of built-in commands.\r\n\r\n".encode()
