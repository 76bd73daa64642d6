"""SOCKS 4, 4a and 5 (RFC 1928, 1929) on TCP 1080: it notes whom it should reach, and says that it could not.

    4:  request                                --> rejected
    5:  methods --[user and password]--> request --> refused, unreachable, or not supported

Nothing is relayed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum
from ipaddress import IPv4Address, IPv6Address
from typing import ClassVar, TypeAlias

from eudaemon.events.catalogue import LoginTried, ProxyAsked
from eudaemon.protocols._accounts import admits
from eudaemon.protocols._base import (
    Claim,
    HalfClosed,
    HangUp,
    Occasion,
    Order,
    Received,
    Room,
    Saw,
    Send,
    Visit,
)  # fmt: skip
from eudaemon.wire import ByteReader, PeerError, printable

UNREAD_BYTES_MAX = 64 * 1024
NAME_BYTES_MAX = 255  # of a user or host of SOCKS 4, which have no length of their own
_ACTIONS = {1: "connect", 2: "bind", 3: "associate"}
_OPEN, _PASSWORD, _NONE = 0, 2, 0xFF  # RFC 1928 section 3: methods
_UNREACHABLE, _REFUSED, _NO_COMMAND, _NO_ADDRESS = 4, 5, 7, 8  # section 6: replies
_REJECTED = 91  # SOCKS: A protocol for TCP proxy across firewalls, section 1


class Stage(Enum):
    """What comes next."""

    VERSION = "version"
    FOUR = "a request of SOCKS 4"
    METHODS = "methods"
    LOGIN = "user and password"
    REQUEST = "request"
    OVER = "nothing"


class Socks(Room):
    """One connection to the proxy."""

    name: ClassVar[str] = "socks"

    __slots__ = ("_reader", "_stage")

    def __init__(self, visit: Visit) -> None:
        super().__init__(visit)
        self._reader = ByteReader(UNREAD_BYTES_MAX)
        self._stage = Stage.VERSION

    @classmethod
    def claim(cls, first: bytes) -> Claim:
        """Version 4 with a command, or 5 with a count of methods."""
        if first[:1] not in (b"\4", b"\5"):
            return Claim.NO
        if len(first) < 2:
            return Claim.UNSURE
        return Claim.YES if first[1] in ((1, 2) if first[0] == 4 else range(1, 10)) else Claim.NO

    def tell(self, occasion: Occasion) -> Iterator[Order]:
        """Take one occasion and yield the orders that follow from it."""
        match occasion:
            case Received(_, data):
                self._reader.feed(data)
                while self._stage is not Stage.OVER:
                    before = self._stage
                    yield from STEPS[self._stage](self, self._reader.peek())
                    if self._stage is before:
                        break
            case HalfClosed():
                yield HangUp()

    @property
    def _asks(self) -> bool:
        return bool(self.visit.host.seed.child("socks").number("login", 2))

    def _version(self, data: bytes) -> Iterator[Order]:
        yield from ()
        if data[:1] not in (b"", b"\4", b"\5"):
            raise PeerError("neither SOCKS 4 nor 5")
        if data:
            self._stage = Stage.FOUR if data[0] == 4 else Stage.METHODS

    def _four(self, data: bytes) -> Iterator[Order]:
        """Version, command, port, address, user, NUL; of 4a, whose address is 0.0.0.x, a host's name and NUL."""
        end = data.find(b"\0", 8)
        if end < 0 or len(data) < 9:
            if len(data) > 8 + NAME_BYTES_MAX:
                raise PeerError(f"user over {NAME_BYTES_MAX} bytes")
            return
        user, host, version = data[8:end], str(IPv4Address(data[4:8])), "socks4"
        if data[4:7] == bytes(3) and data[7]:
            name_at, version = end + 1, "socks4a"
            end = data.find(b"\0", name_at)
            if end < 0:
                if len(data) > name_at + NAME_BYTES_MAX:
                    raise PeerError(f"name over {NAME_BYTES_MAX} bytes")
                return
            host = printable(data[name_at:end], NAME_BYTES_MAX)
        self._reader.take(end + 1)
        if user:
            yield Saw(LoginTried(printable(user, 256), None, accepted=not self._asks))
        port = int.from_bytes(data[2:4], "big")
        yield Saw(ProxyAsked(version, _ACTIONS.get(data[1], f"command {data[1]}"), host, port))
        yield from self._finish(bytes((0, _REJECTED)) + data[2:8])

    def _methods(self, data: bytes) -> Iterator[Order]:
        if len(data) < 2 or len(data) < 2 + data[1]:
            return
        offered = data[2 : 2 + data[1]]
        self._reader.take(2 + len(offered))
        if _PASSWORD in offered and (self._asks or _OPEN not in offered):
            self._stage = Stage.LOGIN
            yield Send(bytes((5, _PASSWORD)))
        elif _OPEN in offered and not self._asks:
            self._stage = Stage.REQUEST
            yield Send(bytes((5, _OPEN)))
        else:
            yield from self._finish(bytes((5, _NONE)))

    def _password(self, data: bytes) -> Iterator[Order]:
        """RFC 1929 section 2: version, both with their lengths before them."""
        if len(data) < 2 or len(data) < 3 + data[1] or len(data) < 3 + data[1] + data[2 + data[1]]:
            return
        at = 2 + data[1]
        user, password = data[2:at], data[at + 1 : at + 1 + data[at]]
        self._reader.take(at + 1 + len(password))
        accepted = admits(self.visit, user, password, right=self.visit.host.accepts(user, password))
        yield Saw(LoginTried(printable(user, 256), printable(password, 256), accepted))
        if accepted:
            self._stage = Stage.REQUEST
            yield Send(b"\1\0")
        else:
            yield from self._finish(b"\1\1")

    def _request(self, data: bytes) -> Iterator[Order]:
        """RFC 1928 section 4: version, command, reserved, type of address, address, port."""
        if len(data) < 5:
            return
        kind = data[3]
        size = {1: 4, 3: 1 + data[4], 4: 16}.get(kind)
        if size is None:
            yield from self._finish(_reply(_NO_ADDRESS))
            return
        if len(data) < 4 + size + 2:
            return
        address = data[4 : 4 + size]
        host = {1: lambda: str(IPv4Address(address)), 4: lambda: str(IPv6Address(address))}.get(
            kind, lambda: printable(address[1:], NAME_BYTES_MAX)
        )()
        port = int.from_bytes(data[4 + size : 6 + size], "big")
        self._reader.take(6 + size)
        yield Saw(ProxyAsked("socks5", _ACTIONS.get(data[1], f"command {data[1]}"), host, port))
        yield from self._finish(_reply(_NO_COMMAND if data[1] != 1 else _UNREACHABLE if kind == 3 else _REFUSED))

    def _finish(self, answer: bytes) -> Iterator[Order]:
        self._stage = Stage.OVER
        yield Send(answer)
        yield HangUp()


Step: TypeAlias = Callable[[Socks, bytes], Iterator[Order]]
STEPS: dict[Stage, Step] = {
    Stage.VERSION: Socks._version,
    Stage.FOUR: Socks._four,
    Stage.METHODS: Socks._methods,
    Stage.LOGIN: Socks._password,
    Stage.REQUEST: Socks._request,
}


def _reply(code: int) -> bytes:
    return bytes((5, code, 0, 1)) + bytes(6)
