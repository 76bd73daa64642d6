"""Lua 5.1 as far as scripts for Redis use it: text in, trees out. No functions of its own, no metatables, no goto.

A tree is a tuple that begins with its kind. Expressions:

    ("value", v)  ("name", n)  ("index", t, t)  ("call", t, (t, …))  ("method", t, name, (t, …))  ("not", t)
    ("minus", t)  ("length", t)  ("binary", sign, t, t)  ("table", ((t | None, t), …))

and statements:

    ("local", (name, …), (t, …))  ("assign", (t, …), (t, …))  ("do", block)  ("expression", t)  ("return", (t, …))
    ("if", ((t, block), …))  ("while", t, block)  ("repeat", block, t)  ("for", name, t, t, t, block)  ("break",)
    ("each", (name, …), t, block)
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple, TypeAlias

Tree: TypeAlias = "tuple[Any, ...]"
Block: TypeAlias = "tuple[tuple[int, Tree], ...]"  # each statement with its line
DEPTH_MAX = 40  # of blocks, brackets and operators in each other
TOKENS_MAX = 20_000
_KEYWORDS = frozenset(
    b"and break do else elseif end false for function if in local nil not or repeat return then true until "
    b"while".split()
)
_TOKEN = re.compile(
    rb"(?P<blank>\s+|--\[\[.*?\]\]|--[^\n]*)"
    rb"|(?P<long>\[(?P<level>=*)\[.*?\](?P=level)\])"
    rb"|(?P<text>\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*')"
    rb"|(?P<number>0[xX][0-9a-fA-F]{1,16}|(?:\d{1,40}(?:\.\d{0,40})?|\.\d{1,40})(?:[eE][+-]?\d{1,3})?)"
    rb"|(?P<name>[A-Za-z_]\w*)"
    rb"|(?P<sign>\.\.\.|\.\.|==|~=|<=|>=|[-+*/%^#<>=(){}\[\];:,.])",
    re.DOTALL,
)
_RANKS = {
    b"or": 1, b"and": 2, b"<": 3, b">": 3, b"<=": 3, b">=": 3, b"~=": 3, b"==": 3, b"..": 5, b"+": 6, b"-": 6, b"*": 7,
    b"/": 7, b"%": 7, b"^": 10,
}  # fmt: skip
_RIGHT = frozenset((b"..", b"^"))
_UNARY_RANK = 8
_ENDS = frozenset((b"end", b"else", b"elseif", b"until"))


_ESCAPE = re.compile(rb"\\(\d{1,3}|.)", re.DOTALL)
_ESCAPES = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"a": b"\a", b"b": b"\b", b"f": b"\f", b"v": b"\v"}


def _unescaped(text: bytes) -> bytes:
    def meant(found: re.Match[bytes]) -> bytes:
        return bytes((int(found[1]) & 0xFF,)) if found[1].isdigit() else _ESCAPES.get(found[1], found[1])

    return _ESCAPE.sub(meant, text)


class LuaSyntaxError(Exception):
    """What is no Lua. `near` is the word at which that shows, `line` where it stands."""

    def __init__(self, near: bytes, line: int) -> None:
        super().__init__(near.decode("latin-1"))
        self.near = near
        self.line = line


class UnsupportedError(Exception):
    """What is Lua, and not known here."""


class Token(NamedTuple):
    """`kind` is text, number, name, word (a keyword), sign or end."""

    kind: str
    text: bytes
    line: int


def tokens(script: bytes) -> list[Token]:
    """Return the tokens of a script, the last one an end. Raises `LuaSyntaxError`, `UnsupportedError`."""
    found: list[Token] = []
    at, line = 0, 1
    while at < len(script):
        match = _TOKEN.match(script, at)
        if match is None:
            raise LuaSyntaxError(script[at : at + 1], line)
        kind, text = match.lastgroup or "", match[0]
        if kind in ("long", "level"):
            size = len(match["level"] or b"") + 2
            found.append(Token("text", text[size:-size].removeprefix(b"\n"), line))
        elif kind == "text":
            found.append(Token("text", _unescaped(text[1:-1]), line))
        elif kind != "blank":
            found.append(Token("word" if text in _KEYWORDS else kind, text, line))
        if len(found) > TOKENS_MAX:
            raise UnsupportedError
        line += text.count(b"\n")
        at = match.end()
    found.append(Token("end", b"<eof>", line))
    return found


def parsed(script: bytes) -> Block:
    """Return a script as a block. Raises `LuaSyntaxError`, `UnsupportedError`."""
    parser = _Parser(tokens(script))
    block = parser.block()
    if parser.next.kind != "end":
        raise parser.error()
    return block


class _Parser:
    """Goes through tokens, one after the other."""

    def __init__(self, found: list[Token]) -> None:
        self._tokens = found
        self._at = 0
        self._depth = 0

    @property
    def next(self) -> Token:
        """The token that comes next."""
        return self._tokens[self._at]

    def error(self) -> LuaSyntaxError:
        """Return what is wrong with the next token: it was not expected."""
        return LuaSyntaxError(self.next.text, self.next.line)

    def _take(self) -> Token:
        token = self.next
        self._at += token.kind != "end"
        return token

    def _is(self, *texts: bytes) -> bool:
        return self.next.kind in ("word", "sign") and self.next.text in texts

    def _passed(self, text: bytes) -> bool:
        is_next = self._is(text)
        self._at += is_next
        return is_next

    def _expect(self, text: bytes) -> None:
        if not self._passed(text):
            raise self.error()

    def _name(self) -> bytes:
        if self.next.kind != "name":
            raise self.error()
        return self._take().text

    def _deeper(self, count: int = 1) -> None:
        self._depth += count
        if self._depth > DEPTH_MAX:
            raise UnsupportedError

    # --- statements ----------------------------------------------------------------------------------

    def block(self) -> Block:
        """Read statements up to a word that ends a block."""
        self._deeper()
        found: list[tuple[int, Tree]] = []
        while not (self.next.kind == "end" or (self.next.kind == "word" and self.next.text in _ENDS)):
            line = self.next.line
            if self._passed(b"return"):
                ends = self.next.kind == "end" or self._is(*_ENDS, b";")
                found.append((line, ("return", () if ends else self._expressions())))
                self._passed(b";")
                break
            found.append((line, self._statement()))
            self._passed(b";")
        self._depth -= 1
        return tuple(found)

    def _closed(self) -> Block:
        block = self.block()
        self._expect(b"end")
        return block

    def _statement(self) -> Tree:
        if self.next.kind == "word":
            step = _STATEMENTS.get(self._take().text)
            if step is None:
                self._at -= 1
                raise self.error()
            tree: Tree = step(self)
            return tree
        target = self._suffixed()
        if target[0] in ("call", "method"):
            return ("expression", target)
        targets = [target]
        while self._passed(b","):
            targets.append(self._suffixed())
        if any(one[0] not in ("name", "index") for one in targets):
            raise self.error()
        self._expect(b"=")
        return ("assign", tuple(targets), self._expressions())

    def _local(self) -> Tree:
        if self._is(b"function"):
            raise UnsupportedError
        names = self._names()
        return ("local", names, self._expressions() if self._passed(b"=") else ())

    def _names(self) -> tuple[bytes, ...]:
        names = [self._name()]
        while self._passed(b","):
            names.append(self._name())
        return tuple(names)

    def _if(self) -> Tree:
        branches: list[tuple[Tree, Block]] = []
        while True:
            condition = self._expression()
            self._expect(b"then")
            branches.append((condition, self.block()))
            if self._passed(b"elseif"):
                continue
            if self._passed(b"else"):
                branches.append((("value", True), self.block()))
            self._expect(b"end")
            return ("if", tuple(branches))

    def _while(self) -> Tree:
        condition = self._expression()
        self._expect(b"do")
        return ("while", condition, self._closed())

    def _repeat(self) -> Tree:
        block = self.block()
        self._expect(b"until")
        return ("repeat", block, self._expression())

    def _for(self) -> Tree:
        names = self._names()
        if len(names) == 1 and self._passed(b"="):
            bounds = self._expressions()
            if not 2 <= len(bounds) <= 3:
                raise self.error()
            self._expect(b"do")
            step = bounds[2] if len(bounds) == 3 else ("value", 1.0)
            return ("for", names[0], bounds[0], bounds[1], step, self._closed())
        self._expect(b"in")
        given = self._expression()
        self._expect(b"do")
        return ("each", names, given, self._closed())

    def _do(self) -> Tree:
        return ("do", self._closed())

    def _break(self) -> Tree:
        return ("break",)

    def _function(self) -> Tree:
        raise UnsupportedError

    # --- expressions ---------------------------------------------------------------------------------

    def _expressions(self) -> tuple[Tree, ...]:
        found = [self._expression()]
        while self._passed(b","):
            found.append(self._expression())
        return tuple(found)

    def _expression(self, rank: int = 0) -> Tree:
        before = self._depth
        self._deeper()
        tree = self._operand()
        while self.next.kind in ("word", "sign") and _RANKS.get(self.next.text, 0) > rank:
            self._deeper()  # each makes the tree one deeper
            sign = self._take().text
            mine = _RANKS[sign] - (sign in _RIGHT)
            tree = ("binary", sign, tree, self._expression(mine))
        self._depth = before
        return tree

    def _operand(self) -> Tree:
        for sign, kind in ((b"not", "not"), (b"-", "minus"), (b"#", "length")):
            if self._passed(sign):
                return (kind, self._expression(_UNARY_RANK))
        token = self.next
        if token.kind == "number":
            text = self._take().text
            return ("value", float(int(text, 16)) if text[:2].lower() == b"0x" else float(text))
        if token.kind == "text":
            return ("value", self._take().text)
        constant = {b"nil": None, b"true": True, b"false": False}
        if token.kind == "word" and token.text in constant:
            return ("value", constant[self._take().text])
        if self._is(b"{"):
            return self._table()
        if self._is(b"function", b"..."):
            raise UnsupportedError
        return self._suffixed()

    def _suffixed(self) -> Tree:
        before = self._depth
        if self._passed(b"("):
            tree = self._expression()
            self._expect(b")")
        else:
            tree = ("name", self._name())
        while True:
            self._deeper()
            if self._passed(b"."):
                tree = ("index", tree, ("value", self._name()))
            elif self._passed(b"["):
                tree = ("index", tree, self._expression())
                self._expect(b"]")
            elif self._passed(b":"):
                tree = ("method", tree, self._name(), self._arguments())
            elif self._is(b"(", b"{") or self.next.kind == "text":
                tree = ("call", tree, self._arguments())
            else:
                self._depth = before
                return tree

    def _arguments(self) -> tuple[Tree, ...]:
        if self.next.kind == "text":
            return (("value", self._take().text),)
        if self._is(b"{"):
            return (self._table(),)
        self._expect(b"(")
        if self._passed(b")"):
            return ()
        found = self._expressions()
        self._expect(b")")
        return found

    def _table(self) -> Tree:
        self._expect(b"{")
        entries: list[tuple[Tree | None, Tree]] = []
        while not self._is(b"}"):
            if self._passed(b"["):
                key: Tree | None = self._expression()
                self._expect(b"]")
                self._expect(b"=")
            elif self.next.kind == "name" and self._tokens[self._at + 1].text == b"=":
                key = ("value", self._name())
                self._expect(b"=")
            else:
                key = None
            entries.append((key, self._expression()))
            if not (self._passed(b",") or self._passed(b";")):
                break
        self._expect(b"}")
        return ("table", tuple(entries))


_STATEMENTS: dict[bytes, Any] = {
    b"local": _Parser._local, b"if": _Parser._if, b"while": _Parser._while, b"repeat": _Parser._repeat,
    b"for": _Parser._for, b"do": _Parser._do, b"break": _Parser._break, b"function": _Parser._function,
}  # fmt: skip
