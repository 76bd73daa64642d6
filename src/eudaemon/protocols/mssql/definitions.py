"""What a batch makes, alters and drops: tables, databases, assemblies and the procedures out of them, logins."""

from __future__ import annotations

from collections.abc import Callable

from eudaemon.events.catalogue import ExploitRecognised
from eudaemon.protocols._base import Keep, Saw
from eudaemon.protocols._sql.parser import Parser
from eudaemon.protocols._sql.tokens import SqlError
from eudaemon.protocols._sql.values import Value, evaluate, text
from eudaemon.protocols.mssql.flow import STARTS, Steps
from eudaemon.protocols.mssql.session import MADE_MAX, Session
from eudaemon.wire import printable


def _create(session: Session, parser: Parser) -> Steps:
    parser.take()
    if parser.word(b"table"):
        yield (yield from session.create_table(parser))
    elif parser.word(b"database"):
        name = parser.name()
        parser.skip(*STARTS)
        session.tables.make_database(name)
    elif parser.word(b"assembly"):
        yield from _assembly(session, parser, parser.name())
    elif parser.is_word(b"procedure", b"proc", b"function"):
        _procedure(session, parser)
    else:
        if parser.word(b"login") and len(session.logins) < MADE_MAX:
            session.logins.append(parser.name()[:128])
        parser.skip(*[word for word in STARTS if word not in (b"with", b"for")])


def _assembly(session: Session, parser: Parser, name: bytes) -> Steps:
    """CREATE ASSEMBLY name [AUTHORIZATION owner] FROM 0x4d5a… [, …] [WITH PERMISSION_SET = UNSAFE]; ALTER, too."""
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
        parser.skip(*[word for word in STARTS if word != b"with"])
    if len(session.assemblies) < MADE_MAX and name not in session.assemblies:
        session.assemblies.append(name[:128])


def _procedure(session: Session, parser: Parser) -> None:
    """CREATE PROCEDURE name … AS EXTERNAL NAME assembly.class.method; those of SQL are not remembered."""
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


def _drop(session: Session, parser: Parser) -> Steps:
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
    parser.skip(*STARTS)


def _alter(session: Session, parser: Parser) -> Steps:
    parser.take()
    if parser.word(b"assembly"):
        yield from _assembly(session, parser, parser.name())
        return
    parser.take()
    parser.skip(*[word for word in STARTS if word not in (b"set", b"with")])


DEFINITIONS: dict[bytes, Callable[[Session, Parser], Steps]] = {b"create": _create, b"drop": _drop, b"alter": _alter}
