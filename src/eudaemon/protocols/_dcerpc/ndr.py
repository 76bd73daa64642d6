"""NDR, the transfer syntax of DCE/RPC (C706 chapter 14): what stubs are made of. Reads either byte order, writes
little.

conformant varying string      max count u32 | offset u32 | count u32 | characters
unique pointer                 reference u32, zero for none; what it points at follows
"""

from __future__ import annotations

import struct

from eudaemon.wire import PeerError

STRING_CHARS_MAX = 64 * 1024
HANDLE_BYTES = 20


class Reader:
    """Reads a stub from its start. Raises `PeerError` where it breaks off."""

    __slots__ = ("_at", "_data", "_order", "is_little")

    def __init__(self, data: bytes, *, is_little: bool = True) -> None:
        self._data = data
        self._at = 0
        self.is_little = is_little
        self._order = "<" if is_little else ">"

    def take(self, count: int) -> bytes:
        """Return so many bytes."""
        if count > len(self._data) - self._at:
            raise PeerError("a stub that breaks off")
        data = self._data[self._at : self._at + count]
        self._at += count
        return data

    def rest(self) -> bytes:
        """Return what was not read."""
        return self._data[self._at :]

    def align(self, size: int) -> None:
        """Go on to the next multiple of a size; beyond the end there is nothing to read anyway."""
        self._at += -self._at % size

    def short(self) -> int:
        """Return an unsigned short."""
        self.align(2)
        return int(struct.unpack(self._order + "H", self.take(2))[0])

    def long(self) -> int:
        """Return an unsigned long: 32 bits."""
        self.align(4)
        return int(struct.unpack(self._order + "I", self.take(4))[0])

    def pointer(self) -> bool:
        """Read a unique pointer; say whether it points at something, which is to be read later."""
        return bool(self.long())

    def handle(self) -> bytes:
        """Return a context handle."""
        self.align(4)
        return self.take(HANDLE_BYTES)

    def array(self) -> bytes:
        """Return a conformant array of bytes."""
        return self.take(self.long())

    def wide(self) -> str:
        """Return a conformant varying string of UTF-16, without its NUL."""
        data = self._characters(2)
        return data.decode("utf-16-le" if self._order == "<" else "utf-16-be", "replace").rstrip("\0")

    def narrow(self) -> str:
        """Return a conformant varying string of bytes, without its NUL."""
        return self._characters(1).decode("latin-1").rstrip("\0")

    def maybe_wide(self) -> str:
        """Return a unique pointer's wide string that follows at once, empty for none."""
        return self.wide() if self.pointer() else ""

    def maybe_narrow(self) -> str:
        """Return a unique pointer's narrow string that follows at once, empty for none."""
        return self.narrow() if self.pointer() else ""

    def _characters(self, size: int) -> bytes:
        self.long()
        self.long()
        count = self.long()
        if count > STRING_CHARS_MAX:
            raise PeerError(f"a string of over {STRING_CHARS_MAX} characters")
        return self.take(count * size)


class Writer:
    """Writes a stub. What pointers point at is written after the structure in which they stand, as `deferred` says."""

    __slots__ = ("_deferred", "_out", "_references")

    def __init__(self) -> None:
        self._out = bytearray()
        self._references = 0
        self._deferred: list[str] = []

    @property
    def data(self) -> bytes:
        """What was written."""
        return bytes(self._out)

    def put(self, data: bytes) -> Writer:
        """Write bytes as they are."""
        self._out += data
        return self

    def align(self, size: int = 4) -> Writer:
        """Fill up to a multiple of a size."""
        self._out += bytes(-len(self._out) % size)
        return self

    def short(self, *values: int) -> Writer:
        """Write unsigned shorts."""
        self.align(2)
        self._out += struct.pack(f"<{len(values)}H", *values)
        return self

    def long(self, *values: int) -> Writer:
        """Write unsigned longs: 32 bits each."""
        self.align(4)
        self._out += struct.pack(f"<{len(values)}I", *values)
        return self

    def pointer(self, *, is_there: bool = True) -> Writer:
        """Write a unique pointer; what it points at is the caller's to write."""
        self._references += 4
        return self.long(0x20000 + self._references if is_there else 0)

    def text(self, value: str) -> Writer:
        """Write a pointer to a wide string, which `deferred` writes."""
        self._deferred.append(value)
        return self.pointer()

    def wide(self, value: str) -> Writer:
        """Write a conformant varying string of UTF-16 with its NUL."""
        count = len(value.encode("utf-16-le")) // 2 + 1
        return self.long(count, 0, count).put(value.encode("utf-16-le") + b"\0\0")

    def deferred(self) -> Writer:
        """Write the strings whose pointers were written."""
        values, self._deferred = self._deferred, []
        for value in values:
            self.wide(value)
        return self
