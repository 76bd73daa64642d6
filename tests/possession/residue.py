"""What a possession may leave behind: nothing. Two looks at /proc, compared.

Owns what is compared and what of it a victim may move by itself.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

SIGNAL_FIELDS = ("SigBlk", "SigIgn", "SigCgt")
GROWN_KIB_MAX = 3_000
GROWN_MAX = 100  # mappings, descriptors, threads of a process that moves its own


@dataclass(frozen=True, slots=True)
class Look:
    """One look: maps by range, descriptors by number, threads by id, signal sets as text."""

    maps: tuple[str, ...]
    fd: tuple[str, ...]
    task: tuple[str, ...]
    signals: tuple[str, ...]
    resident_kib: int

    def differs(self, later: Look, moving: frozenset[str], cycles: int = 0) -> list[str]:
        """Say what is different, but for what the process moves by itself, and has more of after many cycles."""
        found = []
        for aspect in ("maps", "fd", "task", "signals"):
            before, after = getattr(self, aspect), getattr(later, aspect)
            if aspect not in moving:
                found += [f"{aspect}: gone   {one}" for one in before if one not in after]
                found += [f"{aspect}: new    {one}" for one in after if one not in before]
            elif aspect in ("maps", "fd", "task") and len(after) > len(before) + GROWN_MAX + cycles // 4:
                found.append(f"{aspect}: {len(before)}, then {len(after)}")
        found += [f"maps: low    {one}" for one in later.maps if _is_low(one) and one not in self.maps]
        return found


def look(pid: int) -> Look:
    """Look at a process; what of it is gone meanwhile counts as empty."""
    place = Path(f"/proc/{pid}")
    status = (place / "status").read_text()
    fields = dict(re.findall(r"^(\w+):\s+(.*)$", status, re.MULTILINE))
    descriptors = []
    for link in sorted((place / "fd").iterdir(), key=lambda path: int(path.name)):
        with suppress(OSError):
            descriptors.append(f"{link.name} -> {os.readlink(link)}")
    return Look(
        tuple(_merged((place / "maps").read_text())),
        tuple(descriptors),
        tuple(sorted(task.name for task in (place / "task").iterdir())),
        tuple(f"{name} {fields[name]}" for name in SIGNAL_FIELDS),
        int(fields.get("RssAnon", "0 kB").split()[0]),
    )


def _merged(text: str) -> list[str]:
    """Mappings, neighbours of one kind as one, as the kernel splits and joins them. Heap and stack without sizes."""
    merged: list[list[str | int]] = []
    for line in text.splitlines():
        span, rights, offset, device, inode, *name = line.split(maxsplit=5)
        low, high = (int(part, 16) for part in span.split("-"))
        label = name[0] if name else ""
        if label in ("[heap]", "[stack]"):
            merged.append([label, 0, rights, "0", "", "", label])
            continue
        last = merged[-1] if merged else None
        if last and last[1] == low and last[2] == rights and inode == "0" and last[5] == "0" and last[6] == label:
            last[1] = high
        else:
            merged.append([low, high, rights, offset, device, inode, label])
    return [
        f"{one[0]} {one[2]}"
        if isinstance(one[0], str)
        else f"{one[0]:x}-{one[1]:x} {one[2]} {one[3]} {one[5]} {one[6]}".strip()
        for one in merged
    ]


def _is_low(mapping: str) -> bool:
    """Below 2 GiB and nobody's file: where the engine lies."""
    found = re.match(r"([0-9a-f]+)-[0-9a-f]+ \S+ \S+ 0$", mapping)
    return found is not None and int(found[1], 16) < 1 << 31
