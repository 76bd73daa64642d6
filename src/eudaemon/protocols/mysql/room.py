"""The connection: a greeting, a login, and then commands, each answered in its turn."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import ClassVar

from eudaemon.events.catalogue import CommandEntered, LoginTried
from eudaemon.protocols._base import (
    Answered,
    Claim,
    Ended,
    HalfClosed,
    HangUp,
    Occasion,
    Opened,
    Order,
    Received,
    Room,
    Saw,
    Send,
    Visit,
    Woken,
)  # fmt: skip
from eudaemon.protocols._broken import broken_off
from eudaemon.protocols._passwords import accepts, guessed
from eudaemon.protocols._sql import END, MYSQL, SqlError
from eudaemon.protocols._sql_parser import Parser
from eudaemon.protocols._sql_query import Result
from eudaemon.protocols._work import Work, Worker
from eudaemon.protocols.mysql import packets as wire
from eudaemon.protocols.mysql.secrets import caching_proof, native_proof, sent_password
from eudaemon.protocols.mysql.server import ADMINISTRATORS, Server, message_of, server_of
from eudaemon.protocols.mysql.session import Session
from eudaemon.protocols.mysql.statements import statement
from eudaemon.wire import PeerError, printable

COMMANDS_MAX = 10_000  # of one session
STATEMENTS_MAX = 200  # of one command
WAITING_MAX = 64  # commands that wait while one is carried out
WAITING_BYTES_MAX = 1024 * 1024
_FACT_CHARS_MAX = 4096
_QUIT, _INIT_DB, _QUERY, _FIELDS, _STATISTICS, _PING, _CHANGE_USER, _SET_OPTION, _RESET = 1, 2, 3, 4, 9, 14, 17, 27, 31
_PREPARE, _CLOSE = 22, 25
_FULL, _FAST, _KEY = b"\x01\x04", b"\x01\x03", b"\x02"
_TOO_OLD = b"Client does not support authentication protocol requested by server; consider upgrading MySQL client"
_DENIED = "Access denied for user '{}'@'{}' (using password: {})"


class MySql(Room):
    """One client's connection."""

    name: ClassVar[str] = "mysql"
    speaks_first: ClassVar[bool] = True

    __slots__ = (
        "_capabilities", "_commands", "_leaving", "_number", "_over", "_reader", "_response", "_salt", "_server",
        "_session", "_stage", "_waiting", "_worker",
    )  # fmt: skip

    def __init__(self, visit: Visit) -> None:
        super().__init__(visit)
        self._server: Server | None = None
        self._reader = wire.PacketReader(visit.purse)
        # No byte of it is zero, as the greeting ends it with one; all are below 128, as MySQL's are.
        self._salt = bytes(1 + byte % 126 for byte in visit.seed.bytes("mysql salt", 20))
        self._response: wire.Response | None = None
        self._stage = "greeted"  # then `keyed` (asked for the enciphered password), then `in`
        self._capabilities = 0
        self._number = 0  # of the next packet that is sent
        self._session: Session | None = None
        self._worker: Worker | None = None
        self._waiting: deque[bytes] = deque()
        self._commands = 0
        self._over = False
        self._leaving = False

    @property
    def server(self) -> Server:
        """Who answers."""
        if self._server is None:
            self._server = server_of(self.visit.host)
        return self._server

    @classmethod
    def claim(cls, first: bytes) -> Claim:
        """A handshake response: packet number 1, of a plausible length."""
        if len(first) < 4:
            return Claim.UNSURE if first[1:3] in (b"", b"\0", b"\0\0") else Claim.NO
        return Claim.YES if first[1:4] == b"\0\0\x01" and first[0] >= 5 else Claim.NO

    def tell(self, occasion: Occasion) -> Iterator[Order]:
        """Take one occasion and yield the orders that follow from it."""
        match occasion:
            case Opened(at_s):
                server = self.server
                hello = wire.greeting(
                    server.version, server.thread(at_s), self._salt, server.capabilities, server.plugin, server.charset
                )
                yield Send(wire.packets([hello], 0))
            case Received(at_s, data):
                if not self._over:
                    for number, payload in self._reader.feed(data):
                        yield from self._packet(number, payload, at_s)
            case Answered() | Woken():
                if self._worker is not None:
                    yield from self._worker.go_on(occasion)
                    yield from self._next(occasion.at_s)
            case HalfClosed():
                self._leaving = True
                yield from self._leave()
            case Ended():
                if self._session is not None:
                    yield from self._session.left()
                    yield from broken_off(self._reader.held, "query")

    # --- the login -----------------------------------------------------------------------------------

    def _packet(self, number: int, payload: bytes, at_s: float) -> Iterator[Order]:
        if self._over:
            return
        self._number = number + 1
        if self._stage == "in":
            yield from self._queue(payload, at_s)
        elif self._stage == "greeted":
            yield from self._login(wire.response_of(payload), at_s)
        elif payload == _KEY:
            yield from self._say([b"\x01" + self.server.key.pem])
        else:
            yield from self._keyed(payload, at_s)

    def _login(self, response: wire.Response, at_s: float) -> Iterator[Order]:
        self._response = response
        self._capabilities = response.capabilities & self.server.capabilities
        user = printable(response.user, 256)
        if response.is_old:
            yield Saw(LoginTried(user, f"(old digest) {printable(response.proof, 64)}", accepted=False))
            yield from self._say([wire.error(1251, "08004", _TOO_OLD, is_old=True)])
            yield from self._hang_up()
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
        accepted = accepts(self.server.seed, ADMINISTRATORS, response.user, word)
        if accepted and digest is caching_proof and word:
            yield from self._say([_FAST])
            self._number += 1
        yield from self._decide(printable(word, 256), accepted, bool(word), at_s)

    def _keyed(self, payload: bytes, at_s: float) -> Iterator[Order]:
        password = sent_password(self.server.key, payload, self._salt)
        user = self._response.user if self._response is not None else b""
        accepted = password is not None and accepts(self.server.seed, ADMINISTRATORS, user, password)
        yield from self._decide(printable(password or b"", 256), accepted, True, at_s)

    def _decide(self, password: str, accepted: bool, with_password: bool, at_s: float) -> Iterator[Order]:
        response = self._response
        if response is None:
            return
        user = printable(response.user, 256)
        yield Saw(LoginTried(user, password, accepted=accepted))
        if not accepted:
            denied = _DENIED.format(user, self.visit.attacker.ip, "YES" if with_password else "NO").encode()
            yield from self._say([wire.error(1045, "28000", denied)])
            yield from self._hang_up()
            return
        self._stage = "in"
        self._session = session = Session(self.visit, self.server, at_s)
        session.user = response.user[:64]
        self._worker = Worker(lambda: session.machine.shell())  # noqa: PLW0108 (no machine is made before)
        if response.database:
            try:
                session.use(response.database)
            except SqlError as error:
                yield from self._fail(error)
                yield from self._hang_up()
                return
        yield from self._say([wire.ok(self._capabilities)])

    # --- commands --------------------------------------------------------------------------------------

    def _queue(self, payload: bytes, at_s: float) -> Iterator[Order]:
        """Carry a command out, or let it wait for the one at hand."""
        self._commands += 1
        if self._commands > COMMANDS_MAX:
            raise PeerError(f"more than {COMMANDS_MAX} commands in one session")
        if self._worker is None or not self._worker.busy:
            yield from self._command(payload, at_s)
            return
        size = sum(map(len, self._waiting)) + len(payload)
        if len(self._waiting) >= WAITING_MAX or size > WAITING_BYTES_MAX or not self.visit.purse.take(len(payload)):
            raise PeerError("too many commands while one is carried out")
        self._waiting.append(payload)

    def _next(self, at_s: float) -> Iterator[Order]:
        while self._waiting and self._worker is not None and not self._worker.busy and not self._over:
            payload = self._waiting.popleft()
            self.visit.purse.give_back(len(payload))
            self._number = 1
            yield from self._command(payload, at_s)
        yield from self._leave()

    def _command(self, payload: bytes, at_s: float) -> Iterator[Order]:
        session, worker = self._session, self._worker
        if session is None or worker is None:
            return
        kind, body = payload[0] if payload else 0, payload[1:]
        session.at_s = at_s
        if kind == _QUIT:
            yield from self._hang_up()
        elif kind == _QUERY:
            yield Saw(CommandEntered(printable(body, _FACT_CHARS_MAX)))
            yield from worker.start(self._statements(session, body), at_s)
        elif kind == _INIT_DB:
            yield Saw(CommandEntered(f"USE {printable(body, 256)}"))
            try:
                session.use(body)
                yield from self._say([wire.ok(self._capabilities)])
            except SqlError as error:
                yield from self._fail(error)
        elif kind == _STATISTICS:
            uptime = int(self.server.host.uptime_s(at_s))
            said = (f"Uptime: {uptime}  Threads: 1  Questions: {uptime // 3}  Slow queries: 0  Opens: 112  "
                    "Flush tables: 1  Open tables: 105  Queries per second avg: 0.333")  # fmt: skip
            yield from self._say([said.encode()])
        elif kind in (_PING, _RESET):
            yield from self._say([wire.ok(self._capabilities)])
        elif kind in (_FIELDS, _SET_OPTION):
            yield from self._say([b"\xfe\0\0\x02\0"])
        elif kind == _PREPARE:
            yield Saw(CommandEntered(printable(body, _FACT_CHARS_MAX)))
            yield from self._fail(SqlError("prepared"))
        elif kind != _CLOSE:  # which has no answer
            yield from self._fail(SqlError("unknown"))

    def _statements(self, session: Session, sql: bytes) -> Work:
        """Carry out the statements of one command, up to the first that fails."""
        try:
            session.steps = 0
            parser = Parser(sql, MYSQL)
            if parser.over:
                yield from self._say([wire.error(1065, "42000", b"Query was empty")])
            for count in range(STATEMENTS_MAX + 1):
                if parser.over:
                    return
                if count == STATEMENTS_MAX:
                    raise PeerError(f"more than {STATEMENTS_MAX} statements in one command")
                result = yield from statement(session, parser)
                session.changed = result.changed
                if not parser.sign(b";") and parser.next.kind != END:
                    raise parser.error()
                while parser.sign(b";"):
                    pass
                yield from self._result(result, more=not parser.over)
        except SqlError as error:
            yield from self._fail(error)

    def _result(self, result: Result, *, more: bool) -> Iterator[Order]:
        payloads = wire.answer(result, self._capabilities, more=more)
        yield from self._say(payloads)
        self._number += len(payloads)

    def _fail(self, error: SqlError) -> Iterator[Order]:
        code, state, message = message_of(error)
        yield from self._say([wire.error(code, state, message)])

    def _say(self, payloads: list[bytes]) -> Iterator[Order]:
        yield Send(wire.packets(payloads, self._number))

    def _hang_up(self) -> Iterator[Order]:
        self._over = True
        yield HangUp()

    def _leave(self) -> Iterator[Order]:
        busy = self._worker is not None and self._worker.busy
        if self._leaving and not self._over and not busy:
            yield from self._hang_up()
