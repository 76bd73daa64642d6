"""The dialogue: commands with a tag, answers that bear it. What a command has in braces comes as a block behind it.

OUT --LOGIN, AUTHENTICATE--> IN --SELECT, EXAMINE--> OPEN --CLOSE--> IN
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from enum import IntEnum
from typing import ClassVar

from eudaemon.events.catalogue import CommandEntered
from eudaemon.protocols import _sasl
from eudaemon.protocols._base import (
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
from eudaemon.protocols._mailbox import Message, mailbox
from eudaemon.protocols.imap.spoken import LITERAL, WORDS_MAX, chosen, items_of, quoted, shown, words_of
from eudaemon.wire import PeerError, printable

LITERAL_BYTES_MAX = 16 * 1024 * 1024
LITERALS_MAX = 16  # of one command
APPENDED_MAX = 100  # messages that one session may leave to be kept
_TAG_BYTES_MAX = 64
_COURIER = "Courier-IMAP ready. Copyright 1998-2011 Double Precision, Inc.  See COPYING for distribution information."
_PRODUCTS = ("Dovecot ready.", "Dovecot (Ubuntu) ready.", _COURIER)
# What each can, how it says that it did not understand, and that a login failed.
_DOVECOTS = (
    ("IMAP4rev1", "LITERAL+", "ID", "IDLE", "UIDPLUS", "NAMESPACE"),
    b"BAD",
    b"[AUTHENTICATIONFAILED] Authentication failed.",
)
_COURIERS = ("IMAP4rev1", "UIDPLUS", "CHILDREN", "NAMESPACE", "THREAD=ORDEREDSUBJECT", "THREAD=REFERENCES", "SORT",
             "QUOTA", "IDLE", "ACL", "ACL2=UNION"), b"NO", b"Login failed."  # fmt: skip
_FOLDERS = (b"INBOX", b"Drafts", b"Sent", b"Trash")


class Stage(IntEnum):
    """How far in somebody is."""

    OUT = 0
    IN = 1
    OPEN = 2


class Imap(MailRoom):
    """One client's connection."""

    name: ClassVar[str] = "imap"
    speaks_first: ClassVar[bool] = True
    line_bytes_max: ClassVar[int] = 8192

    __slots__ = ("_appended", "_idles", "_literal", "_literals", "_messages", "_stage", "_tag",
                 "_user", "_wanted", "_words")  # fmt: skip

    def __init__(self, visit: Visit) -> None:
        super().__init__(visit)
        self._stage = Stage.OUT
        self._words: list[bytes] = []  # of a command that a block goes on
        self._literal: bytearray | None = None  # the block
        self._wanted = 0  # how many bytes it is to have
        self._literals = self._appended = 0
        self._tag = b""
        self._idles = False
        self._user = b""
        self._messages: tuple[Message, ...] = ()

    @classmethod
    def claim(cls, first: bytes) -> Claim:
        """Its clients wait for the greeting; one that does not has a tag before its command."""
        line, ended, _ = first.partition(b"\n")
        words = line.split(None, 2)
        if len(words) < 2:
            return Claim.UNSURE if not ended and len(line) < _TAG_BYTES_MAX and line[:1].isalnum() else Claim.NO
        verb = words[1].upper()
        if verb in (b"CAPABILITY", b"AUTHENTICATE", b"LOGOUT"):
            return Claim.YES
        known = verb in STEPS or (len(words) == 2 and any(name.startswith(verb) for name in STEPS))
        return Claim.UNSURE if known else Claim.NO

    def tell(self, occasion: Occasion) -> Iterator[Order]:
        """Take one occasion and yield the orders that follow from it."""
        match occasion:
            case Opened():
                yield Send(f"* OK [CAPABILITY {self._capabilities()}] {self._product}\r\n".encode())
            case Received(at_s, data):
                yield from self.hear(data, at_s)
            case Secured():
                self._stage = Stage.OUT
            case HalfClosed():
                yield from self.hang_up()
            case Ended():
                if self._literal:
                    yield from self._keep(bytes(self._literal), partial=True)
                self._forget_literal()

    # --- reading -------------------------------------------------------------------------------------

    def block(self, unread: bytearray, at_s: float) -> Generator[Order, None, bool | None]:  # noqa: ARG002
        """Take what a command has in braces."""
        if self._literal is None:
            return None
        piece = bytes(unread[: self._wanted - len(self._literal)])
        del unread[: len(piece)]
        if not self.visit.purse.take(len(piece)):
            raise PeerError("the session holds too many bytes")
        self._literal += piece
        if len(self._literal) < self._wanted:
            return False
        whole = bytes(self._literal)
        if self._is_append():
            yield from self._keep(whole)
        self._forget_literal()
        if len(whole) <= self.line_bytes_max:
            self._words.append(whole)
        return True

    def line(self, line: bytes, at_s: float) -> Iterator[Order]:
        """See `LineRoom`."""
        if self.logging_in:
            yield from self.go_on(line, at_s)
        elif self._idles:
            self._idles = False
            yield self._done(b"OK Idle completed.") if line.upper() == b"DONE" else self._done(b"BAD Expected DONE.")
        else:
            literal = LITERAL.search(line)
            self._words += words_of(line[: literal.start()] if literal else line)
            if literal:
                yield from self._await(int(literal[1]), goes_on=bool(literal[2]))
                return
            words, self._words, self._literals = self._words[:WORDS_MAX], [], 0
            yield from self._command(words, at_s)

    def _await(self, size: int, *, goes_on: bool) -> Iterator[Order]:
        self._literals += 1
        if size > LITERAL_BYTES_MAX or self._literals > LITERALS_MAX:
            raise PeerError(f"a literal over {LITERAL_BYTES_MAX} bytes, or more than {LITERALS_MAX}")
        self._literal, self._wanted = bytearray(), size
        if not goes_on:
            yield Send(b"+ OK\r\n")

    def _is_append(self) -> bool:
        return len(self._words) > 2 and self._words[1].upper() == b"APPEND" and self._stage is not Stage.OUT

    def _keep(self, message: bytes, *, partial: bool = False) -> Iterator[Order]:
        if self._is_append() and self._appended < APPENDED_MAX:
            self._appended += 1
            yield Keep(message, "upload", f"message-{self._appended}.eml", partial)

    def _forget_literal(self) -> None:
        if self._literal is not None:
            self.visit.purse.give_back(len(self._literal))
            self._literal = None

    def _command(self, words: list[bytes], at_s: float) -> Iterator[Order]:
        if not words:
            return
        self._tag = words[0][:_TAG_BYTES_MAX]
        verb = words[1].upper() if len(words) > 1 else b""
        if verb not in (b"LOGIN", b"AUTHENTICATE"):
            yield Saw(CommandEntered(printable(b" ".join(words[1:]), 1024)))
        by_uid = verb == b"UID" and len(words) > 2
        step = STEPS.get(words[2].upper() if by_uid else verb)
        if step is None or self._stage < step[0] or (by_uid and step[0] < Stage.OPEN):
            yield self._done(self._manner[1] + b" Error in IMAP command received by server.")
        else:
            yield from step[1](self, words[3 if by_uid else 2 :], at_s, by_uid)

    def _done(self, text: bytes) -> Send:
        return Send(b"%s %s\r\n" % (self._tag, text))

    # --- getting in ----------------------------------------------------------------------------------

    @property
    def _product(self) -> str:
        return self.visit.host.seed.choice("imap", _PRODUCTS)

    @property
    def _manner(self) -> tuple[tuple[str, ...], bytes, bytes]:
        return _COURIERS if self._product == _COURIER else _DOVECOTS

    def _capabilities(self) -> str:
        told = list(self._manner[0])
        if self._stage is Stage.OUT:
            told += ["STARTTLS"] * self.may_start_tls + [f"AUTH={name.decode()}" for name in _sasl.MECHANISMS]
        return " ".join(told)

    def capability(self, words: list[bytes], at_s: float, by_uid: bool) -> Iterator[Order]:  # noqa: ARG002
        """What the server can."""
        yield Send(f"* CAPABILITY {self._capabilities()}\r\n".encode())
        yield self._done(b"OK Capability completed.")

    def login(self, words: list[bytes], at_s: float, by_uid: bool) -> Iterator[Order]:  # noqa: ARG002
        """LOGIN user password."""
        if len(words) < 2:
            yield self._done(b"BAD Missing arguments.")
        else:
            yield from self.judge(_sasl.Credentials(words[0], words[1]), at_s)

    def authenticate(self, words: list[bytes], at_s: float, by_uid: bool) -> Iterator[Order]:  # noqa: ARG002
        """AUTHENTICATE mechanism [answer]."""
        mechanism = words[0].upper() if words else b""
        if mechanism not in _sasl.MECHANISMS:
            yield self._done(b"NO [CANNOT] Unsupported authentication mechanism.")
            return
        yield from self.begin_login(mechanism, words[1] if len(words) > 1 else None, at_s)

    def broken_off(self, *, by_peer: bool) -> Iterator[Order]:  # noqa: ARG002
        """See `MailRoom`."""
        yield self._done(b"BAD Invalid base64 data in continued response")

    def let_in(self, given: _sasl.Credentials, at_s: float) -> Iterator[Order]:
        """See `MailRoom`."""
        self._stage, self._user = Stage.IN, given.user
        self._messages = mailbox(self.visit.host, given.user, at_s)
        yield self._done(f"OK [CAPABILITY {self._capabilities()}] Logged in".encode())

    def kept_out(self) -> Iterator[Order]:
        """See `MailRoom`."""
        yield self._done(b"NO " + self._manner[2])

    def start(self, words: list[bytes], at_s: float, by_uid: bool) -> Iterator[Order]:  # noqa: ARG002
        """STARTTLS."""
        if self.may_start_tls:
            yield from self.start_tls(self._tag + b" OK Begin TLS negotiation now.\r\n")
        else:
            yield self._done(b"BAD TLS support isn't enabled.")

    def logout(self, words: list[bytes], at_s: float, by_uid: bool) -> Iterator[Order]:  # noqa: ARG002
        """LOGOUT."""
        yield Send(b"* BYE Logging out\r\n")
        yield self._done(b"OK Logout completed.")
        yield from self.hang_up()

    def identify(self, words: list[bytes], at_s: float, by_uid: bool) -> Iterator[Order]:  # noqa: ARG002
        """ID: what the client says of itself stands in the command."""
        yield Send(b"* ID NIL\r\n")
        yield self._done(b"OK ID completed.")

    # --- mailboxes -----------------------------------------------------------------------------------

    def listed(self, words: list[bytes], at_s: float, by_uid: bool) -> Iterator[Order]:  # noqa: ARG002
        """LIST, LSUB reference pattern."""
        pattern = words[1] if len(words) > 1 else b"*"
        if not pattern:
            yield Send(b'* LIST (\\Noselect) "/" ""\r\n')
        for folder in _FOLDERS:
            if pattern in (b"*", b"%") or folder.lower() == pattern.lower():
                yield Send(b'* LIST (\\HasNoChildren) "/" %s\r\n' % folder)
        yield self._done(b"OK List completed.")

    def namespace(self, words: list[bytes], at_s: float, by_uid: bool) -> Iterator[Order]:  # noqa: ARG002
        """NAMESPACE."""
        yield Send(b'* NAMESPACE (("" "/")) NIL NIL\r\n')
        yield self._done(b"OK Namespace completed.")

    def _in(self, folder: bytes) -> tuple[Message, ...] | None:
        names = [name.lower() for name in _FOLDERS]
        return None if folder.lower() not in names else self._messages if folder.lower() == b"inbox" else ()

    def _validity(self) -> bytes:
        return b"%d" % (int(self.visit.host.built_s) + self.visit.host.seed.number("uid validity", 1 << 24))

    def select(self, words: list[bytes], at_s: float, by_uid: bool) -> Iterator[Order]:  # noqa: ARG002
        """SELECT, EXAMINE mailbox."""
        found = self._in(words[0]) if words else None
        if found is None:
            yield self._done(b"NO [NONEXISTENT] Unknown Mailbox.")
            return
        self._stage = Stage.OPEN
        yield Send(b"* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)\r\n"
                   b"* %d EXISTS\r\n* 0 RECENT\r\n"
            b"* OK [UIDVALIDITY %s] UIDs valid\r\n* OK [UIDNEXT %d] Predicted next UID\r\n"
                   % (len(found), self._validity(), found[-1].uid + 1 if found else 1))  # fmt: skip
        yield self._done(b"OK [READ-WRITE] Select completed.")

    def status(self, words: list[bytes], at_s: float, by_uid: bool) -> Iterator[Order]:  # noqa: ARG002
        """STATUS mailbox (items)."""
        found = self._in(words[0]) if words else None
        if found is None:
            yield self._done(b"NO [NONEXISTENT] Unknown Mailbox.")
            return
        known = {b"MESSAGES": b"%d" % len(found), b"RECENT": b"0", b"UNSEEN": b"0", b"UIDVALIDITY": self._validity(),
                 b"UIDNEXT": b"%d" % (found[-1].uid + 1 if found else 1)}  # fmt: skip
        told = b" ".join(b"%s %s" % (word.upper(), known[word.upper()]) for word in words[1:] if word.upper() in known)
        yield Send(b"* STATUS %s (%s)\r\n" % (quoted(words[0].decode("latin-1")), told))
        yield self._done(b"OK Status completed.")

    def fetch(self, words: list[bytes], at_s: float, by_uid: bool) -> Iterator[Order]:  # noqa: ARG002
        """[UID] FETCH set items."""
        items = items_of(words[1:])
        if by_uid and b"UID" not in [item.upper() for item in items]:
            items.insert(0, b"UID")
        for number, message in chosen(words[0] if words else b"", self._messages, by_uid=by_uid):
            told = [text for item in items if (text := shown(message, item))]
            yield Send(b"* %d FETCH (%s)\r\n" % (number, b" ".join(told)))
        yield self._done(b"OK Fetch completed.")

    def search(self, words: list[bytes], at_s: float, by_uid: bool) -> Iterator[Order]:  # noqa: ARG002
        """[UID] SEARCH: all messages are old and seen; other keys find them all."""
        wanted = {word.upper() for word in words}
        nothing = wanted & {b"UNSEEN", b"NEW", b"RECENT", b"FLAGGED", b"DELETED", b"DRAFT", b"ANSWERED"}
        rows = [] if nothing else list(enumerate(self._messages, 1))
        numbers = b"".join(b" %d" % (message.uid if by_uid else number) for number, message in rows)
        yield Send(b"* SEARCH%s\r\n" % numbers)
        yield self._done(b"OK Search completed.")

    def idle(self, words: list[bytes], at_s: float, by_uid: bool) -> Iterator[Order]:  # noqa: ARG002
        """IDLE, until DONE."""
        self._idles = True
        yield Send(b"+ idling\r\n")

    def close(self, words: list[bytes], at_s: float, by_uid: bool) -> Iterator[Order]:  # noqa: ARG002
        """CLOSE."""
        self._stage = Stage.IN
        yield self._done(b"OK Close completed.")

    def ok(self, words: list[bytes], at_s: float, by_uid: bool) -> Iterator[Order]:  # noqa: ARG002
        """What succeeds, and changes nothing."""
        yield self._done(b"OK Completed.")


_Step = Callable[[Imap, list[bytes], float, bool], Iterator[Order]]
STEPS: dict[bytes, tuple[Stage, _Step]] = {
    b"CAPABILITY": (Stage.OUT, Imap.capability), b"NOOP": (Stage.OUT, Imap.ok), b"LOGOUT": (Stage.OUT, Imap.logout),
    b"STARTTLS": (Stage.OUT, Imap.start), b"LOGIN": (Stage.OUT, Imap.login),
    b"AUTHENTICATE": (Stage.OUT, Imap.authenticate), b"ID": (Stage.OUT, Imap.identify),
    b"LIST": (Stage.IN, Imap.listed), b"LSUB": (Stage.IN, Imap.listed), b"NAMESPACE": (Stage.IN, Imap.namespace),
    b"SELECT": (Stage.IN, Imap.select), b"EXAMINE": (Stage.IN, Imap.select), b"STATUS": (Stage.IN, Imap.status),
    b"APPEND": (Stage.IN, Imap.ok), b"CREATE": (Stage.IN, Imap.ok), b"SUBSCRIBE": (Stage.IN, Imap.ok),
    b"IDLE": (Stage.IN, Imap.idle), b"CHECK": (Stage.OPEN, Imap.ok), b"CLOSE": (Stage.OPEN, Imap.close),
    b"UNSELECT": (Stage.OPEN, Imap.close), b"EXPUNGE": (Stage.OPEN, Imap.ok), b"FETCH": (Stage.OPEN, Imap.fetch),
    b"SEARCH": (Stage.OPEN, Imap.search), b"STORE": (Stage.OPEN, Imap.ok), b"COPY": (Stage.OPEN, Imap.ok),
}  # fmt: skip
