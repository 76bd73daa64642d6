"""The process that is worked on: its pid, the open door to it, and the lock by which controllers keep apart."""

from __future__ import annotations

import fcntl
import os
import struct
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property

from eudaemon.possession import homeward
from eudaemon.possession.abi import Abi
from eudaemon.possession.engine import Engine
from eudaemon.possession.errors import PossessionError, Refused, Vanished, undoing
from eudaemon.possession.mailbox import Mailbox, find_mailbox
from eudaemon.possession.maps import LOW_END, read_maps
from eudaemon.possession.memory import PAGE, Memory, up
from eudaemon.possession.ptrace import OPTION_SUSPEND_SECCOMP, OPTION_SYSGOOD, Kernel, Registers
from eudaemon.possession.refuse import is_filtered, may_suspend_filters
from eudaemon.possession.remote import SITE_BYTES, Loan, Site, lent, vdso_site
from eudaemon.possession.seizure import Seizure, heeding_stops, patiently
from eudaemon.possession.settle import Settler
from eudaemon.possession.tracee import NAP_S, Thread, waits_for_child

_VDSO_LOOKS_MAX = 20


@dataclass
class Target:
    """One process, while a controller works on it."""

    pid: int
    engine: Engine
    kernel: Kernel
    memory: Memory
    options: int = OPTION_SYSGOOD
    confined: bool = False  # by seccomp
    settler: Settler = field(init=False)
    held: Seizure | None = None  # a thread stopped in the middle of a call that only the engine can go on with

    def __post_init__(self) -> None:
        self.settler = Settler(self.kernel, self.memory, self.pid)
        self.confined = is_filtered(self.pid)
        if may_suspend_filters():  # also where there is none yet
            self.options |= OPTION_SUSPEND_SECCOMP

    @property
    def abi(self) -> Abi:
        """The contract with the engine."""
        return self.engine.abi

    def mailbox(self) -> Mailbox | None:
        """Return the mailbox that lies in the process, or None."""
        address = find_mailbox(read_maps(self.pid), self.memory, self.abi)
        return None if address is None else Mailbox(self.memory, self.abi, address)

    @contextmanager
    def outside_loan(self, thread: Thread) -> Iterator[Loan]:
        """Borrow a stopped thread by a way home outside of what is ours, for mapping and unmapping that."""
        site = self.vdso
        self.memory.write(site.code, homeward.CODE)
        with ExitStack() as stack:
            loan = Loan(self.kernel, thread, self.memory, site)
            # Last: nothing is wiped away from under a thread that could not be given back and goes home by itself.
            stack.callback(self._wipe, site, loan)
            yield stack.enter_context(lent(loan))

    def _wipe(self, site: Site, loan: Loan) -> None:
        if loan.is_over:
            with suppress(PossessionError):
                self.memory.write(site.code, bytes(homeward.CODE_BYTES + homeward.BLOCK_BYTES))

    @cached_property
    def vdso(self) -> Site:
        """The place of such a way home. Raises `Refused` if there is no room for it."""
        for _ in range(_VDSO_LOOKS_MAX):
            areas = read_maps(self.pid)
            if not areas:
                raise Vanished(f"process {self.pid} has ended")
            for area in areas:
                if area.path == "[vdso]" and (site := vdso_site(self.memory, area.begin, area.end)):
                    return site
            time.sleep(NAP_S)  # a program that is just being executed gets it last
        raise Refused(f"process {self.pid} has no vDSO with room behind it", "boot without vdso=0")

    def note(self, address: int, size: int) -> None:
        """Note what is about to be mapped, until it holds a mailbox: should we be killed, the next one unmaps it."""
        self.memory.write(self.vdso.note, struct.pack("<QQ", address, size))

    def tidy(self) -> None:
        """Undo what a controller that was killed has left outside of any mailbox."""
        site = self.vdso
        if not any(self.memory.read(site.code, SITE_BYTES)):
            return
        with self.all_threads() as seizure:  # whoever was on the way home has arrived, and what it was to do is done
            address, size = struct.unpack("<QQ", self.memory.read(site.note, 16))
            is_there = any((area.begin, area.end) == (address, address + size) for area in read_maps(self.pid))
            if is_there and self.memory.read_word(address) != self.abi["MAGIC"]:
                with self.outside_loan(next(iter(seizure.threads.values()))) as loan:
                    loan.system_call("munmap", address, size)
            self.memory.write(site.code, bytes(SITE_BYTES))

    def unmap(self, spans: Iterable[tuple[int, int]]) -> None:
        """Let one thread unmap these spans, from outside of them; when no thread is on its way through them."""
        with self.all_threads() as seizure, self.outside_loan(next(iter(seizure.threads.values()))) as loan:
            for address, size in spans:
                loan.system_call("munmap", address, size)

    @contextmanager
    def all_threads(self) -> Iterator[Seizure]:
        """Stop all threads, none of them on a way home that nobody waits at the end of; let them go afterwards."""
        seizure = patiently(self._stop_all)
        try:
            yield seizure
        finally:
            seizure.detach()

    def _stop_all(self) -> Seizure:
        seizure = self.take_held()
        with undoing(seizure.detach):
            seizure.seize_parents()
            self.settler.await_pieces(seizure.listing())
            seizure.seize()
            self.bring_home(seizure)
        return seizure

    def await_children(self) -> None:
        """Wait until the children of parents in vfork have gone. Raises `Busy` if one lives on."""
        seizure = self.seizure()
        try:
            seizure.seize_parents()
        finally:
            seizure.detach()

    def bring_home(self, seizure: Seizure) -> None:
        """Let stopped threads come home that a controller that was killed had borrowed."""
        for thread in list(seizure.threads.values()):
            seizure.let_out(thread, self.is_homeward)
            thread.put_back()

    def is_homeward(self, registers: Registers, known: Mailbox | None = None) -> bool:
        """Whether a thread that a killed controller had borrowed is still to come home.

        It is on the way home outside, or in what has no mailbox that says it is awake, or in a function on the service
        stack, where there is room for one. `known`: the mailbox, where that has been found already.
        """
        address = registers.rip
        if self.vdso.code <= address < self.vdso.note:
            return True
        if address >= LOW_END:
            return False
        mailbox = known or self.mailbox()
        if mailbox is None:
            return False
        low, size, awake, heap = mailbox.get("low", "low_bytes", "awake", "heap")
        if heap - self.abi["SERVICE_STACK_BYTES"] <= registers.rsp < heap:
            return True
        home = low + up(mailbox.record.size)
        return home <= address < (home + PAGE if awake else low + size)

    @contextmanager
    def one_thread(self) -> Iterator[Thread]:
        """Stop the thread that minds it least, and let it go again afterwards, or hold it for `wake`."""
        seizure = self.held or patiently(self._stop_one)
        try:
            (thread,) = seizure.threads.values()
            yield thread
            if self.settler.moved(thread) or seizure.is_limited(thread):
                self.held = seizure
        finally:
            if self.held is not seizure:
                seizure.detach()

    def seizure(self) -> Seizure:
        """Return what stops threads of this process and settles them."""
        return Seizure(self.kernel, self.pid, self.options, self.settler)

    def take_held(self) -> Seizure:
        """Return a seizure to stop all threads with; the one that has been held since it was borrowed is in it."""
        held, self.held = self.held, None
        return held or self.seizure()

    def _stop_one(self) -> Seizure:
        seizure = self.seizure()
        with undoing(seizure.detach):
            while not seizure.threads:  # one may end before it stands
                seizure.stop([self._least_minding(seizure.listing())], is_patient=True)
            self.bring_home(seizure)
        return seizure

    @contextmanager
    def loan(self, thread: Thread, site: Site) -> Iterator[Loan]:
        """Borrow a stopped thread for calls, by this way home."""
        with lent(Loan(self.kernel, thread, self.memory, site)) as loan:
            yield loan

    def _least_minding(self, tids: list[int]) -> int:
        tids = sorted(tids, key=lambda tid: tid == self.pid)  # not the first, if others will do: see `comes_late`
        able = [tid for tid in tids if not waits_for_child(self.pid, tid)] or tids
        restful = [tid for tid in able if self.settler.is_restful(tid)]
        if not restful:
            self.settler.await_pieces(able[:1])
        return next((tid for tid in restful if self.settler.watch(tid) is None), (restful or able)[0])


@contextmanager
def opened(pid: int, engine: Engine, kernel: Kernel) -> Iterator[Target]:
    """Open a process for work. Raises `Refused` while another controller is at it, `Vanished` if there is none."""
    try:
        door = os.open(f"/proc/{pid}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise Vanished(f"there is no process {pid}") from None
    try:
        try:
            fcntl.flock(door, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(f"another controller works on process {pid}", "wait until it has done") from None
        memory = Memory(kernel, pid)
        try:
            with heeding_stops():
                target = Target(pid, engine, kernel, memory)
                try:
                    yield target
                finally:
                    target.take_held().detach()
        finally:
            memory.close()
    finally:
        os.close(door)
