"""The call stack, from the copy of the stack: by call frame information, or frame pointers, or a look at every word.

Where the stack has been written over, what lies beyond is what the attacker has put there: a frame says how it was
found.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from typing import Any

from eudaemon.evidence.model import Frame, Window
from eudaemon.possession.forensics.elf import Elf, ElfError
from eudaemon.possession.memory import PAGE

FRAMES_MAX = 64
SCANNED_MAX = 16
SCANNED_BYTES_MAX = 8192
ENTRY_BYTES_MAX = 64 * 1024
_WORD = 8
# Numbers of registers in call frame information (System V ABI for x86-64, figure 3.36).
NUMBERS = (
    "rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
)  # fmt: skip
_RBP, _RSP, _RETURN = 6, 7, 16


@dataclass(frozen=True, slots=True)
class Place:
    """Where an address lies: in which module, at which of its own addresses and which offset of its file."""

    module: str
    address: int
    offset: int
    elf: Elf | None


Finder = Callable[[int], Place | None]  # None: not in memory that may be executed


def call_stack(find: Finder, rip: int, registers: dict[str, int], stack: Window, hijacked: int = 0) -> list[Frame]:
    """Return the frames, the innermost first. No call stands before `hijacked`, where one of them leads."""
    values: dict[int, int] = {number: registers[name] for number, name in enumerate(NUMBERS)}
    frames = [_frame(find, rip, "registers", is_call=False)]
    address = rip
    while len(frames) < FRAMES_MAX:
        place = find(address if len(frames) == 1 else address - 1)
        step = _by_frame_information(place, values, stack) if place else None
        how = "cfi"
        if step is None:
            step, how = _by_frame_pointer(values, stack), "rbp"
            if step is not None and find(step[_RETURN]) is None:
                step = None
        if step is None or not step[_RETURN] or step[_RSP] <= values[_RSP]:
            break
        values, address = step, step[_RETURN]
        frames.append(_frame(find, address, how, is_call=address != hijacked))
        if find(address) is None:
            break
    else:
        return frames
    if step is not None and not step[_RETURN]:  # the end, where a thread began
        return frames
    seen = {frame.address for frame in frames}
    return frames + [frame for frame in _scanned(find, values[_RSP], stack) if frame.address not in seen]


def _by_frame_information(place: Place, values: dict[int, int], stack: Window) -> dict[int, int] | None:
    """Return the caller's registers, its `rip` under `_RETURN`; None where nothing says which they are."""
    row = _row(place)
    if row is None:
        return None
    cfa = row["cfa"]
    if cfa.reg is None or cfa.reg not in values:
        return None
    begin = values[cfa.reg] + cfa.offset & 0xFFFF_FFFF_FFFF_FFFF
    caller = dict(values)
    caller[_RSP], caller[_RETURN] = begin, 0
    for number, rule in row.items():
        if isinstance(number, int) and rule.type == "OFFSET":
            word = _word(stack, begin + rule.arg)
            if word is None:
                return None
            caller[number] = word
    return caller


def is_there() -> bool:
    """Whether call frame information can be read. What that needs is made now."""
    try:
        import_module("elftools.dwarf.callframe")
    except ModuleNotFoundError:
        return False
    return _structs() is not None


@lru_cache(maxsize=1)
def _structs() -> Any:
    from elftools.dwarf.structs import DWARFStructs

    return DWARFStructs(little_endian=True, dwarf_format=32, address_size=8)


def _row(place: Place) -> dict[Any, Any] | None:
    """Return how to find the caller's registers at a place, as pyelftools says it."""
    try:
        from elftools.common.exceptions import ELFError
        from elftools.construct.core import ConstructError
        from elftools.dwarf.callframe import FDE, CallFrameInfo
    except ModuleNotFoundError:
        return None
    if place.elf is None:
        return None
    try:
        found = place.elf.frame_entry(place.address)
        if found is None:
            return None
        frames, frames_at, at = found
        if not 0 <= at <= len(frames) - 8 or struct.unpack_from("<I", frames, at)[0] > ENTRY_BYTES_MAX:
            return None
        information = CallFrameInfo(io.BytesIO(frames), len(frames), frames_at, _structs(), for_eh_frame=True)
        # Not through `get_entries`, which reads all: a second for libc.
        entry = information._parse_entry_at(at)
        if not isinstance(entry, FDE):
            return None
        begin, length = entry["initial_location"], entry["address_range"]
        if not begin <= place.address < begin + length:
            return None
        rows = [row for row in entry.get_decoded().table if row["pc"] <= place.address]
    except (ElfError, ELFError, ConstructError, struct.error, ValueError, KeyError, IndexError, TypeError,
            AttributeError, AssertionError, RecursionError):  # fmt: skip
        return None  # the file is whatever the process has mapped
    return rows[-1] if rows else None


def _by_frame_pointer(values: dict[int, int], stack: Window) -> dict[int, int] | None:
    rbp = values[_RBP]
    saved, back = _word(stack, rbp), _word(stack, rbp + _WORD)
    if rbp < values[_RSP] or saved is None or back is None:
        return None
    return {**values, _RBP: saved, _RSP: rbp + 2 * _WORD, _RETURN: back}


def _scanned(find: Finder, begin: int, stack: Window) -> Iterator[Frame]:
    """Yield what on the stack may be a return address: a module's code lies before it, where the call would be."""
    first = max((begin & -_WORD) - stack.address, 0)
    raw = stack.data[first : first + SCANNED_BYTES_MAX]
    count = 0
    for (word,) in struct.iter_unpack("<Q", raw[: len(raw) & -_WORD]):
        if word < PAGE or (place := find(word - 1)) is None or place.elf is None:
            continue
        yield _frame(find, word, "scan", is_call=True)
        count += 1
        if count == SCANNED_MAX:
            return


def _frame(find: Finder, address: int, how: str, *, is_call: bool) -> Frame:
    place = find(address - is_call) or find(address)
    if place is None:
        return Frame(address, "", 0, "", how)
    symbol = ""
    if place.elf is not None:
        try:
            symbol = place.elf.symbol(place.address, behind=int(is_call))
        except (ElfError, struct.error):
            symbol = ""
    return Frame(address, place.module, place.offset + is_call, symbol, how)


def _word(stack: Window, address: int) -> int | None:
    at = address - stack.address
    if not 0 <= at <= len(stack.data) - _WORD:
        return None
    word: int = struct.unpack_from("<Q", stack.data, at)[0]
    return word
