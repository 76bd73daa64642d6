"""The table of what can be said, by the first words of a statement."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from eudaemon.events.catalogue import ExploitRecognised
from eudaemon.protocols._base import Keep, Saw
from eudaemon.protocols._database import entered
from eudaemon.protocols._sql.parameters import filled, number_marks
from eudaemon.protocols._sql.parser import Parser
from eudaemon.protocols._sql.query import Result, Work
from eudaemon.protocols._sql.tokens import MYSQL, NAME, TEXT, VARIABLE, WORD, SqlError
from eudaemon.protocols._sql.values import Value, evaluate, evaluate_all, text
from eudaemon.protocols.mysql.server import DATA
from eudaemon.protocols.mysql.session import Session
from eudaemon.protocols.mysql.shows import described, show
from eudaemon.wire import printable

Statement: TypeAlias = "Callable[[Session, Parser], Work]"
SETTINGS_MAX = 256  # that a session may change
_ON = (b"on", b"1", b"true")


def _select(session: Session, parser: Parser) -> Work:
    if parser.sign(b"("):
        return (yield from session.chosen(parser.select()))
    select = parser.select()
    result = yield from session.chosen(select)
    yield from _logged(session, parser)
    return result


def _logged(session: Session, parser: Parser) -> Work:
    """With the general log led to a file of one's own, any statement is written there: a web shell without FILE."""
    path = text(session.settings.get(b"general_log_file"))
    if path and text(session.settings.get(b"general_log")).lower() in _ON and b"<" in parser.sql:
        yield Saw(ExploitRecognised("mysql-general-log", "", printable(path, 1024)))
        yield Keep(parser.sql, "script", printable(path, 1024))
        session.machine.write(path, parser.sql, session.at_s)
    return Result("SELECT")


def _show(session: Session, parser: Parser) -> Work:
    parser.take()
    yield from ()
    return show(session, parser)


def _describe(session: Session, parser: Parser) -> Work:
    parser.take()
    yield from ()
    if parser.begins_select:
        parser.skip()
        return Result("EXPLAIN", [b"id", b"select_type", b"table"], [[1, b"SIMPLE", None]], 1)
    found = described(session.table(parser.dotted()))
    parser.skip()
    return found


def _use(session: Session, parser: Parser) -> Work:
    parser.take()
    yield from ()
    session.use(parser.name())
    return Result("USE")


def _set(session: Session, parser: Parser) -> Work:
    parser.take()
    if parser.is_word(b"names", b"character", b"charset", b"transaction", b"password"):
        parser.skip()
        return Result("SET")
    while True:
        system = False
        while parser.is_word(b"global", b"session", b"local", b"persist"):
            parser.take()
            system = True
        if parser.is_word(b"transaction", b"names"):
            parser.skip()
            return Result("SET")
        token = parser.take()
        if token.kind not in (VARIABLE, WORD, NAME):
            raise SqlError("syntax", token.text)
        if not parser.sign(b"="):
            parser.expect(b":=")
        value: Value
        if parser.next.kind is WORD and parser.ahead().text not in (b"(", b"."):
            value = None if parser.next.word == b"null" else parser.take().text  # ON, OFF, utf8
            if value is None:
                parser.take()
        else:
            value = yield from evaluate(parser.expression(), session)
        if token.word.startswith(b"@@") or token.kind is not VARIABLE or system:
            _setting(session, token.word, value)
        else:
            session.keep_variable(token.word, value)
        if not parser.sign(b","):
            return Result("SET")


def _setting(session: Session, name: bytes, value: Value) -> None:
    plain = name.removeprefix(b"@@")
    for scope in (b"global.", b"session.", b"local."):
        plain = plain.removeprefix(scope)
    if plain not in session.server.variables:
        raise SqlError("variable", plain)
    if len(session.settings) < SETTINGS_MAX and (not isinstance(value, bytes) or len(value) <= 4096):
        session.settings[plain] = value


def _create(session: Session, parser: Parser) -> Work:
    parser.take()
    if parser.word(b"or", b"replace"):
        pass
    parser.word(b"temporary")
    if parser.word(b"table"):
        return (yield from session.create_table(parser))
    if parser.word(b"database") or parser.word(b"schema"):
        is_new = parser.word(b"if", b"not", b"exists")
        name = parser.name()
        parser.skip()
        if not (is_new and name in session.tables.databases):
            session.tables.make_database(name)
        return Result("CREATE DATABASE", changed=1)
    parser.word(b"aggregate")
    if parser.word(b"function"):
        return (yield from _function(session, parser))
    parser.skip()  # users, views, triggers, events, indices
    return Result("CREATE")


def _function(session: Session, parser: Parser) -> Work:
    is_new = parser.word(b"if", b"not", b"exists")
    name = parser.dotted()[-1]
    while not parser.over and not parser.word(b"soname"):
        parser.take()
    library = parser.take().text
    yield Saw(ExploitRecognised("mysql-udf", "", f"{printable(name, 64)} from {printable(library, 256)}"))
    if not library or not session.library(library):
        raise SqlError("library", library)
    if name.lower() in session.made and not is_new:
        raise SqlError("function exists", name)
    session.make_function(name, library)
    return Result("CREATE")


def _drop(session: Session, parser: Parser) -> Work:
    parser.take()
    if parser.is_word(b"prepare"):
        parser.at -= 1
        return (yield from _deallocate(session, parser))
    parser.word(b"temporary")
    if parser.word(b"table") or parser.word(b"tables"):
        return (yield from session.drop_tables(parser))
    if parser.word(b"database") or parser.word(b"schema"):
        result = yield from session.drop_databases(parser)
        if session.database not in session.tables.databases:
            session.database = b""
        return result
    if parser.word(b"function"):
        forgives = parser.word(b"if", b"exists")
        name = parser.dotted()[-1]
        if not session.drop_function(name) and not forgives:
            raise SqlError("function", name)
        return Result("DROP")
    parser.skip()
    return Result("DROP")


def _insert(session: Session, parser: Parser) -> Work:
    result = yield from session.insert(parser)
    parser.skip()  # ON DUPLICATE KEY UPDATE
    return result


def _delete(session: Session, parser: Parser) -> Work:
    at = parser.at
    names = [token.word for token in parser.tokens[at : at + 5]]
    if b"func" in names or b"plugin" in names:  # DELETE FROM mysql.func
        parser.skip()
        session.made.clear()
        session.remembered.forget(b"function")
        return Result("DELETE", changed=1)
    return (yield from session.delete(parser))


def _load(session: Session, parser: Parser) -> Work:
    """LOAD DATA [LOCAL] INFILE: a client's own file is never asked for."""
    parser.take()
    parser.word(b"data")
    local = parser.word(b"local")
    if local or not parser.word(b"infile"):
        raise SqlError("local")
    path = parser.take().text
    while not parser.over and not parser.word(b"into", b"table"):
        parser.take()
    name = parser.dotted()
    parser.skip()
    table = session.tables.own(*session.place(name))
    if table is None:
        raise SqlError("table", b".".join(name))
    content = session.machine.read(path if path[:1] == b"/" else DATA + path, session.at_s)
    if content is None:
        raise SqlError("write", path)
    lines = content.split(b"\n")[:1000]
    for line in lines:
        row: list[Value] = [line, *[None] * (len(table.columns) - 1)]
        session.tables.add(table, row[: len(table.columns)])
    yield from ()
    return Result("LOAD", changed=len(lines))


def _with(session: Session, parser: Parser) -> Work:
    if parser.names_before_select:
        return (yield from _select(session, parser))
    return (yield from session.named_before(parser, lambda: statement(session, parser)))


_UNPREPARED = (b"prepare", b"execute", b"deallocate")


def _prepare(session: Session, parser: Parser) -> Work:
    """PREPARE name FROM 'statement', or from a variable: what attackers hide, for instance in hexadecimal."""
    parser.take()
    name = parser.name().lower()
    if not parser.word(b"from"):
        raise parser.error()
    sql = text((yield from evaluate(parser.primary(), session)))
    inner = Parser(sql, MYSQL)
    if inner.next.word in _UNPREPARED:
        raise SqlError("prepared")
    session.drop_statement(name)
    session.keep_statement(name, sql)
    return Result("PREPARE")


def _execute(session: Session, parser: Parser) -> Work:
    """EXECUTE name [USING @a, …]."""
    parser.take()
    name = parser.name().lower()
    trees = parser.expressions() if parser.word(b"using") else ()
    if name not in session.statements:
        raise SqlError("no prepared", name)
    inner = Parser(session.statements[name], MYSQL)
    if number_marks(inner) != len(trees):
        raise SqlError("execute")
    session.parameters = yield from evaluate_all(trees, session)
    yield entered(filled(inner, session.parameters))
    result = yield from statement(session, inner)
    inner.sign(b";")
    if not inner.over:
        raise inner.error()
    return result


def _deallocate(session: Session, parser: Parser) -> Work:
    """DEALLOCATE PREPARE name, DROP PREPARE name."""
    parser.take()
    parser.word(b"prepare")
    yield from ()
    name = parser.name().lower()
    if not session.drop_statement(name):
        raise SqlError("no prepared", name)
    return Result("DEALLOCATE")


def _fine(session: Session, parser: Parser) -> Work:  # noqa: ARG001
    """What only succeeds."""
    tag = parser.take().word.decode("latin-1").upper()
    parser.skip()
    yield from ()
    return Result(tag)


def _checked(session: Session, parser: Parser) -> Work:  # noqa: ARG001
    """CHECK, REPAIR, ANALYZE and OPTIMIZE TABLE."""
    what = parser.take().word
    parser.skip()
    yield from ()
    return Result("CHECK", [b"Table", b"Op", b"Msg_type", b"Msg_text"], [[b"-", what, b"status", b"OK"]], 1)


_SUCCEEDING = (
    b"flush grant revoke kill lock unlock begin start commit rollback alter do handler install uninstall rename "
    b"savepoint release reset purge change stop xa call"
)
STATEMENTS: dict[bytes, Statement] = {
    b"select": _select, b"show": _show, b"describe": _describe, b"desc": _describe, b"explain": _describe, b"use": _use,
    b"with": _with, b"prepare": _prepare, b"execute": _execute, b"deallocate": _deallocate,
    b"set": _set, b"create": _create, b"drop": _drop, b"insert": _insert, b"replace": _insert, b"delete": _delete,
    b"update": lambda session, parser: session.update(parser), b"load": _load,
    b"truncate": lambda session, parser: session.truncate(parser), b"check": _checked, b"repair": _checked,
    b"analyze": _checked, b"optimize": _checked, **dict.fromkeys(_SUCCEEDING.split(), _fine),
}  # fmt: skip


def statement(session: Session, parser: Parser) -> Work:
    """Carry out the next statement. Raises `SqlError`."""
    if parser.next.kind not in (WORD, TEXT) and parser.next.text != b"(":
        raise parser.error()
    step = STATEMENTS.get(b"select" if parser.next.text == b"(" else parser.next.word)
    if step is None:
        raise parser.error()
    return (yield from step(session, parser))
