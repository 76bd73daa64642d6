"""What is told of files and volumes: the information classes of MS-FSCC, which both dialects share."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable

from eudaemon.protocols._ntlm import filetime
from eudaemon.protocols._windows import FileServer
from eudaemon.protocols.smb.disk import CLUSTER_BYTES, size_of
from eudaemon.protocols.smb.status import INVALID_INFO_CLASS, NtError
from eudaemon.world.files import Directory, Node

DIRECTORY, NORMAL, ARCHIVE = 0x10, 0x80, 0x20
_CLUSTERS = 24_000_000


class Entry:
    """One file as it is shown. `number` tells it from all others."""

    __slots__ = ("attributes", "name", "number", "size", "stamp")

    def __init__(self, name: str, node: Node | None, number: int) -> None:
        self.name = name
        self.attributes = NORMAL if node is None else DIRECTORY if isinstance(node, Directory) else ARCHIVE
        self.size = 0 if node is None else size_of(node)
        self.stamp = filetime(node.mtime_s) if node is not None else bytes(8)
        self.number = number

    @property
    def allocated(self) -> int:
        """The bytes that it takes on the disk."""
        return -(-self.size // CLUSTER_BYTES) * CLUSTER_BYTES

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory."""
        return self.attributes == DIRECTORY

    @property
    def times(self) -> bytes:
        """When it was made, read, written and changed."""
        return self.stamp * 4


# --- one file (MS-FSCC 2.4) ----------------------------------------------------------------------


def _basic(entry: Entry) -> bytes:
    return entry.times + struct.pack("<II", entry.attributes, 0)


def _standard(entry: Entry) -> bytes:
    return struct.pack("<QQIBBH", entry.allocated, entry.size, 1, 0, entry.is_directory, 0)


def _internal(entry: Entry) -> bytes:
    return entry.number.to_bytes(8, "little")


def _name(entry: Entry) -> bytes:
    name = ("\\" + entry.name).encode("utf-16-le", "surrogatepass")
    return len(name).to_bytes(4, "little") + name


def _all(entry: Entry) -> bytes:
    access_to_mode = struct.pack("<IIQII", 0, 0x001F_01FF, 0, 0, 0)
    return _basic(entry) + _standard(entry) + _internal(entry) + access_to_mode + _name(entry)


def _network_open(entry: Entry) -> bytes:
    return entry.times + struct.pack("<QQII", entry.allocated, entry.size, entry.attributes, 0)


def _streams(entry: Entry) -> bytes:
    if entry.is_directory:
        return b""
    name = "::$DATA".encode("utf-16-le")
    return struct.pack("<IIQQ", 0, len(name), entry.size, entry.allocated) + name


FILE: dict[int, Callable[[Entry], bytes]] = {
    4: _basic,
    5: _standard,
    6: _internal,
    7: lambda _: bytes(4),  # extended attributes: none
    8: lambda _: struct.pack("<I", 0x001F_01FF),  # access
    9: _name,
    14: lambda _: bytes(8),  # position
    16: lambda _: bytes(4),  # mode
    17: lambda _: bytes(4),  # alignment
    18: _all,
    22: _streams,
    34: _network_open,
    35: lambda entry: struct.pack("<II", entry.attributes, 0),  # reparse tag
}


def of_file(number: int, entry: Entry) -> bytes:
    """Return a class of information about a file. Raises `NtError`."""
    told = FILE.get(number)
    if told is None:
        raise NtError(INVALID_INFO_CLASS)
    return told(entry)


# --- a volume (MS-FSCC 2.5) ----------------------------------------------------------------------


def of_volume(number: int, windows: FileServer) -> bytes:
    """Return a class of information about the volume. Raises `NtError`."""
    free = _CLUSTERS // 10 + windows.seed.number("free clusters", _CLUSTERS // 2)
    serial = int(windows.machine.volume_serial.replace("-", ""), 16)
    match number:
        case 1:
            return filetime(windows.machine.installed_s) + struct.pack("<IIBB", serial, 0, 0, 0)
        case 3:
            return struct.pack("<QQII", _CLUSTERS, free, 8, 512)
        case 4:
            return struct.pack("<II", 7, 0x20)  # a disk, which is mounted
        case 5:
            name = "NTFS".encode("utf-16-le")
            return struct.pack("<III", 0x00C7_00FF, 255, len(name)) + name
        case 7:
            return struct.pack("<QQQII", _CLUSTERS, free, free, 8, 512)
        case 8:
            return windows.seed.bytes("volume object", 16) + bytes(48)
    raise NtError(INVALID_INFO_CLASS)


# --- a directory's files (MS-FSCC 2.4.8 and others) ---------------------------------------------------

_NAMES = 12  # names alone
# Class: what stands between the name's length and the name.
_BEFORE_NAME: dict[int, Callable[[Entry], bytes]] = {
    1: lambda _: b"",
    2: lambda _: bytes(4),
    3: lambda _: bytes(4 + 2 + 24),
    37: lambda entry: bytes(4 + 2 + 24 + 2) + entry.number.to_bytes(8, "little"),
    38: lambda entry: bytes(4 + 4) + entry.number.to_bytes(8, "little"),
}


def listed(number: int, entries: Iterable[Entry], bytes_max: int) -> tuple[bytes, int]:
    """Return as many entries as fit, in this class of information, and how many they are. Raises `NtError`."""
    if number != _NAMES and number not in _BEFORE_NAME:
        raise NtError(INVALID_INFO_CLASS)
    out, last, count = bytearray(), 0, 0
    for entry in entries:
        name = entry.name.encode("utf-16-le", "surrogatepass")
        row = bytes(8)
        if number == _NAMES:
            row += len(name).to_bytes(4, "little") + name
        else:
            row += entry.times + struct.pack("<QQII", entry.size, entry.allocated, entry.attributes, len(name))
            row += _BEFORE_NAME[number](entry) + name
        start = -(-len(out) // 8) * 8
        if start + len(row) > bytes_max:
            break
        if count:
            out[last : last + 4] = (start - last).to_bytes(4, "little")
        out += bytes(start - len(out)) + row
        last, count = start, count + 1
    return bytes(out), count


def fits(pattern: str) -> Callable[[str], bool]:
    """Return whether a name fits a pattern with `*`, `?` and their DOS forms `<`, `>` and `"` (MS-FSA 2.1.4.4)."""
    if pattern in ("", "*", "*.*", "<.*", '<"*'):
        return lambda _: True
    meant = {"*": ".*", "<": ".*", "?": ".", ">": ".?", '"': "\\.?"}
    compiled = re.compile(
        "".join(meant.get(char) or re.escape(char) for char in re.sub(r"[*<]+", "*", pattern)),
        re.IGNORECASE | re.DOTALL,
    )
    return lambda name: compiled.fullmatch(name) is not None
