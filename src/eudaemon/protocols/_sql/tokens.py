"""SQL as text: words, literals, variables and signs, as three products write them. No meaning.

What stands in a literal is given as its value, so that `0x4d5a`, `X'4d5a'`, `'MZ'`, `E'\\x4d\\x5a'` and `$a$MZ$a$` are
the same two bytes. What can be no token ends the reading with a `SqlError` that says where.
"""

from __future__ import annotations

import re
from binascii import unhexlify
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from eudaemon.wire import PeerError, decode

TOKENS_MAX = 200_000  # of one request
_DIGITS_MAX = 40

WORD, NAME, TEXT, BINARY, NUMBER, VARIABLE, SIGN, END = (
    "word", "name", "text", "binary", "number", "variable", "sign", "end",
)  # fmt: skip


class SqlError(Exception):
    """What the pretended server answers with an error. `near` is the text at which it stopped understanding."""

    def __init__(self, what: str, near: bytes = b"", code: object = None) -> None:
        super().__init__(what)
        self.near = near
        self.code = code


class Binary(bytes):
    """A value that was written in hexadecimal, or is made of one: not text."""

    __slots__ = ()


class Token(NamedTuple):
    """`text` is a literal's value, a word as it is written, a quoted name without its quotes. `word` is lower case."""

    kind: str
    text: bytes
    word: bytes
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a product writes what the others write differently."""

    backslashes: bool  # whether they escape in every text
    quoted_text: bool  # whether "…" is a text
    name: str


MYSQL = Dialect(backslashes=True, quoted_text=True, name="mysql")
POSTGRES = Dialect(backslashes=False, quoted_text=False, name="postgres")
TSQL = Dialect(backslashes=False, quoted_text=False, name="tsql")

_BLANK = {
    # What stands in `/*! … */` is executed: only the marks are blank.
    "mysql": rb"(?:\s|--[^\n]*+|\#[^\n]*+|/\*!\d*|/\*(?!!)(?:[^*]|\*(?!/))*+(?:\*/|$)|\*/)++",
    "postgres": rb"(?:\s|--[^\n]*+|/\*(?:[^*]|\*(?!/))*+(?:\*/|$))++",
    "tsql": rb"(?:\s|--[^\n]*+|/\*(?:[^*]|\*(?!/))*+(?:\*/|$))++",
}
_ESCAPED = rb"'[^'\\]*+(?:(?:\\.|'')[^'\\]*+)*+'"
_PLAIN = rb"'[^']*+(?:''[^']*+)*+'"
_TEXT = {
    "mysql": rb"(?P<escaped>(?:[nN]|_[a-zA-Z0-9]+\s*)?" + _ESCAPED + rb")"
    rb'|(?P<quoted>(?:_[a-zA-Z0-9]+\s*)?"[^"\\]*+(?:(?:\\.|"")[^"\\]*+)*+")',
    "postgres": rb"(?P<escaped>[eE]" + _ESCAPED + rb")|(?P<dollar>\$(?P<tag>(?:[A-Za-z_]\w*)?)\$(?s:.)*?\$(?P=tag)\$)"
    rb"|(?P<plain>[nN]?" + _PLAIN + rb")",
    "tsql": rb"(?P<plain>[nN]?" + _PLAIN + rb")",
}
_NAMES = {
    "mysql": rb"(?P<named>`[^`]*+(?:``[^`]*+)*+`)",
    "postgres": rb'(?P<named>"[^"]*+(?:""[^"]*+)*+")',
    "tsql": rb'(?P<named>"[^"]*+(?:""[^"]*+)*+"|\[[^\]]*+(?:\]\][^\]]*+)*+\])',
}
_REST = (
    rb"|(?P<hex>(?:_[a-zA-Z0-9]+\s+)?0[xX][0-9a-fA-F]*+(?![\w$]))|(?P<bits>[xX]'[0-9a-fA-F]*+')"
    rb"|(?P<number>(?:\d++(?:\.\d*+)?|\.\d++)(?:[eE][+-]?\d++)?)"
    rb"|(?P<variable>@@?[\w.$]++|@'[^']*+'|@`[^`]*+`|\$\d++)"
    rb"|(?P<word>[A-Za-z_\x80-\xff\#][\w$\x80-\xff\#]*+)"
    rb"|(?P<sign><=>|<=|>=|<>|!=|\|\||&&|::|:=|!~\*?|~\*|->>?|[-+*/%(),;.=<>!~&|^?:@\[\]{}\\])"
)


@cache
def _pattern(name: str) -> re.Pattern[bytes]:
    text = rb"(?P<blank>" + _BLANK[name] + rb")|" + _TEXT[name] + rb"|" + _NAMES[name] + _REST
    return re.compile(text.replace(rb"\#", b"#"), re.DOTALL)


# MySQL 8.0 manual, section 9.1.1; what is not listed stands for itself.
_MYSQL_ESCAPES = {
    b"0": b"\0", b"b": b"\b", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"Z": b"\x1a", b"%": b"\\%", b"_": b"\\_",
}  # fmt: skip
_MYSQL_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)


def _mysql_text(inside: bytes, quote: bytes) -> bytes:
    inside = inside.replace(quote * 2, quote)
    if b"\\" not in inside:
        return inside
    return _MYSQL_ESCAPE.sub(lambda found: _MYSQL_ESCAPES.get(found[1], found[1]), inside)


def _escaped(text: bytes, dialect: Dialect) -> bytes:
    inside = text[text.index(b"'") + 1 : -1]
    return _mysql_text(inside, b"'") if dialect.backslashes else decode.backslashes(inside.replace(b"''", b"'"))


def _named(text: bytes, dialect: Dialect) -> bytes:  # noqa: ARG001
    return text[1:-1].replace((b"]" if text[:1] == b"[" else text[:1]) * 2, text[-1:])


def _hexadecimal(text: bytes, dialect: Dialect) -> bytes:  # noqa: ARG001
    digits = memoryview(text)[max(text.find(b"0x"), text.find(b"0X")) + 2 :]
    return unhexlify(digits) if len(digits) % 2 == 0 else unhexlify(b"0" + bytes(digits))


def _dollar(text: bytes, dialect: Dialect) -> bytes:  # noqa: ARG001
    size = text.index(b"$", 1) + 1
    return text[size:-size]


_READ: dict[str, tuple[str, Callable[[bytes, Dialect], bytes]]] = {
    "escaped": (TEXT, _escaped),
    "quoted": (TEXT, lambda text, _: _mysql_text(text[text.index(b'"') + 1 : -1], b'"')),
    "plain": (TEXT, lambda text, _: text[text.index(b"'") + 1 : -1].replace(b"''", b"'")),
    "dollar": (TEXT, _dollar),
    "named": (NAME, _named),
    "hex": (BINARY, _hexadecimal),
    "bits": (BINARY, lambda text, _: _hexadecimal(b"0x" + text[2:-1], MYSQL)),
    "number": (NUMBER, lambda text, _: text),
    "variable": (VARIABLE, lambda text, _: text.replace(b"`", b"").replace(b"'", b"")),
    "word": (WORD, lambda text, _: text),
    "sign": (SIGN, lambda text, _: text),
}


def tokens(sql: bytes, dialect: Dialect) -> list[Token]:
    """Return the tokens of a text, the last one an `END`. Raises `SqlError`, and `PeerError` past the limit."""
    found: list[Token] = []
    pattern, at = _pattern(dialect.name), 0
    while at < len(sql):
        match = pattern.match(sql, at)
        if match is None or match.end() == at:
            raise SqlError("syntax", sql[at : at + 80])
        name = match.lastgroup or ""
        if name == "tag":
            name = "dollar"
        if name != "blank":
            kind, read = _READ[name]
            text = read(match[name], dialect)
            if kind is NUMBER and len(text) > _DIGITS_MAX:
                raise SqlError("syntax", sql[at : at + 80])
            found.append(Token(kind, text, text.lower() if kind in (WORD, NAME, VARIABLE) else text if kind is SIGN
                               else b"", at, match.end()))  # fmt: skip
            if len(found) > TOKENS_MAX:
                raise PeerError(f"more than {TOKENS_MAX} words in one statement")
        at = match.end()
    found.append(Token(END, b"", b"", len(sql), len(sql)))
    return found


class Reader:
    """Goes through tokens, one after the other. The parsers' hands."""

    __slots__ = ("at", "dialect", "sql", "tokens")

    def __init__(self, sql: bytes, dialect: Dialect) -> None:
        self.sql = sql
        self.dialect = dialect
        self.tokens = tokens(sql, dialect)
        self.at = 0

    @property
    def next(self) -> Token:
        """The token that comes next, which stays."""
        return self.tokens[self.at]

    def ahead(self, count: int = 1) -> Token:
        """Return the token that comes `count` after the next one."""
        return self.tokens[min(self.at + count, len(self.tokens) - 1)]

    @property
    def over(self) -> bool:
        """Whether nothing comes any more."""
        return self.next.kind is END

    def take(self) -> Token:
        """Return the next token and go on."""
        token = self.next
        if token.kind is not END:
            self.at += 1
        return token

    def word(self, *words: bytes) -> bool:
        """Go past these words if they come next; say whether they do."""
        for count, word in enumerate(words):
            token = self.ahead(count)
            if token.kind is not WORD or token.word != word:
                return False
        self.at += len(words)
        return True

    def is_word(self, *words: bytes) -> bool:
        """Say whether one of these words comes next."""
        return self.next.kind is WORD and self.next.word in words

    def sign(self, sign: bytes) -> bool:
        """Go past this sign if it comes next; say whether it does."""
        if self.next.kind is SIGN and self.next.text == sign:
            self.at += 1
            return True
        return False

    def expect(self, sign: bytes) -> None:
        """Go past this sign. Raises `SqlError` where it does not come next."""
        if not self.sign(sign):
            raise self.error()

    def error(self) -> SqlError:
        """Return what is said of the next token: it was not expected."""
        return SqlError("syntax", self.sql[self.next.start : self.next.start + 80])

    def name(self) -> bytes:
        """Return a name, quoted or not. Raises `SqlError`."""
        token = self.take()
        if token.kind is VARIABLE and self.dialect.name == "tsql":
            return token.word  # a table that was declared
        if token.kind is NAME or (token.kind is TEXT and self.dialect.quoted_text):
            return token.text
        if token.kind is not WORD:
            self.at -= token.kind is not END
            raise self.error()
        return token.text if self.dialect.name != "postgres" else token.word

    def dotted(self) -> tuple[bytes, ...]:
        """Return a name with what stands before its dots: `mysql.func`, `master..sysdatabases`."""
        parts = [self.name()]
        while self.sign(b"."):
            parts.append(b"" if self.next.text == b"." and self.next.kind is SIGN else self.name())
        return tuple(parts)

    def skip(self, *until: bytes) -> None:
        """Go to the end of this statement: a semicolon or, outside of brackets, one of the words."""
        depth = 0
        while not self.over:
            token = self.next
            if token.kind is SIGN:
                depth += (token.text == b"(") - (token.text == b")")
                if token.text == b";" and depth <= 0:
                    return
            if depth <= 0 and token.kind is WORD and token.word in until:
                return
            self.at += 1

    def rest(self) -> bytes:
        """Return what comes up to the end of this statement as it is written."""
        start = self.next.start
        self.skip()
        return self.sql[start : self.tokens[self.at - 1].end] if self.next.start > start else b""
