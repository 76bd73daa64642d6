"""The door between the code and Windows' functions: the hook, the handlers' table, threads, structured exceptions."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

import unicorn as uc
from unicorn import x86_const as x86

from eudaemon.payload.shellcode.behaviour import Behaviour
from eudaemon.payload.shellcode.emulation.deeds import Deeds
from eudaemon.payload.shellcode.emulation.limits import SHOWN_CHARS_MAX
from eudaemon.payload.shellcode.emulation.machine import STACK_BYTES, STACK_TOP, Machine
from eudaemon.payload.shellcode.emulation.trace import Trace
from eudaemon.payload.shellcode.emulation.windows import files, network, process
from eudaemon.payload.shellcode.emulation.windows.functions import BASES, FIXED, IMPORT_SLOTS, Function
from eudaemon.payload.shellcode.emulation.windows.layout import (
    EXE,
    HOOK,
    IMAGE_BYTES,
    PEB,
    STUB_BYTES,
    STUBS,
    TABLES,
    TEB,
    loaded,
    tables,
)
from eudaemon.wire import printable

Handler = Callable[["Invocation"], int | None]
HANDLERS: dict[str, Handler] = {**process.HANDLERS, **files.HANDLERS, **network.HANDLERS}
_GDT = 0x7FFD_6000
# Selector, base, limit, access, flags (Intel SDM volume 3, section 3.4.5): flat, and FS on the TEB. The emulated CPU
# begins in ring 0, and a stack's descriptor must be of the CPU's own ring.
_SEGMENTS = ((0x08, 0, 0xFFFFF, 0x93, 0xC), (0x23, 0, 0xFFFFF, 0xF3, 0xC), (0x23, 0, 0xFFFFF, 0xF3, 0xC),
             (0x3B, TEB, 0xFFF, 0xF3, 0x4))  # fmt: skip
_SEGMENT_REGISTERS = (x86.UC_X86_REG_SS, x86.UC_X86_REG_DS, x86.UC_X86_REG_ES, x86.UC_X86_REG_FS)
_FAST = (x86.UC_X86_REG_RCX, x86.UC_X86_REG_RDX, x86.UC_X86_REG_R8, x86.UC_X86_REG_R9)
RETURN = TABLES + 0x5F00  # where a handler of exceptions, or a thread, returns to
# CONTEXT of winnt.h for x86: where each register lies.
_CONTEXT = {0x9C: x86.UC_X86_REG_EDI, 0xA0: x86.UC_X86_REG_ESI, 0xA4: x86.UC_X86_REG_EBX, 0xA8: x86.UC_X86_REG_EDX,
            0xAC: x86.UC_X86_REG_ECX, 0xB0: x86.UC_X86_REG_EAX, 0xB4: x86.UC_X86_REG_EBP, 0xB8: x86.UC_X86_REG_EIP,
            0xC4: x86.UC_X86_REG_ESP}  # fmt: skip
_CONTEXT_BYTES, _RECORD_BYTES = 0x2CC, 0x50
_ACCESS_VIOLATION = 0xC000_0005


@dataclass(slots=True)
class Invocation:
    """One call of a function, as its handler sees it."""

    system: Windows
    machine: Machine
    deeds: Deeds
    function: Function
    arguments: tuple[int, ...]
    back: int  # the address that it returns to
    more: Callable[[int], int]  # an argument by its number, beyond the declared ones too

    def text(self, number: int) -> str:
        """Return a text argument, in whichever way this function has it coded."""
        address = self.arguments[number]
        kind = self.function.arguments[number]
        return self.machine.wide_text(address) if kind == "w" else self.machine.text(address)

    def give_text(self, address: int, text: str) -> int:
        """Write a text into the caller's buffer; return how many characters it has."""
        wide = self.function.name.endswith("W")
        self.machine.write(address, (text + "\0").encode("utf-16-le" if wide else "latin-1"))
        return len(text)

    def note(self, behaviour: Behaviour) -> None:
        """Note what was done."""
        self.deeds.note(behaviour)


class Windows:
    """Windows around one machine of 32 or 64 bits x86."""

    def __init__(self, machine: Machine, deeds: Deeds, trace: Trace) -> None:
        self.machine, self.deeds, self.trace = machine, deeds, trace
        self.threads: list[tuple[int, int]] = []  # start and parameter, still to be run
        self.last_error = 0
        self._faults = 0
        self._context = 0
        self._all = loaded(machine.cpu.bits)
        engine = machine.engine
        engine.mem_map(TABLES, 0x8000)
        for base, image in self._all.images.items():
            engine.mem_map(base, IMAGE_BYTES)
            engine.mem_write(base, image)
            # What lies below the stubs is no code, but in a code's opinion.
            machine.hook(uc.UC_HOOK_CODE, self._entered, base + 0x1000, base + IMAGE_BYTES - 1)
        engine.mem_map(min(IMPORT_SLOTS) & ~0xFFF, 0x1000)
        for slot, name in IMPORT_SLOTS.items():
            machine.put_word(slot, self.address_of("kernel32.dll", name))
        teb, peb, rest = tables(machine.cpu.bits, STACK_TOP, STACK_BYTES)
        for address, data in ((TEB, teb), (PEB, peb), (TABLES, rest)):
            engine.mem_write(address, data)
        machine.hook(uc.UC_HOOK_CODE, self._returned, RETURN, RETURN)
        engine.mem_write(RETURN, b"\x90\xf4")
        self._set_segments()
        machine.on_fault = self._fault
        top = STACK_TOP - 0x1000
        kernel = self._all.addresses["kernel32.dll", "ExitThread"]
        machine.put(machine.cpu.sp, top)
        machine.put_word(top, kernel)
        # Walkers that take the stack's top for a pointer into kernel32: [TEB.StackBase - 0x1c].
        machine.put_word(STACK_TOP - 0x1C, kernel)

    def address_of(self, module: str, name: str) -> int:
        """Return a function's address, 0 if there is none."""
        return self._all.addresses.get((module, name), 0)

    def module(self, name: str) -> int:
        """Return a module's base by its name in any writing, 0 if there is none."""
        name = name.replace("/", "\\").rpartition("\\")[2].lower()
        if not name:
            return EXE[1]
        return BASES.get(name if "." in name else name + ".dll", 0)

    def function(self, base: int, name: str) -> int:
        """Return the address of a function in the module at `base`."""
        for module, at in BASES.items():
            if at == base:
                return self.address_of(module, name)
        return 0

    def next_thread(self) -> int | None:
        """Make a waiting thread the running one; return where it starts, None if none waits."""
        if not self.threads:
            return None
        start, parameter = self.threads.pop(0)
        machine = self.machine
        top = STACK_TOP - 0x8000
        machine.put(machine.cpu.sp, top)
        machine.put_word(top, RETURN)
        if machine.cpu.bits == 64:
            machine.put(_FAST[0], parameter)
        else:
            machine.put_word(top + 4, parameter)
        machine.ended = ""
        return start

    def _set_segments(self) -> None:
        machine = self.machine
        if machine.cpu.bits == 64:
            machine.put(x86.UC_X86_REG_GS_BASE, TEB)
            return
        engine = machine.engine
        engine.mem_map(_GDT, 0x1000)
        for selector, base, limit, access, flags in _SEGMENTS:
            entry = struct.pack("<HHBBBB", limit & 0xFFFF, base & 0xFFFF, base >> 16 & 0xFF, access,
                                flags << 4 | limit >> 16, base >> 24)  # fmt: skip
            engine.mem_write(_GDT + (selector & ~7), entry)
        engine.reg_write(x86.UC_X86_REG_GDTR, (0, _GDT, 0x3F, 0))
        for register, (selector, *_) in zip(_SEGMENT_REGISTERS, _SEGMENTS, strict=True):
            engine.reg_write(register, selector)

    def _entered(self, _engine: uc.Uc, address: int, _size: int, _data: object) -> None:
        if address in FIXED:
            self.machine.go_to(self.address_of(*FIXED[address]))
            return
        offset = address % IMAGE_BYTES - STUBS
        if offset < 0 or offset % STUB_BYTES != HOOK:
            return
        function = self._all.functions.get(address - HOOK)
        if function is not None:
            self._call(function)

    def _call(self, function: Function) -> None:
        machine = self.machine
        sp = machine.get(machine.cpu.sp)
        if machine.cpu.bits == 64:
            back = machine.word(sp)

            def argument(number: int) -> int:
                return machine.get(_FAST[number]) if number < 4 else machine.word(sp + 8 * (number + 1))
        else:
            back = machine.word(sp + 4)  # above it lies EBP, which the prologue pushed

            def argument(number: int) -> int:
                return machine.word(sp + 8 + 4 * number)

        arguments = tuple(argument(number) for number in range(len(function.arguments)))
        call = Invocation(self, machine, self.deeds, function, arguments, back, argument)
        shown = tuple(_shown(call, number) for number in range(len(arguments)))
        handler = HANDLERS.get(function.name) or HANDLERS.get(function.plain)
        result = handler(call) if handler else None
        result = 1 if result is None else result
        machine.put(machine.cpu.result, result)
        machine.calls_answered += 1
        self.trace.add(back, function.name, shown, result)

    def _returned(self, _engine: uc.Uc, _address: int, _size: int, _data: object) -> None:
        machine = self.machine
        if not self._context:
            machine.stop("returned")
            return
        context, self._context = self._context, 0
        for offset, register in _CONTEXT.items():
            if register != x86.UC_X86_REG_EIP:
                machine.put(register, machine.word(context + offset))
        machine.go_to(machine.word(context + 0xB8))

    def _fault(self) -> bool:
        """Give a fault to the code's own handler of structured exceptions, if it has set one."""
        machine = self.machine
        if machine.cpu.bits == 32 and (fixed := FIXED.get(machine.get(machine.cpu.pc))) is not None:
            machine.go_to(self.address_of(*fixed))
            return True
        frame = machine.word(TEB)
        handler = machine.word(frame + 4)
        self._faults += 1
        own = frame != TABLES + 0x10 and frame and handler and self._faults <= machine.limits.faults_max
        if machine.cpu.bits == 64 or not own:
            return False
        sp = machine.get(machine.cpu.sp)
        self._context = sp - _CONTEXT_BYTES - 0x200
        record = self._context - _RECORD_BYTES
        machine.write(self._context, bytes(_CONTEXT_BYTES))
        machine.put_word(self._context, 0x1_0007)
        for offset, register in _CONTEXT.items():
            machine.put_word(self._context + offset, machine.get(register))
        machine.write(record, struct.pack("<IIIIIII", _ACCESS_VIOLATION, 0, 0, machine.get(machine.cpu.pc), 2, 0, 0))
        sp = record - 0x20
        if not machine.write(sp, struct.pack("<IIIII", RETURN, record, frame, self._context, 0)):
            return False
        machine.put(machine.cpu.sp, sp)
        machine.go_to(handler)
        return True


def _shown(call: Invocation, number: int) -> str:
    kind, value = call.function.arguments[number], call.arguments[number]
    if kind in "sw" and value > 0xFFFF:
        return f'"{printable(call.text(number).encode("utf-8", "replace"), SHOWN_CHARS_MAX)}"'
    if kind == "a":
        from eudaemon.payload.shellcode.emulation.deeds import place_of

        host, port = place_of(call.machine.read(value, 28))
        return f"{host}:{port}" if host else f"{value:#x}"
    return f"{value:#x}" if value > 9 else str(value)
