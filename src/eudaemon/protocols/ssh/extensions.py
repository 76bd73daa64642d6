"""SFTP's extensions as OpenSSH's sftp-server of a known version has them: its PROTOCOL, sections 4 and 5.

Dropbear has no SFTP of its own: where a device with it has any, it is OpenSSH's sftp-server of the same time. Which
extensions a version has, and in which order it announces them, is read from its `sftp-server.c`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import ClassVar

from eudaemon.protocols import _uploads as uploads
from eudaemon.protocols._base import Order, Visit
from eudaemon.protocols.ssh.fields import Fields, message, number, string
from eudaemon.protocols.ssh.products import product_of
from eudaemon.protocols.ssh.sftp import (
    EXTENDED_REPLY,
    FAILURE,
    MESSAGE_BYTES_MAX,
    NAME,
    OK,
    UNSUPPORTED,
    Sftp,
)
from eudaemon.world.files import Directory, FileError, Files, Fixed, Link, Written
from eudaemon.world.host import Host
from eudaemon.world.kernel import usage_kb

IDS_MAX = 1024  # whose names are asked for at once
COPIED_BYTES_MAX = 16 * 1024 * 1024  # of one request to copy
_BLOCK_BYTES = 4096
_READ_ONLY, _NO_SUID = 1, 2
_MOST_BYTES = MESSAGE_BYTES_MAX - 1024  # SFTP_MAX_READ_LENGTH: of a request to read or write
_MOST_HANDLES = 1024 - 5  # RLIMIT_NOFILE as it is by default, less what the server itself needs
# Year of a Dropbear: the version of OpenSSH that was out.
_OF_YEAR = {2014: (6, 6), 2016: (7, 3), 2017: (7, 5), 2018: (7, 8), 2020: (8, 4), 2022: (9, 1), 2024: (9, 6)}


def version_of(host: Host) -> tuple[int, int]:
    """Return the version of OpenSSH whose sftp-server a host has."""
    name, _, version = product_of(host).software.partition("_")
    first, second = map(int, version.split("."))
    return _OF_YEAR[first] if name == "dropbear" else (first, second)


class OpenSshSftp(Sftp):
    """See the module."""

    def __init__(self, visit: Visit, files: Files) -> None:
        super().__init__(visit, files)
        self._host = visit.host

    def announced(self) -> dict[bytes, bytes]:
        """See `Sftp`."""
        version = version_of(self._host)
        return {name: number_ for name, (number_, since, _) in self._EXTENSIONS.items() if since <= version}

    def _extended(self, request: bytes, read: Fields) -> Iterator[Order]:
        name = read.string()
        if name not in self.announced():
            yield self._answer(request, UNSUPPORTED)
            return
        yield from self._EXTENSIONS[name][2](self, request, read)

    # --- files and the disk ------------------------------------------------------------------------

    def _posix_rename(self, request: bytes, read: Fields) -> Iterator[Order]:
        yield from self._move(request, read, over=True)

    def _hard_link(self, request: bytes, read: Fields) -> Iterator[Order]:
        """A second file with what the first holds: what is written to one later the other has not."""
        old, new = self._path(read, follow=False), self._path(read, follow=False)
        node = self._files.get(old, follow=False)
        if isinstance(node, Directory):
            raise FileError("Permission denied")
        if self._files.find(new, follow=False) is not None:
            raise FileError("File exists")
        if isinstance(node, Written):
            self._files.write(self._files.create(new, self._at_s, node.mode), 0, bytes(node.data), self._at_s)
        elif isinstance(node, Link):
            self._files.make_link(new, node.target, self._at_s)
        else:
            self._files.place(new, node)
        yield self._saw("link", new, old)
        yield self._answer(request, OK)

    def _sync(self, request: bytes, read: Fields) -> Iterator[Order]:
        self._handle(read)
        yield self._answer(request, OK)

    def _set_stat_of_link(self, request: bytes, read: Fields) -> Iterator[Order]:
        path = self._path(read, follow=False)
        yield from self._change(request, path, self._files.get(path, follow=False), read)

    def _file_system(self, request: bytes, read: Fields) -> Iterator[Order]:
        path = self._path(read)
        self._files.get(path)
        yield self._about_disk(request, path)

    def _file_system_of_handle(self, request: bytes, read: Fields) -> Iterator[Order]:
        yield self._about_disk(request, self._handle(read).path)

    def _about_disk(self, request: bytes, path: bytes) -> Order:
        return self._send(message(EXTENDED_REPLY, request, statvfs(self._host, path)))

    def _copy(self, request: bytes, read: Fields) -> Iterator[Order]:
        source, at, count, target, to = (
            self._handle(read), read.long(), read.long(), self._handle(read), read.long(),
        )  # fmt: skip
        if source is target or not target.writes or not isinstance(target.node, Written):
            raise FileError("Bad file descriptor")
        data = uploads.read(source.node, self._at_s)
        data = data[at : at + count] if count else data[at:]
        if len(data) > COPIED_BYTES_MAX:
            raise FileError("No space left on device")
        target.changed = True
        self._files.write(target.node, len(target.node.data) if target.appends else to, data, self._at_s)
        yield self._answer(request, OK)

    # --- who and what ------------------------------------------------------------------------------

    def _limits(self, request: bytes, read: Fields) -> Iterator[Order]:  # noqa: ARG002
        limits = struct.pack(">4Q", MESSAGE_BYTES_MAX, _MOST_BYTES, _MOST_BYTES, _MOST_HANDLES)
        yield self._send(message(EXTENDED_REPLY, request, limits))

    def _expand(self, request: bytes, read: Fields) -> Iterator[Order]:
        path = read.string()
        if path.startswith(b"~"):
            user, _, below = path[1:].partition(b"/")
            home = self._home_of(user or b"root")
            if home is None:
                raise FileError("No such file or directory")
            path = home + b"/" + below
        yield self._named(request, self._files.resolve(path or b".", self._home_of(b"root") or b"/"))

    def _home(self, request: bytes, read: Fields) -> Iterator[Order]:
        home = self._home_of(read.string() or b"root")
        yield self._named(request, home) if home is not None else self._answer(request, FAILURE)

    def _names_of_ids(self, request: bytes, read: Fields) -> Iterator[Order]:
        users, groups = (
            b"".join(string(known.get(one, b"")) for one in _numbers(read.string()))
            for known in (self._by_id(b"/etc/passwd"), self._by_id(b"/etc/group"))
        )
        yield self._send(message(EXTENDED_REPLY, request, string(users), string(groups)))

    def _named(self, request: bytes, path: bytes) -> Order:
        return self._send(message(NAME, request, number(1), string(path), string(path), number(0)))

    def _home_of(self, user: bytes) -> bytes | None:
        return next((row[5] for row in self._rows(b"/etc/passwd") if len(row) > 5 and row[0] == user), None)

    def _by_id(self, path: bytes) -> dict[int, bytes]:
        """Return names by number; of several with one number the first counts, as with getpwuid(3)."""
        return {int(row[2]): row[0] for row in reversed(self._rows(path)) if len(row) > 2 and row[2].isdigit()}

    def _rows(self, path: bytes) -> list[list[bytes]]:
        node = self._files.find(path)
        text = uploads.read(node, self._at_s) if isinstance(node, Fixed | Written) else b""
        return [line.split(b":") for line in text.splitlines()]

    _EXTENSIONS: ClassVar[
        dict[bytes, tuple[bytes, tuple[int, int], Callable[[OpenSshSftp, bytes, Fields], Iterator[Order]]]]
    ] = {
        b"posix-rename@openssh.com": (b"1", (4, 8), _posix_rename),
        b"statvfs@openssh.com": (b"2", (5, 1), _file_system),
        b"fstatvfs@openssh.com": (b"2", (5, 1), _file_system_of_handle),
        b"hardlink@openssh.com": (b"1", (5, 7), _hard_link),
        b"fsync@openssh.com": (b"1", (6, 5), _sync),
        b"lsetstat@openssh.com": (b"1", (8, 0), _set_stat_of_link),
        b"limits@openssh.com": (b"1", (8, 5), _limits),
        b"expand-path@openssh.com": (b"1", (8, 7), _expand),
        b"copy-data": (b"1", (9, 0), _copy),
        b"home-directory": (b"1", (9, 1), _home),
        b"users-groups-by-id@openssh.com": (b"1", (9, 1), _names_of_ids),
    }


def statvfs(host: Host, path: bytes) -> bytes:
    """Return what statvfs(3) says of the file system on which a resolved path lies, as `df` says it, too."""
    where = path.decode("latin-1")
    rows = [row.split(" ") for row in host.mounts]
    under = [row for row in rows if row[1] == "/" or where == row[1] or where.startswith(row[1] + "/")]
    device, mount, kind, flags = max(under, key=lambda row: len(row[1]))[:4] if under else ("", "/", "tmpfs", "rw")
    size, used = usage_kb(host, device, mount, kind, flags)
    blocks, free = size * 1024 // _BLOCK_BYTES, (size - used) * 1024 // _BLOCK_BYTES
    nodes = blocks // 4
    number_ = host.seed.number(f"file system {mount}", 1 << 32)
    marks = _READ_ONLY * ("ro" in flags.split(",")) | _NO_SUID * ("nosuid" in flags.split(","))
    free_nodes = nodes * free // max(1, blocks)
    return struct.pack(">11Q", _BLOCK_BYTES, _BLOCK_BYTES, blocks, free, free, nodes, free_nodes, free_nodes, number_,
                       marks, 255)  # fmt: skip


def _numbers(packed: bytes) -> Iterator[int]:
    for at in range(0, min(len(packed), 4 * IDS_MAX) - 3, 4):
        yield int.from_bytes(packed[at : at + 4], "big")
