"""The template of a room: POP3 (RFC 1939), as far as trying passwords goes. Real, tested, and served nowhere.

`make room NAME=x` copies it. A room opens with what it owns and what it refuses: this one owns the dialogue up to the
password, and refuses to let anybody in.

    GREETED --USER--> NAMED --PASS--> GREETED      and QUIT from both
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum
from typing import ClassVar

from eudaemon.events.catalogue import LoginTried
from eudaemon.protocols._base import (
    Claim,
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
)  # fmt: skip
from eudaemon.wire import LineReader, PeerError, printable

LINE_BYTES_MAX = 255  # RFC 2449 section 4
LOGINS_MAX = 6  # tried in one session


class Stage(Enum):
    """How far the dialogue is."""

    GREETED = "greeted"
    NAMED = "user named"


class Template(Room):
    """One session of a mailbox that nobody gets into."""

    name: ClassVar[str] = "template"
    speaks_first: ClassVar[bool] = True

    __slots__ = ("_lines", "_logins", "_over", "_stage", "_user")

    def __init__(self, visit: Visit) -> None:
        super().__init__(visit)
        self._lines = LineReader(LINE_BYTES_MAX)
        self._stage = Stage.GREETED
        self._user = b""
        self._logins = 0
        self._over = False

    @classmethod
    def claim(cls, first: bytes) -> Claim:
        """Its client waits for the greeting; one that does not names a user."""
        return Claim.YES if first[:5].upper() == b"USER " else Claim.UNSURE if len(first) < 5 else Claim.NO

    def tell(self, occasion: Occasion) -> Iterator[Order]:
        """Take one occasion and yield the orders that follow from it."""
        match occasion:
            case Opened():
                yield Send(b"+OK %s ready\r\n" % self.visit.host.name.encode())
            case Received(_, data):
                for line in self._lines.feed(data):
                    yield from self._line(line)
                    if self._over:
                        return
            case HalfClosed():
                yield HangUp()

    def _line(self, line: bytes) -> Iterator[Order]:
        verb, _, argument = line.partition(b" ")
        step = STEPS.get((self._stage, verb.upper()))
        if step is None:  # absence is the error
            yield Send(b"-ERR unknown command\r\n")
        else:
            yield from step(self, argument)

    def _name(self, argument: bytes) -> Iterator[Order]:
        self._user, self._stage = argument, Stage.NAMED
        yield Send(b"+OK\r\n")

    def _try(self, argument: bytes) -> Iterator[Order]:
        self._stage = Stage.GREETED
        self._logins += 1
        yield Saw(LoginTried(printable(self._user), printable(argument), accepted=False))
        yield Send(b"-ERR [AUTH] Authentication failed\r\n")
        if self._logins >= LOGINS_MAX:
            raise PeerError(f"more than {LOGINS_MAX - 1} logins tried")

    def _quit(self, _argument: bytes) -> Iterator[Order]:
        self._over = True
        yield Send(b"+OK\r\n")
        yield HangUp()


STEPS: dict[tuple[Stage, bytes], Callable[[Template, bytes], Iterator[Order]]] = {
    (Stage.GREETED, b"USER"): Template._name,
    (Stage.GREETED, b"QUIT"): Template._quit,
    (Stage.NAMED, b"PASS"): Template._try,
    (Stage.NAMED, b"QUIT"): Template._quit,
}
