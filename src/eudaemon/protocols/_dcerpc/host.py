"""What the services of one client share: who it is, the handles it was given, and the command line that it
reaches."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from eudaemon.events.catalogue import CommandEntered
from eudaemon.protocols._base import Keep, Order, Saw, Visit
from eudaemon.protocols._dcerpc.ndr import Reader
from eudaemon.protocols._ntlm import Identity
from eudaemon.protocols._remembered import Remembered
from eudaemon.protocols._windows import FileServer
from eudaemon.wire import printable
from eudaemon.world.windows.machine import SERVICES
from eudaemon.world.windows.registry import Registry, Value

HANDLES_MAX = 256  # of one client, open at once
KEPT_MAX = 64  # payloads of one client
COMMAND_CHARS_MAX = 4096
# What is remembered of an address: of which services, and of what kind.
_SERVICES, _REGISTRY, _SERVICE, _VALUE = "windows services", "windows registry", b"service", b"value"
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


class Made(NamedTuple):
    """A service that the client made: its name, and the path of its binary."""

    name: str
    path: str

    @classmethod
    def remembered(cls, words: list[bytes]) -> Made:
        """Return what was remembered: the name in lower case, as it is written, and the path."""
        return cls(*(word.decode("utf-8", "replace") for word in words[1:3]))


def _remembered(visit: Visit, what: str) -> Remembered:
    """Return what is remembered of the address; read each time, for others of its connections may write it."""
    return Remembered(visit, what)


class RpcHost:
    """The pretended Windows as one client's calls see it. `run` takes a command line that the client wants run."""

    __slots__ = ("_kept", "_opened", "_registry", "handles", "identity", "run", "services", "switched",
                 "visit", "windows")  # fmt: skip

    def __init__(
        self, visit: Visit, windows: FileServer, run: Callable[[str, float], Iterator[Order]] | None = None
    ) -> None:
        self.visit = visit
        self.windows = windows
        self.identity = Identity()
        self.handles: dict[bytes, Handle] = {}
        # What the client made, also over other connections before: by the name in lower case.
        self.services = {
            one.name.lower(): one for one in map(Made.remembered, _remembered(visit, _SERVICES).each(_SERVICE))
        }
        self.switched: dict[str, bool] = {}  # of Windows' own services, those it started or stopped: whether they run
        self.run = run or _note
        self._registry: Registry | None = None
        self._opened = 0
        self._kept = 0

    @property
    def registry(self) -> Registry:
        """The registry, with what the client changed, and the values that it wrote over other connections before."""
        if self._registry is None:
            self._registry = Registry(self.windows.machine, self.visit.purse)
            for key, name, kind, data in _remembered(self.visit, _REGISTRY).each(_VALUE):
                held = int(kind), bytes.fromhex(data.decode())
                self._registry.put(key.decode("utf-8", "replace"), name.decode("utf-8", "replace"), held)
        return self._registry

    def write_value(self, key: str, name: str, held: Value) -> bool:
        """Write a value of the registry; say whether there was room for it."""
        self.forget_value(key, name)
        words = (key.encode("utf-8", "replace"), name.encode("utf-8", "replace"), b"%d" % held[0])
        _remembered(self.visit, _REGISTRY).add(_VALUE, *words, held[1].hex().encode())
        return self.registry.put(key, name, held)

    def forget_value(self, key: str, name: str) -> None:
        """Forget that a value was written."""
        words = (text.encode("utf-8", "replace") for text in (key, name))
        _remembered(self.visit, _REGISTRY).forget(_VALUE, *words)

    def make_service(self, name: str, path: str) -> None:
        """Have a service of the client's, or another path for one of that name."""
        self.drop_service(name)
        self.services[name.lower()] = Made(name, path)
        _remembered(self.visit, _SERVICES).add(
            _SERVICE, *(text.encode("utf-8", "replace") for text in (name.lower(), name, path))
        )

    def drop_service(self, name: str) -> None:
        """Have it no more."""
        if self.services.pop(name.lower(), None) is not None:
            _remembered(self.visit, _SERVICES).forget(_SERVICE, name.lower().encode("utf-8", "replace"))

    def has_service(self, name: str) -> str | None:
        """Return the name of one of Windows' own services as it is written, None if it has none of that name."""
        return next((one for one in SERVICES if one.lower() == name.lower()), None)

    def is_running(self, service: str) -> bool:
        """Say whether one of Windows' own services runs, given as it is written."""
        return self.switched.get(service, self.windows.machine.is_running(service))

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
