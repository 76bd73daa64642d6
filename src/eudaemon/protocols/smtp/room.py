"""The dialogue: who is there, who has sent it, who is to get it, the message. States in a table.

GREETED --HELO/EHLO--> READY --MAIL--> SENDER --RCPT--> RECIPIENTS --DATA--> message --> READY
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from enum import Enum
from typing import ClassVar

from eudaemon.events.catalogue import CommandEntered, ExploitRecognised, MailReceived
from eudaemon.protocols import _sasl
from eudaemon.protocols._base import (
    Answered,
    Claim,
    Ended,
    HalfClosed,
    Keep,
    Occasion,
    Opened,
    Order,
    Received,
    Saw,
    Secured,
    Send,
    Visit,
)  # fmt: skip
from eudaemon.protocols._mail import MailRoom
from eudaemon.protocols._shell import ShellDialogue
from eudaemon.protocols.smtp.attacks import Attack, body_of, in_address, in_header, subject_of
from eudaemon.protocols.smtp.products import Server
from eudaemon.wire import PeerError, printable

MESSAGE_BYTES_MAX = 16 * 1024 * 1024
RECIPIENTS_MAX = 100  # of one message
MESSAGES_MAX = 100  # of one session; further ones are refused as too many
SHELL_LINES_MAX = 200  # of a message's body that a shell would have read
_SHOWN_MAX = 20  # recipients in a fact
_CHARS_MAX = 320
_ENDS = (b"\n.\r\n", b"\n.\n")


class Stage(Enum):
    """How far the envelope is."""

    GREETED = "greeted"
    READY = "ready"
    SENDER = "sender named"
    RECIPIENTS = "recipients named"


class Smtp(MailRoom):
    """One client's connection."""

    name: ClassVar[str] = "smtp"
    speaks_first: ClassVar[bool] = True
    asking: ClassVar[bytes] = b"334 "
    line_bytes_max: ClassVar[int] = 12_288  # RFC 4954 section 4: of an answer in AUTH

    __slots__ = (
        "_attack", "_begun", "_helo", "_is_in", "_message", "_messages", "_recipients", "_sender", "_server",
        "_shell", "_stage", "_took",
    )  # fmt: skip

    def __init__(self, visit: Visit) -> None:
        super().__init__(visit)
        self._server: Server | None = None
        self._stage = Stage.GREETED
        self._helo = ""
        self._sender = b""
        self._recipients: list[bytes] = []
        self._message: bytearray | None = None  # while one comes
        self._begun = False  # whether any of it has come
        self._took = 0  # of it, from the purse
        self._messages = 0
        self._is_in = False
        self._shell: ShellDialogue | None = None
        self._attack: Attack | None = None  # whose script is the body that comes

    @classmethod
    def claim(cls, first: bytes) -> Claim:
        """Its clients wait for the greeting; one that does not says who it is."""
        word = first[:5].upper()
        if word in (b"EHLO ", b"HELO ", b"EHLO\r", b"HELO\r"):
            return Claim.YES
        return Claim.UNSURE if any(verb.startswith(word) for verb in (b"EHLO ", b"HELO ")) else Claim.NO

    @property
    def server(self) -> Server:
        """Who answers."""
        if self._server is None:
            self._server = Server(self.visit.host)
        return self._server

    def tell(self, occasion: Occasion) -> Iterator[Order]:
        """Take one occasion and yield the orders that follow from it."""
        match occasion:
            case Opened(at_s):
                yield Send(self.server.banner(at_s))
            case Received(at_s, data):
                yield from self.hear(data, at_s)
            case Answered():
                if self._shell is not None:
                    yield from self._shell.answered(occasion)
            case Secured():
                self._start_anew()
                self._stage, self._helo = Stage.GREETED, ""
            case HalfClosed():
                yield from self.hang_up()
            case Ended():
                if self._message is not None:
                    yield from self._keep(partial=True)
                if self._shell is not None:
                    yield from self._shell.ended()

    # --- lines ---------------------------------------------------------------------------------------

    def line(self, line: bytes, at_s: float) -> Iterator[Order]:
        """See `LineRoom`."""
        if self.logging_in:
            yield from self.go_on(line, at_s)
            return
        verb, _, rest = line.partition(b" ")
        verb = verb.upper()
        yield Saw(CommandEntered(printable(line if verb != b"AUTH" else b" ".join(line.split()[:2]), 1024)))
        step = STEPS.get((self._stage, verb)) or ALWAYS.get(verb)
        if step is not None:
            yield from step(self, rest.strip(), at_s)
        elif verb in (b"MAIL", b"RCPT", b"DATA"):
            without = "order" if verb != b"DATA" else "no rcpt" if self._stage is Stage.SENDER else "no mail"
            yield self._say(without)
        else:
            yield self._say("unknown", line[:512])

    def _say(self, key: str, what: bytes = b"", **words: str) -> Send:
        return Send(self.server.say(key, what=what.decode("latin-1"), **words))

    def _hello(self, rest: bytes, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        self._enter(rest)
        yield Send(f"250 {self.server.hello(self.visit.attacker.ip, self._helo)}\r\n".encode("latin-1", "replace"))

    def _extended_hello(self, rest: bytes, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        self._enter(rest)
        told = [self.server.hello(self.visit.attacker.ip, self._helo), *self.server.product.extensions]
        told.insert(-1, "AUTH " + " ".join(name.decode() for name in _sasl.MECHANISMS))
        if self.may_start_tls:
            told.insert(-1, "STARTTLS")
        lines = [f"250{'-' if index < len(told) - 1 else ' '}{line}\r\n" for index, line in enumerate(told)]
        yield Send("".join(lines).encode("latin-1", "replace"))

    def _enter(self, rest: bytes) -> None:
        self._start_anew()
        self._stage = Stage.READY
        self._helo = printable(rest, _CHARS_MAX).replace("\n", " ")

    def _mail(self, rest: bytes, at_s: float) -> Iterator[Order]:
        if rest[:5].upper() != b"FROM:":
            yield self._say("syntax", b"MAIL FROM:<address>")
            return
        if self._messages >= MESSAGES_MAX:
            raise PeerError(f"more than {MESSAGES_MAX} messages in one session")
        self._sender = rest[5:].strip()
        self._stage = Stage.SENDER
        yield from self._look_at(self._sender, at_s)
        yield self._say("mail", self._sender)

    def _recipient(self, rest: bytes, at_s: float) -> Iterator[Order]:
        if rest[:3].upper() != b"TO:" or not rest[3:].strip():
            yield self._say("syntax", b"RCPT TO:<address>")
            return
        if len(self._recipients) >= RECIPIENTS_MAX:
            yield self._say("many")
            return
        address = rest[3:].strip()
        self._recipients.append(address[:_CHARS_MAX])
        self._stage = Stage.RECIPIENTS
        yield from self._look_at(address, at_s)
        yield self._say("rcpt", address)

    def _data(self, rest: bytes, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        self._message, self._begun = bytearray(), False
        yield self._say("data")

    def _reset(self, rest: bytes, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        self._start_anew()
        yield self._say("reset")

    def _nothing(self, rest: bytes, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        yield self._say("ok")

    def _verify(self, rest: bytes, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        known = _sasl.name_of(rest.strip(b"<> ")) in (*self.visit.host.users, b"postmaster")
        yield self._say("vrfy" if known else "no user", rest.strip(b"<> ")[:_CHARS_MAX])

    def _expand(self, rest: bytes, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        known = _sasl.name_of(rest.strip(b"<> ")) in (*self.visit.host.users, b"postmaster")
        yield self._say("expn" if known or "{what}" not in self.server.product.says["expn"] else "no user",
                        rest.strip(b"<> ")[:_CHARS_MAX])  # fmt: skip

    def _help(self, rest: bytes, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        yield self._say("help")

    def _quit(self, rest: bytes, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        yield self._say("bye")
        yield from self.hang_up()

    def _start_tls(self, rest: bytes, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        if self.may_start_tls:
            yield from self.start_tls(self.server.say("tls"))
        else:
            yield self._say("unknown", b"STARTTLS")

    # --- logins --------------------------------------------------------------------------------------

    def _authenticate(self, rest: bytes, at_s: float) -> Iterator[Order]:
        mechanism, _, initial = rest.partition(b" ")
        if self._is_in:
            yield self._say("twice")
        elif mechanism.upper() not in _sasl.MECHANISMS:
            yield self._say("method", mechanism[:_CHARS_MAX])
        else:
            yield from self.begin_login(mechanism.upper(), initial.strip() or None, at_s)

    def broken_off(self, *, by_peer: bool) -> Iterator[Order]:
        """See `MailRoom`."""
        yield self._say("cancelled" if by_peer else "base64")

    def let_in(self, given: _sasl.Credentials, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        """See `MailRoom`."""
        self._is_in = True
        yield self._say("in")

    def kept_out(self) -> Iterator[Order]:
        """See `MailRoom`."""
        yield self._say("no")

    # --- the message ---------------------------------------------------------------------------------

    def block(self, unread: bytearray, at_s: float) -> Generator[Order, None, bool | None]:
        """Take lines of a message up to the one that is a dot."""
        message = self._message
        if message is None:
            return None
        ends = [(at + 1, at + len(mark)) for mark in _ENDS if (at := unread.find(mark)) >= 0]
        if not self._begun and unread.startswith((b".\r\n", b".\n")):
            ends = [(0, unread.index(b"\n") + 1)]
        end, behind = min(ends) if ends else (len(unread) - self._may_end(unread),) * 2
        piece = bytes(unread[:end])
        del unread[:behind]
        if piece and not self._begun:
            self._begun = True
            piece = piece.removeprefix(b".")
        self._take(piece.replace(b"\n.", b"\n"))  # RFC 5321 section 4.5.2: a dot was put before each dot
        if ends:
            yield from self._taken(at_s)
        return bool(ends)

    def _may_end(self, unread: bytearray) -> int:
        """Return how many of the last bytes may belong to the end of the message."""
        if not self._begun and bytes(unread) in (b".", b".\r"):
            return len(unread)
        return next((size for size in (3, 2, 1) if unread.endswith(_ENDS[0][:size])), 0)

    def _take(self, lines: bytes) -> None:
        if self._message is None:
            return
        fitting = lines[: MESSAGE_BYTES_MAX - len(self._message)]
        if not self.visit.purse.take(len(fitting)):
            raise PeerError("the session holds too many bytes")
        self._took += len(fitting)
        self._message += fitting
        if len(fitting) < len(lines):
            raise PeerError(f"message over {MESSAGE_BYTES_MAX} bytes")

    def _taken(self, at_s: float) -> Iterator[Order]:
        message = bytes(self._message or b"")
        self._messages += 1
        yield from self._keep()
        name = self.server.queue_id(self.visit.seed.child(f"queue {self._messages}"), at_s)
        attacks = in_header(message)
        if self._attack is not None:
            yield from self._run_body(body_of(message), at_s)
        for attack in attacks:
            yield from self._use(attack, at_s)
        self._start_anew()
        yield self._say("taken", id=name)

    def _keep(self, *, partial: bool = False) -> Iterator[Order]:
        """Keep the message as it came, without the dots that were put before dots, and say whose it is."""
        message, self._message = bytes(self._message or b""), None
        recipients = tuple(printable(address, _CHARS_MAX) for address in self._recipients[:_SHOWN_MAX])
        relayed = any(not self._is_ours(address) for address in self._recipients)
        yield Saw(MailReceived(
            printable(self._sender, _CHARS_MAX), recipients, len(self._recipients), relayed, len(message),
            printable(subject_of(message), _CHARS_MAX), self._helo,
        ))  # fmt: skip
        yield Keep(message, "upload", f"message-{self._messages}.eml", partial)
        self.visit.purse.give_back(self._took)
        self._took = 0

    def _is_ours(self, address: bytes) -> bool:
        """Whether mail to there would stay on this host."""
        _, at, domain = address.split(b">")[0].rpartition(b"@")
        ours = (self.server.name, self.visit.host.name.lower(), "localhost", f"[{self.visit.local.ip}]")
        return not at or domain.lower().decode("latin-1") in ours

    def _start_anew(self) -> None:
        self._sender, self._recipients, self._attack = b"", [], None
        if self._stage is not Stage.GREETED:
            self._stage = Stage.READY

    # --- what exploits would run ---------------------------------------------------------------------

    def _look_at(self, address: bytes, at_s: float) -> Iterator[Order]:
        attack = in_address(address)
        if attack is not None and attack.with_body:
            self._attack = attack
            yield Saw(ExploitRecognised(attack.name, attack.reference, printable(address, 4096)))
        elif attack is not None:
            yield from self._use(attack, at_s)

    def _use(self, attack: Attack, at_s: float) -> Iterator[Order]:
        yield Saw(ExploitRecognised(attack.name, attack.reference, printable(attack.command, 4096)))
        for command in attack.command.split(b"\n")[:SHELL_LINES_MAX]:
            yield from self._entered(command, at_s)

    def _run_body(self, body: bytes, at_s: float) -> Iterator[Order]:
        for line in body.split(b"\n")[:SHELL_LINES_MAX]:
            yield from self._entered(line, at_s)

    def _entered(self, line: bytes, at_s: float) -> Iterator[Order]:
        if self._shell is None:
            self._shell = ShellDialogue(self.visit, muted=True)
        if not self._shell.over:
            yield from self._shell.enter(line[: self.line_bytes_max], at_s)


_Step = Callable[[Smtp, bytes, float], Iterator[Order]]
STEPS: dict[tuple[Stage, bytes], _Step] = {
    (Stage.READY, b"MAIL"): Smtp._mail,
    (Stage.SENDER, b"RCPT"): Smtp._recipient,
    (Stage.RECIPIENTS, b"RCPT"): Smtp._recipient,
    (Stage.RECIPIENTS, b"DATA"): Smtp._data,
}
ALWAYS: dict[bytes, _Step] = {
    b"HELO": Smtp._hello, b"EHLO": Smtp._extended_hello, b"RSET": Smtp._reset, b"NOOP": Smtp._nothing,
    b"VRFY": Smtp._verify, b"EXPN": Smtp._expand, b"HELP": Smtp._help, b"QUIT": Smtp._quit, b"AUTH": Smtp._authenticate,
    b"STARTTLS": Smtp._start_tls,
}  # fmt: skip
