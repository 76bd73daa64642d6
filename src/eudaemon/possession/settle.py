"""A thread just stopped is settled: its registers made such that the application never learns of the stop.

Two things need it. A call that answered EINTR only because of us is issued again, with the time that was left. And an
instruction pointer inside a restartable sequence goes to the sequence's abort, as the kernel would send it: we are
about to run other code on this thread, which the sequence may not survive.
"""

from __future__ import annotations

import re
import struct
import time
from dataclasses import dataclass
from pathlib import Path

from eudaemon.possession import restart
from eudaemon.possession.homeward import RED_ZONE
from eudaemon.possession.look import Look, eintr_row, look, remaining_s, waited_s
from eudaemon.possession.memory import Memory
from eudaemon.possession.ptrace import Kernel
from eudaemon.possession.restart import Deadline
from eudaemon.possession.tracee import Thread

_TIMESPEC_BYTES = 16
_SETS = re.compile(r"^(SigPnd|ShdPnd|SigBlk|SigIgn):\s*([0-9a-f]+)", re.MULTILINE)
_CRITICAL_AT = 8  # offset of `rseq_cs` in struct rseq


@dataclass(frozen=True, slots=True)
class Waiting:
    """A look at a thread in a call that must not be woken lightly, and how long it had waited at `at_s`."""

    seen: Look
    waited_s: float | None
    at_s: float

    @property
    def so_far_s(self) -> float | None:
        """How long it has waited by now."""
        return None if self.waited_s is None else self.waited_s + time.monotonic() - self.at_s


def watch(kernel: Kernel, pid: int, tid: int) -> Waiting | None:
    """Look at a thread before it is stopped. None: it may be stopped as it is."""
    seen = look(pid, tid)
    if seen is None or eintr_row(kernel, pid, seen) is None:
        return None
    return Waiting(seen, waited_s(pid, tid), time.monotonic())


def settle(kernel: Kernel, memory: Memory, pid: int, thread: Thread, waiting: Waiting | None) -> str:
    """Settle a stopped thread. Return what could not be made unnoticeable, in words, or nothing."""
    registers = thread.registers
    if not restart.in_call(registers):
        _leave_critical_section(kernel, memory, thread)
        return ""
    if registers.result != -restart.EINTR or deliverable(pid, thread.tid):
        return ""
    thread.registers = restart.issued_again(registers)
    row = restart.EINTR_CALLS.get(registers.call)
    if row is None or waiting is None or waiting.seen.call != registers.call:
        return ""  # it began after we had looked: microseconds ago
    return _shorten(memory, thread, row, waiting)


def _shorten(memory: Memory, thread: Thread, row: restart.Row, waiting: Waiting) -> str:
    registers = thread.registers
    so_far_s = waiting.so_far_s
    if row.deadline in (Deadline.RECEIVE, Deadline.SEND):
        return (
            f"{row.name} of thread {thread.tid} waits its whole timeout again: the kernel does not tell how long it had"
        )
    left_s = remaining_s(row, waiting.seen.arguments, memory, so_far_s or 0.0)
    if left_s is None:
        return ""
    if row.deadline is Deadline.MILLISECONDS:
        setattr(registers, row.register, round(left_s * 1000))
    else:
        # Where a signal's frame would begin: nobody's memory. The kernel reads it at once, when the call is issued.
        place = (registers.rsp - RED_ZONE - _TIMESPEC_BYTES) & -16
        seconds = int(left_s)
        memory.write(place, struct.pack("<qq", seconds, round((left_s - seconds) * 1e9)))
        setattr(registers, row.register, place)
    if so_far_s is None:
        return (
            f"{row.name} of thread {thread.tid} waits its whole timeout again: the kernel has no scheduler statistics"
        )
    return ""


def deliverable(pid: int, tid: int) -> bool:
    """Whether a signal is pending that the thread takes: then an EINTR is true."""
    try:
        text = Path(f"/proc/{pid}/task/{tid}/status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    sets = {name: int(value, 16) for name, value in _SETS.findall(text)}
    return bool((sets["SigPnd"] | sets["ShdPnd"]) & ~sets["SigBlk"] & ~sets["SigIgn"])


def _leave_critical_section(kernel: Kernel, memory: Memory, thread: Thread) -> None:
    address, _, _ = kernel.get_rseq(thread.tid)
    section = memory.read_word(address + _CRITICAL_AT) if address else 0
    if section:
        _, _, start, length, abort = struct.unpack("<IIQQQ", memory.read(section, 32))
        if start <= thread.registers.rip < start + length:
            thread.registers.rip = abort
