"""What was executed, as lines of assembler: each instruction once, as it stood when it first ran, and the calls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import capstone
import unicorn as uc

from eudaemon.payload.shellcode.emulation.cpu import Cpu
from eudaemon.payload.shellcode.emulation.machine import BASE, HEAP_END, Machine
from eudaemon.payload.shellcode.report import Call

_THUMB_BYTES = 2
_INSTRUCTION_BYTES_MAX = 16


class Listing:
    """Collects instructions of one run; `lines` writes them down."""

    def __init__(self, cpu: Cpu, lines_max: int) -> None:
        self._cpu, self._lines_max = cpu, lines_max
        self._seen: dict[int, bytes] = {}
        self.cut = False

    def attach(self, machine: Machine) -> None:
        """Write down what this machine executes of the code's own memory."""
        machine.hook(uc.UC_HOOK_CODE, self._step, BASE - 0x30_0000, HEAP_END)

    def _step(self, engine: uc.Uc, address: int, size: int, _data: object) -> None:
        if address in self._seen:
            return
        if len(self._seen) >= self._lines_max:
            self.cut = True
        elif 0 < size <= _INSTRUCTION_BYTES_MAX:
            self._seen[address] = bytes(engine.mem_read(address, size))

    def lines(self, calls: Sequence[Call]) -> Iterator[str]:
        """Yield `address  bytes  instruction  ; what was called`, in the order of addresses."""
        plain = capstone.Cs(*self._cpu.listing)
        thumb = capstone.Cs(capstone.CS_ARCH_ARM, capstone.CS_MODE_THUMB)
        called: dict[int, str] = {}
        for call in calls:
            called.setdefault(call.at, str(call))
        before = None
        for address in sorted(self._seen):
            data = self._seen[address]
            if before is not None and address != before:
                yield "…"
            before = address + len(data)
            is_thumb = self._cpu.name == "arm" and (len(data) == _THUMB_BYTES or address % 4)
            text = _text(thumb if is_thumb else plain, data, address)
            note = called.get(before, "")
            yield f"{address:08x}  {data.hex():<20}  {text}" + (f"  ; {note}" if note else "")
        if self.cut:
            yield f"… (more than {self._lines_max} instructions)"


def _text(decoder: capstone.Cs, data: bytes, address: int) -> str:
    for _, _, mnemonic, operands in decoder.disasm_lite(data, address):
        return f"{mnemonic} {operands}".strip()
    return "(bytes)"
