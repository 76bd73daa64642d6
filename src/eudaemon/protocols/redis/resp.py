r"""The serialisation protocol, version 2: requests as arrays of bulk strings or as a line of words, and replies.

*2\r\n$3\r\nGET\r\n$1\r\nx\r\n        GET x\r\n        SET x "a \x41"\r\n       (redis.io/docs/reference/protocol-spec)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from eudaemon.wire import PeerError, Purse, decode

LINE_BYTES_MAX = 64 * 1024  # PROTO_INLINE_MAX_SIZE
ARGUMENTS_MAX = 1024  # Redis itself allows 1024 times as many
BULK_BYTES_MAX = 16 * 1024 * 1024
REPLY_BYTES_MAX = 17 * 1024 * 1024  # a value of the largest size, and a little
UNREAD_BYTES_MAX = 1024 * 1024  # behind a request that is still being answered

Reply: TypeAlias = "bytes | int | Sequence[Reply] | Status | Failure | None"


class Status(bytes):
    """A simple string: `+OK`."""

    __slots__ = ()


class Failure(bytes):
    """An error: `-ERR …`."""

    __slots__ = ()


OK = Status(b"OK")


class ProtocolError(PeerError):
    """What Redis answers with an error, and then hangs up."""

    @property
    def reply(self) -> bytes:
        """What the peer is told."""
        return b"-ERR Protocol error: " + str(self).encode("latin-1", "replace") + b"\r\n"


def encode(reply: Reply) -> bytes:
    """Return a reply as it is sent. Raises `PeerError` for one that is too large: a value is asked for many times."""
    if _size(reply) > REPLY_BYTES_MAX:
        raise PeerError(f"asks for over {REPLY_BYTES_MAX} bytes at once")
    return _encoded(reply)


def _size(reply: Reply) -> int:
    if reply is None or isinstance(reply, int):
        return 16
    return len(reply) + 16 if isinstance(reply, bytes) else 16 + sum(map(_size, reply))


def _encoded(reply: Reply) -> bytes:
    if reply is None:
        return b"$-1\r\n"
    if isinstance(reply, Status):
        return b"+" + reply + b"\r\n"
    if isinstance(reply, Failure):
        return b"-" + reply + b"\r\n"
    if isinstance(reply, int):
        return b":%d\r\n" % reply
    if isinstance(reply, bytes):
        return b"$%d\r\n%s\r\n" % (len(reply), reply)
    return b"*%d\r\n" % len(reply) + b"".join(map(_encoded, reply))


class RequestReader:
    """Takes bytes in any pieces, gives requests. What it holds, it takes from the purse."""

    __slots__ = ("_argument_bytes", "_arguments", "_at", "_buffer", "_bulk", "_held", "_missing", "_purse")

    def __init__(self, purse: Purse) -> None:
        self._purse = purse
        self._buffer = bytearray()
        self._at = 0  # read so far
        self._arguments: list[bytes] = []
        self._argument_bytes = 0
        self._missing = 0  # arguments of the array that have not come
        self._bulk = -1  # length of the argument that is being read
        self._held = 0

    @property
    def held(self) -> bytearray:
        """What came of a request that is not whole."""
        return self._buffer

    def feed(self, data: bytes) -> None:
        """Add bytes. Raises `PeerError` if there is no room for them."""
        self._buffer += data
        self._account()

    def next(self) -> list[bytes] | None:
        """Return the next request, None while none is whole. Raises `ProtocolError`."""
        try:
            while True:
                if self._missing:
                    if not self._read_argument():
                        return None
                    if not self._missing:
                        whole, self._arguments, self._argument_bytes = self._arguments, [], 0
                        return whole
                    continue
                line = self._line("inline request" if self._buffer[self._at : self._at + 1] != b"*" else "mbulk count")
                if line is None:
                    return None
                if line[:1] != b"*":
                    words = split(line)
                    if words:
                        return words
                    continue  # an empty line is passed over
                count = _number(line[1:], "invalid multibulk length")
                if count > ARGUMENTS_MAX:
                    raise ProtocolError("invalid multibulk length")
                self._missing = max(0, count)
        finally:
            del self._buffer[: self._at]
            self._at = 0
            self._account()

    def held_back(self) -> None:
        """Hold what was fed to its limit while nothing is read, because an answer is not ready yet."""
        if len(self._buffer) > UNREAD_BYTES_MAX:
            raise PeerError(f"more than {UNREAD_BYTES_MAX} bytes unread")

    def _read_argument(self) -> bool:
        if self._bulk < 0:
            line = self._line("bulk count string")
            if line is None:
                return False
            if line[:1] != b"$":
                raise ProtocolError(f"expected '$', got '{chr(line[0]) if line else chr(13)}'")
            self._bulk = _number(line[1:], "invalid bulk length")
            if not 0 <= self._bulk <= BULK_BYTES_MAX:
                raise ProtocolError("invalid bulk length")
        end = self._at + self._bulk
        if len(self._buffer) < end + 2:
            return False
        self._arguments.append(bytes(self._buffer[self._at : end]))
        self._argument_bytes += self._bulk
        self._at = end + 2  # Redis does not look at what stands there either
        self._missing -= 1
        self._bulk = -1
        return True

    def _line(self, what: str) -> bytes | None:
        end = self._buffer.find(b"\n", self._at, self._at + LINE_BYTES_MAX + 1)
        if end < 0:
            if len(self._buffer) - self._at > LINE_BYTES_MAX:
                raise ProtocolError(f"too big {what}")
            return None
        line = bytes(self._buffer[self._at : end])
        self._at = end + 1
        return line.removesuffix(b"\r")

    def _account(self) -> None:
        holds = len(self._buffer) + self._argument_bytes
        if holds > self._held:
            if not self._purse.take(holds - self._held):
                raise PeerError("the session holds too many bytes")
        else:
            self._purse.give_back(self._held - holds)
        self._held = holds


def split(line: bytes) -> list[bytes]:
    """Return the words of an inline request, quotes undone (sds.c: sdssplitargs). Raises `ProtocolError`."""
    words: list[bytes] = []
    at = 0
    while True:
        while at < len(line) and line[at : at + 1].isspace():
            at += 1
        if at >= len(line):
            return words
        if len(words) >= ARGUMENTS_MAX:
            raise ProtocolError("invalid multibulk length")
        word, at = _word(line, at)
        words.append(word)


def _word(line: bytes, at: int) -> tuple[bytes, int]:
    found = bytearray()
    while at < len(line) and not line[at : at + 1].isspace():
        mark = line[at : at + 1]
        if mark not in (b'"', b"'"):
            found += mark
            at += 1
            continue
        end = at + 1
        while end < len(line) and line[end : end + 1] != mark:
            end += 2 if line[end : end + 1] == b"\\" else 1
        if end >= len(line) or (line[end + 1 : end + 2] and not line[end + 1 : end + 2].isspace()):
            raise ProtocolError("unbalanced quotes in request")
        inside = line[at + 1 : end]
        found += decode.backslashes(inside) if mark == b'"' else inside.replace(b"\\'", b"'")
        at = end + 1
    return bytes(found), at


def _number(digits: bytes, complaint: str) -> int:
    if not digits.removeprefix(b"-").isdigit() or len(digits) > 10:
        raise ProtocolError(complaint)
    return int(digits)
