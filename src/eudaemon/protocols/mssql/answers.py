"""What the server says: tokens (MS-TDS 2.2.7), rows among them."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from eudaemon.protocols._sql.tokens import Binary
from eudaemon.protocols._sql.values import Value, text, whole
from eudaemon.protocols.mssql.tds import TDS_72

ANSWER_BYTES_MAX = 200 * 1024  # of rows; what is beyond is not sent
_COLLATION = bytes((0x09, 0x04, 0xD0, 0x00, 0x34))  # SQL_Latin1_General_CP1_CI_AS
_SHORT_BYTES = 8000
MORE, ERROR, COUNT, ATTENTION = 1, 2, 0x10, 0x20
DONE, DONE_PROC, DONE_IN_PROC = 0xFD, 0xFE, 0xFF
SELECT_COMMAND = 0xC1


def _wide(value: bytes | str) -> bytes:
    decoded = value if isinstance(value, str) else value.decode("utf-8", "replace")
    return decoded.encode("utf-16-le", "replace")


def _short(value: str) -> bytes:
    return bytes((min(len(value), 127),)) + _wide(value[:127])


@dataclass(frozen=True, slots=True)
class Said:
    """An error or a message. `number` as in sys.messages."""

    number: int
    text: str
    severity: int = 16
    state: int = 1


@dataclass(frozen=True, slots=True)
class Form:
    """How this client is answered: its version of TDS, and the server's name."""

    version: int
    server: str

    def done(self, status: int = 0, count: int = 0, *, kind: int = DONE, command: int = 0) -> bytes:
        """Return the end of a statement's answer."""
        return struct.pack("<BHH", kind, status, command) + struct.pack("<Q" if self.version >= TDS_72 else "<I", count)

    def said(self, said: Said, *, procedure: str = "") -> bytes:
        """Return a message; one of a severity above 10 is an error."""
        words = said.text[:2000]
        line = struct.pack("<I" if self.version >= TDS_72 else "<H", 1)
        body = (struct.pack("<iBBH", said.number, said.state, said.severity, len(words)) + _wide(words)
                + _short(self.server) + _short(procedure) + line)  # fmt: skip
        return struct.pack("<BH", 0xAA if said.severity > 10 else 0xAB, len(body)) + body

    def changed(self, kind: int, new: bytes, old: bytes) -> bytes:
        """Return an ENVCHANGE, of values that have their lengths before them."""
        return struct.pack("<BHB", 0xE3, 1 + len(new) + len(old), kind) + new + old

    def database(self, new: str, old: str) -> bytes:
        """Return what is said when the database in use changes."""
        return self.changed(1, _short(new), _short(old)) + self.said(
            Said(5701, f"Changed database context to '{new}'.", 0, 2))  # fmt: skip

    def welcome(self, version: tuple[int, int, int], database: str) -> bytes:
        """Return the answer to a login that is accepted."""
        major, minor, build = version
        program = "Microsoft SQL Server\0\0"
        acknowledged = b"\x01" + struct.pack(">I", self.version) + bytes((len(program),)) + _wide(program)
        acknowledged += struct.pack(">BBH", major, minor, build)
        return (self.database(database, "master") + self.changed(7, bytes((5,)) + _COLLATION, b"\0")
                + self.changed(2, _short("us_english"), _short(""))
                + self.said(Said(5703, "Changed language setting to us_english.", 0, 1))
                + struct.pack("<BH", 0xAD, len(acknowledged)) + acknowledged
                + self.changed(4, _short("4096"), _short("4096")) + self.done())  # fmt: skip

    def rows(self, columns: list[bytes], rows: list[list[Value]]) -> tuple[bytes, int]:
        """Return columns and rows as tokens, and how many rows they are."""
        kinds = [_kind([row[at] for row in rows]) for at in range(len(columns))]
        head = struct.pack("<BH", 0x81, len(columns))
        for name, kind in zip(columns, kinds, strict=True):
            head += struct.pack("<IH" if self.version >= TDS_72 else "<HH", 0, 9) + _INFO[kind]
            head += _short(name.decode("utf-8", "replace"))
        out, count = bytearray(head), 0
        for row in rows:
            cells = b"\xd1" + b"".join(_cell(kind, value) for kind, value in zip(kinds, row, strict=True))
            if len(out) + len(cells) > ANSWER_BYTES_MAX:
                break
            out += cells
            count += 1
        return bytes(out), count

    def returned(self, status: int) -> bytes:
        """Return a procedure's status."""
        return struct.pack("<Bi", 0x79, status)

    def output(self, name: str, value: int) -> bytes:
        """Return an output parameter that is an integer."""
        flags = struct.pack("<IH" if self.version >= TDS_72 else "<HH", 0, 0)
        return struct.pack("<BH", 0xAC, 0) + _short(name) + b"\x01" + flags + b"\x26\x04\x04" + struct.pack("<i", value)


_INFO = {
    "int": b"\x26\x08", "bit": b"\x68\x01", "float": b"\x6d\x08", "text": b"\xe7\x40\x1f" + _COLLATION,
    "long": b"\xe7\xff\xff" + _COLLATION, "binary": b"\xa5\x40\x1f", "image": b"\xa5\xff\xff",
}  # fmt: skip


def _kind(values: list[Value]) -> str:
    sample = next((value for value in values if value is not None), b"")
    if isinstance(sample, bool):
        return "bit"
    if isinstance(sample, int):
        return "int"
    if isinstance(sample, float):
        return "float"
    longest = max((len(text(value)) for value in values), default=0)
    if isinstance(sample, Binary):
        return "binary" if longest <= _SHORT_BYTES else "image"
    return "text" if 2 * longest <= _SHORT_BYTES else "long"


def _cell(kind: str, value: Value) -> bytes:
    if value is None:
        return {"text": b"\xff\xff", "binary": b"\xff\xff", "long": b"\xff" * 8, "image": b"\xff" * 8}.get(kind, b"\0")
    if kind == "int":
        return b"\x08" + struct.pack("<q", whole(value))
    if kind == "bit":
        return b"\x01\x01" if value and value != b"0" else b"\x01\x00"
    if kind == "float":
        return b"\x08" + struct.pack("<d", value if isinstance(value, int | float) else 0.0)
    data = text(value) if kind in ("binary", "image") else _wide(text(value))
    if kind in ("text", "binary"):
        return struct.pack("<H", len(data)) + data
    return struct.pack("<QI", len(data), len(data)) + data + bytes(4 if data else 0)
