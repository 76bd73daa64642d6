"""The way home: machine code by which a borrowed thread returns to its application all by itself.

Whoever borrows a thread may be killed at any instant, and then nobody is left to write the thread's registers back. So
what a borrowed thread runs always leads on into this code, which restores signal mask and every register from a block
that was written beforehand. A controller that lives stops the thread before it gets here and sets the registers itself.

    returned:   rbx = rax                                    an engine function returns here
                tgkill(getpid(), gettid(), SIGURG)           a tracer sees a stop; untraced it is ignored by default
    call:       syscall                                      (the same instruction serves any injected call)
    home:       rt_sigprocmask(SIG_SETMASK, block.mask)
                all registers from the block at rbp, then flags, rbp and rip

`rbp` survives what runs before: a function keeps it, a system call has no seventh argument. Below the stack pointer the
128 bytes of the red zone are skipped, as the kernel does for a signal.
"""

from __future__ import annotations

import signal
import struct

from eudaemon.possession.ptrace import Registers

STOP_SIGNAL = signal.SIGURG  # ignored by default, and whoever catches it must expect it at any time
RED_ZONE = 128

# The block: one word each, in this order; `sp` is the application's stack pointer less the red zone.
_WORDS = (
    "r15", "r14", "r13", "r12", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi", "rdi",
    "rbp", "sp", "eflags", "rip", "mask",
)  # fmt: skip
BLOCK_BYTES = 8 * len(_WORDS)

# Numbers of registers in instructions; 8 and above need the prefix's bit.
_NUMBERS = {
    "rax": 0, "rcx": 1, "rdx": 2, "rbx": 3, "rsp": 4, "rbp": 5, "rsi": 6, "rdi": 7, "r8": 8, "r9": 9, "r10": 10,
    "r11": 11, "r12": 12, "r13": 13, "r14": 14, "r15": 15,
}  # fmt: skip
_SYSCALL = b"\x0f\x05"


def block(registers: Registers, mask: int) -> bytes:
    """Return the block that brings a thread to these registers and this mask."""
    values = {name: getattr(registers, name) for name in _WORDS if name not in ("sp", "mask")}
    values |= {"sp": registers.rsp - RED_ZONE, "mask": mask}
    return struct.pack(f"<{len(_WORDS)}Q", *(values[name] for name in _WORDS))


def _at(word: str) -> bytes:
    return struct.pack("<i", 8 * _WORDS.index(word))


def _load(register: str, word: str) -> bytes:
    """`mov register, [rbp + word]`."""
    number = _NUMBERS[register]
    return bytes([0x4C if number > 7 else 0x48, 0x8B, 0x85 | (number & 7) << 3]) + _at(word)


def _number(value: int) -> bytes:
    """`mov eax, value`."""
    return b"\xb8" + struct.pack("<i", value)


_RETURNED = (
    b"\x48\x89\xc3"  # mov rbx, rax
    + _number(186) + _SYSCALL + b"\x89\xc6"  # esi = gettid()
    + _number(39) + _SYSCALL + b"\x89\xc7"  # edi = getpid()
    + b"\xba" + struct.pack("<i", STOP_SIGNAL)  # mov edx, SIGURG
    + _number(234)  # tgkill
)  # fmt: skip
_HOME = (
    _number(14)  # rt_sigprocmask
    + b"\xbf\x02\0\0\0"  # mov edi, SIG_SETMASK
    + b"\x48\x8d\xb5" + _at("mask")  # lea rsi, [rbp + mask]
    + b"\x31\xd2"  # xor edx, edx
    + b"\x41\xba\x08\0\0\0"  # mov r10d, 8
    + _SYSCALL
    + _load("rsp", "sp")
    + b"\xff\xb5" + _at("rip")  # push [rbp + rip]
    + b"\xff\xb5" + _at("eflags")
    + b"".join(_load(name, name) for name in _WORDS[:14])
    + _load("rbp", "rbp")
    + b"\x9d"  # popfq
    + b"\xc2" + struct.pack("<H", RED_ZONE)  # ret 128
)  # fmt: skip

CODE = _RETURNED + _SYSCALL + _HOME
CALL = len(_RETURNED)  # offset of the system call instruction
CALLED = CALL + len(_SYSCALL)
CODE_BYTES = -(-len(CODE) // 16) * 16
