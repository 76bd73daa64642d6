"""Reads a script of PowerShell. What is not understood raises `ParseError`, and the whole is left to whoever asked.

In a statement's place stands an expression or a command: which of the two, its first character tells.
"""

from __future__ import annotations

import re

from eudaemon.world.windows.powershell.lexer import Lexer
from eudaemon.world.windows.powershell.syntax import (
    Argument,
    Assign,
    Binary,
    Block,
    Command,
    Condition,
    Constant,
    Expandable,
    ForEach,
    Function,
    Index,
    Jump,
    Listed,
    Loop,
    Member,
    Node,
    ParseError,
    Pipeline,
    Table,
    Try,
    TypeName,
    Unary,
    Variable,
)

_STATEMENT = re.compile(
    r"(if|while|foreach|for|do|function|filter|try|switch|return|break|continue|throw|exit)(?![\w-])", re.IGNORECASE
)
_PARAM = re.compile(r"(?:\[cmdletbinding\([^)]*\)\]\s*)?param(?=\s*\()", re.IGNORECASE)
_WORD = re.compile(r"[^\s;|(){}\"'`,$&<>]+")
_NAME = re.compile(r"[A-Za-z_][\w-]*")
_PARAMETER = re.compile(r"-([A-Za-z_?][\w]*)(:?)")
_MEMBER = re.compile(r"(?:\w|`\w)+")
_TYPE = re.compile(r"\[((?:[A-Za-z_`][\w.`+]*)(?:\[[\w.,`\[\]]*\])?(?:,[^\[\]]*)?)\]")
_DECLARED = re.compile(r"[\w:]+")
_REDIRECT = re.compile(r"([1-6*]?)(>>?)(&[12])?\s*")
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
_UNARY = re.compile(r"-(not|bnot|join|isplit|csplit|split)(?![\w])|(!)", re.IGNORECASE)
_ASSIGNS = re.compile(r"\s*(=|\+=|-=|\*=|/=|%=)(?!=)")
_BEGINS_EXPRESSION = frozenset("$\"'@([{!+0123456789,")
_NODES_MAX = 20_000


class Parser(Lexer):
    """One script."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._nodes = 0

    def script(self) -> Block:
        """Return the whole as a block. Raises `ParseError`."""
        parameters = self._parameters()
        body = self._statements("")
        return Block(body, parameters)

    # --- statements ----------------------------------------------------------------------------------

    def _statements(self, closing: str) -> tuple[Node, ...]:
        """Read statements up to a closing bracket, which is read too."""
        found: list[Node] = []
        self.enter()
        while True:
            self.skip_separators()
            if self.at >= len(self.text):
                if closing:
                    raise ParseError(f"{closing} expected")
                break
            if closing and self.take(closing):
                break
            before = self.at
            found.append(self._statement())
            self._nodes += 1
            if self.at == before or self._nodes > _NODES_MAX:
                raise ParseError(f"unexpected {self.peek()}")
        self.leave()
        return tuple(found)

    def _statement(self) -> Node:
        keyword = _STATEMENT.match(self.text, self.at)
        if keyword is None:
            return self._pipeline()
        self.at = keyword.end()
        name = keyword[1].lower()
        self.skip()
        if name in ("return", "break", "continue", "throw", "exit"):
            ends = self.peek() in ("", ";", "\n", "\r", "}", ")")
            return Jump(name, None if ends else self._pipeline())
        return getattr(self, f"_{name}")()  # type: ignore[no-any-return]

    def _if(self) -> Node:
        arms = [(self._in_brackets(), self._body())]
        while True:
            before = self.at
            self.skip_lines()
            word = self.match(_ELSE)
            if word is None:
                self.at = before
                return Condition(tuple(arms))
            self.skip_lines()
            arms.append((self._in_brackets() if word[1] else Constant(True), self._body()))

    def _while(self) -> Node:
        return Loop(None, self._in_brackets(), None, self._body())

    def _do(self) -> Node:
        body = self._body()
        self.skip_lines()
        word = self.match(_WHILE)
        if word is None:
            raise ParseError("while expected")
        self.skip()
        return Loop(None, self._in_brackets(), None, body, tested_last=True, until=word[0].lower() == "until")

    def _for(self) -> Node:
        self.want("(")
        parts: list[Node | None] = []
        for closing in (";", ";", ")"):
            self.skip_lines()
            parts.append(None if self.peek() == closing else self._pipeline())
            self.skip_lines()
            self.want(closing)
        return Loop(parts[0], parts[1], parts[2], self._body())

    def _foreach(self) -> Node:
        self.want("(")
        self.skip_lines()
        variable = self.variable()
        self.skip_lines()
        if variable is None or not self.match(_IN):
            raise ParseError("in expected")
        self.skip_lines()
        items = self._pipeline()
        self.skip_lines()
        self.want(")")
        return ForEach(variable.name, items, self._body())

    def _switch(self) -> Node:
        """All arms are run: which of them would be, nobody knows."""
        self._in_brackets()
        self.skip_lines()
        self.want("{")
        arms: list[tuple[Node, tuple[Node, ...]]] = []
        while True:
            self.skip_separators()
            if self.take("}"):
                return Listed(tuple(Condition((arm,)) for arm in arms), flat=True)
            self._argument_value()
            arms.append((Constant(True), self._body()))

    def _function(self) -> Node:
        name = self.match(_FUNCTION_NAME)
        if name is None:
            raise ParseError("a function has no name")
        self.skip_lines()
        parameters = self._declared() if self.peek() == "(" else ()
        self.skip_lines()
        block = self.block()
        return Function(name[0].lower().rpartition(":")[2], Block(block.body, block.parameters or parameters))

    _filter = _function

    def _try(self) -> Node:
        body = self._body()
        caught: tuple[Node, ...] = ()
        last: tuple[Node, ...] = ()
        while True:
            before = self.at
            self.skip_lines()
            word = self.match(_CATCH)
            if word is None:
                self.at = before
                return Try(body, caught, last)
            if word[1]:
                last = self._body()
            else:
                self.skip_lines()
                while self.match(_TYPE):
                    self.skip_lines()
                caught += self._body()

    def _in_brackets(self) -> Node:
        self.skip_lines()
        self.want("(")
        self.skip_lines()
        found = self._pipeline()
        self.skip_lines()
        self.want(")")
        return found

    def _body(self) -> tuple[Node, ...]:
        self.skip_lines()
        self.want("{")
        return self._statements("}")

    def block(self) -> Block:
        """Read `{ }`."""
        self.want("{")
        parameters = self._parameters()
        self.skip_separators()
        self.match(_PROCESS)  # of `process { }` what is in it
        return Block(self._statements("}"), parameters)

    def _parameters(self) -> tuple[tuple[str, Node | None], ...]:
        self.skip_separators()
        if not self.match(_PARAM):
            return ()
        self.skip_lines()
        return self._declared()

    def _declared(self) -> tuple[tuple[str, Node | None], ...]:
        """Read `([type] $name = value, …)`."""
        self.want("(")
        found: list[tuple[str, Node | None]] = []
        while True:
            self.skip_lines()
            if self.take(")"):
                return tuple(found)
            if self.peek() == "[":
                depth = 0
                while self.at < len(self.text):
                    depth += {"[": 1, "]": -1}.get(self.peek(), 0)
                    self.at += 1
                    if depth == 0:
                        break
                continue
            variable = self.variable()
            if variable is None:
                raise ParseError("a parameter has no name")
            self.skip_lines()
            default = None
            if self.take("="):
                self.skip_lines()
                default = self._binary(0, commas=False)
            found.append((variable.name, default))
            self.skip_lines()
            self.take(",")

    # --- pipelines -----------------------------------------------------------------------------------

    def _pipeline(self) -> Node:
        parts = [self._element(first=True)]
        while True:
            self.skip()
            if self.match(_AND_OR):
                self.skip_lines()
                return Listed((Pipeline(tuple(parts)), self._pipeline()), flat=True)
            if not self.take("|"):
                break
            self.skip_lines()
            parts.append(self._element(first=False))
        return parts[0] if len(parts) == 1 else Pipeline(tuple(parts))

    def _element(self, *, first: bool) -> Node:
        self.skip()
        char, two = self.peek(), self.peek(2)
        if char == "&" or (char == "." and two[1:] in (" ", '"', "'", "(", "$", "{")):
            self.at += 1
            self.skip()
            name: Node = self._postfix() if self.peek() in ('"', "'", "(", "$", "{") else self._bare()
            return self._command(name)
        is_expression = char in _BEGINS_EXPRESSION or (
            char == "-" and (two[1:].isdigit() or _UNARY.match(self.text, self.at) is not None)
        )
        if char == "%" or (char == "?" and not first):
            self.at += 1
            return self._command(Constant(char))
        if char.isdigit() and self.number_ahead() is None:
            is_expression = False
        if not is_expression:
            return self._command(self._bare())
        left = self._binary(0)
        assigns = self.match(_ASSIGNS)
        if assigns is None:
            self._redirects()
            return left
        self.skip_lines()
        return Assign(left, assigns[1][:-1], self._statement())

    def number_ahead(self) -> Constant | None:
        """Return the number that comes next, and do not read it."""
        before = self.at
        found = self.number()
        self.at = before
        return found

    def _command(self, name: Node) -> Node:
        arguments: list[Argument] = []
        target: Node | None = None
        while True:
            self.skip()
            char = self.peek()
            if char in ("", ";", "|", ")", "}", "\n", "\r") or self.peek(2) == "&&" or char == "&":
                break
            if (redirect := self.match(_REDIRECT)) is not None:
                where = None if redirect[3] else self._argument_value()
                target = where if redirect[1] in ("", "1") else target
                continue
            self._nodes += 1
            if self._nodes > _NODES_MAX:
                raise ParseError("too long")
            parameter = self.match(_PARAMETER)
            if parameter is not None:
                self.skip() if parameter[2] else None
                value = self._argument_value() if parameter[2] else None
                arguments.append(Argument(parameter[1].lower(), value))
            else:
                before = self.at
                arguments.append(Argument(None, self._argument_value()))
                if self.at == before:
                    raise ParseError(f"unexpected {char}")
        return Command(name, tuple(arguments), target)

    def _redirects(self) -> None:
        self.skip()
        while (redirect := self.match(_REDIRECT)) is not None:
            if not redirect[3]:
                self._argument_value()
            self.skip()

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
        if char == "," or (char == "-" and self.peek(2)[1:].isdigit()):
            return self._unary()
        if char == "[" and _TYPE.match(self.text, self.at) is None:
            return self._bare()
        if char in ("$", "(", "@", "{", '"', "'", "["):
            value = self._postfix()
            if self.peek() in ("", " ", "\t", "\n", "\r", ";", "|", ")", "}", ",", "&", ">"):
                return value
            rest = self._bare()
            return Expandable((value, rest))
        if char.isdigit() and (number := self.number_ahead()) is not None:
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
            self._nodes += 1
            if self._nodes > _NODES_MAX:
                raise ParseError("too long")
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
            self._nodes += 1
            if self._nodes > _NODES_MAX:
                raise ParseError("too long")
        return parts[0] if len(parts) == 1 else Listed(tuple(parts))

    def _unary(self) -> Node:
        self.skip()
        self.enter()
        try:
            return self._unary_inside()
        finally:
            self.leave()

    def _unary_inside(self) -> Node:
        if found := self.match(_UNARY):
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
        if two[:1] == "[" and (name := self.match(_TYPE)) is not None:
            kind = _type_name(name[1])
            before = self.at
            self.skip()
            follows = self.peek()
            casts = follows in ("$", "(", '"', "'", "@", "[", "{", "-") or follows.isdigit()
            if casts and not (follows == "-" and _LEVELS_AHEAD.match(self.text, self.at)):
                return Unary(f"[{kind}]", self._unary())
            self.at = before
            return self._after(TypeName(kind))
        return self._postfix()

    def _postfix(self) -> Node:
        if self.peek() == "[" and (name := self.match(_TYPE)) is not None:
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
            self._nodes += 1
            if self._nodes > _NODES_MAX:
                raise ParseError("too long")

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
        if char == "@" and (splatted := re.compile(r"@(?=\w)").match(self.text, self.at)):
            self.at = splatted.end()
            return Variable(self.text[self.at :].split()[0].lower()) if self.match(_DECLARED) else Constant("@")
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


_ELSE = re.compile(r"else(if)?(?![\w-])", re.IGNORECASE)
_WHILE = re.compile(r"(?:while|until)(?![\w-])", re.IGNORECASE)
_IN = re.compile(r"in(?![\w-])", re.IGNORECASE)
_CATCH = re.compile(r"(?:catch|(finally))(?![\w-])", re.IGNORECASE)
_PROCESS = re.compile(r"(?:begin|process|end)(?=\s*\{)", re.IGNORECASE)
_FUNCTION_NAME = re.compile(r"[\w:-]+")
_AND_OR = re.compile(r"&&|\|\|")
_LEVELS_AHEAD = re.compile(r"-[A-Za-z]")


def _type_name(text: str) -> str:
    """Return a type's name in small letters, without `System.` and blanks: `byte[]` stays a list."""
    name = text.replace("`", "").replace(" ", "").lower()
    return name.removeprefix("system.")
