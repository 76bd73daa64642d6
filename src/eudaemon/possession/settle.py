"""A thread just stopped is settled: its registers made such that the application never learns of the stop.

Two things need it. A call that answered EINTR only because of us is issued again, with the time that was left. And an
instruction pointer inside a restartable sequence goes to the sequence's abort, as the kernel would send it: we are
about to run other code on this thread, which the sequence may not survive.
"""

from __future__ import annotations

import re
import signal
import struct
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from eudaemon.possession import restart
from eudaemon.possession.homeward import RED_ZONE
from eudaemon.possession.limits import Issued, Limits, remembered
from eudaemon.possession.look import Look, eintr_row, look, piecemeal, remaining_s, times_slept, waited_s
from eudaemon.possession.memory import Memory
from eudaemon.possession.ptrace import Kernel
from eudaemon.possession.restart import ARGUMENTS, Deadline, Row
from eudaemon.possession.tracee import Thread

PIECES_S_MAX = 2.0  # until a call that moves in pieces is interrupted
_PIECES_NAP_S = 0.0005
_LOOK_S = 0.001  # one that runs for so long, seen once in nothing of the kind, computes
_BETWEEN_PIECES_S = 0.02  # but not if it was in the middle before: it may have to wait for a processor
_CLEARANCE_BYTES = 512  # below the red zone: further down than anything that the way home pushes
# What has no effect by default.
_UNHEARD = sum(1 << (number - 1) for number in (signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH))
_SETS = re.compile(r"^(SigPnd|ShdPnd|SigBlk|SigIgn|SigCgt):\s*([0-9a-f]+)", re.MULTILINE)
_CRITICAL_AT = 8  # offset of `rseq_cs` in struct rseq


@dataclass(frozen=True, slots=True)
class Waiting:
    """A thread in a call that must not be woken lightly. `until_s`: when it would end by itself, on our clock."""

    seen: Look
    row: Row
    until_s: float | None
    is_exact: bool  # whether we know since when it waits
    slept: int  # how often the thread has gone to sleep, this wait included


class Settler:
    """Watches threads before they are stopped, and settles them when they are. `remarks`: what shows, in words."""

    def __init__(self, kernel: Kernel, memory: Memory, pid: int) -> None:
        self.remarks: list[str] = []
        self._kernel = kernel
        self._memory = memory
        self._pid = pid
        self.denied: dict[int, Waiting | None] = {}  # by thread: calls that said EINTR because of us
        self.limits = Limits(kernel, pid, lambda thread: self.settle(thread, None))

    def watch(self, tid: int) -> Waiting | None:
        """Look at a thread before it is stopped. None: it may be stopped as it is."""
        slept = times_slept(self._pid, tid)
        seen = look(self._pid, tid)
        row, timeout_s = eintr_row(self._kernel, self._pid, seen)
        if seen is None or row is None:
            return None
        waited = waited_s(self._pid, tid)
        if (look(self._pid, tid), times_slept(self._pid, tid)) != (seen, slept):
            waited = None  # of one that is awake, the scheduler says anything
        now_s = time.monotonic()
        issued = remembered(self._pid, tid)
        if row.option is not None and issued and issued.is_it(seen, None if waited is None else now_s - waited, slept):
            return Waiting(seen, row, issued.until_s, True, slept)
        left_s = remaining_s(row, seen, self._memory, timeout_s, waited or 0.0)
        return Waiting(seen, row, None if left_s is None else now_s + left_s, waited is not None, slept)

    def await_pieces(self, tids: Iterable[int]) -> None:
        """Wait until no thread is in the middle of what it moves in pieces; nobody is stopped meanwhile.

        Such a call answers to an interruption how much it has moved, and nothing can be done about that afterwards. So
        after a while it is interrupted all the same, and a remark says so.
        """
        began_s = now_s = time.monotonic()
        names: dict[int, str] = {}
        doubtful_s = dict.fromkeys(tids, began_s + _LOOK_S)  # until when one that runs may be between two pieces
        while True:
            busy = []
            for tid, until_s in doubtful_s.items():
                seen = look(self._pid, tid)
                if (row := piecemeal(self._pid, seen)) is not None:
                    names[tid], doubtful_s[tid] = row.name, now_s + _BETWEEN_PIECES_S
                    busy.append(tid)
                elif seen is not None:
                    doubtful_s[tid] = now_s
                elif now_s < until_s:
                    busy.append(tid)
            if not busy:
                return
            if now_s > began_s + PIECES_S_MAX:
                break
            time.sleep(_PIECES_NAP_S)
            now_s = time.monotonic()
        for tid in busy:
            if tid in names:
                self._remark(f"{names[tid]} of thread {tid} may come back with a part: it did not end in time")

    def is_restful(self, tid: int) -> bool:
        """Whether a thread waits, and not in the middle of what it moves in pieces."""
        seen = look(self._pid, tid)
        return seen is not None and piecemeal(self._pid, seen) is None

    def settle(self, thread: Thread, waiting: Waiting | None) -> None:
        """Settle a stopped thread."""
        self.forget(thread)
        if not restart.in_call(thread.registers):
            self._leave_critical_section(thread)
        elif self.deny(thread):
            self.denied[thread.tid] = self.same(thread, waiting)
            self.shorten(thread)

    def moved(self, thread: Thread) -> int:
        """Return how much a stopped thread's call has moved, in the middle of which it was stopped; 0: in none."""
        moved = restart.moved_a_part(thread.registers)
        behind = thread.registers.rip - restart.SYSCALL_BYTES
        return moved if moved and self._memory.read(behind, restart.SYSCALL_BYTES) == restart.SYSCALL else 0

    def forget(self, thread: Thread) -> None:
        """Know nothing any more of the call that a thread was in."""
        self.denied.pop(thread.tid, None)
        self.limits.forget(thread.tid)

    def deny(self, thread: Thread) -> bool:
        """Let a call that says EINTR because of us be issued again, as it was. False: it does not say that."""
        registers = thread.registers
        if not restart.in_call(registers) or registers.result != -restart.EINTR or deliverable(self._pid, thread.tid):
            return False
        thread.registers = restart.issued_again(registers)
        return True

    def same(self, thread: Thread, waiting: Waiting | None) -> Waiting | None:
        """Return what was seen of a thread that has just been stopped, if it is still in that very wait.

        None: it waits since later, perhaps in another call of the kind. Then its whole timeout is right but for the
        moments since we looked: late by that, and never early. Each of our stops is a sleep.
        """
        if waiting is None:
            return None
        seen, registers = waiting.seen, thread.registers
        arguments = tuple(getattr(registers, name) for name in ARGUMENTS)
        is_same = (registers.call, arguments, registers.rsp) == (seen.call, seen.arguments, seen.stack)
        return waiting if is_same and times_slept(self._pid, thread.tid) == waiting.slept + thread.stops else None

    def shorten(self, thread: Thread) -> None:
        """Let a call that is issued again wait for no longer than what was left when it was looked at."""
        tid, registers = thread.tid, thread.registers
        waiting = self.denied.get(tid)
        if waiting is None or waiting.until_s is None:
            return
        row, now_s = waiting.row, time.monotonic()
        left_s = max(0.0, waiting.until_s - now_s)
        if row.option is not None and not left_s:
            thread.registers = restart.answered(registers, row.timed_out)
            self.limits.forget(tid)
            return
        if row.deadline is Deadline.MILLISECONDS:
            setattr(registers, row.register, -int(-left_s * 1000 // 1))  # upwards: never before its time
        elif row.option is None:
            # Nobody's memory. The kernel reads it when the call is issued, before anything else runs on this stack.
            place = (registers.rsp - RED_ZONE - _CLEARANCE_BYTES) & -16
            self._memory.write(place, struct.pack("<qq", int(left_s), round(left_s % 1 * 1e9)))
            setattr(registers, row.register, place)
        if row.option is not None:
            self.limits.set(tid, row.option, Issued(registers.call, registers.rdi, waiting.until_s))
        if not waiting.is_exact:
            self._remark(f"{row.name} of thread {tid} waits its whole timeout again: nothing tells since when")

    def _remark(self, text: str) -> None:
        if text not in self.remarks:
            self.remarks.append(text)

    def _leave_critical_section(self, thread: Thread) -> None:
        address, _, _ = self._kernel.get_rseq(thread.tid)
        section = self._memory.read_word(address + _CRITICAL_AT) if address else 0
        if section:
            _, _, start, length, abort = struct.unpack("<IIQQQ", self._memory.read(section, 32))
            if start <= thread.registers.rip < start + length:
                thread.registers.rip = abort


def deliverable(pid: int, tid: int) -> bool:
    """Whether a signal is pending that the thread takes: then an EINTR is true."""
    try:
        text = Path(f"/proc/{pid}/task/{tid}/status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    sets = {name: int(value, 16) for name, value in _SETS.findall(text)}
    # To a tracer the kernel tells also those that nobody would hear of.
    unheard = sets["SigBlk"] | sets["SigIgn"] | (_UNHEARD & ~sets["SigCgt"])
    return bool((sets["SigPnd"] | sets["ShdPnd"]) & ~unheard)
