"""The disk behind the shares: C:, in the file system that all rooms share, found without regard to capitals.

\\\\HOST\\ADMIN$ is C:\\Windows      \\\\HOST\\C$ is C:\\      \\\\HOST\\Users is C:\\Users
"""

from __future__ import annotations

from eudaemon.protocols.smb.status import OBJECT_NAME_INVALID, OBJECT_PATH_NOT_FOUND, NtError
from eudaemon.world.files import LEVELS_MAX, Directory, Files, Fixed, Node, Written
from eudaemon.world.windows.tree import Image

CLUSTER_BYTES = 4096
_FORBIDDEN = frozenset('<>:"|')


class Disk:
    """One session's view of the disk."""

    __slots__ = ("files",)

    def __init__(self, files: Files) -> None:
        self.files = files

    def find(self, root: bytes, name: str) -> bytes:
        """Return the path of a name under a share's root, as it is written if it is there.

        Raises `NtError`, also if the directory in which it would stand is not there.
        """
        parts = [part for part in name.replace("/", "\\").split("\\") if part not in ("", ".")]
        if len(parts) > LEVELS_MAX or any(part == ".." or _FORBIDDEN.intersection(part) for part in parts):
            raise NtError(OBJECT_NAME_INVALID)
        path = root
        for number, part in enumerate(parts):
            encoded = part.encode("utf-8", "replace")
            there = self.named(path, encoded)
            if there is None and number < len(parts) - 1:
                raise NtError(OBJECT_PATH_NOT_FOUND)
            path = path.rstrip(b"/") + b"/" + (there or encoded)
        return path

    def named(self, folder: bytes, name: bytes) -> bytes | None:
        """Return how a name is written in a folder, None if it is not there."""
        node = self.files.find(folder, follow=False)
        if not isinstance(node, Directory):
            return None
        if self.files.find(folder.rstrip(b"/") + b"/" + name, follow=False) is not None:
            return name
        sought = name.lower()
        return next((there for there in self.files.names(folder) if there.lower() == sought), None)


def size_of(node: Node) -> int:
    """Return a file's size in bytes."""
    if isinstance(node, Written):
        return len(node.data) + node.missing
    if isinstance(node, Image):
        return node.size
    return len(node.content) if isinstance(node, Fixed) and isinstance(node.content, bytes) else 0


def content_of(node: Node, at: int, count: int, at_s: float) -> bytes:
    """Return a part of what a file holds."""
    if isinstance(node, Written):
        return bytes(node.data[at : at + count])
    if isinstance(node, Fixed):
        content = node.content if isinstance(node.content, bytes) else node.content(at_s)
        return content[at : at + count]
    return b""
