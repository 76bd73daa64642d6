"""What a code does to the world, whatever its system calls it: sockets, files, programs. Notes the behaviours.

Nothing here reaches a real socket or file. What a connection "brings" is made up: lengths where a length is asked for,
else traps, so that a second stage that is run is noticed.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, field

from eudaemon.payload.shellcode.behaviour import (
    Behaviour,
    Connects,
    Downloads,
    Executes,
    Hunts,
    Listens,
    RunsReceived,
    Sends,
    Touches,
    Transfers,
)
from eudaemon.payload.shellcode.emulation.limits import Limits

STAGE_BYTES = 0x1000  # that a second stage says it is long
_INET, _INET6 = 2, (10, 23)  # AF_INET; AF_INET6 of Linux and of Windows
_NAMES = bytes((198, 18))  # RFC 2544's range for benchmarks: no code has an address of it
_SENT_CHARS_MAX = 120
_BLANKS = str.maketrans("\t\r\n", "   ")
_INHERITED_MAX = 255  # the highest number under which a code may have been left an open connection
_SENT_MAX = 4  # that are told of
_SOCK_RAW = 3
_CODE_BYTES_MIN = 5  # of what is received that could be code: four are a length


@dataclass(slots=True)
class Handle:
    """An open thing: a `socket`, a `file`, a `url`. `name` is the file's path or the URL."""

    sort: str
    name: str = ""
    transport: str = "tcp"
    host: str = ""
    port: int = 0
    left: int = 0  # bytes that it still brings


@dataclass(slots=True)
class Deeds:
    """The open things by their number, and what was done. `step` is the distance between two numbers."""

    limits: Limits
    order: str = "little"
    trap: bytes = b"\xcc"
    step: int = 1
    datagram: int = 2  # SOCK_DGRAM
    first: int = 3
    handles: dict[int, Handle] = field(default_factory=dict)
    behaviours: dict[Behaviour, None] = field(default_factory=dict)
    received_from: set[str] = field(default_factory=set)  # sorts of handles that brought something
    forks: int = 0
    is_parent: bool = False  # whose side of a fork is seen
    names: dict[str, str] = field(default_factory=dict)  # by the address that stands for one
    watch: Callable[[int, int], None] = lambda _address, _count: None  # is told where received bytes lie
    source: Handle | None = None  # what was read from last
    standard: Handle | None = None  # what the standard input and output were replaced with

    def note(self, behaviour: Behaviour) -> None:
        """Note a behaviour once."""
        if len(self.behaviours) < self.limits.behaviours_max:
            self.behaviours[behaviour] = None

    def open(self, handle: Handle) -> int:
        """Give an open thing the lowest free number."""
        number = self.first
        while number in self.handles:
            number += self.step
        handle.left = self.limits.received_bytes_max
        self.handles[number] = handle
        return number

    def pretend(self, name: str) -> bytes:
        """Return the IPv4 address that stands for a host name here; an address is its own."""
        try:
            return ipaddress.IPv4Address(name).packed
        except ValueError:
            pass
        number = 1 + len(self.names) % 0xFFFE
        address = _NAMES + number.to_bytes(2, "big")
        self.names[str(ipaddress.IPv4Address(address))] = name
        return address

    def _place(self, address: bytes) -> tuple[str, int]:
        host, port = place_of(address, self.order)
        return self.names.get(host, host), port

    def socket(self, kind: int) -> int:
        """Open a socket of SOCK_STREAM, SOCK_DGRAM or SOCK_RAW; return its number."""
        kind &= 0xF  # Linux puts flags above
        transport = "udp" if kind == self.datagram else "raw" if kind == _SOCK_RAW else "tcp"
        return self.open(Handle("socket", transport=transport))

    def connect(self, number: int, address: bytes) -> None:
        """Note where a socket connects to."""
        host, port = self._place(address)
        handle = self.handles.setdefault(number, Handle("socket", left=self.limits.received_bytes_max))
        handle.host, handle.port = host, port
        if host:
            self.note(Connects(host, port, handle.transport))

    def bind(self, number: int, address: bytes) -> None:
        """Note where a socket listens. Port 0 is no door: the system chooses one to call from."""
        host, port = self._place(address)
        handle = self.handles.setdefault(number, Handle("socket", left=self.limits.received_bytes_max))
        handle.port = port
        if host and port:
            self.note(Listens(host, port, handle.transport))

    def accept(self, number: int) -> int:
        """Return the number of a caller's connection."""
        listening = self.handles.get(number)
        return self.open(Handle("socket", port=listening.port if listening else 0))

    def brings(self, number: int, address: int, count: int) -> bytes:
        """Return what reading from an open thing gives, at most `count` bytes; nothing at its end."""
        handle = self.handles.get(number) or self.standard
        if handle is None:
            if number > _INHERITED_MAX:
                return b""
            # The connection through which the code came, which it has as its process had it.
            handle = self.handles[number] = Handle("socket", left=self.limits.received_bytes_max)
        count = min(count, handle.left, self.limits.received_bytes_max)
        if count <= 0:
            return b""
        handle.left -= count
        self.source = handle
        if handle.sort in ("socket", "url"):
            self.received_from.add(handle.sort)
            if count >= _CODE_BYTES_MIN:
                self.watch(address, count)
        if count == 4:
            return STAGE_BYTES.to_bytes(4, "little" if self.order == "little" else "big")
        return (self.trap * (count // len(self.trap) + 1))[:count]

    def writes(self, number: int, data: bytes) -> None:
        """Note what is written to a file or sent."""
        handle = self.handles.get(number)
        if handle is None:
            return
        if handle.sort == "file":
            if self.source is not None and self.source.sort == "url":
                self.downloads(self.source.name, handle.name)
            else:
                self.note(Transfers(handle.name) if self.received_from else Touches("writes", handle.name))
        elif handle.sort == "socket":
            self.sends(handle.host, handle.port, data)

    def sends(self, host: str, port: int, data: bytes) -> None:
        """Note what is sent where."""
        text = data[:_SENT_CHARS_MAX].decode("latin-1")
        if text and sum(isinstance(behaviour, Sends) for behaviour in self.behaviours) < _SENT_MAX:
            self.note(Sends(text, host, port))

    def executes(self, command: str, *standard: int) -> None:
        """Note a program; `standard` are the numbers of its standard input, output and error, where it is told."""
        tied = [self.handles[number] for number in standard if number in self.handles]
        over = any(handle.sort == "socket" for handle in tied) or self.standard is not None
        if is_text(command):
            self.note(Executes(command, "connection" if over else ""))

    def downloads(self, url: str, path: str = "") -> None:
        """Note a download; that it is kept in a file is said instead of that it is made."""
        if is_text(url):
            if path:
                self.behaviours.pop(Downloads(url), None)
            self.note(Downloads(url, path))

    def hunts(self) -> None:
        """Note that memory is searched."""
        self.note(Hunts())

    def runs_received(self) -> None:
        """Note that received bytes are run."""
        self.note(RunsReceived())


def is_text(text: str) -> bool:
    """Whether a path or command was meant: bytes that are run as code by chance point anywhere."""
    return bool(text) and text.translate(_BLANKS).isprintable()


def place_of(address: bytes, order: str = "little") -> tuple[str, int]:
    """Return host and port of a `sockaddr_in` or `sockaddr_in6`; an empty host if it is neither."""
    if len(address) < 8:
        return "", 0
    family = int.from_bytes(address[:2], "little" if order == "little" else "big")
    port = int.from_bytes(address[2:4], "big")
    if family == _INET:
        return str(ipaddress.IPv4Address(address[4:8])), port
    if family in _INET6 and len(address) >= 24:
        return str(ipaddress.IPv6Address(address[8:24])), port
    return "", port
