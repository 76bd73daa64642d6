"""A thread just stopped is settled: its registers made such that the application never learns of the stop.

Two things need it. A call that answered EINTR only because of us is issued again, with the time that was left. And an
instruction pointer inside a restartable sequence goes to the sequence's abort, as the kernel would send it: we are
about to run other code on this thread, which the sequence may not survive.
"""

from __future__ import annotations

import errno
import re
import signal
import socket
import struct
import time
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from eudaemon.possession import restart
from eudaemon.possession.errors import PossessionError, Vanished
from eudaemon.possession.homeward import RED_ZONE
from eudaemon.possession.look import (
    TIMEVAL,
    Look,
    eintr_row,
    look,
    piecemeal,
    remaining_s,
    socket_of,
    times_slept,
    waited_s,
)
from eudaemon.possession.memory import Memory
from eudaemon.possession.ptrace import Kernel
from eudaemon.possession.restart import ARGUMENTS, Deadline, Row
from eudaemon.possession.stops import Why
from eudaemon.possession.tracee import Thread

PIECES_S_MAX = 2.0  # until a call that moves in pieces is interrupted
_PIECES_NAP_S = 0.0005
_LOOK_S = 0.001  # one that runs for so long, seen once in nothing of the kind, computes
_BETWEEN_PIECES_S = 0.02  # but not if it was in the middle before: it may have to wait for a processor
_CLEARANCE_BYTES = 512  # below the red zone: further down than anything that the way home pushes
_NOT_RUN_S = 0.005  # a thread that last ran so soon after we let it go has done nothing but fall asleep again
# What has no effect by default.
_UNHEARD = sum(1 << (number - 1) for number in (signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH))
_SETS = re.compile(r"^(SigPnd|ShdPnd|SigBlk|SigIgn|SigCgt):\s*([0-9a-f]+)", re.MULTILINE)
_ISSUED_MAX = 4096
_WAITS_S_MAX = 1.0  # until a thread that we let go waits in its call again
_SLACK_US = 2000  # never early, for what we do not know exactly
_CRITICAL_AT = 8  # offset of `rseq_cs` in struct rseq


@dataclass(frozen=True, slots=True)
class Waiting:
    """A thread in a call that must not be woken lightly. `until_s`: when it would end by itself, on our clock."""

    seen: Look
    row: Row
    until_s: float | None
    is_exact: bool  # whether we know since when it waits
    slept: int  # how often the thread has gone to sleep, this wait included


@dataclass(slots=True)
class _Issued:
    """A call that we have issued again: until when it waits, and how it is recognised."""

    call: int
    argument: int
    until_s: float
    at_s: float  # when it began to wait
    slept: int = 0  # how often the thread had gone to sleep then; 0: that was not seen

    def is_it(self, seen: Look, row: Row, ran_s: float, slept: int) -> bool:
        """Whether this is what a thread still waits in, that last ran then and has slept so often."""
        same = (self.call, self.argument) == (seen.call, seen.arguments[row.argument])
        return same and self.slept in (0, slept) and ran_s < self.at_s + _NOT_RUN_S


# By process and thread. What a socket's deadline was, nobody else can tell once the call has been issued again.
_ISSUED: dict[tuple[int, int], _Issued] = {}


class Settler:
    """Watches threads before they are stopped, and settles them when they are. `remarks`: what shows, in words."""

    def __init__(self, kernel: Kernel, memory: Memory, pid: int) -> None:
        self.remarks: list[str] = []
        self._kernel = kernel
        self._memory = memory
        self._pid = pid
        self.denied: dict[int, Waiting | None] = {}  # by thread: calls that said EINTR because of us
        self._running: dict[int, Thread] = {}
        self._limits: dict[int, tuple[int, _Issued]] = {}  # by thread: the option of a socket that is its deadline

    def watch(self, tid: int) -> Waiting | None:
        """Look at a thread before it is stopped. None: it may be stopped as it is."""
        slept = times_slept(self._pid, tid)
        seen = look(self._pid, tid)
        row, timeout_s = eintr_row(self._kernel, self._pid, seen)
        if seen is None or row is None:
            return None
        waited = waited_s(self._pid, tid)
        now_s = time.monotonic()
        issued = _ISSUED.get((self._pid, tid))
        if issued and issued.is_it(seen, row, now_s - (waited or 0.0), slept):
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

    def forget(self, thread: Thread) -> None:
        """Know nothing any more of the call that a thread was in."""
        self.denied.pop(thread.tid, None)
        self._limits.pop(thread.tid, None)

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
            self._limits.pop(tid, None)
            return
        if row.deadline is Deadline.MILLISECONDS:
            setattr(registers, row.register, -int(-left_s * 1000 // 1))  # upwards: never before its time
        elif row.option is None:
            # Nobody's memory. The kernel reads it when the call is issued, before anything else runs on this stack.
            place = (registers.rsp - RED_ZONE - _CLEARANCE_BYTES) & -16
            self._memory.write(place, struct.pack("<qq", int(left_s), round(left_s % 1 * 1e9)))
            setattr(registers, row.register, place)
        issued = _Issued(registers.call, getattr(registers, row.register), waiting.until_s, now_s)
        if row.option is not None:
            self._limits[tid] = row.option, issued
        else:
            _remember(self._pid, tid, issued)
        if not waiting.is_exact:
            self._remark(f"{row.name} of thread {tid} waits its whole timeout again: no scheduler statistics")

    def is_limited(self, thread: Thread) -> bool:
        """Whether a thread goes back to a call whose deadline is its socket's: it is seen off as one of the last."""
        return thread.tid in self._limits

    def see_off(self, thread: Thread) -> None:
        """Let a thread go.

        A socket's timeout is no argument of the call. So it is what is left from where the thread enters the call until
        it is seen to wait. Then it runs on, and is let go when the thread of ours ends that has seized it (`alone`): to
        be told so now, it would have to stop once more. Whoever else uses the socket in that moment is cut short as
        well; and should we be killed then, it stays so.
        """
        option, issued = self._limits.pop(thread.tid, (0, None))
        if issued is None or not self._enters(thread, issued):
            thread.detach()
            return
        with ExitStack() as stack:
            with suppress(OSError, PossessionError):
                peer = stack.enter_context(socket_of(self._kernel, self._pid, issued.argument))
                timeout = peer.getsockopt(socket.SOL_SOCKET, option, TIMEVAL.size)
                left_us = int(max(0.0, issued.until_s - time.monotonic()) * 1e6) + _SLACK_US
                peer.setsockopt(socket.SOL_SOCKET, option, TIMEVAL.pack(*divmod(left_us, 1_000_000)))
                stack.callback(peer.setsockopt, socket.SOL_SOCKET, option, timeout)
            is_waiting = self._is_waiting(thread, issued)
        if not is_waiting:
            thread.detach()
            return
        self.keep(thread)
        issued.at_s, issued.slept = time.monotonic(), times_slept(self._pid, thread.tid)
        _remember(self._pid, thread.tid, issued)

    def keep(self, thread: Thread) -> None:
        """Remember a thread that runs on and is seized all the same."""
        self._running[thread.tid] = thread

    def reclaim(self, tid: int) -> Thread | None:
        """Return such a thread."""
        return self._running.pop(tid, None)

    def attend(self) -> None:
        """Look after those threads: one that stops is let go, or hears its signal."""
        for thread in list(self._running.values()):
            with suppress(TimeoutError):
                try:
                    stop = thread.wait(0.0)
                    if stop.why is Why.SIGNAL:
                        thread.go_on(stop.signal)
                        continue
                    thread.detach()
                except Vanished:
                    pass
                del self._running[thread.tid]

    def _enters(self, thread: Thread, issued: _Issued) -> bool:
        """Let a stopped thread run on until it enters its call again. False: it does not come there, and stands."""
        until_s = time.monotonic() + _WAITS_S_MAX
        pending = 0
        while True:
            thread.go_on_to_system_call(pending)
            try:
                stop = thread.wait(max(0.0, until_s - time.monotonic()))
            except TimeoutError:
                self._kernel.interrupt(thread.tid)
                thread.take()
                self.settle(thread, None)
                self.forget(thread)
                thread.put_back()
                return False
            pending = stop.signal if stop.why is Why.SIGNAL else 0
            if stop.why is Why.SYSTEM_CALL:
                self._kernel.get_registers(thread.tid, thread.registers)
                thread.is_known = False  # what was known of it is over
                if thread.registers.call == issued.call and thread.registers.result == -errno.ENOSYS:
                    return True

    def _is_waiting(self, thread: Thread, issued: _Issued) -> bool:
        """Let a thread go on that enters its call, until it waits there. False: it stands behind it."""
        thread.go_on_to_system_call()
        while True:
            try:
                thread.wait(0.0)
            except TimeoutError:
                seen = look(self._pid, thread.tid)
                if seen is not None and seen.call == issued.call:
                    return True
            else:
                return False

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


def _remember(pid: int, tid: int, issued: _Issued) -> None:
    if len(_ISSUED) > _ISSUED_MAX:
        _ISSUED.clear()
    _ISSUED[pid, tid] = issued


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
