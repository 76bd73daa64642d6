"""The conversation: a line, for some a block of bytes behind it, and an answer; or binary requests.

    set KEY FLAGS SECONDS BYTES [noreply] CR LF, BYTES, CR LF     get KEY…     stats [what]     …

What is stored is kept as it came, also where memcached would find it too large.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Generator, Iterator
from typing import ClassVar

from eudaemon.events.catalogue import CommandEntered, ExploitRecognised
from eudaemon.protocols._base import (
    Claim,
    Ended,
    HalfClosed,
    HangUp,
    Keep,
    Occasion,
    Order,
    Received,
    Room,
    Saw,
    Send,
    Visit,
)  # fmt: skip
from eudaemon.protocols.memcached.cache import ITEM_BYTES_MAX, Cache, Server, server_of
from eudaemon.wire import PeerError, printable

LINE_BYTES_MAX = 2048  # memcached.c: a longer one is no command
KEY_BYTES_MAX = 250
VALUE_BYTES_MAX = 16 * 1024 * 1024  # that are taken in, to be kept
REQUESTS_MAX = 20_000  # of one session
DATAGRAMS_MAX = 64  # of one peer that are looked at: a flood that is to be amplified says all it has to say in these
KEPT_MAX = 64  # values of one session that become artefacts
KEPT_BYTES_MIN = 64  # what is smaller stands in the events
UDP_HEAD = struct.Struct(">HHHH")  # request, number of this datagram, how many there are, reserved
BINARY = struct.Struct(">BBHBBHIIQ")
_REQUEST, _ANSWER = 0x80, 0x81
_UNKNOWN, _NOT_FOUND, _TOO_LARGE = 0x81, 0x01, 0x03
_LINE = b"CLIENT_ERROR bad command line format\r\n"
_STORING = frozenset((b"set", b"add", b"replace", b"append", b"prepend", b"cas"))
_ITS_OWN = frozenset((b"stats", b"version", b"flush_all", b"gets"))
_BEFORE_A_BLOCK = re.compile(rb"(?:set|add|replace|append|prepend|cas) \S{1,250} \d+ -?\d+ \d+")
# What is asked through us of an address that is not the asker's: the largest answers.
_AMPLIFYING = frozenset((b"stats", b"get", b"gets"))


class Memcached(Room):
    """One client: of a connection, or of datagrams."""

    name: ClassVar[str] = "memcached"

    __slots__ = ("_buffer", "_datagrams", "_held", "_kept", "_over", "_requests", "_server", "_wanted", "cache")

    def __init__(self, visit: Visit) -> None:
        super().__init__(visit)
        self._server: Server | None = None
        self._buffer = bytearray()
        self._held = 0
        self._wanted: tuple[list[bytes], int] | None = None  # a storing command, and the bytes that belong to it
        self._requests = 0
        self._datagrams = 0
        self._kept = 0
        self._over = False
        self.cache = Cache(visit.purse)

    @classmethod
    def claim(cls, first: bytes) -> Claim:
        """A binary request, the line before a block, a command that no shell has; other commands may be."""
        if first[:1] == bytes((_REQUEST,)):
            return Claim.YES if len(first) < 2 or first[1] <= 0x22 else Claim.NO
        word, blank, _ = first.replace(b"\r", b" ").replace(b"\n", b" ").partition(b" ")
        if blank and (word in _ITS_OWN or _BEFORE_A_BLOCK.match(first)):
            return Claim.YES
        if blank:
            return Claim.UNSURE if word in COMMANDS or word in _STORING else Claim.NO
        return Claim.UNSURE if any(name.startswith(word) for name in (*COMMANDS, *_STORING)) else Claim.NO

    def tell(self, occasion: Occasion) -> Iterator[Order]:
        """Take one occasion and yield the orders that follow from it."""
        match occasion:
            case Received(at_s, data) if self.visit.transport == "udp":
                yield from self._datagram(data, at_s)
            case Received(at_s, data):
                if not self._over:
                    self._buffer += data
                    yield from self._read(at_s)
            case HalfClosed():
                self._over = True
                yield HangUp()
            case Ended():
                yield from self._broken_off()

    @property
    def server(self) -> Server:
        """Who answers."""
        if self._server is None:
            self._server = server_of(self.visit.host)
        return self._server

    # --- reading -------------------------------------------------------------------------------------

    def _datagram(self, data: bytes, at_s: float) -> Iterator[Order]:
        """Answer a datagram with one, if that is not larger: its sender's address may be another's."""
        if len(data) < UDP_HEAD.size or self._datagrams >= DATAGRAMS_MAX:
            return
        self._datagrams += 1
        request, number, count, _ = UDP_HEAD.unpack_from(data)
        if number or count != 1:
            return  # memcached takes none that come in several
        body = data[UDP_HEAD.size :]
        word = body.split(None, 1)[0] if body.split(None, 1) else b""
        if word in _AMPLIFYING:
            line = printable(body.partition(b"\r\n")[0], 1024)
            yield Saw(ExploitRecognised("memcached-amplification", "CVE-2018-1000115", line))
        self._buffer = bytearray(body)
        answer = bytearray(UDP_HEAD.pack(request, 0, 1, 0))
        for order in self._read(at_s):
            if isinstance(order, Send):
                answer += order.data
            else:
                yield order
        self._buffer, self._wanted = bytearray(), None
        self._account()
        if UDP_HEAD.size < len(answer) <= len(data):
            yield Send(bytes(answer))

    def _read(self, at_s: float) -> Iterator[Order]:
        self._account()
        while self._buffer and not self._over:
            if self._wanted is not None:
                words, size = self._wanted
                if len(self._buffer) < size + 2:
                    break
                block = bytes(self._buffer[: size + 2])
                del self._buffer[: size + 2]
                self._wanted = None
                yield from self._store(words, block)
            elif self._buffer[0] == _REQUEST:
                if not (yield from self._binary()):
                    break
            else:
                end = self._buffer.find(b"\n", 0, LINE_BYTES_MAX + 1)
                if end < 0:
                    if len(self._buffer) > LINE_BYTES_MAX:
                        raise PeerError(f"line over {LINE_BYTES_MAX} bytes")
                    break
                line = bytes(self._buffer[:end]).removesuffix(b"\r")
                del self._buffer[: end + 1]
                yield from self._line(line, at_s)
        self._account()

    def _line(self, line: bytes, at_s: float) -> Iterator[Order]:
        self._count()
        words = line.split()
        name = words[0] if words else b""
        if name:
            yield Saw(CommandEntered(printable(line, LINE_BYTES_MAX)))
        if name in _STORING:
            yield from self._storing(words)
            return
        step = COMMANDS.get(name)
        if step is None:
            yield Send(b"ERROR\r\n")
            return
        answer = step(self, words, at_s)
        if name == b"quit":
            self._over = True
            yield HangUp()
        elif words[-1] != b"noreply":
            yield Send(answer)

    def _storing(self, words: list[bytes]) -> Iterator[Order]:
        """Take the line before a block."""
        if len(words) < (6 if words[0] == b"cas" else 5):
            yield Send(b"ERROR\r\n")
            return
        sizes = words[2:6] if words[0] == b"cas" else words[2:5]
        numbers = all(size.removeprefix(b"-").isdigit() and len(size) < 20 for size in sizes)
        if not numbers or len(words[1]) > KEY_BYTES_MAX or words[4][:1] == b"-" or words[2][:1] == b"-":
            yield Send(_LINE)
            return
        if int(words[4]) > VALUE_BYTES_MAX:
            raise PeerError(f"value over {VALUE_BYTES_MAX} bytes")
        self._wanted = words, int(words[4])

    def _store(self, words: list[bytes], block: bytes) -> Iterator[Order]:
        value = block[:-2]
        yield from self._keep(words[1], value)
        if not block.endswith(b"\r\n"):
            answer = b"CLIENT_ERROR bad data chunk\r\n"
        else:
            answer = self.stored(words[0], words[1], int(words[2]), value, words[5] if words[0] == b"cas" else b"")
        if words[-1] != b"noreply":
            yield Send(answer)

    def stored(self, name: bytes, key: bytes, flags: int, value: bytes, unique: bytes) -> bytes:
        """Store a value by one of the storing commands; return the answer."""
        known = self.cache.get(key)
        if name == b"cas" and (known is None or int(unique) != known.unique):
            return b"NOT_FOUND\r\n" if known is None else b"EXISTS\r\n"
        if (name == b"add" and known is not None) or (name in (b"replace", b"append", b"prepend") and known is None):
            return b"NOT_STORED\r\n"
        if known is not None and name in (b"append", b"prepend"):
            flags = known.flags
            value = known.value + value if name == b"append" else value + known.value
        if len(value) > ITEM_BYTES_MAX:
            self.cache.drop(key)
            return b"SERVER_ERROR object too large for cache\r\n"
        if not self.cache.put(key, flags, value):
            return b"SERVER_ERROR out of memory storing object\r\n"
        return b"STORED\r\n"

    def _binary(self) -> Generator[Order, None, bool]:
        """Answer one binary request; say whether there was a whole one."""
        if len(self._buffer) < BINARY.size:
            return False
        _, code, key_size, extra_size, _, _, size, opaque, _ = BINARY.unpack_from(self._buffer)
        if size > VALUE_BYTES_MAX or key_size + extra_size > size:
            raise PeerError("no memcached request")
        if len(self._buffer) < BINARY.size + size:
            return False
        body = bytes(self._buffer[BINARY.size : BINARY.size + size])
        del self._buffer[: BINARY.size + size]
        self._count()
        key, value = body[extra_size : extra_size + key_size], body[extra_size + key_size :]
        name = _CODES.get(code, "")
        yield Saw(CommandEntered(f"{name or f'binary {code:#04x}'} {printable(key, 256)}".strip()))
        if name in ("set", "add", "replace"):
            yield from self._keep(key, value)
        yield Send(self._binary_answer(code, name, key, value, body[:extra_size], opaque))
        if name == "quit":
            self._over = True
            yield HangUp()
        return True

    def _binary_answer(self, code: int, name: str, key: bytes, value: bytes, extra: bytes, opaque: int) -> bytes:
        status, told, flags = 0, b"", b""
        if name == "version":
            told = self.server.version.encode()
        elif name == "get":
            item = self.cache.get(key)
            status, told, flags = (_NOT_FOUND, b"Not found", b"") if item is None else (
                0, item.value, item.flags.to_bytes(4, "big"))  # fmt: skip
        elif name in ("set", "add", "replace"):
            answer = self.stored(name.encode(), key, int.from_bytes(extra[:4], "big"), value, b"")
            status, told = (0, b"") if answer == b"STORED\r\n" else (_TOO_LARGE, b"Too large.")
        elif name == "delete":
            status, told = (0, b"") if self.cache.drop(key) else (_NOT_FOUND, b"Not found")
        elif name == "flush":
            self.cache.empty()
        elif not name:
            status, told = _UNKNOWN, b"Unknown command"
        body = flags + told
        return BINARY.pack(_ANSWER, code, 0, len(flags), 0, status, len(body), opaque, 0) + body

    def _keep(self, key: bytes, value: bytes, *, partial: bool = False) -> Iterator[Order]:
        if len(value) >= KEPT_BYTES_MIN and self._kept < KEPT_MAX:
            self._kept += 1
            yield Keep(value, "upload", printable(key, KEY_BYTES_MAX), partial)

    def _broken_off(self) -> Iterator[Order]:
        """Keep what came of a value of which more was to come."""
        if self._wanted is not None:
            words, size = self._wanted
            yield from self._keep(words[1], bytes(self._buffer[:size]), partial=True)
        elif self._buffer[:1] == bytes((_REQUEST,)) and len(self._buffer) > BINARY.size:
            _, code, key_size, extra_size, *_ = BINARY.unpack_from(self._buffer)
            body = bytes(self._buffer[BINARY.size + extra_size :])
            if _CODES.get(code) in ("set", "add", "replace"):
                yield from self._keep(body[:key_size], body[key_size:], partial=True)

    def _count(self) -> None:
        self._requests += 1
        if self._requests > REQUESTS_MAX:
            raise PeerError(f"more than {REQUESTS_MAX} requests in one session")

    def _account(self) -> None:
        if len(self._buffer) > self._held:
            if not self.visit.purse.take(len(self._buffer) - self._held):
                raise PeerError("the session holds too many bytes")
        else:
            self.visit.purse.give_back(self._held - len(self._buffer))
        self._held = len(self._buffer)


# --- commands ------------------------------------------------------------------------------------------


def get(room: Memcached, words: list[bytes], at_s: float) -> bytes:  # noqa: ARG001
    """get, gets KEY…."""
    if len(words) < 2:
        return b"ERROR\r\n"
    if any(len(key) > KEY_BYTES_MAX for key in words[1:]):
        return _LINE
    out = bytearray()
    for key in words[1:]:
        item = room.cache.get(key)
        if item is not None:
            unique = b" %d" % item.unique if words[0] == b"gets" else b""
            out += b"VALUE %s %d %d%s\r\n%s\r\n" % (key, item.flags, len(item.value), unique, item.value)
            if len(out) > VALUE_BYTES_MAX:
                raise PeerError(f"asks for over {VALUE_BYTES_MAX} bytes at once")
    return bytes(out) + b"END\r\n"


def delete(room: Memcached, words: list[bytes], at_s: float) -> bytes:  # noqa: ARG001
    """delete KEY."""
    if len(words) < 2:
        return b"ERROR\r\n"
    return b"DELETED\r\n" if room.cache.drop(words[1]) else b"NOT_FOUND\r\n"


def count(room: Memcached, words: list[bytes], at_s: float) -> bytes:  # noqa: ARG001
    """incr, decr KEY BY."""
    if len(words) < 3:
        return b"ERROR\r\n"
    item = room.cache.get(words[1])
    if not words[2].isdigit() or len(words[2]) > 19:
        return b"CLIENT_ERROR invalid numeric delta argument\r\n"
    if item is None:
        return b"NOT_FOUND\r\n"
    if not item.value.isdigit() or len(item.value) > 20:
        return b"CLIENT_ERROR cannot increment or decrement non-numeric value\r\n"
    by = int(words[2]) if words[0] == b"incr" else -int(words[2])
    value = b"%d" % (max(0, int(item.value) + by) % (1 << 64))
    room.cache.put(words[1], item.flags, value)
    return value + b"\r\n"


def touch(room: Memcached, words: list[bytes], at_s: float) -> bytes:  # noqa: ARG001
    """touch KEY SECONDS."""
    if len(words) < 3:
        return b"ERROR\r\n"
    return b"TOUCHED\r\n" if room.cache.get(words[1]) is not None else b"NOT_FOUND\r\n"


def flush(room: Memcached, words: list[bytes], at_s: float) -> bytes:  # noqa: ARG001
    """flush_all."""
    room.cache.empty()
    return b"OK\r\n"


def ok(room: Memcached, words: list[bytes], at_s: float) -> bytes:  # noqa: ARG001
    """What only succeeds."""
    return b"OK\r\n"


def version(room: Memcached, words: list[bytes], at_s: float) -> bytes:  # noqa: ARG001
    """version."""
    return b"VERSION %s\r\n" % room.server.version.encode()


def stats(room: Memcached, words: list[bytes], at_s: float) -> bytes:
    """stats [settings | items | slabs | sizes | reset | cachedump CLASS COUNT]."""
    what = words[1] if len(words) > 1 else b""
    if what == b"cachedump":
        asked = int(words[3]) if len(words) > 3 and words[3].isdigit() and len(words[3]) < 6 else 0
        rows = room.cache.listed(asked or 1000)
        return b"".join(b"ITEM %s [%d b; 0 s]\r\n" % (key, len(item.value)) for key, item in rows) + b"END\r\n"
    listed: list[tuple[str, object]] = []
    if not what:
        listed = room.server.stats(at_s, len(room.cache))
    elif what == b"settings":
        listed = room.server.settings(room.visit.local.port)
    elif what == b"items" and len(room.cache):
        listed = [("items:1:number", len(room.cache)), ("items:1:age", 1), ("items:1:evicted", 0)]
    elif what == b"slabs":
        listed = [("active_slabs", int(bool(len(room.cache)))), ("total_malloced", 1_048_576)]
    elif what == b"reset":
        return b"RESET\r\n"
    return b"".join(f"STAT {name} {value}\r\n".encode() for name, value in listed) + b"END\r\n"


COMMANDS: dict[bytes, Callable[[Memcached, list[bytes], float], bytes]] = {
    b"get": get, b"gets": get, b"delete": delete, b"incr": count, b"decr": count, b"touch": touch,
    b"flush_all": flush, b"verbosity": ok, b"version": version, b"stats": stats, b"quit": ok,
}  # fmt: skip
_CODES = {0x00: "get", 0x01: "set", 0x02: "add", 0x03: "replace", 0x04: "delete", 0x07: "quit", 0x08: "flush",
          0x0A: "noop", 0x0B: "version"}  # fmt: skip
