"""What the driver needs of the parts around it, and what it is told of a port. Nothing here does anything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from eudaemon.events import Endpoint
from eudaemon.events.catalogue import TlsAccepted
from eudaemon.protocols._base import Room, Visit
from eudaemon.world.outside import Download, Downloaded


class Channel(Protocol):
    """The way to one peer, as the driver uses it."""

    unsent_bytes: int

    def send(self, data: bytes) -> None:
        """Send, or hold what cannot be sent yet."""

    def close(self) -> None:
        """Send what is still to be sent, then close; `Session.released` follows."""

    def abort(self) -> None:
        """Close at once; `Session.released` follows."""


class Told(Protocol):
    """Who is told what a channel's peer does: a session, or one's side connection."""

    def open(self) -> None:
        """It begins."""

    def received(self, data: bytes) -> None:
        """The peer sent bytes."""

    def half_closed(self) -> None:
        """The peer will send nothing more."""

    def lost(self) -> None:
        """The peer is gone."""

    def drained(self) -> None:
        """Less waits to be sent than before."""

    def released(self) -> None:
        """The channel is closed."""


class Door(Protocol):
    """Who counts connections."""

    def leave(self, key: bytes) -> None:
        """One that was let in is over."""


class Talk(Protocol):
    """What facts are stated about: a session of ours, or one that was handed in."""

    @property
    def id(self) -> str:
        """Its id, in all its events."""

    @property
    def attacker(self) -> Endpoint:
        """The peer."""

    @property
    def local(self) -> Endpoint:
        """What the peer has talked to."""


class Outside(Protocol):
    """Who carries out a room's `Fetch`, and looks into what is kept for more."""

    def wish(self, session: Talk, download: Download, answer: Callable[[Downloaded], None]) -> None:
        """State and carry out a wish; `answer` is called once, later, also after the session."""

    def may_call(self, attacker_ip: str) -> str:
        """Return why nothing may be opened to this address of an attacker, in words; empty, and counted, if it may."""

    def look_into(self, session: Talk, data: bytes, *, here: bool = False) -> None:
        """Fetch what a payload or script would fetch, and open the shells that it would open; those `here` if so."""


class TlsLayer(Protocol):
    """TLS between a channel and a room: bytes in, bytes out."""

    @property
    def accepted(self) -> TlsAccepted | None:
        """What the peer is in it, once the handshake is done."""

    def received(self, data: bytes) -> tuple[bytes, bytes]:
        """Take the peer's bytes; return what they mean and what is to be sent. Raises `PeerError`."""

    def wrap(self, data: bytes) -> bytes:
        """Return what is to be sent for this."""

    def closing(self) -> bytes:
        """Return what is to be sent last."""


@dataclass(frozen=True, slots=True)
class Service:
    """What answers on a port."""

    name: str
    make: Callable[[Visit], Room]
    speaks_first: bool = False  # as the rooms' own; where several share a port, they have waited before they speak
    follows: str = ""  # the session whose shellcode opened this, empty for what always listens
    plain: bool = False  # whether a ClientHello is no more than bytes, for none of its rooms begins with TLS
