"""A packet's fields, read one after the other."""

from __future__ import annotations

from eudaemon.wire import PeerError


class Fields:
    """The data of a request. Raises `PeerError` where it ends too early."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> bytes:
        """Return so many bytes."""
        if self._at + count > len(self._data):
            raise PeerError("a packet that ends too early")
        taken = self._data[self._at : self._at + count]
        self._at += count
        return taken

    def rest(self) -> bytes:
        """Return what is left."""
        return self.take(len(self._data) - self._at)

    def number(self, size: int = 4) -> int:
        """Return a number without a sign."""
        return int.from_bytes(self.take(size), "big")

    def identity(self) -> int:
        """Return the number of an object, a thread or a class."""
        return self.number(8)

    def text(self) -> bytes:
        """Return a text behind its length."""
        return self.take(self.number())
