"""What the connections of one address hand each other: RemCom's terminal has one for each of its pipes.

    the program's own connection      memory of addresses       a connection for input, for output, for errors
    takes "in", puts "out", "err"  <--------------------------->  puts "in", takes "out" or "err"

A room sees one connection alone. What is written on one waits in what is remembered of the address, and the other looks
for it. Pieces stay as they were written: who reads a pipe gets what was written at once, and no more.
"""

from __future__ import annotations

from collections.abc import Iterator

from eudaemon.protocols._base import Visit

WAITING_BYTES_MAX = 32 * 1024  # one way
NAME_CHARS_MAX = 64
_SIZE_BYTES = 2


class Between:
    """The pipes of one program, `name`, as either end has them. They are there while the program's end is."""

    __slots__ = ("_address", "_memory", "_name")

    def __init__(self, visit: Visit, name: str) -> None:
        self._memory = visit.memory
        self._address = visit.attacker.ip
        self._name = name[:NAME_CHARS_MAX]

    @property
    def stamp(self) -> bytes:
        """When somebody last wrote to the program; empty if there is none."""
        return self._memory.recall(self._service("is there"), self._address)

    @property
    def is_open(self) -> bool:
        """Whether the program is there."""
        return bool(self.stamp)

    def open(self, at_s: float) -> None:
        """The program is there, or somebody has written to it."""
        self._memory.remember(self._service("is there"), self._address, b"%.3f" % at_s)

    def close(self) -> None:
        """The program has ended."""
        for what in ("is there", "in", "out", "err"):
            self._memory.remember(self._service(what), self._address, b"")

    def put(self, way: str, data: bytes) -> bool:
        """Write a piece; false, and nothing written, if more than may wait waits then."""
        held = self._memory.recall(self._service(way), self._address)
        if len(held) + _SIZE_BYTES + len(data) > WAITING_BYTES_MAX:
            return False
        self._memory.remember(self._service(way), self._address, held + len(data).to_bytes(_SIZE_BYTES) + data)
        return True

    def take(self, way: str, count: int) -> bytes:
        """Read the first piece, or so many bytes of it; empty if nothing waits."""
        held = self._memory.recall(self._service(way), self._address)
        if not held:
            return b""
        size = int.from_bytes(held[:_SIZE_BYTES])
        piece, rest = held[_SIZE_BYTES : _SIZE_BYTES + size], held[_SIZE_BYTES + size :]
        piece, left = piece[:count], piece[count:]
        if left:
            rest = len(left).to_bytes(_SIZE_BYTES) + left + rest
        self._memory.remember(self._service(way), self._address, rest)
        return piece

    def take_all(self, way: str) -> Iterator[bytes]:
        """Read all pieces."""
        while piece := self.take(way, WAITING_BYTES_MAX):
            yield piece

    def waits(self, way: str) -> bool:
        """Say whether something waits to be read."""
        return bool(self._memory.recall(self._service(way), self._address))

    def _service(self, what: str) -> str:
        return f"pipe {self._name} {what}"
