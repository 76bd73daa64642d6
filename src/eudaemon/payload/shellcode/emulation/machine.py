"""One emulated CPU with memory around the code, for one run. Knows no system: who calls what is its owner's to say.

    stack      one megabyte below STACK_TOP, writable and executable as it was when these codes were written
    code       at BASE, with empty pages before and behind it: decoders are careless about where they end
    heap       from HEAP on, as the code asks for it

A run ends when the code faults, when a limit is reached, or when its owner says `stop`. No byte of it is ever executed
by the real CPU as it stands: unicorn translates it, and reads and writes reach only the memory made here.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

import unicorn as uc
from unicorn import arm_const as arm

from eudaemon.payload.shellcode.emulation.cpu import Cpu
from eudaemon.payload.shellcode.emulation.limits import TEXT_CHARS_MAX, Limits

PAGE_BYTES = 4096
STACK_TOP, STACK_BYTES = 0x0013_0000, 0x0010_0000
BASE, MARGIN_BYTES = 0x0040_2000, 0x2000
HEAP, HEAP_END = 0x1000_0000, 0x3000_0000
_WATCHED_MAX = 24
_STEP_MIN, _STEP_MAX = 2_000, 200_000  # instructions between two looks at the clock: more as a run gets on
_STEP_S_MAX = 0.05  # that they may take before they become fewer


class Machine:
    """A CPU with `code` at `base`, in the page at `BASE`. `limits` are its own; `until_s` is on the monotonic clock."""

    def __init__(self, cpu: Cpu, code: bytes, limits: Limits, until_s: float, base: int = BASE) -> None:
        self.cpu, self.limits, self._until_s = cpu, limits, until_s
        self.engine = uc.Uc(*cpu.engine)
        self.instructions = 0  # at most; counted in steps
        self.ended = ""
        self.calls_answered = 0  # by its owner; a code that calls nothing gets less time
        self._heap = HEAP
        self._watched = 0
        self._step = _STEP_MIN
        self._resume = 0  # where to go on when a run was interrupted to go elsewhere
        self.engine.mem_map(BASE - MARGIN_BYTES, _paged(len(code) + 4) + 2 * MARGIN_BYTES)
        self.engine.mem_map(STACK_TOP - STACK_BYTES, STACK_BYTES)
        self.engine.mem_write(base, code)
        self.on_fault: Callable[[], bool] = lambda: False

    def get(self, register: int) -> int:
        """Return a register's value."""
        value: int = self.engine.reg_read(register)
        return value

    def put(self, register: int, value: int) -> None:
        """Set a register, cut to its width."""
        self.engine.reg_write(register, value & ((1 << self.cpu.bits) - 1))

    def hook(self, kind: int, then: Callable[..., object], begin: int = 1, end: int = 0, **more: int) -> None:
        """Have `then` called for events of a kind, at addresses from `begin` to `end` (anywhere, as they stand)."""
        self.engine.hook_add(kind, then, None, begin, end, **more)

    def close(self) -> None:
        """Give the memory back, a gibibyte of addresses. Nothing may be asked of the machine any more.

        Unicorn frees an engine when it is collected, which its hooks, that hold it, put off; there is no other way.
        """
        release = getattr(self.engine, "_Uc__finalizer", None)
        del self.engine
        if release is not None:
            release()
        else:
            gc.collect()

    def status(self) -> int:
        """Return ARM's CPSR."""
        return self.get(arm.UC_ARM_REG_CPSR)

    def watch(self, address: int, count: int, then: Callable[[], None]) -> None:
        """Call `then` when an instruction in a stretch of memory is about to run."""
        if self._watched < _WATCHED_MAX:
            self._watched += 1
            self.hook(uc.UC_HOOK_CODE, lambda *_: then(), address, address + count - 1)

    def read(self, address: int, count: int) -> bytes:
        """Return memory; what of it is not there is left out at the end."""
        count = min(max(count, 0), self.limits.allocation_bytes_max)
        try:
            return bytes(self.engine.mem_read(address, count)) if count else b""
        except uc.UcError:
            pass
        found = bytearray()
        while len(found) < count:
            step = min(PAGE_BYTES - (address + len(found)) % PAGE_BYTES, count - len(found))
            try:
                found += self.engine.mem_read(address + len(found), step)
            except uc.UcError:
                break
        return bytes(found)

    def write(self, address: int, data: bytes) -> bool:
        """Write memory; False if some of it is not there, and then as good as nothing is written."""
        try:
            self.engine.mem_write(address, data)
        except uc.UcError:
            return False
        return True

    def word(self, address: int) -> int:
        """Return the word at an address; 0 where there is none."""
        return int.from_bytes(self.read(address, self.cpu.word_bytes), self.cpu.order)

    def put_word(self, address: int, value: int) -> bool:
        """Write a word, cut to its width."""
        size = self.cpu.word_bytes
        return self.write(address, (value & ((1 << self.cpu.bits) - 1)).to_bytes(size, self.cpu.order))

    def text(self, address: int, chars_max: int = TEXT_CHARS_MAX) -> str:
        """Return the text up to the next NUL, a character a byte."""
        return self.read(address, chars_max).partition(b"\0")[0].decode("latin-1") if address else ""

    def wide_text(self, address: int, chars_max: int = TEXT_CHARS_MAX) -> str:
        """Return the UTF-16LE text up to the next NUL."""
        text = self.read(address, 2 * chars_max).decode("utf-16-le", "replace") if address else ""
        return text.partition("\0")[0]

    def allocate(self, count: int, near: int = 0) -> int:
        """Return the address of new memory, at `near` if that is free; 0 if that is more than the code may have."""
        size = _paged(max(count, 1))
        left = self.limits.memory_bytes_max - (self._heap - HEAP)
        if size > min(self.limits.allocation_bytes_max, left):
            return 0
        near &= ~(PAGE_BYTES - 1)
        if 0x10000 <= near < 1 << (self.cpu.bits - 1):
            try:
                self.engine.mem_map(near, size)
            except uc.UcError:
                pass  # taken
            else:
                self._heap += size  # it counts all the same
                return near
        address = self._heap
        self.engine.mem_map(address, size)
        self._heap += size
        return address

    def stop(self, why: str) -> None:
        """End the run; `why` is told in the report. The first reason stands."""
        self.ended = self.ended or why
        self.engine.emu_stop()

    def go_to(self, address: int) -> None:
        """From within a hook: continue elsewhere."""
        self._resume = address
        self.engine.emu_stop()

    def run(self, start: int) -> None:
        """Run from `start` until something ends it. `ended` says what."""
        at = start
        while not self.ended:
            allowed = self.limits.instructions_max if self.calls_answered else self.limits.first_look_instructions_max
            if self.instructions >= allowed:
                self.ended = f"limit: {allowed} instructions"
            elif time.monotonic() >= self._until_s:
                self.ended = "limit: time"
            else:
                at = self._run_some(at, min(self._step, allowed - self.instructions))

    def _run_some(self, at: int, count: int) -> int:
        """Run some instructions; return where to go on."""
        self.instructions += count
        began_s = time.monotonic()
        try:
            # The end is an address where nothing is: only the count or `stop` ends it. (Unicorn's own time limit costs
            # a thread and some milliseconds each time.) Code that changes itself can cost a thousand times the usual.
            self.engine.emu_start(at, (1 << self.cpu.bits) - 16, count=count)
            slow = time.monotonic() - began_s > _STEP_S_MAX
            self._step = max(self._step // 2, _STEP_MIN) if slow else min(self._step * 2, _STEP_MAX)
        except uc.UcError as error:
            if self.ended:
                return at
            self._step = _STEP_MIN  # how many there were until the fault is not known: at most this many were
            if self._resume or (self.on_fault() and self._resume):
                at, self._resume = self._resume, 0
                return at
            self.ended = f"fault at {self.get(self.cpu.pc):#x}: {error}"
            return at
        if self._resume:
            at, self._resume = self._resume, 0
            return at
        return self.get(self.cpu.pc)


def _paged(count: int) -> int:
    return -(-count // PAGE_BYTES) * PAGE_BYTES
