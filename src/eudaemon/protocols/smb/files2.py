"""SMB 2: files, folders and pipes (MS-SMB2 2.2.13 to 2.2.40)."""

from __future__ import annotations

import struct
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, TypeAlias

from eudaemon.protocols._base import Order
from eudaemon.protocols.smb import info, status
from eudaemon.protocols.smb.connection import Connection, Wanted
from eudaemon.protocols.smb.disk import content_of
from eudaemon.protocols.smb.opens import DiskOpen, PipeOpen
from eudaemon.protocols.smb.status import NtError

if TYPE_CHECKING:
    from eudaemon.protocols.smb.smb2 import Request, Smb2

Step: TypeAlias = "Callable[[Smb2, Connection, Request], Generator[Order, None, tuple[int, bytes]]]"
READ_BYTES_MAX = 128 * 1024  # of one answer, whatever is asked for
SLOW_READ_BYTES_MAX = 32 * 1024  # of one that is signed with AES
LISTED_BYTES_MAX = 64 * 1024
_PIPE_TRANSCEIVE, _PIPE_WAIT, _PIPE_PEEK = 0x0011_C017, 0x0011_0018, 0x0011_400C
_VALIDATE = 0x0014_0204
_DFS = (0x0006_0194, 0x0006_01B0)
_FILE, _VOLUME, _SECURITY = 1, 2, 3
_RESTART, _SINGLE = 0x01, 0x02
# Everyone may do everything: self-relative, no owner, no group, no list.
_DESCRIPTOR = bytes((1, 0, 0, 0x80)) + bytes(16)


def _identifier(number: int) -> bytes:
    return struct.pack("<QQ", number, number)


def _create(smb: Smb2, connection: Connection, request: Request) -> Generator[Order, None, tuple[int, bytes]]:
    tree = smb.tree(request)
    access, _, _, disposition, options, offset, size = request.unpack("IIIIIHH", 24)
    name = request.slice(offset, size).decode("utf-16-le", "replace")
    number, opened, done = yield from connection.open(tree, Wanted(name, access, disposition, options))
    smb.opened(request, number)
    entry = connection.entry(opened)
    body = struct.pack("<HBBI", 89, 0, 0, done) + entry.times
    body += struct.pack("<QQII", entry.allocated, entry.size, entry.attributes, 0) + _identifier(number)
    return status.SUCCESS, body + bytes(8)


def _close(smb: Smb2, connection: Connection, request: Request) -> Generator[Order, None, tuple[int, bytes]]:
    flags, _, identifier = request.unpack("HIQ", 2)
    number = smb.file(identifier)
    entry = connection.entry(connection.get(number))
    yield from connection.close(number)
    if not flags & 1:
        return status.SUCCESS, struct.pack("<HHI", 60, 0, 0) + bytes(52)
    body = (
        struct.pack("<HHI", 60, 1, 0) + entry.times + struct.pack("<QQI", entry.allocated, entry.size, entry.attributes)
    )
    return status.SUCCESS, body


def _flush(smb: Smb2, connection: Connection, request: Request) -> Generator[Order, None, tuple[int, bytes]]:
    connection.get(smb.file(request.unpack("Q", 8)[0]))
    yield from ()
    return status.SUCCESS, struct.pack("<HH", 4, 0)


def _read(smb: Smb2, connection: Connection, request: Request) -> Generator[Order, None, tuple[int, bytes]]:
    count, offset, identifier = request.unpack("IQQ", 4)
    opened = connection.get(smb.file(identifier))
    code = status.SUCCESS
    count = min(count, SLOW_READ_BYTES_MAX if smb.signs_slowly(request) else READ_BYTES_MAX)
    if isinstance(opened, PipeOpen):
        data, left = opened.read(count)
        if not data:
            raise NtError(opened.nothing)
        code = status.BUFFER_OVERFLOW if left else code
    else:
        data = content_of(opened.node, offset, count, connection.at_s)
        if not data and count:
            raise NtError(status.INVALID_DEVICE_REQUEST if opened.is_folder else status.END_OF_FILE)
    yield from ()
    return code, struct.pack("<HBBIII", 17, 80, 0, len(data), 0, 0) + data


def _write(smb: Smb2, connection: Connection, request: Request) -> Generator[Order, None, tuple[int, bytes]]:
    where, size, offset, identifier = request.unpack("HIQQ", 2)
    data = request.slice(where, size)
    opened = connection.get(smb.file(identifier))
    if isinstance(opened, PipeOpen):
        yield from opened.write(data, connection.at_s)
    else:
        connection.write(opened, offset, data)
    return status.SUCCESS, struct.pack("<HHIIHH", 17, 0, len(data), 0, 0, 0)


def _lock(smb: Smb2, connection: Connection, request: Request) -> Generator[Order, None, tuple[int, bytes]]:
    connection.get(smb.file(request.unpack("Q", 8)[0]))
    yield from ()
    return status.SUCCESS, struct.pack("<HH", 4, 0)


def _control(smb: Smb2, connection: Connection, request: Request) -> Generator[Order, None, tuple[int, bytes]]:
    code, identifier, _, offset, size, _, _, _, most = request.unpack("IQQIIIIII", 4)
    smb.tree(request)
    if code in _DFS:
        raise NtError(status.FS_DRIVER_REQUIRED)
    if code == _PIPE_WAIT:
        data = request.slice(offset, size)
        if not connection.has_pipe(data[14:].decode("utf-16-le", "replace")):
            raise NtError(status.OBJECT_NAME_NOT_FOUND)
        return status.SUCCESS, struct.pack("<HHIQQIIIIII", 49, 0, code, identifier, identifier, 112, 0, 112, 0, 0, 0)
    if code == _VALIDATE:
        answer = smb.confirmed()
        body = struct.pack("<HHIQQ", 49, 0, code, identifier, identifier)
        return status.SUCCESS, body + struct.pack("<IIIIII", 112, 0, 112, len(answer), 0, 0) + answer
    if code not in (_PIPE_TRANSCEIVE, _PIPE_PEEK):
        raise NtError(status.INVALID_DEVICE_REQUEST)
    pipe = connection.get(smb.file(identifier))
    if not isinstance(pipe, PipeOpen):
        raise NtError(status.INVALID_DEVICE_REQUEST)
    if code == _PIPE_PEEK:
        answer, left = struct.pack("<IIII", 3, pipe.unread, 1, pipe.unread), 0
    else:
        yield from pipe.write(request.slice(offset, size), connection.at_s)
        answer, left = pipe.read(min(most, READ_BYTES_MAX))
    body = struct.pack("<HHI", 49, 0, code) + _identifier(identifier)
    body += struct.pack("<IIIIII", 112, 0, 112, len(answer), 0, 0) + answer
    return status.BUFFER_OVERFLOW if left else status.SUCCESS, body


def _list(smb: Smb2, connection: Connection, request: Request) -> Generator[Order, None, tuple[int, bytes]]:
    number, flags, _, identifier, _, offset, size, most = request.unpack("BBIQQHHI", 2)
    opened = connection.disk_open(smb.file(identifier))
    pattern = request.slice(offset, size).decode("utf-16-le", "replace")
    is_first = opened.listing is None
    entries = connection.entries(opened, pattern, again=bool(flags & _RESTART))
    if flags & _SINGLE:
        entries = iter([entry for _, entry in zip(range(1), entries, strict=False)])
    data, told = info.listed(number, entries, min(most, LISTED_BYTES_MAX))
    if not told:
        raise NtError(status.NO_SUCH_FILE if is_first else status.NO_MORE_FILES)
    opened.told += told
    if is_first:
        yield connection.listed(opened)
    return status.SUCCESS, struct.pack("<HHI", 9, 72, len(data)) + data


def _query(smb: Smb2, connection: Connection, request: Request) -> Generator[Order, None, tuple[int, bytes]]:
    kind, number, most = request.unpack("BBI", 2)
    opened = connection.get(smb.file(request.unpack("Q", 24)[0]))
    if kind == _FILE:
        data = info.of_file(number, connection.entry(opened))
    elif kind == _VOLUME:
        data = info.of_volume(number, connection.windows)
    elif kind == _SECURITY:
        data = _DESCRIPTOR
    else:
        raise NtError(status.NOT_SUPPORTED)
    code = status.BUFFER_OVERFLOW if len(data) > most else status.SUCCESS
    data = data[:most]
    yield from ()
    return code, struct.pack("<HHI", 9, 72, len(data)) + data


def _set(smb: Smb2, connection: Connection, request: Request) -> Generator[Order, None, tuple[int, bytes]]:
    kind, number, size, offset, _, _, identifier = request.unpack("BBIHHIQ", 2)
    data = request.slice(offset, size)
    opened = connection.get(smb.file(identifier))
    if kind == _FILE and isinstance(opened, DiskOpen):
        yield from set_info(smb.tree(request).root, connection, request.tree, opened, number, data)
    return status.SUCCESS, struct.pack("<H", 2)


def set_info(
    root: bytes, connection: Connection, tree: int, opened: DiskOpen, number: int, data: bytes
) -> Generator[Order, None, None]:
    """Change what is known of a file: its name, its size, or that it goes (MS-FSCC 2.4). The rest is forgotten.

    `root` is the place of the share, `tree` its number. Raises `NtError`.
    """
    if number in (13, 64):  # disposition
        if not root:
            raise NtError(status.ACCESS_DENIED)
        opened.deletes = bool(data[:1] and data[0] & 1)
        if opened.deletes and opened.is_folder and connection.disk.files.names(opened.path):
            opened.deletes = False
            raise NtError(status.DIRECTORY_NOT_EMPTY)
    elif number == 20 and len(data) >= 8:  # end of file
        connection.resize(opened, int.from_bytes(data[:8], "little"))
    elif number == 10 and len(data) >= 20:  # rename
        size = int.from_bytes(data[16:20], "little")
        name = data[20 : 20 + size].decode("utf-16-le", "replace")
        yield from connection.rename(opened, connection.trees[tree], name, over=bool(data[0]))


STEPS: dict[int, Step] = {
    0x05: _create, 0x06: _close, 0x07: _flush, 0x08: _read, 0x09: _write, 0x0A: _lock, 0x0B: _control, 0x0E: _list,
    0x10: _query, 0x11: _set,
}  # fmt: skip
