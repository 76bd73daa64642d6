"""The room: one client, of datagrams or of a connection (RFC 3430).

A community is a password: `public` reads, `private` writes, others are stated and not answered. Over UDP the address
may be forged, so what is said is paid for with what was heard: an answer that is larger than what the client has sent
is kept back until it has asked again, as clients do; of a text that is asked for by name as much is said as fits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import ClassVar

from eudaemon.events.catalogue import ChallengeAnswered, CommandEntered, ExploitRecognised, LoginTried
from eudaemon.protocols._base import (
    Answered,
    Claim,
    Ended,
    Fetch,
    HalfClosed,
    HangUp,
    Occasion,
    Order,
    Received,
    Room,
    Saw,
    Send,
    Visit,
)  # fmt: skip
from eudaemon.protocols._shell import Captured
from eudaemon.protocols.snmp import messages as m
from eudaemon.protocols.snmp.mib import Mib, mib_of, text
from eudaemon.protocols.snmp.written import OUTPUTS, Deed, Tables
from eudaemon.wire import ByteReader, PeerError, ber, printable
from eudaemon.world.outside import Download

MESSAGE_BYTES_MAX = 4096
MESSAGES_MAX = 4000  # of one session: a walk asks for each object once, over UDP several times
SAID_MAX = 64  # requests of one session that are stated; what is set, always
COMMUNITIES_MAX = 64  # of one session that are stated
ROWS_MAX = 64  # of an answer to GETBULK
OUTPUT_BYTES_MAX = 1024  # of a command that one gets to see
_READS, _WRITES = (b"public", b"private"), (b"private",)
_NAMES = {m.GET: "get", m.GET_NEXT: "getnext", m.SET: "set", m.GET_BULK: "getbulk", m.INFORM: "inform"}
# RFC 3414 section 5: usmStats.
_UNKNOWN_USERS, _UNKNOWN_ENGINES, _WRONG_DIGESTS = ((1, 3, 6, 1, 6, 3, 15, 1, 1, number, 0) for number in (3, 4, 5))
_FLOODS = 50  # objects at once that nobody walks with


class Snmp(Room):
    """One client."""

    name: ClassVar[str] = "snmp"

    __slots__ = (
        "_asked", "_communities", "_credit_bytes", "_messages", "_outputs", "_reader", "_said", "_shell", "_tables",
    )  # fmt: skip

    def __init__(self, visit: Visit) -> None:
        super().__init__(visit)
        self._reader = ByteReader(MESSAGE_BYTES_MAX + 65_536)
        self._credit_bytes = 0  # heard and not answered yet
        self._messages = 0
        self._said = 0
        self._communities: dict[bytes, None] = {}
        self._tables = Tables()
        self._shell: Captured | None = None
        self._asked: deque[bool] = deque()  # of each download under way, whether it is the shell's
        self._outputs: dict[m.Oid, bytes] = {}  # what commands printed, by the object that shows it

    @classmethod
    def claim(cls, first: bytes) -> Claim:
        """A sequence that begins with a version, then with a community or version 3's header."""
        head = first[:4]
        at = 4 if head[:2] == b"\x30\x82" else 3 if head[:2] == b"\x30\x81" else 2
        if first[:1] != b"\x30":
            return Claim.NO
        if len(first) < at + 4:
            return Claim.UNSURE
        version, follows = first[at : at + 3], first[at + 3]
        versions = {b"\2\1\0": ber.OCTETS, b"\2\1\1": ber.OCTETS, b"\2\1\3": ber.SEQUENCE}
        return Claim.YES if versions.get(version) == follows else Claim.NO

    def tell(self, occasion: Occasion) -> Iterator[Order]:
        """Take one occasion and yield the orders that follow from it."""
        match occasion:
            case Received(at_s, data) if self.visit.transport == "udp":
                self._credit_bytes += len(data)
                self._messages += 1
                if self._messages <= MESSAGES_MAX and len(data) <= MESSAGE_BYTES_MAX:
                    yield from self._message(data, at_s)
            case Received(at_s, data):
                self._reader.feed(data)
                while (message := self._next()) is not None:
                    self._messages += 1
                    if self._messages > MESSAGES_MAX:
                        raise PeerError(f"more than {MESSAGES_MAX} messages in one session")
                    yield from self._message(message, at_s)
            case Answered() if self._asked:
                if self._asked.popleft() and self._shell:
                    yield from self._of_shell(self._shell.answered(occasion))
            case HalfClosed():
                yield HangUp()
            case Ended() if self._shell:
                yield from self._shell.ended()

    def _next(self) -> bytes | None:
        size = ber.size(self._reader.peek()[:6])
        if size is not None and size > MESSAGE_BYTES_MAX:
            raise PeerError(f"message over {MESSAGE_BYTES_MAX} bytes")
        return self._reader.take(size) if size else None

    @property
    def _mib(self) -> Mib:
        return mib_of(self.visit.host)

    def _message(self, data: bytes, at_s: float) -> Iterator[Order]:
        message = m.read(data)
        if isinstance(message, m.Secured):
            yield from self._secured(message, data, at_s)
            return
        pdu = message.pdu
        wanted = _WRITES if pdu.kind == m.SET else _READS
        yield from self._community(message.community, accepted=message.community in wanted)
        yield from self._stated(pdu)
        if pdu.kind == m.SET and message.community in _WRITES:
            for deed in self._tables.put(pdu.varbinds):
                yield from self._do(deed, at_s)
        if message.community in _READS and pdu.kind in _STEPS:
            yield from _STEPS[pdu.kind](self, message, at_s)

    def _community(self, community: bytes, *, accepted: bool) -> Iterator[Order]:
        if community not in self._communities and len(self._communities) < COMMUNITIES_MAX:
            self._communities[community] = None
            yield Saw(LoginTried("", printable(community, 256), accepted))

    def _stated(self, pdu: m.Pdu) -> Iterator[Order]:
        """State what is asked, the first times, and what is set, always."""
        self._said += pdu.kind != m.SET
        if pdu.kind not in _NAMES or (pdu.kind != m.SET and self._said > SAID_MAX):
            return
        names = [".".join(map(str, name)) for name, _, _ in pdu.varbinds]
        if pdu.kind == m.SET:
            names = [
                f"{name} = {_shown(tag, value)}" for name, (_, tag, value) in zip(names, pdu.varbinds, strict=True)
            ]
        bulk = f" {pdu.first}/{pdu.second}" if pdu.kind == m.GET_BULK else ""
        yield Saw(CommandEntered(printable(f"{_NAMES[pdu.kind]}{bulk} {', '.join(names)}".encode(), 4096)))
        if pdu.kind == m.GET_BULK and self.visit.transport == "udp" and pdu.second * max(1, len(names)) > _FLOODS:
            yield Saw(ExploitRecognised("snmp-amplification", "T1498.002", f"{pdu.second} repetitions"))

    # --- answers -------------------------------------------------------------------------------------

    def _value(self, name: m.Oid, at_s: float) -> bytes | None:
        output = self._outputs.get(name)
        return text(output) if output is not None else self._mib.get(name, at_s)

    def _after(self, name: m.Oid) -> m.Oid | None:
        printed = min((one for one in self._outputs if one > name), default=None)
        following = self._mib.after(name)
        return min(filter(None, (printed, following)), default=None)

    def _get(self, asked: m.Message, at_s: float) -> Iterator[Order]:
        values = [self._value(name, at_s) for name, _, _ in asked.pdu.varbinds]
        if asked.version == 0 and None in values:
            yield from self._refused(asked, m.NO_SUCH_NAME, values.index(None) + 1)
            return
        found = list(
            zip((name for name, _, _ in asked.pdu.varbinds), (one or m.NO_OBJECT for one in values), strict=True)
        )
        whole = m.response(asked, [m.varbind(*one) for one in found])
        over = len(whole) - self._credit_bytes
        if self.visit.transport == "udp" and over > 0:  # of texts, from the last on, as much as fits
            for at in reversed(range(len(found))):
                name, value = found[at]
                if value[0] == ber.OCTETS and over > 0:
                    ((_, content),) = ber.elements(value)
                    kept = content[: max(0, len(content) - over)]
                    over -= len(content) - len(kept)
                    found[at] = name, text(kept)
            whole = m.response(asked, [m.varbind(*one) for one in found])
        yield from self._send(whole)

    def _get_next(self, asked: m.Message, at_s: float) -> Iterator[Order]:
        found: list[bytes] = []
        for index, (name, _, _) in enumerate(asked.pdu.varbinds, start=1):
            row = self._row_after(name, at_s)
            if row is None and asked.version == 0:
                yield from self._refused(asked, m.NO_SUCH_NAME, index)
                return
            found.append(m.varbind(*row) if row else m.varbind(name, m.END_OF_VIEW))
        yield from self._send(m.response(asked, found))

    def _get_bulk(self, asked: m.Message, at_s: float) -> Iterator[Order]:
        """RFC 3416 section 4.2.3: as many rows as fit, one at least."""
        if asked.version == 0:
            return
        names = [name for name, _, _ in asked.pdu.varbinds]
        once = max(0, min(asked.pdu.first, len(names)))
        found: list[bytes] = []
        for repetition in range(max(1, min(asked.pdu.second, ROWS_MAX))):
            for at, name in enumerate(names):
                if at < once and repetition:
                    continue
                row = self._row_after(name, at_s)
                following = m.varbind(*row) if row else m.varbind(name, m.END_OF_VIEW)
                names[at] = row[0] if row else name
                if found and (len(found) >= ROWS_MAX or not self._fits(m.response(asked, [*found, following]))):
                    yield from self._send(m.response(asked, found))
                    return
                found.append(following)
        yield from self._send(m.response(asked, found))

    def _row_after(self, name: m.Oid, at_s: float) -> tuple[m.Oid, bytes] | None:
        following = self._after(name)
        value = self._value(following, at_s) if following else None
        return (following, value) if following and value is not None else None

    def _set(self, asked: m.Message, _at_s: float) -> Iterator[Order]:
        if asked.community in _WRITES:
            yield from self._send(m.response(asked, _as_asked(asked)))
        else:
            yield from self._refused(asked, m.NO_SUCH_NAME if asked.version == 0 else m.NO_ACCESS, 1)

    def _inform(self, asked: m.Message, _at_s: float) -> Iterator[Order]:
        yield from self._send(m.response(asked, _as_asked(asked)))

    def _refused(self, asked: m.Message, error: int, index: int) -> Iterator[Order]:
        yield from self._send(m.response(asked, _as_asked(asked), error, index))

    def _fits(self, answer: bytes) -> bool:
        return self.visit.transport == "tcp" or len(answer) <= self._credit_bytes

    def _send(self, answer: bytes) -> Iterator[Order]:
        """Send an answer, unless it would be more than was heard."""
        if self._fits(answer):
            self._credit_bytes -= len(answer)
            yield Send(answer)

    # --- version 3 -----------------------------------------------------------------------------------

    def _secured(self, asked: m.Secured, data: bytes, at_s: float) -> Iterator[Order]:
        """Say who answers; then nobody is let in, and a digest is evidence."""
        counter = _UNKNOWN_ENGINES
        if asked.engine == self._mib.engine:
            counter = _UNKNOWN_USERS
            if asked.flags & m.AUTHENTICATED and len(asked.digest) == 12:
                whole = data.replace(asked.digest, bytes(12), 1)
                said = f"$SNMPv3$0$1${whole.hex()}${asked.engine.hex()}${asked.digest.hex()}"
                yield Saw(ChallengeAnswered(printable(asked.user, 256), "snmp", said))
                counter = _WRONG_DIGESTS if asked.user in self.visit.host.users else counter
            elif asked.user:
                yield Saw(LoginTried(printable(asked.user, 256), None, accepted=False))
        if asked.flags & m.REPORTABLE:
            uptime = int(self.visit.host.uptime_s(at_s))
            boots = 1 + self.visit.host.seed.child("snmp").number("boots", 90)
            yield from self._send(m.report(asked, counter, 1 + self._messages, self._mib.engine, boots, uptime))

    # --- what is set ---------------------------------------------------------------------------------

    def _do(self, deed: Deed, at_s: float) -> Iterator[Order]:
        if deed.command:
            yield Saw(ExploitRecognised("net-snmp-extend", "T1569", printable(deed.command, 2048)))
            command = _unwrapped(deed.command)
            self._shell = self._shell or Captured(self.visit)
            before = len(self._shell.printed)
            yield from self._of_shell(self._shell.enter(command, at_s))
            printed = self._shell.printed[before:][:OUTPUT_BYTES_MAX]
            self._outputs[*OUTPUTS, 1, *deed.index] = printed.split(b"\n")[0]
            self._outputs[*OUTPUTS, 2, *deed.index] = printed.rstrip(b"\n")
        else:
            yield Saw(ExploitRecognised("cisco-config-copy", "T1602.002", deed.url or deed.to))
            if deed.url:
                self._asked.append(False)
                yield Fetch(Download(deed.url, "cisco copy"))

    def _of_shell(self, orders: Iterator[Order]) -> Iterator[Order]:
        for order in orders:
            if isinstance(order, Fetch):
                self._asked.append(True)
            if not isinstance(order, Send):
                yield order


_STEPS = {
    m.GET: Snmp._get, m.GET_NEXT: Snmp._get_next, m.GET_BULK: Snmp._get_bulk, m.SET: Snmp._set, m.INFORM: Snmp._inform,
}  # fmt: skip


def _as_asked(asked: m.Message) -> list[bytes]:
    return [m.varbind(name, ber.encoded(tag, value)) for name, tag, value in asked.pdu.varbinds]


def _unwrapped(command: bytes) -> bytes:
    """Return the line that `/bin/sh -c "line"` runs."""
    for shell in (b"/bin/sh -c ", b"/bin/bash -c ", b"sh -c ", b"bash -c "):
        if command.startswith(shell):
            line = command[len(shell) :].strip()
            return line[1:-1] if len(line) > 1 and line[0] == line[-1] and line[:1] in (b"'", b'"') else line
    return command


def _shown(tag: int, value: bytes) -> str:
    if tag == ber.INTEGER and 0 < len(value) <= 8:
        return str(ber.integer(value))
    return printable(value, 512) if tag == ber.OCTETS else value[:64].hex()
