"""ssdeep's fuzzy hash: like files have like hashes. For the farm alone: pure Python, but a package of its own.

Its cost is what decides here: it holds the interpreter that the farm's page and intake need too, a third of a second
for half a megabyte that is read once, and files are read anew for each block size that turns out too coarse, up to
ten times for monotonous ones or those made for it. So what is read for one file is counted over all readings, and
where that passes `READ_BYTES_MAX`, there is no hash. Nearly every IoT bot is far below.
"""

from __future__ import annotations

from io import BytesIO

import ppdeep

READ_BYTES_MAX = 512 * 1024  # of one file, all readings together: 0.3 s on one slow core
BYTES_MAX = READ_BYTES_MAX


class _DearError(Exception):
    """The hash costs more than it is worth."""


class _Counted(BytesIO):
    """A file that can be read until `READ_BYTES_MAX` were."""

    left = READ_BYTES_MAX

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.left -= len(data)
        if self.left < 0:
            raise _DearError
        return data


def fuzzy_hash(data: bytes) -> str:
    """Return `block size:hash:hash of twice that block size`; empty for no bytes, and where it would cost too much."""
    if not data or len(data) > BYTES_MAX:
        return ""
    try:
        # What `ppdeep.hash` does, which takes bytes alone; through a file, its readings can be counted.
        return str(ppdeep._spamsum(_Counted(data), len(data)))
    except _DearError:
        return ""


def likeness(first: str, second: str) -> int:
    """Return how alike two files are by their hashes: 0 (not, or not comparable) to 100 (probably the same)."""
    return int(ppdeep.compare(first, second)) if first and second else 0
