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
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from eudaemon.payload.shellcode.examine import CODE_BYTES_MAX, LAYERS_MAX, examine
from eudaemon.world.host import Host
from eudaemon.world.seed import Seed

SECONDS_MAX = 8.0  # of the examination itself
GRACE_S = 4.0  # that a child has to start and to write, before it is killed
MEMORY_BYTES_MAX = 4 * 1024**3  # of addresses: unicorn reserves one gibibyte for each CPU, and touches little of it
ANSWER_BYTES_MAX = 4 * 1024 * 1024


class ApartError(Exception):
    """The examination did not come to an end. The message says what became of it."""


def examine_apart(
    data: bytes, *, layers: Sequence[bytes] = (), listing: bool = False, seconds_max: float = SECONDS_MAX,
    work: Callable[[], dict[str, Any]] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Return `Findings.as_json` of the bytes, found in a child. Raises `ApartError`.

    `work` replaces the examination (for tests). Waits `seconds_max + GRACE_S` at most.
    """
    until_s = time.monotonic() + seconds_max + GRACE_S
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _child(reading, writing, seconds_max, work or (lambda: _examined(data, layers, listing, seconds_max)))
    os.close(writing)
    try:
        answer = _read_answer(reading, until_s)
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


def _examined(data: bytes, layers: Sequence[bytes], listing: bool, seconds_max: float) -> dict[str, Any]:
    host = Host.from_seed(Seed(b"shellcode"))
    return examine(data, host, layers=layers, listing=listing, seconds_max=seconds_max).as_json()


def _child(reading: int, writing: int, seconds_max: float, work: Callable[[], dict[str, Any]]) -> None:
    """Do the work and end; never returns."""
    code = 1
    try:
        os.close(reading)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        seconds = int(seconds_max + GRACE_S) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        answer = json.dumps(work()).encode()
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(answer)
        code = 0
    finally:
        os._exit(code)  # whatever was raised, this copy of the process goes no further


def _read_answer(reading: int, until_s: float) -> bytes:
    """Return what the child wrote before it closed its end; nothing if it is late, or writes too much."""
    answer = bytearray()
    while (left_s := until_s - time.monotonic()) > 0:
        if not select.select([reading], [], [], left_s)[0]:
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

    `confine` is called in it first. Its methods block; they may be called from any thread.
    """

    def __init__(self, confine: Callable[[], object] = lambda: None) -> None:
        ours, theirs = socket.socketpair()
        self._lock = threading.Lock()
        self.process = os.fork()
        if self.process == 0:
            _serve(ours, theirs, confine)
        theirs.close()
        self._socket = ours

    def examine(self, data: bytes, layers: Sequence[bytes] = ()) -> dict[str, Any]:
        """Return `Findings.as_json` of the bytes. Raises `ApartError`; afterwards the next may succeed all the same."""
        texts = [data[:CODE_BYTES_MAX], *(layer[:CODE_BYTES_MAX] for layer in layers[:LAYERS_MAX])]
        with self._lock:
            try:
                self._socket.settimeout(2 * (SECONDS_MAX + GRACE_S))
                _send(self._socket, texts)
                (answer,) = _receive(self._socket, ANSWER_BYTES_MAX)
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


def _serve(ours: socket.socket, theirs: socket.socket, confine: Callable[[], object]) -> None:
    """Examine until the other end is closed; never returns."""
    code = 1
    try:
        ours.close()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # it ends with the other end of the socket
        confine()
        while True:
            try:
                data, *layers = _receive(theirs, (LAYERS_MAX + 1) * CODE_BYTES_MAX)
            except EOFError:
                code = 0
                break
            try:
                answer = examine_apart(data, layers=layers)
            except ApartError as error:
                answer = {"error": str(error)}
            _send(theirs, [json.dumps(answer).encode()])
    finally:
        os._exit(code)


def _send(connection: socket.socket, texts: Sequence[bytes]) -> None:
    connection.sendall(struct.pack("<I", len(texts)) + b"".join(struct.pack("<I", len(text)) + text for text in texts))


def _receive(connection: socket.socket, bytes_max: int) -> list[bytes]:
    """Return the texts of one message. Raises `EOFError` at the end of the connection, or for too much."""
    (count,) = struct.unpack("<I", _exactly(connection, 4))
    texts = []
    for _ in range(count):
        (size,) = struct.unpack("<I", _exactly(connection, 4))
        bytes_max -= size
        if bytes_max < 0:
            raise EOFError("too much")
        texts.append(_exactly(connection, size))
    return texts


def _exactly(connection: socket.socket, count: int) -> bytes:
    found = bytearray()
    while len(found) < count:
        piece = connection.recv(min(count - len(found), 64 * 1024))
        if not piece:
            raise EOFError
        found += piece
    return bytes(found)
