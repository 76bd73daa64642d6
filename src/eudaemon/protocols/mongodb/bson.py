"""BSON (bsonspec.org): documents to and from values, within limits.

A document is a dict in order. What Python has no type for is one of those here; what is rarer still is kept as it came.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from eudaemon.wire import PeerError, printable

Document: TypeAlias = "dict[str, Any]"
DEPTH_MAX = 32
ELEMENTS_MAX = 100_000  # of one document, with all that is in it


@dataclass(frozen=True, slots=True)
class ObjectId:
    """Twelve bytes that identify a document."""

    raw: bytes


@dataclass(frozen=True, slots=True)
class Date:
    """A time, milliseconds since the epoch."""

    ms: int


class Long(int):
    """An integer of 64 bits, also where 32 would do."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Raw:
    """A value of another type, as it came: regular expressions, code, timestamps, decimals."""

    tag: int
    data: bytes


_FIXED = {0x11: 8, 0x13: 16, 0xFF: 0, 0x7F: 0, 0x06: 0}  # timestamp, decimal, the least, the greatest, undefined


class _Reader:
    """Goes through one document."""

    __slots__ = ("at", "data", "elements")

    def __init__(self, data: bytes, at: int) -> None:
        self.data = data
        self.at = at
        self.elements = 0

    def document(self, depth: int, *, array: bool = False) -> Any:
        if depth > DEPTH_MAX:
            raise PeerError(f"documents more than {DEPTH_MAX} deep")
        (size,) = struct.unpack_from("<i", self.data, self.at)
        end = self.at + size
        if size < 5 or end > len(self.data) or self.data[end - 1] != 0:
            raise PeerError("a document of a wrong length")
        self.at += 4
        found: list[tuple[str, Any]] = []
        while self.data[self.at] != 0:
            self.elements += 1
            if self.elements > ELEMENTS_MAX:
                raise PeerError(f"more than {ELEMENTS_MAX} elements in one document")
            tag = self.data[self.at]
            self.at += 1
            name = self._name()
            found.append((name, self._value(tag, depth)))
        if self.at != end - 1:
            raise PeerError("a document of a wrong length")
        self.at = end
        return [value for _, value in found] if array else dict(found)

    def _name(self) -> str:
        end = self.data.index(b"\0", self.at)
        name = self.data[self.at : end].decode("utf-8", "backslashreplace")
        self.at = end + 1
        return name

    def _take(self, count: int) -> bytes:
        part = self.data[self.at : self.at + count]
        if count < 0 or len(part) < count:
            raise PeerError("a value that goes beyond its document")
        self.at += count
        return part

    def _value(self, tag: int, depth: int) -> Any:
        if tag in (0x03, 0x04):
            return self.document(depth + 1, array=tag == 0x04)
        read = _READ.get(tag)
        if read is not None:
            return read(self)
        if tag not in _FIXED:
            raise PeerError(f"a value of type {tag}")
        return Raw(tag, self._take(_FIXED[tag]))

    def _sized(self) -> bytes:
        (size,) = struct.unpack("<i", self._take(4))
        return self._take(size)

    def _text(self) -> str:
        return self._sized()[:-1].decode("utf-8", "backslashreplace")

    def _code(self) -> Raw:
        text = self._sized()
        return Raw(0x0D, struct.pack("<i", len(text)) + text)

    def _binary(self) -> Any:
        (size,) = struct.unpack("<i", self._take(4))
        kind = self._take(1)[0]
        data = self._take(size)
        return data if kind == 0 else Raw(0x05, struct.pack("<iB", size, kind) + data)

    def _pattern(self) -> Raw:
        start = self.at
        self._name()
        self._name()
        return Raw(0x0B, self.data[start : self.at])

    def _scoped(self) -> Raw:
        (size,) = struct.unpack_from("<i", self.data, self.at)
        return Raw(0x0F, self._take(size))


_READ: dict[int, Callable[[_Reader], Any]] = {
    0x01: lambda reader: struct.unpack("<d", reader._take(8))[0], 0x02: _Reader._text, 0x05: _Reader._binary,
    0x07: lambda reader: ObjectId(reader._take(12)), 0x08: lambda reader: reader._take(1) == b"\1",
    0x09: lambda reader: Date(struct.unpack("<q", reader._take(8))[0]), 0x0A: lambda _: None, 0x0B: _Reader._pattern,
    0x0D: _Reader._code, 0x0E: _Reader._code, 0x0F: _Reader._scoped,
    0x10: lambda reader: struct.unpack("<i", reader._take(4))[0],
    0x12: lambda reader: Long(struct.unpack("<q", reader._take(8))[0]),
}  # fmt: skip


def document_at(data: bytes, at: int) -> tuple[Document, int]:
    """Return the document that begins there, and where it ends. Raises `PeerError`."""
    reader = _Reader(data, at)
    try:
        found: Document = reader.document(0)
    except (struct.error, IndexError, ValueError):
        raise PeerError("a document that is none") from None
    return found, reader.at


def encode(document: Document) -> bytes:
    """Return a document as it is sent."""
    body = b"".join(_element(name, value) for name, value in document.items())
    return struct.pack("<i", len(body) + 5) + body + b"\0"


def _element(name: str, value: Any) -> bytes:
    tag, data = _encoded(value)
    return bytes((tag,)) + name.replace("\0", "").encode("utf-8", "surrogatepass") + b"\0" + data


def _encoded(value: Any) -> tuple[int, bytes]:
    match value:
        case bool():
            return 0x08, b"\1" if value else b"\0"
        case Long():
            return 0x12, struct.pack("<q", value)
        case int():
            return (
                (0x10, struct.pack("<i", value)) if -(1 << 31) <= value < 1 << 31 else (0x12, struct.pack("<q", value))
            )
        case float():
            return 0x01, struct.pack("<d", value)
        case str():
            text = value.encode("utf-8", "surrogatepass")
            return 0x02, struct.pack("<i", len(text) + 1) + text + b"\0"
        case bytes():
            return 0x05, struct.pack("<iB", len(value), 0) + value
        case dict():
            return 0x03, encode(value)
        case list():
            return 0x04, encode({str(at): one for at, one in enumerate(value)})
        case ObjectId(raw):
            return 0x07, raw
        case Date(ms):
            return 0x09, struct.pack("<q", ms)
        case Raw(tag, data):
            return tag, data
    return 0x0A, b""


def shown(value: Any, chars_max: int = 4096) -> str:
    """Return a value as a person would write it, cut at the limit."""
    match value:
        case dict():
            parts, size = [], 0
            for name, one in value.items():
                parts.append(f"{name}: {shown(one, chars_max)}")
                size += len(parts[-1])
                if size > chars_max:
                    break
            text = "{" + ", ".join(parts) + "}"
        case list():
            text = (
                "[" + ", ".join(shown(one, chars_max) for one in value[:64]) + (", …" if len(value) > 64 else "") + "]"
            )
        case bytes():
            text = f"BinData({len(value)} bytes)"
        case ObjectId(raw):
            text = f"ObjectId('{raw.hex()}')"
        case Date(ms):
            text = f"Date({ms})"
        case Raw(0x05, data):
            text = f"BinData({len(data) - 5} bytes)"
        case Raw(tag, data):
            text = printable(data[4:-1] if tag in (0x0D, 0x0E) else data, chars_max)
        case str():
            text = f"'{printable(value.encode('utf-8', 'surrogatepass'), chars_max)}'"
        case bool() | None:
            text = {True: "true", False: "false"}.get(value, "null") if value is not None else "null"
        case _:
            text = str(value)
    return text[:chars_max]
