"""What is packed in a payload: gzip, zlib, bzip2, and the files of a ZIP (also a JAR, an APK, an Office document).

A ZIP is read from its front, one local header after the other (APPNOTE.TXT section 4.3.7): a part of one has no
directory at its end, and what that says need not be true. Nothing is written anywhere.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from eudaemon.wire import decode

MEMBERS_MAX = 64  # of one archive that are looked at
_LOCAL = b"PK\x03\x04"
_STORED, _DEFLATED = 0, 8
_SIZE_FOLLOWS, _ENCRYPTED = 8, 1
_DULL = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8")  # files that hold nothing for us


def unpacked(data: bytes, bytes_max: int) -> Iterator[bytes]:
    """Yield what is packed in the bytes, at most `bytes_max` of it together; nothing if nothing is."""
    if data[:2] in (b"\x1f\x8b", b"\x78\x9c", b"\x78\xda"):
        yield decode.inflated(data, bytes_max)[0]
    elif data[:3] == b"BZh":
        try:
            import bz2  # which a router's Python lacks

            yield bz2.BZ2Decompressor().decompress(data, bytes_max)
        except (ImportError, OSError, ValueError):  # broken, and what stands before that is not given
            return
    elif data[:4] == _LOCAL:
        yield from _members(data, bytes_max)


def _members(data: bytes, bytes_max: int) -> Iterator[bytes]:
    at = 0
    for _ in range(MEMBERS_MAX):
        at = data.find(_LOCAL, at)
        if at < 0 or at + 30 > len(data) or bytes_max <= 0:
            return
        flags, method, packed, size, name, extra = struct.unpack_from("<HH8xII2H", data, at + 6)
        start = at + 30 + name + extra
        member, at = b"", start + (0 if flags & _SIZE_FOLLOWS else packed)
        if flags & _ENCRYPTED:
            continue
        if method == _STORED and not flags & _SIZE_FOLLOWS:
            member = data[start : start + min(size, bytes_max)]
        elif method == _DEFLATED:
            member, at = _inflated(data, start, at, bytes_max)
        bytes_max -= len(member)
        if member and not member.startswith(_DULL):
            yield member


def _inflated(data: bytes, start: int, end: int, bytes_max: int) -> tuple[bytes, int]:
    """Return a member, and where it ends: where its header says, or else where its data do."""
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        member = stream.decompress(memoryview(data)[start:], bytes_max)
    except zlib.error:
        return b"", max(start, end)
    return member, end if end > start else len(data) - len(stream.unused_data) if stream.eof else start
