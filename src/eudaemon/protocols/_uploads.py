"""Files that come over SFTP, SCP, FTP or TFTP: opened, filled, kept. What the attacker wrote is kept before it goes."""

from __future__ import annotations

from collections.abc import Iterator

from eudaemon.protocols._base import Keep, Visit
from eudaemon.wire import printable
from eudaemon.world.files import Directory, FileError, Files, Fixed, Node, Written

PATH_CHARS_MAX = 1024


def files_of(visit: Visit, disk: str, root: Directory, writable: frozenset[bytes]) -> Files:
    """Return a session's view of a pretended disk, with what its address has left there. `disk` tells it from others.

    Call `Files.leave` when something is whole, and when the session is over.
    """
    return Files(root, writable, visit.purse, visit.memory.left.shelf(disk, visit.attacker.ip))


def open_to_write(files: Files, path: bytes, at_s: float, mode: int, *, empty: bool) -> Iterator[Keep]:
    """Make the file at a resolved path, or empty it; what it held is kept before. Raises `FileError`."""
    if empty:
        yield from keep_before(files, path)
    file = files.create(path, at_s, mode & 0o7777)
    if empty:
        files.truncate(file)


def keep_before(files: Files, path: bytes) -> Iterator[Keep]:
    """Keep what stands at a resolved path, if it is the attacker's and was not kept."""
    node = files.find(path, follow=False)
    if isinstance(node, Written) and not node.kept and node.data:
        yield kept(path, node)


def kept(path: bytes, file: Written, *, partial: bool = False) -> Keep:
    """Return the order that keeps a file as it is."""
    file.kept = True
    return Keep(bytes(file.data), "upload", printable(path, PATH_CHARS_MAX), partial)


def read(node: Node, at_s: float) -> bytes:
    """Return what a file holds. Raises `FileError` for what is none."""
    if isinstance(node, Written):
        return bytes(node.data)
    if isinstance(node, Fixed):
        return node.content if isinstance(node.content, bytes) else node.content(at_s)
    raise FileError("Not a regular file")
