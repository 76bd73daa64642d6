"""One call of a command: its arguments, its streams, and what it may ask of the shell."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, TypeAlias

from eudaemon.world.files import Device, Directory, FileError, Fixed, Written
from eudaemon.world.outside import Downloaded
from eudaemon.world.shell.acts import Act
from eudaemon.world.shell.notes import note_used, reading_costs
from eudaemon.world.shell.streams import Stream, content
from eudaemon.world.windows.paths import DENIED, device, words_of

if TYPE_CHECKING:
    from eudaemon.world.windows.engine import CommandShell
    from eudaemon.world.windows.machine import Windows
    from eudaemon.world.windows.scope import Scope

Run: TypeAlias = Generator[Act, Downloaded | None, int]
Reading: TypeAlias = Generator[Act, Downloaded | None, bytes]
Command: TypeAlias = "Callable[[Call], int | Run]"
_WORD = re.compile(r'(?:[^\s"]|"[^"]*"?)+')
_TOKEN = re.compile(r'(?:[^\s",;=]|"[^"]*"?)+')


class Call:
    """What a command gets. `name` is its own, in small letters; `tail` what stands behind it, as it is written."""

    __slots__ = ("name", "scope", "shell", "streams", "tail")

    def __init__(self, shell: CommandShell, scope: Scope, streams: dict[int, Stream], name: str, tail: str) -> None:
        self.shell = shell
        self.scope = scope
        self.streams = streams
        self.name = name
        self.tail = tail

    @property
    def machine(self) -> Windows:
        """The pretended Windows."""
        return self.shell.machine

    @property
    def at_s(self) -> float:
        """The time."""
        return self.shell.at_s

    @property
    def args(self) -> list[str]:
        """The arguments of a program: quotes hold blanks together, and are gone."""
        return words(self.tail)

    @property
    def tokens(self) -> list[str]:
        """The arguments of a command of cmd.exe itself, for which `,;=` are blanks and `/x` begins an option."""
        spaced = re.sub(r'("[^"]*"?)|(?<=[^\s,;=:/\\])(/[a-zA-Z](?=[\s/:]|$))', r"\1 \2", self.tail)
        return [found.replace('"', "") for found in _TOKEN.findall(spaced)]

    # --- output --------------------------------------------------------------------------------------

    def out(self, text: str | bytes) -> None:
        """Write to standard output."""
        if 1 in self.streams:
            self.streams[1].write(_bytes(text))

    def line(self, text: str = "") -> None:
        """Write a line to standard output."""
        self.out(f"{text}\r\n")

    def lines(self, text: str) -> None:
        """Write lines of text, with bare LF between them, to standard output."""
        self.out(text.replace("\n", "\r\n"))

    def error(self, text: str, status: int = 1) -> int:
        """Write a line to standard error; return the status."""
        if 2 in self.streams:
            self.streams[2].write(_bytes(f"{text}\r\n"))
        return status

    # --- files ---------------------------------------------------------------------------------------

    def locate(self, path: str) -> bytes:
        """Return the resolved path. Raises `FileError`."""
        return self.shell.drives.locate(path, self.scope.cwd)

    def read(self, path: str) -> bytes:
        """Return a file's content. Raises `FileError`."""
        if device(path):
            return b""
        node = self.shell.drives.get(path, self.scope.cwd)
        if isinstance(node, Directory):
            raise FileError(DENIED)
        data = content(node, self.at_s) if isinstance(node, Fixed | Written) else b""
        return self.taken(data)

    def input(self) -> Reading:
        """Read what is left of standard input, and wait for what somebody types."""
        stream = self.streams.get(0)
        if stream is None:
            return b""
        yield from stream.wait()
        return self.taken(stream.read())

    def input_line(self) -> Reading:
        """Read a line of standard input, with its end."""
        stream = self.streams.get(0)
        if stream is None:
            return b""
        yield from stream.wait_line()
        return self.taken(stream.read_line())

    def taken(self, data: bytes) -> bytes:
        """Count bytes that are read."""
        self.shell.budget.work(reading_costs(self.name, data))
        return data

    def write(self, path: str, data: bytes) -> Generator[Act, Downloaded | None, None]:
        """Make or overwrite a file; what it held is kept before. Raises `FileError`."""
        if device(path):
            return
        resolved = self.locate(path)
        try:
            yield from self.shell.keep_before(resolved)
            file = self.shell.open_for_writing(resolved)
            if file is not None:
                self.shell.budget.work(len(data))
                self.shell.files.append(file, data, self.at_s)
        except FileError as error:
            raise FileError(words_of(error)) from None

    def append(self, path: str, data: bytes) -> None:
        """Add to a file, which is made if it is not there. Raises `FileError`."""
        if device(path):
            return
        try:
            file = self.shell.create(self.locate(path))
            self.shell.budget.work(len(data))
            self.shell.files.append(file, data, self.at_s)
        except FileError as error:
            raise FileError(words_of(error)) from None

    def use(self, data: bytes) -> bytes:
        """Note that bytes are decoded or run: the small files that they come from are no notes."""
        note_used(self.shell.files, data)
        return data

    # --- downloads -----------------------------------------------------------------------------------

    def fetch(self, url: str, tool: str, target: str) -> Generator[Act, Downloaded | None, Downloaded]:
        """Wish a download into a file, and put there what it brings. With no target it goes nowhere."""
        got = yield from self.shell.download(url, tool, _bytes(target))
        if got.outcome in BROUGHT and target and not device(target):
            try:
                yield from self.shell.store(self.locate(target), got)
            except FileError:
                return Downloaded(url, "failed")
        return got


BROUGHT = frozenset(("ok", "partial"))


def words(text: str) -> list[str]:
    """Split a command line as a program finds its arguments."""
    return [found.replace('"', "") for found in _WORD.findall(text)]


def switches(args: list[str]) -> tuple[dict[str, str], list[str]]:
    """Split arguments into `/name[:value]` or `-name[:value]`, in small letters, and the rest."""
    found: dict[str, str] = {}
    rest: list[str] = []
    for arg in args:
        if arg[:1] in ("/", "-") and len(arg) > 1:
            name, _, value = arg[1:].partition(":")
            found[name.lower()] = value
        else:
            rest.append(arg)
    return found, rest


def url_in(text: str) -> str:
    """Return the first URL in a text, or nothing."""
    found = _URL.search(text)
    return found[0].rstrip(".,)") if found else ""


_URL = re.compile(r"(?:https?|ftp)://[^\s\"'<>|^`;]{3,2048}", re.IGNORECASE)


def name_in(url: str) -> str:
    """Return the file's name in a URL."""
    return url.partition("://")[2].partition("?")[0].partition("#")[0].partition("/")[2].rpartition("/")[2]


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("latin-1", "replace")


def is_there(node: object) -> bool:
    """Say whether something stands there that can be read as a file."""
    return isinstance(node, Fixed | Written | Device)
