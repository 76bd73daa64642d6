"""Functions that take a format string: where they lie in a process, and in which register they are told of it.

The engine looks at that string whenever one is called: a conversion that came from outside is an alert.
"""

from __future__ import annotations

import os
import struct
from contextlib import suppress

from eudaemon.possession.forensics.elf import Elf, ElfError
from eudaemon.possession.mailbox import Mailbox
from eudaemon.possession.maps import Area, read_maps

# Which argument it is, counted from 0. Wide characters are left out.
_ARGUMENTS = {
    "printf": 0, "vprintf": 0, "warn": 0, "warnx": 0, "vwarn": 0, "vwarnx": 0,
    "fprintf": 1, "vfprintf": 1, "dprintf": 1, "vdprintf": 1, "sprintf": 1, "vsprintf": 1, "asprintf": 1,
    "vasprintf": 1, "syslog": 1, "vsyslog": 1, "err": 1, "errx": 1, "verr": 1, "verrx": 1, "obstack_printf": 1,
    "__printf_chk": 1, "__vprintf_chk": 1,
    "snprintf": 2, "vsnprintf": 2, "error": 2, "__fprintf_chk": 2, "__vfprintf_chk": 2, "__dprintf_chk": 2,
    "__vdprintf_chk": 2, "__asprintf_chk": 2, "__vasprintf_chk": 2, "__syslog_chk": 2, "__vsyslog_chk": 2,
    "__sprintf_chk": 3, "__vsprintf_chk": 3,
    "__snprintf_chk": 4, "__vsnprintf_chk": 4, "error_at_line": 4,
}  # fmt: skip
_REGISTERS = (7, 6, 2, 1, 8)  # of the arguments, as instructions number them: rdi, rsi, rdx, rcx, r8
MODULES_MAX = 256


def find(pid: int, most: int) -> list[tuple[int, int]]:
    """Return address and register of at most `most` such functions: those of the program, and of its libraries."""
    found: dict[int, int] = {}
    modules = [area for area in read_maps(pid) if "x" in area.rights and area.path.startswith("/")]
    for area in modules[:MODULES_MAX]:
        with suppress(OSError, ElfError, struct.error):
            file = _open(pid, area)
            try:
                elf = Elf(file)
                own = elf.address_of(area.offset)
                for name, address in elf.functions(_ARGUMENTS):
                    if own is not None and area.begin <= area.begin + (address - own) < area.end:
                        found[area.begin + (address - own)] = _REGISTERS[_ARGUMENTS[name]]
            finally:
                os.close(file)
    return sorted(found.items())[:most]


def _open(pid: int, area: Area) -> int:
    with suppress(OSError):  # the very file, though another may have its name by now
        return os.open(f"/proc/{pid}/map_files/{area.begin:x}-{area.end:x}", os.O_RDONLY | os.O_CLOEXEC)
    return os.open(f"/proc/{pid}/root{area.path}", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)


def write(mailbox: Mailbox, formats: list[tuple[int, int]]) -> None:
    """Tell the engine."""
    entry, field = mailbox.abi.records["Format"], mailbox.record["formats"]
    raw = bytearray(field.size)
    for number, (address, register) in enumerate(formats):
        entry.pack(raw, number * entry.size, address=address, register=register)
    mailbox.memory.write(mailbox.address + field.offset, raw)
    mailbox.set("format_count", len(formats))
