"""As much of MongoDB's protocol as a test needs to talk to the room itself."""

from __future__ import annotations

import struct
from typing import Any

from eudaemon.protocols.mongodb.bson import Document, document_at, encode
from eudaemon.testing.script import Table


def head(kind: int, body: bytes, number: int = 7) -> bytes:
    return struct.pack("<iiii", 16 + len(body), number, 0, kind) + body


def msg(
    body: Document, database: str = "admin", *, beside: dict[str, list[Document]] | None = None, flags: int = 0
) -> bytes:
    """Return an OP_MSG; `beside` are the documents of sections of their own."""
    out = struct.pack("<I", flags) + b"\0" + encode({**body, "$db": database})
    for name, documents in (beside or {}).items():
        section = name.encode() + b"\0" + b"".join(map(encode, documents))
        out += b"\1" + struct.pack("<i", len(section) + 4) + section
    return head(2013, out)


def query(name: str, body: Document, count: int = -1) -> bytes:
    """Return an OP_QUERY."""
    return head(2004, struct.pack("<i", 0) + name.encode() + b"\0" + struct.pack("<ii", 0, count) + encode(body))


def answers(data: bytes) -> list[Document]:
    """Return the documents of what was answered."""
    found: list[Document] = []
    at = 0
    while at < len(data):
        length, _, _, kind = struct.unpack_from("<iiii", data, at)
        start, end = (at + 21 if kind == 2013 else at + 36), at + length
        while start < end:
            document, start = document_at(data, start)
            found.append(document)
        at = end
    return found


class Client:
    """A client, which needs no login."""

    def __init__(self, table: Table) -> None:
        self.table = table

    def send(self, data: bytes) -> list[Document]:
        before = len(self.table.sent)
        for at in range(0, len(data), 65_537):
            self.table.say(data[at : at + 65_537])
        return answers(self.table.sent[before:])

    def do(self, command: str, value: Any = 1, database: str = "admin", **more: Any) -> Document:
        """Return what a command gives."""
        (found,) = self.send(msg({command: value, **more}, database))
        return found

    def documents(self, collection: str, database: str, **more: Any) -> list[Document]:
        """Return what a find gives, to its end."""
        cursor = self.do("find", collection, database, **more)["cursor"]
        found: list[Document] = cursor["firstBatch"]
        while cursor["id"]:
            cursor = self.do("getMore", cursor["id"], database, collection=collection)["cursor"]
            found += cursor["nextBatch"]
        return found


def opening() -> list[bytes]:
    """Return what leads through a session, in pieces that end where a new stage begins."""
    insert = msg({"insert": "c"}, "d", beside={"documents": [{"a": 1, "b": b"x" * 900}]})
    return [msg({"hello": 1})[:7], msg({"hello": 1})[7:], query("admin.$cmd", {"isMaster": 1}), insert[:40],
    insert[40:],
            msg({"find": "c", "batchSize": 0}, "d"), msg({"drop": "c"}, "d"),
            msg({"insert": "README", "documents": [{"note": "send 0.1 bitcoin"}]}, "d"),
            msg({"saslStart": 1, "mechanism": "SCRAM-SHA-1", "payload": b"n,,n=a,r=b"})]  # fmt: skip
