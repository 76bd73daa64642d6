"""What a command reads from and writes to: the terminal, a pipe, a file, a device."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, TypeAlias

from eudaemon.wire import PeerError, Purse
from eudaemon.world.files import FileError, Files, Fixed, Written
from eudaemon.world.outside import Downloaded
from eudaemon.world.shell.acts import Act, Listen
from eudaemon.world.shell.limits import PIPE_BYTES_MAX, TYPED_BYTES_MAX

if TYPE_CHECKING:
    from eudaemon.world.shell.budget import Budget

Waiting: TypeAlias = Generator[Act, Downloaded | None, None]

_ENDLESS_BYTES_MAX = 64 * 1024  # what one read of /dev/zero gives, if nobody says how much


class PipeFullError(Exception):
    """Nobody reads so much: the writer gets SIGPIPE."""


class Stream:
    """Reads as empty, and swallows what is written."""

    __slots__ = ()

    def read(self, count: int = -1) -> bytes:  # noqa: ARG002
        """Return at most `count` bytes, all that is left if negative; empty at the end."""
        return b""

    def read_line(self) -> bytes:
        """Return the next line with its LF; without one only at the end; empty after it."""
        return b""

    def wait(self, count: int = -1) -> Waiting:  # noqa: ARG002
        """Let what `read` would wait for come; most streams have it."""
        yield from ()

    def wait_line(self, *, hidden: bool = False) -> Waiting:  # noqa: ARG002
        """Let what `read_line` would wait for come."""
        yield from ()

    def write(self, data: bytes) -> None:
        """Take bytes. Raises `FileError`, or `PipeFullError`."""


class Typed(Stream):
    """What the session hears while a command reads: the lines of a terminal, or a pipe's bytes.

    A command that finds too little waits, by `Listen`. On a terminal an end is passed by whoever meets it, for another
    may read on; a pipe's stays. `shared` is whether the session's own shell reads its lines there, too.
    """

    __slots__ = ("_data", "_ended", "_purse", "on_terminal", "shared")

    def __init__(self, purse: Purse, *, on_terminal: bool = False, shared: bool = True) -> None:
        self._purse = purse
        self._data: bytearray | None = None  # made when something comes: most commands read nothing
        self._ended = False
        self.on_terminal = on_terminal
        self.shared = shared

    def hear(self, data: bytes) -> None:
        """Take what has come. Raises `PeerError` past a limit."""
        held = self._held
        if len(held) + len(data) > TYPED_BYTES_MAX or not self._purse.take(len(data)):
            raise PeerError(f"over {TYPED_BYTES_MAX} bytes for a command, or more than the session may hold")
        held += data
        self._data = held

    @property
    def _held(self) -> bytearray:
        return self._data if self._data is not None else bytearray()

    def end(self) -> None:
        """Nothing more comes; on a terminal, to whoever reads now."""
        self._ended = True

    def take_back(self) -> bytes:
        """Return what no command has read."""
        if self.on_terminal:
            self._ended = False
        return self._taken(len(self._held))

    def wait(self, count: int = -1) -> Waiting:
        """See `Stream`."""
        while not self._ended and (count < 0 or len(self._held) < count):
            yield Listen()

    def wait_line(self, *, hidden: bool = False) -> Waiting:
        """See `Stream`."""
        while not self._ended and b"\n" not in self._held:
            yield Listen(stated=True, hidden=hidden)

    def read(self, count: int = -1) -> bytes:
        """See `Stream`."""
        if count < 0 or len(self._held) < count:
            self._pass_end()
        return self._taken(len(self._held) if count < 0 else count)

    def read_some(self) -> bytes:
        """Return what is there, of which there is something after `wait(1)` but at the end."""
        if not self._held:
            self._pass_end()
        return self._taken(len(self._held))

    def read_line(self) -> bytes:
        """See `Stream`."""
        end = self._held.find(b"\n") + 1
        if not end:
            self._pass_end()
        return self._taken(end or len(self._held))

    def _pass_end(self) -> None:
        if self.on_terminal:
            self._ended = False

    def _taken(self, count: int) -> bytes:
        held = self._held
        data = bytes(held[:count])
        del held[:count]
        self._data = held or None
        self._purse.give_back(len(data))
        return data


class Terminal(Stream):
    """The attacker's screen, and what is typed before it."""

    __slots__ = ("_budget", "_screen", "_typed")

    def __init__(self, screen: bytearray, budget: Budget, typed: Stream | None = None) -> None:
        self._screen = screen
        self._budget = budget
        self._typed = typed or Stream()

    def read(self, count: int = -1) -> bytes:
        """See `Stream`."""
        return self._typed.read(count)

    def read_line(self) -> bytes:
        """See `Stream`."""
        return self._typed.read_line()

    def wait(self, count: int = -1) -> Waiting:
        """See `Stream`."""
        return self._typed.wait(count)

    def wait_line(self, *, hidden: bool = False) -> Waiting:
        """See `Stream`."""
        return self._typed.wait_line(hidden=hidden)

    def write(self, data: bytes) -> None:
        """Show bytes."""
        self._budget.output(len(data))
        self._screen += data


class Buffered(Stream):
    """Bytes that lie ready, from a position on."""

    __slots__ = ("_at", "data")

    def __init__(self, data: bytes | bytearray = b"") -> None:
        self.data = data
        self._at = 0

    def read(self, count: int = -1) -> bytes:
        """See `Stream`."""
        end = len(self.data) if count < 0 else self._at + count
        found = bytes(self.data[self._at : end])
        self._at += len(found)
        return found

    def read_line(self) -> bytes:
        """See `Stream`."""
        end = self.data.find(b"\n", self._at)
        return self.read(-1 if end < 0 else end + 1 - self._at)


class Pipe(Buffered):
    """What one command writes and the next reads afterwards."""

    __slots__ = ("_budget", "_purse")

    def __init__(self, budget: Budget, purse: Purse) -> None:
        super().__init__(bytearray())
        self._budget = budget
        self._purse = purse

    def write(self, data: bytes) -> None:
        """See `Stream`."""
        self._budget.work(len(data))
        if len(self.data) + len(data) > PIPE_BYTES_MAX or not self._purse.take(len(data)):
            raise PipeFullError
        self.data += data

    def release(self) -> None:
        """Forget what was written and give its bytes back. Again does nothing."""
        self._purse.give_back(len(self.data))
        self.data = b""


class Endless(Stream):
    """/dev/zero and /dev/urandom; the dice are a fixed pattern, for nobody can tell."""

    __slots__ = ("_pattern",)

    def __init__(self, pattern: bytes) -> None:
        self._pattern = pattern

    def read(self, count: int = -1) -> bytes:
        """See `Stream`."""
        count = _ENDLESS_BYTES_MAX if count < 0 else min(count, _ENDLESS_BYTES_MAX)
        return (self._pattern * (count // len(self._pattern) + 1))[:count]

    def read_line(self) -> bytes:
        """See `Stream`."""
        return self.read(256)


class Output(Stream):
    """A file that was opened for writing; every write goes to its end."""

    __slots__ = ("_at_s", "_budget", "_file", "_files")

    def __init__(self, files: Files, file: Written, at_s: float, budget: Budget) -> None:
        self._files = files
        self._file = file
        self._at_s = at_s
        self._budget = budget

    def write(self, data: bytes) -> None:
        """See `Stream`."""
        self._budget.work(len(data))
        self._files.append(self._file, data, self._at_s)

    def take_download(self, got: Downloaded) -> None:
        """Take what a download brought: it is kept already, and what is not here lies on disk."""
        fresh = not self._file.data
        self.write(got.head)
        self._file.kept = fresh
        self._file.missing = max(0, got.size - len(got.head))


class Full(Stream):
    """/dev/full."""

    __slots__ = ()

    def write(self, data: bytes) -> None:  # noqa: ARG002
        """See `Stream`."""
        raise FileError("No space left on device")


def content(node: Fixed | Written, at_s: float) -> bytes:
    """Return a file's bytes."""
    if isinstance(node, Written):
        return bytes(node.data)
    return node.content if isinstance(node.content, bytes) else node.content(at_s)
