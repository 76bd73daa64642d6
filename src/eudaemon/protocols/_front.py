"""Several rooms on one port: the first bytes decide whose the conversation is.

    first bytes --> every room's `claim` --> one says YES                     --> that room
                                         --> all say NO                       --> the catch-all
                                         --> some are UNSURE, and time is up  --> the first of those
    silence     ----------------------------------------------------------------> the first room that speaks first

The chosen room is told everything from the beginning, and does not know that it was waited for. Claims are asked byte
by byte, so that the choice does not depend on how the bytes came in pieces. A tie goes to the room that stands first in
the setting.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar, TypeAlias

from eudaemon.protocols._base import (
    Answered,
    Claim,
    Drained,
    Ended,
    HalfClosed,
    HangUp,
    Occasion,
    Opened,
    Order,
    Received,
    Room,
    Secured,
    SideAwaited,
    SideClosed,
    SideOpened,
    SideReceived,
    Visit,
    WakeAt,
    Woken,
)  # fmt: skip
from eudaemon.protocols._door import Door
from eudaemon.wire import PeerError

Choice: TypeAlias = Door | type[Room]

FIRST_BYTES_MAX = 512
GREET_WAIT_S = 1.5  # clients of services that wait for a greeting say nothing meanwhile; others have long begun


class Front(Room):
    """One conversation on a port that several rooms share."""

    name: ClassVar[str] = "front"

    __slots__ = ("_asked", "_chosen", "_first", "_greet_wait_s", "_otherwise", "_rooms", "_wakes_us")

    def __init__(
        self, visit: Visit, rooms: Sequence[Choice], otherwise: Choice, greet_wait_s: float = GREET_WAIT_S
    ) -> None:
        super().__init__(visit)
        self._rooms = rooms
        self._otherwise = otherwise
        self._greet_wait_s = greet_wait_s
        self._chosen: Room | None = None
        self._first = b""
        self._asked = 0  # bytes of `_first` that claims were asked about
        self._wakes_us = False  # whether the next `Woken` is an answer to our own `WakeAt`

    @property
    def answering(self) -> str:
        """The name of the room whose the conversation is; that of the first, as long as nothing is decided."""
        return (self._chosen or self._rooms[0]).name

    @property
    def records(self) -> bool:
        """Whether the bytes themselves are recorded."""
        return self._chosen is None or self._chosen.recorded

    def tell(self, occasion: Occasion) -> Iterator[Order]:
        """Take one occasion and yield the orders that follow from it."""
        return self._pass_on(occasion) if self._chosen else self._undecided(occasion)

    def _undecided(self, occasion: Occasion) -> Iterator[Order]:
        match occasion:
            case Opened(at_s):
                if self._greeter():
                    yield from self._wake_at(at_s + self._greet_wait_s)
            case Received(at_s, data):
                yield from self._hear(data, at_s)
            case Woken(at_s):
                self._wakes_us = False
                room = self._strongest() if self._first else self._greeter()
                if room:
                    yield from self._choose(room, at_s)
            case HalfClosed(at_s) if not self._first:
                room = self._greeter()
                if room:
                    yield from self._choose(room, at_s)
                    yield from self._pass_on(occasion)
                else:
                    yield HangUp()
            case HalfClosed(at_s) | Ended(at_s):
                if self._first:
                    yield from self._choose(self._strongest(), at_s)
                    yield from self._pass_on(occasion)
            case Answered() | Drained() | Secured() | SideAwaited() | SideOpened() | SideReceived() | SideClosed():
                return

    def _hear(self, data: bytes, at_s: float) -> Iterator[Order]:
        if not self._first:
            yield from self._wake_at(at_s + self._greet_wait_s)
        if not self.visit.purse.take(len(data)):
            raise PeerError("more bytes held than this session may")
        self._first += data
        while self._asked < min(len(self._first), FIRST_BYTES_MAX):
            self._asked += 1
            room = self._claimed(self._first[: self._asked])
            if room:
                yield from self._choose(room, at_s)
                return
        if self.visit.transport == "udp":  # a datagram is whole
            yield from self._choose(self._strongest(), at_s)

    def _claimed(self, first: bytes) -> Choice | None:
        """Return the room that these first bytes decide for, None if they do not yet."""
        claims = [room.claim(first) for room in self._rooms]
        if Claim.YES in claims:
            return self._rooms[claims.index(Claim.YES)]
        if Claim.UNSURE not in claims:
            return self._otherwise
        return self._rooms[claims.index(Claim.UNSURE)] if len(first) >= FIRST_BYTES_MAX else None

    def _strongest(self) -> Choice:
        """Return the room that may have these first bytes, now that nothing more is waited for."""
        unsure = (room for room in self._rooms if room.claim(self._first) is not Claim.NO)
        return next(unsure, self._otherwise)

    def _greeter(self) -> Choice | None:
        return next((room for room in self._rooms if room.speaks_first), None)

    def _choose(self, room: Choice, at_s: float) -> Iterator[Order]:
        self._chosen = room(self.visit)
        first, self._first = self._first, b""
        self.visit.purse.give_back(len(first))
        yield from self._pass_on(Opened(at_s))
        if first:
            yield from self._pass_on(Received(at_s, first))

    def _pass_on(self, occasion: Occasion) -> Iterator[Order]:
        """Tell the chosen room, but not of our own clock. Its `WakeAt` replaces ours."""
        if isinstance(occasion, Woken) and self._wakes_us:
            self._wakes_us = False
        elif self._chosen:
            for order in self._chosen.tell(occasion):
                self._wakes_us = self._wakes_us and not isinstance(order, WakeAt)
                yield order

    def _wake_at(self, at_s: float) -> Iterator[Order]:
        self._wakes_us = True
        yield WakeAt(at_s)
