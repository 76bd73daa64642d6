"""What the statements of Transact-SQL do: variables, queries, calls, batches in texts. Their flow is `flow`'s."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from typing import Any, ClassVar

from eudaemon.events.catalogue import ExploitRecognised
from eudaemon.protocols._base import Saw
from eudaemon.protocols._database import entered
from eudaemon.protocols._sql.query import Result
from eudaemon.protocols._sql.tokens import END, NAME, TEXT, VARIABLE, WORD, SqlError
from eudaemon.protocols._sql.values import Value, evaluate, text
from eudaemon.protocols._work import Rest
from eudaemon.protocols.mssql.answers import Said
from eudaemon.protocols.mssql.definitions import DEFINITIONS
from eudaemon.protocols.mssql.flow import STARTS, Flow, Steps
from eudaemon.protocols.mssql.procedures import PROCEDURES, Arguments, Outcome
from eudaemon.protocols.mssql.session import Session
from eudaemon.wire import printable

NESTING_MAX = 8  # batches within batches
WAIT_S_MAX = 30.0
_CLOCK = re.compile(rb"(\d{1,2}):(\d{1,2})(?::(\d{1,2}))?")


class Batch(Flow):
    """One batch. `nested` says how deep it lies within others."""

    __slots__ = ()

    def step(self, word: bytes) -> Steps | None:
        """See `Flow`."""
        if word in DEFINITIONS:
            return DEFINITIONS[word](self.session, self.parser)
        step = self._STEPS.get(word)
        return step(self) if step is not None else None

    # --- variables -----------------------------------------------------------------------------------------

    def _declare(self) -> Steps:
        parser, session = self.parser, self.session
        parser.take()
        while True:
            token = parser.take()
            if token.kind is not VARIABLE:
                self._declare_cursor(token.word)
                return
            parser.word(b"as")
            if parser.word(b"table"):
                parser.at -= 1
                self._table(token.word)
            else:
                parser.type()
                value: Value = None
                if parser.sign(b"="):
                    value = yield from evaluate(parser.expression(), session)
                session.keep_variable(token.word, value)
            if not parser.sign(b","):
                return

    def _declare_cursor(self, name: bytes) -> None:
        """DECLARE name … CURSOR … FOR SELECT … [FOR …]."""
        parser = self.parser
        while parser.is_word(b"insensitive", b"scroll"):
            parser.take()
        if not parser.word(b"cursor"):
            raise parser.error()
        while not parser.over and not parser.word(b"for"):
            parser.take()
        self.session.declare_cursor(name, parser.select())
        if parser.word(b"for"):
            parser.skip(*STARTS)

    def _open(self) -> Steps:
        self.parser.take()
        self.parser.word(b"global")
        name = self.parser.name().lower()
        result = yield from self.session.select(self.session.cursor(name))
        self.session.cursors.open(name, result.columns or [], result.rows)

    def _fetch(self) -> Steps:
        """FETCH [NEXT FROM] name [INTO @a, …]."""
        parser, session = self.parser, self.session
        parser.take()
        parser.word(b"next")
        parser.word(b"from")
        parser.word(b"global")
        name = parser.name().lower()
        session.cursor(name)
        columns, rows = session.cursors.fetch(name, 1)
        session.fetch_status = 0 if rows else -1
        if not parser.word(b"into"):
            yield Result("FETCH", columns, rows, len(rows))
            return
        variables = [parser.name()]
        while parser.sign(b","):
            variables.append(parser.name())
        if len(variables) != len(columns):
            raise SqlError("fetch")
        for row in rows:
            for variable, value in zip(variables, row, strict=True):
                session.keep_variable(variable, value)

    def _close(self) -> Steps:
        yield from ()
        forgets = self.parser.take().word == b"deallocate"
        self.parser.word(b"global")
        self.session.close_cursor(self.parser.name().lower(), forgets=forgets)

    def _table(self, name: bytes) -> None:
        """DECLARE @t TABLE (column type, …)."""
        parser = self.parser
        parser.take()
        parser.expect(b"(")
        columns: list[bytes] = []
        while not parser.over and not parser.sign(b")"):
            columns.append(parser.name())
            parser.type()
            while parser.next.kind != END and parser.next.text not in (b",", b")"):
                parser.take()
            parser.sign(b",")
        self.session.tables.drop(b"tempdb", name)
        self.session.tables.make(b"tempdb", name, columns, [])

    def _set(self) -> Steps:
        parser, session = self.parser, self.session
        parser.take()
        token = parser.next
        if token.kind is not VARIABLE:
            parser.take()
            parser.skip(*STARTS)  # SET NOCOUNT ON
            return
        parser.take()
        sign = parser.take().text
        if sign in (b"+", b"-", b"*", b"/", b"|", b"&"):
            parser.expect(b"=")
            before = session.variable(token.word)
            value = yield from evaluate(("chain", ("value", before), ((sign, parser.expression()),)), session)
        elif sign == b"=":
            value = yield from evaluate(parser.expression(), session)
        else:
            raise SqlError("syntax", sign)
        session.keep_variable(token.word, value)

    # --- queries -------------------------------------------------------------------------------------------

    def _select(self) -> Steps:
        parser, session = self.parser, self.session
        select = parser.select()
        if parser.word(b"for"):  # XML, JSON, BROWSE
            parser.skip(*STARTS)
        if parser.word(b"option"):
            parser.expect(b"(")
            parser.skip_to(b")")
        result = yield from session.select(select)
        session.rowcount = len(result.rows)
        if select.into is not None:
            database, name = session.place((select.into[1],))
            table = session.tables.make(database, name, result.columns or [], [])
            for row in result.rows:
                session.tables.add(table, list(row))
            result = Result("SELECT", changed=len(result.rows))
        elif all(tree[0] == "set" for tree, _ in select.columns):
            return
        yield result

    def _with(self) -> Steps:
        """WITH name AS (SELECT …) before a statement; what a skipped statement has left of options is passed over."""
        parser = self.parser
        if not (parser.begins_select and parser.ahead(2).text.lower() in (b"as", b"(")):
            yield from self._fine()
        elif parser.names_before_select:
            yield from self._select()
        else:
            with self.session.naming():
                yield from self.session.name_all(parser.named())
                yield from self._changing()

    def _changing(self) -> Steps:
        parser, session = self.parser, self.session
        word = parser.next.word
        step = {b"insert": session.insert, b"update": session.update, b"delete": session.delete,
                b"truncate": session.truncate}.get(word)  # fmt: skip
        if step is None:
            raise parser.error()
        if word == b"insert" and self._calls():
            yield from self._insert_called()
            return
        result = yield from step(parser)
        session.rowcount = result.changed
        yield result

    def _calls(self) -> bool:
        """Say whether this INSERT takes the rows of a procedure."""
        parser = self.parser
        for ahead in range(1, 24):
            token = parser.ahead(ahead)
            if token.kind is WORD and token.word in (b"exec", b"execute"):
                return True
            if token.kind is WORD and token.word in (b"values", b"select", b"set"):
                return False
        return False

    def _insert_called(self) -> Steps:
        parser, session = self.parser, self.session
        parser.take()
        parser.word(b"into")
        name = parser.dotted()
        if parser.sign(b"("):
            parser.skip_to(b")")
        table = session.changeable(name)
        before = session.held_bytes
        for result in (yield from self._collected(self._execute())):
            for row in result.rows:
                session.tables.add(table, [*row, *[None] * len(table.columns)][: len(table.columns)])
        session.held_bytes = before
        yield Result("INSERT", changed=len(table.rows))

    def _collected(self, steps: Steps) -> Generator[Any, Any, list[Result]]:
        """Carry out steps, keep back what they tell, and pass on what they order."""
        told: list[Result] = []
        answer: Any = None
        while True:
            try:
                given = steps.send(answer)
            except StopIteration:
                return told
            if isinstance(given, Result | Outcome | Said):
                results = given.results if isinstance(given, Outcome) else [given] if isinstance(given, Result) else []
                for result in results:
                    self.session.hold_rows(result.rows)
                told += results
                answer = None
            else:
                answer = yield given

    # --- calls -----------------------------------------------------------------------------------------------

    def _execute(self) -> Steps:
        """EXEC procedure …, EXEC @status = procedure …, EXEC ('batch')."""
        parser, session = self.parser, self.session
        parser.take()
        if parser.sign(b"("):
            sql = yield from evaluate(parser.expression(), session)
            parser.expect(b")")
            if parser.word(b"at"):
                parser.name()
            yield from self._within(text(sql))
            return
        result_into = b""
        if parser.next.kind is VARIABLE and parser.ahead().text == b"=":
            result_into = parser.take().word
            parser.take()
        yield from self.call(result_into)

    def _within(self, sql: bytes) -> Steps:
        if self.nested >= NESTING_MAX:
            raise SqlError("depth")
        yield entered(sql)
        yield from Batch(self.session, sql, nested=self.nested + 1, count=self.count).run()

    def call(self, result_into: bytes = b"") -> Steps:
        """See `Flow`. Into `result_into`, if given, goes the procedure's status."""
        parser, session = self.parser, self.session
        name = parser.dotted() if parser.next.kind is not VARIABLE else (text(session.variable(parser.take().word)),)
        given = yield from self._arguments()
        outcome = yield from call(session, name, given, self)
        for at, variable in given.outputs.items():
            if at in outcome.outputs:
                session.keep_variable(variable, outcome.outputs[at])
        if result_into:
            session.keep_variable(result_into, outcome.status)
        yield outcome

    def _arguments(self) -> Generator[Any, Any, Arguments]:
        parser, session = self.parser, self.session
        given = Arguments()
        while not parser.over and parser.next.text != b";":
            token = parser.next
            if token.kind is WORD and token.word in STARTS:
                break
            name = b""
            if token.kind is VARIABLE and parser.ahead().text == b"=":
                name = parser.take().word
                parser.take()
                token = parser.next
            if token.kind in (WORD, NAME) and parser.ahead().text not in (b"(", b"."):
                parser.take()  # NULL, DEFAULT, a text without quotes, or one in the quotes of a name
                nothing = token.kind is WORD and token.word in (b"null", b"default")
                value: Value = None if nothing else token.text
            else:
                unset = token.kind is VARIABLE and token.word[:2] != b"@@" and token.word not in session.variables
                value = None if unset else (yield from evaluate(parser.sum(), session))
                if unset:
                    parser.take()
            if parser.word(b"out") or parser.word(b"output"):
                given.outputs[len(given.values)] = token.word
            if name:
                given.named[name] = value
                if len(given.values) in given.outputs:
                    given.values.append(value)
            else:
                given.values.append(value)
            if not parser.sign(b","):
                break
        return given

    # --- others --------------------------------------------------------------------------------------------------

    def _use(self) -> Steps:
        self.parser.take()
        before = self.session.use(self.parser.name())
        yield ("database", before)

    def _print(self) -> Steps:
        self.parser.take()
        value = yield from evaluate(self.parser.expression(), self.session)
        yield Said(0, text(value).decode("utf-8", "replace"), 0)

    def _wait(self) -> Steps:
        self.parser.take()
        self.parser.word(b"delay") or self.parser.word(b"time")
        token = self.parser.take()
        value = token.text if token.kind is TEXT else text(self.session.variables.get(token.word))
        found = _CLOCK.match(value)
        seconds = (
            sum(int(part or 0) * unit for part, unit in zip(found.groups(), (3600, 60, 1), strict=True)) if found else 0
        )
        yield Rest(min(WAIT_S_MAX, float(seconds)))

    def _fine(self) -> Steps:
        """What only succeeds."""
        self.parser.take()
        self.parser.skip(*STARTS)
        yield from ()

    _STEPS: ClassVar[dict[bytes, Callable[[Batch], Steps]]] = {
        b"select": _select, b"insert": _changing, b"update": _changing, b"delete": _changing, b"truncate": _changing,
        b"set": _set, b"declare": _declare, b"exec": _execute, b"execute": _execute,
        b"if": Flow.if_, b"while": Flow.while_,
        b"begin": Flow.begin_, b"break": Flow.break_, b"return": Flow.return_,
        b"use": _use, b"print": _print, b"waitfor": _wait, b"with": _with,
        b"open": _open, b"fetch": _fetch, b"close": _close, b"deallocate": _close,
        **dict.fromkeys(b"reconfigure backup restore bulk dbcc raiserror grant revoke deny kill shutdown commit "
                        b"rollback "
                        b"save continue merge throw checkpoint go".split(), _fine),
    }  # fmt: skip


def call(
    session: Session, name: tuple[bytes, ...], given: Arguments, batch: Batch | None = None
) -> Generator[Any, Any, Outcome]:
    """Call a procedure. Raises `SqlError`."""
    plain = name[-1].lower()
    if plain == b"sp_executesql":
        return (yield from _dynamic(session, given, batch))
    if plain in session.made:
        line = next((text(value) for value in [*given.values, *given.named.values()] if isinstance(value, bytes)), b"")
        yield Saw(ExploitRecognised("mssql-clr-command", "", f"{printable(plain, 64)} {printable(line, 2048)}"))
        printed = yield from session.run(line)
        rows: list[list[Value]] = [[printed]]
        return Outcome([Result("EXEC", [b"output"], rows, 1)])
    procedure = PROCEDURES.get(plain)
    if procedure is None:
        raise SqlError("procedure", b".".join(name))
    return (yield from procedure(session, given))


def _dynamic(session: Session, given: Arguments, batch: Batch | None) -> Generator[Any, Any, Outcome]:
    """sp_executesql N'batch', N'@a int, …', @a = 1, …: the batch tells its own results."""
    sql = text(given.get(0, b"@stmt", b"@statement"))
    names = re.findall(rb"@\w+", text(given.get(1, b"@params")))
    for at, variable in enumerate(names[:256]):
        value = given.named.get(variable.lower(), given.values[at + 2] if at + 2 < len(given.values) else None)
        session.keep_variable(variable.lower(), value)
    if batch is not None and batch.nested >= NESTING_MAX:
        raise SqlError("depth")
    yield entered(sql)
    yield from Batch(session, sql, nested=batch.nested + 1 if batch is not None else 0).run()
    return Outcome()
