"""What is done to files and directories on the control connection alone: where one is, names, sizes, SITE."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from eudaemon.events.catalogue import ExploitRecognised
from eudaemon.protocols import _uploads
from eudaemon.protocols._base import Order, Saw, Send
from eudaemon.protocols.ftp import listing
from eudaemon.wire import printable
from eudaemon.world.files import Directory, FileError, content_size

if TYPE_CHECKING:
    from eudaemon.protocols.ftp.room import Ftp, Step


def where(ftp: Ftp, verb: bytes, rest: bytes, at_s: float) -> Iterator[Order]:  # noqa: ARG001
    """PWD."""
    yield Send(b'257 "%s" is the current directory\r\n' % ftp.here.replace(b'"', b'""'))


def change(ftp: Ftp, verb: bytes, rest: bytes, at_s: float) -> Iterator[Order]:  # noqa: ARG001
    """CWD path, CDUP."""
    path = ftp.path(b".." if verb in (b"CDUP", b"XCUP") else rest)
    if not isinstance(ftp.files.get(path), Directory):
        raise FileError("Failed to change directory")
    ftp.here = path
    yield Send(b"250 Directory successfully changed.\r\n")


def make(ftp: Ftp, verb: bytes, rest: bytes, at_s: float) -> Iterator[Order]:  # noqa: ARG001
    """MKD path."""
    path = ftp.path(rest)
    ftp.files.make_directory(path, at_s)
    yield ftp.saw("make", path)
    yield Send(b'257 "%s" created\r\n' % path.replace(b'"', b'""'))


def remove(ftp: Ftp, verb: bytes, rest: bytes, at_s: float) -> Iterator[Order]:  # noqa: ARG001
    """DELE, RMD path."""
    path = ftp.path(rest, follow=False)
    if isinstance(ftp.files.get(path, follow=False), Directory) is (verb == b"DELE"):
        raise FileError("Is a directory" if verb == b"DELE" else "Not a directory")
    yield from _uploads.keep_before(ftp.files, path)
    ftp.files.remove(path)
    yield ftp.saw("remove", path)
    yield Send(b"250 Delete operation successful.\r\n")


def rename(ftp: Ftp, verb: bytes, rest: bytes, at_s: float) -> Iterator[Order]:  # noqa: ARG001
    """RNFR, RNTO path."""
    path = ftp.path(rest, follow=False)
    if verb == b"RNFR":
        ftp.files.get(path, follow=False)
        ftp.renamed = path
        yield Send(b"350 Ready for RNTO.\r\n")
        return
    old, ftp.renamed = ftp.renamed, b""
    if not old:
        yield Send(b"503 RNFR required first.\r\n")
        return
    if old != path:
        if ftp.files.find(path, follow=False) is not None:
            yield from _uploads.keep_before(ftp.files, path)
            ftp.files.remove(path)
        node = ftp.files.take_away(old)
        try:
            ftp.files.place(path, node)
        except FileError:
            ftp.files.place(old, node)
            raise
    yield ftp.saw("rename", old, printable(path, _uploads.PATH_CHARS_MAX))
    yield Send(b"250 Rename successful.\r\n")


def size(ftp: Ftp, verb: bytes, rest: bytes, at_s: float) -> Iterator[Order]:
    """SIZE, MDTM path."""
    node = ftp.files.get(ftp.path(rest))
    if isinstance(node, Directory):
        raise FileError("Could not get file size" if verb == b"SIZE" else "Could not get file modification time")
    said = str(content_size(node, at_s)) if verb == b"SIZE" else listing.stamp(node)
    yield Send(f"213 {said}\r\n".encode())


def one(ftp: Ftp, verb: bytes, rest: bytes, at_s: float) -> Iterator[Order]:  # noqa: ARG001
    """MLST path."""
    path = ftp.path(rest)
    yield Send(b"250-Listing\r\n " + listing.facts(path, ftp.files.get(path), at_s) + b"250 End\r\n")


def site(ftp: Ftp, verb: bytes, rest: bytes, at_s: float) -> Iterator[Order]:  # noqa: ARG001
    """SITE what …: CHMOD, and what ProFTPD's mod_copy lets everybody copy (CVE-2015-3306)."""
    words = rest.split(b" ", 2)
    what = words[0].upper()
    if what in (b"CPFR", b"CPTO") and ftp.server.product.name == "proftpd" and len(words) > 1:
        path = ftp.path(rest.split(b" ", 1)[1])
        yield Saw(ExploitRecognised("proftpd-copy", "CVE-2015-3306", printable(rest, 1024)))
        yield from _copy(ftp, what, path, at_s)
    elif not ftp.is_in:
        yield ftp.say(ftp.server.product.first)
    elif what == b"CHMOD" and len(words) == 3:
        path = ftp.path(words[2])
        done = ftp.files.find(path) is not None
        yield ftp.saw("change", path, printable(words[1], 16), done=done)
        yield Send(b"200 SITE CHMOD command ok.\r\n" if done else b"550 SITE CHMOD command failed.\r\n")
    else:
        yield Send(b"500 Unknown SITE command.\r\n")


def _copy(ftp: Ftp, what: bytes, path: bytes, at_s: float) -> Iterator[Order]:
    if what == b"CPFR":
        ftp.files.get(path)
        ftp.copied = path
        yield Send(b"350 File or directory exists, ready for destination name\r\n")
        return
    data = _uploads.read(ftp.files.get(ftp.copied), at_s)
    yield from _uploads.open_to_write(ftp.files, path, at_s, 0o644, empty=True)
    ftp.files.append(ftp.files.create(path, at_s), data, at_s)
    yield ftp.saw("write", path)
    yield Send(b"250 Copy successful\r\n")


STEPS: dict[bytes, tuple[bool, Step]] = {
    b"SITE": (False, site), b"PWD": (True, where), b"XPWD": (True, where), b"CWD": (True, change),
    b"XCWD": (True, change), b"CDUP": (True, change), b"XCUP": (True, change), b"MKD": (True, make),
    b"XMKD": (True, make), b"DELE": (True, remove), b"RMD": (True, remove), b"XRMD": (True, remove),
    b"RNFR": (True, rename), b"RNTO": (True, rename), b"SIZE": (True, size), b"MDTM": (True, size),
    b"MLST": (True, one),
}  # fmt: skip
