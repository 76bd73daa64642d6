"""What differs between CPUs, a row each: how unicorn and capstone call them, where code, stack and arguments lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import capstone as cs
import unicorn as uc
from unicorn import arm64_const as arm64
from unicorn import arm_const as arm
from unicorn import mips_const as mips
from unicorn import x86_const as x86


@dataclass(frozen=True, slots=True)
class Cpu:
    """One CPU. `general` are the registers that are set to where the code begins: exploits leave it in some of them."""

    name: str
    bits: int
    order: Literal["little", "big"]
    engine: tuple[int, int]  # unicorn's architecture and mode
    listing: tuple[int, int]  # capstone's
    pc: int
    sp: int
    result: int
    general: tuple[int, ...]
    arguments: tuple[int, ...] = ()  # registers of a system call's arguments, in order
    number: int = 0  # register of a system call's number

    @property
    def word_bytes(self) -> int:
        """Return how many bytes an address has."""
        return self.bits // 8


_X86 = (x86.UC_X86_REG_EAX, x86.UC_X86_REG_EBX, x86.UC_X86_REG_ECX, x86.UC_X86_REG_EDX, x86.UC_X86_REG_ESI,
        x86.UC_X86_REG_EDI)  # fmt: skip
_X64 = (x86.UC_X86_REG_RAX, x86.UC_X86_REG_RBX, x86.UC_X86_REG_RCX, x86.UC_X86_REG_RDX, x86.UC_X86_REG_RSI,
        x86.UC_X86_REG_RDI, x86.UC_X86_REG_R8, x86.UC_X86_REG_R9)  # fmt: skip
_ARM = (arm.UC_ARM_REG_R0, arm.UC_ARM_REG_R1, arm.UC_ARM_REG_R2, arm.UC_ARM_REG_R3, arm.UC_ARM_REG_R4,
        arm.UC_ARM_REG_R5, arm.UC_ARM_REG_R6)  # fmt: skip
_ARM64 = (arm64.UC_ARM64_REG_X0, arm64.UC_ARM64_REG_X1, arm64.UC_ARM64_REG_X2, arm64.UC_ARM64_REG_X3,
          arm64.UC_ARM64_REG_X4, arm64.UC_ARM64_REG_X5)  # fmt: skip
_MIPS = (mips.UC_MIPS_REG_A0, mips.UC_MIPS_REG_A1, mips.UC_MIPS_REG_A2, mips.UC_MIPS_REG_A3)


def _mips(name: str, order: Literal["little", "big"]) -> Cpu:
    engine_order = uc.UC_MODE_BIG_ENDIAN if order == "big" else uc.UC_MODE_LITTLE_ENDIAN
    listing_order = cs.CS_MODE_BIG_ENDIAN if order == "big" else cs.CS_MODE_LITTLE_ENDIAN
    return Cpu(name, 32, order, (uc.UC_ARCH_MIPS, uc.UC_MODE_MIPS32 | engine_order),
               (cs.CS_ARCH_MIPS, cs.CS_MODE_MIPS32 | listing_order), mips.UC_MIPS_REG_PC, mips.UC_MIPS_REG_SP,
               # A position-independent function expects its own address in $t9.
               mips.UC_MIPS_REG_V0, (mips.UC_MIPS_REG_T9,), _MIPS, mips.UC_MIPS_REG_V0)  # fmt: skip


CPUS = {
    cpu.name: cpu
    for cpu in (
        Cpu("x86", 32, "little", (uc.UC_ARCH_X86, uc.UC_MODE_32), (cs.CS_ARCH_X86, cs.CS_MODE_32),
            x86.UC_X86_REG_EIP, x86.UC_X86_REG_ESP, x86.UC_X86_REG_EAX, _X86,
            (x86.UC_X86_REG_EBX, x86.UC_X86_REG_ECX, x86.UC_X86_REG_EDX, x86.UC_X86_REG_ESI, x86.UC_X86_REG_EDI,
             x86.UC_X86_REG_EBP), x86.UC_X86_REG_EAX),
        Cpu("x86-64", 64, "little", (uc.UC_ARCH_X86, uc.UC_MODE_64), (cs.CS_ARCH_X86, cs.CS_MODE_64),
            x86.UC_X86_REG_RIP, x86.UC_X86_REG_RSP, x86.UC_X86_REG_RAX, _X64,
            (x86.UC_X86_REG_RDI, x86.UC_X86_REG_RSI, x86.UC_X86_REG_RDX, x86.UC_X86_REG_R10, x86.UC_X86_REG_R8,
             x86.UC_X86_REG_R9), x86.UC_X86_REG_RAX),
        Cpu("arm", 32, "little", (uc.UC_ARCH_ARM, uc.UC_MODE_ARM), (cs.CS_ARCH_ARM, cs.CS_MODE_ARM),
            arm.UC_ARM_REG_PC, arm.UC_ARM_REG_SP, arm.UC_ARM_REG_R0, (), _ARM, arm.UC_ARM_REG_R7),
        Cpu("aarch64", 64, "little", (uc.UC_ARCH_ARM64, uc.UC_MODE_ARM), (cs.CS_ARCH_ARM64, cs.CS_MODE_ARM),
            arm64.UC_ARM64_REG_PC, arm64.UC_ARM64_REG_SP, arm64.UC_ARM64_REG_X0, (), _ARM64, arm64.UC_ARM64_REG_X8),
        _mips("mips", "big"),
        _mips("mipsel", "little"),
    )
}  # fmt: skip
