"""The conversation: transport, login, channels; each in a file of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import ClassVar

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
    Saw,
    Send,
    Visit,
    Woken,
)  # fmt: skip
from eudaemon.protocols.ssh import fields
from eudaemon.protocols.ssh.connection import Connection
from eudaemon.protocols.ssh.fields import Fields, message, string
from eudaemon.protocols.ssh.keys import host_keys
from eudaemon.protocols.ssh.login import Login
from eudaemon.protocols.ssh.products import product_of
from eudaemon.protocols.ssh.transport import Transport
from eudaemon.wire import PeerError

SERVICE, LOGIN, CONNECTED, GONE = range(4)
_BEGINS = b"SSH-"


class Ssh(Room):
    """One session."""

    name: ClassVar[str] = "ssh"
    speaks_first: ClassVar[bool] = True
    recorded: ClassVar[bool] = False

    __slots__ = ("_connection", "_login", "_stage", "_transport")

    def __init__(self, visit: Visit) -> None:
        super().__init__(visit)
        self._transport = Transport(product_of(visit.host), host_keys(visit.host), visit.seed.child("ssh"), visit.purse)
        self._login = Login(self._transport, visit)
        self._connection: Connection | None = None
        self._stage = SERVICE

    @classmethod
    def claim(cls, first: bytes) -> Claim:
        """A client says who it is before anything else."""
        if first[:4] == _BEGINS:
            return Claim.YES
        return Claim.UNSURE if _BEGINS.startswith(first) else Claim.NO

    def tell(self, occasion: Occasion) -> Iterator[Order]:
        """See `Room`."""
        yield from self._told(occasion)
        yield from self._sent()

    def _told(self, occasion: Occasion) -> Iterator[Order]:
        at_s = occasion.at_s
        match occasion:
            case Opened():
                self._transport.open()
            case Received(_, data):
                yield from self._received(data, at_s)
            case HalfClosed():
                yield HangUp()
            case Ended():
                if self._connection is not None:
                    yield from self._connection.ended(at_s)
            case Answered() | Woken():
                if self._connection is not None:
                    yield from self._connection.go_on(occasion)
                    yield from self._connection.flush(at_s)
            case Drained():
                if self._connection is not None:
                    yield from self._connection.drained(at_s)

    def _sent(self) -> Iterator[Order]:
        data = self._transport.take()
        if data:
            yield Send(data)

    def _received(self, data: bytes, at_s: float) -> Iterator[Order]:
        try:
            for heard in self._transport.receive(data):
                if self._stage == GONE:
                    return
                if isinstance(heard, Saw):
                    yield heard
                else:
                    yield from self._hear(heard, at_s)
            if self._connection is not None:  # keys may have been exchanged, and what waited for that is to go on
                yield from self._connection.flush(at_s)
        except PeerError:
            yield from self._sent()
            raise

    def _hear(self, payload: bytes, at_s: float) -> Iterator[Order]:
        kind = payload[0]
        handler = self._HANDLERS.get((self._stage, kind))
        if kind == fields.DISCONNECT:
            self._stage = GONE
            yield HangUp()
        elif handler is not None:
            yield from handler(self, Fields(payload, 1))
        elif self._connection is None:
            raise PeerError(f"SSH message {kind} before logging in")
        elif kind >= fields.GLOBAL_REQUEST:
            yield from self._connection.hear(kind, Fields(payload, 1), at_s)
            yield from self._connection.flush(at_s)
        else:
            self._transport.unknown()

    def _serve(self, read: Fields) -> Iterator[Order]:
        name = read.string()
        if name != b"ssh-userauth":
            raise PeerError("wants a service that is none")
        self._transport.send(message(fields.SERVICE_ACCEPT, string(name)))
        self._stage = LOGIN
        yield from ()

    def _request(self, read: Fields) -> Iterator[Order]:
        yield from self._login.request(read)
        yield from self._look_up()

    def _respond(self, read: Fields) -> Iterator[Order]:
        yield from self._login.respond(read)
        yield from self._look_up()

    def _look_up(self) -> Iterator[Order]:
        if self._login.over:
            self._stage = GONE
            yield from self._sent()
            yield HangUp()
        elif self._login.user:
            self._stage = CONNECTED
            self._connection = Connection(self._transport, self.visit, self._login.user.decode())  # ASCII

    def _ignore(self, read: Fields) -> Iterator[Order]:  # noqa: ARG002
        """Who is in is not let in again. RFC 4252, 5.3."""
        yield from ()

    _HANDLERS: ClassVar[dict[tuple[int, int], Callable[[Ssh, Fields], Iterator[Order]]]] = {
        (SERVICE, fields.SERVICE_REQUEST): _serve,
        (LOGIN, fields.USERAUTH_REQUEST): _request,
        (LOGIN, fields.USERAUTH_INFO_RESPONSE): _respond,
        (CONNECTED, fields.USERAUTH_REQUEST): _ignore,
    }
