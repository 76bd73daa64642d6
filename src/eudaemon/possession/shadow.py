"""Where the shadow of memory lies: one byte of labels for each byte of the application, always some distance away.

     application                            its shadow
     0x55… – 0x57…   programs, heaps        address + OFFSET           0x05… – 0x07…
     0x7e… – 0x80…   libraries, stacks      address + OFFSET           0x2e… – 0x30…
     0     – 0x10…   what is linked low     address + OFFSET_LOW       0x10… – 0x20…

The low bits of both are not zero, or a load and the load of its label would get into each other's way (ENGINE.md,
section 3). Mapped without reserve: a page is there when it is touched. Measured: the kernel maps all 20 TiB in
microseconds, so each range is one mapping.
"""

from __future__ import annotations

from eudaemon.possession.memory import PAGE, up

OFFSET = -0x5000_0000_0000 + 0x1234_5680
OFFSET_LOW = 0x1000_0000_0000 + 0x1234_5680
RANGES = (
    (0x5500_0000_0000, 0x5700_0000_0000, OFFSET),
    (0x7E00_0000_0000, 0x8000_0000_0000, OFFSET),
    (0, 0x1000_0000_0000, OFFSET_LOW),
)


def spans() -> list[tuple[int, int]]:
    """Return address and size of each part of the shadow, whole pages."""
    return [((begin + offset) & -PAGE, up(end + offset) - ((begin + offset) & -PAGE)) for begin, end, offset in RANGES]
