"""TCP 135: the endpoint mapper, and the DCOM activation that Blaster and its heirs call there.

It owns the stream; what is called and answered is `_dcerpc`'s.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from eudaemon.protocols._base import Claim, Ended, HalfClosed, HangUp, Occasion, Order, Received, Room, Visit
from eudaemon.protocols._broken import broken_off
from eudaemon.protocols._dcerpc import Association, RpcHost
from eudaemon.protocols._windows import server_of

_BIND = b"\x05\x00\x0b"


class Epmap(Room):
    """One client's connection."""

    name: ClassVar[str] = "epmap"

    __slots__ = ("_association", "_host")

    def __init__(self, visit: Visit) -> None:
        super().__init__(visit)
        self._host = RpcHost(visit, server_of(visit.host))
        self._association = Association(self._host, "135")

    @classmethod
    def claim(cls, first: bytes) -> Claim:
        """A conversation begins with a bind of version 5.0 or 5.1."""
        if first[:1] == _BIND[:1] and first[1:2] in (b"\0", b"\1", b"") and first[2:3] in (b"\x0b", b""):
            return Claim.YES if len(first) > 2 else Claim.UNSURE
        return Claim.NO

    def tell(self, occasion: Occasion) -> Iterator[Order]:
        """Take one occasion and yield the orders that follow from it."""
        match occasion:
            case Received(at_s, data):
                yield from self._association.receive(data, at_s)
                if self._association.over:
                    yield HangUp()
            case HalfClosed():
                yield HangUp()
            case Ended():
                yield from broken_off(self._association.held, "call")
                self._association.forget()
                yield from self._host.ended()
