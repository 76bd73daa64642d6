"""Directories as LIST, NLST and MLSD show them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from eudaemon.world.files import Directory, FileError, Files, Node, content_size
from eudaemon.world.shell.applets.listing import letters

_RECENT_S = 180 * 86_400


def rows(files: Files, path: bytes) -> Iterator[tuple[bytes, Node]]:
    """Yield what is listed for a resolved path: a directory's entries, or the file itself. Raises `FileError`."""
    node = files.get(path)
    if not isinstance(node, Directory):
        yield path.rpartition(b"/")[2], node
        return
    for name in files.names(path):
        entry = files.find(path.rstrip(b"/") + b"/" + name, follow=False)
        if entry is not None:
            yield name, entry


def long(name: bytes, node: Node, at_s: float) -> bytes:
    """Return the line of `ls -l`."""
    when = datetime.fromtimestamp(node.mtime_s, UTC)
    date = f"{when:%b %d %H:%M}" if 0 <= at_s - node.mtime_s < _RECENT_S else f"{when:%b %d}  {when.year}"
    links = 2 if isinstance(node, Directory) else 1
    return (
        f"{letters(node)} {links:>4} 0        0        {content_size(node, at_s):>8} {date} ".encode() + name + b"\r\n"
    )


def facts(name: bytes, node: Node, at_s: float) -> bytes:
    """Return the line of MLSD (RFC 3659)."""
    kind = "dir" if isinstance(node, Directory) else "file"
    text = f"type={kind};size={content_size(node, at_s)};modify={stamp(node)};UNIX.mode=0{node.mode & 0o7777:o}; "
    return text.encode() + name + b"\r\n"


def stamp(node: Node) -> str:
    """Return when a file was changed, as MDTM says it."""
    return f"{datetime.fromtimestamp(node.mtime_s, UTC):%Y%m%d%H%M%S}"


def shown(files: Files, path: bytes, verb: bytes, at_s: float) -> bytes:
    """Return a whole listing. Raises `FileError`."""
    if verb == b"NLST":
        return b"".join(name + b"\r\n" for name, _ in rows(files, path))
    if verb == b"MLSD":
        if not isinstance(files.get(path), Directory):
            raise FileError("Not a directory")
        return b"".join(facts(name, node, at_s) for name, node in rows(files, path))
    return b"".join(long(name, node, at_s) for name, node in rows(files, path))
