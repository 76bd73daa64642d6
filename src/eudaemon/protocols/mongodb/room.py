"""The connection: messages in, one answer to each that wants one."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any, ClassVar

from eudaemon.events.catalogue import CommandEntered
from eudaemon.protocols._base import Claim, Keep, Order, Saw, Send, Visit
from eudaemon.protocols._broken import broken_off
from eudaemon.protocols._database import FACT_CHARS_MAX, DatabaseRoom
from eudaemon.protocols.mongodb import messages as wire
from eudaemon.protocols.mongodb.bson import Document, Long, encode, shown
from eudaemon.protocols.mongodb.collections import Collections, FullError, fits
from eudaemon.protocols.mongodb.commands import COMMANDS, CURSORS_MAX, FIRST_BATCH, UNSTATED
from eudaemon.protocols.mongodb.server import Server, error, server_of
from eudaemon.wire import clipped

BATCH_BYTES_MAX = 128 * 1024  # of documents in one answer
_OVER_HTTP = (b"HTTP/1.0 200 OK\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: 85\r\n\r\n"
              b"It looks like you are trying to access MongoDB over HTTP on the native driver port.\r\n")  # fmt: skip
_METHODS = (b"GET ", b"HEAD", b"POST", b"OPTI")
_BESIDE = {"insert": "documents", "update": "updates", "delete": "deletes"}
# Kinds of messages, of today and of before.
_KINDS = frozenset((2001, 2002, 2004, 2005, 2006, 2007, 2012, 2013))


class MongoDb(DatabaseRoom[bytes]):
    """One client's connection. A message that is empty is a request of HTTP's."""

    name: ClassVar[str] = "mongodb"

    __slots__ = ("_collections", "_cursors", "_number", "_reader", "at_s", "login")

    def __init__(self, visit: Visit) -> None:
        super().__init__(visit)
        self._reader = wire.MessageReader(visit.purse)
        self._collections: Collections | None = None
        self._cursors: dict[int, list[Document]] = {}  # what is left of them
        self._number = visit.seed.number("message", 30_000)
        self.at_s = 0.0
        self.login: tuple[str, str, str, str] | None = None  # of SCRAM: mechanism, user, and what both sides said

    @property
    def server(self) -> Server:
        """Who answers."""
        return server_of(self.visit.host)

    @property
    def collections(self) -> Collections:
        """What is stored."""
        if self._collections is None:
            self._collections = Collections(self.visit, self.server, self.at_s)
        return self._collections

    @classmethod
    def claim(cls, first: bytes) -> Claim:
        """A message of a kind that there is."""
        if len(first) < 16:
            return Claim.UNSURE if len(first) < 4 or int.from_bytes(first[:4], "little") < 1 << 16 else Claim.NO
        return Claim.YES if int.from_bytes(first[12:16], "little") in _KINDS else Claim.NO

    def feed(self, data: bytes) -> tuple[bytes, bytes] | None:
        """See `DatabaseRoom`."""
        return (b"", b"") if (self._reader.head + data[:4])[:4] in _METHODS else self._reader.feed(data)

    def left(self) -> Iterator[Keep]:
        """See `DatabaseRoom`."""
        if self._collections is not None:
            yield from self._collections.left()
        if not self.over:
            yield from broken_off(self._reader.held, "message")

    def message(self, message: bytes, at_s: float) -> Iterator[Order]:
        """See `DatabaseRoom`."""
        self.at_s = at_s
        if message:
            yield from self._asked(wire.message_of(message))
        else:
            yield Send(_OVER_HTTP)
            yield from self.hang_up()

    def _asked(self, message: wire.Message) -> Iterator[Order]:
        body = message.body
        if message.kind == wire.MSG or (message.kind == wire.QUERY and message.name.endswith(".$cmd")):
            if message.kind == wire.QUERY and isinstance(body.get("$query"), dict):
                body = body["$query"]
            database = body.get("$db") if message.kind == wire.MSG else message.name.removesuffix(".$cmd")
            answer = yield from self._command(str(database or "test")[:64], {**body, **message.documents})
            if message.wants_answer:
                yield from self._send(wire.answer(message, [answer], self._next()))
        else:
            yield from self._of_before(message)

    def _command(self, database: str, body: Document) -> Generator[Order, None, Document]:
        """Carry out a command. What no room is left for is told as an error."""
        name = next(iter(body), "")
        step = COMMANDS.get(name.lower())
        if name.lower() not in UNSTATED or "client" in body:
            listed = {
                key: value
                for key, value in body.items()
                if key not in ("$db", "lsid", "$readPreference", "$clusterTime")
            }
            yield Saw(CommandEntered(clipped(f"{database}: {shown(listed, FACT_CHARS_MAX)}", FACT_CHARS_MAX)))
        if step is None:
            return error(59, "CommandNotFound", f"no such command: '{name[:64]}'")
        try:
            return (yield from step(self, database, body))
        except FullError:
            return error(14_031, "OutOfDiskSpace", "not enough disk space")

    def _of_before(self, message: wire.Message) -> Iterator[Order]:
        """Messages of before 3.6: a query of a collection, and changes that are not answered."""
        database, _, name = message.name.partition(".")
        if message.kind == wire.QUERY:
            query = message.body.get("$query", message.body)
            yield Saw(
                CommandEntered(clipped(f"{database}: {{find: '{name[:128]}', filter: {shown(query)}}}", FACT_CHARS_MAX))
            )
            found = [
                one for one in self.collections.find(database, name) if not isinstance(query, dict) or fits(one, query)
            ]
            batch, _ = _fitting(found[max(0, message.skip) :][: abs(message.count) or FIRST_BATCH], None)
            yield from self._send(wire.answer(message, batch, self._next()))
        elif message.kind == wire.OLD_GET_MORE:
            yield from self._send(wire.answer(message, [], self._next()))
        elif message.kind == wire.OLD_INSERT:
            yield from self._command(database, {"insert": name, **message.documents})
        elif message.kind == wire.OLD_DELETE:
            yield from self._command(database, {"delete": name, "deletes": [{"q": message.body, "limit": 0}]})
        elif message.kind == wire.OLD_UPDATE:
            change = next(iter(message.documents.get("updates", [])), {})
            yield from self._command(
                database, {"update": name, "updates": [{"q": message.body, "u": change, "upsert": True}]}
            )

    # --- cursors -------------------------------------------------------------------------------------

    def first_batch(self, documents: list[Document], name: str, options: Any) -> Document:
        """Return the answer that begins a cursor."""
        size = options.get("batchSize") if isinstance(options, dict) else None
        if size is None and isinstance(options, dict) and isinstance(options.get("cursor"), dict):
            size = options["cursor"].get("batchSize")
        wanted = int(size) if isinstance(size, int | float) and 0 <= size < 1 << 31 else FIRST_BATCH
        batch, left = _fitting(documents, wanted)
        number = 0
        if left and not (isinstance(options, dict) and options.get("singleBatch")) and len(self._cursors) < CURSORS_MAX:
            number = 1 + int.from_bytes(self.visit.seed.bytes(f"cursor {self._number} {len(self._cursors)}", 7), "big")
            self._cursors[number] = left
        return {"cursor": {"firstBatch": batch, "id": Long(number), "ns": name}, "ok": 1.0}

    def next_batch(self, number: int, size: int | None) -> tuple[list[Document], int] | None:
        """Return the next documents of a cursor and its number, 0 at its end; None if there is no such cursor."""
        left = self._cursors.pop(number, None)
        if left is None:
            return None
        batch, left = _fitting(left, size)
        if left:
            self._cursors[number] = left
        return batch, number if left else 0

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _send(self, data: bytes) -> Iterator[Order]:
        yield Send(data)


def _fitting(documents: list[Document], count: int | None) -> tuple[list[Document], list[Document]]:
    """Return the documents that go into one answer, and those that are left; one that is too large is left out."""
    batch: list[Document] = []
    size = 0
    for at, document in enumerate(documents):
        if count is not None and len(batch) >= count:
            return batch, documents[at:]
        encoded = len(encode(document))
        if encoded > BATCH_BYTES_MAX:
            continue
        if size + encoded > BATCH_BYTES_MAX:
            return batch, documents[at:]
        batch.append(document)
        size += encoded
    return batch, []
