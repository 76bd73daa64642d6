"""What is mapped where in a process, and where there is room."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from eudaemon.possession.errors import Vanished
from eudaemon.possession.memory import PAGE, Remote

LOW_END = 0x7FFF_0000  # below 2 GiB: what an absolute 32-bit displacement reaches without a sign
LOW_BEGIN = 0x4000_0000  # first choice: above what a program at 0x400000 lets its heap grow into
LOW_BEGIN_LAST = 0x1_0000  # last choice: above the kernel's mmap_min_addr


@dataclass(frozen=True, slots=True)
class Area:
    """One line of `/proc/PID/maps`."""

    begin: Remote
    end: Remote
    rights: str
    path: str
    offset: int = 0  # in the file

    @property
    def is_anonymous(self) -> bool:
        """Whether no file, stack or heap stands behind it."""
        return not self.path


def read_maps(pid: int) -> list[Area]:
    """Return the areas of a process, by address."""
    try:
        text = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8", errors="surrogateescape")
    except (FileNotFoundError, ProcessLookupError):
        raise Vanished(f"process {pid} has ended") from None
    areas = []
    for line in text.splitlines():
        span, rights, offset, _, inode_and_path = line.split(maxsplit=4)
        begin, end = span.split("-")
        _, _, path = inode_and_path.partition(" ")
        areas.append(Area(Remote(int(begin, 16)), Remote(int(end, 16)), rights, path.strip(), int(offset, 16)))
    return areas


def gaps(areas: Iterable[Area], begin: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield what is free between `begin` and `end`, a page away from every neighbour, so that nothing merges."""
    at = begin
    for area in areas:
        if area.end <= begin:
            continue
        if area.begin - PAGE > at:
            yield at, min(area.begin - PAGE, end)
        at = max(at, area.end + PAGE)
        if at >= end:
            return
    if at < end:
        yield at, end


def low_room(areas: Iterable[Area], size: int, head: int, align: int) -> int | None:
    """Return the highest address below 2 GiB with room for `size` bytes, of which byte `head` is aligned; or None.

    The highest: a heap grows upwards, from below.
    """
    known = list(areas)
    for begin in (LOW_BEGIN, LOW_BEGIN_LAST):
        for free_from, free_to in reversed(list(gaps(known, begin, LOW_END))):
            at = ((free_to - (size - head)) & -align) - head
            if at >= free_from:
                return at
    return None


def near_room(areas: Iterable[Area], address: int, size: int, reach: int = 0x7FF0_0000) -> int | None:
    """Return a free place for `size` bytes within `reach` of an address, the nearest above or below; or None."""
    best: int | None = None
    for free_from, free_to in gaps(list(areas), max(address - reach, LOW_BEGIN_LAST), address + reach):
        for at in (free_from, (free_to - size) & -PAGE):
            fits = free_from <= at and at + size <= free_to
            if fits and (best is None or abs(at - address) < abs(best - address)):
                best = at
    return best
