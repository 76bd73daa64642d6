"""What the services of one client share: who it is, the handles it was given, and the command line that it
reaches."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from eudaemon.events.catalogue import CommandEntered
from eudaemon.protocols._base import Keep, Order, Saw, Visit
from eudaemon.protocols._dcerpc.ndr import Reader
from eudaemon.protocols._ntlm import Identity
from eudaemon.protocols._windows import FileServer
from eudaemon.wire import printable

HANDLES_MAX = 256  # of one client, open at once
KEPT_MAX = 64  # payloads of one client
COMMAND_CHARS_MAX = 4096
ACCESS_DENIED, NOT_ENOUGH_MEMORY, INVALID_HANDLE, INVALID_LEVEL = 5, 8, 6, 124  # of Windows (MS-ERREF 2.2)


def shown(text: str, chars_max: int = COMMAND_CHARS_MAX) -> str:
    """Return a client's text as it can be stored and shown."""
    return printable(text.encode("utf-8", "replace"), chars_max)


Handler: TypeAlias = "Callable[[RpcHost, Reader, float], bytes | Generator[Order, None, bytes]]"


class RpcFault(Exception):  # noqa: N818 - the protocol's word
    """A call is answered with a fault of this status."""

    def __init__(self, status: int) -> None:
        super().__init__(f"{status:08x}")
        self.status = status


OPERATION_UNKNOWN = 0x1C01_0002  # nca_s_op_rng_error


@dataclass(slots=True)
class Handle:
    """A context handle: what it stands for."""

    kind: str
    name: str = ""
    command: str = ""
    data: bytearray = field(default_factory=bytearray)


class RpcHost:
    """The pretended Windows as one client's calls see it. `run` takes a command line that the client wants run."""

    __slots__ = ("_kept", "_opened", "handles", "identity", "run", "services", "visit", "windows")

    def __init__(
        self, visit: Visit, windows: FileServer, run: Callable[[str, float], Iterator[Order]] | None = None
    ) -> None:
        self.visit = visit
        self.windows = windows
        self.identity = Identity()
        self.handles: dict[bytes, Handle] = {}
        self.services: dict[str, str] = {}  # what the client made: name in lower case, path of its binary
        self.run = run or _note
        self._opened = 0
        self._kept = 0

    def open(self, kind: str, name: str = "", command: str = "") -> bytes:
        """Return a new handle. Raises `RpcFault` if there are too many."""
        if len(self.handles) >= HANDLES_MAX:
            raise RpcFault(NOT_ENOUGH_MEMORY)
        self._opened += 1
        value = bytes(4) + self.visit.seed.bytes(f"rpc handle {self._opened}", 16)
        self.handles[value] = Handle(kind, name, command)
        return value

    def get(self, value: bytes, kind: str) -> Handle:
        """Return what a handle stands for. Raises `RpcFault`."""
        handle = self.handles.get(value)
        if handle is None or handle.kind != kind:
            raise RpcFault(INVALID_HANDLE)
        return handle

    def close(self, value: bytes, *, cut: bool = False) -> Iterator[Order]:
        """Forget a handle; what was written to it is kept, with `cut` as a part: the client has not closed it."""
        handle = self.handles.pop(value, None)
        if handle is not None and handle.data:
            yield from self.keep(bytes(handle.data), handle.name, origin="upload", partial=cut)
            self.visit.purse.give_back(len(handle.data))

    def keep(self, data: bytes, name: str, *, origin: str = "payload", partial: bool = False) -> Iterator[Order]:
        """Keep what was brought."""
        self._kept += 1
        if self._kept <= KEPT_MAX:
            yield Keep(data, origin, shown(name, 1024), partial)

    def ended(self) -> Iterator[Order]:
        """The client is gone."""
        for value in list(self.handles):
            yield from self.close(value, cut=True)


def _note(command: str, at_s: float) -> Iterator[Order]:  # noqa: ARG001
    yield Saw(CommandEntered(shown(command)))
