"""What is carried over a second connection: how it comes about, listings, and files either way."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from eudaemon.events.catalogue import ExploitRecognised
from eudaemon.protocols import _uploads
from eudaemon.protocols._base import Order, Saw, Send
from eudaemon.protocols.ftp import listing
from eudaemon.protocols.ftp.transfer import Upload
from eudaemon.wire import printable
from eudaemon.world.files import FileError

if TYPE_CHECKING:
    from eudaemon.protocols.ftp.room import Ftp, Step

CALLED_PORT_MIN = 1024
_CHARS_MAX = 256
_PORT = re.compile(rb"(\d{1,3}),(\d{1,3}),(\d{1,3}),(\d{1,3}),(\d{1,3}),(\d{1,3})$")
_EPRT = re.compile(rb"([!-~])[12]\1([0-9A-Fa-f.:]{2,45})\1(\d{1,5})\1$")


def passive(ftp: Ftp, verb: bytes, rest: bytes, at_s: float) -> Iterator[Order]:  # noqa: ARG001
    """PASV, EPSV."""
    if verb == b"PASV" and ":" in ftp.visit.local.ip:
        yield Send(b"425 Use EPSV.\r\n")
    elif rest.upper() == b"ALL":
        yield Send(b"200 EPSV ALL OK.\r\n")
    else:
        ftp.passive = verb
        yield from ftp.transfers.wait()


def active(ftp: Ftp, verb: bytes, rest: bytes, at_s: float) -> Iterator[Order]:  # noqa: ARG001
    """PORT, EPRT: only to where the client itself is, and to no service there."""
    found = (_PORT if verb == b"PORT" else _EPRT).match(rest.strip())
    if found is None:
        yield Send(b"501 Syntax error in parameters.\r\n")
        return
    if verb == b"PORT":
        ip, port = b".".join(found.groups()[:4]).decode(), int(found[5]) * 256 + int(found[6])
    else:
        ip, port = found[2].decode(), int(found[3])
    if ip != ftp.visit.attacker.ip:
        yield Saw(ExploitRecognised("ftp-bounce", "CVE-1999-0017", printable(rest, _CHARS_MAX)))
    if ip != ftp.visit.attacker.ip or not CALLED_PORT_MIN <= port < 1 << 16:
        yield Send(b"500 Illegal %s command.\r\n" % verb)
        return
    yield from ftp.transfers.call(port)
    yield Send(b"200 %s command successful. Consider using PASV.\r\n" % verb)


def restart(ftp: Ftp, verb: bytes, rest: bytes, at_s: float) -> Iterator[Order]:  # noqa: ARG001
    """REST at."""
    ftp.starts_at = int(rest) if rest.isdigit() and len(rest) < 12 else 0
    yield Send(b"350 Restart position accepted (%d).\r\n" % ftp.starts_at)


def listed(ftp: Ftp, verb: bytes, rest: bytes, at_s: float) -> Iterator[Order]:
    """LIST, NLST, MLSD [path]."""
    path = ftp.path(without_options(rest))
    data = listing.shown(ftp.files, path, verb, at_s)
    yield ftp.saw("list", path)
    yield from ftp.transfers.send(data, b"150 Here comes the directory listing.\r\n")


def retrieve(ftp: Ftp, verb: bytes, rest: bytes, at_s: float) -> Iterator[Order]:  # noqa: ARG001
    """RETR path."""
    at, ftp.starts_at = ftp.starts_at, 0
    path = ftp.path(rest)
    try:
        data = _uploads.read(ftp.files.get(path), at_s)
    except FileError:
        yield ftp.saw("read", path, done=False)
        raise FileError("Failed to open file") from None
    yield ftp.saw("read", path)
    opening = b"150 Opening BINARY mode data connection for %s (%d bytes).\r\n" % (rest, len(data))
    yield from ftp.transfers.send(data[at:], opening)


def store(ftp: Ftp, verb: bytes, rest: bytes, at_s: float) -> Iterator[Order]:
    """STOR, APPE path; STOU."""
    at, ftp.starts_at = ftp.starts_at, 0
    if verb == b"STOU":
        ftp.stored += 1
        rest = b"ftp.%s" % ftp.visit.seed.bytes(f"unique {ftp.stored}", 3).hex().encode()
    path = ftp.path(rest)
    yield from _uploads.open_to_write(ftp.files, path, at_s, 0o644, empty=verb != b"APPE" and not at)
    file = ftp.files.create(path, at_s)
    yield ftp.saw("write", path)
    upload = Upload(path, file, len(file.data) if verb == b"APPE" else at)
    yield from ftp.transfers.take(
        upload, b"150 FILE: %s\r\n" % rest if verb == b"STOU" else b"150 Ok to send data.\r\n"
    )


def nothing_under_way(ftp: Ftp, verb: bytes, rest: bytes, at_s: float) -> Iterator[Order]:  # noqa: ARG001
    """ABOR, when there is nothing to abort."""
    yield from ftp.transfers.abort()


def without_options(rest: bytes) -> bytes:
    """Return a path without what clients put before it for `ls`."""
    return b" ".join(word for word in rest.split(b" ") if not word.startswith(b"-"))


STEPS: dict[bytes, tuple[bool, Step]] = {
    b"PASV": (True, passive), b"EPSV": (True, passive), b"PORT": (True, active), b"EPRT": (True, active),
    b"REST": (True, restart), b"LIST": (True, listed), b"NLST": (True, listed), b"MLSD": (True, listed),
    b"RETR": (True, retrieve), b"STOR": (True, store), b"APPE": (True, store), b"STOU": (True, store),
    b"ABOR": (True, nothing_under_way),
}  # fmt: skip
