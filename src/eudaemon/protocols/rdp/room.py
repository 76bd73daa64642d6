"""The conversation with Remote Desktop.

    X.224 request --> TLS --> CredSSP: NTLM's challenge and the answer to it --> refused
                          --> MCS connect, channels --> the client's info: user and password --> the desktop, or the end
                  --> the same without TLS, where the client can none: under RDP's own encryption (`security`)

With Network Level Authentication only the answer to a challenge comes, without it the password itself; a right one
opens a desktop that stays black, at which one can type. Whoever asks for the channel MS_T120 looks for BlueKeep: such a
one is connected in any case, is told what a vulnerable server tells (that it disconnects, when that channel is written
to), and what it sends into channels is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from enum import Enum
from typing import ClassVar

from eudaemon.events.catalogue import CommandEntered, ExploitRecognised, LoginTried, RdpClientIdentified
from eudaemon.protocols._accounts import WINDOWS, admits
from eudaemon.protocols._base import (
    Answered,
    Claim,
    Ended,
    HalfClosed,
    HangUp,
    Keep,
    Occasion,
    Order,
    Received,
    Room,
    Saw,
    Send,
    StartTls,
    Visit,
    Woken,
)  # fmt: skip
from eudaemon.protocols._desk import Desk
from eudaemon.protocols._ntlm import Answer, Authentication
from eudaemon.protocols._windows import FileServer, server_of
from eudaemon.protocols.rdp import pdus, security
from eudaemon.protocols.rdp.keys import Keys, Press
from eudaemon.protocols.rdp.security import Security
from eudaemon.wire import PeerError

PACKETS_MAX = 20_000  # of one session
KEPT_BYTES_MAX = 1024 * 1024  # of what is sent into channels by one that looks for BlueKeep
_LOGON_FAILED = 0xC000006D  # STATUS_LOGON_FAILURE
_NOT_GRANTED = 0xC000015B  # STATUS_LOGON_TYPE_NOT_GRANTED: a right password of somebody who may not come this way
_HYBRID_REQUIRED = 5  # section 2.2.1.2.2
_BLUEKEEP = "MS_T120"  # the channel that only the server itself opens


class Stage(Enum):
    """How far the conversation is."""

    REQUEST = "request"
    CREDENTIALS = "credentials"
    CONNECT = "connect"
    CHANNELS = "channels"


class Rdp(Room):
    """One client."""

    name: ClassVar[str] = "rdp"

    __slots__ = (
        "_authentication", "_buffer", "_client", "_cookie", "_desk", "_held", "_keys", "_over", "_packets",
        "_protocols", "_secured", "_security", "_sprayed", "_stage", "_told", "_windows",
    )  # fmt: skip

    def __init__(self, visit: Visit) -> None:
        super().__init__(visit)
        self._buffer = bytearray()
        self._held = 0
        self._stage = Stage.REQUEST
        self._windows: FileServer = server_of(visit.host)
        self._authentication: Authentication | None = None
        self._protocols = 0  # that the client asked for
        self._cookie = ""
        self._secured = visit.tls  # whether TLS was begun
        self._security: Security | None = None
        self._client = pdus.Client()
        self._keys = Keys()
        self._desk: Desk | None = None  # for who is let in
        self._told = False  # whether one that looks for BlueKeep has found it
        self._sprayed = bytearray()  # into channels, by one that looks for BlueKeep
        self._packets = 0
        self._over = False

    @classmethod
    def claim(cls, first: bytes) -> Claim:
        """TPKT's header, and an X.224 connection request in it."""
        if first[:1] != b"\3":
            return Claim.NO
        if len(first) < 6:
            return Claim.UNSURE if first[1:2] in (b"", b"\0") else Claim.NO
        return Claim.YES if first[1] == 0 and first[5] & 0xF0 == 0xE0 else Claim.NO

    def tell(self, occasion: Occasion) -> Iterator[Order]:
        """Take one occasion and yield the orders that follow from it."""
        match occasion:
            case Received(at_s, data):
                if not self._over:
                    self._buffer += data
                    yield from self._read(at_s)
            case HalfClosed():
                self._over = True
                yield HangUp()
            case Answered() | Woken():
                if self._desk is not None:
                    yield from self._desk.go_on(occasion)
            case Ended():
                if self._desk is not None:
                    yield from self._desk.ended()
                if self._sprayed:
                    yield Keep(bytes(self._sprayed), "payload", _BLUEKEEP, partial=True)

    # --- reading -------------------------------------------------------------------------------------

    def _read(self, at_s: float) -> Iterator[Order]:
        self._account()
        while not self._over:
            is_bare = self._stage is Stage.CREDENTIALS or (self._stage is Stage.REQUEST and self.visit.tls)
            packet = self._ts_request() if is_bare else self._tpkt()
            if packet is None:
                return
            self._account()
            self._packets += 1
            if self._packets > PACKETS_MAX:
                raise PeerError(f"more than {PACKETS_MAX} packets in one session")
            yield from (Rdp._credentials if is_bare else _STEPS[self._stage])(self, packet, at_s)

    def _tpkt(self) -> bytes | None:
        """Return what is in the next packet of TPKT, None if it is not there yet."""
        if self._buffer and self._buffer[0] != 3:
            if self._stage is Stage.CHANNELS and not self._buffer[0] & 3:
                return self._fast()
            raise PeerError("no packet of TPKT")
        size = int.from_bytes(self._buffer[2:4], "big") if len(self._buffer) >= 4 else 0
        if len(self._buffer) < 4 or len(self._buffer) < size:
            return None
        if size < 7:
            raise PeerError("a packet of TPKT with nothing in it")
        return self._take(size)[4:]

    def _fast(self) -> bytes | None:
        """Return the next fast-path PDU (section 2.2.8.1.2), None if it is not there yet."""
        if len(self._buffer) < 3:
            return None
        is_long = self._buffer[1] & 0x80
        size = int.from_bytes(self._buffer[1:3], "big") & 0x7FFF if is_long else self._buffer[1]
        if size < 3:
            raise PeerError("a fast-path PDU with nothing in it")
        return None if len(self._buffer) < size else self._take(size)

    def _ts_request(self) -> bytes | None:
        size = pdus.ts_size(bytes(self._buffer[:6]))
        return None if size is None or len(self._buffer) < size else self._take(size)

    def _take(self, count: int) -> bytes:
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    def _account(self) -> None:
        more = len(self._buffer) + len(self._sprayed) - self._held
        if more > 0 and not self.visit.purse.take(more):
            raise PeerError("the session holds too many bytes")
        if more < 0:
            self.visit.purse.give_back(-more)
        self._held += more

    # --- who wants what ------------------------------------------------------------------------------

    @property
    def _wants_credentials_first(self) -> bool:
        """Whether this Windows has Network Level Authentication."""
        return self.visit.host.seed.child("rdp").number("network level authentication", 2) == 0

    def _request(self, packet: bytes, _at_s: float) -> Iterator[Order]:
        asked = pdus.request_of(packet)
        self._cookie = asked.cookie
        self._protocols = asked.protocols or 0
        offers = [name for bit, name in ((1, "TLS"), (2, "CredSSP"), (8, "CredSSP-EX")) if self._protocols & bit]
        yield Saw(CommandEntered(f"X.224 {asked.cookie or 'no cookie'}, {' '.join(offers) or 'no security'}"))
        secure = self._wants_credentials_first and self.visit.can_tls
        if secure and not self._protocols & (pdus.HYBRID | pdus.HYBRID_EX):
            yield Send(pdus.confirm(None, failure=_HYBRID_REQUIRED))
            self._over = True
            yield HangUp()
        elif secure:
            self._stage = Stage.CREDENTIALS
            yield Send(pdus.confirm(pdus.HYBRID))
            yield from self._begin_tls()
        elif self._protocols & pdus.SSL and self.visit.can_tls:
            self._stage = Stage.CONNECT
            yield Send(pdus.confirm(pdus.SSL))
            yield from self._begin_tls()
        else:
            self._stage = Stage.CONNECT
            yield Send(pdus.confirm(None if asked.protocols is None else pdus.RDP))

    def _begin_tls(self) -> Iterator[Order]:
        """What the client has sent behind its request waits for no answer, and is of TLS."""
        self._secured = True
        yield StartTls(self._take(len(self._buffer)))

    def _credentials(self, message: bytes, at_s: float) -> Iterator[Order]:
        self._stage = Stage.CREDENTIALS
        version, token = pdus.ts_read(message)
        if self._authentication is None:
            self._authentication = Authentication(self.visit, self._windows)
        answer = yield from _refused(self._authentication.answer(token, at_s))
        if answer.identity is None:
            yield Send(pdus.ts_request(version, token=answer.token))
            return
        # Whoever knows a password hears that it is right, and is not let in: there would have to be a desktop.
        status = _NOT_GRANTED if answer.identity.accepted and answer.identity.user else _LOGON_FAILED
        yield Send(pdus.ts_request(version, status=status))
        self._over = True
        yield HangUp()

    # --- MCS -----------------------------------------------------------------------------------------

    def _connect(self, packet: bytes, _at_s: float) -> Iterator[Order]:
        if packet[:3] != b"\x02\xf0\x80" or packet[3:5] != b"\x7f\x65":
            raise PeerError("no MCS Connect Initial")
        client = pdus.client_of(packet)
        self._client = client
        size = f"{client.width}x{client.height}"
        method = security.NONE if self._secured else security.chosen(client.encryption)
        yield Saw(RdpClientIdentified(client.name, self._cookie, client.build, client.keyboard, size, client.channels,
                                      security.BITS[method]))  # fmt: skip
        if self._bluekeep:
            yield Saw(ExploitRecognised("bluekeep", "CVE-2019-0708", " ".join(client.channels)))
        self._stage = Stage.CHANNELS
        if method == security.NONE:
            yield Send(pdus.connect_response(self._protocols, len(client.channels)))
        else:
            self._security = Security(self.visit.host.seed.child("rdp"), self.visit.seed, method)
            yield Send(pdus.connect_response(self._protocols, len(client.channels), self._security.block()))

    def _channel(self, packet: bytes, at_s: float) -> Iterator[Order]:
        if packet[0] & 3 == 0:
            yield from self._typed(self._keys.fast(self._opened_fast(packet)), at_s)
            return
        if packet[:3] != b"\x02\xf0\x80" or len(packet) < 4:
            raise PeerError("no packet of MCS")
        mcs = packet[3:]
        kind = mcs[0] >> 2
        if kind == 10:  # Attach User Request; T.125 section 7
            yield Send(pdus.attach_confirm())
        elif kind == 14 and len(mcs) >= 5:  # Channel Join Request
            yield Send(pdus.join_confirm(mcs[1:5]))
        elif kind == 25:  # Send Data Request
            channel, data = pdus.channel_data(mcs)
            if self._security is not None:
                data = self._opened(self._security, data)
            if data:
                yield from self._data(channel, data, at_s)
        elif kind == 8:  # Disconnect Provider Ultimatum
            self._over = True
            yield HangUp()

    def _opened(self, security_: Security, data: bytes) -> bytes:
        """Return what a packet says, nothing where it is the client's random. Its header stays where it tells more."""
        flags = int.from_bytes(data[:2], "little")
        if not security_.ready:
            if flags & security.EXCHANGE:
                security_.exchange(data)
                return b""
            return data
        if not flags & security.ENCRYPTED or len(data) < 12:
            return data
        plain = security_.opened(data[12:], data[4:12], checked=bool(flags & security.CHECKED))
        return data[:4] + plain if flags & security.INFO else plain

    def _opened_fast(self, packet: bytes) -> bytes:
        """Return a fast-path PDU as it is without encryption (section 2.2.8.1.2)."""
        start = 3 if packet[1] & 0x80 else 2
        if self._security is None or not packet[0] & 0x80 or len(packet) < start + 8:
            return packet
        plain = self._security.opened(packet[start + 8 :], packet[start : start + 8], checked=bool(packet[0] & 0x40))
        return bytes((packet[0] & 0x3F, 0)) + plain

    def _to_client(self, said: bytes) -> Send:
        """Return what is said on the input and output channel, encrypted where that was agreed on."""
        if self._security is not None and self._security.ready:
            said = self._security.closed(said)
        return Send(pdus.to_client(said))

    def _data(self, channel: int, data: bytes, at_s: float) -> Iterator[Order]:
        info = pdus.info_of(data) if channel == pdus.FIRST_CHANNEL else None
        if info is not None:
            user = f"{info.domain}\\{info.user}" if info.domain else info.user
            right = self._windows.accepts(info.user, info.password)
            accepted = admits(
                self.visit, info.user.lower().encode("utf-8", "replace"), info.password.encode("utf-8", "replace"),
                right=right, accounts=WINDOWS,
            )  # fmt: skip
            yield Saw(LoginTried(user, info.password, accepted))
            if info.shell:
                yield Saw(CommandEntered(info.shell))
            yield Send(pdus.to_client(pdus.licensed()))
            if accepted or self._bluekeep:
                self._desk = Desk(self.visit, self._windows.name)
                yield self._to_client(pdus.demand_active(self._client))
                return
            self._over = True
            yield Send(pdus.DISCONNECTED)
            yield HangUp()
        elif channel == pdus.FIRST_CHANNEL:
            if answer := pdus.finalised(data):
                yield self._to_client(answer)
            yield from self._typed(self._keys.slow(data), at_s)
        elif self._bluekeep:
            self._sprayed += data[: KEPT_BYTES_MAX - len(self._sprayed)]
            if channel == self._bluekeep and not self._told:
                self._told = True
                yield Send(pdus.DISCONNECTED)

    def _typed(self, presses: Iterator[Press], at_s: float) -> Iterator[Order]:
        if self._desk is not None:
            for key, down in presses:
                yield from self._desk.press(key, down=down, at_s=at_s)

    @property
    def _bluekeep(self) -> int:
        """The id of the channel that only the server itself may open, 0 if it was not asked for."""
        names = [name.upper() for name in self._client.channels]
        return pdus.FIRST_CHANNEL + 1 + names.index(_BLUEKEEP) if _BLUEKEEP in names else 0


def _refused(orders: Generator[Order, None, Answer]) -> Generator[Order, None, Answer]:
    """Pass on what NTLM's dialogue orders, but for who is let in: nobody is."""
    try:
        while True:
            order = next(orders)
            if isinstance(order, Saw) and isinstance(order.fact, LoginTried):
                order = Saw(replace(order.fact, accepted=False))
            yield order
    except StopIteration as end:
        answer: Answer = end.value
        return answer


_STEPS: dict[Stage, Callable[[Rdp, bytes, float], Iterator[Order]]] = {
    Stage.REQUEST: Rdp._request,
    Stage.CONNECT: Rdp._connect,
    Stage.CHANNELS: Rdp._channel,
}
