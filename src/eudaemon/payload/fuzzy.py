"""ssdeep's fuzzy hash: like files have like hashes. For the farm alone: pure Python, but a package of its own.

Its cost is what decides here: half a second for a megabyte of ordinary data, and ten times that for data made to
cost it (one byte repeated), because the hash is made anew for each block size that turns out too coarse. So files
over `BYTES_MAX` get none; nearly every IoT bot is far below.
"""

from __future__ import annotations

import ppdeep

BYTES_MAX = 2 * 1024 * 1024


def fuzzy_hash(data: bytes) -> str:
    """Return `block size:hash:hash of twice that block size`; empty for no file or one over `BYTES_MAX`."""
    if not data or len(data) > BYTES_MAX:
        return ""
    return str(ppdeep.hash(data))


def likeness(first: str, second: str) -> int:
    """Return how alike two files are by their hashes: 0 (not, or not comparable) to 100 (probably the same)."""
    return int(ppdeep.compare(first, second)) if first and second else 0
