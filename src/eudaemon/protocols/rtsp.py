"""RTSP (RFC 2326) as a camera or recorder speaks it, up to PLAY. There is no picture.

    OPTIONS --> DESCRIBE --> 401 --> the same with Basic or Digest --> the stream's description --> SETUP --> PLAY

Which camera it is is drawn from the installation's seed. A digest is evidence, as are user and password where
they stand in the address itself.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import ClassVar

from eudaemon.events.catalogue import ChallengeAnswered, CommandEntered, ExploitRecognised, LoginTried
from eudaemon.protocols._accounts import admits
from eudaemon.protocols._base import (
    Claim,
    HalfClosed,
    HangUp,
    Keep,
    Occasion,
    Order,
    Received,
    Room,
    Saw,
    Send,
    Visit,
)  # fmt: skip
from eudaemon.protocols._digest import Message, MessageReader, login_of
from eudaemon.wire import PeerError, clipped, printable
from eudaemon.world.users import guesses

REQUESTS_MAX = 1000  # of one session
INTERLEAVED_MAX = 10_000  # pieces of RTP and RTCP that a client sends in between
AUTHORIZATION_BYTES_MAX = 1024  # no user has a longer one; an overflow has
_METHODS = (b"OPTIONS", b"DESCRIBE", b"SETUP", b"PLAY", b"PAUSE", b"TEARDOWN", b"ANNOUNCE", b"RECORD",
            b"GET_PARAMETER", b"SET_PARAMETER", b"REDIRECT")  # fmt: skip
_REASONS = {200: b"OK", 400: b"Bad Request", 401: b"Unauthorized", 404: b"Not Found", 405: b"Method Not Allowed",
            454: b"Session Not Found", 461: b"Unsupported Transport"}  # fmt: skip
_IN_ADDRESS = re.compile(rb"rtsp://([^:@/\s]{0,128}):([^@/\s]{0,128})@", re.IGNORECASE)
_IN_PATH = re.compile(rb"[/?&]user(?:name)?=([^&_/\s]{0,128})[&_]password=([^&_/\s]{0,128})", re.IGNORECASE)
# H.264's parameter sets of a picture of 1280 by 720 (RFC 6184 section 8.1).
_SETS = b"Z0IAH5WoFAFuQA==,aM48gA=="


@dataclass(frozen=True, slots=True)
class Make:
    """How one maker's cameras answer. `challenges` are the headers of a 401, realm and nonce to be put in."""

    server: bytes
    public: bytes
    challenges: tuple[bytes, ...]
    asks_first: bool  # whether OPTIONS, too, is answered with a challenge
    paths: re.Pattern[bytes]


_BASIC, _DIGEST = b'Basic realm="%(realm)s"', b'Digest realm="%(realm)s", nonce="%(nonce)s"'
MAKES = (
    Make(b"HiIpcam/V100R003 VodServer/1.0.0", b"OPTIONS, DESCRIBE, SETUP, TEARDOWN, PLAY,SET_PARAMETER,GET_PARAMETER",
         (_DIGEST, _BASIC), asks_first=False, paths=re.compile(rb"/(?:1[12]|live/ch0[01]|0)?/?", re.IGNORECASE)),
    Make(b"H264DVR 1.0", b"OPTIONS, DESCRIBE, SETUP, TEARDOWN, GET_PARAMETER, SET_PARAMETER, PLAY, PAUSE",
         (_DIGEST,), asks_first=False, paths=re.compile(rb"/(?:user=.*|ch\d+|h264)?/?", re.IGNORECASE)),
    Make(b"", b"OPTIONS, DESCRIBE, PLAY, PAUSE, SETUP, TEARDOWN, SET_PARAMETER, GET_PARAMETER",
         (b'Digest realm="Hikvision", nonce="%(nonce)s", stale="FALSE"', b'Basic realm="/"'), asks_first=True,
         paths=re.compile(rb"/(?:Streaming/Channels/\d+|h264/ch\d+/\w+/av_stream|ISAPI/streaming/channels/\d+)?/?(?:\?.*)?",
                          re.IGNORECASE)),
    Make(b"Dahua Rtsp Server", b"OPTIONS, DESCRIBE, ANNOUNCE, SETUP, PLAY, RECORD, PAUSE, TEARDOWN, SET_PARAMETER",
         (b'Basic realm="device"',), asks_first=True,
         paths=re.compile(rb"/(?:cam/realmonitor(?:\?.*)?|live)?/?", re.IGNORECASE)),
)  # fmt: skip


class Rtsp(Room):
    """One client of a camera."""

    name: ClassVar[str] = "rtsp"

    __slots__ = ("_interleaved", "_known", "_make", "_over", "_reader", "_requests", "_session")

    def __init__(self, visit: Visit) -> None:
        super().__init__(visit)
        self._make = visit.host.seed.child("rtsp").choice("make", MAKES)
        self._reader = MessageReader(visit.purse)
        self._requests = 0
        self._interleaved = 0
        self._known = b""  # the last login that was accepted, as its header says it
        self._session = b""
        self._over = False

    @classmethod
    def claim(cls, first: bytes) -> Claim:
        """A method, and behind it an address of RTSP's or its version."""
        method, blank, rest = first.partition(b" ")
        if not blank:
            return Claim.UNSURE if any(known.startswith(method) for known in _METHODS) else Claim.NO
        if method not in _METHODS:
            return Claim.NO
        if rest[:7].lower() == b"rtsp://" or b" RTSP/" in rest:
            return Claim.YES
        return Claim.UNSURE if b"\n" not in rest and not rest[:4].lower().startswith(b"sip:") else Claim.NO

    def tell(self, occasion: Occasion) -> Iterator[Order]:
        """Take one occasion and yield the orders that follow from it."""
        match occasion:
            case Received(_, data):
                if not self._over:
                    self._reader.feed(data)
                    yield from self._read()
            case HalfClosed():
                self._over = True
                yield HangUp()

    def _read(self) -> Iterator[Order]:
        while not self._over:
            if self._reader.interleaved() is not None:
                self._interleaved += 1
                if self._interleaved > INTERLEAVED_MAX:
                    raise PeerError(f"more than {INTERLEAVED_MAX} interleaved pieces")
                continue
            message = self._reader.next()
            if message is None:
                return
            self._requests += 1
            if self._requests > REQUESTS_MAX:
                raise PeerError(f"more than {REQUESTS_MAX} requests in one session")
            yield from self._request(message)

    # --- requests ------------------------------------------------------------------------------------

    def _request(self, message: Message) -> Iterator[Order]:
        agent = message.header(b"user-agent")
        shown = f"{printable(message.method, 32)} {printable(message.target, 1024)}"
        yield Saw(CommandEntered(shown + (f" ({printable(agent, 256)})" if agent else "")))
        if not message.version.startswith(b"RTSP/"):
            yield from self._answer(message, 400)
            self._over = True
            yield HangUp()
            return
        if message.method not in _METHODS:
            yield from self._answer(message, 405, b"Allow: " + self._make.public)
        elif message.method == b"OPTIONS" and not self._make.asks_first:
            yield from self._answer(message, 200, b"Public: " + self._make.public)
        elif not (yield from self._is_let_in(message)):
            yield from self._answer(message, 401, *self._challenges())
        else:
            yield from self._served(message)

    def _served(self, message: Message) -> Iterator[Order]:
        method = message.method
        if method == b"OPTIONS":
            yield from self._answer(message, 200, b"Public: " + self._make.public)
        elif method == b"DESCRIBE":
            if self._make.paths.fullmatch(_path(message.target)) is None:
                yield from self._answer(message, 404)
                return
            body = self._description()
            base = b"Content-Base: " + message.target.rstrip(b"/") + b"/"
            yield from self._answer(message, 200, b"Content-Type: application/sdp", base, body=body)
        elif method == b"SETUP":
            transport = message.header(b"transport")
            if not transport.upper().startswith(b"RTP/AVP"):
                yield from self._answer(message, 461)
                return
            self._session = self._session or str(1 + self.visit.seed.number("session", 2**31)).encode()
            more = b"" if b"interleaved" in transport else b";server_port=%d-%d" % self._ports()
            identity = b"Session: " + self._session + b";timeout=60"
            yield from self._answer(message, 200, b"Transport: " + transport + more, identity)
        elif method in (b"GET_PARAMETER", b"SET_PARAMETER"):
            yield from self._answer(message, 200)
        elif not self._session:
            yield from self._answer(message, 454)
        else:
            info = [b"RTP-Info: url=%s/trackID=1;seq=1;rtptime=0" % message.target] if method == b"PLAY" else []
            yield from self._answer(message, 200, b"Session: " + self._session, *info)
            if method == b"TEARDOWN":
                self._over = True
                yield HangUp()

    def _is_let_in(self, message: Message) -> Generator[Order, None, bool]:
        """State the login that a request brings, and return whether it opens."""
        header = message.header(b"authorization")
        if len(header) > AUTHORIZATION_BYTES_MAX:
            yield Saw(ExploitRecognised("rtsp-authorization-overflow", "CVE-2014-4880", f"{len(header)} bytes"))
            yield Keep(header, "payload")
            return False
        if header and header == self._known:
            return True
        login = login_of(header)
        if login is not None:
            password = login.found(message.method, message.target, guesses(login.user))
            evidence = login.crackable(message.method, self.visit.local.ip, self.visit.attacker.ip)
            if evidence:
                yield Saw(ChallengeAnswered(printable(login.user, 128), "rtsp", clipped(evidence, 2048)))
            accepted = yield from self._tried(login.user, password)
            self._known = header if accepted and login.password is not None else self._known
            return accepted
        found = _IN_ADDRESS.match(message.target) or _IN_PATH.search(message.target)
        return found is not None and (yield from self._tried(found[1], found[2]))

    def _tried(self, user: bytes, password: bytes | None) -> Generator[Order, None, bool]:
        right = password is not None and self.visit.host.accepts(user, password)
        accepted = password is not None and admits(self.visit, user, password, right=right)
        told = None if password is None else printable(password, 128)
        yield Saw(LoginTried(printable(user, 128), told, accepted))
        return accepted

    # --- answers -------------------------------------------------------------------------------------

    def _challenges(self) -> list[bytes]:
        fields = {
            b"realm": self.visit.host.name.encode(),
            b"nonce": self.visit.seed.bytes(f"nonce {self._requests}", 16).hex().encode(),
        }
        return [b"WWW-Authenticate: " + challenge % fields for challenge in self._make.challenges]

    def _answer(self, message: Message, status: int, *headers: bytes, body: bytes = b"") -> Iterator[Order]:
        lines = [b"RTSP/1.0 %d %s" % (status, _REASONS[status])]
        sequence = message.header(b"cseq")
        if sequence:
            lines.append(b"CSeq: " + sequence)
        server = [b"Server: " + self._make.server] if self._make.server else []
        # The order is part of how a make is recognised: a challenge stands before the server's name.
        lines += [*headers, *server] if status == 401 else [*server, *headers]
        if body or (status != 200 and server):
            lines.append(b"Content-Length: %d" % len(body))
        yield Send(b"\r\n".join(lines) + b"\r\n\r\n" + body)

    def _description(self) -> bytes:
        """Return the stream as SDP (RFC 4566)."""
        number = self.visit.host.seed.child("rtsp").number("origin", 10**9)
        address = self.visit.local.ip.encode()
        lines = (
            b"v=0", b"o=- %d %d IN IP4 %s" % (number, number, address), b"s=Media Presentation", b"c=IN IP4 0.0.0.0",
            b"t=0 0", b"a=control:*", b"a=range:npt=0-", b"m=video 0 RTP/AVP 96", b"a=control:trackID=1",
            b"a=rtpmap:96 H264/90000",
            b"a=fmtp:96 packetization-mode=1;profile-level-id=42001F;sprop-parameter-sets=" + _SETS,
            b"m=audio 0 RTP/AVP 0", b"a=control:trackID=2", b"a=rtpmap:0 PCMU/8000", b"",
        )  # fmt: skip
        return b"\r\n".join(lines)

    def _ports(self) -> tuple[int, int]:
        first = 50_000 + 2 * self.visit.seed.number("port", 5000)
        return first, first + 1


def _path(target: bytes) -> bytes:
    """Return the path of an address, `/` where there is none."""
    if target[:7].lower() != b"rtsp://":
        return target
    return b"/" + target[7:].partition(b"/")[2]
