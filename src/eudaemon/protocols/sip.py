"""SIP (RFC 3261) as a small firm's Asterisk speaks it to strangers, over UDP and TCP.

    OPTIONS --> 200        REGISTER, INVITE … --> 401 --> the same with a digest --> 200, or 403
                                                  INVITE with a right one --> 100, 183, and after a while 503

The digest that answers the challenge is evidence. Who dials out is stated with the number dialled; no call is made.
Over UDP no peer is sent more bytes than it has sent: headers that nobody needs are left out where that is so.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from typing import ClassVar

from eudaemon.events.catalogue import ChallengeAnswered, CommandEntered, ExploitRecognised, LoginTried
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
    WakeAt,
    Woken,
)  # fmt: skip
from eudaemon.protocols._digest import Login, Message, MessageReader, login_of, parsed
from eudaemon.wire import PeerError, clipped, printable
from eudaemon.world.seed import Seed
from eudaemon.world.users import guesses

REQUESTS_MAX = 2000  # of one session
NUMBERS_MAX = 64  # dialled in one session that are stated
DATAGRAM_HEAD = re.compile(rb"\r?\n\r?\n")
_METHODS = (b"OPTIONS", b"REGISTER", b"INVITE", b"ACK", b"BYE", b"CANCEL", b"SUBSCRIBE", b"NOTIFY", b"MESSAGE", b"INFO",
            b"REFER", b"PUBLISH", b"PRACK", b"UPDATE")  # fmt: skip
_CHALLENGED = frozenset((b"REGISTER", b"INVITE", b"SUBSCRIBE", b"MESSAGE", b"REFER", b"PUBLISH"))
_ALLOW = b"INVITE, ACK, CANCEL, OPTIONS, BYE, REFER, SUBSCRIBE, NOTIFY, INFO, PUBLISH"
_SERVERS = (
    "Asterisk PBX 1.8.13.1~dfsg1-3+deb7u3", "Asterisk PBX 11.13.1~dfsg-2+deb8u4", "Asterisk PBX 13.14.1~dfsg-2+deb9u4",
    "Asterisk PBX 13.18.3~dfsg-1ubuntu4", "Asterisk PBX 16.2.1~dfsg-1+deb10u2", "Asterisk PBX 11.25.3",
    "Asterisk PBX 13.38.3", "Asterisk PBX 16.28.0", "Asterisk PBX 18.14.0",
)  # fmt: skip
_REASONS = {100: b"Trying", 183: b"Session Progress", 200: b"OK", 401: b"Unauthorized", 403: b"Forbidden",
            405: b"Method Not Allowed", 481: b"Call leg/transaction does not exist", 487: b"Request Terminated",
            503: b"Service Unavailable"}  # fmt: skip
_USER_PART = re.compile(rb"<?sips?:([^@>;\s]{1,128})@", re.IGNORECASE)
_DIALLED = re.compile(r"\+?\d{7,}")  # an extension is shorter


class Sip(Room):
    """One caller: of a connection, or of datagrams."""

    name: ClassVar[str] = "sip"

    __slots__ = ("_budget", "_call", "_numbers", "_reader", "_requests", "_seed")

    def __init__(self, visit: Visit) -> None:
        super().__init__(visit)
        self._reader = MessageReader(visit.purse)
        self._seed = visit.host.seed.child("sip")
        self._requests = 0
        self._budget = 0  # bytes that may be sent over UDP
        self._numbers: set[str] = set()
        self._call: Message | None = None  # an INVITE that rings

    @classmethod
    def claim(cls, first: bytes) -> Claim:
        """A method, and behind it an address of SIP's."""
        method, blank, rest = first.partition(b" ")
        if not blank:
            return Claim.UNSURE if any(known.startswith(method) for known in _METHODS) else Claim.NO
        if method not in _METHODS or not (rest[:4].lower() == b"sip:"[: len(rest)] or rest[:5].lower() == b"sips:"):
            return Claim.NO
        return Claim.YES if len(rest) >= 4 else Claim.UNSURE

    def tell(self, occasion: Occasion) -> Iterator[Order]:
        """Take one occasion and yield the orders that follow from it."""
        match occasion:
            case Received(at_s, data) if self.visit.transport == "udp":
                self._budget += len(data)
                yield from self._datagram(data, at_s)
            case Received(at_s, data):
                self._reader.feed(data)
                while (message := self._reader.next()) is not None:
                    yield from self._request(message, at_s)
            case Woken():
                call, self._call = self._call, None
                if call is not None:
                    yield from self._answer(call, 503)
            case HalfClosed():
                yield HangUp()

    def _datagram(self, data: bytes, at_s: float) -> Iterator[Order]:
        if not data.strip(b"\r\n\0"):
            return  # a keep-alive
        end = DATAGRAM_HEAD.search(data)
        head, body = (data[: end.start()], data[end.end() :]) if end else (data, b"")
        message = parsed(head.lstrip(b"\r\n"))
        yield from self._request(Message(message.method, message.target, message.version, message.headers, body), at_s)

    # --- requests ------------------------------------------------------------------------------------

    def _request(self, message: Message, at_s: float) -> Iterator[Order]:
        self._requests += 1
        if self._requests > REQUESTS_MAX:
            raise PeerError(f"more than {REQUESTS_MAX} requests in one session")
        if not message.version.upper().startswith(b"SIP/"):
            raise PeerError("a request that is none of SIP")
        agent = message.header(b"user-agent")
        shown = f"{printable(message.method, 32)} {printable(message.target, 512)}"
        yield Saw(CommandEntered(clipped(shown + (f" ({printable(agent, 256)})" if agent else ""), 1024)))
        if message.method == b"INVITE":
            yield from self._dialled(message)
        yield from self._served(message, at_s)

    def _served(self, message: Message, at_s: float) -> Iterator[Order]:
        if message.method == b"ACK":
            return
        if message.method == b"CANCEL" and self._call is not None:
            call, self._call = self._call, None
            yield from self._answer(message, 200)
            yield from self._answer(call, 487)
        elif message.method in (b"BYE", b"CANCEL"):
            yield from self._answer(message, 481)
        elif message.method not in _CHALLENGED:
            yield from self._answer(message, 200 if message.method in (b"OPTIONS", b"NOTIFY", b"INFO") else 405)
        elif (login := login_of(message.header(b"authorization", b"proxy-authorization"))) is None:
            yield from self._answer(message, 401)
        elif not (yield from self._logs_in(message, login)):
            yield from self._answer(message, 403)
        elif message.method == b"INVITE":
            self._call = message
            yield from self._answer(message, 100)
            yield from self._answer(message, 183)
            yield WakeAt(at_s + 5 + self.visit.seed.number("rings", 15))
        else:
            yield from self._answer(message, 200)

    def _dialled(self, message: Message) -> Iterator[Order]:
        found = _USER_PART.match(message.target)
        number = printable(found[1], 128) if found else ""
        digits = re.sub(r"[^\d+]", "", number)
        if _DIALLED.fullmatch(digits) and number not in self._numbers and len(self._numbers) < NUMBERS_MAX:
            self._numbers.add(number)
            yield Saw(ExploitRecognised("sip-toll-fraud", "", number))

    def _logs_in(self, message: Message, login: Login) -> Generator[Order, None, bool]:
        """State what was tried, and return whether it was right."""
        user = printable(login.user, 128)
        password = login.found(message.method, message.target, guesses(login.user))
        evidence = login.crackable(message.method, self.visit.local.ip, self.visit.attacker.ip)
        if evidence:
            yield Saw(ChallengeAnswered(user, "sip", clipped(evidence, 2048)))
        accepted = (
            password is not None
            and is_extension(self._seed, login.user)
            and password == password_of(self._seed, login.user)
        )
        yield Saw(LoginTried(user, None if password is None else printable(password, 128), accepted))
        return accepted

    # --- answers -------------------------------------------------------------------------------------

    def _answer(self, message: Message, status: int) -> Iterator[Order]:
        attacker = self.visit.attacker
        lines = [b"SIP/2.0 %d %s" % (status, _REASONS[status])]
        for number, via in enumerate(message.all(b"via", b"v")[:8]):
            seen = b""
            if number == 0:
                via, has_port = re.subn(rb";rport\b(?!=)", b"", via, count=1)
                seen = b";received=" + attacker.ip.encode() + (b";rport=%d" % attacker.port if has_port else b"")
            lines.append(b"Via: " + via + seen)
        lines.append(b"From: " + message.header(b"from", b"f"))
        to = message.header(b"to", b"t")
        tag = b";tag=as" + self.visit.seed.bytes(f"tag {printable(message.header(b'call-id', b'i'))}", 4).hex().encode()
        lines.append(b"To: " + to + (tag if status != 100 and b";tag=" not in to else b""))
        lines.append(b"Call-ID: " + message.header(b"call-id", b"i"))
        lines.append(b"CSeq: " + message.header(b"cseq"))
        server = b"Server: " + self._seed.choice("server", _SERVERS).encode()
        more = [server, b"Allow: " + _ALLOW, b"Supported: replaces, timer", b"Content-Length: 0"]
        if status == 401:
            nonce = self.visit.seed.bytes(f"nonce {self._requests}", 4).hex().encode()
            lines.append(b'WWW-Authenticate: Digest algorithm=MD5, realm="asterisk", nonce="%s"' % nonce)
        elif status == 200 and message.method == b"REGISTER":
            contact = message.header(b"contact", b"m")
            expires = message.header(b"expires") or b"3600"
            more = [b"Contact: %s;expires=%s" % (contact, expires), *more] if contact else more
        elif status == 200 and message.method == b"OPTIONS":
            more[3:3] = [b"Accept: application/sdp"]
        yield from self._send(lines, more)

    def _send(self, lines: list[bytes], more: list[bytes]) -> Iterator[Order]:
        """Send an answer; over UDP with as many of the lines that are not needed as the peer's own bytes pay for."""
        if self.visit.transport == "tcp":
            yield Send(b"\r\n".join([*lines, *more]) + b"\r\n\r\n")
            return
        size = sum(len(line) + 2 for line in lines) + 2
        for line in more:
            if size + len(line) + 2 <= self._budget:
                lines.append(line)
                size += len(line) + 2
        if size <= self._budget:
            self._budget -= size
            yield Send(b"\r\n".join(lines) + b"\r\n\r\n")


def is_extension(seed: Seed, user: bytes) -> bool:
    """Say whether a user is one of the pretended telephones."""
    first = seed.choice("first extension", (100, 200, 1000, 100, 600))
    digits = user if user.isdigit() and len(user) < 6 else b"0"
    return first <= int(digits) < first + 6 + seed.number("extensions", 20)


def password_of(seed: Seed, user: bytes) -> bytes:
    """Return a telephone's password: one of those that scanners try first."""
    return seed.choice(f"password {user.hex()}", (user, user, user + user, b"1234", b"123456", b"password", b"secret"))
