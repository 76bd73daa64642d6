"""A database's connection: messages in any pieces, a login, then each message carried out before the next is read.

    Received --feed--> message --> orders         while work waits for a command, what comes is held and read after it

A room says how its messages are cut (`feed`), what each does (`message`), and what is left over at the end (`left`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar, Generic, TypeVar

from eudaemon.events.catalogue import CommandEntered, LoginTried
from eudaemon.protocols._base import (
    Answered,
    Ended,
    Envelope,
    HalfClosed,
    HangUp,
    Keep,
    Occasion,
    Opened,
    Order,
    Received,
    Room,
    Saw,
    Secured,
    StartTls,
    Visit,
    Woken,
)  # fmt: skip
from eudaemon.protocols._work import Worker
from eudaemon.wire import PeerError, printable

FACT_CHARS_MAX = 4096  # of a statement in an event
_NAME_CHARS_MAX = 256
WAITING_BYTES_MAX = 1024 * 1024  # that wait while a message is carried out

Message = TypeVar("Message")


def entered(statement: bytes) -> Saw:
    """Return the fact of a statement."""
    return Saw(CommandEntered(printable(statement, FACT_CHARS_MAX)))


def tried(user: bytes, password: bytes, *, accepted: bool) -> Saw:
    """Return the fact of a login."""
    return Saw(LoginTried(printable(user, _NAME_CHARS_MAX), printable(password, _NAME_CHARS_MAX), accepted=accepted))


class DatabaseRoom(Room, Generic[Message]):
    """One client's connection. `worker` is there once somebody has logged in, where commands take time."""

    __slots__ = ("_begins_tls", "_leaving", "_messages", "_waiting", "over", "secured", "worker")
    messages_max: ClassVar[int] = 10_000  # of one session

    def __init__(self, visit: Visit) -> None:
        super().__init__(visit)
        self.worker: Worker | None = None
        self.over = False  # we have hung up
        self.secured = visit.tls
        self._begins_tls: tuple[StartTls, bool] | None = None  # as the message at hand wants it, and whether at once
        self._waiting = b""
        self._messages = 0
        self._leaving = False

    # --- what a room says ----------------------------------------------------------------------------

    def opened(self, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        """Greet, where the server speaks first."""
        yield from ()

    def feed(self, data: bytes) -> tuple[Message, bytes] | None:
        """Add bytes; return a message and what is left of the bytes, None while none is whole. Raises `PeerError`."""
        raise NotImplementedError

    def message(self, message: Message, at_s: float) -> Iterator[Order]:
        """Carry out a message, or begin to."""
        raise NotImplementedError

    def left(self) -> Iterator[Keep]:
        """Yield what was brought and is kept nowhere yet."""
        yield from ()

    # --- what a room has done ------------------------------------------------------------------------

    @property
    def may_start_tls(self) -> bool:
        """Whether TLS is there to be asked for."""
        return self.visit.can_tls and not self.secured

    def start_tls(self, envelope: Envelope | None = None, *, at_once: bool = False) -> None:
        """Begin TLS behind the message at hand.

        What has come behind it belongs to TLS where the client waits for no answer (`at_once`); else it is forgotten.
        """
        self.secured = True
        self._begins_tls = (StartTls(envelope=envelope), at_once)

    def hang_up(self) -> Iterator[Order]:
        """End the session."""
        self.over = True
        yield HangUp()

    # --- the dialogue --------------------------------------------------------------------------------

    def tell(self, occasion: Occasion) -> Iterator[Order]:
        """Take one occasion and yield the orders that follow from it."""
        match occasion:
            case Opened(at_s):
                yield from self.opened(at_s)
            case Received(at_s, data):
                yield from self._received(data, at_s)
            case Answered() | Woken():
                if self.worker is not None:
                    yield from self.worker.go_on(occasion)
                    yield from self._go_on(occasion.at_s)
            case HalfClosed():
                self._leaving = True
                yield from self._leave()
            case Ended():
                yield from self.left()
            case Secured():
                return

    def _received(self, data: bytes, at_s: float) -> Iterator[Order]:
        while data and not self.over:
            if self.worker is not None and self.worker.busy:
                if len(self._waiting) + len(data) > WAITING_BYTES_MAX or not self.visit.purse.take(len(data)):
                    raise PeerError("too much while a command is carried out")
                self._waiting += data
                return
            found = self.feed(data)
            if found is None:
                return
            message, data = found
            self._messages += 1
            if self._messages > self.messages_max:
                raise PeerError(f"more than {self.messages_max} messages in one session")
            yield from self.message(message, at_s)
            if self._begins_tls is not None:
                (order, at_once), self._begins_tls = self._begins_tls, None
                yield replace(order, first=data if at_once else b"")
                return

    def _go_on(self, at_s: float) -> Iterator[Order]:
        if self.worker is not None and not self.worker.busy and self._waiting:
            waiting, self._waiting = self._waiting, b""
            self.visit.purse.give_back(len(waiting))
            yield from self._received(waiting, at_s)
        yield from self._leave()

    def _leave(self) -> Iterator[Order]:
        busy = self.worker is not None and self.worker.busy
        if self._leaving and not self.over and not busy:
            yield from self.hang_up()
