"""Which dialects of SMB 2 and 3 a Windows speaks, and what is negotiated besides in 3.1.1 (MS-SMB2 2.2.3.1, 2.2.4.1).

    | kind 2 | length 2 | reserved 4 | data, filled up to eight bytes |

Nothing is enciphered here, and nothing compressed: no cipher is agreed on, so that nobody enciphers.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

NAMES = {0x0202: "SMB 2.0.2", 0x0210: "SMB 2.1", 0x0300: "SMB 3.0", 0x0302: "SMB 3.0.2", 0x0311: "SMB 3.1.1"}
WILDCARD = 0x02FF  # which dialect of SMB 2 is still to be said
CONTEXTS_MAX = 16
SALT_BYTES = 32
_INTEGRITY = 1
_SHA_512 = 1
# A kernel's version: the newest dialect that it speaks.
_NEWEST = {"6.1": 0x0210, "6.2": 0x0300, "6.3": 0x0302, "10.0": 0x0311}


def spoken(kernel: str) -> tuple[int, ...]:
    """Return the dialects of a Windows, by its kernel's version, the newest last."""
    return tuple(one for one in NAMES if one <= _NEWEST.get(kernel, 0x0210))


def contexts(message: bytes, at: int, count: int) -> Iterator[tuple[int, bytes]]:
    """Yield kind and data of what a message of 3.1.1 wants negotiated, as far as it is whole."""
    for _ in range(min(count, CONTEXTS_MAX)):
        if at < 0 or at + 8 > len(message):
            return
        kind, size = struct.unpack_from("<HH", message, at)
        data = message[at + 8 : at + 8 + size]
        if len(data) < size:
            return
        yield kind, data
        at += 8 + size + -size % 8


def has_hash(message: bytes, at: int, count: int) -> bool:
    """Say whether a client names the hash without which 3.1.1 is not spoken."""
    for kind, data in contexts(message, at, count):
        if kind == _INTEGRITY and len(data) >= 6:
            number = int.from_bytes(data[:2], "little")
            return _SHA_512 in struct.unpack_from(f"<{min(number, (len(data) - 4) // 2)}H", data, 4)
    return False


def agreed(salt: bytes) -> bytes:
    """Return the one context that is agreed on."""
    data = struct.pack("<HHH", 1, len(salt), _SHA_512) + salt
    return struct.pack("<HHI", _INTEGRITY, len(data), 0) + data
