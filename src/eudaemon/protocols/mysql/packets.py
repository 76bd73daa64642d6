"""MySQL's client/server protocol: packets, the handshake, results (dev.mysql.com/doc/dev/mysql-server, "Protocol").

length (3, little-endian)  number (1)  payload        a payload of 0xffffff bytes goes on in the next packet
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from eudaemon.protocols._sql.query import Result
from eudaemon.protocols._sql.tokens import Binary
from eudaemon.protocols._sql.values import Value, text
from eudaemon.wire import PeerError, Purse

PACKET_BYTES_MAX = 22 * 1024 * 1024  # a library of 10 MB in hexadecimal, and a little
ANSWER_BYTES_MAX = 200 * 1024  # of rows; what is beyond is not sent
_WHOLE = 0xFFFFFF
_INT64 = (1 << 64) - 1

PLUGIN_AUTH, PROTOCOL_41, SECURE, WITH_DB, LENENC = 0x80000, 0x200, 0x8000, 0x8, 0x200000
TLS = 0x800
DEPRECATE_EOF, SESSION_TRACK, MULTI_STATEMENTS = 0x1000000, 0x800000, 0x10000
AUTOCOMMIT, MORE_RESULTS = 2, 8
NATIVE, CACHING = b"mysql_native_password", b"caching_sha2_password"


class PacketReader:
    """Takes bytes in any pieces, gives payloads. What it holds, it takes from the purse."""

    __slots__ = ("_body", "_head", "_left", "_purse", "_whole")

    def __init__(self, purse: Purse) -> None:
        self._purse = purse
        self._head = b""
        self._body = bytearray()
        self._left = -1  # of the packet that is being read; -1 while its head is
        self._whole = True  # whether the payload ends with it

    @property
    def held(self) -> bytearray:
        """What came of a message that is not whole."""
        return self._body

    def feed(self, data: bytes) -> tuple[tuple[int, bytes], bytes] | None:
        """Add bytes; return a payload with its number, and what is left of the bytes; None while none is whole.

        Raises `PeerError` past a limit.
        """
        while True:
            if self._left < 0:
                part = data[: 4 - len(self._head)]
                self._head += part
                data = data[len(part) :]
                if len(self._head) < 4:
                    return None
                self._left = int.from_bytes(self._head[:3], "little")
                self._whole = self._left < _WHOLE
                if len(self._body) + self._left > PACKET_BYTES_MAX:
                    raise PeerError(f"packet over {PACKET_BYTES_MAX} bytes")
            part = data[: self._left]
            if not self._purse.take(len(part)):
                raise PeerError("the session holds too many bytes")
            self._body += part
            data = data[len(part) :]
            self._left -= len(part)
            if self._left:
                return None
            number, self._head, self._left = self._head[3], b"", -1
            if self._whole:
                body, self._body = bytes(self._body), bytearray()
                self._purse.give_back(len(body))
                return (number, body), data


def packets(payloads: list[bytes], number: int) -> bytes:
    """Return payloads as packets, the first of this number."""
    out = bytearray()
    for payload in payloads:
        out += len(payload).to_bytes(3, "little") + bytes((number & 0xFF,)) + payload
        number += 1
    return bytes(out)


def lenenc(value: int) -> bytes:
    """Return a number in the encoding that tells its own length."""
    if value < 0xFB:
        return bytes((value,))
    if value < 1 << 16:
        return b"\xfc" + value.to_bytes(2, "little")
    return b"\xfd" + value.to_bytes(3, "little") if value < 1 << 24 else b"\xfe" + value.to_bytes(8, "little")


def prefixed(data: bytes) -> bytes:
    """Return bytes after their length."""
    return lenenc(len(data)) + data


def greeting(version: str, connection: int, salt: bytes, capabilities: int, plugin: bytes, charset: int) -> bytes:
    """Return the server's handshake, version 10."""
    has_plugins = capabilities & PLUGIN_AUTH
    return b"".join((
        b"\x0a", version.encode(), b"\0", struct.pack("<I", connection), salt[:8], b"\0",
        struct.pack("<HBHH", capabilities & 0xFFFF, charset, AUTOCOMMIT, capabilities >> 16),
        bytes((21 if has_plugins else 0,)), bytes(10), salt[8:], b"\0", plugin + b"\0" if has_plugins else b"",
    ))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Response:
    """What a client says of itself. `proof` is what stands for its password."""

    capabilities: int
    user: bytes
    proof: bytes
    database: bytes
    plugin: bytes
    is_old: bool = False  # of before 4.1, whose results look different


def wants_tls(payload: bytes) -> bool:
    """Say whether a first packet is an SSLRequest: the beginning of a response, and nothing more."""
    return len(payload) == 32 and bool(int.from_bytes(payload[:4], "little") & TLS)


def response_of(payload: bytes) -> Response:
    """Read a HandshakeResponse, 41 or 320. Raises `PeerError`."""
    if len(payload) < 5:
        raise PeerError("handshake response too short")
    capabilities = int.from_bytes(payload[:2], "little")
    if not capabilities & PROTOCOL_41:
        user, _, rest = payload[5:].partition(b"\0")
        return Response(capabilities, user, rest.partition(b"\0")[0], b"", b"", is_old=True)
    if len(payload) < 32:
        raise PeerError("handshake response too short")
    capabilities = int.from_bytes(payload[:4], "little")
    user, _, rest = payload[32:].partition(b"\0")
    proof, rest = _proof(rest, capabilities)
    database = b""
    if capabilities & WITH_DB:
        database, _, rest = rest.partition(b"\0")
    plugin = rest.partition(b"\0")[0] if capabilities & PLUGIN_AUTH else b""
    return Response(capabilities, user[:256], proof, database[:64], plugin[:64])


def _proof(rest: bytes, capabilities: int) -> tuple[bytes, bytes]:
    if not capabilities & (SECURE | LENENC):
        proof, _, rest = rest.partition(b"\0")
        return proof, rest
    size = rest[0] if rest else 0
    return rest[1 : 1 + size], rest[1 + size :]


def ok(capabilities: int, *, changed: int = 0, status: int = AUTOCOMMIT, info: bytes = b"", head: int = 0) -> bytes:
    """Return an OK packet; with `head` 0xfe it is the new form of EOF."""
    said = prefixed(info) if info and capabilities & SESSION_TRACK else info
    return bytes((head,)) + lenenc(changed) + b"\0" + struct.pack("<HH", status, 0) + said


def error(code: int, state: str, message: bytes, *, is_old: bool = False) -> bytes:
    """Return an ERR packet."""
    return b"\xff" + code.to_bytes(2, "little") + (b"" if is_old else b"#" + state.encode()) + message[:512]


def answer(result: Result, capabilities: int, *, more: bool, binary: bool = False) -> list[bytes]:
    """Return a result as payloads; `binary` is the form in which prepared statements give rows."""
    status = AUTOCOMMIT | (MORE_RESULTS if more else 0)
    if result.columns is None:
        return [ok(capabilities, changed=result.changed, status=status, info=b"")]
    samples = [_sample([row[at] for row in result.rows]) for at in range(len(result.columns))]
    out = [lenenc(len(result.columns)), *map(_column, result.columns, samples)]
    if not capabilities & DEPRECATE_EOF:
        out.append(eof(status))
    size = 0
    for row in result.rows:
        payload = _binary_row(row, samples) if binary else b"".join(map(_cell, row))
        size += len(payload)
        if size > ANSWER_BYTES_MAX:
            break
        out.append(payload)
    out.append(ok(capabilities, status=status, head=0xFE) if capabilities & DEPRECATE_EOF else eof(status))
    return out


def prepared(number: int, parameters: int, columns: list[bytes], capabilities: int) -> list[bytes]:
    """Return the answer to a statement that was prepared, as payloads."""
    ends = [] if capabilities & DEPRECATE_EOF else [eof(AUTOCOMMIT)]
    out = [b"\0" + struct.pack("<IHHBH", number, len(columns), parameters, 0, 0)]
    for names in ([b"?"] * parameters, columns):
        out += [_column(name, b"") for name in names] + (ends if names else [])
    return out


def eof(status: int) -> bytes:
    """Return an EOF packet in its old form."""
    return b"\xfe" + struct.pack("<HH", 0, status)


def _sample(values: list[Value]) -> Value:
    """Return a value that has the type of all of them; text if they differ."""
    kinds = {float if isinstance(value, float) else int if isinstance(value, int) else type(value)
             for value in values if value is not None}  # fmt: skip
    if kinds <= {int, float} and len(kinds) > 1:
        return 0.0
    return next((value for value in values if value is not None), b"") if len(kinds) == 1 else b""


def _cell(value: Value) -> bytes:
    return b"\xfb" if value is None else prefixed(text(value))


def _binary_row(row: list[Value], samples: list[Value]) -> bytes:
    nulls = sum(1 << at + 2 for at, value in enumerate(row) if value is None)
    out = b"\0" + nulls.to_bytes((len(row) + 9) // 8, "little")
    for value, sample in zip(row, samples, strict=True):
        if value is None:
            continue
        if isinstance(sample, float) and isinstance(value, int | float):
            out += struct.pack("<d", value)
        elif isinstance(sample, int) and isinstance(value, int):
            out += (value & _INT64).to_bytes(8, "little")
        else:
            out += prefixed(text(value))
    return out


def _column(name: bytes, sample: Value) -> bytes:
    """Return a column's definition, of the type that its first value has."""
    charset, length, kind, decimals = 33, 1024, 0xFD, 0x1F
    if isinstance(sample, float):
        charset, length, kind = 63, 23, 0x05
    elif isinstance(sample, int):
        charset, length, kind, decimals = 63, 21, 0x08, 0
    elif isinstance(sample, Binary):
        charset = 63
    flags = 0x81 if isinstance(sample, int | float) else 0x80 if charset == 63 else 0
    return (prefixed(b"def") + prefixed(b"") * 3 + prefixed(name[:256]) + prefixed(b"")
            + b"\x0c" + struct.pack("<HIBHB", charset, length, kind, flags, decimals) + b"\0\0")  # fmt: skip
