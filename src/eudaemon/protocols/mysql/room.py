"""The connection: a greeting, a login, and then commands, each answered in its turn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from eudaemon.events.catalogue import LoginTried
from eudaemon.protocols._accounts import admits
from eudaemon.protocols._base import Claim, Keep, Order, Saw, Send, Visit
from eudaemon.protocols._broken import broken_off
from eudaemon.protocols._database import DatabaseRoom
from eudaemon.protocols._passwords import accepts, guessed
from eudaemon.protocols._sql.tokens import SqlError
from eudaemon.protocols.mysql import packets as wire
from eudaemon.protocols.mysql.dialogue import Dialogue
from eudaemon.protocols.mysql.secrets import caching_proof, native_proof, sent_password
from eudaemon.protocols.mysql.server import ADMINISTRATORS, Server, message_of, server_of
from eudaemon.protocols.mysql.session import Session
from eudaemon.wire import PeerError, printable

_QUIT = b"\1"
_FULL, _FAST, _KEY = b"\x01\x04", b"\x01\x03", b"\x02"
_TOO_OLD = b"Client does not support authentication protocol requested by server; consider upgrading MySQL client"
_DENIED = "Access denied for user '{}'@'{}' (using password: {})"


class MySql(DatabaseRoom[tuple[int, bytes]]):
    """One client's connection. A message is a packet: its number, and what is in it."""

    name: ClassVar[str] = "mysql"
    speaks_first: ClassVar[bool] = True

    __slots__ = ("_capabilities", "_dialogue", "_number", "_reader", "_response", "_salt", "_stage")

    def __init__(self, visit: Visit) -> None:
        super().__init__(visit)
        self._reader = wire.PacketReader(visit.purse)
        # No byte of it is zero, as the greeting ends it with one; all are below 128, as MySQL's are.
        self._salt = bytes(1 + byte % 126 for byte in visit.seed.bytes("mysql salt", 20))
        self._response: wire.Response | None = None
        self._stage = "greeted"  # then `keyed`: asked for the enciphered password
        self._capabilities = 0
        self._number = 0  # of the next packet that is sent
        self._dialogue: Dialogue | None = None  # once logged in

    @property
    def server(self) -> Server:
        """Who answers."""
        return server_of(self.visit.host)

    @classmethod
    def claim(cls, first: bytes) -> Claim:
        """A handshake response: packet number 1, of a plausible length."""
        if len(first) < 4:
            return Claim.UNSURE if first[1:3] in (b"", b"\0", b"\0\0") else Claim.NO
        return Claim.YES if first[1:4] == b"\0\0\x01" and first[0] >= 5 else Claim.NO

    def opened(self, at_s: float) -> Iterator[Order]:
        """See `DatabaseRoom`."""
        server = self.server
        capabilities = server.capabilities | (wire.TLS if self._offers_tls else 0)
        hello = wire.greeting(
            server.version, server.thread(at_s), self._salt, capabilities, server.plugin, server.charset
        )
        yield Send(wire.packets([hello], 0))

    def feed(self, data: bytes) -> tuple[tuple[int, bytes], bytes] | None:
        """See `DatabaseRoom`."""
        return self._reader.feed(data)

    def left(self) -> Iterator[Keep]:
        """See `DatabaseRoom`."""
        if self._dialogue is not None:
            yield from self._dialogue.session.left()
            yield from broken_off(self._reader.held, "query")

    def message(self, message: tuple[int, bytes], at_s: float) -> Iterator[Order]:
        """See `DatabaseRoom`."""
        number, payload = message
        self._number = number + 1
        if self._dialogue is not None and payload == _QUIT:
            yield from self.hang_up()
        elif self._dialogue is not None and self.worker is not None:
            self._dialogue.session.at_s = at_s
            yield from self.worker.start(self._dialogue.command(number, payload), at_s)
        elif self._stage == "greeted" and wire.wants_tls(payload):
            yield from self._begin_tls()
        elif self._stage == "greeted":
            yield from self._login(wire.response_of(payload), at_s)
        elif payload == _KEY:
            yield from self._say([b"\x01" + self.server.key.pem])
        else:
            yield from self._keyed(payload, at_s)

    # --- the login -----------------------------------------------------------------------------------

    @property
    def _offers_tls(self) -> bool:
        return self.server.has_tls and self.may_start_tls

    def _begin_tls(self) -> Iterator[Order]:
        """An SSLRequest, with a ClientHello right behind it. The login comes in TLS, as the next packet."""
        if self._offers_tls:
            self.start_tls(at_once=True)
        else:
            yield from self._say([wire.error(1043, "08S01", b"Bad handshake")])
            yield from self.hang_up()

    def _login(self, response: wire.Response, at_s: float) -> Iterator[Order]:
        self._response = response
        self._capabilities = response.capabilities & self.server.capabilities
        user = printable(response.user, 256)
        if response.is_old:
            yield Saw(LoginTried(user, f"(old digest) {printable(response.proof, 64)}", accepted=False))
            yield from self._say([wire.error(1251, "08004", _TOO_OLD, is_old=True)])
            yield from self.hang_up()
            return
        if not response.proof or len(response.proof) == 20:
            digest = native_proof
        elif len(response.proof) == 32 and self.server.plugin == wire.CACHING:
            digest = caching_proof
        else:
            raise PeerError("a login of a kind that was not offered")
        salt, proof = self._salt, response.proof
        word = guessed(response.user, lambda password: digest(password, salt) == proof)
        if word is None and digest is caching_proof:
            self._stage = "keyed"
            yield from self._say([_FULL])
            return
        if word is None:
            yield from self._decide(f"$mysqlna${salt.hex()}*{proof.hex()}", False, True, at_s)  # as crackers read it
            return
        accepted = self._admits(response.user, word)
        if accepted and digest is caching_proof and word:
            yield from self._say([_FAST])
            self._number += 1
        yield from self._decide(printable(word, 256), accepted, bool(word), at_s)

    def _keyed(self, payload: bytes, at_s: float) -> Iterator[Order]:
        in_tls = self.secured and not self.visit.tls  # of TLS that it did not begin a client of MySQL does not know
        password = payload.removesuffix(b"\0") if in_tls else sent_password(self.server.key, payload, self._salt)
        user = self._response.user if self._response is not None else b""
        accepted = password is not None and self._admits(user, password)
        yield from self._decide(None if password is None else printable(password, 256), accepted, True, at_s)

    def _admits(self, user: bytes, password: bytes) -> bool:
        right = accepts(self.server.seed, ADMINISTRATORS, user, password)
        return admits(self.visit, user.lower(), password, right=right, accounts=self.name)

    def _decide(self, password: str | None, accepted: bool, with_password: bool, at_s: float) -> Iterator[Order]:
        response = self._response
        if response is None:
            return
        user = printable(response.user, 256)
        yield Saw(LoginTried(user, password, accepted=accepted))
        if not accepted:
            denied = _DENIED.format(user, self.visit.attacker.ip, "YES" if with_password else "NO").encode()
            yield from self._say([wire.error(1045, "28000", denied)])
            yield from self.hang_up()
            return
        session = Session(self.visit, self.server, at_s)
        session.user = response.user[:64]
        self._dialogue = Dialogue(session, self._capabilities)
        self.worker = session.worker
        if response.database:
            try:
                session.use(response.database)
            except SqlError as error:
                yield from self._fail(error)
                yield from self.hang_up()
                return
        yield from self._say([wire.ok(self._capabilities)])

    def _fail(self, error: SqlError) -> Iterator[Order]:
        code, state, message = message_of(error)
        yield from self._say([wire.error(code, state, message)])

    def _say(self, payloads: list[bytes]) -> Iterator[Order]:
        yield Send(wire.packets(payloads, self._number))
