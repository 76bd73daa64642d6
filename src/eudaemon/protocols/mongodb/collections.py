"""What one session sees in the databases: the firm's documents, and what it inserts, changes and drops.

What is inserted is taken from the purse. What an address has dropped, and a few notes that it left, are remembered for
its next connection: who ransoms looks whether the note is there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from eudaemon.protocols._base import Keep, Visit
from eudaemon.protocols.mongodb.bson import Date, Document, Long, ObjectId, Raw, document_at, encode
from eudaemon.protocols.mongodb.server import Server
from eudaemon.wire import PeerError, Purse, printable

DOCUMENTS_MAX = 20_000  # that one session stores
COLLECTIONS_MAX = 512  # that one session makes
TEXT_CHARS_MAX = 4096  # of a text that stands in the event of its document; one that is longer is kept
KEPT_MAX = 64
NOTES_MAX = 8  # that are remembered of an address
_NOTE_BYTES_MAX = 4096
_DOCUMENT_BYTES = 256  # what one costs besides its size
_SERVICE = "mongodb"
_IDS = (3, 4, 5)  # kinds of binary values that are a UUID or an MD5: BSON's specification, subtypes
# A script; a program for Windows, Linux, or gzip's, in base64 or hexadecimal.
_BEGINS_PROGRAM = re.compile(r"\s*(?:#!|(?i:<\?php)|<%|TV[opqr]|f0VM|H4sI|(?i:4d5a[0-9a-f]{8}|7f454c46))")


class FullError(Exception):
    """There is no room for more."""


class Collections:
    """The databases, each with its collections."""

    __slots__ = ("_costs", "_dropped", "_files", "_made", "_notes", "_visit", "databases")

    def __init__(self, visit: Visit, server: Server, at_s: float) -> None:
        self._visit = visit
        self.databases = {
            name: {collection: list(documents) for collection, documents in collections.items()}
            for name, collections in server.databases.items()
        }
        self.databases["local"]["startup_log"] = server.startup_log(at_s)
        self._costs: dict[int, int] = {}  # of the session's own documents, by identity
        self._made = 0
        self._files: set[bytes] = set()  # of GridFS, that are kept
        self._dropped: list[str] = []
        self._notes: list[Document] = []
        self._recall()

    @property
    def purse(self) -> Purse:
        """What the session may hold."""
        return self._visit.purse

    def find(self, database: str, collection: str) -> list[Document]:
        """Return a collection's documents, none if it is not there."""
        return self.databases.get(database, {}).get(collection, [])

    def make(self, database: str, collection: str) -> bool:
        """Make a collection; say whether it is new. Raises `FullError`."""
        if collection in self.databases.get(database, {}):
            return False
        if self._made >= COLLECTIONS_MAX or not self.purse.take(_DOCUMENT_BYTES + len(database) + len(collection)):
            raise FullError
        self._made += 1
        self.databases.setdefault(database, {})[collection] = []
        return True

    def insert(self, database: str, collection: str, document: Document) -> None:
        """Store a document. Raises `FullError`."""
        cost = _DOCUMENT_BYTES + len(encode(document))
        self.make(database, collection)
        if len(self._costs) >= DOCUMENTS_MAX or not self.purse.take(cost):
            raise FullError
        if "_id" not in document:
            count = len(self._costs).to_bytes(4, "big")
            document = {"_id": ObjectId(self._visit.seed.bytes("object", 8) + count), **document}
        self._costs[id(document)] = cost
        self.databases[database][collection].append(document)

    def remove(self, database: str, collection: str, documents: list[Document]) -> None:
        """Remove documents."""
        gone = {id(document) for document in documents}
        kept = [document for document in self.find(database, collection) if id(document) not in gone]
        for document in documents:
            self.purse.give_back(self._costs.pop(id(document), 0))
        if collection in self.databases.get(database, {}):
            self.databases[database][collection] = kept

    def change(self, database: str, collection: str, document: Document, new: Document) -> None:
        """Put a document in the place of another. Raises `FullError`."""
        place = self.find(database, collection)
        at = next((at for at, one in enumerate(place) if one is document), None)
        if at is None:
            return
        cost = _DOCUMENT_BYTES + len(encode(new))
        self.purse.give_back(self._costs.pop(id(document), 0))
        if len(self._costs) >= DOCUMENTS_MAX or not self.purse.take(cost):
            raise FullError
        self._costs[id(new)] = cost
        place[at] = new

    def drop(self, database: str, collection: str) -> bool:
        """Remove a collection; say whether it was there."""
        if collection not in self.databases.get(database, {}):
            return False
        self.remove(database, collection, self.find(database, collection))
        del self.databases[database][collection]
        self._remember(f"{database}.{collection}")
        return True

    def drop_database(self, database: str) -> None:
        """Remove a database."""
        for collection in list(self.databases.get(database, {})):
            self.remove(database, collection, self.find(database, collection))
        self.databases.pop(database, None)
        self._remember(database)

    # --- what an address left ------------------------------------------------------------------------

    @property
    def has_dropped(self) -> bool:
        """Whether this address has dropped something, now or before."""
        return bool(self._dropped)

    def note(self, database: str, collection: str, document: Document) -> None:
        """Remember a note that was left."""
        if len(self._notes) < NOTES_MAX and len(encode(document)) <= _NOTE_BYTES_MAX:
            self._notes.append({"d": database, "c": collection, "o": document})
            self._write()

    def emptied(self, name: str) -> None:
        """Note that a collection lost all of its documents at once."""
        if name not in self._dropped and len(self._dropped) < 64:
            self._dropped.append(name[:256])

    def _remember(self, dropped: str) -> None:
        if dropped not in self._dropped and len(self._dropped) < 64:
            self._dropped.append(dropped[:256])
        self._notes = [note for note in self._notes if not f"{note['d']}.{note['c']}.".startswith(dropped + ".")]
        self._write()

    def _write(self) -> None:
        left = encode({"dropped": self._dropped, "notes": self._notes})
        self._visit.memory.remember(_SERVICE, self._visit.attacker.ip, left)

    def _recall(self) -> None:
        left = self._visit.memory.recall(_SERVICE, self._visit.attacker.ip)
        if not left:
            return
        found, _ = document_at(left, 0)
        for name in found["dropped"]:
            database, _, collection = name.partition(".")
            if collection:
                self.databases.get(database, {}).pop(collection, None)
            else:
                self.databases.pop(database, None)
        self._dropped = list(found["dropped"])
        self._notes = list(found["notes"])
        for note in self._notes:
            self.databases.setdefault(note["d"], {}).setdefault(note["c"], []).append(note["o"])

    # --- what is kept --------------------------------------------------------------------------------

    def grid_file(self, database: str, collection: str, document: Document) -> Iterator[Keep]:
        """Yield the file of GridFS that is whole now that its entry has come."""
        chunks = collection.removesuffix(".files") + ".chunks"
        parts = [one for one in self.find(database, chunks) if one.get("files_id") == document.get("_id")]
        parts.sort(key=lambda one: number if isinstance(number := one.get("n"), int) else 0)
        data = b"".join(part for one in parts if (part := binary_of(one.get("data"))) is not None)
        self._files |= {
            part
            for one in parts
            if (part := binary_of(one.get("data"))) is not None and len(self._files) < DOCUMENTS_MAX
        }
        name = document.get("filename")
        yield Keep(data, "upload", printable(str(name or f"{database}.{collection}").encode(), 1024))

    def left(self) -> Iterator[Keep]:
        """Yield the payloads that were inserted and are no part of a file that is kept, each once."""
        kept: set[bytes] = set()
        for database, collections in self.databases.items():
            for collection, documents in collections.items():
                for document in documents if self._costs else ():
                    for data in payloads_in(document) if id(document) in self._costs else ():
                        if data in self._files or data in kept:
                            continue
                        if len(kept) >= KEPT_MAX:
                            return
                        kept.add(data)
                        yield Keep(data, "upload", printable(f"{database}.{collection}".encode(), 256))


def payloads_in(value: Any) -> Iterator[bytes]:
    """Yield what in a value no event tells: binary values other than ids, programs, and texts that are too long."""
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from payloads_in(inner)
    elif isinstance(value, str):
        if len(value) > TEXT_CHARS_MAX or _BEGINS_PROGRAM.match(value):
            yield value.encode("utf-8", "surrogateescape")
    elif (data := binary_of(value)) and not (isinstance(value, Raw) and value.data[4] in _IDS and len(data) == 16):
        yield data


def binary_of(value: Any) -> bytes | None:
    """Return a binary value's bytes, None if it is none."""
    if isinstance(value, Raw) and value.tag == 0x05:
        return value.data[5:]
    return value if isinstance(value, bytes) else None


# --- queries ---------------------------------------------------------------------------------------------


def fits(document: Document, query: Document) -> bool:
    """Say whether a document is what a query asks for. Operators that are not known here ask for nothing."""
    for name, wanted in query.items():
        if name == "$and" and isinstance(wanted, list):
            if not all(fits(document, one) for one in wanted if isinstance(one, dict)):
                return False
        elif name == "$or" and isinstance(wanted, list):
            if not any(fits(document, one) for one in wanted if isinstance(one, dict)):
                return False
        elif not name.startswith("$") and not _value_fits(document.get(name), wanted, name in document):
            return False
    return True


def _value_fits(value: Any, wanted: Any, is_there: bool) -> bool:
    if not isinstance(wanted, dict) or not any(name.startswith("$") for name in wanted):
        return bool(value == wanted)
    for operator, operand in wanted.items():
        test = _OPERATORS.get(operator)
        if test is not None and not test(value, operand, is_there):
            return False
    return True


def _ordered(value: Any, operand: Any) -> int | None:
    """Return how two values are ordered, None where they are not."""
    a, b = _comparable(value), _comparable(operand)
    same_kind = type(a) is type(b) and isinstance(a, str | bytes)
    if not same_kind and not (isinstance(a, int | float) and isinstance(b, int | float)):
        return None
    return 1 if a > b else -1 if a < b else 0


def _comparable(value: Any) -> Any:
    return value.ms if isinstance(value, Date) else value.raw if isinstance(value, ObjectId) else value


_OPERATORS: dict[str, Callable[[Any, Any, bool], bool]] = {
    "$eq": lambda value, operand, _: value == operand, "$ne": lambda value, operand, _: value != operand,
    "$gt": lambda value, operand, _: _ordered(value, operand) == 1,
    "$gte": lambda value, operand, _: _ordered(value, operand) in (0, 1),
    "$lt": lambda value, operand, _: _ordered(value, operand) == -1,
    "$lte": lambda value, operand, _: _ordered(value, operand) in (0, -1),
    "$in": lambda value, operand, _: isinstance(operand, list) and value in operand,
    "$nin": lambda value, operand, _: not (isinstance(operand, list) and value in operand),
    "$exists": lambda _, operand, there: there is bool(operand),
}  # fmt: skip


def updated(document: Document, update: Document) -> Document:
    """Return a document as an update makes it. Raises `PeerError`."""
    if not any(name.startswith("$") for name in update):
        return {"_id": document.get("_id"), **{name: value for name, value in update.items() if name != "_id"}}
    new = dict(document)
    for operator, change in update.items():
        if not isinstance(change, dict):
            raise PeerError("an update that is none")
        for name, value in change.items():
            before = new.get(name)
            if operator == "$unset":
                new.pop(name, None)
            elif operator == "$inc" and isinstance(value, int | float) and isinstance(before, int | float | None):
                total = (before or 0) + value
                new[name] = Long(total) if isinstance(total, int) and abs(total) < 1 << 63 else float(total)
            elif operator in ("$push", "$addToSet"):
                new[name] = [*(before if isinstance(before, list) else []), value]
            elif operator in ("$set", "$setOnInsert"):
                new[name] = value
    return new
