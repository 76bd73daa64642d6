"""Tags of memory, as the engine's shadow has them: the tag of an address lies in a window of 4 GiB, modulo its size.

Two addresses that differ by a multiple of 4 GiB share a place there: a tag may be the other's. What hangs on it is held
against the input itself (`provenance`).
"""

from __future__ import annotations

from collections.abc import Iterable

from eudaemon.possession.errors import PossessionError
from eudaemon.possession.mailbox import Mailbox
from eudaemon.possession.maps import Area

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


def doubled_bytes(areas: Iterable[Area], own: Iterable[tuple[int, int]] = ()) -> int:
    """Return how many bytes of a process share their tags with others of it; `own`: spans of the engine.

    What may not be accessed does not count: whole ranges of addresses are reserved so.
    """
    ends = [end for span in _spans(areas, list(own)) for end in _in_window(*span)]
    ends.sort()
    doubled = depth = since = 0
    for place, step in ends:
        doubled += (place - since) * (depth if depth > 1 else 0)
        depth, since = depth + step, place
    return doubled


def _spans(areas: Iterable[Area], own: list[tuple[int, int]]) -> Iterable[tuple[int, int]]:
    for area in areas:
        is_own = any(begin <= area.begin and area.end <= end for begin, end in own)
        if area.rights[:3] != "---" and not is_own and area.path != "[vsyscall]":
            yield area.begin, area.end


def _in_window(begin: int, end: int) -> Iterable[tuple[int, int]]:
    """Yield where in the window an area begins (1) and ends (-1), as many times as it goes around."""
    while begin < end:
        place = begin % TAGS_WINDOW_BYTES
        size = min(end - begin, TAGS_WINDOW_BYTES - place)
        yield place, 1
        yield place + size, -1
        begin += size
