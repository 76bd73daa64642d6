"""The conversation: banner, login, password, shell. Held sessions cost little: the shell is made when it is used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar

from eudaemon.events.catalogue import LoginTried
from eudaemon.protocols import _uploads
from eudaemon.protocols._accounts import admits
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
from eudaemon.protocols._seat import Seat, welcome
from eudaemon.protocols._terminal import END, INTERRUPT, Terminal
from eudaemon.protocols.telnet.iac import IAC, OPENING, IacReader
from eudaemon.wire import printable

TRIES_MAX = 3  # BusyBox login's own
_NAME_CHARS_MAX = 256
_COMMANDS = range(0xF0, 0x100)
_TYPED = bytes(range(0x20, 0x7F))
NAME, PASSWORD, SHELL, GONE = range(4)


class Telnet(Room):
    """See the module."""

    __slots__ = ("_iac", "_leaving", "_seat", "_stage", "_terminal", "_tries", "_user")
    name: ClassVar[str] = "telnet"
    speaks_first: ClassVar[bool] = True

    def __init__(self, visit: Visit) -> None:
        super().__init__(visit)
        self._iac = IacReader()
        self._terminal = Terminal(visit.purse)
        self._stage = NAME
        self._tries = 0
        self._user = b""
        self._seat: Seat | None = None
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
            case Answered() | Woken():
                if self._seat is not None:
                    yield from self._seat.go_on(occasion)
                    yield from self._look_up()
            case HalfClosed():
                self._leaving = True
                if self._seat is None or not self._seat.busy:
                    yield HangUp()
            case Ended():
                if self._seat is not None:
                    yield from self._seat.ended()
                    if self._seat.files is not None:
                        self._seat.files.leave()

    # --- input -------------------------------------------------------------------------------------

    def _typed(self, text: bytes, at_s: float) -> Iterator[Order]:
        at = 0
        while at < len(text) and self._stage != GONE:
            if self._seat is not None:
                if self._seat.files is None:
                    host = self.visit.host
                    self._seat.files = _uploads.files_of(self.visit, "device", host.tree, host.writable)
                yield from self._seat.typed(text[at:], at_s)
                yield from self._look_up()
                return
            at, line, echo = self._terminal.take(text, at)
            if echo:
                yield Send(echo)
            if line is not None:
                yield from self._STAGES[self._stage](self, line)

    def _look_up(self) -> Iterator[Order]:
        """Leave, if the shell was left; or if the peer has left and nothing is awaited any more."""
        if self._seat is not None and (self._seat.over or (self._leaving and not self._seat.busy)):
            yield from self._leave()

    # --- stages ------------------------------------------------------------------------------------

    def _name(self, line: bytes) -> Iterator[Order]:
        if line == END:
            yield from self._leave()
        elif line == INTERRUPT or not line.strip():
            yield Send(self._login_prompt())
        else:
            self._user = line.strip()[:_NAME_CHARS_MAX]
            self._stage = PASSWORD
            self._terminal.echoes = False
            yield Send(b"Password: ")

    def _password(self, line: bytes) -> Iterator[Order]:
        if line in (END, INTERRUPT):
            yield from self._leave()
            return
        self._terminal.echoes = True
        accepted = admits(self.visit, self._user, line, right=self.visit.host.accepts(self._user, line))
        yield Saw(LoginTried(printable(self._user, _NAME_CHARS_MAX), printable(line, _NAME_CHARS_MAX), accepted))
        if accepted:
            self._stage = SHELL
            self._seat = Seat(self.visit, self._user.decode(), self._terminal)  # one of the host's users: ASCII
            yield Send(welcome(self.visit.host) + self._seat.prompt)
            return
        self._tries += 1
        self._stage = NAME
        yield Send(b"Login incorrect\r\n")
        if self._tries >= TRIES_MAX:
            yield from self._leave()
        else:
            yield Send(self._login_prompt())

    def _leave(self) -> Iterator[Order]:
        self._stage = GONE
        yield HangUp()

    _STAGES: ClassVar = {NAME: _name, PASSWORD: _password}

    # --- what the host shows -----------------------------------------------------------------------

    def _banner(self) -> bytes:
        banner = self.visit.host.persona.banner.replace("\n", "\r\n")
        return b"\r\n" + banner.encode()

    def _login_prompt(self) -> bytes:
        return self.visit.host.name.encode() + b" login: "
