"""One download under way: what it may cost, and what it brought so far. Knows no protocol."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable
from typing import Protocol, TypeVar

from eudaemon.payload.fetch.outcome import Failed
from eudaemon.payload.fetch.policy import FetchSettings
from eudaemon.world.outside import HEAD_BYTES_MAX

T = TypeVar("T")
READ_BYTES = 64 * 1024


class NoRoomError(Exception):
    """Raised by a `Sink` that can take no more: the disk or the quota is full. What was written to it is given up."""


class Sink(Protocol):
    """Where a download's bytes go. At the end either `commit` succeeds, or `abort` is called."""

    def write(self, data: bytes) -> object:
        """Take the next bytes. Raises `NoRoomError`."""

    def commit(self) -> tuple[str, int]:
        """Keep it; return SHA-256 (hexadecimal) and size. Raises `NoRoomError`."""

    def abort(self) -> object:
        """Forget it."""


class Source(Protocol):
    """What content is read from: a connection, or a channel in one."""

    async def read(self, n: int, /) -> bytes:
        """Return what there is, at most so many bytes; nothing at the end."""

    async def readexactly(self, n: int, /) -> bytes:
        """Return so many bytes."""

    async def readuntil(self, separator: bytes, /) -> bytes:
        """Return the bytes up to and including a mark."""


class MemorySink:
    """Keeps nothing: for replaying and for tests. `kept` is what was committed, by its SHA-256."""

    __slots__ = ("_data", "kept")

    def __init__(self, kept: dict[str, bytes] | None = None) -> None:
        self._data = bytearray()
        self.kept = {} if kept is None else kept

    def write(self, data: bytes) -> None:
        """Take the next bytes."""
        self._data += data

    def commit(self) -> tuple[str, int]:
        """Keep it; return SHA-256 and size."""
        sha256 = hashlib.sha256(self._data).hexdigest()
        self.kept[sha256] = bytes(self._data)
        return sha256, len(self._data)

    def abort(self) -> None:
        """Forget it."""
        self._data.clear()


class Transfer:
    """Takes a download's bytes into its sink, up to the limits of the settings."""

    __slots__ = ("head", "peer", "settings", "sink", "size")

    def __init__(self, settings: FetchSettings, sink: Sink) -> None:
        self.settings = settings
        self.sink = sink
        self.head = bytearray()
        self.size = 0
        self.peer = ""  # the address that answered

    def take(self, data: bytes) -> None:
        """Take bytes of the content. Raises `Failed` past `bytes_max`; what fits under it is taken."""
        room = self.settings.bytes_max - self.size
        fitting = data[:room] if len(data) > room else data
        if fitting:
            self.sink.write(fitting)
            self.size += len(fitting)
            if len(self.head) < HEAD_BYTES_MAX:
                self.head += fitting[: HEAD_BYTES_MAX - len(self.head)]
        if len(data) > room:
            raise Failed(f"more than {self.settings.bytes_max} bytes")

    async def heard(self, answer: Awaitable[T], idle_s_max: float | None = None) -> T:
        """Wait for the server. Raises `Failed` when it says nothing for `idle_s_max` seconds."""
        seconds = self.settings.idle_s_max if idle_s_max is None else idle_s_max
        try:
            async with asyncio.timeout(seconds) as clock:
                return await answer
        except TimeoutError:
            if not clock.expired():
                raise  # ETIMEDOUT is a TimeoutError too
            raise Failed(f"silent for {seconds:g} s") from None
        except asyncio.IncompleteReadError:
            raise Failed("closed early") from None
        except (asyncio.LimitOverrunError, ValueError):
            raise Failed("line too long") from None

    async def take_to_the_end(self, reader: Source) -> None:
        """Take all that comes until the server closes."""
        while data := await self.heard(reader.read(READ_BYTES)):
            self.take(data)

    async def take_exactly(self, reader: Source, count: int) -> None:
        """Take `count` bytes. Raises `Failed` if the server closes before."""
        while count:
            data = await self.heard(reader.read(min(count, READ_BYTES)))
            if not data:
                raise Failed(f"closed early, {count} bytes short")
            count -= len(data)
            self.take(data)
