"""The file service: requests of four letters and a length, inside the stream's bytes, wherever the frames cut them.

    STAT path   -> STAT mode size time            SEND path,mode  (DATA bytes)…  DONE time   -> OKAY | FAIL reason
    STA2 path   -> STA2 error … mode … size …     RECV path    -> (DATA bytes)…  DONE
    LIST path   -> (DENT entry)… DONE             QUIT

What is sent is kept byte for byte, also where the pretended file system would have no place for it, and in part if
the rest never comes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from eudaemon.events.catalogue import CommandEntered
from eudaemon.protocols._base import HangUp, Keep, Order, Saw, Send
from eudaemon.protocols._services import Service
from eudaemon.wire import PeerError, printable
from eudaemon.world.files import Device, Directory, FileError, Files, Fixed, Link, Node, Written, content_size
from eudaemon.world.outside import HEAD_BYTES_MAX
from eudaemon.world.shell.streams import content

PATH_BYTES_MAX = 1024  # SYNC.TXT
_HEAD = struct.Struct("<4sI")
_DATA_BYTES = 64 * 1024  # of one DATA that we send
_STAT = struct.Struct("<4sIII")
_STAT_2 = struct.Struct("<4sIQQIIIIQqqq")
_ENTRY = struct.Struct("<4sIIII")
_LINK, _DEVICE, _FILE, _DIRECTORY = 0o120000, 0o020000, 0o100000, 0o040000
_NO_SUCH_FILE = 2  # ENOENT


class Sync(Service):
    """One stream of the file service. `Send` is what goes back, `HangUp` ends the stream."""

    __slots__ = ("_at_s", "_buffer", "_file", "_files", "_left", "_mode", "_path", "_place", "_refusal")

    def __init__(self, files: Files) -> None:
        self._files = files
        self._buffer = b""
        self._left = 0  # bytes of the current DATA that have not come
        self._file: Written | None = None  # what is being sent to us
        self._path = b""
        self._place = b""  # where it stands in the file tree; nowhere if empty
        self._refusal = ""  # and why not
        self._mode = 0
        self._at_s = 0.0

    def received(self, data: bytes, at_s: float) -> Iterator[Order]:
        """Take bytes of the stream. Raises `PeerError` for what no client sends."""
        self._at_s = at_s
        self._buffer = self._buffer + data if self._buffer else data
        while True:
            if self._left:
                self._take_data()
            if self._left or len(self._buffer) < _HEAD.size:
                return
            verb, length = _HEAD.unpack_from(self._buffer)
            if verb == b"DATA" and self._file is not None:
                self._left, self._buffer = length, self._buffer[_HEAD.size :]
                continue
            if verb == b"DONE" and self._file is not None:  # the length is a time
                self._buffer = self._buffer[_HEAD.size :]
                yield from self._sent()
                continue
            step = _STEPS.get(verb)
            if step is None or self._file is not None:
                raise PeerError(f"no request of the file service: {printable(verb)}")
            if length > PATH_BYTES_MAX:
                raise PeerError(f"path over {PATH_BYTES_MAX} bytes")
            if len(self._buffer) < _HEAD.size + length:
                return
            path = self._buffer[_HEAD.size : _HEAD.size + length]
            self._buffer = self._buffer[_HEAD.size + length :]
            yield from step(self, path)

    def closed(self, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        """The stream is over: keep what came of a file that is not whole."""
        file, self._file = self._file, None
        if file is not None:
            yield self._keep(file, partial=True)
            file.kept = True
            self._release(file)

    # --- what is sent to us --------------------------------------------------------------------------

    def _send(self, argument: bytes) -> Iterator[Order]:
        path, _, mode = argument.rpartition(b",")
        self._path = path or argument
        self._mode = int(mode) if mode.isdigit() and len(mode) < 8 else 0o644
        yield Saw(CommandEntered(f"push {printable(self._path)}"))
        self._file = Written(self._mode & 0o777 or 0o644, self._at_s)
        self._place, self._refusal = b"", "Operation not permitted"
        try:
            place = self._files.resolve(self._path)
            node = self._files.find(place)
            if isinstance(node, Written):
                if not node.kept and node.data:
                    yield Keep(bytes(node.data), "upload", printable(place, 1024))
                self._files.truncate(node)
                node.mode, node.missing = self._file.mode, 0
                self._file = node
            elif not isinstance(node, Device) and self._mode & 0o170000 != _LINK:
                self._file = self._files.create(place, self._at_s, self._file.mode)
            self._file.kept = True
            self._place = place
        except FileError as error:
            self._refusal = str(error)

    def _take_data(self) -> None:
        part = self._buffer[: self._left]
        self._buffer = self._buffer[len(part) :]
        self._left -= len(part)
        if self._file is None:
            return
        try:
            self._files.append(self._file, part, self._at_s)
        except FileError:
            raise PeerError("the session holds too many bytes") from None

    def _sent(self) -> Iterator[Order]:
        file, self._file = self._file, None
        if file is None:
            return
        size = len(file.data)
        if self._mode & 0o170000 == _LINK:
            target = bytes(file.data)
            self._release(file)
            try:
                self._files.make_link(self._place, target, self._at_s)
            except FileError as error:
                yield _failure(f"couldn't create symlink: {error}")
                return
            yield Send(_HEAD.pack(b"OKAY", 0))
            return
        yield self._keep(file, partial=False)
        if not self._place:
            self._release(file)
            yield _failure(f"couldn't create file: {self._refusal}")
            return
        file.kept = True
        if size > HEAD_BYTES_MAX:  # as with downloads: the whole lies on disk
            self._files.truncate(file, HEAD_BYTES_MAX)
            file.missing = size - HEAD_BYTES_MAX
        yield Send(_HEAD.pack(b"OKAY", 0))

    def _keep(self, file: Written, *, partial: bool) -> Keep:
        return Keep(bytes(file.data), "upload", printable(self._path, 1024), partial)

    def _release(self, file: Written) -> None:
        """Give back what a file holds that stands nowhere."""
        if not self._place or self._mode & 0o170000 == _LINK:
            self._files.truncate(file)

    # --- what is asked of us -------------------------------------------------------------------------

    def _stat(self, path: bytes) -> Iterator[Order]:
        node = self._files.find(path, follow=False)
        if node is None:
            yield Send(_STAT.pack(b"STAT", 0, 0, 0))
        else:
            yield Send(_STAT.pack(b"STAT", _mode(node), content_size(node, self._at_s), int(node.mtime_s)))

    def _stat_2(self, path: bytes, *, verb: bytes = b"STA2", follow: bool = True) -> Iterator[Order]:
        node = self._files.find(path, follow=follow)
        if node is None:
            yield Send(_STAT_2.pack(verb, _NO_SUCH_FILE, *[0] * 10))
        else:
            time = int(node.mtime_s)
            size = content_size(node, self._at_s)
            yield Send(_STAT_2.pack(verb, 0, 64768, 1, _mode(node), 1, 0, 0, size, time, time, time))

    def _lstat_2(self, path: bytes) -> Iterator[Order]:
        return self._stat_2(path, verb=b"LST2", follow=False)

    def _list(self, path: bytes) -> Iterator[Order]:
        try:
            place = self._files.resolve(path)
            names = [b".", b"..", *self._files.names(place)]
        except FileError:
            place, names = b"/", []
        for name in names:
            node = self._files.find(place + b"/" + name, follow=False)
            if node is not None:
                size = content_size(node, self._at_s)
                yield Send(_ENTRY.pack(b"DENT", _mode(node), size, int(node.mtime_s), len(name)) + name)
        yield Send(_ENTRY.pack(b"DONE", 0, 0, 0, 0))

    def _receive(self, path: bytes) -> Iterator[Order]:
        yield Saw(CommandEntered(f"pull {printable(path)}"))
        try:
            node = self._files.get(path)
        except FileError as error:
            yield _failure(f"open failed: {error}")
            return
        if not isinstance(node, Fixed | Written):
            yield _failure("read failed: Is a directory" if isinstance(node, Directory) else "read failed: I/O error")
            return
        data = content(node, self._at_s)
        for start in range(0, len(data), _DATA_BYTES):
            part = data[start : start + _DATA_BYTES]
            yield Send(_HEAD.pack(b"DATA", len(part)) + part)
        yield Send(_HEAD.pack(b"DONE", 0))

    def _quit(self, path: bytes) -> Iterator[Order]:  # noqa: ARG002
        yield HangUp()


_STEPS = {
    b"SEND": Sync._send, b"STAT": Sync._stat, b"STA2": Sync._stat_2, b"LST2": Sync._lstat_2, b"LIST": Sync._list,
    b"RECV": Sync._receive, b"QUIT": Sync._quit,
}  # fmt: skip


def _mode(node: Node) -> int:
    kind = {Link: _LINK, Device: _DEVICE, Directory: _DIRECTORY}.get(type(node), _FILE)
    return kind | node.mode


def _failure(reason: str) -> Send:
    text = reason.encode("latin-1", "replace")
    return Send(_HEAD.pack(b"FAIL", len(text)) + text)
