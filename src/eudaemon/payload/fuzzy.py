"""ssdeep's fuzzy hash: like files have like hashes. For the farm alone: pure Python, but a package of its own.

Its cost is what decides here: half a second for a megabyte of ordinary data, and ten times that for monotonous data
(one byte repeated), because the hash is made anew for each block size that turns out too coarse. So files over
`BYTES_MAX` get none, which nearly every IoT bot is far below, nor do big files that compress to almost nothing.
"""

from __future__ import annotations

import zlib

import ppdeep

BYTES_MAX = 2 * 1024 * 1024
_SMALL_BYTES = 64 * 1024  # up to here even the worst is quick
_COMPRESSION_MAX = 16


def fuzzy_hash(data: bytes) -> str:
    """Return `block size:hash:hash of twice that block size`; empty where the module's limits forbid one."""
    if not data or len(data) > BYTES_MAX or (len(data) > _SMALL_BYTES and _is_monotonous(data)):
        return ""
    return str(ppdeep.hash(data))


def likeness(first: str, second: str) -> int:
    """Return how alike two files are by their hashes: 0 (not, or not comparable) to 100 (probably the same)."""
    return int(ppdeep.compare(first, second)) if first and second else 0


def _is_monotonous(data: bytes) -> bool:
    return len(zlib.compress(data, 1)) * _COMPRESSION_MAX < len(data)
