"""Which bytes of which connection: memory is held against the raw input of its streams, and the longest match wins.

The value itself may be one byte long and stand a thousand times in the input; so what lies around it in memory, which
came in with it, decides between the places.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from eudaemon.evidence.model import Culprit, Window

PLACES_MAX = 4096  # of the value in one stream's input that are looked at, the latest first
SURE_BYTES = 8  # so many in a row are no chance
CULPRIT_BYTES_MAX = 64 * 1024
AROUND_BYTES = 256  # of the input, shown on either side


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of one stream's input: from the stream's offset `at` on."""

    label: int
    at: int
    data: bytes


@dataclass(frozen=True, slots=True)
class _Match:
    kept: Kept
    in_kept: int
    in_memory: int
    size: int
    rivals: int  # places that match as well


def culprit(role: str, memory: Window, core_at: int, core_size: int, streams: Iterable[Kept]) -> Culprit | None:
    """Return the bytes of a stream that stand in memory around `memory.data[core_at : core_at + core_size]`; or None.

    None: no stream has the core as it stands; it was changed on its way, or is no longer kept.
    """
    if not core_size:
        return None
    found = [match for kept in streams for match in _matches(memory.data, core_at, core_size, kept)]
    if not found:
        return None
    size = max(match.size for match in found)
    best = [match for match in found if match.size == size]
    one, rivals = best[0], sum(match.rivals for match in best)
    data = memory.data[one.in_memory : one.in_memory + min(size, CULPRIT_BYTES_MAX)]
    begin = max(0, one.in_kept - AROUND_BYTES)
    return Culprit(
        role, one.kept.label, one.kept.at + one.in_kept, data, memory.address + one.in_memory if memory.address else 0,
        core_at - one.in_memory, core_size, size >= SURE_BYTES and rivals == 1, _certainty(size, rivals),
        Window(one.kept.at + begin, one.kept.data[begin : one.in_kept + size + AROUND_BYTES][:CULPRIT_BYTES_MAX]),
    )  # fmt: skip


def _certainty(size: int, rivals: int) -> str:
    agree = f"{size} bytes in a row agree" if size != 1 else "one byte agrees"
    if rivals > 1:
        return f"{agree}, and so do {rivals - 1} more places of the input: this is the latest"
    if size < SURE_BYTES:
        return f"{agree}, and nowhere else in what is kept; so few may be chance"
    return f"{agree}, and nowhere else in what is kept"


def _matches(memory: bytes, core_at: int, core_size: int, kept: Kept) -> Iterator[_Match]:
    """Yield the longest match in one stream, if there is any."""
    core = memory[core_at : core_at + core_size]
    before, behind = memory[:core_at], memory[core_at + core_size :]
    best: _Match | None = None
    end = len(kept.data)
    for _ in range(PLACES_MAX):
        place = kept.data.rfind(core, 0, end)
        if place < 0:
            break
        end = place + core_size - 1
        left = _common_suffix(before, kept.data, place)
        right = _common_prefix(behind, kept.data, place + core_size)
        size = left + core_size + right
        if best is None or size > best.size:
            best = _Match(kept, place - left, core_at - left, size, 1)
        elif size == best.size:
            best = _Match(best.kept, best.in_kept, best.in_memory, best.size, best.rivals + 1)
    if best is not None:
        yield best


def _common_prefix(one: bytes, other: bytes, at: int) -> int:
    """Return how many bytes of `one` stand in `other` from `at` on. By halves: comparing slices is quick."""
    low, high = 0, min(len(one), len(other) - at)
    if one[:high] == other[at : at + high]:
        return high
    while high - low > 1:
        middle = (low + high) // 2
        if one[low:middle] == other[at + low : at + middle]:
            low = middle
        else:
            high = middle
    return low


def _common_suffix(one: bytes, other: bytes, end: int) -> int:
    """Return how many bytes at the end of `one` stand in `other` before `end`."""
    low, high = 0, min(len(one), end)
    total = len(one)
    if one[total - high :] == other[end - high : end]:
        return high
    while high - low > 1:
        middle = (low + high) // 2
        if one[total - middle : total - low] == other[end - middle : end - low]:
            low = middle
        else:
            high = middle
    return low
