"""Calls made by a borrowed thread: system calls, and the engine's functions.

    with lent(Loan(kernel, thread, memory, site)) as loan:
        address = loan.system_call("mmap", …)
        loan.call(symbol, argument, stack)

A `Site` is where the way home (`homeward`) lies in the process: at first in the unused end of the vDSO, which every
process has, later in a page of our own. When the loan ends, however it ends, the thread has registers and mask back.
"""

from __future__ import annotations

import os
import signal
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from eudaemon.possession import homeward, restart
from eudaemon.possession.errors import PossessionError, Vanished
from eudaemon.possession.memory import Memory, Remote
from eudaemon.possession.ptrace import Kernel, Registers
from eudaemon.possession.stops import Why
from eudaemon.possession.tracee import Thread

NUMBERS = {"mmap": 9, "mprotect": 10, "munmap": 11, "rt_sigaction": 13}
SITE_BYTES = homeward.CODE_BYTES + homeward.BLOCK_BYTES + 16
CALL_S_MAX = 10.0  # of one function of the engine

_ALL_SIGNALS = (1 << 64) - 1
_BORROWED_MASK = _ALL_SIGNALS & ~(1 << (signal.SIGTRAP - 1) | 1 << (homeward.STOP_SIGNAL - 1))
_PLAIN_FLAGS = 0x202  # interrupts on, and bit 1, which is always set
_NO_CALL = (1 << 64) - 1
_WORD = 8


class RemoteCallFailed(PossessionError):  # noqa: N818
    """A call made in the tracee answered with an error. `errno` is its reason."""

    def __init__(self, what: str, errno: int) -> None:
        super().__init__(f"{what} in the process failed: {os.strerror(errno)}")
        self.errno = errno


@dataclass(frozen=True, slots=True)
class Site:
    """Where the way home lies, and where a block can be written."""

    code: Remote
    block: Remote

    @property
    def system_call(self) -> Remote:
        """The address of the `syscall` instruction."""
        return self.code + homeward.CALL

    @property
    def stack(self) -> Remote:
        """The stack pointer of a function: below the block, and there lies the address to return to."""
        return self.block + -_WORD

    @property
    def note(self) -> Remote:
        """Where it is noted what is being mapped: address and size; zeros, if nothing is."""
        return self.block + homeward.BLOCK_BYTES

    def returning(self) -> bytes:
        """Return what has to lie at `stack` before a function is called."""
        return struct.pack("<Q", self.code)


class Loan:
    """A borrowed thread, while it is borrowed."""

    def __init__(self, kernel: Kernel, thread: Thread, memory: Memory, site: Site) -> None:
        self._kernel = kernel
        self._thread = thread
        self._memory = memory
        self._site = site
        self._work = thread.registers.copy()
        self.is_over = False

    def begin(self) -> None:
        """Write the thread's way home before it is sent anywhere."""
        home = restart.at_boundary(self._thread.registers)
        self._memory.write(self._site.block, homeward.block(home, self._thread.mask))
        self._work.orig_rax = _NO_CALL
        self._work.eflags = _PLAIN_FLAGS
        self._work.rbp = self._site.block

    def system_call(self, name: str, *arguments: int) -> int:
        """Make a system call and return its answer. Raises `RemoteCallFailed`."""
        work = self._work
        work.rax = NUMBERS[name]
        work.rip = self._site.system_call
        for register, value in zip(restart.ARGUMENTS, arguments, strict=False):
            setattr(work, register, value & _NO_CALL)
        self._thread.send(work, _BORROWED_MASK)
        for _ in ("entered", "left"):
            self._thread.go_on_to_system_call()
            self._until(Why.SYSTEM_CALL)
        self._kernel.get_registers(self._thread.tid, work)
        result = work.result
        if -4096 < result < 0:
            raise RemoteCallFailed(name, -result)
        return result

    def function(self, address: int, argument: int, what: str) -> int:
        """Call a function of the engine and return its answer. Raises `RemoteCallFailed`."""
        self.start(address, argument)
        return self.result(what)

    def start(self, address: int, argument: int) -> None:
        """Let the thread begin a function of the engine; `result` waits for its end."""
        work = self._work
        work.rip, work.rdi, work.rsp = address, argument, self._site.stack
        work.orig_rax = _NO_CALL
        self._thread.send(work, _BORROWED_MASK)
        self._thread.go_on()

    def result(self, what: str) -> int:
        """Wait until the function has returned, and return its answer. Raises `RemoteCallFailed`."""
        while True:
            stop = self._until(Why.SIGNAL)
            seen = Registers()
            self._kernel.get_registers(self._thread.tid, seen)
            if stop == homeward.STOP_SIGNAL and seen.rip == self._site.code + homeward.CALLED:
                seen.rax = seen.rbx
                break
            self._strike(stop, what)
            self._thread.go_on()
        if seen.result < 0:
            raise RemoteCallFailed(what, -seen.result)
        return seen.result

    def end(self) -> None:
        """Give the thread back what it had."""
        if not self._thread.is_stopped:
            self._kernel.interrupt(self._thread.tid)
            self._thread.wait()
        self._thread.put_back()
        self.is_over = True

    def _strike(self, number: int, what: str) -> None:
        """Note a signal that was not waited for. Raises `PossessionError` for a fault of what runs.

        A fault of the application's own may have been pending: the kernel delivers faults first, blocked or not. Such
        a one is dropped, for its instruction will fault again.
        """
        if number == signal.SIGTRAP and self._kernel.signal_code(self._thread.tid) > 0:
            return  # from before: it has run onto `seal_parked`, and does so again
        if number not in FAULTS:
            self._thread.owed.append(number)
            return
        seen = Registers()
        self._kernel.get_registers(self._thread.tid, seen)
        if seen.rip not in (self._work.rip, self._site.code + homeward.CALLED):
            name = signal.Signals(number).name
            raise PossessionError(f"{what} of the engine failed at {seen.rip:#x} by {name}", "please report it")

    def _until(self, why: Why) -> int:
        """Wait for a stop of this kind and return its signal; what else stops the thread is owed to it."""
        while True:
            try:
                stop = self._thread.wait(CALL_S_MAX)
            except TimeoutError:
                raise PossessionError(
                    f"thread {self._thread.tid} does not come back from a call", "try again"
                ) from None
            if stop.why is why:
                return stop.signal
            if stop.why is Why.SIGNAL:
                self._strike(stop.signal, "a system call")
            if why is Why.SYSTEM_CALL:
                self._thread.go_on_to_system_call()
            else:
                self._thread.go_on()


FAULTS = frozenset((signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGABRT))


@contextmanager
def lent(loan: Loan) -> Iterator[Loan]:
    """Borrow a loan's thread; it is given back whatever happens."""
    loan.begin()
    try:
        yield loan
    finally:
        with suppress(Vanished):
            loan.end()


def vdso_site(memory: Memory, begin: int, end: int) -> Site | None:
    """Return a place in the unused end of the vDSO: behind its section headers nothing is stored. None: no room."""
    header = memory.read(begin, 64)
    table, size, count = (int.from_bytes(header[a:b], "little") for a, b in ((0x28, 0x30), (0x3A, 0x3C), (0x3C, 0x3E)))
    free = -(-(begin + table + size * count) // 16) * 16
    if free + SITE_BYTES > end:
        return None
    return Site(Remote(free), Remote(free + homeward.CODE_BYTES))
