"""A victim of `tests/victims/taint` while it is talked to, harmlessly or not.

Owns the ways by which input reaches a victim, and how one sees that an attack has succeeded. `hostile.h` says how
victims are talked to. Everything happens on the loopback, and the harm is a word on the victim's standard error.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from possession.victims import Victim, command

START_S = 30.0
ANSWER_S = 20.0
MARK = b"HIJACKED"
STATUS = 77  # of a process that an attack has ended
LINE_BYTES_MAX = 4096


@dataclass(frozen=True, slots=True)
class Way:
    """How input comes in: the victim's arguments, and the source that it is to the engine."""

    name: str
    arguments: tuple[str, ...]
    source: str  # a word for `--taint`; {place} stands for the folder with the files


WAYS = {
    way.name: way
    for way in (
        Way("tcp", ("tcp", "serial"), "inet"),
        Way("tcp-fork", ("tcp", "fork"), "inet"),
        Way("tcp-threads", ("tcp", "threads"), "inet"),
        Way("fetch", ("fetch", "serial"), "inet"),
        Way("fetch-threads", ("fetch", "threads"), "inet"),
        Way("stdin", ("stdin",), "stdin"),
        Way("pair", ("pair",), "unix"),
        Way("file", ("file",), "file:{place}/*"),
    )
}


class AssaultError(AssertionError):
    """A victim did not answer, or ended."""


class Lines:
    """What comes through a descriptor, line by line."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)
        self._rest = b""

    def line(self, within_s: float = ANSWER_S) -> bytes:
        """Return the next line without its end; empty at the end of the input."""
        end_s = time.monotonic() + within_s
        while b"\n" not in self._rest:
            left_s = end_s - time.monotonic()
            if left_s <= 0 or not self._poll.poll(left_s * 1000):
                raise AssaultError(f"no answer within {within_s} s; heard {self._rest[-200:]!r}")
            try:
                piece = os.read(self._descriptor, LINE_BYTES_MAX)
            except ConnectionResetError:
                return b""
            if not piece:
                return b""
            self._rest += piece
        line, _, self._rest = self._rest.partition(b"\n")
        return line


@dataclass
class Conversation:
    """One peer's talk with a victim."""

    say: int  # a descriptor
    hear: Lines
    folder: Path | None = None  # each message is a file there
    count: int = 0

    def send(self, data: bytes, slot: int = 0) -> None:
        """Send one message, as long as the victim's words for its length allow."""
        message = struct.pack("<HH", len(data), slot) + data
        if self.folder:
            self.count += 1
            path = self.folder / f"message-{self.count}"
            path.write_bytes(message)
            message = os.fsencode(path) + b"\n"
        while message:
            message = message[os.write(self.say, message) :]

    def ask(self, data: bytes, slot: int = 0) -> None:
        """Send a message; the victim must say that it is fine."""
        self.send(data, slot)
        heard = self.hear.line()
        if heard != b"fine %d" % len(data):
            raise AssaultError(f"the victim said {heard!r} to {len(data)} bytes")


@dataclass
class Assailed:
    """A running victim: its process, and what it told at start."""

    process: subprocess.Popen[bytes]
    way: Way
    folder: Path
    errors: Path
    at: dict[str, int] = field(default_factory=dict)
    port: int = 0
    _pair: socket.socket | None = None
    _hear: Lines | None = None
    _kept: ExitStack = field(default_factory=ExitStack)

    @property
    def pid(self) -> int:
        """Return the process that listens."""
        return self.process.pid

    def conversation(self) -> Conversation:
        """Begin to talk. By standard input or a socket pair there is one conversation only."""
        if self.way.arguments[0] == "tcp":
            return self._talk(socket.create_connection(("127.0.0.1", self.port), ANSWER_S))
        if self.way.arguments[0] == "fetch":
            with socket.create_server(("127.0.0.1", 0)) as server:
                server.settimeout(ANSWER_S)
                os.write(self._stdin(), b"%d\n" % server.getsockname()[1])
                return self._talk(server.accept()[0])
        if self._pair:
            return self._talk(self._pair)
        assert self._hear
        return Conversation(self._stdin(), self._hear, self.folder if self.way.name == "file" else None)

    def is_hijacked(self, within_s: float) -> bool:
        """Wait for the word that code of the attacker's choice writes; false if it has not come in time."""
        end_s = time.monotonic() + within_s
        while MARK not in self.errors.read_bytes():
            if time.monotonic() > end_s:
                return False
            time.sleep(0.01)
        return True

    def status(self) -> int:
        """Return with what the process ended; it must."""
        return self.process.wait(ANSWER_S)

    def _talk(self, peer: socket.socket) -> Conversation:
        self._kept.enter_context(peer)
        peer.settimeout(None)
        return Conversation(peer.fileno(), Lines(peer.fileno()))

    def _stdin(self) -> int:
        assert self.process.stdin
        return self.process.stdin.fileno()

    def _introduced(self) -> None:
        assert self._hear
        while line := self._hear.line(START_S).decode():
            match line.split():
                case ["at", name, value]:
                    self.at[name] = int(value, 16)
                case ["port", port]:
                    self.port = int(port)
                case ["ready"]:
                    return
        raise AssaultError(f"the victim ended at once: {self.errors.read_text()}")


@contextmanager
def assailed(victim: Victim | list[str], way: Way) -> Iterator[Assailed]:
    """Start a victim, or a program that talks like one; learn its addresses; whatever happens, end it."""
    with ExitStack() as kept:
        folder = Path(kept.enter_context(tempfile.TemporaryDirectory(prefix="eudaemon-assault-")))
        errors = folder / "errors"
        arguments, handed, pair = list(way.arguments), (), None
        if way.name == "pair":
            pair, theirs = (kept.enter_context(one) for one in socket.socketpair())
            arguments.append(str(theirs.fileno()))
            handed = (theirs.fileno(),)
        program = command(victim) if isinstance(victim, Victim) else victim
        process = subprocess.Popen(
            [*program, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=kept.enter_context(errors.open("wb")), pass_fds=handed, start_new_session=True,
        )  # fmt: skip
        kept.callback(_end, process)
        assert process.stdout
        one = Assailed(process, way, folder, errors, _pair=pair, _hear=Lines(process.stdout.fileno()), _kept=kept)
        one._introduced()
        yield one


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the victim with the children that serve its peers: they are of its session."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, 9)
    process.wait(30)
    for stream in (process.stdin, process.stdout):
        if stream:
            stream.close()
