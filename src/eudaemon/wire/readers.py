"""Readers that are fed in any pieces and give back whole things, within a limit."""

from __future__ import annotations

from collections.abc import Iterator

from eudaemon.wire.faults import PeerError


class ByteReader:
    """A buffer of at most `bytes_max` unread bytes."""

    __slots__ = ("_buffer", "bytes_max")

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self._buffer = b""

    def __len__(self) -> int:
        return len(self._buffer)

    def feed(self, data: bytes) -> None:
        """Add bytes. Raises `PeerError` past the limit."""
        if len(self._buffer) + len(data) > self.bytes_max:
            raise PeerError(f"more than {self.bytes_max} bytes unread")
        self._buffer = self._buffer + data if self._buffer else data

    def peek(self) -> bytes:
        """Return all unread bytes and leave them."""
        return self._buffer

    def take(self, count: int) -> bytes | None:
        """Return exactly `count` bytes, or None while there are fewer."""
        if len(self._buffer) < count:
            return None
        data, self._buffer = self._buffer[:count], self._buffer[count:]
        return data

    def take_all(self) -> bytes:
        """Return all unread bytes."""
        data, self._buffer = self._buffer, b""
        return data

    def take_through(self, mark: bytes) -> bytes | None:
        """Return the bytes up to and including `mark`, or None while it has not come."""
        end = self._buffer.find(mark)
        return None if end < 0 else self.take(end + len(mark))


class LineReader:
    """Lines ended by LF, CR LF, CR NUL or a lone CR, as terminals and bots send them, in any pieces.

    A lone CR ends its line at once; an LF or NUL right after it is swallowed, also when it comes later.
    """

    __slots__ = ("_after_cr", "_buffer", "line_bytes_max")

    def __init__(self, line_bytes_max: int) -> None:
        self.line_bytes_max = line_bytes_max
        self._buffer = b""
        self._after_cr = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Add bytes; yield the lines that are now whole, without their ends. To be gone through at once.

        Raises `PeerError` for a line over `line_bytes_max`, behind those before it: in what pieces they came makes no
        difference.
        """
        if self._after_cr and data:
            self._after_cr = False
            if data[0] in b"\n\0":
                data = data[1:]
        if b"\r" in data:
            self._after_cr = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r\0", b"\n").replace(b"\r", b"\n")
        if b"\n" in data:
            *lines, self._buffer = (self._buffer + data).split(b"\n")
            for line in lines:
                self._check(line)
                yield line
        else:
            self._buffer += data
        self._check(self._buffer)

    def unfinished(self) -> bytes:
        """Return the start of a line that has no end yet."""
        return self._buffer

    def _check(self, line: bytes) -> None:
        if len(line) > self.line_bytes_max:
            raise PeerError(f"line over {self.line_bytes_max} bytes")
