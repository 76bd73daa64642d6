"""Prepared statements (COM_STMT_PREPARE and its like): how their parameters come, each as a value of its own type.

    number (4)  flags (1)  times (4)  [which are null: a bit each]  1  [type (2)] …  [value] …

Where the types are left out they are those of the time before. A long value may come before, in pieces of its own.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from eudaemon.protocols._sql.parameters import PARAMETERS_MAX, number_marks
from eudaemon.protocols._sql.parser import Parser
from eudaemon.protocols._sql.tokens import MYSQL, Binary, SqlError
from eudaemon.protocols._sql.values import VALUE_BYTES_MAX, Value
from eudaemon.wire import PeerError, Purse

PREPARED_MAX = 64  # statements of one session
_UNSIGNED = 0x80
_NULL = 6
_NUMBERS = {1: "b", 2: "h", 3: "i", 8: "q", 13: "h", 9: "i"}  # TINY, SHORT, LONG, LONGLONG, YEAR, INT24
_FLOATS = {4: "<f", 5: "<d"}
_MOMENTS = frozenset((7, 10, 12))  # TIMESTAMP, DATE, DATETIME
_DURATION = 11
_BLOBS = frozenset((0xF9, 0xFA, 0xFB, 0xFC))


@dataclass(slots=True)
class Prepared:
    """One statement. `long` are the parameters that came in pieces."""

    sql: bytes
    parameters: int
    kinds: bytes = b""
    long: dict[int, bytearray] = field(default_factory=dict)

    def parser(self) -> Parser:
        """Return a reader of the statement, its parameters numbered."""
        parser = Parser(self.sql, MYSQL)
        number_marks(parser)
        return parser


class PreparedStatements:
    """One session's, by their numbers."""

    __slots__ = ("_known", "_last", "_purse")

    def __init__(self, purse: Purse) -> None:
        self._purse = purse
        self._known: dict[int, Prepared] = {}
        self._last = 0

    def add(self, sql: bytes) -> tuple[int, Prepared]:
        """Prepare a statement; return its number. Raises `SqlError`."""
        parameters = number_marks(Parser(sql, MYSQL))
        if parameters > PARAMETERS_MAX:
            raise SqlError("too many parameters")
        if len(self._known) >= PREPARED_MAX or not self._purse.take(len(sql)):
            raise SqlError("too many prepared")
        self._last += 1
        self._known[self._last] = prepared = Prepared(sql, parameters)
        return self._last, prepared

    def find(self, body: bytes) -> Prepared:
        """Return the statement whose number a command begins with. Raises `SqlError`."""
        prepared = self._known.get(int.from_bytes(body[:4], "little"))
        if prepared is None:
            raise SqlError("no prepared", b"%d" % int.from_bytes(body[:4], "little"))
        return prepared

    def close(self, body: bytes) -> None:
        """Forget a statement; one that is not there is no error."""
        prepared = self._known.pop(int.from_bytes(body[:4], "little"), None)
        if prepared is not None:
            self.forget_long(prepared)
            self._purse.give_back(len(prepared.sql))

    def close_all(self) -> None:
        """Forget all statements."""
        for number in list(self._known):
            self.close(number.to_bytes(4, "little"))

    def add_long(self, body: bytes) -> None:
        """Add a piece of a parameter. Nobody is told if it goes wrong. Raises `PeerError` past a limit."""
        prepared = self._known.get(int.from_bytes(body[:4], "little"))
        at = int.from_bytes(body[4:6], "little")
        if prepared is None or at >= prepared.parameters:
            return
        value = prepared.long.setdefault(at, bytearray())
        if len(value) + len(body) - 6 > VALUE_BYTES_MAX or not self._purse.take(len(body) - 6):
            raise PeerError(f"a parameter over {VALUE_BYTES_MAX} bytes, or more than may be held")
        value += body[6:]

    def forget_long(self, prepared: Prepared) -> None:
        """Forget what came in pieces."""
        self._purse.give_back(sum(map(len, prepared.long.values())))
        prepared.long.clear()

    def bind(self, prepared: Prepared, body: bytes) -> list[Value]:
        """Return the values that an execution gives. Raises `SqlError` for what is none."""
        count, at = prepared.parameters, 9
        if not count:
            return []
        nulls = body[at : at + (count + 7) // 8]
        at += len(nulls)
        if body[at : at + 1] == b"\1":
            prepared.kinds = body[at + 1 : at + 1 + 2 * count]
            at += 2 * count
        at += 1
        if len(prepared.kinds) != 2 * count or len(nulls) != (count + 7) // 8:
            raise SqlError("malformed")
        values: list[Value] = []
        try:
            for index in range(count):
                kind, flags = prepared.kinds[2 * index : 2 * index + 2]
                if index in prepared.long:
                    values.append(_meant(kind, bytes(prepared.long[index])))
                elif nulls[index // 8] >> index % 8 & 1 or kind == _NULL:
                    values.append(None)
                else:
                    value, at = _value(kind, bool(flags & _UNSIGNED), body, at)
                    values.append(value)
        except (struct.error, IndexError):
            raise SqlError("malformed") from None
        self.forget_long(prepared)
        return values


def _value(kind: int, unsigned: bool, body: bytes, at: int) -> tuple[Value, int]:
    letter = _NUMBERS.get(kind)
    if letter is not None:
        form = "<" + (letter.upper() if unsigned else letter)
        whole: int = struct.unpack_from(form, body, at)[0]
        return whole, at + struct.calcsize(form)
    if kind in _FLOATS:
        real: float = struct.unpack_from(_FLOATS[kind], body, at)[0]
        return real, at + struct.calcsize(_FLOATS[kind])
    size, at = _length(body, at)
    data = body[at : at + size]
    if len(data) != size:
        raise IndexError
    if kind in _MOMENTS:
        return _moment(data), at + size
    return _duration(data) if kind == _DURATION else _meant(kind, data), at + size


def _length(body: bytes, at: int) -> tuple[int, int]:
    first = body[at]
    size = {0xFC: 2, 0xFD: 3, 0xFE: 8}.get(first, 0)
    return (int.from_bytes(body[at + 1 : at + 1 + size], "little") if size else first), at + 1 + size


def _meant(kind: int, data: bytes) -> Value:
    return Binary(data) if kind in _BLOBS else data


def _moment(data: bytes) -> bytes:
    """`year (2) month day [hour minute second [microseconds (4)]]`, or nothing for zeros."""
    year, month, day, hour, minute, second, micros = struct.unpack("<HBBBBBI", data.ljust(11, b"\0")[:11])
    date = b"%04d-%02d-%02d" % (year, month, day)
    time = b" %02d:%02d:%02d" % (hour, minute, second) if len(data) > 4 else b""
    return date + time + (b".%06d" % micros if len(data) > 7 else b"")


def _duration(data: bytes) -> bytes:
    """`negative days (4) hour minute second [microseconds (4)]`, or nothing for zero."""
    negative, days, hour, minute, second, micros = struct.unpack("<BIBBBI", data.ljust(12, b"\0")[:12])
    sign = b"-" if negative else b""
    return b"%s%02d:%02d:%02d" % (sign, 24 * days + hour, minute, second) + (
        b".%06d" % micros if len(data) > 8 else b""
    )
