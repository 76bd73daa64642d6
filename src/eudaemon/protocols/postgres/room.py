"""The connection: a login, then simple queries or the steps of extended ones, each answered in its turn."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import ClassVar

from eudaemon.protocols._accounts import admits
from eudaemon.protocols._base import Claim, Keep, Order, Send, Visit
from eudaemon.protocols._broken import broken_off
from eudaemon.protocols._database import DatabaseRoom, tried
from eudaemon.protocols._passwords import accepts
from eudaemon.protocols.postgres import messages as wire
from eudaemon.protocols.postgres.dialogue import Dialogue
from eudaemon.protocols.postgres.messages import Fault
from eudaemon.protocols.postgres.server import ADMINISTRATORS, Server, server_of
from eudaemon.protocols.postgres.session import Session
from eudaemon.wire import PeerError, printable

_REFUSALS_MAX = 2  # of encryption, before a client has to begin
_CLEARTEXT = wire.message(b"R", (3).to_bytes(4, "big"))
# What a first message may ask for: TLS, GSSAPI, that a query is cancelled, or version 3 of the protocol.
_CODES = frozenset((80_877_103, 80_877_104, 80_877_102, 196_608))


class Postgres(DatabaseRoom[tuple[bytes, bytes]]):
    """One client's connection. A message is its type and its body."""

    name: ClassVar[str] = "postgres"
    messages_max: ClassVar[int] = 30_000

    __slots__ = ("_database", "_dialogue", "_reader", "_refused", "_user")

    def __init__(self, visit: Visit) -> None:
        super().__init__(visit)
        self._reader = wire.MessageReader(visit.purse)
        self._user = b""
        self._database = b""
        self._refused = 0
        self._dialogue: Dialogue | None = None  # once logged in

    @property
    def server(self) -> Server:
        """Who answers."""
        return server_of(self.visit.host)

    @classmethod
    def claim(cls, first: bytes) -> Claim:
        """A start with version 3, or the wish to encipher."""
        if len(first) < 8:
            return Claim.UNSURE if first[:2] in (b"", b"\0", b"\0\0") else Claim.NO
        code = int.from_bytes(first[4:8], "big")
        return Claim.YES if first[:2] == b"\0\0" and code in _CODES else Claim.NO

    def feed(self, data: bytes) -> tuple[tuple[bytes, bytes], bytes] | None:
        """See `DatabaseRoom`."""
        return self._reader.feed(data)

    def left(self) -> Iterator[Keep]:
        """See `DatabaseRoom`."""
        if self._dialogue is not None:
            yield from self._dialogue.left()
            yield from broken_off(self._reader.held, "query")

    def message(self, message: tuple[bytes, bytes], at_s: float) -> Iterator[Order]:
        """See `DatabaseRoom`."""
        kind, body = message
        if not self._reader.started:
            yield from self._start(body)
        elif self._dialogue is None:
            yield from self._login(kind, body, at_s)
        elif kind == b"X":
            yield from self.hang_up()
        elif self.worker is not None:
            self._dialogue.session.at_s = at_s
            yield from self.worker.start(self._dialogue.message(kind, body), at_s)

    # --- the login -----------------------------------------------------------------------------------

    def _start(self, body: bytes) -> Iterator[Order]:
        if len(body) < 4:
            raise PeerError("invalid length of startup packet")
        code = int.from_bytes(body[:4], "big")
        if code == wire.SSL_REQUEST and self.server.has_tls and self.may_start_tls:
            yield Send(b"S")
            self.start_tls()
            return
        if code in (wire.SSL_REQUEST, wire.GSS_REQUEST) and self._refused < _REFUSALS_MAX:
            self._refused += 1
            yield Send(b"N")
            return
        if code == wire.CANCEL:
            yield from self.hang_up()
            return
        if code >> 16 != 3:
            oldest = "2.0" if self.server.number < 140_000 else "3.0"
            text = f"unsupported frontend protocol {code >> 16}.{code & 0xFFFF}: server supports {oldest} to 3.0"
            yield from self._refuse("0A000", text, ("postmaster.c", self.server.line, "ProcessStartupPacket"))
            return
        words = body[4:].split(b"\0")
        given = dict(zip(words[::2], words[1::2], strict=False))
        self._user = given.get(b"user", b"")[:256]
        self._database = (given.get(b"database") or self._user)[:64]
        if not self._user:
            yield from self._refuse("28000", "no PostgreSQL user name specified in startup packet")
            return
        self._reader.started = True
        yield Send(_CLEARTEXT)

    def _login(self, kind: bytes, body: bytes, at_s: float) -> Iterator[Order]:
        if kind != b"p":
            yield from self._refuse("08P01", f"expected password response, got message type {kind[0]}")
            return
        password = body.rstrip(b"\0")
        right = bool(password) and accepts(self.server.seed, ADMINISTRATORS, self._user, password)
        accepted = admits(self.visit, self._user.lower(), password, right=right, accounts=self.name)
        yield tried(self._user, password, accepted=accepted)
        user = printable(self._user, 256)
        if not password:
            yield from self._refuse("28P01", "empty password returned by client")
            return
        if not accepted:
            yield from self._refuse("28P01", f'password authentication failed for user "{user}"')
            return
        session = Session(self.visit, self.server, self._user, at_s)
        if self._database == self._user and self._database not in session.tables.databases:
            self._database = b"postgres"
        if self._database not in session.tables.databases:
            yield from self._refuse("3D000", f'database "{printable(self._database, 64)}" does not exist')
            return
        session.database = self._database
        self._dialogue = Dialogue(session)
        self.worker = session.worker
        out = wire.message(b"R", bytes(4))
        for name in self.server.told():
            out += wire.message(b"S", name + b"\0" + session.setting(name) + b"\0")
        key = int.from_bytes(self.visit.seed.bytes("cancel key", 4), "big")
        yield Send(out + wire.message(b"K", struct.pack(">II", session.pid, key)) + wire.message(b"Z", b"I"))

    def _refuse(self, code: str, text: str, place: tuple[str, int, str] | None = None) -> Iterator[Order]:
        yield Send(wire.failure(Fault(code, text.encode(), "FATAL", place=place)))
        yield from self.hang_up()
