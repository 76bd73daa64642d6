"""A process's threads, stopped together.

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
from typing import Any, Protocol, TypeVar

from eudaemon.possession.errors import Busy, OperationFailed, PossessionError, Vanished
from eudaemon.possession.homeward import STOP_SIGNAL
from eudaemon.possession.ptrace import OPTION_SYSGOOD, Kernel, Registers
from eudaemon.possession.tracee import ENDED, GONE, NAP_S, SOON_S, STOP_S_MAX, Thread, send, state_of, waits_for_child

BUSY_S_MAX = 10.0  # how long a thread that cannot be stopped is waited for
BUSY_NAP_S = 0.002
LISTINGS_MAX = 100  # of threads, until two agree
LATER = "a parent in vfork and a thread that waits for a disk cannot be stopped; try again later"
_LINKS = 2  # of /proc/PID/task itself; each thread is one more

T = TypeVar("T")


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
            alive = [tid for tid, state in states.items() if not state.startswith(ENDED)]
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
            if state_of(self.pid, tid).startswith(ENDED):
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
