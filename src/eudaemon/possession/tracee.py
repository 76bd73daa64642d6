"""One stopped thread, and a process's threads stopped together.

    seizure = Seizure(kernel, pid)
    seizure.seize()          # all threads, until two listings agree
    …                        # `Thread.registers` are the application's, exactly as the kernel keeps them
    seizure.detach()

Signals that were on their way when a thread was stopped are delivered before it is taken; those that come while it is
borrowed are sent again afterwards. A process that job control has stopped stays stopped: the kernel sees to that when
the tracer lets go.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol, TypeVar

from eudaemon.possession.errors import Busy, OperationFailed, PossessionError, Vanished
from eudaemon.possession.homeward import STOP_SIGNAL
from eudaemon.possession.ptrace import OPTION_SYSGOOD, Kernel, Registers
from eudaemon.possession.stops import Stop, Why, read_status

STOP_S_MAX = 2.0  # how long a thread may take to stop
SOON_S = 0.03  # and how long before it is asked whether it can
SPINS_MAX = 20  # looks without a pause
NAP_S = 0.001  # at most, where SIGCHLD goes to another thread of ours
BUSY_S_MAX = 10.0  # how long a thread that cannot be stopped is waited for
BUSY_NAP_S = 0.002
LISTINGS_MAX = 100  # of threads, until two agree
LATER = "a parent in vfork and a thread that waits for a disk cannot be stopped; try again later"
_LINKS = 2  # of /proc/PID/task itself; each thread is one more
_VFORKS = frozenset(("56", "58", "435"))  # clone, vfork, clone3


T = TypeVar("T")


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
                if state_of(self.tid, self.tid).startswith(_ENDED):
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
            if stop.why is Why.SYSTEM_CALL:
                self._kernel.interrupt(self.tid)  # this stop has been taken for the one that we asked for
            # On its way before we asked: delivered now, as it would have been.
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


class SeesOff(Protocol):
    """Who lets threads go, some of which cannot be told so at once."""

    def is_limited(self, thread: Thread) -> bool:
        """Whether it takes a while to see this thread off, so that it goes last."""

    def see_off(self, thread: Thread) -> None:
        """Let a stopped thread go."""

    def keep(self, thread: Thread) -> None:
        """Remember a thread that runs on and is seized all the same: it could not be told to go."""

    def reclaim(self, tid: int) -> Thread | None:
        """Return such a thread."""


class Settles(Protocol):
    """Who sees to it that a thread never learns that it was stopped: looks at it before, and settles it after."""

    @property
    def limits(self) -> SeesOff:
        """Who lets it go in the end."""

    def watch(self, tid: int) -> object:
        """Look at a thread that is about to be stopped; what is seen is handed to `settle`."""

    def settle(self, thread: Thread, seen: Any) -> None:
        """Make a stopped thread's registers such that it may go on. `seen`: None after a further stop."""


class Seizure:
    """Some or all threads of one process, seized."""

    def __init__(self, kernel: Kernel, pid: int, options: int = OPTION_SYSGOOD, settles: Settles | None = None) -> None:
        self.pid = pid
        self.threads: dict[int, Thread] = {}
        self.began_ns = 0
        self.owed: list[tuple[int, int]] = []  # thread and signal, of threads that are gone from here
        self._kernel = kernel
        self._options = options
        self._settles = settles
        self._watched: dict[int, object] = {}
        self._dying: list[Thread] = []  # seized, found gone, and perhaps not buried yet

    def seize_parents(self) -> None:
        """Stop who waits in vfork for a child. Nobody else yet: the child, of the same memory, may need them to end."""
        while waiting := [tid for tid in self.listing() if tid not in self.threads and waits_for_child(self.pid, tid)]:
            self.stop(waiting, is_patient=True)
            self.began_ns = time.monotonic_ns()

    def seize(self, spare: Callable[[int], bool] = lambda _: False) -> None:
        """Stop all threads, but those that are to be spared, until a listing shows none that is new."""
        spared: set[int] = set()
        for _ in range(LISTINGS_MAX):
            new = [tid for tid in self.listing() if tid not in self.threads and tid not in spared]
            wanted = []
            for tid in new:
                if spare(tid):
                    spared.add(tid)
                else:
                    wanted.append(tid)
            if not wanted:
                return
            self.stop(sorted(wanted, key=lambda tid: tid == self.pid))
        raise Busy(f"process {self.pid} makes threads faster than they can be stopped", "try again")

    def stop(self, tids: Iterable[int], *, is_patient: bool = False) -> None:
        """Seize and stop these threads. One that ends meanwhile is forgotten."""
        if self._settles:
            self._watched = {tid: self._settles.watch(tid) for tid in tids}
        new = [thread for tid in tids if (thread := self._seized(tid)) is not None]
        self.interrupt(new, within_s=BUSY_S_MAX if is_patient else SOON_S)

    def interrupt(self, threads: Iterable[Thread], dropped: int = 0, within_s: float = SOON_S) -> None:
        """Stop these seized threads, which run. `dropped`: a signal that is not passed on to them.

        Raises `Busy` if one cannot be stopped `within_s`.
        """
        running = list(threads)
        if not self.began_ns:
            self.began_ns = time.monotonic_ns()
        for thread in running:
            with suppress(Vanished):
                self._kernel.interrupt(thread.tid)
        busy: Busy | None = None
        for thread in running:  # all of them, also behind one that does not stop: each is settled where it stands
            try:
                self._take(thread, dropped, within_s)
            except Vanished:
                self.forget(thread)
            except TimeoutError:
                state = state_of(self.pid, thread.tid)
                busy = Busy(f"thread {thread.tid} of process {self.pid} does not stop: {state}", LATER)
            else:
                if self._options != OPTION_SYSGOOD:  # not before it stands: a filter is suspended for nobody who runs
                    self._kernel.set_options(thread.tid, self._options)
                if self._settles:
                    self._settles.settle(thread, self._watched.pop(thread.tid, None))
        if busy is not None:
            raise busy

    def _take(self, thread: Thread, dropped: int, within_s: float) -> None:
        """Take a stopped thread. Raises `TimeoutError` soon for one that cannot stop: the others stand meanwhile."""
        try:
            thread.take(dropped, within_s)
        except TimeoutError:
            if waits_for_child(self.pid, thread.tid):
                raise
            thread.take(dropped)  # the processor is busy, or a disk

    def let_out(self, thread: Thread, inside: Callable[[Registers], bool]) -> None:
        """Let a stopped thread run on until its next instruction lies outside."""
        until_s = time.monotonic() + STOP_S_MAX
        while inside(thread.registers):
            if time.monotonic() > until_s:
                raise PossessionError(
                    f"thread {thread.tid} of process {self.pid} does not come home from {thread.registers.rip:#x}"
                )
            thread.go_on()
            time.sleep(NAP_S)  # or it is asked to stop before it has run one instruction, again and again
            self.interrupt([thread], STOP_SIGNAL)  # which the way home sends itself, and has been heard by now
            if thread.tid not in self.threads:
                return

    def let_run(self, thread: Thread) -> None:
        """Let a stopped thread run for a while as it would without us."""
        if self._options != OPTION_SYSGOOD:
            self._kernel.set_options(thread.tid, OPTION_SYSGOOD)
        thread.go_on()

    def forget(self, thread: Thread) -> None:
        """Count a thread no longer, for it has ended."""
        self._dying.append(self.threads.pop(thread.tid))

    def detach(self, kept: Collection[Thread] = ()) -> None:
        """Let all go but those. What runs is stopped first, it cannot be told otherwise; what has ended is buried."""
        leaving = [*self._dying, *(thread for thread in self.threads.values() if thread not in kept)]
        self._dying.clear()
        self.threads = {thread.tid: thread for thread in kept}
        # Who stands goes first: a parent in vfork stops only when its child, which may wait for one of them, has gone.
        leaving.sort(key=self.comes_late)
        left = [thread for thread in leaving if not (thread.is_stopped and self._let_go(thread))]
        for thread in sorted(left, key=lambda thread: thread.tid == self.pid):  # whose end is told of last
            try:
                self._stop_and_let_go(thread)
            except Vanished:
                pass
            except TimeoutError:  # a parent whose child lives on: `alone` sees to it
                if self._settles is not None:
                    self._settles.limits.keep(thread)
        self.owed += [(thread.tid, number) for thread in leaving for number in thread.owed]
        if not self.threads:
            for tid, number in self.owed:
                send(self.pid, tid, number)
            self.owed.clear()

    def comes_late(self, thread: Thread) -> tuple[bool, bool]:
        """Order those who are let go: the first thread first, whom it takes a while to see off last.

        While the first thread is traced, signals that nobody hears (a child has ended) interrupt calls all the same.
        """
        return self.is_limited(thread), thread.tid != self.pid

    def is_limited(self, thread: Thread) -> bool:
        """Whether it takes a while to see this thread off."""
        return self._settles is not None and self._settles.limits.is_limited(thread)

    def listing(self) -> list[int]:
        """Return the process's threads, without those that have ended and are only not buried yet.

        When one ends meanwhile, the kernel loses its place and may leave out others: then they are listed again.
        Raises `Vanished` if there are none.
        """
        place = f"/proc/{self.pid}/task"
        alive: list[int] = []
        for _ in range(LISTINGS_MAX):
            try:
                tids = [int(name) for name in os.listdir(place)]  # noqa: PTH208  # the shorter freeze
                count = os.stat(place).st_nlink - _LINKS  # noqa: PTH116
            except (FileNotFoundError, ProcessLookupError):
                break
            states = {tid: "" if tid in self.threads else state_of(self.pid, tid) for tid in tids}
            alive = [tid for tid, state in states.items() if not state.startswith(_ENDED)]
            if count == len(tids) and GONE not in states.values():
                break
        if not alive:
            raise Vanished(f"process {self.pid} has ended")
        return alive

    def _seized(self, tid: int) -> Thread | None:
        if self._settles is not None and (known := self._settles.limits.reclaim(tid)) is not None:
            self.threads[tid] = known
            return known
        thread = Thread(self._kernel, tid)
        try:
            self._kernel.seize(tid, OPTION_SYSGOOD)
        except Vanished:
            return None
        except OperationFailed:
            if state_of(self.pid, tid).startswith(_ENDED):
                return None
            raise
        self.threads[tid] = thread
        return thread

    def _stop_and_let_go(self, thread: Thread) -> None:
        """Stop a thread to let it go. One that has ended is buried: before that its process's end is told to nobody."""
        with suppress(Vanished):
            self._kernel.interrupt(thread.tid)
        thread.take()
        if self._settles is not None:
            self._settles.settle(thread, None)
            thread.put_back()
        self._let_go(thread)

    def _let_go(self, thread: Thread) -> bool:
        """Let a thread go that stands, and send again what was taken from it. False: it has ended."""
        try:
            if self._settles is None:
                thread.detach()
            else:
                self._settles.limits.see_off(thread)
        except Vanished:
            return False
        return True


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
_ENDED = ("Z", "X", GONE)
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


def patiently(step: Callable[[], T]) -> T:
    """Take a step for which threads must stand, and again while one of them cannot. Raises `Busy` if that lasts."""
    until_s = time.monotonic() + BUSY_S_MAX
    while True:
        try:
            return step()
        except Busy:
            if time.monotonic() > until_s:
                raise
        time.sleep(BUSY_NAP_S)


def alone(work: Callable[[], T]) -> T:
    """Work in a thread of its own. When that ends, the kernel lets go whatever it has seized and could not let go."""
    with heeding_stops():
        with ThreadPoolExecutor(1) as pool:
            tid = pool.submit(threading.get_native_id).result()
            done = pool.submit(work)
        while os.path.exists(f"/proc/self/task/{tid}"):  # noqa: PTH110  # Python is done with it before the kernel is
            time.sleep(0)
        return done.result()


@contextmanager
def heeding_stops() -> Iterator[None]:
    """Keep SIGCHLD pending meanwhile, so that a wait can wake by it. What a child of ours said then is said again."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGCHLD,))
    try:
        yield
    finally:
        if signal.SIGCHLD not in before:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            if callable(signal.getsignal(signal.SIGCHLD)):
                os.kill(os.getpid(), signal.SIGCHLD)
