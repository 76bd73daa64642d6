"""Machine architectures, as far as an attacker can see them: ELF headers, `uname -m`, /proc/cpuinfo.

A loader reads the first bytes of /bin/echo to choose the sample that it sends, so these bytes choose the sample.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from eudaemon.world.seed import Seed

LITTLE, BIG = 1, 2  # EI_DATA


@dataclass(frozen=True, slots=True)
class Machine:
    """One architecture. `number` is e_machine, `flags` is e_flags, `bits` is 32 or 64."""

    name: str  # as in the settings
    uname: str
    number: int
    data: int
    flags: int
    bits: int
    load_at: int  # where its linker puts programs

    @property
    def order(self) -> str:
        """The byte order as `struct` writes it."""
        return "<" if self.data == LITTLE else ">"


MACHINES = {
    machine.name: machine
    for machine in (
        Machine("arm", "armv5tejl", 40, LITTLE, 0x05000002, 32, 0x8000),
        Machine("arm7", "armv7l", 40, LITTLE, 0x05000402, 32, 0x10000),
        Machine("aarch64", "aarch64", 183, LITTLE, 0, 64, 0x400000),
        Machine("mips", "mips", 8, BIG, 0x50001007, 32, 0x400000),
        Machine("mipsel", "mips", 8, LITTLE, 0x50001007, 32, 0x400000),
        Machine("x86", "i686", 3, LITTLE, 0, 32, 0x8048000),
        Machine("x86_64", "x86_64", 62, LITTLE, 0, 64, 0x400000),
        Machine("ppc", "ppc", 20, BIG, 0, 32, 0x10000000),
        Machine("sh4", "sh4", 42, LITTLE, 9, 32, 0x400000),
        Machine("sparc", "sparc", 2, BIG, 0, 32, 0x10000),
        Machine("m68k", "m68k", 4, BIG, 0, 32, 0x80000000),
    )
}
_EXECUTABLE, _LOAD = 2, 1
_READ_EXECUTE, _READ_WRITE = 5, 6


def program(machine: Machine, size: int, seed: Seed, strings: bytes) -> bytes:
    """Return `size` bytes that look like a stripped, statically linked program for the machine: nothing that runs.

    The header and the program headers are right; the text is drawn from the seed; `strings` stands where the
    read-only data would.
    """
    wide = machine.bits == 64
    header_size, entry_size = (64, 56) if wide else (52, 32)
    text_size = size * 7 // 8 & ~0xF
    entry = machine.load_at + 0x100 + 4 * seed.number("entry", 64)
    identification = b"\x7fELF" + bytes((2 if wide else 1, machine.data, 1)) + bytes(9)
    address = "Q" if wide else "I"
    header = identification + struct.pack(
        f"{machine.order}HHI{address * 3}IHHHHHH",
        _EXECUTABLE, machine.number, 1, entry, header_size, 0, machine.flags, header_size, entry_size, 2, 0, 0, 0,
    )  # fmt: skip
    data_at = machine.load_at + (text_size | 0xFFFF) + 1 + (text_size & 0xFFF)
    segments = b""
    for flags, offset, at, length in (
        (_READ_EXECUTE, 0, machine.load_at, text_size),
        (_READ_WRITE, text_size, data_at, size - text_size),
    ):
        if wide:
            fields = (_LOAD, flags, offset, at, at, length, length, 0x1000)
            segments += struct.pack(f"{machine.order}IIQQQQQQ", *fields)
        else:
            fields = (_LOAD, offset, at, at, length, length, flags, 0x1000)
            segments += struct.pack(f"{machine.order}IIIIIIII", *fields)
    body = header + segments
    body += seed.bytes("text", max(0, text_size - len(body) - len(strings))) + strings
    return (body + seed.bytes("data", (size - text_size) // 2))[:size].ljust(size, b"\0")


def machine_of(content: bytes) -> tuple[int, int, int] | None:
    """Return (EI_CLASS, EI_DATA, e_machine) of an ELF file's first bytes, or None if it is none."""
    if content[:4] != b"\x7fELF" or len(content) < 20:
        return None
    order = "big" if content[5] == BIG else "little"
    return content[4], content[5], int.from_bytes(content[18:20], order)  # type: ignore[arg-type]


def runs_on(machine: Machine, content: bytes) -> bool:
    """Say whether the machine would run this ELF file. What is for no machine we know gets the benefit of the doubt."""
    found = machine_of(content)
    if found is None or all(found[2] != known.number for known in MACHINES.values()):
        return content[:4] == b"\x7fELF"
    if machine.bits == 64 and found == (1, LITTLE, {"x86_64": 3, "aarch64": 40}[machine.name]):
        return True
    return found == (machine.bits // 32, machine.data, machine.number)
