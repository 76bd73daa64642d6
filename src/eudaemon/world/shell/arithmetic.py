"""`$((…))`: C's integers of 64 bits, by precedence climbing. POSIX.1 XCU 2.6.4."""

from __future__ import annotations

import re
from collections.abc import Callable

_TOKEN = re.compile(rb"\s*(0[xX][0-9a-fA-F]+|[0-9]+#[0-9a-zA-Z]+|[0-9]+|\*\*|[A-Za-z_][A-Za-z0-9_]*|<<=|>>=|&&|\|\|"
                    rb"|[-+*/%&|^<>=!]=|<<|>>|\+\+|--"
                    rb"|[-+*/%()<>=!~&|^?:,])\s*")  # fmt: skip
_LEVELS = {b"||": 1, b"&&": 2, b"|": 3, b"^": 4, b"&": 5, b"==": 6, b"!=": 6, b"<": 7, b">": 7, b"<=": 7, b">=": 7,
           b"<<": 8, b">>": 8, b"+": 9, b"-": 9, b"*": 10, b"/": 10, b"%": 10, b"**": 11}  # fmt: skip
_ASSIGNMENTS = frozenset((b"=", b"+=", b"-=", b"*=", b"/=", b"%=", b"&=", b"|=", b"^=", b"<<=", b">>="))
_TOKENS_MAX = 512
_DEPTH_MAX = 24


class ExpressionError(Exception):
    """The expression is wrong; the message is BusyBox's."""


def _wrapped(value: int) -> int:
    return (value + 2**63) % 2**64 - 2**63


_OPERATIONS: dict[bytes, Callable[[int, int], int]] = {
    b"+": int.__add__, b"-": int.__sub__, b"*": int.__mul__, b"&": int.__and__, b"|": int.__or__, b"^": int.__xor__,
    b"<<": lambda left, right: left << (right & 63), b">>": lambda left, right: left >> (right & 63),
    b"==": int.__eq__, b"!=": int.__ne__, b"<": int.__lt__, b">": int.__gt__, b"<=": int.__le__, b">=": int.__ge__,
}  # fmt: skip


def _apply(operator: bytes, left: int, right: int) -> int:
    if operator in _OPERATIONS:
        return _wrapped(int(_OPERATIONS[operator](left, right)))
    if operator == b"**":
        if right < 0:
            raise ExpressionError("exponent less than 0")
        return _wrapped(pow(left, right, 2**64))
    if right == 0:
        raise ExpressionError("divide by zero")
    quotient = abs(left) // abs(right) * (1 if (left < 0) == (right < 0) else -1)
    return _wrapped(quotient if operator == b"/" else left - quotient * right)


class Expression:
    """One expression being evaluated. `get` and `set` reach the variables."""

    __slots__ = ("_at", "_depth", "_get", "_set", "_tokens")

    def __init__(self, text: bytes, get: Callable[[bytes], bytes], put: Callable[[bytes, bytes], None]) -> None:
        self._get = get
        self._set = put
        self._tokens: list[bytes] = []
        self._at = 0
        self._depth = 0
        position = 0
        while position < len(text.rstrip()):
            found = _TOKEN.match(text, position)
            if found is None or len(self._tokens) >= _TOKENS_MAX:
                raise ExpressionError("arithmetic syntax error")
            self._tokens.append(found.group(1))
            position = found.end()

    def value(self) -> int:
        """Return what it comes to. Raises `ExpressionError`."""
        if not self._tokens:
            return 0
        value = self._comma()
        if self._at < len(self._tokens):
            raise ExpressionError("arithmetic syntax error")
        return value

    def _peek(self) -> bytes:
        return self._tokens[self._at] if self._at < len(self._tokens) else b""

    def _comma(self) -> int:
        value = self._ternary()
        while self._peek() == b",":
            self._at += 1
            value = self._ternary()
        return value

    def _ternary(self) -> int:
        self._depth += 1
        if self._depth > _DEPTH_MAX:
            raise ExpressionError("arithmetic syntax error")
        following = self._tokens[self._at + 1] if self._at + 1 < len(self._tokens) else b""
        if following in _ASSIGNMENTS and (self._peek()[:1].isalpha() or self._peek()[:1] == b"_"):
            name = self._peek()
            self._at += 2
            right = self._ternary()
            value = right if following == b"=" else _apply(following[:-1], self._variable(name), right)
            self._set(name, b"%d" % value)
        else:
            value = self._binary(1)
            if self._peek() == b"?":
                self._at += 1
                yes = self._ternary()
                if self._peek() != b":":
                    raise ExpressionError("arithmetic syntax error")
                self._at += 1
                no = self._ternary()
                value = yes if value else no
        self._depth -= 1
        return value

    def _binary(self, level: int) -> int:
        left = self._unary()
        while (found := _LEVELS.get(self._peek(), 0)) >= level:
            operator = self._peek()
            self._at += 1
            right = self._binary(found + 1)
            if operator == b"&&":
                left = int(bool(left) and bool(right))
            elif operator == b"||":
                left = int(bool(left) or bool(right))
            else:
                left = _apply(operator, left, right)
        return left

    def _unary(self) -> int:
        signs: list[bytes] = []
        while self._peek() in (b"-", b"+", b"!", b"~", b"++", b"--"):
            signs.append(self._peek())
            self._at += 1
        value = self._primary(signs)
        for sign in reversed(signs):
            value = _wrapped({b"-": -value, b"+": value, b"!": int(not value), b"~": ~value}.get(sign, value))
        return value

    def _primary(self, signs: list[bytes]) -> int:
        token = self._peek()
        self._at += 1
        if token == b"(":
            value = self._comma()
            if self._peek() != b")":
                raise ExpressionError("arithmetic syntax error")
            self._at += 1
            return value
        if token[:1].isdigit():
            return _wrapped(number(token))
        if not token or not (token[:1].isalpha() or token[:1] == b"_"):
            raise ExpressionError("arithmetic syntax error")
        value = self._variable(token)
        step = {b"++": 1, b"--": -1}
        if signs and signs[-1] in step:
            value = _wrapped(value + step[signs[-1]])
            self._set(token, b"%d" % value)
        elif self._peek() in step:
            self._set(token, b"%d" % _wrapped(value + step[self._peek()]))
            self._at += 1
        return value

    def _variable(self, name: bytes) -> int:
        text = self._get(name).strip()
        sign, digits = (-1, text[1:]) if text[:1] == b"-" else (1, text)
        return _wrapped(sign * number(digits)) if digits[:1].isdigit() else 0


def number(text: bytes) -> int:
    """Return a C integer constant. Raises `ExpressionError`."""
    if len(text) > 24:
        raise ExpressionError("arithmetic syntax error")
    try:
        base, hash_, digits = text.partition(b"#")
        if hash_:
            return int(digits, int(base))
        if text[:2] in (b"0x", b"0X"):
            return int(text, 16)
        return int(text, 8) if text[:1] == b"0" and len(text) > 1 else int(text)
    except ValueError:
        raise ExpressionError("arithmetic syntax error") from None
