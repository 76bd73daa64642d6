"""The room that pretends to be a mailbox with POP3 (RFC 1939, RFC 2449, RFC 5034).

    GREETED --USER--> NAMED --PASS--> IN        GREETED --AUTH--> IN

Owns logins and a mailbox that is empty or drawn. Deletes nothing: what is marked is there again the next time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum
from typing import ClassVar

from eudaemon.events.catalogue import CommandEntered
from eudaemon.protocols import _sasl
from eudaemon.protocols._base import Claim, HalfClosed, Occasion, Opened, Order, Received, Saw, Secured, Send, Visit
from eudaemon.protocols._mail import MailRoom
from eudaemon.protocols._mailbox import Message, mailbox
from eudaemon.wire import printable
from eudaemon.world.host import Host

_DOVECOT = b"[AUTH] Authentication failed.", b"", b"Unknown command.", b"", b"CAPA"
# What a server greets with, and what it says of a login that fails, of a user's name, of a command that is none, of
# what it can, and what of that comes first. All of them are known to nmap by name.
_PRODUCTS = (
    (b"Dovecot ready.", *_DOVECOT),
    (b"Dovecot (Ubuntu) ready.", *_DOVECOT),
    # Courier
    (b"Hello there.", b"Login failed.", b" Password required.", b"Invalid command.", b" Here's what I can do:",
     b"LOGIN-DELAY 10"),
    # University of Washington
    (b"POP3 {name} 2007f.104 server ready", b"Bad login", b" User name accepted, password please",
     b"Unknown AUTHORIZATION state command", b" Capability list follows:", b"LOGIN-DELAY 180"),
)  # fmt: skip


class Stage(Enum):
    """How far the dialogue is."""

    GREETED = "greeted"
    NAMED = "user named"
    IN = "logged in"


class Pop3(MailRoom):
    """One client's connection."""

    name: ClassVar[str] = "pop3"
    speaks_first: ClassVar[bool] = True
    line_bytes_max: ClassVar[int] = 4096

    __slots__ = ("_deleted", "_messages", "_stage", "_user")

    def __init__(self, visit: Visit) -> None:
        super().__init__(visit)
        self._stage = Stage.GREETED
        self._user = b""
        self._messages: tuple[Message, ...] = ()
        self._deleted: set[int] = set()

    @classmethod
    def claim(cls, first: bytes) -> Claim:
        """Its clients wait for the greeting; one that does not asks what there is, or begins to log in."""
        word = first[:5].upper()
        if word in (b"CAPA\r", b"CAPA\n"):
            return Claim.YES
        return Claim.UNSURE if any(verb.startswith(word) for verb in (b"CAPA\r", b"USER ")) else Claim.NO

    def tell(self, occasion: Occasion) -> Iterator[Order]:
        """Take one occasion and yield the orders that follow from it."""
        match occasion:
            case Opened():
                yield Send(b"+OK %s\r\n" % _product(self.visit.host)[0])
            case Received(at_s, data):
                yield from self.hear(data, at_s)
            case Secured():
                self._stage = Stage.GREETED
            case HalfClosed():
                yield from self.hang_up()

    def line(self, line: bytes, at_s: float) -> Iterator[Order]:
        """See `LineRoom`."""
        if self.logging_in:
            yield from self.go_on(line, at_s)
            return
        verb, _, rest = line.partition(b" ")
        verb = verb.upper()
        if verb not in (b"PASS", b"AUTH"):
            yield Saw(CommandEntered(printable(line, 1024)))
        step = STEPS.get((self._stage, verb)) or ALWAYS.get(verb)
        if step is None:  # absence is the error
            yield Send(b"-ERR %s\r\n" % _product(self.visit.host)[3])
        else:
            yield from step(self, rest, at_s)

    # --- getting in ----------------------------------------------------------------------------------

    def _capabilities(self, rest: bytes, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        *_, words, first = _product(self.visit.host)
        told = [first, b"TOP", b"UIDL", b"RESP-CODES", b"PIPELINING", b"USER", b"SASL " + b" ".join(_sasl.MECHANISMS)]
        told.insert(5, b"STLS") if self.may_start_tls else None
        yield Send(b"+OK" + words + b"\r\n" + b"".join(line + b"\r\n" for line in told) + b".\r\n")

    def _name(self, rest: bytes, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        self._user, self._stage = rest, Stage.NAMED
        yield Send(b"+OK" + _product(self.visit.host)[2] + b"\r\n")

    def _pass(self, rest: bytes, at_s: float) -> Iterator[Order]:
        yield from self.judge(_sasl.Credentials(self._user, rest), at_s)

    def _authenticate(self, rest: bytes, at_s: float) -> Iterator[Order]:
        mechanism, _, initial = rest.partition(b" ")
        if not mechanism:
            yield Send(b"+OK\r\n" + b"".join(name + b"\r\n" for name in _sasl.MECHANISMS) + b".\r\n")
        elif mechanism.upper() not in _sasl.MECHANISMS:
            yield Send(b"-ERR Unsupported authentication mechanism.\r\n")
        else:
            yield from self.begin_login(mechanism.upper(), initial or None, at_s)

    def broken_off(self, *, by_peer: bool) -> Iterator[Order]:  # noqa: ARG002
        """See `MailRoom`."""
        yield Send(b"-ERR Invalid base64 data in continued response\r\n")

    def let_in(self, given: _sasl.Credentials, at_s: float) -> Iterator[Order]:
        """See `MailRoom`."""
        self._stage = Stage.IN
        self._messages = mailbox(self.visit.host, given.user, at_s)
        yield Send(b"+OK Logged in.\r\n")

    def kept_out(self) -> Iterator[Order]:
        """See `MailRoom`."""
        self._stage = Stage.GREETED
        yield Send(b"-ERR %s\r\n" % _product(self.visit.host)[1])

    def _tls(self, rest: bytes, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        if self.may_start_tls:
            yield from self.start_tls(b"+OK Begin TLS negotiation now.\r\n")
        else:
            yield Send(b"-ERR TLS support isn't enabled.\r\n")

    def _quit(self, rest: bytes, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        yield Send(b"+OK Logging out.\r\n")
        yield from self.hang_up()

    # --- the mailbox ---------------------------------------------------------------------------------

    def _left(self) -> list[tuple[int, Message]]:
        return [(n, message) for n, message in enumerate(self._messages, 1) if n not in self._deleted]

    def _one(self, rest: bytes) -> tuple[int, Message] | None:
        word = rest.split(b" ")[0]
        return next((row for row in self._left() if b"%d" % row[0] == word), None)

    def _status(self, rest: bytes, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        left = self._left()
        yield Send(b"+OK %d %d\r\n" % (len(left), sum(len(message.content) for _, message in left)))

    def _rows(self, rest: bytes, show: Callable[[Message], bytes]) -> Iterator[Order]:
        if not rest:
            lines = b"".join(b"%d %s\r\n" % (n, show(message)) for n, message in self._left())
            yield Send(b"+OK %d messages:\r\n%s.\r\n" % (len(self._left()), lines))
        elif (row := self._one(rest)) is None:
            yield Send(b"-ERR There's no message %s.\r\n" % rest[:16])
        else:
            yield Send(b"+OK %d %s\r\n" % (row[0], show(row[1])))

    def _list(self, rest: bytes, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        yield from self._rows(rest, lambda message: b"%d" % len(message.content))

    def _unique(self, rest: bytes, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        yield from self._rows(rest, lambda message: b"%08x%08x" % (message.uid, int(message.at_s)))

    def _retrieve(self, rest: bytes, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        row = self._one(rest)
        if row is None:
            yield Send(b"-ERR There's no message %s.\r\n" % rest[:16])
        else:
            yield Send(b"+OK %d octets\r\n%s.\r\n" % (len(row[1].content), _stuffed(row[1].content)))

    def _top(self, rest: bytes, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        row, count = self._one(rest), rest.partition(b" ")[2]
        if row is None or not count.isdigit() or len(count) > 6:
            yield Send(b"-ERR Invalid message number.\r\n")
            return
        header = row[1].header
        body = row[1].content[len(header) :].splitlines(keepends=True)[: int(count)]
        yield Send(b"+OK\r\n%s.\r\n" % _stuffed(header + b"".join(body)))

    def _delete(self, rest: bytes, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        row = self._one(rest)
        if row is None:
            yield Send(b"-ERR There's no message %s.\r\n" % rest[:16])
        else:
            self._deleted.add(row[0])
            yield Send(b"+OK Marked to be deleted.\r\n")

    def _reset(self, rest: bytes, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        self._deleted.clear()
        yield Send(b"+OK\r\n")

    def _nothing(self, rest: bytes, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        yield Send(b"+OK\r\n")


def _product(host: Host) -> tuple[bytes, ...]:
    greeting, *others = host.seed.choice("pop3", _PRODUCTS)
    return greeting.replace(b"{name}", host.name.lower().encode()), *others


def _stuffed(text: bytes) -> bytes:
    return (b"\r\n" + text).replace(b"\r\n.", b"\r\n..")[2:]


_Step = Callable[[Pop3, bytes, float], Iterator[Order]]
STEPS: dict[tuple[Stage, bytes], _Step] = {
    (Stage.GREETED, b"USER"): Pop3._name,
    (Stage.GREETED, b"AUTH"): Pop3._authenticate,
    (Stage.GREETED, b"STLS"): Pop3._tls,
    (Stage.NAMED, b"USER"): Pop3._name,
    (Stage.NAMED, b"PASS"): Pop3._pass,
    (Stage.IN, b"STAT"): Pop3._status,
    (Stage.IN, b"LIST"): Pop3._list,
    (Stage.IN, b"UIDL"): Pop3._unique,
    (Stage.IN, b"RETR"): Pop3._retrieve,
    (Stage.IN, b"TOP"): Pop3._top,
    (Stage.IN, b"DELE"): Pop3._delete,
    (Stage.IN, b"RSET"): Pop3._reset,
    (Stage.IN, b"NOOP"): Pop3._nothing,
}
ALWAYS: dict[bytes, _Step] = {b"CAPA": Pop3._capabilities, b"QUIT": Pop3._quit}
