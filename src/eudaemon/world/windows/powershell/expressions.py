"""Reads PowerShell's expressions and the arguments of its commands; what a statement is, `parser` knows."""

from __future__ import annotations

import re

from eudaemon.world.windows.powershell.lexer import Lexer
from eudaemon.world.windows.powershell.syntax import (
    Assign,
    Binary,
    Constant,
    Expandable,
    Index,
    Listed,
    Member,
    Node,
    ParseError,
    Table,
    TypeName,
    Unary,
    Variable,
)

_WORD = re.compile(r"[^\s;|(){}\"'`,$&<>]+")
_NAME = re.compile(r"[A-Za-z_][\w-]*")
_MEMBER = re.compile(r"(?:\w|`\w)+")
TYPE = re.compile(r"\[((?:[A-Za-z_`][\w.`+]*)(?:\[[\w.,`\[\]]*\])?(?:,[^\[\]]*)?)\]")
_SPLATTED = re.compile(r"@(\w[\w:]*)")
_OPERATORS = (
    ("and", "or", "xor"), ("band", "bor", "bxor"),
    ("ceq", "ieq", "eq", "cne", "ine", "ne", "gt", "ge", "lt", "le", "ilike", "clike", "like", "notlike", "imatch",
     "cmatch", "match", "notmatch", "ireplace", "creplace", "replace", "isplit", "csplit", "split", "join", "isnot",
     "is", "as", "contains", "notcontains", "in", "notin", "shl", "shr"),
)  # fmt: skip
_BY_WORD = tuple(re.compile(rf"-({'|'.join(level)})(?![\w])", re.IGNORECASE) for level in _OPERATORS)
_BY_SIGN = (re.compile(r"([+-])(?![A-Za-z=+-])"), re.compile(r"([*/%])(?!=)"),
            re.compile(r"-(f)(?![\w])", re.IGNORECASE), re.compile(r"(\.\.)"))  # fmt: skip
_LEVELS = (*_BY_WORD, *_BY_SIGN)
UNARY = re.compile(r"-(not|bnot|join|isplit|csplit|split)(?![\w])|(!)", re.IGNORECASE)
_LEVELS_AHEAD = re.compile(r"-[A-Za-z]")
_NODES_MAX = 20_000


class Expressions(Lexer):
    """One script, as far as its expressions go."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._nodes = 0

    def _count(self) -> None:
        """One node more. Raises `ParseError` if there are too many."""
        self._nodes += 1
        if self._nodes > _NODES_MAX:
            raise ParseError("too long")

    def _statements(self, closing: str) -> tuple[Node, ...]:
        """Read statements up to a closing bracket, which is read too."""
        raise NotImplementedError

    def _statement(self) -> Node:
        """Read a statement."""
        raise NotImplementedError

    # --- arguments -----------------------------------------------------------------------------------

    def number_ahead(self) -> Constant | None:
        """Return the number that comes next, and do not read it."""
        before = self.at
        found = self.number()
        self.at = before
        return found

    def _argument_value(self) -> Node:
        """Read one argument, or several with commas between them."""
        values = [self._one_argument()]
        while True:
            before = self.at
            self.skip()
            if not self.take(","):
                self.at = before
                return values[0] if len(values) == 1 else Listed(tuple(values))
            self.skip_lines()
            values.append(self._one_argument())

    def _one_argument(self) -> Node:
        char = self.peek()
        if char == "," or (char == "-" and self.peek(2)[1:].isdecimal()):
            return self._unary()
        if char == "[" and TYPE.match(self.text, self.at) is None:
            return self._bare()
        if char in ("$", "(", "@", "{", '"', "'", "["):
            value = self._postfix()
            if self.peek() in ("", " ", "\t", "\n", "\r", ";", "|", ")", "}", ",", "&", ">"):
                return value
            rest = self._bare()
            return Expandable((value, rest))
        if char.isdecimal() and (number := self.number_ahead()) is not None:
            before = self.at
            self.number()
            if self.peek() in ("", " ", "\t", "\n", "\r", ";", "|", ")", "}", ","):
                return number
            self.at = before
        return self._bare()

    def _bare(self) -> Node:
        """Read a word: what is in quotes or behind a backtick belongs to it."""
        parts: list[Node] = []
        while self.at < len(self.text):
            char = self.peek()
            if (word := self.match(_WORD)) is not None:
                parts.append(Constant(word[0]))
            elif char == "`":
                parts.append(Constant(self.text[self.at + 1 : self.at + 2]))
                self.at += 2
            elif char == '"':
                parts.append(self.expandable())
            elif char == "'":
                parts.append(self.plain_text())
            elif char == "$" and (part := self.in_text()) is not None:
                parts.append(part)
            elif char == "$":
                parts.append(Constant("$"))
                self.at += 1
            else:
                break
        if not parts:
            raise ParseError(f"unexpected {self.peek()!r}")
        if all(isinstance(part, Constant) for part in parts):
            return Constant("".join(str(part.value) for part in parts if isinstance(part, Constant)))
        return Expandable(tuple(parts))

    # --- expressions ---------------------------------------------------------------------------------

    def _binary(self, level: int, *, commas: bool = True) -> Node:
        if level == len(_LEVELS):
            return self._comma() if commas else self._unary()
        left = self._binary(level + 1, commas=commas)
        while True:
            before = self.at
            self.skip()
            found = self.match(_LEVELS[level])
            if found is None:
                self.at = before
                return left
            self._count()
            self.skip_lines()
            left = Binary(found[1].lower(), left, self._binary(level + 1, commas=commas))

    def _comma(self) -> Node:
        parts = [self._unary()]
        while True:
            before = self.at
            self.skip()
            if not self.take(","):
                self.at = before
                break
            self.skip_lines()
            parts.append(self._unary())
            self._count()
        return parts[0] if len(parts) == 1 else Listed(tuple(parts))

    def _unary(self) -> Node:
        self.skip()
        self.enter()
        try:
            return self._unary_inside()
        finally:
            self.leave()

    def _unary_inside(self) -> Node:
        if found := self.match(UNARY):
            self.skip()
            name = (found[1] or "not").lower()
            # `-join` and `-split` take all that stands behind the comma operator.
            return Unary(name, self._comma() if name in ("join", "split", "isplit", "csplit") else self._unary())
        if self.take(","):
            self.skip_lines()
            return Listed((self._unary(),))
        two = self.peek(2)
        if two in ("++", "--"):
            self.at += 2
            target = self._postfix()
            return Assign(target, two[0], Constant(1))
        if two[:1] in ("-", "+"):
            self.at += 1
            return Unary("minus" if two[0] == "-" else "plus", self._unary())
        if two[:1] == "[" and (name := self.match(TYPE)) is not None:
            kind = _type_name(name[1])
            before = self.at
            self.skip()
            follows = self.peek()
            casts = follows in ("$", "(", '"', "'", "@", "[", "{", "-") or follows.isdecimal()
            if casts and not (follows == "-" and _LEVELS_AHEAD.match(self.text, self.at)):
                return Unary(f"[{kind}]", self._unary())
            self.at = before
            return self._after(TypeName(kind))
        return self._postfix()

    def _postfix(self) -> Node:
        if self.peek() == "[" and (name := self.match(TYPE)) is not None:
            return self._after(TypeName(_type_name(name[1])))
        return self._after(self._primary())

    def _after(self, node: Node) -> Node:
        """Read what may follow directly: members, calls, indexes."""
        while True:
            if self.peek(2) == "::" or (self.peek() == "." and self.peek(2) != ".."):
                self.at += 2 if self.peek(2) == "::" else 1
                self.skip_lines() if self.peek() in ("\n", "\r") else None
                node = Member(node, self._member(), self._call_arguments())
            elif self.peek() == "[":
                self.at += 1
                self.skip_lines()
                node = Index(node, self._binary(0))
                self.skip_lines()
                self.want("]")
            elif self.peek(2) in ("++", "--"):
                node = Assign(node, self.peek(), Constant(1))
                self.at += 2
            else:
                return node
            self._count()

    def _member(self) -> Node:
        char = self.peek()
        if char == '"':
            return self.expandable()
        if char == "'":
            return self.plain_text()
        if char in ("$", "("):
            return self._primary()
        found = self.match(_MEMBER)
        if found is None:
            raise ParseError("a member has no name")
        return Constant(found[0].replace("`", ""))

    def _call_arguments(self) -> tuple[Node, ...] | None:
        if not self.take("("):
            return None
        found: list[Node] = []
        while True:
            self.skip_lines()
            if self.take(")"):
                return tuple(found)
            found.append(self._binary(0, commas=False))
            self.skip_lines()
            if not self.take(",") and self.peek() != ")":
                raise ParseError(", expected")

    def _primary(self) -> Node:
        char, two = self.peek(), self.peek(2)
        if two == "$(":
            return self.subexpression()
        if two == "@(":
            self.at += 2
            return Listed(self._statements(")"), flat=True)
        if two == "@{":
            return self._table()
        if two in ("@'", '@"') and (here := self.here_text()) is not None:
            return here
        if char == "$" and (variable := self.variable()) is not None:
            return variable
        if char == '"':
            return self.expandable()
        if char == "'":
            return self.plain_text()
        if char == "(":
            self.at += 1
            return Listed(self._statements(")"), flat=True, single=True)
        if char == "{":
            return self.block()
        if splatted := self.match(_SPLATTED):
            return Variable(splatted[1].lower())
        if (number := self.number()) is not None:
            return number
        raise ParseError(f"unexpected {char!r} at {self.at}")

    def subexpression(self) -> Node:
        """Read `$( )`."""
        self.at += 2
        return Listed(self._statements(")"), flat=True, single=True)

    def _table(self) -> Node:
        self.at += 2
        rows: list[tuple[Node, Node]] = []
        while True:
            self.skip_separators()
            if self.take("}"):
                return Table(tuple(rows))
            name = self.match(_NAME)
            key = Constant(name[0]) if name is not None else self._postfix()
            self.skip()
            self.want("=")
            self.skip_lines()
            rows.append((key, self._statement()))


def _type_name(text: str) -> str:
    """Return a type's name in small letters, without `System.` and blanks: `byte[]` stays a list."""
    name = text.replace("`", "").replace(" ", "").lower()
    return name.removeprefix("system.")
