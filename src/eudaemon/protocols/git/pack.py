"""Packs (gitformat-pack): where one ends that comes in pieces, which only its objects tell; and one that is made.

PACK | version | count | (size and kind, [base], deflated content)… | SHA-1 of all that
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from typing import Any

from eudaemon.wire import PeerError

OBJECTS_MAX = 100_000
INFLATED_BYTES_MAX = 64 * 1024 * 1024
_AT_ONCE_BYTES = 64 * 1024
_HEAD = struct.Struct(">4sII")
_BY_OFFSET, _BY_NAME = 6, 7  # deltas, and how they name what they are made from
_NAME_BYTES = 20
_HEAD_BYTES_MAX = 10  # of an object's size, and of a base's offset
COMMIT, TREE, BLOB = 1, 2, 3
_KINDS = {COMMIT: b"commit", TREE: b"tree", BLOB: b"blob"}


class PackEnd:
    """Looks for a pack's end. It holds no more of it than the head of an object."""

    __slots__ = ("_buffer", "_inflated", "_inflater", "_left")

    def __init__(self) -> None:
        self._buffer = b""
        self._left: int | None = None  # objects still to come; None before the pack's own head
        self._inflated = 0
        self._inflater: Any = None  # of the content that comes

    def feed(self, data: bytes) -> bytes | None:
        """Hear more; return what follows the pack once it is whole, None before. Raises `PeerError` for no pack."""
        while True:
            if self._inflater is not None:
                rest = self._content(data)
                if rest is None:
                    return None
                data = rest
            self._buffer += data
            if self._left == 0:
                return self._buffer[_NAME_BYTES:] if len(self._buffer) >= _NAME_BYTES else None
            used = self._begun() if self._left is None else self._object()
            if not used:
                return None
            data, self._buffer = self._buffer[used:], b""

    def _begun(self) -> int:
        if len(self._buffer) < _HEAD.size:
            return 0
        mark, version, count = _HEAD.unpack_from(self._buffer)
        if mark != b"PACK" or version not in (2, 3):
            raise PeerError("git: no pack")
        if count > OBJECTS_MAX:
            raise PeerError(f"git: a pack of more than {OBJECTS_MAX} objects")
        self._left = count
        return _HEAD.size

    def _object(self) -> int:
        """Return how many bytes an object's head takes, 0 if it is not all there."""
        size = _number_bytes(self._buffer)
        kind = self._buffer[0] >> 4 & 7 if self._buffer else 0
        if size and kind == _BY_OFFSET:
            more = _number_bytes(self._buffer[size:])
            size = size + more if more else 0
        elif size and kind == _BY_NAME:
            size = size + _NAME_BYTES if len(self._buffer) >= size + _NAME_BYTES else 0
        if size:
            self._inflater = zlib.decompressobj()
        return size

    def _content(self, data: bytes) -> bytes | None:
        """Inflate; return what follows the content once it is over, None before."""
        while True:
            try:
                self._inflated += len(self._inflater.decompress(data, _AT_ONCE_BYTES))
            except zlib.error as error:
                raise PeerError(f"git: a pack's object does not inflate: {error}") from None
            if self._inflated > INFLATED_BYTES_MAX:
                raise PeerError(f"git: a pack of more than {INFLATED_BYTES_MAX} bytes, inflated")
            if self._inflater.eof:
                rest: bytes = self._inflater.unused_data
                self._inflater, self._left = None, (self._left or 1) - 1
                return rest
            data = self._inflater.unconsumed_tail
            if not data:
                return None


def _number_bytes(data: bytes) -> int:
    """Return how many bytes the number takes that begins here, of which all but the last have their top bit set."""
    for at, byte in enumerate(data[:_HEAD_BYTES_MAX]):
        if not byte & 0x80:
            return at + 1
    if len(data) >= _HEAD_BYTES_MAX:
        raise PeerError("git: a number of too many bytes in a pack")
    return 0


def named(kind: int, content: bytes) -> bytes:
    """Return an object's name, its SHA-1."""
    return hashlib.sha1(b"%s %d\0" % (_KINDS[kind], len(content)) + content, usedforsecurity=False).digest()


def made(objects: list[tuple[int, bytes]]) -> bytes:
    """Return a pack of these objects."""
    out = _HEAD.pack(b"PACK", 2, len(objects))
    for kind, content in objects:
        size = len(content)
        head = bytearray((kind << 4 | size & 0x0F,))
        size >>= 4
        while size:
            head[-1] |= 0x80
            head.append(size & 0x7F)
            size >>= 7
        out += bytes(head) + zlib.compress(content)
    return out + hashlib.sha1(out, usedforsecurity=False).digest()
