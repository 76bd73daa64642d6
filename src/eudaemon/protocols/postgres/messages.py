"""PostgreSQL's protocol, version 3 (postgresql.org/docs, "Frontend/Backend Protocol").

first:  length (4, with itself)  code (4)  …        afterwards:  type (1)  length (4, with itself)  …      big-endian
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from eudaemon.protocols._sql.query import Result
from eudaemon.protocols._sql.tokens import Binary
from eudaemon.protocols._sql.values import Value, text
from eudaemon.wire import PeerError, Purse

MESSAGE_BYTES_MAX = 22 * 1024 * 1024  # a library of 10 MB in hexadecimal, and a little
STARTUP_BYTES_MAX = 10_000  # MAX_STARTUP_PACKET_LENGTH
ANSWER_BYTES_MAX = 200 * 1024  # of rows; what is beyond is not sent
SSL_REQUEST, GSS_REQUEST, CANCEL, VERSION_3 = 80_877_103, 80_877_104, 80_877_102, 196_608
BOOL, BYTEA, INT8, INT2, INT4, TEXT, FLOAT8, OID = 16, 17, 20, 21, 23, 25, 701, 26
_SIZES = {BOOL: 1, INT8: 8, INT2: 2, INT4: 4, FLOAT8: 8}
_WHOLE_TYPES = {INT2: ">h", INT4: ">i", INT8: ">q", OID: ">I"}


class MessageReader:
    """Takes bytes in any pieces, gives messages as type and body. What it holds, it takes from the purse."""

    __slots__ = ("_body", "_head", "_left", "_purse", "started")

    def __init__(self, purse: Purse) -> None:
        self._purse = purse
        self._head = b""
        self._body = bytearray()
        self._left = -1
        self.started = False  # whether the first message, which has no type, has passed

    @property
    def held(self) -> bytearray:
        """What came of a message that is not whole."""
        return self._body

    def feed(self, data: bytes) -> tuple[tuple[bytes, bytes], bytes] | None:
        """Add bytes; return type and body, and what is left of the bytes, or None while no message is whole."""
        at = 0
        if self._left < 0:
            wanted = 5 if self.started else 4
            at = wanted - len(self._head)
            self._head += data[:at]
            if len(self._head) < wanted:
                return None
            self._left = int.from_bytes(self._head[-4:], "big") - 4
            if not 0 <= self._left <= (MESSAGE_BYTES_MAX if self.started else STARTUP_BYTES_MAX):
                raise PeerError("invalid length of a message")
        part = data[at : at + self._left]
        if not self._purse.take(len(part)):
            raise PeerError("the session holds too many bytes")
        self._body += part
        self._left -= len(part)
        if self._left:
            return None
        kind, body = self._head[:-4], bytes(self._body)
        self._purse.give_back(len(body))
        self._head, self._body, self._left = b"", bytearray(), -1
        return (kind, body), data[at + len(part) :]


def message(kind: bytes, body: bytes = b"") -> bytes:
    """Return a message."""
    return kind + (len(body) + 4).to_bytes(4, "big") + body


def strings(body: bytes) -> list[bytes]:
    """Return the strings of a body, each of which ends with a zero byte."""
    return body.split(b"\0")[:-1]


@dataclass(frozen=True, slots=True)
class Fault:
    """An error as it is told. `position` is that in the query, in characters, 0 if it has none."""

    code: str
    text: bytes
    severity: str = "ERROR"
    detail: bytes = b""
    position: int = 0
    place: tuple[str, int, str] | None = None  # file, line and routine of the server's source


def failure(fault: Fault, *, with_v: bool = True) -> bytes:
    """Return an ErrorResponse. `V` came with 9.6."""
    severity = fault.severity.encode()
    fields = [(b"S", severity), (b"V", severity if with_v else b""), (b"C", fault.code.encode()),
        (b"M", fault.text[:1024]),
              (b"D", fault.detail), (b"P", b"%d" % fault.position if fault.position else b"")]  # fmt: skip
    if fault.place is not None:
        file, line, routine = fault.place
        fields += [(b"F", file.encode()), (b"L", b"%d" % line), (b"R", routine.encode())]
    return message(
        b"E", b"".join(letter + value.replace(b"\0", b"") + b"\0" for letter, value in fields if value) + b"\0"
    )


def shown(value: Value) -> bytes:
    """Return a value as text."""
    if isinstance(value, bool):
        return b"t" if value else b"f"
    return b"\\x" + value.hex().encode() if isinstance(value, Binary) else text(value)


def _type_of(values: list[Value]) -> int:
    sample = next((value for value in values if value is not None), b"")
    if isinstance(sample, bool):
        return BOOL
    if isinstance(sample, int):
        small = all(-(1 << 31) <= value < 1 << 31 for value in values if isinstance(value, int))
        return INT4 if small else INT8
    return FLOAT8 if isinstance(sample, float) else BYTEA if isinstance(sample, Binary) else TEXT


def description(columns: list[bytes], types: list[int]) -> bytes:
    """Return a RowDescription."""
    body = len(columns).to_bytes(2, "big")
    for name, kind in zip(columns, types, strict=True):
        body += name[:63] + b"\0" + struct.pack(">IhIhih", 0, 0, kind, _SIZES.get(kind, -1), -1, 0)
    return message(b"T", body)


def describe(result: Result) -> bytes:
    """Return the RowDescription of a result, of the types that its values have."""
    columns = result.columns or []
    return description(columns, [_type_of([row[at] for row in result.rows]) for at in range(len(columns))])


def rows(result: Result) -> bytes:
    """Return the rows of a result, as many as are sent."""
    out = bytearray()
    for row in result.rows:
        body = len(row).to_bytes(2, "big")
        for value in row:
            if value is None:
                body += b"\xff\xff\xff\xff"
            else:
                data = shown(value)
                body += len(data).to_bytes(4, "big") + data
        if len(out) + len(body) > ANSWER_BYTES_MAX:
            break
        out += message(b"D", body)
    return bytes(out)


def complete(result: Result) -> bytes:
    """Return a CommandComplete."""
    tag = result.tag
    if tag == "INSERT":
        tag = f"INSERT 0 {result.changed}"
    elif tag in ("SELECT", "UPDATE", "DELETE", "COPY", "FETCH", "MOVE"):
        tag = f"{tag} {result.changed}"
    return message(b"C", tag.encode() + b"\0")


@dataclass(frozen=True, slots=True)
class Bound:
    """What a Bind says."""

    portal: bytes
    statement: bytes
    values: list[bytes | None]
    formats: list[int]

    def value(self, at: int, kinds: list[int]) -> Value:
        """Return a parameter; `kinds` are the types that were named for them."""
        data = self.values[at]
        formats = self.formats or [0]
        is_binary = formats[at] if at < len(formats) else formats[0] if len(formats) == 1 else 0
        kind = kinds[at] if at < len(kinds) else 0
        if data is None:
            return None
        if not is_binary:
            return data
        whole = _WHOLE_TYPES.get(kind)
        if whole is not None and len(data) == struct.calcsize(whole):
            number: int = struct.unpack(whole, data)[0]
            return number
        return Binary(data) if kind in (BYTEA, 0) else data


def bound_of(body: bytes) -> Bound:
    """Read a Bind. Raises `PeerError`."""
    try:
        portal, statement, rest = body.split(b"\0", 2)
        (count,) = struct.unpack_from(">H", rest)
        formats = list(struct.unpack_from(f">{count}H", rest, 2))
        at = 2 + 2 * count
        (count,) = struct.unpack_from(">H", rest, at)
        at += 2
        values: list[bytes | None] = []
        for _ in range(count):
            (size,) = struct.unpack_from(">i", rest, at)
            at += 4
            values.append(None if size < 0 else rest[at : at + size])
            at += max(0, size)
    except (struct.error, ValueError):
        raise PeerError("a Bind that is none") from None
    return Bound(portal, statement, values, formats)
