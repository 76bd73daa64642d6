"""`set /a`: whole numbers of 32 bits, C's operators, several assignments parted by commas."""

from __future__ import annotations

import re
from collections.abc import Callable

from eudaemon.world.windows.limits import NESTING_LEVELS_MAX

_TOKEN = re.compile(r"\s*(0[xX][0-9a-fA-F]+|\d+|[A-Za-z_][\w]*|<<=|>>=|<<|>>|[-+*/%&|^]=|[-+*/%&|^~!()=,])")
_BINARY = ({"|"}, {"^"}, {"&"}, {"<<", ">>"}, {"+", "-"}, {"*", "/", "%"})
_ASSIGNS = frozenset(("=", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "<<=", ">>="))
_TOKENS_MAX = 4096


class ExpressionError(Exception):
    """The expression means nothing; the message is cmd.exe's."""


def assign(text: str, lookup: Callable[[str], str | None], set_to: Callable[[str, str], None]) -> int:
    """Evaluate, set the variables that are assigned to, and return the last value."""
    return _Expression(text, lookup, set_to).all()


class _Expression:
    def __init__(self, text: str, lookup: Callable[[str], str | None], set_to: Callable[[str, str], None]) -> None:
        self._tokens = _split(text)
        self._at = 0
        self._levels = 0
        self._lookup = lookup
        self._set_to = set_to

    def all(self) -> int:
        value = self._assignment()
        while self._peek() == ",":
            self._at += 1
            value = self._assignment()
        if self._at < len(self._tokens):
            raise ExpressionError("Missing operator.")
        return value

    def _assignment(self) -> int:
        name, op = self._peek(), self._tokens[self._at + 1 : self._at + 2]
        if op and op[0] in _ASSIGNS and (name[:1].isalpha() or name[:1] == "_"):
            self._at += 2
            self._enter()
            value = self._assignment()
            self._levels -= 1
            if op[0] != "=":
                value = _apply(op[0][:-1], self._value(name), value)
            self._set_to(name, str(value))
            return value
        return self._binary(0)

    def _binary(self, level: int) -> int:
        if level == len(_BINARY):
            return self._unary()
        value = self._binary(level + 1)
        while self._peek() in _BINARY[level]:
            op = self._next()
            value = _apply(op, value, self._binary(level + 1))
        return value

    def _unary(self) -> int:
        token = self._next()
        if token in ("-", "+", "~", "!"):
            self._enter()
            value = self._unary()
            self._levels -= 1
            return _wrapped({"-": -value, "+": value, "~": ~value, "!": int(not value)}[token])
        if token == "(":  # noqa: S105
            self._enter()
            value = self._assignment()
            self._levels -= 1
            if self._next() != ")":
                raise ExpressionError("Unbalanced parenthesis.")
            return value
        if token[:1].isdecimal():
            return _number(token)
        if token[:1].isalpha() or token[:1] == "_":
            return self._value(token)
        raise ExpressionError("Missing operand.")

    def _value(self, name: str) -> int:
        text = (self._lookup(name) or "0").strip()
        try:
            return _wrapped(int(text[:12], 16 if text[:2].lower() == "0x" else 10))
        except ValueError:
            return 0

    def _enter(self) -> None:
        self._levels += 1
        if self._levels > NESTING_LEVELS_MAX:
            raise ExpressionError("Unbalanced parenthesis.")

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _next(self) -> str:
        token = self._peek()
        self._at += 1
        return token


def _split(text: str) -> list[str]:
    found: list[str] = []
    at = 0
    text = text.rstrip()
    while at < len(text):
        token = _TOKEN.match(text, at)
        if token is None or len(found) >= _TOKENS_MAX:
            raise ExpressionError("Missing operator.")
        found.append(token[1])
        at = token.end()
    if not found:
        raise ExpressionError("The syntax of the command is incorrect.")
    return found


def _number(token: str) -> int:
    if token[:2].lower() == "0x":
        return _wrapped(int(token[:18], 16))
    if len(token) > 1 and token[0] == "0":
        if not set(token) <= set("01234567"):
            raise ExpressionError("Invalid number.  Numeric constants are either decimal (17),\r\n"
                                   "hexadecimal (0x11), or octal (021).")  # fmt: skip
        return _wrapped(int(token[:24], 8))
    if len(token) > 10 or int(token) > 0x7FFFFFFF:
        raise ExpressionError("Invalid number.  Numbers are limited to 32-bits of precision.")
    return int(token)


def _apply(op: str, left: int, right: int) -> int:
    match op:
        case "+":
            return _wrapped(left + right)
        case "-":
            return _wrapped(left - right)
        case "*":
            return _wrapped(left * right)
        case "&":
            return left & right
        case "|":
            return left | right
        case "^":
            return left ^ right
        case "<<":
            return _wrapped(left << (right & 31))
        case ">>":
            return left >> (right & 31)
    if right == 0:
        raise ExpressionError("Divide by zero error.")
    quotient = abs(left) // abs(right) * (1 if (left < 0) == (right < 0) else -1)
    return _wrapped(quotient if op == "/" else left - quotient * right)


def _wrapped(value: int) -> int:
    return (value + 0x80000000 & 0xFFFFFFFF) - 0x80000000
