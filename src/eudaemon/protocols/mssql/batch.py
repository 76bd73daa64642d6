"""Transact-SQL: statements without a mark between them, conditions, loops, calls, batches in texts.

The work of a batch yields orders, and results as `Result`, `Said` and `Outcome` for the room to tell.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from typing import Any, ClassVar, TypeAlias

from eudaemon.events.catalogue import CommandEntered, ExploitRecognised
from eudaemon.protocols._base import Keep, Saw
from eudaemon.protocols._sql import END, NAME, TEXT, TSQL, VARIABLE, WORD, SqlError
from eudaemon.protocols._sql_parser import Parser
from eudaemon.protocols._sql_query import Result
from eudaemon.protocols._sql_values import Value, evaluate, text, truth
from eudaemon.protocols._work import Rest
from eudaemon.protocols.mssql.answers import Said
from eudaemon.protocols.mssql.procedures import PROCEDURES, Arguments, Outcome
from eudaemon.protocols.mssql.session import MADE_MAX, Session
from eudaemon.wire import PeerError, printable

Steps: TypeAlias = Generator[Any, Any, None]
STATEMENTS_MAX = 10_000  # that a batch may carry out, loops and batches within it included
NESTING_MAX = 8  # batches within batches
WAIT_S_MAX = 30.0
_FACT_CHARS_MAX = 4096
_STARTS = (
    b"select insert update delete set declare exec execute if else begin end while print use go create drop alter "
    b"truncate reconfigure waitfor backup restore bulk dbcc raiserror return grant revoke deny kill shutdown commit "
    b"rollback save break continue fetch open close deallocate merge throw checkpoint with"
).split()
_CLOCK = re.compile(rb"(\d{1,2}):(\d{1,2})(?::(\d{1,2}))?")


class _Leave(Exception):  # noqa: N818 - BREAK and RETURN, no error
    """What leaves a loop, or the whole batch."""

    def __init__(self, *, whole_batch: bool) -> None:
        super().__init__()
        self.whole_batch = whole_batch


class Batch:
    """One batch. `nested` says how deep it lies within others."""

    __slots__ = ("_count", "_parser", "_session", "nested")

    def __init__(self, session: Session, sql: bytes, *, nested: int = 0, count: list[int] | None = None) -> None:
        self._session = session
        self._parser = Parser(sql, TSQL)
        self._count = count if count is not None else [0]  # statements carried out, shared with batches within
        self.nested = nested

    def run(self) -> Steps:
        """Carry out all statements. Raises `SqlError`, and `PeerError` past a limit."""
        parser = self._parser
        first = True
        try:
            while not parser.over:
                if parser.sign(b";") or parser.word(b"go"):
                    continue
                yield from self._statement(first=first)
                first = False
        except _Leave:
            return

    def _statement(self, *, first: bool = False) -> Steps:
        self._count[0] += 1
        if self._count[0] > STATEMENTS_MAX:
            raise PeerError(f"more than {STATEMENTS_MAX} statements in one batch")
        parser = self._parser
        token = parser.next
        step = self._STEPS.get(token.word) if token.kind is WORD else None
        if step is not None:
            yield from step(self)
        elif first and token.kind in (WORD, NAME):
            yield from self._call()  # a procedure without EXEC, as the first of a batch may be called
        else:
            raise parser.error()

    # --- what controls -----------------------------------------------------------------------------------

    def _if(self) -> Steps:
        parser = self._parser
        parser.take()
        condition = yield from evaluate(parser.expression(), self._session)
        if truth(condition):
            yield from self._statement()
            parser.sign(b";")
            if parser.word(b"else"):
                self._skip()
        else:
            self._skip()
            parser.sign(b";")
            if parser.word(b"else"):
                yield from self._statement()

    def _while(self) -> Steps:
        parser = self._parser
        parser.take()
        start = parser.at
        while True:
            parser.at = start
            condition = yield from evaluate(parser.expression(), self._session)
            if not truth(condition):
                self._skip()
                return
            body = parser.at
            try:
                yield from self._statement()
            except _Leave as leave:
                if leave.whole_batch:
                    raise
                parser.at = body
                self._skip()
                return

    def _begin(self) -> Steps:
        parser = self._parser
        parser.take()
        if parser.is_word(b"tran", b"transaction", b"distributed"):
            parser.skip(*_STARTS)
            return
        kind = parser.take().word if parser.is_word(b"try", b"catch") else b""
        if kind == b"catch":
            self._to_end()
            return
        while not parser.over and not parser.word(b"end"):
            if not parser.sign(b";"):
                yield from self._statement()
        if kind:
            parser.word(kind)

    def _to_end(self) -> None:
        parser, depth = self._parser, 1
        while depth and not parser.over:
            token = parser.take()
            if token.kind is WORD:
                depth += (token.word in (b"begin", b"case")) - (token.word == b"end")
        parser.word(b"catch") or parser.word(b"try")

    def _skip(self) -> None:
        """Pass over one statement."""
        parser = self._parser
        parser.sign(b";")
        token = parser.take()
        if token.word == b"begin" and token.kind is WORD:
            self._to_end()
        elif token.word in (b"if", b"while") and token.kind is WORD:
            parser.skip(*_STARTS)
            self._skip()
        else:
            if token.word == b"insert":
                parser.skip(b"select", b"exec", b"execute", b"values")
                parser.take()
            parser.skip(*_STARTS)

    def _break(self) -> Steps:
        self._parser.take()
        yield from ()
        raise _Leave(whole_batch=False)

    def _return(self) -> Steps:
        yield from ()
        raise _Leave(whole_batch=True)

    # --- variables -----------------------------------------------------------------------------------------

    def _declare(self) -> Steps:
        parser, session = self._parser, self._session
        parser.take()
        while True:
            token = parser.take()
            if token.kind is not VARIABLE:
                if parser.is_word(b"cursor"):
                    parser.skip(*_STARTS)
                    return
                raise parser.error()
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

    def _table(self, name: bytes) -> None:
        """DECLARE @t TABLE (column type, …)."""
        parser = self._parser
        parser.take()
        parser.expect(b"(")
        columns: list[bytes] = []
        while not parser.over and not parser.sign(b")"):
            columns.append(parser.name())
            parser.type()
            while parser.next.kind != END and parser.next.text not in (b",", b")"):
                parser.take()
            parser.sign(b",")
        self._session.tables.drop(b"tempdb", name)
        self._session.tables.make(b"tempdb", name, columns, [])

    def _set(self) -> Steps:
        parser, session = self._parser, self._session
        parser.take()
        token = parser.next
        if token.kind is not VARIABLE:
            parser.take()
            parser.skip(*_STARTS)  # SET NOCOUNT ON
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
        parser, session = self._parser, self._session
        select = parser.select()
        if parser.word(b"for"):  # XML, JSON, BROWSE
            parser.skip(*_STARTS)
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

    def _changing(self) -> Steps:
        parser, session = self._parser, self._session
        word = parser.next.word
        step = {b"insert": session.insert, b"update": session.update, b"delete": session.delete,
                b"truncate": session.truncate}[word]  # fmt: skip
        if word == b"insert" and self._calls():
            yield from self._insert_called()
            return
        result = yield from step(parser)
        session.rowcount = result.changed
        yield result

    def _calls(self) -> bool:
        """Say whether this INSERT takes the rows of a procedure."""
        parser = self._parser
        for ahead in range(1, 24):
            token = parser.ahead(ahead)
            if token.kind is WORD and token.word in (b"exec", b"execute"):
                return True
            if token.kind is WORD and token.word in (b"values", b"select", b"set"):
                return False
        return False

    def _insert_called(self) -> Steps:
        parser, session = self._parser, self._session
        parser.take()
        parser.word(b"into")
        name = parser.dotted()
        if parser.sign(b"("):
            parser.skip_to(b")")
        table = session.changeable(name)
        for told in (yield from self._collected(self._execute())):
            results = told.results if isinstance(told, Outcome) else [told] if isinstance(told, Result) else []
            for row in (row for result in results for row in result.rows):
                session.tables.add(table, [*row, *[None] * len(table.columns)][: len(table.columns)])
        yield Result("INSERT", changed=len(table.rows))

    def _collected(self, steps: Steps) -> Generator[Any, Any, list[Any]]:
        """Carry out steps, keep back what they tell, and pass on what they order."""
        told: list[Any] = []
        answer: Any = None
        while True:
            try:
                given = steps.send(answer)
            except StopIteration:
                return told
            if isinstance(given, Result | Outcome | Said):
                told.append(given)
                answer = None
            else:
                answer = yield given

    # --- calls -----------------------------------------------------------------------------------------------

    def _execute(self) -> Steps:
        """EXEC procedure …, EXEC @status = procedure …, EXEC ('batch')."""
        parser, session = self._parser, self._session
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
        yield from self._call(result_into)

    def _within(self, sql: bytes) -> Steps:
        if self.nested >= NESTING_MAX:
            raise SqlError("depth")
        yield Saw(CommandEntered(printable(sql, _FACT_CHARS_MAX)))
        yield from Batch(self._session, sql, nested=self.nested + 1, count=self._count).run()

    def _call(self, result_into: bytes = b"") -> Steps:
        parser, session = self._parser, self._session
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
        parser, session = self._parser, self._session
        given = Arguments()
        while not parser.over and parser.next.text != b";":
            token = parser.next
            if token.kind is WORD and token.word in _STARTS:
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

    # --- definitions -------------------------------------------------------------------------------------------

    def _create(self) -> Steps:
        parser, session = self._parser, self._session
        parser.take()
        if parser.word(b"table"):
            yield (yield from session.create_table(parser))
        elif parser.word(b"database"):
            name = parser.name()
            parser.skip(*_STARTS)
            session.tables.make_database(name)
        elif parser.word(b"assembly"):
            yield from self._assembly(parser.name())
        elif parser.is_word(b"procedure", b"proc", b"function"):
            self._procedure()
        else:
            if parser.word(b"login") and len(session.logins) < MADE_MAX:
                session.logins.append(parser.name()[:128])
            parser.skip(*[word for word in _STARTS if word not in (b"with", b"for")])

    def _assembly(self, name: bytes) -> Steps:
        """CREATE ASSEMBLY name [AUTHORIZATION owner] FROM 0x4d5a… [, …] [WITH PERMISSION_SET = UNSAFE]; ALTER, too."""
        parser, session = self._parser, self._session
        while not parser.over and not parser.word(b"from"):
            parser.take()
        values: list[Value] = []
        for tree in parser.expressions():
            values += ((yield from evaluate(tree, session)),)
        shown = printable(name, 256)
        for value in values:
            data = text(value)
            if data[:2] in (b"\\\\", b"//") or data[1:3] == b":\\":
                yield Saw(ExploitRecognised("mssql-clr-assembly", "", f"{shown} from {printable(data, 1024)}"))
                raise SqlError("assembly", data)
            yield Saw(ExploitRecognised("mssql-clr-assembly", "", shown))
            yield Keep(bytes(session.tables.export(data)), "upload", shown)
        if parser.word(b"with"):
            parser.skip(*[word for word in _STARTS if word != b"with"])
        if len(session.assemblies) < MADE_MAX and name not in session.assemblies:
            session.assemblies.append(name[:128])

    def _procedure(self) -> None:
        """CREATE PROCEDURE name … AS EXTERNAL NAME assembly.class.method; those of SQL are not remembered."""
        parser, session = self._parser, self._session
        parser.take()
        name = parser.dotted()[-1]
        while not parser.over:
            if parser.word(b"external", b"name"):
                assembly = parser.dotted()[0]
                if assembly not in session.assemblies:
                    raise SqlError("no assembly", assembly)
                if len(session.made) < MADE_MAX:
                    session.made[name.lower()[:128]] = assembly
                return
            parser.take()

    def _drop(self) -> Steps:
        parser, session = self._parser, self._session
        parser.take()
        if parser.word(b"table"):
            yield from session.drop_tables(parser)
            return
        if parser.word(b"database"):
            yield from session.drop_databases(parser)
            return
        parser.take()
        parser.word(b"if", b"exists")
        name = parser.dotted()[-1]
        session.made.pop(name.lower(), None)
        if name in session.assemblies:
            session.assemblies.remove(name)
        parser.skip(*_STARTS)

    def _alter(self) -> Steps:
        parser = self._parser
        parser.take()
        if parser.word(b"assembly"):
            yield from self._assembly(parser.name())
            return
        parser.take()
        parser.skip(*[word for word in _STARTS if word not in (b"set", b"with")])

    # --- others --------------------------------------------------------------------------------------------------

    def _use(self) -> Steps:
        self._parser.take()
        before = self._session.use(self._parser.name())
        yield ("database", before)

    def _print(self) -> Steps:
        self._parser.take()
        value = yield from evaluate(self._parser.expression(), self._session)
        yield Said(0, text(value).decode("utf-8", "replace"), 0)

    def _wait(self) -> Steps:
        self._parser.take()
        self._parser.word(b"delay") or self._parser.word(b"time")
        token = self._parser.take()
        value = token.text if token.kind is TEXT else text(self._session.variables.get(token.word))
        found = _CLOCK.match(value)
        seconds = (
            sum(int(part or 0) * unit for part, unit in zip(found.groups(), (3600, 60, 1), strict=True)) if found else 0
        )
        yield Rest(min(WAIT_S_MAX, float(seconds)))

    def _fine(self) -> Steps:
        """What only succeeds."""
        self._parser.take()
        self._parser.skip(*_STARTS)
        yield from ()

    _STEPS: ClassVar[dict[bytes, Callable[[Batch], Steps]]] = {
        b"select": _select, b"insert": _changing, b"update": _changing, b"delete": _changing, b"truncate": _changing,
        b"set": _set, b"declare": _declare, b"exec": _execute, b"execute": _execute, b"if": _if, b"while": _while,
        b"begin": _begin, b"break": _break, b"return": _return, b"create": _create, b"drop": _drop, b"alter": _alter,
        b"use": _use, b"print": _print, b"waitfor": _wait,
        **dict.fromkeys(b"reconfigure backup restore bulk dbcc raiserror grant revoke deny kill shutdown commit "
                        b"rollback "
                        b"save continue fetch open close deallocate merge throw checkpoint go with".split(), _fine),
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
    yield Saw(CommandEntered(printable(sql, _FACT_CHARS_MAX)))
    yield from Batch(session, sql, nested=batch.nested + 1 if batch is not None else 0).run()
    return Outcome()
