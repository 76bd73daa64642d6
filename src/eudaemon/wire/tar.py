"""Archives that are sent to us: POSIX ustar and pax, and GNU's long names, read without writing anything anywhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

MEMBERS_MAX = 256
_BLOCK = 512
_FILES = (b"0", b"\0", b"7")
_LONG_NAME, _EXTENDED, _COMMON = b"L", b"x", b"g"
_PATH = re.compile(rb"\d+ path=([^\n]{1,4096})\n")  # of an extended header's records


@dataclass(frozen=True, slots=True)
class Member:
    """One file. `whole` is false if the archive ends in it."""

    name: bytes
    mode: int
    data: bytes
    whole: bool = True


def members(archive: bytes) -> Iterator[Member]:
    """Yield the files of an archive, up to where it is none any more, and to a limit."""
    at = 0
    long_name = b""
    for _ in range(MEMBERS_MAX):
        head = archive[at : at + _BLOCK]
        if len(head) < _BLOCK or not head.strip(b"\0") or not _is_head(head):
            return
        size = _octal(head[124:136])
        data = archive[at + _BLOCK : at + _BLOCK + size]
        at += _BLOCK + (size + _BLOCK - 1) // _BLOCK * _BLOCK
        kind = head[156:157]
        if kind == _LONG_NAME:
            long_name = data.rstrip(b"\0")[:4096]
        elif kind in _FILES:
            prefix = head[345:500].rstrip(b"\0") if head[257:262] == b"ustar" and head[262:263] == b"\0" else b""
            name = head[:100].partition(b"\0")[0]
            yield Member(long_name or (prefix + b"/" + name if prefix else name), _octal(head[100:108]) & 0o777, data,
                         len(data) == size)  # fmt: skip
            long_name = b""
        elif kind == _EXTENDED:
            found = _PATH.search(data[:65_536])
            long_name = found[1] if found else b""
        elif kind != _COMMON:
            long_name = b""


def _is_head(head: bytes) -> bool:
    """Whether the header's own sum is right: over its bytes, those of the sum taken as blanks."""
    return sum(head[:148]) + 8 * 0x20 + sum(head[156:]) == _octal(head[148:156])


def _octal(field: bytes) -> int:
    digits = field.strip(b" \0")
    return int(digits, 8) if digits.isdigit() and not digits.strip(b"01234567") else 0
