"""The table of what can be said, by the first word of a statement."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeAlias

from eudaemon.events.catalogue import ExploitRecognised
from eudaemon.protocols._base import Saw
from eudaemon.protocols._database import entered
from eudaemon.protocols._sql.parameters import filled
from eudaemon.protocols._sql.parser import Parser
from eudaemon.protocols._sql.query import Result, Work
from eudaemon.protocols._sql.tokens import NUMBER, POSTGRES, TEXT, WORD, SqlError
from eudaemon.protocols._sql.values import Value, evaluate, evaluate_all, text
from eudaemon.protocols.postgres.copying import copy
from eudaemon.protocols.postgres.session import ROLES_MAX, Session
from eudaemon.wire import printable

Statement: TypeAlias = "Callable[[Session, Parser], Work]"
INNER_MAX = 8  # statements in the body of a DO that are carried out
_INNER = re.compile(
    rb"\bcopy\b[^;$]{1,65536}?\bprogram\b\s*(?:'(?:[^']|''){1,65536}'|\$\w*\$.*?\$\w*\$)", re.IGNORECASE | re.DOTALL
)


def _select(session: Session, parser: Parser) -> Work:
    bracket = parser.sign(b"(")
    select = parser.select()
    if bracket:
        parser.expect(b")")
    result = yield from session.select(select)
    rows, session.set_of = session.set_of, None
    if rows is not None and not select.sources and len(result.rows) == 1 and len(result.rows[0]) == 1:
        result.rows, result.changed = rows, len(rows)
    if select.into is not None and select.into[0] == "table":
        table = session.tables.make(session.database, select.into[1], result.columns or [], [])
        for row in result.rows:
            session.tables.add(table, list(row))
        return Result("SELECT", changed=len(result.rows))
    return result


def _show(session: Session, parser: Parser) -> Work:
    parser.take()
    yield from ()
    if parser.word(b"all"):
        known = {**session.server.settings, **session.settings}
        rows: list[list[Value]] = [[name, value, b""] for name, value in sorted(known.items())]
        return Result("SHOW", [b"name", b"setting", b"description"], rows)
    name = b".".join(parser.dotted())
    if parser.next.kind is WORD:  # TRANSACTION ISOLATION LEVEL, TIME ZONE
        parser.skip()
        name = b"transaction_isolation" if name == b"transaction" else b"timezone"
    return Result("SHOW", [name], [[session.setting(name)]])


def _set(session: Session, parser: Parser) -> Work:
    parser.take()
    yield from ()
    parser.word(b"session") or parser.word(b"local")
    name = parser.dotted()
    value = b""
    if parser.sign(b"=") or parser.word(b"to"):
        value = parser.take().text
    parser.skip()
    if name[0] not in (
        b"transaction",
        b"role",
        b"time",
        b"characteristics",
        b"constraints",
        b"authorization",
        b"names",
    ):
        session.set(b".".join(name), value)
    return Result("SET")


def _create(session: Session, parser: Parser) -> Work:
    parser.take()
    parser.word(b"or", b"replace")
    while parser.is_word(b"temp", b"temporary", b"unlogged", b"global", b"local"):
        parser.take()
    if parser.word(b"table"):
        before = set(session.tables.databases[session.database])
        result = yield from session.create_table(parser)
        for name in set(session.tables.databases[session.database]) - before:
            session.remembered.add(
                b"table", session.database, name, *session.tables.databases[session.database][name].columns
            )
        return result
    if parser.word(b"database"):
        name = parser.name()
        parser.skip()
        session.tables.make_database(name)
        return Result("CREATE DATABASE")
    if parser.word(b"function") or parser.word(b"procedure"):
        return (yield from _function(session, parser))
    if parser.is_word(b"role", b"user", b"group"):
        parser.take()
        name = parser.name()
        parser.skip()
        if len(session.roles) < ROLES_MAX:
            session.roles.append(name[:64])
        return Result("CREATE ROLE")
    what = parser.take().word.decode("latin-1").upper()
    if what == "EXTENSION":
        parser.word(b"if", b"not", b"exists")
        name = parser.name()
        parser.skip()
        if name not in (b"plpgsql", b"dblink", b"adminpack", b"pgcrypto", b"file_fdw", b"postgres_fdw"):
            raise SqlError("language", name)
        return Result("CREATE EXTENSION")
    parser.skip()
    return Result(f"CREATE {what}")


def _function(session: Session, parser: Parser) -> Work:
    """CREATE FUNCTION f(…) RETURNS … AS 'library', 'symbol' LANGUAGE C, the clauses in any order."""
    name = parser.dotted()[-1]
    parser.expect(b"(")
    depth = 1
    while depth and not parser.over:
        sign = parser.take().text
        depth += (sign == b"(") - (sign == b")")
    body, language = b"", b"sql"
    while not parser.over and parser.next.text != b";":
        if parser.word(b"language"):
            language = parser.take().text.lower()
        elif parser.word(b"as"):
            body = parser.take().text
            if parser.sign(b","):
                parser.take()
        else:
            parser.take()
    if language == b"c":
        yield Saw(ExploitRecognised("postgres-udf", "", f"{printable(name, 64)} from {printable(body, 1024)}"))
        if not session.library(body):
            raise SqlError("library", body)
        session.make_function(name, body)
    elif language not in (b"sql", b"plpgsql", b"internal"):
        yield Saw(ExploitRecognised("postgres-language", "", f"{printable(language, 64)}: {printable(body, 2048)}"))
        raise SqlError("language", language)
    return Result("CREATE FUNCTION")


def _drop(session: Session, parser: Parser) -> Work:
    parser.take()
    if parser.word(b"table"):
        before = set(session.tables.databases[session.database])
        result = yield from session.drop_tables(parser)
        for name in before - set(session.tables.databases[session.database]):
            session.remembered.forget(b"table", session.database, name)
        return result
    if parser.word(b"database"):
        if session.database in (parser.next.text, parser.ahead(2).text):
            raise SqlError("open database")
        return (yield from session.drop_databases(parser))
    what = parser.take().word
    if what == b"function":
        forgives = parser.word(b"if", b"exists")
        name = parser.dotted()[-1]
        if not session.drop_function(name) and not forgives:
            raise SqlError("function", name)
    parser.skip()
    return Result("DROP " + what.decode("latin-1").upper())


def _insert(session: Session, parser: Parser) -> Work:
    result = yield from session.insert(parser)
    return _returning(parser, result)


def _returning(parser: Parser, result: Result) -> Result:
    if parser.word(b"on"):
        while not parser.over and not parser.is_word(b"returning") and parser.next.text != b";":
            parser.take()
    if parser.word(b"returning"):
        parser.skip()
        return Result(result.tag, [b"id"], [[1]] * min(result.changed, 1), result.changed)
    return result


def _changed(session: Session, parser: Parser) -> Work:
    step = session.update if parser.is_word(b"update") else session.delete
    return _returning(parser, (yield from step(parser)))


def _do(session: Session, parser: Parser) -> Work:
    """DO: of a body only what copies from or to a program is carried out."""
    parser.take()
    body = next((token.text for token in parser.tokens[parser.at :] if token.kind is TEXT), b"")
    parser.skip()
    for count, found in enumerate(_INNER.finditer(body)):
        if count >= INNER_MAX:
            break
        yield from copy(
            session, Parser(found[0].replace(b"''", b"'") if b"''" in found[0][:200] else found[0], POSTGRES)
        )
    return Result("DO")


def _alter(session: Session, parser: Parser) -> Work:
    parser.take()
    yield from ()
    what = parser.take().word
    if what in (b"user", b"role"):
        name = parser.name()
        if name not in (b"postgres", session.user, *session.roles):
            raise SqlError("role", name)
        what = b"role"
    parser.skip()
    return Result("ALTER " + what.decode("latin-1").upper())


def _values(session: Session, parser: Parser) -> Work:
    parser.take()
    rows: list[list[Value]] = []
    while parser.sign(b"("):
        rows += ((yield from evaluate_all(parser.expressions(), session)),)
        session.hold(*rows[-1])
        parser.expect(b")")
        parser.sign(b",")
    width = max(map(len, rows), default=0)
    return Result("SELECT", [b"column%d" % (at + 1) for at in range(width)], rows, len(rows))


def _table(session: Session, parser: Parser) -> Work:
    parser.take()
    yield from ()
    table = session.table(parser.dotted())
    return Result("SELECT", list(table.columns), [list(row) for row in table.rows], len(table.rows))


def _call(session: Session, parser: Parser) -> Work:
    parser.take()
    yield from evaluate(parser.expression(), session)
    return Result("CALL")


def _explain(session: Session, parser: Parser) -> Work:  # noqa: ARG001
    parser.skip()
    yield from ()
    plan = b"Result  (cost=0.00..0.01 rows=1 width=4)"
    return Result("EXPLAIN", [b"QUERY PLAN"], [[plan]], 1)


def _with(session: Session, parser: Parser) -> Work:
    if parser.names_before_select:
        return (yield from _select(session, parser))
    return (yield from session.named_before(parser, lambda: statement(session, parser)))


_PREPARED = (b"select", b"with", b"values", b"insert", b"update", b"delete")


def _prepare(session: Session, parser: Parser) -> Work:
    """PREPARE name [(types)] AS statement."""
    parser.take()
    yield from ()
    name = parser.name()
    if parser.sign(b"("):
        parser.skip_to(b")")
    if not parser.word(b"as"):
        raise parser.error()
    if not parser.is_word(*_PREPARED):
        raise parser.error()
    if name in session.statements:
        raise SqlError("prepared exists", name)
    session.keep_statement(name, parser.rest())
    return Result("PREPARE")


def _execute(session: Session, parser: Parser) -> Work:
    """EXECUTE name [(value, …)]."""
    parser.take()
    name = parser.name()
    trees = parser.arguments() if parser.sign(b"(") else ()
    if name not in session.statements:
        raise SqlError("prepared", name)
    inner = Parser(session.statements[name], POSTGRES)
    session.parameters = yield from evaluate_all(trees, session)
    yield entered(filled(inner, session.parameters))
    return (yield from statement(session, inner))


def _deallocate(session: Session, parser: Parser) -> Work:
    """DEALLOCATE [PREPARE] name, or ALL."""
    parser.take()
    parser.word(b"prepare")
    yield from ()
    if parser.word(b"all"):
        for name in list(session.statements):
            session.drop_statement(name)
        return Result("DEALLOCATE ALL")
    name = parser.name()
    if not session.drop_statement(name):
        raise SqlError("prepared", name)
    return Result("DEALLOCATE")


def _declare(session: Session, parser: Parser) -> Work:
    """DECLARE name … CURSOR … FOR SELECT …: its rows are what there is now."""
    parser.take()
    name = parser.name()
    while parser.is_word(b"binary", b"insensitive", b"asensitive", b"no", b"scroll"):
        parser.take()
    if not parser.word(b"cursor"):
        raise parser.error()
    parser.word(b"with", b"hold") or parser.word(b"without", b"hold")
    if not parser.word(b"for"):
        raise parser.error()
    result = yield from session.select(parser.select())
    session.cursors.open(name, result.columns or [], result.rows)
    return Result("DECLARE CURSOR")


def _fetch(session: Session, parser: Parser) -> Work:
    """FETCH, MOVE [NEXT | count | ALL | FORWARD [count | ALL]] [FROM | IN] name: only forward."""
    tag = parser.take().word.decode().upper()
    yield from ()
    parser.word(b"forward") or parser.word(b"next")
    count: int | None = 1
    if parser.next.kind is NUMBER and parser.next.text.isdigit():
        count = int(parser.take().text)
    elif parser.word(b"all"):
        count = None
    parser.word(b"from") or parser.word(b"in")
    columns, rows = session.cursors.fetch(parser.name(), count)
    if tag == "MOVE":
        return Result(tag, changed=len(rows))
    return Result(tag, columns, rows, len(rows))


def _close(session: Session, parser: Parser) -> Work:
    """CLOSE name, or ALL."""
    parser.take()
    yield from ()
    if parser.word(b"all"):
        session.cursors.close_all()
        return Result("CLOSE CURSOR ALL")
    session.cursors.close(parser.name())
    return Result("CLOSE CURSOR")


def _ended(session: Session, parser: Parser) -> Work:
    """COMMIT, ROLLBACK: cursors end with their transaction."""
    if parser.ahead().word not in (b"to", b"prepared"):
        session.cursors.close_all()
    return (yield from _fine(session, parser))


def _fine(session: Session, parser: Parser) -> Work:  # noqa: ARG001
    """What only succeeds."""
    tag = text(parser.take().word).decode("latin-1").upper()
    parser.skip()
    yield from ()
    return Result(
        {"START": "START TRANSACTION", "END": "COMMIT", "ABORT": "ROLLBACK", "DISCARD": "DISCARD ALL"}.get(tag, tag)
    )


_SUCCEEDING = (
    b"begin start savepoint release grant revoke vacuum analyze reindex cluster checkpoint "
    b"discard listen notify unlisten load lock comment reset refresh security"
)
STATEMENTS: dict[bytes, Statement] = {
    b"select": _select, b"show": _show, b"set": _set, b"create": _create, b"drop": _drop,
    b"insert": _insert, b"update": _changed, b"delete": _changed, b"copy": copy, b"do": _do, b"alter": _alter,
    b"truncate": lambda session, parser: session.truncate(parser), b"values": _values, b"table": _table, b"call": _call,
    b"explain": _explain, b"with": _with, b"prepare": _prepare, b"execute": _execute, b"deallocate": _deallocate,
    b"declare": _declare, b"fetch": _fetch, b"move": _fetch, b"close": _close,
    **dict.fromkeys((b"commit", b"rollback", b"end", b"abort"), _ended), **dict.fromkeys(_SUCCEEDING.split(), _fine),
}  # fmt: skip


def statement(session: Session, parser: Parser) -> Work:
    """Carry out the next statement. Raises `SqlError`."""
    bracket = parser.next.text == b"(" and parser.next.kind == "sign"
    step = STATEMENTS.get(b"select" if bracket else parser.next.word) if bracket or parser.next.kind is WORD else None
    if step is None:
        raise parser.error()
    session.set_of = None
    return (yield from step(session, parser))
