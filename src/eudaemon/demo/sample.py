"""A program to bring along: a real ELF file for the machine that the loader found, that would print one line and exit.

0x00  ELF header        (52 or 64 bytes)
      program header    (32 or 56 bytes), one PT_LOAD: the whole file
      code              x86-64 and 32-bit x86: write(1, text, length); exit(0).  Others: none
      text              says what it is
"""

from __future__ import annotations

import struct

TEXT = b"This is Eudaemon's harmless demonstration file.\n"
BASE = 0x400000
EM_386, EM_X86_64 = 3, 62
# What a loader calls a machine: e_machine, word size, byte order.
MACHINES = {
    "arm": (40, 32, True), "arm7": (40, 32, True), "m68k": (4, 32, False), "mips": (8, 32, False),
    "mpsl": (8, 32, True), "ppc": (20, 32, False), "sh4": (42, 32, True), "spc": (2, 32, False), "x86": (3, 32, True),
}  # fmt: skip


def harmless(machine: int = EM_X86_64, *, bits: int = 64, little: bool = True, note: str = "") -> bytes:
    """Return the file. `machine` is ELF's e_machine; `note` makes it a different file from the last."""
    text = TEXT + note.encode()
    order = "<" if little else ">"
    header = struct.Struct(order + ("16sHHIQQQIHHHHHH" if bits == 64 else "16sHHIIIIIHHHHHH"))
    segment = struct.Struct(order + ("IIQQQQQQ" if bits == 64 else "IIIIIIII"))
    start = header.size + segment.size
    code = _code(machine, start, len(TEXT))
    size = start + len(code) + len(text)
    ident = b"\x7fELF" + bytes((bits // 32, 1 if little else 2, 1)) + bytes(9)
    out = header.pack(
        ident, 2, machine, 1, BASE + start, header.size, 0, 0, header.size, segment.size, 1, 0, 0, 0
    )  # fmt: skip
    if bits == 64:
        out += segment.pack(1, 5, 0, BASE, BASE, size, size, 0x1000)
    else:
        out += segment.pack(1, 0, BASE, BASE, size, size, 5, 0x1000)
    return out + code + text


def harmless_for(architecture: str, *, note: str = "") -> bytes:
    """Return the file for a machine that a loader found. Raises `KeyError` for one that no loader knows."""
    machine, bits, little = MACHINES[architecture]
    return harmless(machine, bits=bits, little=little, note=note)


def _code(machine: int, start: int, length: int) -> bytes:
    """Linux: write(1, text, length) and exit(0), for the two machines that a demonstration is run on."""
    if machine == EM_X86_64:
        size = 37
        return b"".join((
            b"\xb8\x01\0\0\0\xbf\x01\0\0\0",  # mov eax, 1; mov edi, 1
            b"\xbe" + struct.pack("<I", BASE + start + size),  # mov esi, text
            b"\xba" + struct.pack("<I", length) + b"\x0f\x05",  # mov edx, length; syscall
            b"\xb8\x3c\0\0\0\x31\xff\x0f\x05\x0f\x0b\x90\x90",  # mov eax, 60; xor edi, edi; syscall; ud2
        )).ljust(size, b"\x90")  # fmt: skip
    if machine == EM_386:
        size = 36
        return b"".join((
            b"\xb8\x04\0\0\0\xbb\x01\0\0\0",  # mov eax, 4; mov ebx, 1
            b"\xb9" + struct.pack("<I", BASE + start + size),  # mov ecx, text
            b"\xba" + struct.pack("<I", length) + b"\xcd\x80",  # mov edx, length; int 0x80
            b"\xb8\x01\0\0\0\x31\xdb\xcd\x80",  # mov eax, 1; xor ebx, ebx; int 0x80
        )).ljust(size, b"\x90")  # fmt: skip
    return b""
