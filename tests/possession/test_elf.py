"""Symbols against nm, call frames against what the compiler wrote; and files that are not what they say."""

from __future__ import annotations

import random
import re
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from eudaemon.evidence.model import Window
from eudaemon.possession.forensics.elf import Elf, ElfError
from eudaemon.possession.forensics.scene import joined
from eudaemon.possession.forensics.unwind import NUMBERS, Place, call_stack
from possession.ctl import Victims

BASE = 0x5555_0000_0000
STACK = 0x7FFC_0000_0000


@pytest.fixture
def program(victims: Victims) -> bytes:
    return victims.path("ctl_served").read_bytes()


def functions(path: Path) -> dict[str, tuple[int, int]]:
    """Return begin and size of each function, as nm says."""
    if shutil.which("nm") is None:
        pytest.skip("needs binutils")
    said = subprocess.run(["nm", "-S", "--defined-only", str(path)], capture_output=True, text=True, check=True).stdout
    lines = [line.split() for line in said.splitlines()]
    return {line[3]: (int(line[0], 16), int(line[1], 16)) for line in lines if len(line) == 4 and line[2] in "tT"}


def test_symbols_are_those_of_nm(victims: Victims) -> None:
    path = victims.path("ctl_served")
    elf = Elf(path.read_bytes())
    known = functions(path)
    assert {"main", "serve", "serve_one", "take_in"} <= set(known)
    for name, (begin, size) in known.items():
        assert elf.symbol(begin) == name
        assert elf.symbol(begin + size - 1) == f"{name}+{size - 1:#x}"
    assert elf.symbol(0) == ""
    assert elf.symbol(1 << 63) == ""


def test_a_stripped_library_has_its_dynamic_symbols() -> None:
    path = next(Path("/usr/lib/x86_64-linux-gnu").glob("libc.so.6"), None)
    if path is None:
        pytest.skip("needs glibc where Debian has it")
    elf = Elf(path.read_bytes())
    said = subprocess.run(["nm", "-D", str(path)], capture_output=True, text=True, check=True).stdout
    begin = next(int(line.split()[0], 16) for line in said.splitlines() if re.search(r" [TW] pause@@", line))
    assert elf.symbol(begin + 1).partition("+")[0].removeprefix("__") == "pause"
    assert len(elf.build_id) == 40


def stack_of(data: bytes, name: str, known: dict[str, tuple[int, int]], low: int = 0) -> list[str]:
    """Unwind from the first instruction of a function: its return address lies on top of the stack."""
    elf = Elf(data)

    def find(address: int) -> Place | None:
        offset = address - BASE
        own = elf.address_of(offset) if 0 <= offset < len(data) else None
        return None if own is None else Place("program", own, offset, elf)

    def place_of(address: int) -> int:
        return BASE + address - low

    stack = struct.pack("<4Q", place_of(known["main"][0]) + 5, 0, 0, 0) + bytes(256)
    registers = dict.fromkeys(NUMBERS, 0) | {"rsp": STACK}
    return [frame.symbol for frame in call_stack(find, place_of(known[name][0]), registers, Window(STACK, stack))]


@pytest.mark.parametrize("flags", [(), ("-static",)], ids=["index", "no index"])
def test_the_caller_is_found_without_a_frame_pointer(victims: Victims, flags: tuple[str, ...]) -> None:
    path = victims.path("ctl_served", *flags)
    low = 0x40_0000 if flags else 0
    assert stack_of(path.read_bytes(), "serve", functions(path), low)[:2] == ["serve", "main+0x5"]


def test_a_file_that_is_not_what_it_says_is_no_fault_of_ours(victims: Victims, program: bytes) -> None:
    dice = random.Random(5)
    known = functions(victims.path("ctl_served"))
    refused = 0
    for _ in range(400):
        data = bytearray(program)
        where = dice.choice([(0, 64), (64, 1000), (len(data) - 4000, len(data)), (0x2000, 0x2400)])
        for _ in range(dice.randrange(1, 8)):
            data[dice.randrange(*where)] = dice.choice([0, 1, 0x7F, 0x80, 0xFF, dice.randrange(256)])
        if dice.random() < 0.1:
            del data[dice.randrange(len(data)) :]
        try:
            stack_of(bytes(data), "serve", known)
        except ElfError:
            refused += 1
    assert 0 < refused < 400


def test_spans_that_touch_are_one() -> None:
    assert joined([(0x3000, 0x4000), (0x1000, 0x3000), (0x5000, 0x6000)]) == ((0x1000, 0x4000), (0x5000, 0x6000))
    assert joined([]) == ()
