"""Windows as it lies in memory: TEB, PEB, the loader's three lists, and modules whose exports can be walked.

    module's image, 64 KiB, so that whoever rounds an address down to 64 KiB finds its head:
    0      MZ, at 0x3c where PE is     0x1000 export directory, tables, names     0x8000 one stub of 16 bytes a function

A stub is real code that returns by itself, with the right number of arguments taken off; at its `HOOK` the handler is
asked, which only sets the result. The five bytes before are the prologue that hot patching and hooks use: codes that
jump over hooks run those themselves and go to the sixth.

    32 bits   mov edi,edi; push ebp; mov ebp,esp | pop ebp; ret n         64 bits   nop ×5 | ret

Offsets: Windows XP and Windows 7 by Microsoft's public symbols, as written down many times.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from eudaemon.payload.shellcode.emulation.windows.functions import BASES, NUMBERED, ORDINALS, Function, exports

IMAGE_BYTES, STUBS, STUB_BYTES, HOOK = 0x10000, 0x8000, 16, 5
PEB, TEB, TABLES = 0x7FFD_F000, 0x7FFD_E000, 0x7FFD_8000
TABLES_BYTES = 0x6000
EXE = ("services.exe", 0x0100_0000)
_PE, _EXPORTS = 0xE0, 0x1000
# The first in the lists are what codes count on; a process that was attacked has the others loaded as well.
_LOADED = ("ntdll.dll", "kernel32.dll", "msvcrt.dll", "advapi32.dll", "user32.dll", "ws2_32.dll")
_AGAIN = ("kernel32.dll", BASES["kernel32.dll"])


@dataclass(frozen=True, slots=True)
class Loaded:
    """All modules' bytes by their base, and whose every stub is."""

    images: dict[int, bytes]
    functions: dict[int, Function]  # by the stub's first byte
    addresses: dict[tuple[str, str], int]  # by module and name


@cache
def loaded(bits: int) -> Loaded:
    """Return the modules for a word size."""
    images, functions, addresses = {EXE[1]: _image(EXE[0], (), bits)}, {}, {}
    for module, found in exports().items():
        base = BASES[module]
        images[base] = _image(module, found, bits)
        for index, function in enumerate(found):
            address = base + STUBS + index * STUB_BYTES
            functions[address] = function
            addresses[module, function.name] = address
    return Loaded(images, functions, addresses)


def _image(module: str, functions: tuple[Function, ...], bits: int) -> bytes:
    image = bytearray(IMAGE_BYTES)
    struct.pack_into("<2s58xI", image, 0, b"MZ", _PE)
    machine, magic, directory = (0x14C, 0x10B, 0x78) if bits == 32 else (0x8664, 0x20B, 0x88)
    struct.pack_into("<4sHH12xHH", image, _PE, b"PE\0\0", machine, 1, 0xE0 if bits == 32 else 0xF0, 0x210E)
    struct.pack_into("<H14xII", image, _PE + 24, magic, STUBS, 0x1000)
    struct.pack_into("<II", image, _PE + 24 + 0x38, IMAGE_BYTES, 0x1000)
    struct.pack_into("<I", image, _PE + directory - 4, 16)
    if functions:
        size = _put_exports(image, module, functions)
        struct.pack_into("<II", image, _PE + directory, _EXPORTS, size)
    for index, function in enumerate(functions):
        stub = STUBS + index * STUB_BYTES
        image[stub : stub + STUB_BYTES] = _stub(function, bits)
    return bytes(image)


def _put_exports(image: bytearray, module: str, functions: tuple[Function, ...]) -> int:
    count = len(functions)
    by_ordinal = {name: number for number, name in ORDINALS.items()} if module == "ws2_32.dll" else {}
    # The first function has no name here (kernel32's since Windows 7 stands out of order): codes that take no notice of
    # the table of ordinals add one to a name's number.
    others = iter(range(200, 200 + count)) if by_ordinal else iter(range(2, count + 2))
    ordinals = [by_ordinal.get(function.name) or next(others) for function in functions]
    numbered = NUMBERED if module == "kernel32.dll" else {}
    slots = max((*ordinals, *(index + 1 for index in numbered)))
    table = _EXPORTS + 40
    names = table + 4 * slots
    numbers = names + 4 * count
    text = numbers + 2 * count
    # IMAGE_EXPORT_DIRECTORY: name at 12, base, functions, names, and the three tables' addresses.
    struct.pack_into("<12xIIIIIII", image, _EXPORTS, text, 1, slots, count, table, names, numbers)
    for at, ordinal in enumerate(ordinals):
        struct.pack_into("<I", image, table + 4 * (ordinal - 1), STUBS + at * STUB_BYTES)
    at_of = {function.name: at for at, function in enumerate(functions)}
    for index, name in numbered.items():
        struct.pack_into("<I", image, table + 4 * index, STUBS + at_of[name] * STUB_BYTES)
    text = _put_text(image, text, module.upper())
    for index, (function, ordinal) in enumerate(zip(functions, ordinals, strict=True)):
        struct.pack_into("<I", image, names + 4 * index, text)
        struct.pack_into("<H", image, numbers + 2 * index, ordinal - 1)
        text = _put_text(image, text, function.name)
    if text > STUBS:
        raise ValueError(f"{module}: more names than there is room for")
    return text - _EXPORTS


def _put_text(image: bytearray, at: int, text: str) -> int:
    data = text.encode("ascii") + b"\0"
    image[at : at + len(data)] = data
    return at + len(data)


def _stub(function: Function, bits: int) -> bytes:
    if bits == 64:
        code = b"\x90" * HOOK + b"\xc3"
    else:
        count = 0 if function.cdecl else 4 * len(function.arguments)
        code = b"\x8b\xff\x55\x8b\xec\x5d\xc2" + struct.pack("<H", count)
    return code.ljust(STUB_BYTES, b"\xcc")


def tables(bits: int, stack_top: int, stack_bytes: int) -> tuple[bytes, bytes, bytes]:
    """Return the bytes at TEB, PEB and TABLES."""
    word, form = (4, "<I") if bits == 32 else (8, "<Q")
    teb, peb, rest = bytearray(0x1000), bytearray(0x1000), bytearray(TABLES_BYTES)

    def put(where: bytearray, at: int, *values: int) -> None:
        for number, value in enumerate(values):
            struct.pack_into(form, where, at + number * word, value)

    fatal = loaded(bits).addresses["kernel32.dll", "UnhandledExceptionFilter"]
    # The last structured exception handler, which walkers follow to find kernel32.
    last = TABLES + 0x10
    put(rest, 0x10, (1 << bits) - 1, fatal)
    put(teb, 0, last if bits == 32 else 0, stack_top, stack_top - stack_bytes)
    put(teb, 6 * word, TEB)
    put(teb, 8 * word, 0x5A4, 0x5A8)  # process and thread
    put(teb, 12 * word, PEB)
    peb[2] = 0  # BeingDebugged
    ldr = TABLES + 0x100
    put(peb, 2 * word, EXE[1], ldr, TABLES + 0x80, 0, 0x0014_0000)
    _put_lists(put, rest, word, ldr)
    return bytes(teb), bytes(peb), bytes(rest)


def _put_lists(put: Callable[..., None], rest: bytearray, word: int, ldr: int) -> None:
    """Link one entry a module into three rings: in order of loading, of memory, of initialisation (no program).

    kernel32 is the second to be initialised up to Windows Vista, and since Windows 7, where kernelbase is before it,
    the third: in that ring it stands twice.
    """
    modules = [EXE, *((name, BASES[name]) for name in _LOADED), _AGAIN]
    entries = [TABLES + 0x200 + 0x200 * index for index in range(len(modules))]
    *once, again = entries
    initialised = [*once[1:3], again, *once[3:]]
    struct.pack_into("<II", rest, ldr - TABLES, 0x28, 1)
    heads_at = 12 if word == 4 else 16
    for ring in range(3):
        offset = 2 * word * ring
        links = [ldr + heads_at + offset, *(entry + offset for entry in (initialised if ring == 2 else once))]
        for index, link in enumerate(links):
            put(rest, link - TABLES, links[(index + 1) % len(links)], links[index - 1])
    for (name, base), entry in zip(modules, entries, strict=True):
        at = entry - TABLES
        put(rest, at + 6 * word, base, base + STUBS, IMAGE_BYTES)
        full = f"C:\\WINDOWS\\system32\\{name}"
        data = full.encode("utf-16-le") + b"\0\0"
        # Behind the text lies the heap's next: codes that look for a NUL after so many characters must not find one.
        rest[at + 0x100 : at + 0x200] = data.ljust(0x100, b"\x41")
        text = entry + 0x100
        for field, start in ((9, 0), (11, len(full) - len(name))):
            field_at = at + field * word
            size = len(data) - 2 - 2 * start
            struct.pack_into("<HH", rest, field_at, size, size + 2)
            put(rest, field_at + word, text + 2 * start)
