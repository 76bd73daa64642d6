"""Instructions as text, by capstone; without it, their bytes alone."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from eudaemon.evidence.model import Instruction

INSTRUCTION_BYTES_MAX = 15


def is_there() -> bool:
    """Whether anything can be disassembled. What that needs is imported now."""
    return _decoder() is not None


@lru_cache(maxsize=1)
def _decoder() -> Any:
    try:
        import capstone
    except ModuleNotFoundError:
        return None
    return capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)


def listing(data: bytes, address: int, most: int) -> tuple[Instruction, ...]:
    """Return the first instructions of some bytes, until one is none."""
    decoder = _decoder()
    if decoder is None:
        return ()
    return tuple(
        Instruction(at, data[at - address : at - address + size], f"{name} {operands}".rstrip())
        for at, size, name, operands in decoder.disasm_lite(data, address, most)
    )


def at(data: bytes, address: int) -> Instruction:
    """Return the instruction with which these bytes begin; without a text where they are none."""
    return next(iter(listing(data, address, 1)), Instruction(address, data[:INSTRUCTION_BYTES_MAX], ""))


def before(data: bytes, end: int, most: int) -> tuple[Instruction, ...]:
    """Return the last instructions before `end`, of the bytes that end there.

    x86 cannot be read backwards: of all beginnings that lead to `end` exactly, the farthest is believed.
    """
    for back in range(len(data), 0, -1):
        found = listing(data[len(data) - back :], end - back, back)
        if found and found[-1].address + len(found[-1].data) == end:
            return found[-most:]
    return ()
