"""LOGIN7 (MS-TDS 2.2.6.4) and the login of before: whose, with which password, from which program."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from eudaemon.wire import PeerError

_OFFSETS_AT, _BYTES_MAX = 36, 64 * 1024
_NAMES = ("host", "user", "password", "program", "server", "extension", "library", "language", "database")
_INTEGRATED = 0x80  # of OptionFlags2: Windows authentication


@dataclass(frozen=True, slots=True)
class Login:
    """What a client says of itself. `version` is the TDS that it speaks."""

    version: int
    host: str
    user: str
    password: str
    program: str
    database: str
    is_windows: bool = False


def decoded(password: bytes) -> bytes:
    """Return a password as it was before its halves of bytes were swapped and it was combined with 0xa5."""
    return bytes((((byte ^ 0xA5) >> 4) | ((byte ^ 0xA5) << 4)) & 0xFF for byte in password)


def login7(body: bytes) -> Login:
    """Read a LOGIN7. Raises `PeerError`."""
    if len(body) < _OFFSETS_AT + 4 * len(_NAMES) or len(body) > _BYTES_MAX:
        raise PeerError("a login of a wrong length")
    (version,) = struct.unpack_from("<I", body, 4)
    found = {}
    for at, name in enumerate(_NAMES):
        offset, count = struct.unpack_from("<HH", body, _OFFSETS_AT + 4 * at)
        data = body[offset : offset + 2 * count]
        if name == "password":
            data = decoded(data)
        found[name] = data.decode("utf-16-le", "backslashreplace")[:256]
    return Login(version, found["host"], found["user"], found["password"], found["program"], found["database"],
                 bool(body[25] & _INTEGRATED))  # fmt: skip


def old_login(body: bytes) -> Login:
    """Read a login of TDS 4.2 and 5.0: fields of 30 bytes, each with its length behind it. Raises `PeerError`."""
    if len(body) < 93:
        raise PeerError("a login of a wrong length")
    host, user, password = (
        body[at : at + min(30, body[at + 30])].decode("latin-1", "backslashreplace") for at in (0, 31, 62)
    )
    return Login(0x04020000, host, user, password, "", "")
