"""Reading ELF, PE and Mach-O headers for one line of description. Every offset in them is a claim that is checked."""

from __future__ import annotations

import struct
from collections.abc import Iterator

_SECTIONS_MAX = 256
_SEGMENTS_MAX = 128
_TEXT_BYTES_MAX = 128

# ELF: e_machine (System V gABI, chapter 4). Those that IoT malware is built for, and a few neighbours.
_MACHINES = {
    2: "SPARC", 3: "Intel 80386", 4: "Motorola 68000", 8: "MIPS", 10: "MIPS RS3000 little-endian", 15: "PA-RISC",
    18: "SPARC32PLUS", 20: "PowerPC", 21: "PowerPC64", 22: "S/390", 40: "ARM", 42: "SuperH", 43: "SPARC V9",
    45: "ARC", 50: "IA-64", 62: "x86-64", 88: "M32R", 92: "OpenRISC", 93: "ARC", 94: "Xtensa", 113: "Nios II",
    183: "AArch64", 189: "MicroBlaze", 195: "ARC", 243: "RISC-V", 247: "BPF", 252: "C-SKY", 258: "LoongArch",
}  # fmt: skip
_ELF_TYPES = {1: "object file", 2: "executable", 3: "shared object", 4: "core file"}
_PT_DYNAMIC, _PT_INTERP = 2, 3
_SHT_SYMTAB = 2

# PE: IMAGE_FILE_HEADER.Machine (Microsoft PE/COFF specification).
_PE_MACHINES = {0x14C: "Intel 80386", 0x8664: "x86-64", 0x1C0: "ARM", 0x1C4: "ARM Thumb-2", 0xAA64: "AArch64",
                0x200: "IA-64", 0x166: "MIPS", 0x1F0: "PowerPC", 0xEBC: "EFI byte code"}  # fmt: skip
_PE_SUBSYSTEMS = {1: "native", 2: "GUI", 3: "console", 7: "POSIX console", 9: "Windows CE", 10: "EFI application"}
_PE_DLL, _CLI_DIRECTORY = 0x2000, 14

_MACHO_MAGIC = {b"\xfe\xed\xfa\xce": (">", 32), b"\xce\xfa\xed\xfe": ("<", 32),
                b"\xfe\xed\xfa\xcf": (">", 64), b"\xcf\xfa\xed\xfe": ("<", 64)}  # fmt: skip
_MACHO_CPUS = {7: "Intel 80386", 0x1000007: "x86-64", 12: "ARM", 0x100000C: "AArch64", 18: "PowerPC"}
_MACHO_TYPES = {1: "object file", 2: "executable", 6: "shared library", 8: "bundle"}


def describe_elf(data: bytes) -> str:
    """Return one line on an ELF file: word size, byte order, type, machine, linkage, symbols, packer."""
    bits = {1: 32, 2: 64}.get(_byte(data, 4))
    order = {1: "<", 2: ">"}.get(_byte(data, 5))
    if bits is None or order is None:
        return "ELF, damaged header"
    parts = [f"ELF {bits}-bit {'little' if order == '<' else 'big'}-endian"]
    fixed = _unpack(f"{order}HHI{'QQQ' if bits == 64 else 'III'}IHHHHHH", data, 16)
    if fixed is None:
        return parts[0] + ", cut off in the header"
    kind, machine, _, _, segments_at, sections_at, flags, _, segment_bytes, segments, section_bytes, sections, _ = fixed
    name = _MACHINES.get(machine, f"machine {machine}")
    if machine == 40 and flags >> 24:
        name += f" EABI{flags >> 24}"
    kinds = {k for k, _ in _segments(data, order, bits, segments_at, segment_bytes, segments)}
    interpreters = [t for k, t in _segments(data, order, bits, segments_at, segment_bytes, segments) if k == _PT_INTERP]
    if kind == 3 and _PT_INTERP in kinds:
        parts.append("position-independent executable")
    else:
        parts.append(_ELF_TYPES.get(kind, f"type {kind}"))
    parts.append(name)
    if kind in (2, 3) and kinds:
        linkage = "dynamically linked" if _PT_DYNAMIC in kinds else "statically linked"
        parts.append(linkage + (f", interpreter {interpreters[0]}" if interpreters and interpreters[0] else ""))
    if kind in (2, 3):
        types = _section_types(data, order, bits, sections_at, section_bytes, sections)
        parts.append("not stripped" if _SHT_SYMTAB in types else "stripped" if types else "no section headers")
    if _is_upx(data):
        parts.append("packed with UPX")
    return ", ".join(parts)


def describe_pe(data: bytes) -> str:
    """Return one line on a PE (or older DOS) file: word size, kind, machine, subsystem, .NET, packer."""
    at = _unpack("<I", data, 0x3C)
    if at is None or data[at[0] : at[0] + 4] != b"PE\0\0":
        return "DOS executable" if at is not None else "DOS executable, cut off in the header"
    fixed = _unpack("<HHIIIHH", data, at[0] + 4)
    if fixed is None:
        return "PE, cut off in the header"
    machine, sections, _, _, _, optional_bytes, characteristics = fixed
    magic = (_unpack("<H", data, at[0] + 24) or (0,))[0]
    bits = {0x10B: 32, 0x20B: 64}.get(magic)
    parts = [f"PE {bits}-bit" if bits else "PE, damaged header"]
    subsystem = (_unpack("<H", data, at[0] + 24 + 68) or (0,))[0]
    what = "DLL" if characteristics & _PE_DLL else "driver" if subsystem == 1 else "executable"
    parts.append(f"{what} ({_PE_SUBSYSTEMS[subsystem]})" if subsystem in _PE_SUBSYSTEMS else what)
    parts.append(_PE_MACHINES.get(machine, f"machine {machine:#x}"))
    if bits:
        directory = at[0] + 24 + (96 if bits == 32 else 112) + 8 * _CLI_DIRECTORY
        if (_unpack("<II", data, directory) or (0, 0))[0]:
            parts.append(".NET assembly")
    table = at[0] + 24 + optional_bytes
    names = [data[table + 40 * n : table + 40 * n + 8].rstrip(b"\0") for n in range(min(sections, _SECTIONS_MAX))]
    if any(name.startswith(b"UPX") for name in names):
        parts.append("packed with UPX")
    return ", ".join(parts)


def describe_macho(data: bytes) -> str:
    """Return one line on a Mach-O file, empty if it is none."""
    if data[:4] not in _MACHO_MAGIC:
        return ""
    order, bits = _MACHO_MAGIC[data[:4]]
    fixed = _unpack(f"{order}III", data, 4)
    if fixed is None:
        return "Mach-O, cut off in the header"
    cpu, _, kind = fixed
    return f"Mach-O {bits}-bit {_MACHO_TYPES.get(kind, f'type {kind}')}, {_MACHO_CPUS.get(cpu, f'CPU {cpu:#x}')}"


def _segments(data: bytes, order: str, bits: int, at: int, step: int, count: int) -> Iterator[tuple[int, str]]:
    """Yield each program header's type, and the text that it points at if it is an interpreter."""
    if step < (56 if bits == 64 else 32):
        return
    for number in range(min(count, _SEGMENTS_MAX)):
        found = _unpack(f"{order}IIQ" if bits == 64 else f"{order}II", data, at + number * step)
        if found is None:
            return
        text = data[found[-1] : found[-1] + _TEXT_BYTES_MAX].partition(b"\0")[0] if found[0] == _PT_INTERP else b""
        yield found[0], text.decode("ascii", "replace") if text.isascii() and text[:1] == b"/" else ""


def _section_types(data: bytes, order: str, bits: int, at: int, step: int, count: int) -> set[int]:
    if not at or step < (64 if bits == 64 else 40):
        return set()
    rows = (_unpack(f"{order}II", data, at + number * step) for number in range(min(count, _SECTIONS_MAX)))
    return {row[1] for row in rows if row is not None}


def _is_upx(data: bytes) -> bool:
    # UPX writes `UPX!` into its headers at the start and the end; packers that wipe it wipe it there as well.
    return b"UPX!" in data[:4096] or b"UPX!" in data[-4096:]


def _byte(data: bytes, at: int) -> int:
    return data[at] if at < len(data) else 0


def _unpack(form: str, data: bytes, at: int) -> tuple[int, ...] | None:
    return struct.unpack_from(form, data, at) if 0 <= at <= len(data) - struct.calcsize(form) else None
