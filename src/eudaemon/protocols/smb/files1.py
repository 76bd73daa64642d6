"""SMB 1: files, folders and pipes (MS-CIFS 2.2.4)."""

from __future__ import annotations

import struct
from collections.abc import Generator

from eudaemon.protocols._base import Order
from eudaemon.protocols.smb import status
from eudaemon.protocols.smb.connection import Wanted
from eudaemon.protocols.smb.disk import content_of
from eudaemon.protocols.smb.opens import PipeOpen
from eudaemon.protocols.smb.smb1 import HEAD, Partly, Request, Said, Smb1, Step
from eudaemon.protocols.smb.status import NtError

READ_BYTES_MAX = 60 * 1024  # of one answer
_DISK_FILE, _MESSAGE_PIPE = 0, 2
_READ, _DELETE, _WRITE = 0x0012_0089, 0x0001_0000, 0x0012_0116
_OPEN, _CREATE, _OPEN_IF, _OVERWRITE, _OVERWRITE_IF = 1, 2, 3, 4, 5
_FOLDER, _NO_FOLDER, _DELETE_ON_CLOSE = 0x1, 0x40, 0x1000


def _create(smb: Smb1, request: Request) -> Generator[Order, None, Said]:
    """NT_CREATE_ANDX."""
    _, _, _, access, _, _, _, disposition, options = request.unpack("HIIIQIIII", 5)
    tree = smb.tree(request)
    wanted = Wanted(request.text(), access, disposition, options)
    number, opened, done = yield from smb.connection.open(tree, wanted)
    entry = smb.connection.entry(opened)
    kind, state = (_MESSAGE_PIPE, 0x05FF) if isinstance(opened, PipeOpen) else (_DISK_FILE, 0x0007)
    words = bytes(4) + struct.pack("<BHI", 0, number, done) + entry.times
    words += struct.pack("<IQQ", entry.attributes, entry.allocated, entry.size)
    words += struct.pack("<HHB", kind, state, entry.is_directory)
    return words, b""


def _open(smb: Smb1, request: Request) -> Generator[Order, None, Said]:
    """OPEN_ANDX."""
    _, access, _, _, _, how = request.unpack("HHHHIH", 4)
    disposition = {0x11: _OPEN_IF, 0x12: _OVERWRITE_IF, 0x10: _CREATE, 0x02: _OVERWRITE}.get(how & 0x13, _OPEN)
    wanted = Wanted(request.text(), _WRITE if access & 3 else _READ, disposition, _NO_FOLDER)
    number, opened, done = yield from smb.connection.open(smb.tree(request), wanted)
    entry = smb.connection.entry(opened)
    kind = _MESSAGE_PIPE if isinstance(opened, PipeOpen) else _DISK_FILE
    words = bytes(4) + struct.pack("<HHIIH", number, entry.attributes, 0, entry.size & 0xFFFF_FFFF, access & 3)
    words += struct.pack("<HHHIH", kind, 0x05FF if kind else 0, done, 0, 0)
    return words, b""


def _read(smb: Smb1, request: Request) -> Generator[Order, None, Said]:
    """READ_ANDX."""
    number, offset, count = request.unpack("HIH", 4)
    if len(request.words) >= 24:
        offset |= request.unpack("I", 20)[0] << 32
        high = request.unpack("I", 14)[0]
        count |= (high & 0xFFFF) << 16 if high != 0xFFFF_FFFF else 0
    opened = smb.connection.get(number)
    left = 0
    if isinstance(opened, PipeOpen):
        data, left = opened.read(min(count, READ_BYTES_MAX))
        if not data:
            raise NtError(opened.nothing)
    else:
        data = content_of(opened.node, offset, min(count, READ_BYTES_MAX), smb.connection.at_s)
    at = HEAD.size + 3 + 24 + 1
    words = bytes(4) + struct.pack("<HHHHHH", 0xFFFF, 0, 0, len(data) & 0xFFFF, at, len(data) >> 16) + bytes(8)
    yield from ()
    if left:
        raise Partly(status.BUFFER_OVERFLOW, words, b"\0" + data)
    return words, b"\0" + data


def _write(smb: Smb1, request: Request) -> Generator[Order, None, Said]:
    """WRITE_ANDX."""
    number, offset, _, _, _, high, low, where = request.unpack("HIIHHHHH", 4)
    if len(request.words) >= 28:
        offset |= request.unpack("I", 24)[0] << 32
    count = high << 16 | low
    data = request.slice(where, count)
    opened = smb.connection.get(number)
    if isinstance(opened, PipeOpen):
        yield from opened.write(data, smb.connection.at_s)
    else:
        smb.connection.write(opened, offset, data)
    return bytes(4) + struct.pack("<HHHH", len(data) & 0xFFFF, 0xFFFF, len(data) >> 16, 0), b""


def _write_old(smb: Smb1, request: Request) -> Generator[Order, None, Said]:
    """WRITE: 16 bits of everything. No bytes at all cut or lengthen the file."""
    number, count, offset = request.unpack("HHI")
    opened = smb.connection.get(number)
    data = request.data[3 : 3 + count]
    if isinstance(opened, PipeOpen):
        yield from opened.write(data, smb.connection.at_s)
    elif count:
        smb.connection.write(opened, offset, data)
    else:
        smb.connection.resize(opened, offset)
    return struct.pack("<H", len(data)), b""


def _close(smb: Smb1, request: Request) -> Generator[Order, None, Said]:
    """CLOSE."""
    yield from smb.connection.close(request.unpack("H")[0])
    return b"", b""


def _flush(smb: Smb1, request: Request) -> Generator[Order, None, Said]:  # noqa: ARG001
    """FLUSH: everything is where it belongs already."""
    yield from ()
    return b"", b""


def _stop_finding(smb: Smb1, request: Request) -> Generator[Order, None, Said]:
    """FIND_CLOSE2."""
    number = smb.finds.pop(request.unpack("H")[0], None)
    if number is not None:
        yield from smb.connection.close(number)
    return b"", b""


def _briefly(access: int, options: int, disposition: int = _OPEN) -> Step:
    """Return a step that opens what the request names, and closes it at once."""

    def step(smb: Smb1, request: Request) -> Generator[Order, None, Said]:
        wanted = Wanted(request.text(1), access, disposition, options)
        number, _, _ = yield from smb.connection.open(smb.tree(request), wanted)
        yield from smb.connection.close(number)
        return b"", b""

    return step


def _rename(smb: Smb1, request: Request) -> Generator[Order, None, Said]:
    """RENAME: two names, each behind a byte that says so."""
    old, new = (*request.texts(1), "")[:2]
    if request.is_wide:
        old_bytes = 1 + (request.at + 1) % 2 + 2 * (len(old) + 1)
        new = request.text(old_bytes + 1)
    else:
        new = new.lstrip("\x04")
    tree = smb.tree(request)
    number, opened, _ = yield from smb.connection.open(tree, Wanted(old, _DELETE, _OPEN, 0))
    if not isinstance(opened, PipeOpen):
        yield from smb.connection.rename(opened, tree, new, over=False)
    yield from smb.connection.close(number)
    return b"", b""


def _attributes(smb: Smb1, request: Request) -> Generator[Order, None, Said]:
    """QUERY_INFORMATION."""
    number, opened, _ = yield from smb.connection.open(smb.tree(request), Wanted(request.text(1), 0x80, _OPEN, 0))
    entry = smb.connection.entry(opened)
    yield from smb.connection.close(number)
    return struct.pack("<HII", entry.attributes, 0, entry.size & 0xFFFF_FFFF) + bytes(10), b""


STEPS: dict[int, Step] = {
    0x00: _briefly(0, _FOLDER, _CREATE),  # CREATE_DIRECTORY
    0x01: _briefly(_DELETE, _FOLDER | _DELETE_ON_CLOSE),  # DELETE_DIRECTORY
    0x04: _close,
    0x05: _flush,
    0x06: _briefly(_DELETE, _NO_FOLDER | _DELETE_ON_CLOSE),  # DELETE
    0x07: _rename,
    0x08: _attributes,
    0x0B: _write_old,
    0x10: _briefly(0x80, _FOLDER),  # CHECK_DIRECTORY
    0x2D: _open,
    0x2E: _read,
    0x2F: _write,
    0x34: _stop_finding,
    0xA2: _create,
}  # fmt: skip
