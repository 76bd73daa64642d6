"""What a client that has logged in says, and what is answered: simple queries, extended ones step by step, COPY.

An extended query is carried out when its portal is described or executed, whichever comes first. Its columns are all
called text, so that a description which comes before any value holds.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from eudaemon.protocols._base import Keep, Order, Send
from eudaemon.protocols._database import entered
from eudaemon.protocols._sql.parameters import PARAMETERS_MAX, filled, number_of
from eudaemon.protocols._sql.parser import Parser
from eudaemon.protocols._sql.query import Result
from eudaemon.protocols._sql.tables import KEPT_BYTES_MIN
from eudaemon.protocols._sql.tokens import END, POSTGRES, VARIABLE, SqlError
from eudaemon.protocols._sql.values import Value, text
from eudaemon.protocols._work import Work
from eudaemon.protocols.postgres import messages as wire
from eudaemon.protocols.postgres.copying import CopyIn, CopyOut, store
from eudaemon.protocols.postgres.messages import Bound, Fault, message
from eudaemon.protocols.postgres.server import fault_of
from eudaemon.protocols.postgres.session import Session
from eudaemon.protocols.postgres.statements import statement
from eudaemon.wire import PeerError

STATEMENTS_MAX = 200  # of one query
PREPARED_MAX = 64  # statements, and portals, of one session
COPIED_BYTES_MAX = 16 * 1024 * 1024
_BEGINNING, _ENDING = (b"begin", b"start"), (b"commit", b"end", b"rollback", b"abort")


@dataclass(slots=True)
class Prepared:
    """A statement with the types of its parameters."""

    sql: bytes
    kinds: list[int]


@dataclass(slots=True)
class Portal:
    """A statement with its parameters, and its result once it was carried out."""

    prepared: Prepared
    values: list[Value]
    result: Result | None = None


@dataclass(slots=True)
class Copying:
    """What a client sends for a table."""

    into: CopyIn
    data: bytearray = field(default_factory=bytearray)


class Dialogue:
    """One client's. `message` is the work that a message makes."""

    __slots__ = ("_copying", "_portals", "_prepared", "_skipping", "_status", "session")

    def __init__(self, session: Session) -> None:
        self.session = session
        self._status = b"I"  # or `T` in a transaction, `E` in one that failed
        self._prepared: dict[bytes, Prepared] = {}
        self._portals: dict[bytes, Portal] = {}
        self._skipping = False  # after an error, up to the next Sync
        self._copying: Copying | None = None

    def message(self, kind: bytes, body: bytes) -> Work:
        """Carry out what a message asks for. Raises `PeerError`."""
        if self._copying is not None:
            yield from self._copied(self._copying, kind, body)
            return
        if kind == b"S":
            self._skipping = False
            yield from self._ready()
            return
        step = _STEPS.get(kind)
        if step is None:
            raise PeerError(f"invalid message type {kind[0]}")
        if self._skipping and kind != b"Q":
            return
        try:
            yield from step(self, body)
        except SqlError as error:
            yield from self._fail(fault_of(error, body))
            self._skipping = kind != b"Q"
            if kind == b"Q":
                yield from self._ready()

    # --- simple queries --------------------------------------------------------------------------------

    def _query(self, body: bytes) -> Work:
        sql = body.rstrip(b"\0")
        yield entered(sql)
        self._skipping = False
        try:
            self.session.begin()
            parser = Parser(sql, POSTGRES)
            if parser.over or (parser.next.text == b";" and parser.ahead().kind is END):
                yield Send(message(b"I"))
            for count in range(STATEMENTS_MAX + 1):
                while parser.sign(b";"):
                    pass
                if parser.over:
                    break
                if count == STATEMENTS_MAX:
                    raise PeerError(f"more than {STATEMENTS_MAX} statements in one query")
                result = yield from self._one(parser)
                if isinstance(result, CopyIn):
                    yield from self._copy_in(result)
                    return
                if result.columns is not None:
                    yield Send(wire.describe(result))
                yield from self._sent(result)
        except SqlError as error:
            yield from self._fail(fault_of(error, sql))
        yield from self._ready()

    def _one(self, parser: Parser) -> Any:
        """Carry out one statement, and mind the transaction around it."""
        word = parser.next.word
        if self._status == b"E" and word not in _ENDING:
            raise SqlError("aborted")
        result = yield from statement(self.session, parser)
        if parser.next.kind != END and parser.next.text != b";":
            raise parser.error()
        if word in _BEGINNING:
            self._status = b"T"
        elif word in _ENDING and result.tag in ("COMMIT", "ROLLBACK"):
            if self._status == b"E":
                result.tag = "ROLLBACK"
            self._status = b"I"
        return result

    def _sent(self, result: Result) -> Iterator[Order]:
        if isinstance(result, CopyOut):
            yield Send(
                message(b"H", b"\0\0\1\0\0") + message(b"d", result.data[: wire.ANSWER_BYTES_MAX]) + message(b"c")
            )
        yield Send((wire.rows(result) if result.columns is not None else b"") + wire.complete(result))

    # --- extended queries ------------------------------------------------------------------------------

    def _parse(self, body: bytes) -> Work:
        name, _, rest = body.partition(b"\0")
        sql, _, tail = rest.partition(b"\0")
        count = int.from_bytes(tail[:2], "big")
        if len(tail) < 2 + 4 * count:
            raise PeerError("a Parse that is none")
        kinds = list(struct.unpack_from(f">{count}I", tail, 2))
        yield entered(sql)
        Parser(sql, POSTGRES)  # what can be no SQL is told now
        self._forget_prepared(name)
        if len(self._prepared) >= PREPARED_MAX or not self.session.visit.purse.take(len(sql)):
            raise SqlError("full")
        self._prepared[name] = Prepared(sql, kinds)
        yield Send(message(b"1"))

    def _bind(self, body: bytes) -> Work:
        bound = wire.bound_of(body)
        prepared = self._prepared.get(bound.statement)
        if prepared is None:
            raise SqlError("prepared", bound.statement)
        self._forget_portal(bound.portal)
        if len(self._portals) >= PREPARED_MAX or not self.session.visit.purse.take(_held(bound)):
            raise SqlError("full")
        values = [bound.value(at, prepared.kinds) for at in range(len(bound.values))]
        if values:
            yield entered(filled(Parser(prepared.sql, POSTGRES), values))
        self._portals[bound.portal] = Portal(prepared, values)
        yield Send(message(b"2"))

    def _describe(self, body: bytes) -> Work:
        kind, name = body[:1], body[1:].rstrip(b"\0")
        if kind == b"P":
            portal = self._portals.get(name)
            if portal is None:
                raise SqlError("portal", name)
            yield from self._carried_out(portal)
            columns = portal.result.columns if portal.result is not None else None
        else:
            prepared = self._prepared.get(name)
            if prepared is None:
                raise SqlError("prepared", name)
            count = max([len(prepared.kinds), *_numbers(prepared.sql)])
            kinds = [kind or wire.TEXT for kind in prepared.kinds] + [wire.TEXT] * (count - len(prepared.kinds))
            yield Send(message(b"t", struct.pack(f">H{count}I", count, *kinds)))
            columns = self._columns(prepared.sql)
        if columns is None:
            yield Send(message(b"n"))
        else:
            yield Send(wire.description(columns, [wire.TEXT] * len(columns)))

    def _columns(self, sql: bytes) -> list[bytes] | None:
        """Return the columns that a statement will have. Raises `SqlError`."""
        parser = Parser(sql, POSTGRES)
        return self.session.headings(parser.select()) if parser.begins_select else None

    def _carried_out(self, portal: Portal) -> Work:
        if portal.result is None:
            self.session.begin()
            self.session.parameters = portal.values
            parser = Parser(portal.prepared.sql, POSTGRES)
            portal.result = Result("") if parser.over else (yield from self._one(parser))

    def _execute(self, body: bytes) -> Work:
        name = body.partition(b"\0")[0]
        portal = self._portals.get(name)
        if portal is None:
            raise SqlError("portal", name)
        yield from self._carried_out(portal)
        result = portal.result
        if isinstance(result, CopyIn):
            yield from self._copy_in(result)
        elif result is not None and not result.tag:
            yield Send(message(b"I"))
        elif result is not None:
            yield from self._sent(result)

    def _close(self, body: bytes) -> Work:
        name = body[1:].rstrip(b"\0")
        (self._forget_prepared if body[:1] == b"S" else self._forget_portal)(name)
        yield Send(message(b"3"))

    def _flush(self, body: bytes) -> Work:  # noqa: ARG002
        yield from ()

    def _forget_prepared(self, name: bytes) -> None:
        prepared = self._prepared.pop(name, None)
        if prepared is not None:
            self.session.visit.purse.give_back(len(prepared.sql))

    def _forget_portal(self, name: bytes) -> None:
        portal = self._portals.pop(name, None)
        if portal is not None:
            self.session.visit.purse.give_back(
                sum(len(text(value)) for value in portal.values if isinstance(value, bytes))
            )

    # --- COPY ------------------------------------------------------------------------------------------

    def _copy_in(self, into: CopyIn) -> Iterator[Order]:
        self._copying = Copying(into)
        columns = len(into.table.columns)
        yield Send(message(b"G", b"\0" + struct.pack(f">H{columns}H", columns, *([0] * columns))))

    def _copied(self, copying: Copying, kind: bytes, body: bytes) -> Work:
        purse = self.session.visit.purse
        if kind == b"d":
            if len(copying.data) + len(body) > COPIED_BYTES_MAX or not purse.take(len(body)):
                raise PeerError(f"more than {COPIED_BYTES_MAX} bytes copied at once, or more than may be held")
            copying.data += body
        elif kind in (b"c", b"f"):
            self._copying = None
            data = bytes(copying.data)
            purse.give_back(len(data))
            try:
                if kind == b"f":
                    raise SqlError("aborted")
                count = store(self.session, copying.into.table, data, copying.into.form)
                yield Send(wire.complete(Result("COPY", changed=count)))
            except SqlError as error:
                yield from self._fail(fault_of(error, b""))
                yield from _kept(copying, partial=kind == b"f")
            if not self._skipping:
                yield from self._ready()
        elif kind not in (b"S", b"H"):
            raise PeerError(f"unexpected message type {kind[0]} during COPY")

    def left(self) -> Iterator[Keep]:
        """Yield what was brought and is kept nowhere yet."""
        if self._copying is not None:
            yield from _kept(self._copying, partial=True)
        yield from self.session.left()

    # --- answers ---------------------------------------------------------------------------------------

    def _fail(self, fault: Fault) -> Iterator[Order]:
        if self._status == b"T":
            self._status = b"E"
        yield Send(wire.failure(fault))

    def _ready(self) -> Iterator[Order]:
        yield Send(message(b"Z", self._status))


def _kept(copying: Copying, *, partial: bool) -> Iterator[Keep]:
    """Keep what was copied to us and found no place in a table."""
    if len(copying.data) >= KEPT_BYTES_MIN:
        yield Keep(bytes(copying.data), "upload", "copied", partial)


def _held(bound: Bound) -> int:
    return sum(len(value) for value in bound.values if value is not None)


def _numbers(sql: bytes) -> list[int]:
    """Return the numbers of the parameters in a statement."""
    tokens = Parser(sql, POSTGRES).tokens
    return [min(number_of(token.text), PARAMETERS_MAX) for token in tokens if token.kind is VARIABLE]


_STEPS = {
    b"Q": Dialogue._query, b"P": Dialogue._parse, b"B": Dialogue._bind, b"D": Dialogue._describe,
    b"E": Dialogue._execute, b"C": Dialogue._close, b"H": Dialogue._flush,
}  # fmt: skip
