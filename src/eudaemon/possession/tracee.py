"""One thread of a process that is traced: stopped, looked at, let run; and what /proc says of threads."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from eudaemon.possession.errors import Vanished
from eudaemon.possession.ptrace import Kernel, Registers
from eudaemon.possession.stops import Stop, Why, read_status

STOP_S_MAX = 2.0  # how long a thread may take to stop
SOON_S = 0.03  # and how long before it is asked whether it can
SPINS_MAX = 20  # looks without a pause
NAP_S = 0.001  # at most, where SIGCHLD goes to another thread of ours
_VFORKS = frozenset(("56", "58", "435"))  # clone, vfork, clone3


class Thread:
    """A thread of the tracee that we have seized."""

    __slots__ = ("_kernel", "is_known", "is_stopped", "mask", "owed", "registers", "stops", "tid")

    def __init__(self, kernel: Kernel, tid: int) -> None:
        self._kernel = kernel
        self.tid = tid
        self.registers = Registers()
        self.mask = 0
        self.stops = 0  # how many it took to take it the last time
        self.is_stopped = False
        self.is_known = False  # whether registers and mask have been read
        self.owed: list[int] = []  # signals that we took from it

    def wait(self, within_s: float = STOP_S_MAX) -> Stop:
        """Wait until it stops. Raises `Vanished` if it ends, `TimeoutError` if it does neither."""
        until_s = time.monotonic() + within_s
        while True:
            try:
                stop = read_status(_wait(self._kernel, self.tid, min(SOON_S, within_s)))
                break
            except TimeoutError:
                # The first thread's end is told when all others are buried, which is perhaps for us to do.
                if state_of(self.tid, self.tid).startswith(ENDED):
                    raise Vanished(f"thread {self.tid} has ended") from None
                if time.monotonic() > until_s:
                    raise
        if stop.why is Why.ENDED:
            self.is_stopped = False
            raise Vanished(f"thread {self.tid} has ended")
        self.is_stopped = True
        return stop

    def take(self, dropped: int = 0, within_s: float = STOP_S_MAX) -> None:
        """Wait for the stop that was asked for, and read registers and mask. `dropped` is a signal not passed on."""
        self.is_known = False
        self.stops = 1
        while (stop := self.wait(within_s)).why is not Why.INTERRUPTED:
            self.stops += 1
            # On its way before we asked: delivered now, as it would have been. The kernel may have taken this stop for
            # ours, so that we ask again.
            self._kernel.interrupt(self.tid)
            self.go_on(stop.signal if stop.why is Why.SIGNAL and stop.signal != dropped else 0)
        fault = self._kernel.pending_fault(self.tid)
        if fault:
            self._drop(fault)
        self._kernel.get_registers(self.tid, self.registers)
        if fault == signal.SIGTRAP:
            self.registers.rip -= _trap_bytes(self.tid, self.registers.rip)  # other faults stand at their instruction
        self.mask = self._kernel.get_mask(self.tid)
        self.is_known = True

    def _drop(self, fault: int) -> None:
        """Take the signal of a fault that has been raised and not delivered: its instruction will raise it again.

        It tells addresses of the code that raised it, and must not come when other code runs.
        """
        self.go_on()
        while (stop := self.wait()).signal != fault or stop.why is not Why.SIGNAL:
            self.go_on(stop.signal if stop.why is Why.SIGNAL else 0)

    def go_on(self, signal: int = 0) -> None:
        """Let it run until its next stop, with a signal or without."""
        self._kernel.go_on(self.tid, signal)
        self.is_stopped = False

    def go_on_to_system_call(self, signal: int = 0) -> None:
        """Let it run until it enters or leaves a system call, with a signal or without."""
        self._kernel.go_on_to_system_call(self.tid, signal)
        self.is_stopped = False

    def set(self, registers: Registers, mask: int) -> None:
        """Set mask and registers: in this order, so that it has either its own of both or is on its way."""
        self._kernel.set_mask(self.tid, mask)
        self._kernel.set_registers(self.tid, registers)

    def send(self, registers: Registers, mask: int) -> None:
        """Set registers and mask for other code than its own, which restores its mask: in this order, likewise."""
        self._kernel.set_registers(self.tid, registers)
        self._kernel.set_mask(self.tid, mask)

    def put_back(self) -> None:
        """Give it its own registers and mask again, if they have been read at all."""
        if self.is_known:
            self.set(self.registers, self.mask)

    def detach(self) -> None:
        """Let it go, and send again what was taken from it."""
        self._kernel.detach(self.tid)
        self.is_stopped = False


def _trap_bytes(tid: int, rip: int) -> int:
    """Return how long the trap before `rip` is, beyond which the processor has gone: int3, int1, or `int 3`; else 0."""
    try:
        with Path(f"/proc/{tid}/mem").open("rb", buffering=0) as memory:
            memory.seek(rip - 2)
            before = memory.read(2)
    except OSError:
        return 0
    if before[1:] in (b"\xcc", b"\xf1"):
        return 1
    return 2 if before == b"\xcd\x03" else 0


def state_of(pid: int, tid: int) -> str:
    """Return a thread's state as the kernel prints it (`S (sleeping)`), or `gone`."""
    try:
        text = Path(f"/proc/{pid}/task/{tid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return GONE
    letter = text.rpartition(")")[2].split()[0]
    return _STATES.get(letter, letter)


def waits_for_child(pid: int, tid: int) -> bool:
    """Whether a thread waits in vfork: nothing but its child's end, or its child's next program, wakes it."""
    try:
        if not state_of(pid, tid).startswith("D"):
            return False
        return Path(f"/proc/{pid}/task/{tid}/syscall").read_text(encoding="ascii").split()[0] in _VFORKS
    except OSError:
        return False


def send(pid: int, tid: int, number: int) -> None:
    """Send a signal again that we took from a thread; a stop is the process's affair."""
    with suppress(ProcessLookupError):
        if number in (signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU):
            os.kill(pid, number)
        else:
            os.kill(tid, number)


GONE = "gone"
ENDED = ("Z", "X", GONE)
_STATES = {
    "R": "R (running)", "S": "S (sleeping)", "D": "D (waits for a device)", "T": "T (stopped)",
    "t": "t (stopped by a tracer)", "Z": "Z (has ended)", "X": "X (has ended)",
}  # fmt: skip


def _wait(kernel: Kernel, tid: int, within_s: float) -> int:
    """Wait for a status. Most take microseconds; then the processor is given away until SIGCHLD says that one is there.

    A loop that only yields would not do: a tracee on the same processor gets it at the next tick, 4 ms later.
    """
    for _ in range(SPINS_MAX):
        if (status := kernel.wait(tid)) is not None:
            return status
    until_s = time.monotonic() + within_s
    while True:
        if (status := kernel.wait(tid)) is not None:
            return status
        if time.monotonic() > until_s:
            raise TimeoutError
        signal.sigtimedwait((signal.SIGCHLD,), NAP_S)
