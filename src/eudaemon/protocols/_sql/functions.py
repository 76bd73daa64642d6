"""The functions that the dialects share. Each takes the scope and its values."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from typing import Any

from eudaemon.protocols._sql.tokens import Binary, SqlError
from eudaemon.protocols._sql.values import (
    VALUE_BYTES_MAX,
    Scope,
    Value,
    bounded,
    number,
    same,
    text,
    truth,
    unhexed,
    whole,
)
from eudaemon.wire import decode


def _concat(scope: Scope, values: list[Value]) -> Value:
    if scope.dialect.name == "mysql" and any(value is None for value in values):
        return None
    return bounded(b"".join(map(text, values)))


def _char(scope: Scope, values: list[Value]) -> Value:  # noqa: ARG001
    """CHAR(77,90): a byte each, several for a number above 255."""
    found = bytearray()
    for value in values:
        code = whole(value, low=0, high=0xFFFFFFFF)
        found += code.to_bytes(max(1, (code.bit_length() + 7) // 8), "big")
    return bytes(found)


def _chr(scope: Scope, values: list[Value]) -> Value:  # noqa: ARG001
    code = whole(values[0], low=0, high=0x10FFFF)
    return b"" if 0xD800 <= code <= 0xDFFF else chr(code).encode()


def _substring(scope: Scope, values: list[Value]) -> Value:  # noqa: ARG001
    if values[0] is None:
        return None
    data, start = text(values[0]), whole(values[1])
    begin = start - 1 if start > 0 else max(0, len(data) + start)
    part = data[begin:] if len(values) < 3 else data[begin : begin + max(0, whole(values[2]))]
    return Binary(part) if isinstance(values[0], Binary) else part


def _repeat(scope: Scope, values: list[Value]) -> Value:  # noqa: ARG001
    data, count = text(values[0]), whole(values[1], low=0)
    if len(data) * count > VALUE_BYTES_MAX:
        raise SqlError("too large")
    return data * count


def _replace(scope: Scope, values: list[Value]) -> Value:  # noqa: ARG001
    data, old, new = map(text, values[:3])
    if old and len(data) + data.count(old) * (len(new) - len(old)) > VALUE_BYTES_MAX:
        raise SqlError("too large")
    return data.replace(old, new) if old else data


def _first(scope: Scope, values: list[Value]) -> Value:  # noqa: ARG001
    return next((value for value in values if value is not None), None)


def _if(scope: Scope, values: list[Value]) -> Value:  # noqa: ARG001
    return values[1] if truth(values[0]) else values[2]


def _joined_with(scope: Scope, values: list[Value]) -> Value:  # noqa: ARG001
    return bounded(text(values[0]).join(text(value) for value in values[1:] if value is not None))


def _hex(scope: Scope, values: list[Value]) -> Value:  # noqa: ARG001
    value = values[0]
    if isinstance(value, int):
        return b"%X" % (value & 0xFFFFFFFFFFFFFFFF)
    return None if value is None else bounded(text(value).hex().upper().encode())


def _base64(scope: Scope, values: list[Value]) -> Value:  # noqa: ARG001
    return decode.base64_text(text(values[0]))


def _to_base64(scope: Scope, values: list[Value]) -> Value:  # noqa: ARG001
    return base64.b64encode(text(values[0]))


def _of_text(make: Callable[[bytes], Value]) -> Callable[[Scope, list[Value]], Value]:
    """Return a function of one text, which gives null for null."""

    def function(scope: Scope, values: list[Value]) -> Value:  # noqa: ARG001
        return None if values[0] is None else make(text(values[0]))

    return function


def _least(scope: Scope, values: list[Value]) -> Value:  # noqa: ARG001
    return min(map(number, values))


def _greatest(scope: Scope, values: list[Value]) -> Value:  # noqa: ARG001
    return max(map(number, values))


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).hexdigest().encode()


def _sha1(data: bytes) -> bytes:
    return hashlib.sha1(data, usedforsecurity=False).hexdigest().encode()


def _checked(function: Callable[[Scope, list[Value]], Value], least: int) -> Callable[[Scope, list[Value]], Value]:
    def checked(scope: Scope, values: list[Value]) -> Value:
        if len(values) < least:
            raise SqlError("arguments")
        return function(scope, values)

    return checked


FUNCTIONS: dict[bytes, Callable[..., Any]] = {
    name: _checked(function, least)
    for names, least, function in (
        (b"concat", 1, _concat), (b"char", 1, _char), (b"chr nchar", 1, _chr), (b"substring substr mid", 2, _substring),
        (b"repeat replicate", 2, _repeat), (b"replace", 3, _replace), (b"coalesce ifnull isnull nvl", 1, _first),
        (b"if iif", 3, _if), (b"concat_ws", 1, _joined_with), (b"hex", 1, _hex), (b"from_base64", 1, _base64),
        (b"to_base64", 1, _to_base64), (b"length octet_length datalength len char_length", 1, _of_text(len)),
        (b"lower lcase", 1, _of_text(bytes.lower)), (b"upper ucase", 1, _of_text(bytes.upper)),
        (b"trim", 1, _of_text(bytes.strip)), (b"ltrim", 1, _of_text(bytes.lstrip)),
        (b"rtrim", 1, _of_text(bytes.rstrip)), (b"reverse", 1, _of_text(lambda data: data[::-1])),
        (b"unhex", 1, _of_text(unhexed)), (b"ascii ord", 1, _of_text(lambda data: data[0] if data else 0)),
        (b"md5", 1, _of_text(_md5)), (b"sha1 sha", 1, _of_text(_sha1)),
        (b"least", 1, _least), (b"greatest", 1, _greatest),
        (b"abs", 1, lambda _, values: abs(number(values[0]))),
        (b"left", 2, lambda _, values: text(values[0])[: whole(values[1], low=0)]),
        (b"right", 2, lambda _, values: text(values[0])[max(0, len(text(values[0])) - whole(values[1], low=0)) :]),
        (b"nullif", 2, lambda _, values: None if same(values[0], values[1]) else values[0]),
        (b"row array", 0, lambda _, values: b"{" + b",".join(map(text, values)) + b"}"),
        (b"quote_ident quote_literal quotename", 1, lambda _, values: values[0]),
    )
    for name in names.split()
}  # fmt: skip
