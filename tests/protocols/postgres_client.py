"""As much of PostgreSQL's protocol as a test needs to talk to the room itself."""

from __future__ import annotations

import struct

from eudaemon.testing.script import Table

START = b"user\0postgres\0database\0postgres\0application_name\0psql\0\0"


def message(kind: bytes, body: bytes = b"") -> bytes:
    return kind + struct.pack(">I", len(body) + 4) + body


def started(code: int = 196_608, words: bytes = START) -> bytes:
    return message(b"", struct.pack(">I", code) + words)


def query(sql: bytes) -> bytes:
    return message(b"Q", sql + b"\0")


def login(password: bytes = b"postgres", words: bytes = START) -> bytes:
    return started(words=words) + message(b"p", password + b"\0")


def bind(*values: bytes | None, formats: bytes = b"\0\0") -> bytes:
    body = b"\0\0" + formats + struct.pack(">H", len(values))
    for value in values:
        body += b"\xff\xff\xff\xff" if value is None else struct.pack(">I", len(value)) + value
    return message(b"B", body + b"\0\0")


def messages(data: bytes) -> list[tuple[bytes, bytes]]:
    """Return what was answered, as type and body."""
    found, at = [], 0
    while at < len(data):
        size = int.from_bytes(data[at + 1 : at + 5], "big")
        found.append((data[at : at + 1], data[at + 5 : at + 1 + size]))
        at += 1 + size
    return found


def rows(data: bytes) -> list[list[bytes | None]]:
    """Return the rows of an answer; raises `AssertionError` for an error."""
    result: list[list[bytes | None]] = []
    for kind, body in messages(data):
        assert kind != b"E", body
        if kind == b"D":
            row: list[bytes | None] = []
            at = 2
            for _ in range(int.from_bytes(body[:2], "big")):
                (size,) = struct.unpack_from(">i", body, at)
                row.append(None if size < 0 else body[at + 4 : at + 4 + size])
                at += 4 + max(0, size)
            result.append(row)
    return result


class Client:
    """A client that has logged in."""

    def __init__(self, table: Table) -> None:
        self.table = table
        assert table.say(login()).endswith(message(b"Z", b"I"))

    def do(self, sql: bytes) -> bytes:
        return self.send(query(sql))

    def send(self, data: bytes) -> bytes:
        """Send in pieces; return what is answered."""
        before = len(self.table.sent)
        for at in range(0, len(data), 65_537):
            self.table.say(data[at : at + 65_537])
        return self.table.sent[before:]

    def rows(self, sql: bytes) -> list[list[bytes | None]]:
        return rows(self.do(sql))

    def tags(self, sql: bytes) -> list[bytes]:
        """Return what the statements of a query ended with."""
        return [body.rstrip(b"\0") for kind, body in messages(self.do(sql)) if kind == b"C"]

    def error(self, sql: bytes) -> tuple[bytes, bytes]:
        """Return SQLSTATE and text of the error that a query gives."""
        return error(self.do(sql))


def error(data: bytes) -> tuple[bytes, bytes]:
    (body,) = (body for kind, body in messages(data) if kind == b"E")
    fields = {field[:1]: field[1:] for field in body.split(b"\0")}
    return fields[b"C"], fields[b"M"]


def opening() -> list[bytes]:
    """Return what leads through a session, in pieces that end where a new stage begins."""
    return [started(80_877_103, b""), started()[:9], started()[9:], message(b"p", b"postgres\0"),
            query(b"create table t(a text)")[:12], query(b"create table t(a text)")[12:],
            message(b"P", b"a\0select $1\0\0\0") + message(b"S"), query(b"copy t from stdin"), message(b"d", b"a\nb\n"),
            message(b"c"), query(b"copy t from program 'wget -q -O- http://a/b'")]  # fmt: skip
