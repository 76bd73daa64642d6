r"""COPY: between tables and programs (CVE-2019-9193), files, and the client, as text, CSV or in binary.

PGCOPY\n\377\r\n\0  flags (4)  extension (4)      fields (2)  [length (4)  bytes] …      ff ff
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from eudaemon.events.catalogue import ExploitRecognised
from eudaemon.protocols._base import Saw
from eudaemon.protocols._sql.parser import Parser
from eudaemon.protocols._sql.query import Result, Work
from eudaemon.protocols._sql.tables import Table
from eudaemon.protocols._sql.tokens import SqlError
from eudaemon.protocols._sql.values import Value
from eudaemon.protocols._work import Run
from eudaemon.protocols.postgres.messages import shown
from eudaemon.protocols.postgres.session import Session
from eudaemon.wire import decode, printable

_NOT_FOUND = (126, 127)
_SIGNATURE = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_ESCAPES = ((b"\\", b"\\\\"), (b"\n", b"\\n"), (b"\r", b"\\r"), (b"\t", b"\\t"))
_FORMAT = re.compile(rb"\bformat\s+'?(\w+)|\b(binary|csv)\b", re.IGNORECASE)
_DELIMITER = re.compile(rb"\bdelimiter\s+(?:as\s+)?(?:e)?'((?:[^']|''){1,4})'", re.IGNORECASE)


@dataclass(slots=True)
class CopyIn(Result):
    """What is awaited from the client, for this table."""

    table: Table = field(default_factory=lambda: Table([]))
    form: str = "text"


@dataclass(slots=True)
class CopyOut(Result):
    """What goes to the client."""

    data: bytes = b""


def copy(session: Session, parser: Parser) -> Work:
    """Carry out a COPY. Raises `SqlError`."""
    parser.take()
    name: tuple[bytes, ...] = ()
    if parser.sign(b"("):
        source = yield from session.select(parser.select())
        parser.expect(b")")
    else:
        name = parser.dotted()
        columns = []
        if parser.sign(b"("):
            while not parser.over and not parser.sign(b")"):
                columns.append(parser.name())
                parser.sign(b",")
        table = session.table(name)
        source = Result("COPY", table.columns, table.rows)
        if columns:
            at = [table.columns.index(column) for column in columns if column in table.columns]
            source = Result("COPY", columns, [[row[number] for number in at] for row in table.rows])
    inward = parser.word(b"from")
    if not inward and not parser.word(b"to"):
        raise parser.error()
    program = parser.word(b"program")
    target = parser.take()
    options = parser.rest()
    form = _form(options)
    if inward:
        return (yield from _inward(session, name, program, target.text, target.word, form))
    delimiter = _DELIMITER.search(options)
    data = written(source, form, decode.backslashes(delimiter[1]) if delimiter else b"," if form == "csv" else b"\t")
    if program:
        yield from _recognised(target.text)
        yield Run(_fed(data, target.text))
    elif target.word in (b"stdout", b"stdin") and target.kind != "text":
        return CopyOut("COPY", changed=len(source.rows), data=data)
    else:
        yield from session.write(target.text, data)
    return Result("COPY", changed=len(source.rows))


def _form(options: bytes) -> str:
    found = _FORMAT.search(options)
    form = (found[1] or found[2]).decode().lower() if found else "text"
    return form if form in ("binary", "csv") else "text"


def _recognised(command: bytes) -> Work:
    yield Saw(ExploitRecognised("postgres-copy-program", "CVE-2019-9193", printable(command, 2048)))
    return Result("")


def _fed(data: bytes, command: bytes) -> bytes:
    """Return a line that gives data to a command. What is no text is given as little as a shell can."""
    quoted = data.replace(b"\0", b"").replace(b"'", b"'\\''")
    return b"printf '%%s' '%s' | (%s)" % (quoted, command)


def _inward(session: Session, name: tuple[bytes, ...], program: bool, target: bytes, word: bytes, form: str) -> Work:
    if not name:
        raise SqlError("syntax", b"FROM")
    table = session.changeable(name)
    if program:
        yield from _recognised(target)
        printed = yield Run(target)
        status = session.status()
        if status in _NOT_FOUND:
            raise SqlError("program", target, status)
        data = bytes(printed)
    elif word in (b"stdin", b"stdout"):
        return CopyIn("COPY", table=table, form=form)
    else:
        found = session.machine.read(target, session.at_s)
        if found is None:
            raise SqlError("read", target)
        data = found
    return Result("COPY", changed=store(session, table, data, form))


def store(session: Session, table: Table, data: bytes, form: str) -> int:
    """Put what came into a table, a row a line; return how many. Raises `SqlError`."""
    count = 0
    for line in _lines(data):
        if line == b"\\.":
            break
        cells = line.split(b"\t") if form == "text" and len(table.columns) > 1 else [line]
        row: list[Value] = [None if cell == b"\\N" else _unescaped(cell, form) for cell in cells]
        row += [None] * (len(table.columns) - len(row))
        session.tables.add(table, row[: max(1, len(table.columns))])
        count += 1
    return count


def _lines(data: bytes) -> Iterator[bytes]:
    """Yield the lines one by one: there may be as many as there are bytes."""
    at = 0
    while at < len(data):
        end = data.find(b"\n", at)
        end = len(data) if end < 0 else end
        yield data[at:end]
        at = end + 1


def _unescaped(cell: bytes, form: str) -> bytes:
    return decode.backslashes(cell) if form == "text" and b"\\" in cell else cell


def written(result: Result, form: str, delimiter: bytes) -> bytes:
    """Return rows as COPY writes them."""
    if form == "binary":
        out = bytearray(_SIGNATURE)
        for row in result.rows:
            out += len(row).to_bytes(2, "big")
            for value in row:
                data = value if isinstance(value, bytes) else shown(value)
                out += b"\xff\xff\xff\xff" if value is None else len(data).to_bytes(4, "big") + data
        return bytes(out) + b"\xff\xff"
    return b"".join(delimiter.join(_cell(value, form) for value in row) + b"\n" for row in result.rows)


def _cell(value: Value, form: str) -> bytes:
    if value is None:
        return b"" if form == "csv" else b"\\N"
    data = shown(value)
    if form == "csv":
        return b'"%s"' % data.replace(b'"', b'""') if any(mark in data for mark in b',"\n\r') else data
    for mark, code in _ESCAPES:
        data = data.replace(mark, code)
    return data
