"""A thread just stopped is settled: its registers made such that the application never learns of the stop.

Two things need it. A call that answered EINTR only because of us is issued again, with the time that was left. And an
instruction pointer inside a restartable sequence goes to the sequence's abort, as the kernel would send it: we are
about to run other code on this thread, which the sequence may not survive.
"""

from __future__ import annotations

import re
import struct
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from eudaemon.possession import restart
from eudaemon.possession.homeward import RED_ZONE
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
_NOT_RUN_S = 0.005  # a thread that last ran so soon after we let it go has done nothing but fall asleep again
_SETS = re.compile(r"^(SigPnd|ShdPnd|SigBlk|SigIgn):\s*([0-9a-f]+)", re.MULTILINE)
_CRITICAL_AT = 8  # offset of `rseq_cs` in struct rseq


@dataclass(frozen=True, slots=True)
class Waiting:
    """A thread in a call that must not be woken lightly. `until_s`: when it would end by itself, on our clock."""

    seen: Look
    row: Row
    until_s: float | None
    is_exact: bool  # whether we know since when it waits
    slept: int  # how often the thread has gone to sleep, this wait included


@dataclass(frozen=True, slots=True)
class _Issued:
    """A call that we have issued again: until when it waits, and how it is recognised."""

    call: int
    argument: int
    stack: int
    until_s: float
    at_s: float


class Settler:
    """Watches threads before they are stopped, and settles them when they are. `remarks`: what shows, in words."""

    def __init__(self, kernel: Kernel, memory: Memory, pid: int) -> None:
        self.remarks: list[str] = []
        self._kernel = kernel
        self._memory = memory
        self._pid = pid
        self._issued: dict[int, _Issued] = {}

    def watch(self, tid: int) -> Waiting | None:
        """Look at a thread before it is stopped. None: it may be stopped as it is."""
        slept = times_slept(self._pid, tid)
        seen = look(self._pid, tid)
        row = eintr_row(self._kernel, self._pid, seen)
        if seen is None or row is None:
            return None
        waited = waited_s(self._pid, tid)
        now_s = time.monotonic()
        if self._is_ours(self._issued.get(tid), seen, row, now_s - (waited or 0.0)):
            return Waiting(seen, row, self._issued[tid].until_s, True, slept)
        left_s = remaining_s(row, seen.arguments, self._memory, waited or 0.0)
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
                self.remarks.append(f"{names[tid]} of thread {tid} may come back with a part: it did not end in time")

    def is_restful(self, tid: int) -> bool:
        """Whether a thread waits, and not in the middle of what it moves in pieces."""
        seen = look(self._pid, tid)
        return seen is not None and piecemeal(self._pid, seen) is None

    def settle(self, thread: Thread, waiting: Waiting | None) -> None:
        """Settle a stopped thread."""
        if not restart.in_call(thread.registers):
            self._leave_critical_section(thread)
        elif self.deny(thread):
            self.shorten(thread, self.same(thread, waiting))

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
        moments since we looked: late by that, and never early. Our stop itself is one sleep.
        """
        if waiting is None:
            return None
        seen, registers = waiting.seen, thread.registers
        arguments = tuple(getattr(registers, name) for name in ARGUMENTS)
        is_same = (registers.call, arguments, registers.rsp) == (seen.call, seen.arguments, seen.stack)
        return waiting if is_same and times_slept(self._pid, thread.tid) == waiting.slept + 1 else None

    def shorten(self, thread: Thread, waiting: Waiting | None) -> None:
        """Let a call that is issued again wait for no longer than what was left when it was looked at."""
        tid, registers = thread.tid, thread.registers
        if waiting is None:
            return
        row = waiting.row
        if row.deadline in (Deadline.RECEIVE, Deadline.SEND):
            self.remarks.append(f"{row.name} of thread {tid} waits its whole timeout again: it belongs to the socket")
        if waiting.until_s is None:
            return
        now_s = time.monotonic()
        left_s = max(0.0, waiting.until_s - now_s)
        if row.deadline is Deadline.MILLISECONDS:
            setattr(registers, row.register, -int(-left_s * 1000 // 1))  # upwards: never before its time
        else:
            # Nobody's memory. The kernel reads it when the call is issued, before anything else runs on this stack.
            place = (registers.rsp - RED_ZONE - _CLEARANCE_BYTES) & -16
            self._memory.write(place, struct.pack("<qq", int(left_s), round(left_s % 1 * 1e9)))
            setattr(registers, row.register, place)
        self._issued[tid] = _Issued(
            registers.call, getattr(registers, row.register), registers.rsp, waiting.until_s, now_s
        )
        if not waiting.is_exact:
            self.remarks.append(f"{row.name} of thread {tid} waits its whole timeout again: no scheduler statistics")

    @staticmethod
    def _is_ours(issued: _Issued | None, seen: Look, row: Row, ran_s: float) -> bool:
        return (
            issued is not None
            and (issued.call, issued.stack) == (seen.call, seen.stack)
            and issued.argument == seen.arguments[row.argument]
            and ran_s < issued.at_s + _NOT_RUN_S
        )

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
    return bool((sets["SigPnd"] | sets["ShdPnd"]) & ~sets["SigBlk"] & ~sets["SigIgn"])
