"""Tags of memory, as the engine's shadow has them: the tag of an address lies in a window of 4 GiB, modulo its size.

Two addresses that differ by a multiple of 4 GiB share a place there: a tag may be the other's. What hangs on it is held
against the input itself (`provenance`).
"""

from __future__ import annotations

from eudaemon.possession.errors import PossessionError
from eudaemon.possession.mailbox import Mailbox

TAGS_WINDOW_BYTES = 1 << 32  # two addresses that differ by a multiple of it share a tag


def tags_at(mailbox: Mailbox, address: int, size: int) -> bytes:
    """Return the tags of `size` bytes; none where there is no shadow."""
    shadow = mailbox.one("shadow_offset")
    if not shadow:
        return b""
    window = shadow + mailbox.abi["SHADOW_ASIDE"]
    begin = address % TAGS_WINDOW_BYTES
    first = min(size, TAGS_WINDOW_BYTES - begin)
    try:
        raw = mailbox.memory.read(window + begin, first)
        return raw + mailbox.memory.read(window, size - first) if size > first else raw
    except PossessionError:
        return b""
