"""What is open on a connection: files and folders of the disk, and pipes to the services."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from eudaemon.protocols._base import Keep, Order, Send
from eudaemon.protocols._broken import broken_off
from eudaemon.protocols._dcerpc import Association, RpcHost
from eudaemon.protocols.smb.info import Entry
from eudaemon.wire import PeerError
from eudaemon.world.files import Directory, Node, Written

UNREAD_BYTES_MAX = 1024 * 1024  # that a pipe holds for who does not read
HEARD_BYTES_MAX = 256 * 1024  # of a pipe whose service is the client's own
PATH_CHARS_MAX = 1024
_REMCOM = "remcom_communicat"
_REMCOM_BYTES, _REMCOM_COMMAND_BYTES = 4096 + 260 + 4 + 4 + 260 + 4, 4096  # command, folder, and whose it is


class DiskOpen:
    """An open file or folder. `told` is how many names of a folder were listed; `changed` whether it is to be kept."""

    __slots__ = ("changed", "deletes", "listing", "name", "node", "path", "told", "writes")

    def __init__(self, path: bytes, name: str, node: Node, *, writes: bool, is_new: bool, deletes: bool) -> None:
        self.path = path
        self.name = name
        self.node = node
        self.writes = writes
        self.changed = is_new
        self.deletes = deletes
        self.told = 0
        self.listing: tuple[str, list[str]] | None = None  # the pattern, and the names that fit it

    def kept(self, *, partial: bool = False) -> Iterator[Keep]:
        """Keep what was written, once."""
        node = self.node
        if self.changed and isinstance(node, Written):
            self.changed = False
            node.kept = True
            yield Keep(bytes(node.data), "upload", self.name, partial)

    def entry(self, number: int) -> Entry:
        """How it is shown."""
        return Entry(self.name.rpartition("\\")[2], self.node, number)

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return isinstance(self.node, Directory)


class PipeOpen:
    """An open pipe: what is written goes to the service, what it says waits to be read."""

    __slots__ = ("_association", "_host", "_unread", "name")
    is_folder = False

    def __init__(self, name: str, host: RpcHost) -> None:
        self.name = name
        self._host = host
        self._association = Association(host, f"\\PIPE\\{name}")
        self._unread = bytearray()

    def write(self, data: bytes, at_s: float) -> Iterator[Order]:
        """Give bytes to the service. Raises `PeerError`."""
        for order in self._association.receive(data, at_s):
            if isinstance(order, Send):
                self._say(order.data)
            else:
                yield order

    def _say(self, data: bytes) -> None:
        if len(self._unread) + len(data) > UNREAD_BYTES_MAX or not self._host.visit.purse.take(len(data)):
            raise PeerError(f"does not read: over {UNREAD_BYTES_MAX} bytes in a pipe")
        self._unread += data

    def read(self, count: int) -> tuple[bytes, int]:
        """Return what the service said, at most so many bytes, and how many are left of that."""
        data = bytes(self._unread[:count])
        del self._unread[:count]
        self._host.visit.purse.give_back(len(data))
        return data, len(self._unread)

    @property
    def unread(self) -> int:
        """How many bytes wait."""
        return len(self._unread)

    def close(self) -> None:
        """Give back what is held."""
        self._association.forget()
        self._host.visit.purse.give_back(len(self._unread))
        self._unread.clear()

    def kept(self) -> Iterator[Order]:
        """Keep what is the service's own, and not ours, and what came of a call that is not whole."""
        yield from broken_off(self._association.held, "call")

    def entry(self, number: int) -> Entry:
        """How it is shown."""
        return Entry(self.name, None, number)


class ServicePipe(PipeOpen):
    """A pipe of a program that the client has brought and made a service of: nothing runs, we hear what it is told.

    Who speaks RemCom (psexec's heirs) tells a command line, and is told that it has ended well.
    """

    __slots__ = ("_heard",)

    def __init__(self, name: str, host: RpcHost) -> None:
        super().__init__(name, host)
        self._heard = bytearray()

    def write(self, data: bytes, at_s: float) -> Iterator[Order]:
        """See `PipeOpen`. Raises `PeerError`."""
        if len(self._heard) + len(data) > HEARD_BYTES_MAX or not self._host.visit.purse.take(len(data)):
            raise PeerError(f"over {HEARD_BYTES_MAX} bytes for a service that is not there")
        self._heard += data
        if self.name.startswith(_REMCOM) and len(self._heard) == _REMCOM_BYTES:
            command = bytes(self._heard[:_REMCOM_COMMAND_BYTES]).split(b"\0")[0].decode("utf-8", "replace")
            self._heard.clear()
            self._host.visit.purse.give_back(_REMCOM_BYTES)
            yield from self._host.run(command, at_s)
            self._say(bytes(8))  # no error, and the program's status

    def kept(self) -> Iterator[Order]:
        """See `PipeOpen`."""
        heard, self._heard = bytes(self._heard), bytearray()
        self._host.visit.purse.give_back(len(heard))
        if heard:
            yield from self._host.keep(heard, f"pipe {self.name}")


Open: TypeAlias = DiskOpen | PipeOpen
