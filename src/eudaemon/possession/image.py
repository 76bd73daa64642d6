"""The engine's image: a static PIE that is laid out here, relocated for its place, and planted as plain bytes.

Only what such an image may hold is understood: loadable segments, and relative relocations (no symbol of it is left
undefined). Everything is done before a process is stopped.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from eudaemon.possession.errors import PossessionError
from eudaemon.possession.memory import PAGE, up

_LOAD, _DYNAMIC = 1, 2
_EXECUTE, _WRITE, _READ = 1, 2, 4
_SYMTAB, _DYNSYM = 2, 11
_DT_RELA, _DT_RELASZ, _DT_RELRSZ = 7, 8, 35
_RELATIVE = 8  # R_X86_64_RELATIVE

PROT_READ, PROT_WRITE, PROT_EXEC = 1, 2, 4

SYMBOLS = (
    "seal_prepare", "seal_take_over", "seal_wake", "seal_held", "seal_recover", "seal_parked", "seal_farewell",
    "seal_restore", "seal_issue_after",
)  # fmt: skip


class ImageError(PossessionError):
    """The file is no image of the engine."""


@dataclass(frozen=True, slots=True)
class Part:
    """Pages of the image with one protection, by offset from its begin."""

    begin: int
    end: int
    protection: int


class Image:
    """An image file, understood."""

    def __init__(self, data: bytes) -> None:
        if data[:6] != b"\x7fELF\x02\x01":
            raise ImageError("the engine's image is no 64-bit ELF file", "build it again: make engine")
        self._data = data
        phoff, shoff = struct.unpack_from("<QQ", data, 32)
        phentsize, phnum, shentsize, shnum = struct.unpack_from("<HHHH", data, 54)
        self._segments = [
            struct.unpack_from("<IIQQQQQQ", data, phoff + index * phentsize) for index in range(phnum)
        ]  # type flags offset vaddr paddr filesz memsz align
        self._sections = [struct.unpack_from("<IIQQQQIIQQ", data, shoff + index * shentsize) for index in range(shnum)]

    @cached_property
    def size(self) -> int:
        """Bytes of address space, whole pages."""
        return up(max(vaddr + memsz for kind, _, _, vaddr, _, _, memsz, _ in self._segments if kind == _LOAD))

    @cached_property
    def parts(self) -> list[Part]:
        """Who may do what where. Pages that two segments share get the rights of both."""
        rights: dict[int, int] = {}
        for kind, flags, _, vaddr, _, _, memsz, _ in self._segments:
            if kind == _LOAD:
                for page in range(vaddr // PAGE, up(vaddr + memsz) // PAGE):
                    rights[page] = rights.get(page, 0) | _protection(flags)
        parts: list[Part] = []
        for page in sorted(rights):
            if parts and parts[-1].end == page * PAGE and parts[-1].protection == rights[page]:
                parts[-1] = Part(parts[-1].begin, (page + 1) * PAGE, rights[page])
            else:
                parts.append(Part(page * PAGE, (page + 1) * PAGE, rights[page]))
        return parts

    @cached_property
    def symbols(self) -> dict[str, int]:
        """Offsets of the symbols that a controller calls or meets; those that are missing are left out."""
        found: dict[str, int] = {}
        for _, kind, _, _, offset, size, link, _, _, _ in self._sections:
            if kind not in (_SYMTAB, _DYNSYM):
                continue
            names_at, names_size = self._sections[link][4:6]
            names = self._data[names_at : names_at + names_size]
            wanted = {names.find(b"\0" + name.encode() + b"\0") + 1: name for name in SYMBOLS}
            for name, _, _, shndx, value, _ in struct.iter_unpack("<IBBHQQ", self._data[offset : offset + size]):
                if name in wanted and name and shndx:
                    found[wanted[name]] = value
        return found

    def laid_out_at(self, base: int) -> bytearray:
        """Return the image's memory for the address at which it will lie."""
        memory = bytearray(self.size)
        for kind, _, offset, vaddr, _, filesz, _, _ in self._segments:
            if kind == _LOAD:
                memory[vaddr : vaddr + filesz] = self._data[offset : offset + filesz]
        for place, addend in self._relocations(memory):
            struct.pack_into("<Q", memory, place, base + addend)
        return memory

    def _relocations(self, memory: bytearray) -> Iterator[tuple[int, int]]:
        dynamic: dict[int, int] = {}
        for kind, _, _, vaddr, _, _, memsz, _ in self._segments:
            if kind == _DYNAMIC:
                dynamic = dict(struct.iter_unpack("<QQ", memory[vaddr : vaddr + memsz // 16 * 16]))
        if _DT_RELRSZ in dynamic:
            raise ImageError("the engine's image has packed relocations", "link it without -z pack-relative-relocs")
        begin, size = dynamic.get(_DT_RELA, 0), dynamic.get(_DT_RELASZ, 0)
        for place, info, addend in struct.iter_unpack("<QQq", bytes(memory[begin : begin + size])):
            if info != _RELATIVE:
                raise ImageError(f"the engine's image has a relocation of kind {info & 0xFFFFFFFF}", "see its build.rs")
            yield place, addend


@lru_cache(maxsize=2)
def load_image(path: Path) -> Image:
    """Read an image, once."""
    return Image(path.read_bytes())


def _protection(flags: int) -> int:
    return (
        (PROT_READ if flags & _READ else 0)
        | (PROT_WRITE if flags & _WRITE else 0)
        | (PROT_EXEC if flags & _EXECUTE else 0)
    )
