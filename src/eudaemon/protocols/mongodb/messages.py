"""MongoDB's wire protocol: messages of today (OP_MSG) and of before (OP_QUERY, OP_INSERT and their like).

length (4, with these sixteen)  number (4)  answer to (4)  kind (4)        little-endian
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from eudaemon.protocols.mongodb.bson import Document, document_at, encode
from eudaemon.wire import PeerError, Purse

MESSAGE_BYTES_MAX = 17 * 1024 * 1024  # a document of the largest size, and what is around it
DOCUMENTS_MAX = 100_000  # of one message
REPLY, OLD_UPDATE, OLD_INSERT, QUERY, OLD_GET_MORE, OLD_DELETE, OLD_KILL, COMPRESSED, MSG = (
    1, 2001, 2002, 2004, 2005, 2006, 2007, 2012, 2013,
)  # fmt: skip
KINDS = frozenset((OLD_UPDATE, OLD_INSERT, QUERY, OLD_GET_MORE, OLD_DELETE, OLD_KILL, COMPRESSED, MSG))
_HEAD = struct.Struct("<iiii")
_CHECKSUM, _MORE_TO_COME = 1, 2


@dataclass(frozen=True, slots=True)
class Message:
    """One message. `body` is the command or the query; `documents` are those that come beside it, by their name."""

    number: int
    kind: int
    body: Document
    documents: dict[str, list[Document]] = field(default_factory=dict)
    name: str = ""  # of the collection, in messages of before
    skip: int = 0
    count: int = 0
    wants_answer: bool = True


class MessageReader:
    """Takes bytes in any pieces, gives messages. What it holds, it takes from the purse."""

    __slots__ = ("_body", "_left", "_purse")

    def __init__(self, purse: Purse) -> None:
        self._purse = purse
        self._body = bytearray()
        self._left = 0  # of the message that is being read, once its length is known

    @property
    def head(self) -> bytes:
        """What has come of a message that is not whole, at most sixteen bytes of it."""
        return bytes(self._body[: _HEAD.size])

    @property
    def held(self) -> bytearray:
        """What came of a message that is not whole."""
        return self._body

    def feed(self, data: bytes) -> tuple[bytes, bytes] | None:
        """Add bytes; return a whole message and what is left of the bytes. Raises `PeerError` past a limit."""
        at = 0
        if not self._left:
            at = min(len(data), _HEAD.size - len(self._body))
            self._add(data[:at])
            if len(self._body) < _HEAD.size:
                return None
            length, _, _, kind = _HEAD.unpack_from(self._body)
            if kind not in KINDS or not _HEAD.size <= length <= MESSAGE_BYTES_MAX:
                raise PeerError(f"a message of kind {kind} and {length} bytes")
            self._left = length - _HEAD.size
        part = data[at : at + self._left]
        self._add(part)
        self._left -= len(part)
        if self._left:
            return None
        whole = bytes(self._body)
        self._purse.give_back(len(whole))
        self._body = bytearray()
        return whole, data[at + len(part) :]

    def _add(self, part: bytes) -> None:
        if not self._purse.take(len(part)):
            raise PeerError("the session holds too many bytes")
        self._body += part


def message_of(data: bytes) -> Message:
    """Read a message. Raises `PeerError`."""
    _, number, _, kind = _HEAD.unpack_from(data)
    try:
        if kind == MSG:
            return _msg(data, number)
        if kind == COMPRESSED:
            raise PeerError("compressed, though that was not agreed on")
        name_end = data.index(b"\0", 20)
        name, at = data[20:name_end].decode("utf-8", "backslashreplace"), name_end + 1
        if kind == QUERY:
            skip, count = struct.unpack_from("<ii", data, at)
            body, _ = document_at(data, at + 8)
            return Message(number, kind, body, name=name, skip=skip, count=count)
        if kind == OLD_INSERT:
            return Message(number, kind, {}, {"documents": _documents(data, at, len(data))}, name, wants_answer=False)
        if kind in (OLD_DELETE, OLD_UPDATE):
            body, at = document_at(data, at + 4)
            others = {"updates": _documents(data, at, len(data))}
            return Message(number, kind, body, others, name, wants_answer=False)
        return Message(number, kind, {}, name=name, wants_answer=kind == OLD_GET_MORE)
    except (struct.error, ValueError):
        raise PeerError("a message that is none") from None


def _msg(data: bytes, number: int) -> Message:
    (flags,) = struct.unpack_from("<I", data, 16)
    at, end = 20, len(data) - (4 if flags & _CHECKSUM else 0)
    body: Document = {}
    others: dict[str, list[Document]] = {}
    while at < end:
        kind = data[at]
        at += 1
        if kind == 0:
            body, at = document_at(data, at)
        elif kind == 1:
            (size,) = struct.unpack_from("<i", data, at)
            stop = at + size
            name_end = data.index(b"\0", at + 4)
            name = data[at + 4 : name_end].decode("utf-8", "backslashreplace")
            if not name_end < stop <= end:
                raise PeerError("a section of a wrong length")
            others[name] = _documents(data, name_end + 1, stop)
            at = stop
        else:
            raise PeerError(f"a section of kind {kind}")
    return Message(number, MSG, body, others, wants_answer=not flags & _MORE_TO_COME)


def _documents(data: bytes, at: int, end: int) -> list[Document]:
    found = []
    while at < end:
        document, at = document_at(data, at)
        found.append(document)
        if len(found) > DOCUMENTS_MAX:
            raise PeerError(f"more than {DOCUMENTS_MAX} documents in one message")
    return found


def answer(to: Message, documents: list[Document], number: int, cursor: int = 0) -> bytes:
    """Return an answer, in the form in which it was asked."""
    if to.kind == MSG:
        body = struct.pack("<IB", 0, 0) + encode(documents[0])
        return _HEAD.pack(_HEAD.size + len(body), number, to.number, MSG) + body
    body = struct.pack("<iqii", 8, cursor, 0, len(documents)) + b"".join(map(encode, documents))
    return _HEAD.pack(_HEAD.size + len(body), number, to.number, REPLY) + body
