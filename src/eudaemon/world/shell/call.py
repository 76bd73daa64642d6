"""One call of an applet: its arguments, its streams, and what it may ask of the shell."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, TypeAlias

from eudaemon.world.files import Device, Directory, FileError, Files, Fixed, Written
from eudaemon.world.outside import Downloaded
from eudaemon.world.shell.acts import Act
from eudaemon.world.shell.notes import TURNING, note_used, reading_costs
from eudaemon.world.shell.streams import Output, Terminal, Typed, content

if TYPE_CHECKING:
    from eudaemon.world.host import Host
    from eudaemon.world.shell.engine import Shell
    from eudaemon.world.shell.scope import Scope
    from eudaemon.world.shell.streams import Stream

Run: TypeAlias = Generator[Act, Downloaded | None, int]
Reading: TypeAlias = Generator[Act, Downloaded | None, bytes]
_STANDARD_INPUT = (b"-", b"/dev/stdin", b"/dev/fd/0", b"/proc/self/fd/0")
Applet: TypeAlias = "Callable[[Call], int | Run]"


class Call:
    """What an applet gets. `name` is how it was called, `args` the arguments after it."""

    __slots__ = ("args", "name", "scope", "shell", "streams")

    def __init__(self, shell: Shell, scope: Scope, streams: dict[int, Stream], name: str, args: list[bytes]) -> None:
        self.shell = shell
        self.scope = scope
        self.streams = streams
        self.name = name
        self.args = args

    @property
    def host(self) -> Host:
        """The pretended host."""
        return self.shell.host

    @property
    def files(self) -> Files:
        """The session's file system."""
        return self.shell.files

    @property
    def at_s(self) -> float:
        """The time."""
        return self.shell.at_s

    @property
    def on_terminal(self) -> bool:
        """Whether standard output is the attacker's screen."""
        return isinstance(self.streams.get(1), Terminal)

    @property
    def typed_at(self) -> bool:
        """Whether somebody at a terminal types what is read from standard input."""
        stream = self.streams.get(0)
        return isinstance(stream, Typed) and stream.on_terminal

    # --- output ------------------------------------------------------------------------------------

    def out(self, data: bytes) -> None:
        """Write to standard output."""
        if 1 in self.streams:
            self.streams[1].write(data)

    def put(self, got: Downloaded) -> None:
        """Write what a download brought to standard output."""
        self.shell.budget.work(len(got.head))
        stream = self.streams.get(1)
        if isinstance(stream, Output):
            stream.take_download(got)
        elif stream is not None:
            stream.write(got.head)

    def line(self, text: str) -> None:
        """Write a line of text to standard output."""
        self.out(text.encode("latin-1", "replace") + b"\n")

    def error(self, message: str, status: int = 1) -> int:
        """Write `name: message` to standard error, as BusyBox does; return the status."""
        if 2 in self.streams:
            self.streams[2].write(f"{self.name}: {message}\n".encode("latin-1", "replace"))
        return status

    def say(self, text: str) -> None:
        """Write text to standard error as it is."""
        if 2 in self.streams:
            self.streams[2].write(text.encode("latin-1", "replace"))

    # --- input -------------------------------------------------------------------------------------

    def input(self, count: int = -1) -> Reading:
        """Read from standard input, and wait for what somebody types."""
        stream = self.streams.get(0)
        if stream is None:
            return b""
        yield from stream.wait(count)
        return self._taken(stream.read(count))

    def input_line(self, *, hidden: bool = False) -> Reading:
        """Read a line from standard input, with its end. `hidden` is whether no terminal shows what is typed."""
        stream = self.streams.get(0)
        if stream is None:
            return b""
        yield from stream.wait_line(hidden=hidden)
        line = stream.read_line()
        self.shell.budget.work(len(line) + 16)
        return line

    def pour(self, *sinks: Callable[[bytes], None]) -> Generator[Act, Downloaded | None, None]:
        """Give standard input to each of the sinks, as it comes."""
        stream = self.streams.get(0)
        while True:
            if isinstance(stream, Typed):
                yield from stream.wait(1)
                data = self._taken(stream.read_some())
            else:
                data = yield from self.input()
            for sink in sinks:
                sink(data)
            if not isinstance(stream, Typed) or not data:
                return

    def read(self, path: bytes, count: int = -1) -> Reading:
        """Return a file's content, or standard input's for `-`. Raises `FileError`."""
        if path in _STANDARD_INPUT:
            return (yield from self.input(count))
        return self.read_file(path, count)

    def read_file(self, path: bytes, count: int = -1) -> bytes:
        """Return a file's content, for which nobody waits. Raises `FileError`."""
        node = self.files.get(path, self.scope.cwd)
        if isinstance(node, Directory):
            raise FileError("Is a directory")
        if isinstance(node, Fixed | Written):
            data = content(node, self.at_s)
            data = data if count < 0 else data[:count]
        elif isinstance(node, Device):
            data = self.shell.device(node).read(count)
        else:
            data = b""
        return self._taken(data)

    def _taken(self, data: bytes) -> bytes:
        self.shell.budget.work(reading_costs(self.name, data))
        if self.name in TURNING:
            note_used(self.files, data)
        return data

    def sources(self, paths: list[bytes]) -> Generator[Act, Downloaded | None, list[tuple[bytes, bytes]]]:
        """Return name and content of the files, of standard input if there are none; complain about the missing."""
        found: list[tuple[bytes, bytes]] = []
        for path in paths or [b"-"]:
            try:
                found.append((path, (yield from self.read(path))))
            except FileError as error:
                self.error(f"{text(path)}: {error}" if str(error) == "Is a directory" else cannot_open(path, error))
        return found

    # --- files -------------------------------------------------------------------------------------

    def resolve(self, path: bytes, *, follow: bool = True) -> bytes:
        """Return the resolved path. Raises `FileError`."""
        return self.files.resolve(path, self.scope.cwd, follow=follow)

    def write(self, path: bytes, data: bytes) -> Written:
        """Make or overwrite a file. What it held before is kept. Raises `FileError`."""
        file = self.shell.open_for_writing(self.resolve(path))
        if file is not None:
            self.files.append(file, data, self.at_s)
            self.shell.budget.work(len(data))
            return file
        return Written(0o644, self.at_s)


def text(data: bytes) -> str:
    """Return attackers' bytes one to one as text, for messages that go back to them."""
    return data.decode("latin-1")


def cannot_open(path: bytes, error: FileError) -> str:
    """Return BusyBox's words for a file that it cannot read."""
    return f"can't open '{text(path)}': {error}"


def options(args: list[bytes], with_value: str = "") -> tuple[dict[str, bytes], list[bytes]]:
    """Split arguments into options and the rest, as getopt does: `-abc value`, `-ovalue`, `--long[=value]`, `--`.

    `with_value` lists the letters that take a value. Long options stand under their whole name.
    """
    found: dict[str, bytes] = {}
    rest: list[bytes] = []
    at = 0
    while at < len(args):
        argument = args[at]
        at += 1
        if argument == b"--":
            rest += args[at:]
            break
        if argument[:2] == b"--":
            name, _, value = argument[2:].partition(b"=")
            found[text(name)] = value
        elif argument[:1] == b"-" and len(argument) > 1:
            for index in range(1, len(argument)):
                letter = chr(argument[index])
                if letter in with_value:
                    value = argument[index + 1 :]
                    if not value and at < len(args):
                        value = args[at]
                        at += 1
                    found[letter] = value
                    break
                found[letter] = b""
        else:
            rest.append(argument)
    return found, rest


def number(data: bytes, default: int = 0, at_most: int = 2**40) -> int:
    """Return a decimal number as C's strtol reads it, within bounds; `default` if none stands there."""
    digits = data.strip(b" \t\n")
    negative = digits[:1] == b"-"
    digits = digits.lstrip(b"+-")[:18]
    end = 0
    while end < len(digits) and digits[end] in b"0123456789":
        end += 1
    if not end:
        return default
    value = min(int(digits[:end]), at_most)
    return -value if negative else value
