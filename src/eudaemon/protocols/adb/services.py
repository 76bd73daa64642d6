"""What a stream can be: a command, a shell at a terminal, or a shell that reads lines; with or without packets.

    shell:CMD  shell,v2,raw:CMD  exec:CMD     one command         shell:  shell,v2,pty:     somebody at a terminal
    shell,v2,raw:                             lines from a pipe

Version 2 of the shell protocol (AOSP: shell_protocol.h) wraps both ways into packets of a kind, a length and bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from eudaemon.protocols._base import Answered, HangUp, Order, Send, Visit, Woken
from eudaemon.protocols._services import Command, Lines, Person, Service
from eudaemon.world.files import Files

_PACKET = struct.Struct("<BI")
_STDIN, _STDOUT, _EXIT, _CLOSE_STDIN = 0, 1, 3, 4


class Packets(Service):
    """Version 2 of the shell protocol around one of the others."""

    def __init__(self, inner: Command | Lines | Person) -> None:
        self._inner = inner
        self._head = b""
        self._kind = 0
        self._left = 0

    def opened(self, at_s: float) -> Iterator[Order]:
        """See `Service`."""
        yield from self._wrapped(self._inner.opened(at_s))

    def received(self, data: bytes, at_s: float) -> Iterator[Order]:
        """See `Service`."""
        while data:
            if not self._left:
                need = _PACKET.size - len(self._head)
                self._head += data[:need]
                data = data[need:]
                if len(self._head) < _PACKET.size:
                    return
                self._kind, self._left = _PACKET.unpack(self._head)
                self._head = b""
                if self._kind == _CLOSE_STDIN:
                    yield from self._wrapped(self._inner.closed(at_s))
            part = data[: self._left]
            data = data[len(part) :]
            self._left -= len(part)
            if part and self._kind == _STDIN:
                yield from self._wrapped(self._inner.received(part, at_s))

    def told(self, occasion: Answered | Woken) -> Iterator[Order]:
        """See `Service`."""
        yield from self._wrapped(self._inner.told(occasion))

    def closed(self, at_s: float) -> Iterator[Order]:
        """See `Service`."""
        yield from self._wrapped(self._inner.closed(at_s))

    def cut(self, at_s: float) -> Iterator[Order]:
        """See `Service`."""
        yield from self._wrapped(self._inner.cut(at_s))

    def _wrapped(self, orders: Iterator[Order]) -> Iterator[Order]:
        for order in orders:
            if isinstance(order, Send):
                yield Send(_PACKET.pack(_STDOUT, len(order.data)) + order.data)
                continue
            if isinstance(order, HangUp):
                yield Send(_PACKET.pack(_EXIT, 1) + bytes((self._inner.status,)))
            yield order


def shell_service(visit: Visit, files: Files, how: bytes, line: bytes) -> Service:
    """Return the service of `shell[,how]:line` or, with `how` as `exec`, of `exec:line`."""
    wishes = how.split(b",")
    packed = b"v2" in wishes
    terminal = b"exec" not in wishes and b"raw" not in wishes
    inner: Command | Lines | Person
    if line.strip():
        inner = Command(visit, files, line, terminal=terminal)
    else:
        inner = Person(visit, files) if terminal else Lines(visit, files)
    return Packets(inner) if packed else inner
