"""What a module's file says of an address: which symbol it lies in, and how to find the caller from there.

Read piece by piece, with a limit on each: the files are those of the suspect process. Symbols come from `.symtab`, or
`.dynsym`, or the debug file of the same build id; call frame information from `.eh_frame`, found through its sorted
index (`.eh_frame_hdr`, Linux Standard Base 5.0, section 10.6.2).
"""

from __future__ import annotations

import os
import struct
from bisect import bisect_right
from collections.abc import Container, Iterator
from contextlib import suppress
from functools import cached_property
from pathlib import Path

SECTION_BYTES_MAX = 32 * 1024 * 1024
SECTIONS_MAX = 1024
SEGMENTS_MAX = 256
DEBUG = Path("/usr/lib/debug/.build-id")
_LOAD, _NOTE, _EH_FRAME = 1, 4, 0x6474E550
_SYMTAB, _DYNSYM = 2, 11
_FUNCTIONS = (0, 2, 10)  # without a type, function, indirect function
_BUILD_ID = 3
_LONG_ENTRY = 0xFFFFFFFF
_NAME_BYTES_MAX = 256
# Of `.eh_frame_hdr`, as every linker writes them: pointer relative to its place, table relative to the header.
_ENCODINGS = (1, 0x1B, 0x03, 0x3B)


class ElfError(Exception):
    """The file is no ELF file that we understand."""


class Elf:
    """A 64-bit little-endian ELF file, behind a descriptor or in memory. Addresses are those in the file."""

    def __init__(self, source: int | bytes) -> None:
        """Begin to read. The descriptor stays the caller's. Raises `ElfError`."""
        self._source = source
        head = self._read(0, 64)
        if head[:6] != b"\x7fELF\x02\x01":
            raise ElfError("no 64-bit ELF file")
        phoff, shoff = struct.unpack_from("<QQ", head, 32)
        phentsize, phnum, shentsize, shnum = struct.unpack_from("<HHHH", head, 54)
        if phentsize != 56 or (shnum and shentsize != 64):
            raise ElfError("tables of another form")
        self._segments = list(struct.iter_unpack("<IIQQQQQQ", self._read(phoff, 56 * min(phnum, SEGMENTS_MAX))))
        self._sections = list(struct.iter_unpack("<IIQQQQIIQQ", self._read(shoff, 64 * min(shnum, SECTIONS_MAX))))

    def address_of(self, offset: int) -> int | None:
        """Return the address of what stands at an offset of the file; None: nothing is loaded from there."""
        for kind, _, at, address, _, size, _, _ in self._segments:
            if kind == _LOAD and at & -4096 <= offset < at + size:
                return int(address + offset - at)
        return None

    def symbol(self, address: int, *, behind: int = 0) -> str:
        """Return `name+0x12` for what lies `behind` bytes behind an address of a function; "" where it lies in none."""
        for starts, symbols, names in self._tables:
            at = bisect_right(starts, address) - 1
            if at >= 0:
                begin, size, name_at = symbols[at]
                if address < begin + max(size, 1) or (size == 0 and address - begin < 4096):
                    name = names[name_at : name_at + _NAME_BYTES_MAX].partition(b"\0")[0]
                    text = name.decode(errors="backslashreplace")
                    offset = address - begin + behind
                    return f"{text}+{offset:#x}" if offset else text
        return ""

    def functions(self, names: Container[str]) -> Iterator[tuple[str, int]]:
        """Yield name and address of the functions in the file that have one of these names."""
        for _, symbols, table in self._tables:
            for address, _, name_at in symbols:
                name = table[name_at : name_at + _NAME_BYTES_MAX].partition(b"\0")[0].decode(errors="backslashreplace")
                if name in names:
                    yield name, address

    def frame_entry(self, address: int) -> tuple[bytes, int, int] | None:
        """Return `.eh_frame`, its address, and the offset in it of the entry for an address; None: there is none."""
        if self._index is None:
            return None
        header, starts, entries, frames_at = self._index
        at = bisect_right(starts, address - header) - 1
        if at < 0:
            return None
        frames = self._frames(frames_at)
        return frames, frames_at, header + entries[at] - frames_at

    @cached_property
    def _tables(self) -> list[tuple[list[int], list[tuple[int, int, int]], bytes]]:
        found = [table for kind in (_SYMTAB, _DYNSYM) if (table := self._table(kind))]
        if not any(kind == _SYMTAB for _, kind, *_ in self._sections):
            with suppress(OSError, ElfError, struct.error):
                identity = self.build_id
                if identity:
                    file = os.open(DEBUG / identity[:2] / f"{identity[2:]}.debug", os.O_RDONLY | os.O_CLOEXEC)
                    try:
                        if table := Elf(file)._table(_SYMTAB):
                            found.insert(0, table)
                    finally:
                        os.close(file)
        return found

    def _table(self, wanted: int) -> tuple[list[int], list[tuple[int, int, int]], bytes] | None:
        for _, kind, _, _, offset, size, link, _, _, _ in self._sections:
            if kind != wanted or link >= len(self._sections):
                continue
            raw = self._read(offset, size - size % 24)
            symbols = sorted(
                (value, length, name)
                for name, info, _, section, value, length in struct.iter_unpack("<IBBHQQ", raw)
                if info & 15 in _FUNCTIONS and section and value and name
            )
            return [entry[0] for entry in symbols], symbols, self._read(*self._sections[link][4:6])
        return None

    @cached_property
    def build_id(self) -> str:
        """The build id, hexadecimal; "" if it has none."""
        for kind, _, offset, _, _, size, _, _ in self._segments:
            if kind != _NOTE:
                continue
            for name, number, text in _notes(self._read(offset, size)):
                if name == b"GNU\0" and number == _BUILD_ID and len(text) > 1:
                    return text.hex()
        return ""

    @cached_property
    def _index(self) -> tuple[int, list[int], list[int], int] | None:
        """Where the index lies, beginnings and entries relative to that, and where `.eh_frame` is."""
        for kind, _, offset, address, _, size, _, _ in self._segments:
            if kind == _EH_FRAME and size >= 12:
                raw = self._read(offset, size)
                if tuple(raw[:4]) != _ENCODINGS:
                    return None
                frames, count = struct.unpack_from("<iI", raw, 4)
                table = raw[12 : 12 + 8 * count]
                pairs = list(struct.iter_unpack("<ii", table[: len(table) & -8]))
                return address, [pair[0] for pair in pairs], [pair[1] for pair in pairs], address + 4 + frames
        return self._walked()

    def _walked(self) -> tuple[int, list[int], list[int], int] | None:
        """Return the same for a file without an index, as static programs are: read from the entries themselves."""
        for name, _, _, address, offset, size, *_ in self._sections:
            if self._section_name(name) == b".eh_frame":
                found = sorted(_entries(self._read(offset, size)))
                return address, [begin for begin, _ in found], [at for _, at in found], address
        return None

    def _section_name(self, at: int) -> bytes:
        index = struct.unpack("<H", self._read(62, 2))[0]
        names = self._read(*self._sections[index][4:6]) if index < len(self._sections) else b""
        return names[at : at + _NAME_BYTES_MAX].partition(b"\0")[0]

    def _frames(self, address: int) -> bytes:
        """Return `.eh_frame`: from its address to where its segment ends, or its section does."""
        if address in self._kept:
            return self._kept[address]
        for _, _, _, at, offset, size, *_ in self._sections:
            if at == address and size:
                self._kept[address] = self._read(offset, size)
                return self._kept[address]
        for kind, _, offset, at, _, size, _, _ in self._segments:
            if kind == _LOAD and at <= address < at + size:
                self._kept[address] = self._read(offset + address - at, size - (address - at))
                return self._kept[address]
        raise ElfError("no frames")

    @cached_property
    def _kept(self) -> dict[int, bytes]:
        return {}

    def _read(self, offset: int, size: int) -> bytes:
        if not 0 <= size <= SECTION_BYTES_MAX or not 0 <= offset < 1 << 62:
            raise ElfError(f"{size} bytes in one piece")
        data = self._source[offset : offset + size] if isinstance(self._source, bytes) else _pread(
            self._source, size, offset
        )  # fmt: skip
        if len(data) < size:
            raise ElfError("cut short")
        return data


def _pread(file: int, size: int, offset: int) -> bytes:
    try:
        return os.pread(file, size, offset)
    except OSError as error:
        raise ElfError(str(error)) from None


def _entries(frames: bytes) -> Iterator[tuple[int, int]]:
    """Yield where the code of each entry begins, relative to `.eh_frame`, and where the entry does.

    With pointers as compilers write them for x86-64: 32 bits, relative to their place.
    """
    at = 0
    while at + 12 <= len(frames):
        length, cie = struct.unpack_from("<II", frames, at)
        if length == 0 or length == _LONG_ENTRY:
            return
        if cie:
            yield at + 8 + struct.unpack_from("<i", frames, at + 8)[0], at
        at += 4 + length


def _notes(raw: bytes) -> Iterator[tuple[bytes, int, bytes]]:
    at = 0
    while at + 12 <= len(raw):
        name, text, number = struct.unpack_from("<III", raw, at)
        begin = at + 12
        middle = begin + (name + 3 & -4)
        yield raw[begin : begin + name], number, raw[middle : middle + text]
        at = middle + (text + 3 & -4)
