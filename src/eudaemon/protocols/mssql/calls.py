"""RPC requests (MS-TDS 2.2.6.6): which procedure, and its parameters as values."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from eudaemon.protocols._sql.tokens import Binary
from eudaemon.protocols._sql.values import Value
from eudaemon.wire import PeerError

PARAMETERS_MAX = 1024
PROCEDURES = {10: "sp_executesql", 11: "sp_prepare", 12: "sp_execute", 13: "sp_prepexec", 15: "sp_unprepare"}
_FIXED = {0x30: ("<B", 1), 0x32: ("<B", 1), 0x34: ("<h", 2), 0x38: ("<i", 4), 0x7F: ("<q", 8), 0x3E: ("<d", 8),
          0x3B: ("<f", 4)}  # fmt: skip
_SIZED = {0x26: {1: "<B", 2: "<h", 4: "<i", 8: "<q"}, 0x68: {1: "<B"}, 0x6D: {4: "<f", 8: "<d"}}
_OTHER_SIZED = frozenset((0x24, 0x6E, 0x6F))  # GUID, money, date and time: not read
_LONG, _TEXT = frozenset((0xA5, 0xA7, 0xAD, 0xAF, 0xE7, 0xEF)), {0x22: False, 0x23: True, 0x63: True}
_WIDE = frozenset((0xE7, 0xEF, 0x63))
_BINARY = frozenset((0xA5, 0xAD, 0x22))


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter; `name` is empty or begins with `@`."""

    name: str
    value: Value
    is_output: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """One request."""

    procedure: str
    parameters: list[Parameter]


def call_of(body: bytes, *, has_headers: bool) -> Call:
    """Read a request. A parameter of a type that is not known ends the list. Raises `PeerError`."""
    try:
        at = struct.unpack_from("<I", body)[0] if has_headers else 0
        (length,) = struct.unpack_from("<H", body, at)
        at += 2
        if length == 0xFFFF:
            (number,) = struct.unpack_from("<H", body, at)
            name, at = PROCEDURES.get(number, f"#{number}"), at + 2
        else:
            name, at = body[at : at + 2 * length].decode("utf-16-le", "replace"), at + 2 * length
        at += 2  # flags
        parameters: list[Parameter] = []
        while at < len(body) and len(parameters) < PARAMETERS_MAX:
            size = body[at]
            word = body[at + 1 : at + 1 + 2 * size].decode("utf-16-le", "replace")
            at += 1 + 2 * size
            status = body[at]
            read = _value(body, at + 1)
            if read is None:
                break
            value, at = read
            parameters.append(Parameter(word, value, bool(status & 1)))
    except (struct.error, IndexError):
        raise PeerError("a request that is none") from None
    return Call(name[:256], parameters)


def _value(body: bytes, at: int) -> tuple[Value, int] | None:
    kind = body[at]
    at += 1
    if kind in _FIXED:
        form, size = _FIXED[kind]
        value: Value = struct.unpack_from(form, body, at)[0]
        return value, at + size
    if kind in _SIZED or kind in _OTHER_SIZED:
        size = body[at + 1]
        known = _SIZED.get(kind, {}).get(size)
        value = struct.unpack_from(known, body, at + 2)[0] if known else None
        return value, at + 2 + size
    if kind in _LONG:
        (most,) = struct.unpack_from("<H", body, at)
        at += 2 + (5 if kind not in (0xA5, 0xAD) else 0)
        if most == 0xFFFF:
            return _chunks(body, at, kind)
        (size,) = struct.unpack_from("<H", body, at)
        if size == 0xFFFF:
            return None, at + 2
        return _meant(kind, body[at + 2 : at + 2 + size]), at + 2 + size
    if kind in _TEXT:
        at += 4 + (5 if _TEXT[kind] else 0)
        (size,) = struct.unpack_from("<i", body, at)
        return (None, at + 4) if size < 0 else (_meant(kind, body[at + 4 : at + 4 + size]), at + 4 + size)
    return None


def _chunks(body: bytes, at: int, kind: int) -> tuple[Value, int]:
    """Read a value that comes in chunks, each with its length (2.2.5.2.3)."""
    (total,) = struct.unpack_from("<Q", body, at)
    at += 8
    if total == 0xFFFFFFFFFFFFFFFF:
        return None, at
    out = bytearray()
    while True:
        (size,) = struct.unpack_from("<I", body, at)
        at += 4
        if not size:
            return _meant(kind, bytes(out)), at
        out += body[at : at + size]
        at += size


def _meant(kind: int, data: bytes) -> Value:
    if kind in _BINARY:
        return Binary(data)
    return data.decode("utf-16-le", "replace").encode("utf-8", "replace") if kind in _WIDE else data
