"""Reads a script of PowerShell. What is not understood raises `ParseError`, and the whole is left to whoever asked.

In a statement's place stands an expression or a command: which of the two, its first character tells.
"""

from __future__ import annotations

import re

from eudaemon.world.windows.powershell.expressions import TYPE, UNARY, Expressions
from eudaemon.world.windows.powershell.syntax import (
    Argument,
    Assign,
    Block,
    Command,
    Condition,
    Constant,
    Expandable,
    ForEach,
    Function,
    Jump,
    Listed,
    Loop,
    Node,
    ParseError,
    Pipeline,
    Try,
    UnfinishedError,
)

_STATEMENT = re.compile(
    r"(if|while|foreach|for|do|function|filter|try|switch|return|break|continue|throw|exit)(?![\w-])", re.IGNORECASE
)
_PARAM = re.compile(r"(?:\[cmdletbinding\([^)]*\)\]\s*)?param(?=\s*\()", re.IGNORECASE)
_PARAMETER = re.compile(r"-([A-Za-z_?][\w]*)(:?)")
_REDIRECT = re.compile(r"([1-6*]?)(>>?)(&[12])?\s*")
_ASSIGNS = re.compile(r"\s*(=|\+=|-=|\*=|/=|%=)(?!=)")
_BEGINS_EXPRESSION = frozenset("$\"'@([{!+0123456789,")


class Parser(Expressions):
    """One script."""

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
                    raise UnfinishedError(f"{closing} expected")
                break
            if closing and self.take(closing):
                break
            before = self.at
            found.append(self._statement())
            self._count()
            if self.at == before:
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
                while self.match(TYPE):
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
            if self.peek() == "\\":  # `& $env:TEMP\a.exe`
                name = Expandable((name, self._bare()))
            return self._command(name)
        is_expression = char in _BEGINS_EXPRESSION or (
            char == "-" and (two[1:].isdecimal() or UNARY.match(self.text, self.at) is not None)
        )
        if char == "%" or (char == "?" and not first):
            self.at += 1
            return self._command(Constant(char))
        if char.isdecimal() and self.number_ahead() is None:
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
            self._count()
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


_ELSE = re.compile(r"else(if)?(?![\w-])", re.IGNORECASE)
_WHILE = re.compile(r"(?:while|until)(?![\w-])", re.IGNORECASE)
_IN = re.compile(r"in(?![\w-])", re.IGNORECASE)
_CATCH = re.compile(r"(?:catch|(finally))(?![\w-])", re.IGNORECASE)
_PROCESS = re.compile(r"(?:begin|process|end)(?=\s*\{)", re.IGNORECASE)
_FUNCTION_NAME = re.compile(r"[\w:-]+")
_AND_OR = re.compile(r"&&|\|\|")
