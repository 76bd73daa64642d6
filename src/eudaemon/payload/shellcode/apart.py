"""The examination in a process of its own: what hangs, crashes or grows there does no harm here.

    who asks ──bytes──► [bench: forks] ──► [one child a sample: CPU seconds, memory, time] ──JSON──► who asks

`examine_apart` forks one child. A process with threads should not fork, and one with secrets should not be what is
forked: a `Bench` is a process that was forked early, holds nothing, and forks the children. It needs no `execve`, so
that it can be confined before.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from eudaemon.payload.shellcode.examine import CODE_BYTES_MAX, examine
from eudaemon.world import windows
from eudaemon.world.host import Host
from eudaemon.world.seed import Seed

SECONDS_MAX = 8.0  # of the examination itself
GRACE_S = 4.0  # that a child has to start and to write, before it is killed
MEMORY_BYTES_MAX = 3 * 512 * 1024**2  # more of addresses: unicorn reserves a gibibyte, and touches little of it
ANSWER_BYTES_MAX = 4 * 1024 * 1024
NAME_BYTES_MAX = 16  # of a CPU, and the byte behind it
_LENGTH = struct.Struct("<I")
# Code that makes one call, for each CPU.
_WARMING = (
    (b"\x31\xc0\x40\xcd\x80", "x86"), (b"\x6a\x3c\x58\x0f\x05", "x86-64"),
    (b"\x01\x70\xa0\xe3\x00\x00\x00\xef", "arm"), (b"\xa8\x0b\x80\xd2\x01\x00\x00\xd4", "aarch64"),
    (b"\x24\x02\x0f\xa1\x00\x00\x00\x0c", "mips"),
    (b"\xa1\x0f\x02\x24\x0c\x00\x00\x00", "mipsel"),
)  # fmt: skip


class ApartError(Exception):
    """The examination did not come to an end. The message says what became of it."""


def examine_apart(
    data: bytes, *, architecture: str = "", listing: bool = False, seconds_max: float = SECONDS_MAX, asked: int = -1,
    memory_bytes_max: int = 0, work: Callable[[], dict[str, Any]] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Return `Findings.as_json` of the bytes, found in a child. Raises `ApartError`.

    `architecture` names the CPU where it is known. `work` replaces the examination (for tests). `asked` is a socket:
    once its other end is closed nobody wants the answer any more. Waits `seconds_max + GRACE_S` at most.
    """
    until_s = time.monotonic() + seconds_max + GRACE_S
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _child(
            reading,
            writing,
            seconds_max,
            memory_bytes_max or _memory_bytes(),
            work or (lambda: _examined(data, architecture, listing, seconds_max)),
        )
    os.close(writing)
    try:
        answer = _read_answer(reading, until_s, asked)
    finally:
        os.close(reading)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    if not answer:
        code = os.waitstatus_to_exitcode(status)
        timed_out = time.monotonic() >= until_s
        raise ApartError(
            "it took too long" if timed_out else f"it ended by signal {-code}" if code < 0 else "it failed"
        )
    found: dict[str, Any] = json.loads(answer)
    return found


def _examined(data: bytes, architecture: str, listing: bool, seconds_max: float) -> dict[str, Any]:
    known = (architecture,) if architecture else ()
    return examine(data, _host(), architectures=known, listing=listing, seconds_max=seconds_max).as_json()


def _child(
    reading: int, writing: int, seconds_max: float, memory_bytes_max: int, work: Callable[[], dict[str, Any]]
) -> None:
    """Do the work and end; never returns."""
    code = 1
    try:
        os.close(reading)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        seconds = int(seconds_max + GRACE_S) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes_max, memory_bytes_max))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        answer = json.dumps(work()).encode()
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(answer)
        code = 0
    finally:
        if code:
            sys.excepthook(*sys.exc_info())
        os._exit(code)  # whatever was raised, this copy of the process goes no further


def _memory_bytes() -> int:
    """Return how many bytes of addresses a child of this process may have: what is there, and `MEMORY_BYTES_MAX`."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    return pages * resource.getpagesize() + MEMORY_BYTES_MAX


def _read_answer(reading: int, until_s: float, asked: int) -> bytes:
    """Return what the child wrote before it closed its end; nothing if it is late, writes too much, or is too late."""
    answer = bytearray()
    watched = [reading] if asked < 0 else [reading, asked]
    while (left_s := until_s - time.monotonic()) > 0:
        ready = select.select(watched, [], [], left_s)[0]
        if reading not in ready:
            break
        piece = os.read(reading, 64 * 1024)
        if not piece:
            return bytes(answer)
        answer += piece
        if len(answer) > ANSWER_BYTES_MAX:
            break
    return b""


class Bench:
    """A process that examines what it is sent, one after the other. Made before anything is held that it must not have.

    `confine` is called in it when all that it needs is imported. Its methods block; any thread may call them.
    """

    def __init__(self, confine: Callable[[], object] = lambda: None) -> None:
        ours, theirs = socket.socketpair()
        self._lock = threading.Lock()
        self.process = os.fork()
        if self.process == 0:
            _serve(theirs, confine)
        theirs.close()
        self._socket = ours

    def examine(self, data: bytes, architecture: str = "") -> dict[str, Any]:
        """Return `Findings.as_json` of the bytes. Raises `ApartError`; afterwards the next may succeed all the same.

        `architecture` names the CPU where it is known.
        """
        with self._lock:
            try:
                self._socket.settimeout(2 * (SECONDS_MAX + GRACE_S))
                _send(self._socket, architecture.encode("ascii") + b"\0" + data[:CODE_BYTES_MAX])
                answer = _receive(self._socket, ANSWER_BYTES_MAX)
            except (OSError, EOFError) as error:
                self._socket.close()  # an answer that comes late must not be taken for the next one's
                raise ApartError("the process for it is gone") from error
        found: dict[str, Any] = json.loads(answer)
        if "error" in found:
            raise ApartError(found["error"])
        return found

    def close(self) -> None:
        """End the process."""
        self._socket.close()
        os.waitpid(self.process, 0)


def _serve(asked: socket.socket, confine: Callable[[], object]) -> None:
    """Examine until the other end is closed; never returns."""
    code = 1
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # it ends with the other end of the socket
        # What else was open is not for those who come after: locks would be held on, sockets be listened at.
        os.closerange(3, asked.fileno())
        os.closerange(asked.fileno() + 1, os.sysconf("SC_OPEN_MAX"))
        _warm()
        memory_bytes_max = _memory_bytes()  # /proc is out of reach afterwards
        confine()
        while True:
            try:
                name, _, data = _receive(asked, NAME_BYTES_MAX + CODE_BYTES_MAX).partition(b"\0")
            except EOFError:
                code = 0
                break
            try:
                answer = examine_apart(
                    data, architecture=name.decode("ascii"), asked=asked.fileno(), memory_bytes_max=memory_bytes_max
                )
            except ApartError as error:
                answer = {"error": str(error)}
            _send(asked, json.dumps(answer).encode())
    finally:
        if code:
            sys.excepthook(*sys.exc_info())
        os._exit(code)


def _warm() -> None:
    """Import all that an examination may need: afterwards its files may be out of reach."""
    for module in (*windows.ENGINE, *windows.CODECS):
        import_module(module)
    for code, architecture in _WARMING:
        examine(code, _host(), architectures=(architecture,), listing=True)
    examine(b"\xeb\xfe" + b"wget http://192.0.2.1/" * 8, _host())


def _host() -> Host:
    return Host.from_seed(Seed(b"shellcode"))


def _send(connection: socket.socket, text: bytes) -> None:
    connection.sendall(_LENGTH.pack(len(text)) + text)


def _receive(connection: socket.socket, bytes_max: int) -> bytes:
    """Return one message. Raises `EOFError` at the end of the connection, or for one that is too long."""
    (size,) = _LENGTH.unpack(_exactly(connection, _LENGTH.size))
    if size > bytes_max:
        raise EOFError("too much")
    return _exactly(connection, size)


def _exactly(connection: socket.socket, count: int) -> bytes:
    found = bytearray()
    while len(found) < count:
        piece = connection.recv(min(count - len(found), 64 * 1024))
        if not piece:
            raise EOFError
        found += piece
    return bytes(found)
