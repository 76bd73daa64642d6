"""What addresses left on the disks of the pretended machines, for their next sessions to find.

    Files, one session's changes --leave--> Shelf, of one address and disk --take_up--> Files of another session

Bots bring a file in one connection and look for it, or run it, in the next. A shelf holds how each path was left: a
file with its content, or with its size alone where that is too much; a directory, a link; or that it is gone. What an
address left longest ago is forgotten first, and a restart forgets all.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple, TypeAlias

from eudaemon.world.files import PATH_BYTES_MAX, Device, Directory, Fixed, Link, Node, Written

BYTES_MAX = 4 * 1024 * 1024  # of all addresses together
SHELF_BYTES_MAX = 512 * 1024  # of one address and disk
CONTENT_BYTES_MAX = 256 * 1024  # of one file; of a larger one the size is held
PATHS_MAX = 128  # of one address and disk
_ENTRY_BYTES = 320  # what an entry costs besides its path and content


class _File(NamedTuple):
    mode: int
    mtime_s: float
    content: bytes
    missing: int

    def node(self) -> Written:
        file = Written(self.mode, self.mtime_s)
        file.data += self.content
        file.missing = self.missing
        return file


class _Folder(NamedTuple):
    mode: int
    mtime_s: float

    def node(self) -> Directory:
        return Directory(self.mode, self.mtime_s)


class _Link(NamedTuple):
    target: bytes
    mtime_s: float

    def node(self) -> Link:
        return Link(self.target, self.mtime_s)


_Entry: TypeAlias = _File | _Folder | _Link | None


class Shelf:
    """What one address left on one disk."""

    __slots__ = ("_entries", "_left", "bytes_held")

    def __init__(self, left: Left) -> None:
        self._left: Left | None = left  # None once it was forgotten, while a session still has it
        self._entries: dict[bytes, _Entry] = {}
        self.bytes_held = 0

    @property
    def paths(self) -> list[bytes]:
        """The paths, in the order in which they were left."""
        return list(self._entries)

    def node(self, path: bytes) -> Node | None:
        """Return a copy of what stands at a path; None if it is gone."""
        entry = self._entries[path]
        return entry.node() if entry is not None else None

    def put(self, path: bytes, node: Node | None) -> None:
        """Leave a path as it is. What does not fit is not left."""
        if isinstance(node, Fixed | Device) or self._is_known(path, node):
            return
        self.forget(path)
        entry = self._entry(node)
        size = _size(path, entry)
        if self._left is None or len(self._entries) >= PATHS_MAX or self.bytes_held + size > SHELF_BYTES_MAX:
            return
        self._entries[path] = entry
        self.bytes_held += size
        self._left.grew(size)

    def forget(self, path: bytes) -> None:
        """Forget how a path was left."""
        if path not in self._entries:
            return
        size = _size(path, self._entries.pop(path))
        if self._left is not None:
            self.bytes_held -= size
            self._left.grew(-size)

    def go(self) -> None:
        """It was forgotten: nothing more is left here."""
        self._left = None
        self._entries.clear()

    def _is_known(self, path: bytes, node: Node | None) -> bool:
        if path not in self._entries:
            return False
        found = self._entries[path]
        if isinstance(found, _File) and isinstance(node, Written):
            return _is_same(found, node)
        return not isinstance(node, Written) and found == self._entry(node)

    def _entry(self, node: Node | None) -> _Entry:
        match node:
            case Written():
                room = min(CONTENT_BYTES_MAX, SHELF_BYTES_MAX - self.bytes_held - _ENTRY_BYTES - PATH_BYTES_MAX)
                content = bytes(node.data) if len(node.data) <= room else b""
                return _File(node.mode, node.mtime_s, content, node.missing + len(node.data) - len(content))
            case Directory():
                return _Folder(node.mode, node.mtime_s)
            case Link():
                return _Link(node.target, node.mtime_s)
            case _:
                return None


def _size(path: bytes, entry: _Entry) -> int:
    return _ENTRY_BYTES + len(path) + (len(entry.content) if isinstance(entry, _File) else 0)


def _is_same(old: _File, node: Written) -> bool:
    """Say whether a file is as it was left: every write sets its time."""
    size = len(old.content) + old.missing
    return (old.mtime_s, size, old.mode) == (node.mtime_s, len(node.data) + node.missing, node.mode)


class Left:
    """The shelves of all addresses."""

    __slots__ = ("_shelves", "bytes_held", "bytes_max")

    def __init__(self, bytes_max: int = BYTES_MAX) -> None:
        self.bytes_max = bytes_max
        self.bytes_held = 0
        self._shelves: OrderedDict[tuple[str, str], Shelf] = OrderedDict()

    def shelf(self, disk: str, address: str) -> Shelf:
        """Return the shelf of an address for a disk, made when it is first asked for."""
        key = (disk, address)
        found = self._shelves.get(key)
        if found is None:
            found = self._shelves[key] = Shelf(self)
            self.grew(_ENTRY_BYTES)
        self._shelves.move_to_end(key)
        return found

    def has(self, disk: str, address: str) -> bool:
        """Say whether an address has left anything there; to ask makes no shelf."""
        found = self._shelves.get((disk, address))
        return found is not None and bool(found.paths)

    def grew(self, count: int) -> None:
        """Note that the shelves hold more, or less; those that were not asked for longest go if that is too much."""
        self.bytes_held += count
        while self.bytes_held > self.bytes_max and len(self._shelves) > 1:
            _, oldest = self._shelves.popitem(last=False)
            self.bytes_held -= _ENTRY_BYTES + oldest.bytes_held
            oldest.go()
