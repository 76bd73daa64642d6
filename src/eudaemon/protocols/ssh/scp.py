"""SCP as `scp -O` and libssh2 speak it: rcp's protocol, with the far end started as `scp -t` (to here) or `scp -f`.

T1183828267 0 1183828267 0\\n      times of what follows           each is answered: 0 yes, 1 and a line: no
D0755 0 name\\n … E\\n              a directory and its end
C0644 <size> name\\n<size bytes>\\0  a file
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import ClassVar

from eudaemon.events.catalogue import CommandEntered, FileRequested
from eudaemon.protocols import _uploads as uploads
from eudaemon.protocols._base import Order, Saw, Send, Visit
from eudaemon.protocols.ssh.programs import Program
from eudaemon.wire import PeerError, printable
from eudaemon.world.files import Device, Directory, FileError, Files, Written

LINE_BYTES_MAX = 2048
_HOME = b"/root"
_DIGITS_MAX = 12  # of a size
_PIECE_BYTES = 32 * 1024


def asked(text: bytes) -> list[bytes] | None:
    """Return the words of a command that starts SCP's far end; None if it is another command."""
    if b"scp" not in text[:64] or len(text) > LINE_BYTES_MAX:
        return None
    try:
        words = [word.encode("latin-1") for word in shlex.split(text.decode("latin-1"))]
    except ValueError:
        return None
    if not words or words[0].rpartition(b"/")[2] != b"scp":
        return None
    letters = b"".join(word[1:] for word in words[1:] if word[:1] == b"-" and word != b"--")
    return words if (b"t" in letters) != (b"f" in letters) else None


def _paths(words: list[bytes]) -> list[bytes]:
    return [word for word in words[1:] if word[:1] != b"-"] or [b"."]


def make(visit: Visit, files: Files, text: bytes) -> Program | None:
    """Return the program for a command, None if it is not SCP's."""
    words = asked(text)
    if words is None:
        return None
    letters = b"".join(word[1:] for word in words[1:] if word[:1] == b"-")
    return (Sink if b"t" in letters else Source)(visit, files, text, _paths(words))


class _Scp(Program):
    recorded: ClassVar[bool] = False

    def __init__(self, visit: Visit, files: Files, text: bytes, paths: list[bytes]) -> None:
        super().__init__()
        self._files = files
        self._purse = visit.purse
        self.text = text
        self._paths = paths

    def begin(self, at_s: float) -> Iterator[Order]:
        yield Saw(CommandEntered(printable(self.text)))
        yield from self._begun(at_s)

    def _begun(self, at_s: float) -> Iterator[Order]:
        raise NotImplementedError

    @staticmethod
    def _no(words: str) -> Send:
        return Send(b"\x01scp: " + words.encode("latin-1", "replace") + b"\n")


class Sink(_Scp):
    """Takes files."""

    def __init__(self, visit: Visit, files: Files, text: bytes, paths: list[bytes]) -> None:
        super().__init__(visit, files, text, paths[-1:])
        self._line = bytearray()
        self._where: list[bytes] = []
        self._file: Written | None = None
        self._path = b""
        self._left = -1  # bytes of the file that are still to come, then its end's mark; -1 between files
        self._failed = False  # there was no room for it
        self._torn = False

    def _begun(self, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        self._where = [self._files.resolve(self._paths[0], _HOME)]
        yield Send(b"\0")

    def begin(self, at_s: float) -> Iterator[Order]:
        """See `Program`."""
        try:
            yield from super().begin(at_s)
        except FileError as error:
            self.status = 1
            yield self._no(f"{self._paths[0].decode('latin-1')}: {error}")

    def receive(self, data: bytes, at_s: float) -> Iterator[Order]:
        """See `Program`."""
        at = 0
        while at < len(data) and self.status is None:
            if self._left > 0:
                piece = data[at : at + self._left]
                at += len(piece)
                self._left -= len(piece)
                self._take(piece, at_s)
            elif self._left == 0:
                self._torn = data[at] != 0  # the mark that the sender could read all of it
                at += 1
                yield from self._finish()
            else:
                end = data.find(b"\n", at)
                piece = data[at : len(data) if end < 0 else end]
                if len(self._line) + len(piece) > LINE_BYTES_MAX:
                    raise PeerError(f"an SCP line over {LINE_BYTES_MAX} bytes")
                self._line += piece
                at += len(piece) + 1
                if end >= 0:
                    line = bytes(self._line)
                    self._line.clear()
                    yield from self._hear(line, at_s)

    def end_of_input(self, at_s: float) -> Iterator[Order]:
        """See `Program`."""
        yield from self.ended(at_s)
        self.status = 0

    def ended(self, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        """See `Program`: a file that is not all here is kept as a part."""
        file, self._file = self._file, None
        if file is not None:
            yield uploads.kept(self._path, file, partial=self._left >= 0 or self._failed or self._torn)

    def _hear(self, line: bytes, at_s: float) -> Iterator[Order]:
        kind = line[:1]
        if kind == b"T":
            yield Send(b"\0")
        elif kind == b"E":
            if len(self._where) > 1:
                self._where.pop()
            yield Send(b"\0")
        elif kind in (b"C", b"D"):
            mode, _, rest = line[1:].partition(b" ")
            size, _, name = rest.partition(b" ")
            is_number = size.isdigit() and len(size) <= _DIGITS_MAX and 3 <= len(mode) <= 5
            if not is_number or mode.strip(b"01234567") or name in (b"", b".", b"..") or b"/" in name:
                self.status = 1
                yield self._no("protocol error: unexpected filename or size")
                return
            yield from self._begin(kind, int(mode, 8), int(size), name, at_s)
        else:
            self.status = 1
            yield self._no("protocol error: expected control record")

    def _begin(self, kind: bytes, mode: int, size: int, name: bytes, at_s: float) -> Iterator[Order]:
        path = self._where[-1]
        try:
            if isinstance(self._files.find(path), Directory):
                path = self._files.resolve(name, path)
            if kind == b"D":
                if self._files.find(path) is None:
                    self._files.make_directory(path, at_s, mode)
                    yield self._saw("make", path)
                self._where.append(path)
            else:
                if not isinstance(self._files.find(path), Device):
                    yield from uploads.open_to_write(self._files, path, at_s, mode, empty=True)
                    node = self._files.get(path)
                    self._file = node if isinstance(node, Written) else None
                self._path, self._left = path, size
                yield self._saw("write", path)
        except FileError as error:
            yield self._saw("write" if kind == b"C" else "make", path, done=False)
            yield self._no(f"{path.decode('latin-1')}: {error}")
            return
        yield Send(b"\0")

    def _take(self, piece: bytes, at_s: float) -> None:
        if self._file is not None and not self._failed:
            try:
                self._files.append(self._file, piece, at_s)
            except FileError:
                self._failed = True

    def _finish(self) -> Iterator[Order]:
        self._left = -1
        yield from self.ended(0.0)
        full, self._failed = self._failed, False
        yield self._no(f"{self._path.decode('latin-1')}: No space left on device") if full else Send(b"\0")

    def _saw(self, action: str, path: bytes, *, done: bool = True) -> Saw:
        return Saw(FileRequested(action, printable(path, uploads.PATH_CHARS_MAX), done=done))


class Source(_Scp):
    """Gives files, one after the other; directories are refused."""

    def __init__(self, visit: Visit, files: Files, text: bytes, paths: list[bytes]) -> None:
        super().__init__(visit, files, text, paths)
        self._step = 0  # of a file: 0 to be named, 1 to be sent, 2 to be acknowledged
        self._data = b""

    def _begun(self, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        yield from ()  # the peer says when

    def receive(self, data: bytes, at_s: float) -> Iterator[Order]:
        """See `Program`: each byte is an answer."""
        for byte in data:
            if self.status is not None:
                return
            if byte:
                self.status = 1
            elif self._step == 1:
                for at in range(0, len(self._data), _PIECE_BYTES):
                    yield Send(self._data[at : at + _PIECE_BYTES])
                yield Send(b"\0")
                self._step = 2
            else:
                yield from self._next(at_s)

    def _next(self, at_s: float) -> Iterator[Order]:
        if not self._paths:
            self.status = 0
            return
        given = self._paths.pop(0)
        shown = printable(given, uploads.PATH_CHARS_MAX)
        try:
            path = self._files.resolve(given, _HOME)
            node = self._files.get(path)
            self._data = uploads.read(node, at_s)
        except FileError as error:
            self.status = 1
            yield Saw(FileRequested("read", shown, done=False))
            yield self._no(f"{given.decode('latin-1')}: {str(error).lower() if 'regular' in str(error) else error}")
            return
        yield Saw(FileRequested("read", printable(path, uploads.PATH_CHARS_MAX)))
        name = path.rpartition(b"/")[2]
        yield Send(b"C%04o %d " % (node.mode & 0o7777, len(self._data)) + name + b"\n")
        self._step = 1

    def end_of_input(self, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        """See `Program`."""
        self.status = 1 if self.status is None else self.status
        yield from ()
