"""Small rooms, each of which does one thing that the driver must cope with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from eudaemon.events.catalogue import CommandEntered
from eudaemon.protocols._base import (
    Answered,
    AwaitSide,
    CallSide,
    CloseSide,
    Ended,
    EndTls,
    Fetch,
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
    Send,
    SendSide,
    SideAwaited,
    SideClosed,
    SideOpened,
    SideReceived,
    StartTls,
    WakeAt,
    Woken,
)  # fmt: skip
from eudaemon.wire import PeerError
from eudaemon.world.outside import Download


class Echo(Room):
    """Says back what it hears; `bye` hangs up; keeps what follows `keep `; states how it ended."""

    name: ClassVar[str] = "echo"

    def tell(self, occasion: Occasion) -> Iterator[Order]:
        match occasion:
            case Received(_, data):
                if data.startswith(b"keep "):
                    yield Keep(data[5:], "upload", "/tmp/x")
                yield Send(data)
                if data.startswith(b"bye"):
                    yield HangUp()
                    yield Saw(CommandEntered("said after hanging up"))
                    yield Send(b"nobody hears this")
                if data.startswith(b"wrong"):
                    raise PeerError("said something wrong")
            case HalfClosed():
                yield Send(b" tls" if self.visit.tls else b"")
                yield HangUp()
            case Ended():
                yield Saw(CommandEntered("ended"))
                yield Send(b"nobody hears this")


class Talker(Room):
    """Answers every byte with 64 KiB."""

    name: ClassVar[str] = "talker"
    speaks_first: ClassVar[bool] = True

    def tell(self, occasion: Occasion) -> Iterator[Order]:
        match occasion:
            case Opened():
                yield Send(b"hello\r\n")
            case Received(_, data):
                yield from (Send(b"x" * 65_536) for _ in data)


class Breaker(Room):
    """Has a fault of ours, wherever the peer wants it."""

    name: ClassVar[str] = "breaker"

    def tell(self, occasion: Occasion) -> Iterator[Order]:
        if isinstance(occasion, Received | Ended):
            yield Send(b"before")
            raise ZeroDivisionError("our own fault")


class Wisher(Room):
    """Wishes each line as a URL and says what came of it."""

    name: ClassVar[str] = "wisher"

    def tell(self, occasion: Occasion) -> Iterator[Order]:
        match occasion:
            case Received(_, data):
                yield from (Fetch(Download(line.decode(), "wget", "x")) for line in data.split())
            case Answered(_, downloaded):
                yield Send(f"{downloaded.url} {downloaded.outcome} {downloaded.head[:20]!r}\n".encode())


class Sleeper(Room):
    """Wakes up after a moment, says so, hangs up."""

    name: ClassVar[str] = "sleeper"

    def tell(self, occasion: Occasion) -> Iterator[Order]:
        match occasion:
            case Opened(at_s):
                yield WakeAt(at_s + 3600)
                yield WakeAt(at_s + 0.3)
            case Woken():
                yield Send(b"awake")
                yield HangUp()


class Deaf(Room):
    """Says nothing, and does not care that the peer leaves."""

    name: ClassVar[str] = "deaf"

    def tell(self, occasion: Occasion) -> Iterator[Order]:
        yield from ()


class Framed:
    """An envelope: a byte that says how much is in it."""

    def __init__(self) -> None:
        self._left = 0

    def opened(self, data: bytes) -> tuple[bytes, bytes]:
        if not self._left:
            self._left, data = data[0], data[1:]
        inside = data[: self._left]
        self._left -= len(inside)
        return inside, data[len(inside) :]

    def sealed(self, data: bytes) -> bytes:
        return b"".join(bytes((len(data[at : at + 255]),)) + data[at : at + 255] for at in range(0, len(data), 255))


class Turner(Room):
    """Says back what it hears; begins TLS after `tls?`, which it answers, right behind `tls!`, in frames after `tls+`.

    `bare` ends it.
    """

    name: ClassVar[str] = "turner"

    def tell(self, occasion: Occasion) -> Iterator[Order]:
        match occasion:
            case Received(_, b"tls?"):
                yield Send(b"yes" if self.visit.can_tls else b"no")
                yield StartTls()
            case Received(_, data) if data.startswith(b"tls!"):
                yield StartTls(data[4:])
            case Received(_, b"tls+"):
                yield Send(b"+")
                yield StartTls(envelope=Framed())
            case Received(_, b"bare"):
                yield EndTls()
                yield Send(b"bare")
            case Received(_, data):
                yield Send(data)
            case Secured():
                yield Send(b"secured")


class Sider(Room):
    """Opens side connections: `await`, `tls` or `call PORT`; says what becomes of them; echoes there, `bye` closes."""

    name: ClassVar[str] = "sider"

    def tell(self, occasion: Occasion) -> Iterator[Order]:
        match occasion:
            case Received(_, b"await"):
                yield AwaitSide()
            case Received(_, b"tls"):
                yield AwaitSide(tls=True)
            case Received(_, data) if data.startswith(b"call "):
                yield CallSide(int(data[5:]))
            case SideAwaited(_, port):
                yield Send(b"port %d\n" % port)
            case SideOpened():
                yield Send(b"opened\n")
                yield SendSide(b"hello")
            case SideReceived(_, data):
                yield SendSide(data)
                if data.endswith(b"bye"):
                    yield CloseSide()
            case SideClosed(_, clean):
                yield Send(b"closed %d\n" % clean)
            case HalfClosed():
                yield Send(b"still here\n")
