"""The dialogue: LDAP messages in, and results (RFC 4511), over TCP, TLS and UDP. Nothing can be changed.

Binding is tried and stated (`login.tried`), every other operation is a command. A directory that is asked anonymously
shows all but the passwords' hashes; the administrator, whom a share of all passwords is good for, sees those too.

Over UDP (CLDAP, RFC 1798) an address can be forged, and the search that floods others is a common one: what is larger
than its question is refused as too large.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from eudaemon.events.catalogue import CommandEntered, ExploitRecognised, LoginTried
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
    StartTls,
    Visit,
)
from eudaemon.protocols.ldap.directory import HIDDEN, Attributes, Directory, Entry, directory_of, normal
from eudaemon.protocols.ldap.filters import Filter
from eudaemon.protocols.ldap.messages import CONTROLS, PAGED, control, leaves, message, page_of, parts_of, result
from eudaemon.wire import ByteReader, PeerError, ber, printable

MESSAGE_BYTES_MAX = 262_143  # slapd.conf(5): sockbuf_max_incoming
MESSAGES_MAX = 5000  # of one session
ATTRIBUTES_MAX = 64  # that are asked for
DATAGRAMS_MAX = 64  # of one peer that are looked at
_LINE_CHARS_MAX = 4096
_WEAK = (b"admin", b"password", b"secret", b"ldap", b"123456", b"changeme", b"welcome")
_OTHERS_ONE_IN = 12  # of the other passwords, as at every door
_SIMPLE, _SASL = 0x80, 0xA3
_BASE, _ONE, _SUBTREE = 0, 1, 2
_SUCCESS, _PROTOCOL_ERROR, _SIZE_LIMIT, _FALSE, _TRUE, _NO_METHOD, _STRONGER = 0, 2, 4, 5, 6, 7, 8
_NO_ATTRIBUTE, _NO_OBJECT, _BAD_NAME, _BAD_LOGIN, _NO_ACCESS, _UNWILLING = 16, 32, 34, 49, 50, 53
_OPERATIONS_ERROR, _TOO_LARGE = 1, 70
_START_TLS = b"1.3.6.1.4.1.1466.20037"  # RFC 4511 section 4.14
_WHO_AM_I = b"1.3.6.1.4.1.4203.1.11.3"  # RFC 4532
_CHANGES = {0x66: ("modify", 0x67), 0x68: ("add", 0x69), 0x4A: ("delete", 0x6B), 0x6C: ("modrdn", 0x6D)}
_OPERATIONS = frozenset((0x60, 0x42, 0x63, 0x6E, 0x50, 0x77, *_CHANGES))


@dataclass(frozen=True, slots=True)
class _Search:
    """What is searched for."""

    base: str
    scope: int
    size_max: int
    types_only: bool
    filter: Filter
    names: tuple[str, ...]  # of attributes, in small letters


class Ldap(Room):
    """One client of the directory."""

    name: ClassVar[str] = "ldap"

    __slots__ = ("_begins_tls", "_bound", "_datagrams", "_held", "_messages", "_number", "_over", "_page", "_reader",
                 "_secured")  # fmt: skip

    def __init__(self, visit: Visit) -> None:
        super().__init__(visit)
        self._reader = ByteReader(MESSAGE_BYTES_MAX)
        self._held = 0
        self._messages = 0
        self._bound = ""  # as whom
        self._page: tuple[int, int] | None = None  # which the operation asks for: how many entries, after how many
        self._over = False
        self._secured = visit.tls
        self._begins_tls = False  # behind the message at hand
        self._datagrams = 0
        self._number = 0  # of the search at hand

    @classmethod
    def claim(cls, first: bytes) -> Claim:
        """A sequence that begins with a number, and then one of LDAP's operations."""
        if first[:1] != b"\x30":
            return Claim.NO
        at = 2 + (first[1] & 0x7F if len(first) > 1 and first[1] & 0x80 else 0)
        if first[at : at + 1] not in (b"", bytes((ber.INTEGER,))):
            return Claim.NO
        if len(first) <= at + 1 or len(first) <= at + 2 + first[at + 1]:
            return Claim.UNSURE if len(first) < 16 else Claim.NO
        return Claim.YES if first[at + 2 + first[at + 1]] in _OPERATIONS else Claim.NO

    @property
    def directory(self) -> Directory:
        """What there is to be found."""
        return directory_of(self.visit.host)

    @property
    def _has_tls(self) -> bool:
        return self.visit.can_tls or self._secured

    @property
    def _hidden(self) -> frozenset[str]:
        return frozenset() if self._bound == normal(self.directory.admin.encode()) else HIDDEN

    def tell(self, occasion: Occasion) -> Iterator[Order]:
        """Take one occasion and yield the orders that follow from it."""
        match occasion:
            case Received(_, data) if self.visit.transport == "udp":
                self._datagrams += 1
                if self._datagrams <= DATAGRAMS_MAX:
                    yield from self._datagram(data)
            case Received(_, data):
                yield from self._received(data)
            case HalfClosed():
                yield HangUp()

    def _datagram(self, data: bytes) -> Iterator[Order]:
        """Answer a datagram with one that is no larger, if at all."""
        self._number, answer = 0, b""
        for order in self._received(data):
            if isinstance(order, Send):
                answer += order.data
            elif not isinstance(order, HangUp):
                yield order
        self._over = False
        self._forget()
        if len(answer) > len(data) and self._number:
            answer = result(self._number, 0x65, _TOO_LARGE).data
        if len(answer) <= len(data):
            yield Send(answer)

    def _forget(self) -> None:
        self._reader.take_all()
        self.visit.purse.give_back(self._held)
        self._held = 0

    def _received(self, data: bytes) -> Iterator[Order]:
        at = 0
        while at < len(data):  # no more at a time than may be held
            piece = data[at : at + self._reader.bytes_max - len(self._reader)]
            at += len(piece)
            self._reader.feed(piece)
            while (message := self._message()) is not None:
                yield from self._operation(message)
                if self._over:
                    return
                if self._begins_tls:  # what came in plain behind it is forgotten
                    self._begins_tls = False
                    self._forget()
                    yield StartTls()
                    return
        more = len(self._reader) - self._held
        if more > 0 and not self.visit.purse.take(more):
            raise PeerError("the session holds too many bytes")
        if more < 0:
            self.visit.purse.give_back(-more)
        self._held = len(self._reader)

    def _message(self) -> bytes | None:
        waiting = self._reader.peek()
        if waiting[:1] not in (b"", b"\x30"):
            raise PeerError("no LDAP message")
        size = ber.size(waiting[:6])
        if size is None:
            return None
        if size > MESSAGE_BYTES_MAX:
            raise PeerError(f"a message over {MESSAGE_BYTES_MAX} bytes")
        whole = self._reader.take(size)
        if whole is not None:
            self._messages += 1
            if self._messages > MESSAGES_MAX:
                raise PeerError(f"more than {MESSAGES_MAX} messages in one session")
        return whole

    def _operation(self, message: bytes) -> Iterator[Order]:
        ((_, content),) = ber.elements(message)
        parts = list(ber.elements(content))
        if self.visit.transport == "udp" and len(parts) > 2 and parts[1][0] == ber.OCTETS:
            del parts[1]  # who asks, in version 2
        if len(parts) < 2 or parts[0][0] != ber.INTEGER:
            raise PeerError("no LDAP message")
        number, (kind, body) = ber.integer(parts[0][1]), parts[1]
        self._page = page_of(parts[2][1]) if len(parts) > 2 and parts[2][0] == CONTROLS else None
        if kind in _CHANGES:
            yield from self._change(number, kind, body)
            return
        step = STEPS.get(kind)
        if step is None:
            raise PeerError(f"no LDAP operation {kind:#04x}")
        yield from step(self, number, body)

    # --- binding -------------------------------------------------------------------------------------

    def bind(self, number: int, body: bytes) -> Iterator[Order]:
        """BindRequest."""
        version, (_, dn), (method, content) = parts_of(body, 3)
        who = printable(dn, 512)
        code, said = _SUCCESS, ""
        if ber.integer(version[1]) != 3:
            code, said = _PROTOCOL_ERROR, "historical protocol version requested, use LDAPv3 instead"
            if content:
                yield Saw(LoginTried(who, printable(content, 512), accepted=False))
        elif method == _SASL:
            code, said = _NO_METHOD, "SASL(-4): no mechanism available: "
            yield from self._sasl(content, who)
        elif method != _SIMPLE:
            code, said = _NO_METHOD, "unknown authentication method"
        elif dn and not content:
            code, said = _UNWILLING, "unauthenticated bind (DN with no password) disallowed"
        elif content:
            code = _SUCCESS if self._lets_in(dn, content) else _BAD_LOGIN
            yield Saw(LoginTried(who, printable(content, 512), accepted=code == _SUCCESS))
        self._bound = normal(dn) if code == _SUCCESS else ""
        yield result(number, 0x61, code, said)

    def _lets_in(self, dn: bytes, password: bytes) -> bool:
        name = normal(dn)
        if name not in self.directory.entries or "userPassword" not in self.directory.entries[name].attributes:
            return False
        seed = self.visit.host.seed.child("ldap logins")
        weak = seed.choice("password of " + name, _WEAK)
        return password == weak or seed.number(f"{name} {password.hex()}", _OTHERS_ONE_IN) == 0

    def _sasl(self, content: bytes, who: str) -> Iterator[Order]:
        parts = [value for _, value in ber.elements(content)]
        mechanism = printable(parts[0] if parts else b"", 64)
        given = parts[1] if len(parts) > 1 else b""
        if mechanism.upper() == "PLAIN" and given.count(b"\0") == 2:  # RFC 4616
            _, user, password = given.split(b"\0")
            yield Saw(LoginTried(printable(user, 512), printable(password, 512), accepted=False))
        else:
            yield Saw(CommandEntered(f"bind {who} SASL {mechanism} {printable(given, 1024)}".strip()))

    def unbind(self, _number: int, _body: bytes) -> Iterator[Order]:
        """UnbindRequest."""
        self._over = True
        yield HangUp()

    # --- searching -----------------------------------------------------------------------------------

    def search(self, number: int, body: bytes) -> Iterator[Order]:
        """SearchRequest."""
        (_, base), scope, _, size, _, types, wanted, attributes = parts_of(body, 8)
        names = tuple(name.decode("latin-1") for _, name in ber.elements(attributes[1]))[:ATTRIBUTES_MAX]
        asked = _Search(
            normal(base), ber.integer(scope[1]), ber.integer(size[1]), types[1] not in (b"", b"\0"),
            Filter(*wanted), tuple(name.lower() for name in names),
        )  # fmt: skip
        scopes = {_BASE: "base", _ONE: "one", _SUBTREE: "sub"}
        if asked.scope not in scopes:
            yield result(number, 0x65, _PROTOCOL_ERROR, "invalid scope")
            return
        line = f'search base="{printable(base, 512)}" scope={scopes[asked.scope]} filter={asked.filter.written}'
        yield Saw(CommandEntered(printable(" ".join((line, *names)).encode(), _LINE_CHARS_MAX)))
        self._number = number
        if self.visit.transport == "udp" and asked.scope == _BASE and not asked.base and {*names} <= {"*", "+"}:
            yield Saw(ExploitRecognised("cldap-amplification", "", line))
        found = self._found(asked)
        if found is None:
            yield result(number, 0x65, _NO_OBJECT, matched=self.directory.parent_of(asked.base))
            return
        meant = [entry for entry in found if asked.filter.matches(entry, self._hidden)]
        shown = meant[: asked.size_max] if asked.size_max > 0 else meant
        more = b""
        if self._page is not None:
            count, before = self._page
            rest, shown = shown[before + count :], shown[before : before + count]
            cookie = (before + count).to_bytes(4, "big") if rest else b""
            value = ber.encoded(ber.SEQUENCE, ber.number(0), ber.encoded(ber.OCTETS, cookie))
            more = ber.encoded(CONTROLS, control(PAGED, value))
        for entry in shown:
            yield Send(message(number, 0x64, ber.encoded(ber.OCTETS, entry.dn.encode()), self._shown(entry, asked)))
        is_cut = 0 < asked.size_max < len(meant)
        yield result(number, 0x65, _SIZE_LIMIT if is_cut else _SUCCESS, controls=more)

    def _found(self, asked: _Search) -> list[Entry] | None:
        """Return the entries in a search's scope, None if there is no entry at its base."""
        directory, base = self.directory, asked.base
        if asked.scope == _BASE and base in ("", "cn=subschema"):
            return [directory.schema if base else directory.root_with_tls if self._has_tls else directory.root]
        if base not in directory.entries:
            return None
        if asked.scope == _BASE:
            return [directory.entries[base]]
        below = [(name, entry) for name, entry in directory.entries.items() if name.endswith("," + base)]
        if asked.scope == _ONE:
            return [entry for name, entry in below if name.partition(",")[2] == base]
        return [directory.entries[base], *(entry for _, entry in below)]

    def _shown(self, entry: Entry, asked: _Search) -> bytes:
        """Return the attributes of an entry that were asked for."""
        everything = not asked.names or "*" in asked.names
        hidden = self._hidden
        chosen: Attributes = {
            name: values for name, values in entry.attributes.items()
            if (everything or name.lower() in asked.names) and name.lower() not in hidden
        }  # fmt: skip
        chosen |= {name: values for name, values in entry.operational.items()
                   if "+" in asked.names or name.lower() in asked.names}  # fmt: skip
        listed = (
            ber.encoded(
                ber.SEQUENCE, ber.encoded(ber.OCTETS, name.encode()),
                ber.encoded(ber.SET, *(() if asked.types_only else (ber.encoded(ber.OCTETS, one) for one in values))),
            )
            for name, values in chosen.items()
        )  # fmt: skip
        return ber.encoded(ber.SEQUENCE, *listed)

    def compare(self, number: int, body: bytes) -> Iterator[Order]:
        """CompareRequest."""
        (_, dn), (_, assertion) = parts_of(body, 2)
        (_, kind), (_, value) = parts_of(assertion, 2)
        shown = f"compare {printable(dn, 512)} {printable(kind, 128)}={printable(value, 512)}"
        yield Saw(CommandEntered(shown))
        entry, name = self.directory.entries.get(normal(dn)), kind.decode("latin-1").lower()
        if entry is None:
            yield result(number, 0x6F, _NO_OBJECT, matched=self.directory.parent_of(normal(dn)))
            return
        values = next((found for known, found in entry.attributes.items() if known.lower() == name), ())
        if not values or name in self._hidden:
            yield result(number, 0x6F, _NO_ATTRIBUTE)
            return
        yield result(number, 0x6F, _TRUE if value.lower() in [one.lower() for one in values] else _FALSE)

    # --- the others ----------------------------------------------------------------------------------

    def _change(self, number: int, kind: int, body: bytes) -> Iterator[Order]:
        """Nobody may change anything; what was to be changed is a command, cut at the limit."""
        verb, answer = _CHANGES[kind]
        parts = [body] if verb == "delete" else [value for _, value in ber.elements(body)]
        more = " ".join(printable(value, 1024) for part in parts[1:] for value in leaves(part))
        line = f"{verb} {printable(parts[0] if parts else b'', 512)} {more}".strip()
        yield Saw(CommandEntered(printable(line.encode(), _LINE_CHARS_MAX)))
        if not self._bound:
            yield result(number, answer, _STRONGER, "modifications require authentication")
        elif self._hidden:
            yield result(number, answer, _NO_ACCESS, "no write access to entry")
        else:
            yield result(number, answer, _UNWILLING, "operation restricted")

    def abandon(self, _number: int, _body: bytes) -> Iterator[Order]:
        """AbandonRequest: nothing takes so long."""
        yield from ()

    def extended(self, number: int, body: bytes) -> Iterator[Order]:
        """ExtendedRequest."""
        parts = list(ber.elements(body))
        name = parts[0][1] if parts else b""
        yield Saw(CommandEntered(f"extended {printable(name, 128)}"))
        if name == _START_TLS and self._has_tls:
            yield from self._start_tls(number)
        elif name == _WHO_AM_I:
            entry = self.directory.entries.get(self._bound)
            who = f"dn:{entry.dn}".encode() if entry else b""
            yield result(number, 0x78, _SUCCESS, more=ber.encoded(0x8B, who))
        else:
            yield result(number, 0x78, _PROTOCOL_ERROR, "unsupported extended operation")

    def _start_tls(self, number: int) -> Iterator[Order]:
        if self._secured:
            yield result(number, 0x78, _OPERATIONS_ERROR, "TLS already started")
        else:
            yield result(number, 0x78, _SUCCESS)
            self._secured = self._begins_tls = True


STEPS: dict[int, Callable[[Ldap, int, bytes], Iterator[Order]]] = {
    0x60: Ldap.bind, 0x42: Ldap.unbind, 0x63: Ldap.search, 0x6E: Ldap.compare, 0x50: Ldap.abandon, 0x77: Ldap.extended,
}  # fmt: skip
