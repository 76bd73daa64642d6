"""What a room is: a function of what it is told.

    occasion --> Room.tell --> orders

A room never reads a clock, rolls dice, or touches a socket, a file or another room. It is told of *occasions*,
each with the time, and answers with *orders*, which the sensor's driver carries out one after the other.
An occasion is past tense, an order is imperative. Because both are values, a conversation is a text that can be
replayed, one byte at a time (see `eudaemon.testing.script`).

Two kinds of wrong. The peer's: raise `PeerError`; the driver states a `PeerFaulted` and hangs up cleanly. Ours: any
other exception; it ends that one session, loudly, and is counted.

Whatever a room holds for its peer it takes from `Visit.purse` first; the driver returns it all at the end.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import ClassVar, Protocol, TypeAlias

from eudaemon.events import Endpoint, Fact
from eudaemon.wire import Purse
from eudaemon.world.host import Host
from eudaemon.world.memory import Memory
from eudaemon.world.outside import Download, Downloaded
from eudaemon.world.seed import Seed

# --- occasions: what a room is told -------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Opened:
    """The session begins. Told once, first."""

    at_s: float


@dataclass(frozen=True, slots=True)
class Received:
    """Bytes came: for TCP in any pieces, for UDP exactly one datagram."""

    at_s: float
    data: bytes


@dataclass(frozen=True, slots=True)
class HalfClosed:
    """The peer will send nothing more; it may still listen. A room that says nothing more hangs up."""

    at_s: float


@dataclass(frozen=True, slots=True)
class Woken:
    """The time that the room's last `WakeAt` named has come."""

    at_s: float


@dataclass(frozen=True, slots=True)
class Answered:
    """What came of the room's oldest `Fetch` that had no answer yet."""

    at_s: float
    downloaded: Downloaded


@dataclass(frozen=True, slots=True)
class Drained:
    """All that was sent, also on a side connection, is on its way, as the room's last `TellDrained` wanted to know."""

    at_s: float


@dataclass(frozen=True, slots=True)
class Secured:
    """TLS was begun, as the room's `StartTls` wanted: what is said from now on is in it."""

    at_s: float


@dataclass(frozen=True, slots=True)
class SideAwaited:
    """The peer may connect to this port now, as the room's `AwaitSide` wanted; 0 if no port was to be had."""

    at_s: float
    port: int


@dataclass(frozen=True, slots=True)
class SideOpened:
    """The side connection is there."""

    at_s: float


@dataclass(frozen=True, slots=True)
class SideReceived:
    """Bytes came on the side connection, in any pieces."""

    at_s: float
    data: bytes


@dataclass(frozen=True, slots=True)
class SideClosed:
    """The side connection is over, by the peer's doing, or never came about. `clean` if all that was sent has come."""

    at_s: float
    clean: bool


@dataclass(frozen=True, slots=True)
class Ended:
    """The session is over; nothing can be sent. The last chance to `Keep`, to `Saw` and to `Fetch`.

    Of that fetch no answer will be told; but an attacker that strikes and is gone has still said what it wanted.
    """

    at_s: float


SideTold: TypeAlias = SideAwaited | SideOpened | SideReceived | SideClosed
Occasion: TypeAlias = Opened | Received | HalfClosed | Woken | Answered | Drained | Secured | SideTold | Ended

# --- orders: what a room wants done --------------------------------------------------------------


class Envelope(Protocol):
    """The packets of its own in which a protocol carries TLS's handshake."""

    def opened(self, data: bytes) -> tuple[bytes, bytes]:
        """Take bytes of the peer's; return what the packet at hand has of them, and what stands behind that packet.

        Raises `PeerError` for what is no packet of a handshake.
        """

    def sealed(self, data: bytes) -> bytes:
        """Return our part of a handshake in packets."""


@dataclass(frozen=True, slots=True)
class Send:
    """Send these bytes: for UDP exactly one datagram, and never more bytes than the peer has sent."""

    data: bytes


@dataclass(frozen=True, slots=True)
class HangUp:
    """Send what is still to be sent, then close."""


@dataclass(frozen=True, slots=True)
class Saw:
    """State a fact about this session."""

    fact: Fact


@dataclass(frozen=True, slots=True)
class Keep:
    """Keep these bytes as an artefact. The driver states `ArtefactKept` with the hash.

    `origin` as in `ArtefactKept`; `name` is the path or name the attacker gave it; `partial` if it is known that more
    of it was to come.
    """

    data: bytes
    origin: str
    name: str = ""
    partial: bool = False


@dataclass(frozen=True, slots=True)
class LookInto:
    """Look into these bytes now, as into a payload that is kept: what is in them does not wait until all have come.

    They are of a conversation that nobody understands. Where they are code with a shell for this same connection, that
    takes this room's place, which is told `Ended`.
    """

    data: bytes


@dataclass(frozen=True, slots=True)
class Fetch:
    """Get this from outside, if the policy allows; the room is told `Answered`, in the order of asking.

    The driver states `DownloadWished` and `DownloadFinished`.
    """

    download: Download


@dataclass(frozen=True, slots=True)
class WakeAt:
    """Tell the room `Woken` at this time. A later `WakeAt` replaces an earlier one."""

    at_s: float


@dataclass(frozen=True, slots=True)
class TellDrained:
    """Tell the room `Drained` when nothing waits to be sent any more: for who has more to say than may wait."""


@dataclass(frozen=True, slots=True)
class StillThere:
    """The peer has said something that belongs to this session on another connection: it is not idle."""


@dataclass(frozen=True, slots=True)
class StartTls:
    """Begin TLS on this connection, behind what was sent so far; the room is told `Secured` when that is done.

    Only where `Visit.can_tls` says so, and once. Until `Secured` the room sends nothing. `first` is what came behind
    the request for TLS and belongs to it, with clients that wait for no answer. What came in plain behind a request
    that has an answer is forgotten by the room: somebody else may have put it there (CVE-2011-0411). With `envelope`
    the handshake comes and goes in it, and no more than that; it is TLS 1.2 at most, for clients do not agree whether
    the last word of 1.3's handshake, which is theirs, belongs in it.
    """

    first: bytes = b""
    envelope: Envelope | None = None


@dataclass(frozen=True, slots=True)
class EndTls:
    """End the TLS that was begun, without a goodbye: what is said from now on, on either side, is plain.

    Some protocols encipher a login and nothing else. What the peer has sent in plain before it was answered is lost.
    """


@dataclass(frozen=True, slots=True)
class AwaitSide:
    """Let the peer open a second connection, to a port that `SideAwaited` names: FTP's passive mode.

    Only the peer's own address is let in. A session has one side connection at a time; another that is there is closed.
    With `tls` it begins with a handshake.
    """

    tls: bool = False


@dataclass(frozen=True, slots=True)
class CallSide:
    """Open a second connection, to this port of the peer's own address: FTP's active mode.

    Only above 1023 and where the policy for downloads allows it; else `SideClosed` is told. See `AwaitSide`.
    """

    port: int
    tls: bool = False


@dataclass(frozen=True, slots=True)
class SendSide:
    """Send these bytes on the side connection, once it was told to be open."""

    data: bytes


@dataclass(frozen=True, slots=True)
class CloseSide:
    """Send what is still to be sent on the side connection, then close it. No `SideClosed` is told."""


@dataclass(frozen=True, slots=True)
class Record:
    """Put this into the recording of the conversation. Of a room that is not `recorded`, nothing else is."""

    side: int  # ATTACKER or HOST of `eudaemon.wire.conversation`
    data: bytes


TlsOrder: TypeAlias = StartTls | EndTls
SideOrder: TypeAlias = AwaitSide | CallSide | SendSide | CloseSide
Order: TypeAlias = (
    Send | HangUp | Saw | Keep | LookInto | Fetch | WakeAt | TellDrained | StillThere | TlsOrder | SideOrder | Record
)

# --- the room ------------------------------------------------------------------------------------


class Claim(IntEnum):
    """What a room says of a conversation's first bytes; the strongest claim on a shared port wins."""

    NO = 0
    UNSURE = 1
    YES = 2


@dataclass(frozen=True, slots=True)
class Visit:
    """What a room may know of the session it is made for."""

    host: Host  # the pretended host, shared by all sessions
    attacker: Endpoint
    local: Endpoint
    transport: str  # "tcp" or "udp"
    purse: Purse  # how many bytes this session may hold
    seed: Seed  # the session's own: differs from session to session
    tls: bool = False
    memory: Memory = field(default_factory=Memory)  # what services remember of addresses
    can_tls: bool = False  # whether `StartTls` may be ordered


class Room:
    """One pretended service, one instance a session."""

    __slots__ = ("visit",)

    name: ClassVar[str]  # as in ROOMS and in the settings
    speaks_first: ClassVar[bool] = False  # whether the service sends before it receives
    recorded: ClassVar[bool] = True  # whether the bytes themselves are recorded; not where they are enciphered

    def __init__(self, visit: Visit) -> None:
        self.visit = visit

    @classmethod
    def claim(cls, first: bytes) -> Claim:  # noqa: ARG003
        """Say whether a conversation whose first bytes are `first` is for this room."""
        return Claim.NO

    def tell(self, occasion: Occasion) -> Iterable[Order]:
        """Take one occasion and yield the orders that follow from it."""
        raise NotImplementedError
