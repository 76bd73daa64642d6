"""SFTP, version 3 as OpenSSH's sftp-server speaks it: draft-ietf-secsh-filexfer-02. Extensions: `extensions`.

    +--------+------+---------+--------
    | length | kind | request | …         a request's number stands in its answer
    | u32    | u8   | u32     |
    +--------+------+---------+--------

The files are the session's: what is uploaded here, a command of the same session can run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import ClassVar

from eudaemon.events.catalogue import FileRequested
from eudaemon.protocols import _uploads as uploads
from eudaemon.protocols._base import Order, Saw, Send, Visit
from eudaemon.protocols.ssh.fields import Fields, message, number, string
from eudaemon.protocols.ssh.programs import Program
from eudaemon.wire import PeerError, printable
from eudaemon.world.files import Device, Directory, FileError, Files, Fixed, Link, Node, Written, content_size
from eudaemon.world.shell.applets.listing import letters

MESSAGE_BYTES_MAX = 256 * 1024  # OpenSSH's SFTP_MAX_MSG_LENGTH
READ_BYTES_MAX = 64 * 1024  # of one answer
HANDLES_MAX = 64  # open at once
NAMES_MAX = 100  # in one answer
_HOME = b"/root"

INIT, VERSION, OPEN, CLOSE, READ, WRITE, LSTAT, FSTAT, SETSTAT, FSETSTAT = range(1, 11)
OPENDIR, READDIR, REMOVE, MKDIR, RMDIR, REALPATH, STAT, RENAME, READLINK, SYMLINK = range(11, 21)
STATUS, HANDLE, DATA, NAME, ATTRS, EXTENDED, EXTENDED_REPLY = 101, 102, 103, 104, 105, 200, 201
OK, EOF, NO_SUCH_FILE, PERMISSION_DENIED, FAILURE, BAD_MESSAGE, UNSUPPORTED = 0, 1, 2, 3, 4, 5, 8
_WORDS = {
    OK: b"Success", EOF: b"End of file", NO_SUCH_FILE: b"No such file", PERMISSION_DENIED: b"Permission denied",
    FAILURE: b"Failure", BAD_MESSAGE: b"Bad message", UNSUPPORTED: b"Operation unsupported",
}  # fmt: skip
# What the system says of a file, as sftp-server tells it; all else is a failure.
_STATUS = {"No such file or directory": NO_SUCH_FILE, "Permission denied": PERMISSION_DENIED}
_READS, _WRITES, _APPENDS, _CREATES, _EMPTIES, _EXCLUDES = 1, 2, 4, 8, 16, 32
_SIZE, _OWNER, _MODE, _TIMES, _MORE = 1, 2, 4, 8, 1 << 31
_KINDS = {Directory: 0o040000, Link: 0o120000, Fixed: 0o100000, Written: 0o100000}


class _Handle:
    """An open file, or a directory that is being listed."""

    __slots__ = ("appends", "changed", "names", "node", "path", "writes")

    def __init__(self, path: bytes, node: Node, names: list[bytes] | None = None, flags: int = 0) -> None:
        self.path = path
        self.node = node
        self.names = names  # of a directory, those that were not told yet
        self.writes = bool(flags & (_WRITES | _APPENDS))
        self.appends = bool(flags & _APPENDS)
        self.changed = self.writes and isinstance(node, Written) and not node.data  # a new file is kept, even if empty


class Sftp(Program):
    """See the module. Which extensions there are its heir says."""

    recorded: ClassVar[bool] = False

    def __init__(self, visit: Visit, files: Files) -> None:
        super().__init__()
        self._files = files
        self._purse = visit.purse
        self._buffer = bytearray()
        self._handles: dict[bytes, _Handle] = {}
        self._opened = 0
        self._at_s = 0.0

    def receive(self, data: bytes, at_s: float) -> Iterator[Order]:
        """See `Program`. Raises `PeerError` for a message over the limit."""
        if not self._purse.take(len(data)):
            raise PeerError("the session holds too many bytes")
        self._buffer += data
        self._at_s = at_s
        at = 0
        while len(self._buffer) - at >= 4:
            length = int.from_bytes(self._buffer[at : at + 4], "big")
            if not 0 < length <= MESSAGE_BYTES_MAX:
                raise PeerError(f"an SFTP message that is empty, or over {MESSAGE_BYTES_MAX} bytes")
            if len(self._buffer) - at < 4 + length:
                break
            payload = bytes(self._buffer[at + 4 : at + 4 + length])
            at += 4 + length
            yield from self._hear(payload)
        del self._buffer[:at]
        self._purse.give_back(at)

    def end_of_input(self, at_s: float) -> Iterator[Order]:
        """See `Program`."""
        yield from self.ended(at_s)
        self.status = 0

    def ended(self, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        """See `Program`: files that nobody has closed are not known to be whole."""
        for handle in self._handles.values():
            if handle.changed and isinstance(handle.node, Written):
                yield uploads.kept(handle.path, handle.node, partial=True)
        self._handles.clear()
        self._purse.give_back(len(self._buffer))
        self._buffer.clear()

    def announced(self) -> dict[bytes, bytes]:
        """Return the extensions that are announced, and the version of each: see `extensions`."""
        raise NotImplementedError

    # --- messages ----------------------------------------------------------------------------------

    def _hear(self, payload: bytes) -> Iterator[Order]:
        kind, read = payload[0], Fields(payload, 1)
        if kind == INIT:
            extensions = b"".join(string(name) + string(version) for name, version in self.announced().items())
            yield self._send(message(VERSION, number(3), extensions))
            return
        request = read.take(4)
        handler = self._HANDLERS.get(kind)
        if handler is None:
            yield self._answer(request, UNSUPPORTED)
            return
        try:
            yield from handler(self, request, read)
        except FileError as error:
            yield self._answer(request, _STATUS.get(str(error), FAILURE))

    @staticmethod
    def _send(payload: bytes) -> Send:
        return Send(string(payload))

    def _answer(self, request: bytes, status: int) -> Send:
        return self._send(message(STATUS, request, number(status), string(_WORDS[status]), string(b"")))

    def _saw(self, action: str, path: bytes, detail: bytes | str = "", *, done: bool = True) -> Saw:
        shown = detail if isinstance(detail, str) else printable(detail, uploads.PATH_CHARS_MAX)
        return Saw(FileRequested(action, printable(path, uploads.PATH_CHARS_MAX), shown, done))

    def _path(self, read: Fields, *, follow: bool = True) -> bytes:
        return self._files.resolve(read.string() or b".", _HOME, follow=follow)

    def _handle(self, read: Fields) -> _Handle:
        handle = self._handles.get(read.string())
        if handle is None:
            raise FileError("no such handle")
        return handle

    def _new_handle(self, request: bytes, handle: _Handle) -> Send:
        name = number(self._opened)
        self._opened += 1
        self._handles[name] = handle
        return self._send(message(HANDLE, request, string(name)))

    def _may_open(self) -> None:
        if len(self._handles) >= HANDLES_MAX:
            raise FileError("Too many open files")

    # --- files -------------------------------------------------------------------------------------

    def _open(self, request: bytes, read: Fields) -> Iterator[Order]:
        given = read.string()
        flags = read.number()
        mode, _ = _attributes(read)
        writes = bool(flags & (_WRITES | _APPENDS))
        action = "write" if writes else "read"
        try:
            self._may_open()
            path = self._files.resolve(given, _HOME)
            node = self._files.find(path)
            if isinstance(node, Directory) or (node is not None and flags & _CREATES and flags & _EXCLUDES):
                raise FileError("Is a directory")
            if node is None and not (writes and flags & _CREATES):
                raise FileError("No such file or directory")
            if writes and not isinstance(node, Device):
                opening = uploads.open_to_write(
                    self._files, path, self._at_s, 0o644 if mode is None else mode, empty=bool(flags & _EMPTIES)
                )
                yield from opening
            node = self._files.get(path)
        except FileError:
            yield self._saw(action, given, done=False)
            raise
        yield self._saw(action, path)
        yield self._new_handle(request, _Handle(path, node, flags=flags))

    def _close(self, request: bytes, read: Fields) -> Iterator[Order]:
        name = read.string()
        handle = self._handles.pop(name, None)
        if handle is None:
            raise FileError("no such handle")
        if handle.changed and isinstance(handle.node, Written):
            yield uploads.kept(handle.path, handle.node)
        yield self._answer(request, OK)

    def _read(self, request: bytes, read: Fields) -> Iterator[Order]:
        handle, at, count = self._handle(read), read.long(), read.number()
        node = handle.node
        if isinstance(node, Written):
            data = bytes(node.data[at : at + min(count, READ_BYTES_MAX)])
        elif isinstance(node, Fixed):
            data = uploads.read(node, self._at_s)[at : at + min(count, READ_BYTES_MAX)]
        else:
            data = b""
        yield self._send(message(DATA, request, string(data))) if data else self._answer(request, EOF)

    def _write(self, request: bytes, read: Fields) -> Iterator[Order]:
        handle, at, data = self._handle(read), read.long(), read.string()
        if not handle.writes:
            raise FileError("Bad file descriptor")
        if isinstance(handle.node, Written):
            handle.changed = True
            self._files.write(handle.node, len(handle.node.data) if handle.appends else at, data, self._at_s)
        yield self._answer(request, OK)

    def _remove(self, request: bytes, read: Fields) -> Iterator[Order]:
        path = self._path(read, follow=False)
        if isinstance(self._files.get(path, follow=False), Directory):
            raise FileError("Is a directory")
        yield from uploads.keep_before(self._files, path)
        self._files.remove(path)
        yield self._saw("remove", path)
        yield self._answer(request, OK)

    def _rename(self, request: bytes, read: Fields) -> Iterator[Order]:
        yield from self._move(request, read, over=False)

    def _move(self, request: bytes, read: Fields, *, over: bool) -> Iterator[Order]:
        old, new = self._path(read, follow=False), self._path(read, follow=False)
        there = self._files.find(new, follow=False)
        self._files.get(old, follow=False)
        if there is not None and (not over or isinstance(there, Directory)):
            raise FileError("File exists")
        if old != new:
            if there is not None:
                yield from uploads.keep_before(self._files, new)
                self._files.remove(new)
            node = self._files.take_away(old)
            try:
                self._files.place(new, node)
            except FileError:
                self._files.place(old, node)
                raise
        yield self._saw("rename", old, new)
        yield self._answer(request, OK)

    def _extended(self, request: bytes, read: Fields) -> Iterator[Order]:
        raise NotImplementedError

    # --- directories and links ---------------------------------------------------------------------

    def _open_directory(self, request: bytes, read: Fields) -> Iterator[Order]:
        self._may_open()
        path = self._path(read)
        names = [b".", b"..", *self._files.names(path)]
        yield self._saw("list", path)
        yield self._new_handle(request, _Handle(path, self._files.get(path), names))

    def _read_directory(self, request: bytes, read: Fields) -> Iterator[Order]:
        handle = self._handle(read)
        if not handle.names:
            yield self._answer(request, EOF if handle.names is not None else FAILURE)
            return
        told, handle.names = handle.names[:NAMES_MAX], handle.names[NAMES_MAX:]
        rows = []
        for name in told:
            node = self._files.find(handle.path.rstrip(b"/") + b"/" + name, follow=False)
            if node is not None:
                rows.append(string(name) + string(self._long_name(node, name)) + self._attrs(node))
        yield self._send(message(NAME, request, number(len(rows)), *rows))

    def _make_directory(self, request: bytes, read: Fields) -> Iterator[Order]:
        path = self._path(read)
        mode, _ = _attributes(read)
        self._files.make_directory(path, self._at_s, 0o755 if mode is None else mode & 0o7777)
        yield self._saw("make", path)
        yield self._answer(request, OK)

    def _remove_directory(self, request: bytes, read: Fields) -> Iterator[Order]:
        path = self._path(read, follow=False)
        if not isinstance(self._files.get(path, follow=False), Directory):
            raise FileError("Not a directory")
        self._files.remove(path)
        yield self._saw("remove", path)
        yield self._answer(request, OK)

    def _real_path(self, request: bytes, read: Fields) -> Iterator[Order]:
        path = self._path(read)
        yield self._send(message(NAME, request, number(1), string(path), string(path), number(0)))

    def _read_link(self, request: bytes, read: Fields) -> Iterator[Order]:
        node = self._files.get(self._path(read, follow=False), follow=False)
        if not isinstance(node, Link):
            raise FileError("Invalid argument")
        yield self._send(message(NAME, request, number(1), string(node.target), string(node.target), number(0)))

    def _make_link(self, request: bytes, read: Fields) -> Iterator[Order]:
        target, path = read.string(), self._path(read, follow=False)  # OpenSSH's order, not the draft's
        self._files.make_link(path, target, self._at_s)
        yield self._saw("link", path, target)
        yield self._answer(request, OK)

    # --- attributes --------------------------------------------------------------------------------

    def _stat(self, request: bytes, read: Fields) -> Iterator[Order]:
        yield self._send(message(ATTRS, request, self._attrs(self._files.get(self._path(read)))))

    def _stat_link(self, request: bytes, read: Fields) -> Iterator[Order]:
        node = self._files.get(self._path(read, follow=False), follow=False)
        yield self._send(message(ATTRS, request, self._attrs(node)))

    def _stat_handle(self, request: bytes, read: Fields) -> Iterator[Order]:
        yield self._send(message(ATTRS, request, self._attrs(self._handle(read).node)))

    def _set_stat(self, request: bytes, read: Fields) -> Iterator[Order]:
        path = self._path(read)
        yield from self._change(request, path, self._files.get(path), read)

    def _set_handle(self, request: bytes, read: Fields) -> Iterator[Order]:
        handle = self._handle(read)
        yield from self._change(request, handle.path, handle.node, read)

    def _change(self, request: bytes, path: bytes, node: Node, read: Fields) -> Iterator[Order]:
        """Change size and mode; owner and times are as they are, and nobody looks."""
        mode, size = _attributes(read)
        if not self._files.writable(path):
            raise FileError("Read-only file system")
        if size is not None and isinstance(node, Written):
            if size > len(node.data):
                self._files.write(node, size, b"", self._at_s)
            self._files.truncate(node, size)
        if mode is not None and isinstance(node, Written | Directory) and node.mode != mode & 0o7777:
            if isinstance(node, Written):
                node.mode = mode & 0o7777
            yield self._saw("change", path, f"{mode & 0o7777:o}")
        yield self._answer(request, OK)

    def _attrs(self, node: Node) -> bytes:
        kind = _KINDS.get(type(node)) or (0o060000 if isinstance(node, Device) and node.block else 0o020000)
        when = number(int(self._time(node)))
        return (
            number(_SIZE | _OWNER | _MODE | _TIMES)
            + content_size(node, self._at_s).to_bytes(8, "big")
            + number(0) * 2
            + number(kind | node.mode)
            + when * 2
        )

    def _time(self, node: Node) -> float:
        return node.mtime_s or self._at_s  # the views of the kernel are of now

    def _long_name(self, node: Node, name: bytes) -> bytes:
        when = datetime.fromtimestamp(self._time(node), UTC)
        recent = 0 <= self._at_s - when.timestamp() < 182.5 * 86_400
        date = f"{when:%b} {when.day:>2} " + (f"{when:%H:%M}" if recent else f" {when.year}")
        size = content_size(node, self._at_s)
        return f"{letters(node)}    ? {0:<8} {0:<8} {size:>8} {date} ".encode() + name

    _HANDLERS: ClassVar[dict[int, Callable[[Sftp, bytes, Fields], Iterator[Order]]]] = {
        OPEN: _open, CLOSE: _close, READ: _read, WRITE: _write, LSTAT: _stat_link, FSTAT: _stat_handle,
        SETSTAT: _set_stat, FSETSTAT: _set_handle, OPENDIR: _open_directory, READDIR: _read_directory,
        REMOVE: _remove, MKDIR: _make_directory, RMDIR: _remove_directory, REALPATH: _real_path, STAT: _stat,
        RENAME: _rename, READLINK: _read_link, SYMLINK: _make_link,
        EXTENDED: lambda self, request, read: self._extended(request, read),
    }  # fmt: skip


def _attributes(read: Fields) -> tuple[int | None, int | None]:
    """Read attributes; return mode and size, None where they are not said."""
    flags = read.number()
    size = read.long() if flags & _SIZE else None
    if flags & _OWNER:
        read.take(8)
    mode = read.number() if flags & _MODE else None
    if flags & _TIMES:
        read.take(8)
    return mode, size
