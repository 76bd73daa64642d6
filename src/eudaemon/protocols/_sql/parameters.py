"""Parameters of prepared statements: `?` in MySQL, `$1` in PostgreSQL. Read as variables, whose values come later."""

from __future__ import annotations

from eudaemon.protocols._sql.parser import Parser
from eudaemon.protocols._sql.tokens import SIGN, VARIABLE, Binary, Token
from eudaemon.protocols._sql.values import Value, text

PARAMETERS_MAX = 1024  # of one statement
_SHOWN_BYTES_MAX = 2048  # of one value


def number_marks(parser: Parser) -> int:
    """Make each `?` a variable, `?1` and so on; return how many there are."""
    count = 0
    for at, token in enumerate(parser.tokens):
        if token.kind is SIGN and token.text == b"?":
            count += 1
            name = b"?%d" % count
            parser.tokens[at] = Token(VARIABLE, name, name, token.start, token.end)
    return count


def number_of(name: bytes) -> int:
    """Return which parameter a variable is, counted from 1; 0 if it is none."""
    digits = name[1:7]
    return int(digits) if name[:1] in (b"?", b"$") and digits.isdigit() and len(name) < 7 else 0


def filled(parser: Parser, values: list[Value]) -> bytes:
    """Return a statement with the values in place of its parameters, as a person would have typed it."""
    out, end = bytearray(), 0
    for token in parser.tokens:
        number = number_of(token.text) if token.kind is VARIABLE else 0
        if 0 < number <= len(values):
            out += parser.sql[end : token.start] + _shown(values[number - 1])
            end = token.end
    return bytes(out) + parser.sql[end:]


def _shown(value: Value) -> bytes:
    if value is None:
        return b"NULL"
    data = text(value)
    if isinstance(value, Binary):
        return b"0x" + data[: _SHOWN_BYTES_MAX // 2].hex().encode()
    return data if not isinstance(value, bytes) else b"'%s'" % data[:_SHOWN_BYTES_MAX].replace(b"'", b"''")
