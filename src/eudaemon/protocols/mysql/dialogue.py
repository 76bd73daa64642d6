"""What a client that has logged in says, and what is answered: commands by their first byte, each its own answer.

A statement comes as text, or is prepared, and then carried out with values; the rows of the latter are in binary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from eudaemon.protocols._base import Order, Send
from eudaemon.protocols._database import entered
from eudaemon.protocols._sql.parameters import filled
from eudaemon.protocols._sql.parser import Parser
from eudaemon.protocols._sql.query import Result
from eudaemon.protocols._sql.tokens import END, MYSQL, SqlError
from eudaemon.protocols._work import Work
from eudaemon.protocols.mysql import packets as wire
from eudaemon.protocols.mysql.prepared import PreparedStatements
from eudaemon.protocols.mysql.server import message_of
from eudaemon.protocols.mysql.session import Session
from eudaemon.protocols.mysql.statements import statement
from eudaemon.wire import PeerError

STATEMENTS_MAX = 200  # of one command
_OLD_EOF = b"\xfe\0\0\x02\0"


class Dialogue:
    """One client's. `command` is the work that a command makes."""

    __slots__ = ("_capabilities", "_number", "_prepared", "session")

    def __init__(self, session: Session, capabilities: int) -> None:
        self.session = session
        self._capabilities = capabilities
        self._prepared = PreparedStatements(session.visit.purse)
        self._number = 0  # of the next packet that is sent

    def command(self, number: int, payload: bytes) -> Work:
        """Carry out the command in the packet of this number. Raises `PeerError`."""
        self._number = number + 1
        self.session.begin()
        step = _STEPS.get(payload[0] if payload else 0)
        try:
            if step is None:
                raise SqlError("unknown")
            yield from step(self, payload[1:])
        except SqlError as error:
            code, state, message = message_of(error)
            yield from self._say([wire.error(code, state, message)])
        self.session.parameters = []

    def _ok(self, body: bytes) -> Work:  # noqa: ARG002
        yield from self._say([wire.ok(self._capabilities)])

    def _eof(self, body: bytes) -> Work:  # noqa: ARG002
        yield from self._say([_OLD_EOF])

    def _use(self, body: bytes) -> Work:
        yield entered(b"USE " + body[:256])
        self.session.use(body)
        yield from self._ok(b"")

    def _statistics(self, body: bytes) -> Work:  # noqa: ARG002
        uptime = int(self.session.server.host.uptime_s(self.session.at_s))
        said = (f"Uptime: {uptime}  Threads: 1  Questions: {uptime // 3}  Slow queries: 0  Opens: 112  "
                "Flush tables: 1  Open tables: 105  Queries per second avg: 0.333")  # fmt: skip
        yield from self._say([said.encode()])

    def _query(self, body: bytes) -> Work:
        """Carry out the statements of one command, up to the first that fails."""
        yield entered(body)
        parser = Parser(body, MYSQL)
        if parser.over:
            yield from self._say([wire.error(1065, "42000", b"Query was empty")])
        for count in range(STATEMENTS_MAX + 1):
            if parser.over:
                return
            if count == STATEMENTS_MAX:
                raise PeerError(f"more than {STATEMENTS_MAX} statements in one command")
            result = yield from statement(self.session, parser)
            self.session.changed = result.changed
            if not parser.sign(b";") and parser.next.kind != END:
                raise parser.error()
            while parser.sign(b";"):
                pass
            yield from self._result(result, more=not parser.over)

    # --- prepared statements -------------------------------------------------------------------------

    def _prepare(self, body: bytes) -> Work:
        yield entered(body)
        number, prepared = self._prepared.add(body)
        parser = prepared.parser()
        columns = self.session.headings(parser.select()) if parser.begins_select else []
        yield from self._say(wire.prepared(number, prepared.parameters, columns, self._capabilities))

    def _execute(self, body: bytes) -> Work:
        prepared = self._prepared.find(body)
        self.session.parameters = self._prepared.bind(prepared, body)
        parser = prepared.parser()
        if self.session.parameters:
            yield entered(filled(parser, self.session.parameters))
        result = yield from statement(self.session, parser)
        self.session.changed = result.changed
        parser.sign(b";")
        if not parser.over:
            raise parser.error()
        yield from self._result(result, more=False, binary=True)

    def _long(self, body: bytes) -> Work:
        """A piece of a parameter, which has no answer."""
        self._prepared.add_long(body)
        yield from ()

    def _close(self, body: bytes) -> Work:
        """A statement is forgotten, which has no answer."""
        self._prepared.close(body)
        yield from ()

    def _reset(self, body: bytes) -> Work:
        self._prepared.forget_long(self._prepared.find(body))
        yield from self._ok(b"")

    def _forget_all(self, body: bytes) -> Work:  # noqa: ARG002
        self._prepared.close_all()
        yield from self._ok(b"")

    # --- answers ---------------------------------------------------------------------------------------

    def _result(self, result: Result, *, more: bool, binary: bool = False) -> Iterator[Order]:
        payloads = wire.answer(result, self._capabilities, more=more, binary=binary)
        yield from self._say(payloads)
        self._number += len(payloads)

    def _say(self, payloads: list[bytes]) -> Iterator[Order]:
        yield Send(wire.packets(payloads, self._number))


_STEPS: dict[int, Callable[[Dialogue, bytes], Work]] = {
    2: Dialogue._use, 3: Dialogue._query, 4: Dialogue._eof, 9: Dialogue._statistics,
    14: Dialogue._ok, 22: Dialogue._prepare, 23: Dialogue._execute, 24: Dialogue._long, 25: Dialogue._close,
    26: Dialogue._reset, 27: Dialogue._eof, 31: Dialogue._forget_all,
}  # fmt: skip
