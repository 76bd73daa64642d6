"""The pretended file system: one read-only tree a host, and what one session has changed in it.

The tree is built once and shared by all sessions. `Files` lays a session's changes over it, copied on write, in one
flat table from path to node; a path that was removed maps to None. A session that writes nothing owns an empty table.

Every byte that a session holds here comes out of its purse. A full purse is a full disk: the attacker reads
`No space left on device`, and nobody else notices. Paths are bytes, as on the device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeAlias

from eudaemon.wire import Purse

if TYPE_CHECKING:
    from eudaemon.world.left import Shelf

NAME_BYTES_MAX = 255
PATH_BYTES_MAX = 1024
LEVELS_MAX = 32
LINKS_MAX = 16
FILES_MAX = 2048  # what one session may make, change and remove
NODE_BYTES = 320  # what one entry of the table costs besides its name and content


class FileError(Exception):
    """What a system call would say: `No such file or directory`."""


class Directory:
    """A directory of the tree, or an empty one that a session made (its entries stand in the table)."""

    __slots__ = ("mode", "mtime_s", "names")

    def __init__(self, mode: int = 0o755, mtime_s: float = 0.0) -> None:
        self.mode = mode
        self.mtime_s = mtime_s
        self.names: dict[bytes, Node] = {}


class Link:
    """A symbolic link."""

    __slots__ = ("mtime_s", "target")
    mode = 0o777

    def __init__(self, target: bytes, mtime_s: float = 0.0) -> None:
        self.target = target
        self.mtime_s = mtime_s


class Device:
    """A device: `null`, `zero`, `random`, `tty`, or any other by its name, which reads as empty."""

    __slots__ = ("block", "mode", "mtime_s", "name")

    def __init__(self, name: bytes, mode: int = 0o666, *, block: bool = False, mtime_s: float = 0.0) -> None:
        self.name = name
        self.mode = mode
        self.block = block
        self.mtime_s = mtime_s


class Fixed:
    """A file of the tree. Its content may be computed from the time, as in /proc."""

    __slots__ = ("content", "mode", "mtime_s")

    def __init__(self, content: bytes | Callable[[float], bytes], mode: int = 0o644, mtime_s: float = 0.0) -> None:
        self.content = content
        self.mode = mode
        self.mtime_s = mtime_s


class Written:
    """A file that a session made.

    `kept` is true while nothing in it is both the attacker's and not kept yet. `missing` is how many bytes of a
    download lie on disk only. `used` is true once a part of it was run or decoded from a pipe.
    """

    __slots__ = ("data", "kept", "missing", "mode", "mtime_s", "used")

    def __init__(self, mode: int, mtime_s: float) -> None:
        self.mode = mode
        self.mtime_s = mtime_s
        self.data = bytearray()
        self.kept = True
        self.missing = 0
        self.used = False


Node: TypeAlias = Directory | Link | Device | Fixed | Written


def content_size(node: Node, at_s: float) -> int:
    """Return what `ls -l` shows as the size, in bytes."""
    match node:
        case Fixed():
            return len(node.content) if isinstance(node.content, bytes) else 0  # /proc says 0
        case Written():
            return len(node.data) + node.missing
        case Link():
            return len(node.target)
        case Directory():
            return 4096 if at_s else 0
        case Device():
            return 0


class Files:
    """One session's view. `writable` are the mount points that are mounted rw.

    `shelf` is what other sessions of the same address left, and where this one leaves what it has changed: see `left`.
    """

    __slots__ = ("_changed", "_purse", "_root", "_shelf", "_writable")

    def __init__(
        self, root: Directory, writable: frozenset[bytes], purse: Purse, shelf: Shelf | None = None
    ) -> None:  # fmt: skip
        self._shelf = shelf
        self._root = root
        self._writable = writable
        self._purse = purse
        self._changed: dict[bytes, Node | None] | None = None
        self.take_up()

    # --- reading -----------------------------------------------------------------------------------

    def resolve(self, path: bytes, cwd: bytes = b"/", *, follow: bool = True) -> bytes:
        """Return the path without links, `.` and `..`; its last part need not exist. Raises `FileError`."""
        if len(path) > PATH_BYTES_MAX:
            raise FileError("File name too long")
        if not path:
            raise FileError("No such file or directory")
        todo = [
            part for part in (path if path[:1] == b"/" else cwd + b"/" + path).split(b"/") if part not in (b"", b".")
        ]
        todo.reverse()
        done: list[bytes] = []
        links = 0
        while todo:
            part = todo.pop()
            if part == b"..":
                if done:
                    done.pop()
                continue
            if len(part) > NAME_BYTES_MAX or len(done) >= LEVELS_MAX:
                raise FileError("File name too long")
            here = b"/" + b"/".join((*done, part))
            node = self._at(here)
            if isinstance(node, Link) and (follow or todo):
                links += 1
                if links > LINKS_MAX:
                    raise FileError("Too many levels of symbolic links")
                if node.target[:1] == b"/":
                    done.clear()
                todo.extend(reversed([part for part in node.target.split(b"/") if part not in (b"", b".")]))
                continue
            if todo and node is None:
                raise FileError("No such file or directory")
            if todo and not isinstance(node, Directory):
                raise FileError("Not a directory")
            done.append(part)
        return b"/" + b"/".join(done)

    def find(self, path: bytes, cwd: bytes = b"/", *, follow: bool = True) -> Node | None:
        """Return what stands there, or None."""
        try:
            return self._at(self.resolve(path, cwd, follow=follow))
        except FileError:
            return None

    def get(self, path: bytes, cwd: bytes = b"/", *, follow: bool = True) -> Node:
        """Return what stands there. Raises `FileError`."""
        node = self._at(self.resolve(path, cwd, follow=follow))
        if node is None:
            raise FileError("No such file or directory")
        return node

    def names(self, path: bytes) -> list[bytes]:
        """Return the sorted names in a directory, given by its resolved path."""
        node = self._at(path)
        if not isinstance(node, Directory):
            raise FileError("Not a directory" if node is not None else "No such file or directory")
        found = set(self._base_names(path))
        if self._changed:
            prefix = path if path == b"/" else path + b"/"
            for changed, entry in self._changed.items():
                if changed.startswith(prefix) and b"/" not in changed[len(prefix) :]:
                    (found.discard if entry is None else found.add)(changed[len(prefix) :])
        return sorted(found)

    def written(self) -> Iterator[tuple[bytes, Written]]:
        """Yield the files that the session made and that are still there."""
        for path, node in (self._changed or {}).items():
            if isinstance(node, Written):
                yield path, node

    def writable(self, path: bytes) -> bool:
        """Say whether the mount on which a resolved path lies is mounted rw."""
        while path not in self._writable:
            if path == b"/" or path in _ISLANDS:
                return False
            path = path.rpartition(b"/")[0] or b"/"
        return True

    def _at(self, path: bytes) -> Node | None:
        if self._changed:
            if path in self._changed:
                return self._changed[path]
            above = path.rpartition(b"/")[0]
            while above:
                if above in self._changed:
                    return None  # removed, or made by the session: the tree below is not seen
                above = above.rpartition(b"/")[0]
        return self._in_tree(path)

    def _in_tree(self, path: bytes) -> Node | None:
        node: Node | None = self._root
        for part in path.split(b"/"):
            if part:
                if not isinstance(node, Directory):
                    return None
                node = node.names.get(part)
        return node

    def _base_names(self, path: bytes) -> Iterator[bytes]:
        node = self._in_tree(path)
        if isinstance(node, Directory) and self._at(path) is node:
            yield from node.names

    # --- from session to session -------------------------------------------------------------------

    def take_up(self) -> None:
        """See what other sessions of the address left; what this one has changed, or seen before, stays as it is."""
        if self._shelf is not None:
            for path in self._shelf.paths:
                if self._changed is None or path not in self._changed:
                    self._adopt(path, self._shelf.node(path))

    def leave(self) -> None:
        """Leave what this session changed for others of the address."""
        shelf = self._shelf
        if shelf is None:
            return
        self.take_up()
        for path, node in (self._changed or {}).items():
            shelf.put(path, node)

    def _adopt(self, path: bytes, node: Node | None) -> None:
        """Take over how a path was left; what this view does not let anybody change stays as it is."""
        held = len(node.data) if isinstance(node, Written) else 0
        if not self._purse.take(held):
            return
        try:
            if node is not None:
                self.place(path, node)
            elif self._at(path) is not None:
                self._may_change(path)
                self._forget(path)
        except FileError:
            self._purse.give_back(held)

    # --- writing -----------------------------------------------------------------------------------

    def create(self, path: bytes, at_s: float, mode: int = 0o644) -> Written:
        """Return the file at a resolved path for writing, made if it is not there. Raises `FileError`."""
        node = self._at(path)
        if isinstance(node, Written):
            return node
        if isinstance(node, Directory):
            raise FileError("Is a directory")
        self._may_change(path)
        if isinstance(node, Fixed):
            mode = node.mode
        written = Written(mode, at_s)
        if isinstance(node, Fixed) and isinstance(node.content, bytes):
            if not self._purse.take(len(node.content)):
                raise FileError("No space left on device")
            written.data += node.content
        self._put(path, written)
        return written

    def append(self, file: Written, data: bytes, at_s: float) -> None:
        """Add bytes to a file; what does not fit is not there. Raises `FileError`."""
        if not self._purse.take(len(data)):
            raise FileError("No space left on device")
        file.data += data
        file.mtime_s = at_s
        file.kept = False

    def write(self, file: Written, at: int, data: bytes, at_s: float) -> None:
        """Put bytes at a position of a file; a gap before them is filled with zeros. Raises `FileError`."""
        grows = max(0, at + len(data) - len(file.data))
        if not self._purse.take(grows):
            raise FileError("No space left on device")
        gap = at - len(file.data)
        if gap > 0:
            file.data += bytes(gap)
        file.data[at : at + len(data)] = data
        file.mtime_s = at_s
        file.kept = False

    def truncate(self, file: Written, size: int = 0) -> None:
        """Cut a file."""
        if size < len(file.data):
            self._purse.give_back(len(file.data) - size)
            del file.data[size:]
            file.missing = 0

    def make_directory(self, path: bytes, at_s: float, mode: int = 0o755) -> None:
        """Make a directory at a resolved path. Raises `FileError`."""
        if self._at(path) is not None:
            raise FileError("File exists")
        self._may_change(path)
        self._put(path, Directory(mode, at_s))

    def make_link(self, path: bytes, target: bytes, at_s: float) -> None:
        """Make a symbolic link at a resolved path. Raises `FileError`."""
        if self._at(path) is not None:
            raise FileError("File exists")
        self._may_change(path)
        self._put(path, Link(target, at_s))

    def place(self, path: bytes, node: Node) -> None:
        """Put a node that is already paid for (a moved one) at a resolved path. Raises `FileError`."""
        self._may_change(path)
        self._put(path, node)

    def remove(self, path: bytes) -> None:
        """Remove what stands at a resolved path; a directory must be empty. Raises `FileError`."""
        node = self._at(path)
        if node is None:
            raise FileError("No such file or directory")
        if isinstance(node, Directory) and self.names(path):
            raise FileError("Directory not empty")
        self._may_change(path)
        if isinstance(node, Written):
            self._purse.give_back(len(node.data))
            node.data = bytearray()
        self._forget(path)

    def take_away(self, path: bytes) -> Node:
        """Remove a file or link and return it with its content still paid for, to be placed elsewhere."""
        node = self._at(path)
        if node is None:
            raise FileError("No such file or directory")
        if isinstance(node, Directory) and self.names(path):
            raise FileError("Directory not empty")
        self._may_change(path)
        self._forget(path)
        return node

    def _may_change(self, path: bytes) -> None:
        parent = path.rpartition(b"/")[0] or b"/"
        above = self._at(parent)
        if above is None:
            raise FileError("No such file or directory")
        if not isinstance(above, Directory):
            raise FileError("Not a directory")
        island = _ISLANDS.get(b"/" + path.split(b"/", 2)[1]) or _ISLANDS.get(parent)
        if island is not None:
            raise FileError(island)
        if not self.writable(path):
            raise FileError("Read-only file system")

    def _put(self, path: bytes, node: Node | None) -> None:
        changed = self._changed
        if changed is None:
            changed = self._changed = {}
        if path not in changed and (len(changed) >= FILES_MAX or not self._purse.take(NODE_BYTES + len(path))):
            raise FileError("No space left on device")
        changed[path] = node

    def _forget(self, path: bytes) -> None:
        if self._in_tree(path) is not None:
            self._put(path, None)
        elif self._changed is not None:
            del self._changed[path]
            self._purse.give_back(NODE_BYTES + len(path))
            if self._shelf is not None:
                self._shelf.forget(path)


# Mounted rw, and yet nobody can make a file there: what the kernel answers who tries.
_ISLANDS = {b"/proc": "No such file or directory", b"/sys": "Permission denied", b"/dev/pts": "Permission denied"}
