"""What is open on a connection: files and folders of the disk, and pipes to the services."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TypeAlias

from eudaemon.protocols._base import Keep, Order, Send
from eudaemon.protocols._broken import broken_off
from eudaemon.protocols._dcerpc import Association, RpcHost
from eudaemon.protocols.smb.info import Entry
from eudaemon.protocols.smb.status import PIPE_EMPTY
from eudaemon.wire import PeerError
from eudaemon.world.files import Directory, Node, Written

UNREAD_BYTES_MAX = 1024 * 1024  # that a pipe holds for who does not read
PATH_CHARS_MAX = 1024


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
    """An open pipe: what is written goes to the service, what it says waits to be read, a message at a time.

    Where one is to be read in several pieces, the next does not begin in the last of them.
    """

    __slots__ = ("_association", "_messages", "_unread", "host", "name")
    is_folder = False

    def __init__(self, name: str, host: RpcHost) -> None:
        self.name = name
        self.host = host
        self._association = Association(host, f"\\PIPE\\{name}")
        self._unread = bytearray()
        self._messages: deque[int] = deque()  # how much is unread of each of the service's messages

    def write(self, data: bytes, at_s: float) -> Iterator[Order]:
        """Give bytes to the service. Raises `PeerError`."""
        for order in self._association.receive(data, at_s):
            if isinstance(order, Send):
                self.say(order.data)
                self._messages.append(len(order.data))
            else:
                yield order

    def say(self, data: bytes) -> None:
        """Let the client read this. Raises `PeerError`."""
        if len(self._unread) + len(data) > UNREAD_BYTES_MAX or not self.host.visit.purse.take(len(data)):
            raise PeerError(f"does not read: over {UNREAD_BYTES_MAX} bytes in a pipe")
        self._unread += data

    def read(self, count: int) -> tuple[bytes, int]:
        """Return what the service said, at most so many bytes, and how many are left of that message."""
        if self._messages:
            count = min(count, self._messages[0])
        data = bytes(self._unread[:count])
        del self._unread[:count]
        self.host.visit.purse.give_back(len(data))
        if not self._messages:
            return data, len(self._unread)
        self._messages[0] -= len(data)
        return data, self._messages[0] or self._messages.popleft()

    @property
    def unread(self) -> int:
        """How many bytes wait."""
        return len(self._unread)

    @property
    def nothing(self) -> int:
        """What who reads is told while there is nothing: with `PENDING` the answer waits until there is."""
        return PIPE_EMPTY

    def close(self) -> None:
        """Give back what is held."""
        self._association.forget()
        self.host.visit.purse.give_back(len(self._unread))
        self._unread.clear()
        self._messages.clear()

    def kept(self) -> Iterator[Order]:
        """Keep what is the service's own, and not ours, and what came of a call that is not whole."""
        yield from broken_off(self._association.held, "call")

    def entry(self, number: int) -> Entry:
        """How it is shown."""
        return Entry(self.name, None, number)


Open: TypeAlias = DiskOpen | PipeOpen
