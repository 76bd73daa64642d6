"""Pipes of programs that the client has brought and made services of: nothing runs, we hear what they are told.

RemCom's (`remcom`) lead to the pretended cmd.exe; all others are heard, and what they are told is kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from eudaemon.protocols._base import Order, StillThere
from eudaemon.protocols._dcerpc import RpcHost
from eudaemon.protocols.smb import remcom
from eudaemon.protocols.smb.between import Between
from eudaemon.protocols.smb.opens import PipeOpen
from eudaemon.protocols.smb.remcom import MESSAGE_BYTES, Message, Terminal
from eudaemon.protocols.smb.status import INSUFFICIENT_RESOURCES, PENDING, PIPE_BROKEN, PIPE_EMPTY, NtError
from eudaemon.wire import PeerError

if TYPE_CHECKING:
    from eudaemon.protocols.smb.connection import Connection

HEARD_BYTES_MAX = 256 * 1024  # of a pipe whose service is the client's own


class ServicePipe(PipeOpen):
    """A pipe of a program that is the client's own."""

    __slots__ = ("_heard",)

    def __init__(self, name: str, host: RpcHost) -> None:
        super().__init__(name, host)
        self._heard = bytearray()

    def write(self, data: bytes, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        """See `PipeOpen`. Raises `PeerError`."""
        if len(self._heard) + len(data) > HEARD_BYTES_MAX or not self.host.visit.purse.take(len(data)):
            raise PeerError(f"over {HEARD_BYTES_MAX} bytes for a service that is not there")
        self._heard += data
        yield from ()

    def taken(self) -> bytes:
        """Return what was heard, and forget it."""
        heard, self._heard = bytes(self._heard), bytearray()
        self.host.visit.purse.give_back(len(heard))
        return heard

    def kept(self) -> Iterator[Order]:
        """See `PipeOpen`."""
        heard = self.taken()
        if heard:
            yield from self.host.keep(heard, f"pipe {self.name}")


class RemComPipe(ServicePipe):
    """The pipe on which RemCom is told what to run, and tells how it ended."""

    __slots__ = ("_connection", "_terminal")

    def __init__(self, name: str, connection: Connection) -> None:
        super().__init__(name, connection.rpc)
        self._connection = connection
        self._terminal: Terminal | None = None

    @property
    def nothing(self) -> int:
        """See `PipeOpen`."""
        return PENDING if self._terminal is not None else PIPE_EMPTY

    def write(self, data: bytes, at_s: float) -> Iterator[Order]:
        """See `PipeOpen`. Raises `PeerError`, and `NtError` for one program too many."""
        yield from super().write(data, at_s)
        if self._terminal is not None or len(self._heard) != MESSAGE_BYTES:
            return
        message = Message.read(self.taken())
        terminal = self._connection.add_terminal(message)
        self._terminal = terminal
        yield from terminal.start(message.command, at_s)
        yield from self.go_on(at_s)

    def go_on(self, at_s: float) -> Iterator[Order]:
        """Let the program go on; tell how it ended."""
        terminal = self._terminal
        if terminal is None:
            return
        yield from terminal.go_on(at_s)
        if terminal.status is not None:
            self.say(bytes(4) + (terminal.status & 0xFFFF_FFFF).to_bytes(4, "little"))
            yield from self._leave()

    def kept(self) -> Iterator[Order]:
        """See `PipeOpen`."""
        yield from super().kept()
        yield from self._leave()

    def _leave(self) -> Iterator[Order]:
        terminal, self._terminal = self._terminal, None
        if terminal is not None:
            self._connection.terminals.remove(terminal)
            yield from terminal.ended()


class StdPipe(PipeOpen):
    """What is typed into such a program, or printed by it: the client's end."""

    __slots__ = ("_between", "_stamp", "_way")

    def __init__(self, name: str, host: RpcHost) -> None:
        super().__init__(name, host)
        kind = next(kind for kind in remcom.STD if name.startswith(kind))
        self._way = remcom.STD[kind]
        self._between = Between(host.visit, name.removeprefix(kind))
        self._stamp = self._between.stamp

    @property
    def is_there(self) -> bool:
        """Whether there is such a program."""
        return self._between.is_open

    @property
    def nothing(self) -> int:
        """See `PipeOpen`."""
        return PENDING if self._way != "in" and self.is_there else PIPE_BROKEN

    def write(self, data: bytes, at_s: float) -> Iterator[Order]:
        """See `PipeOpen`. Raises `NtError`."""
        yield from ()
        if self._way != "in" or not self.is_there:
            raise NtError(PIPE_BROKEN)
        self._between.open(at_s)
        if not self._between.put("in", data):
            raise NtError(INSUFFICIENT_RESOURCES)

    def read(self, count: int) -> tuple[bytes, int]:
        """See `PipeOpen`."""
        # A stream: of a piece that is longer, the rest is what is read next, and no error.
        return b"" if self._way == "in" else self._between.take(self._way, count), 0

    def noticed(self) -> Iterator[Order]:
        """The client is there as long as it says something on the program's other pipes."""
        if self._between.stamp != self._stamp:
            self._stamp = self._between.stamp
            yield StillThere()
