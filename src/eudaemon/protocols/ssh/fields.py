"""The data types of SSH's messages, RFC 4251 section 5, and the numbers of the messages, RFC 4250 section 4.1.

boolean   u8                      string     u32 length, bytes
uint32    u32, big-endian         mpint      string of a two's complement number, big-endian
uint64    u64, big-endian         name-list  string of names with commas between
"""

from __future__ import annotations

from collections.abc import Iterable

from eudaemon.wire import PeerError

# RFC 4253, 4252, 4256, 4254, 8308
DISCONNECT, IGNORE, UNIMPLEMENTED, DEBUG, SERVICE_REQUEST, SERVICE_ACCEPT, EXT_INFO = 1, 2, 3, 4, 5, 6, 7
KEXINIT, NEWKEYS = 20, 21
KEX_FIRST, KEX_LAST = 30, 49  # what a method of key exchange says
USERAUTH_REQUEST, USERAUTH_FAILURE, USERAUTH_SUCCESS = 50, 51, 52
USERAUTH_INFO_REQUEST, USERAUTH_INFO_RESPONSE = 60, 61
GLOBAL_REQUEST, REQUEST_SUCCESS, REQUEST_FAILURE = 80, 81, 82
CHANNEL_OPEN, CHANNEL_OPEN_CONFIRMATION, CHANNEL_OPEN_FAILURE = 90, 91, 92
CHANNEL_WINDOW_ADJUST, CHANNEL_DATA, CHANNEL_EXTENDED_DATA = 93, 94, 95
CHANNEL_EOF, CHANNEL_CLOSE, CHANNEL_REQUEST, CHANNEL_SUCCESS, CHANNEL_FAILURE = 96, 97, 98, 99, 100


class Fields:
    """Reads the fields of one message, one after the other. Raises `PeerError` where it ends too early."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes, at: int = 0) -> None:
        self._data = data
        self._at = at

    def take(self, count: int) -> bytes:
        """Return the next `count` bytes."""
        end = self._at + count
        if end > len(self._data):
            raise PeerError("an SSH message that is shorter than it says")
        found = self._data[self._at : end]
        self._at = end
        return found

    def byte(self) -> int:
        """Return a byte."""
        return self.take(1)[0]

    def flag(self) -> bool:
        """Return a boolean."""
        return self.take(1) != b"\0"

    def number(self) -> int:
        """Return a uint32."""
        return int.from_bytes(self.take(4), "big")

    def long(self) -> int:
        """Return a uint64."""
        return int.from_bytes(self.take(8), "big")

    def string(self) -> bytes:
        """Return a string."""
        return self.take(self.number())

    def integer(self) -> int:
        """Return an mpint."""
        return int.from_bytes(self.string(), "big", signed=True)

    def names(self) -> tuple[str, ...]:
        """Return a name-list."""
        text = self.string().decode("latin-1")
        return tuple(text.split(",")) if text else ()

    def rest(self) -> bytes:
        """Return what was not read."""
        return self.take(len(self._data) - self._at)

    def __len__(self) -> int:
        return len(self._data) - self._at


def number(value: int) -> bytes:
    """Return a uint32."""
    return value.to_bytes(4, "big")


def string(data: bytes) -> bytes:
    """Return a string."""
    return len(data).to_bytes(4, "big") + data


def integer(value: int) -> bytes:
    """Return an mpint; `value` is not negative."""
    return string(value.to_bytes(value.bit_length() // 8 + 1, "big") if value else b"")


def names(values: Iterable[str]) -> bytes:
    """Return a name-list."""
    return string(",".join(values).encode("latin-1"))


def message(kind: int, *fields: bytes) -> bytes:
    """Return a message of fields that are encoded already."""
    return bytes((kind,)) + b"".join(fields)
