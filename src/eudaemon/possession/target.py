"""The process that is worked on: its pid, the open door to it, and the lock by which controllers keep apart."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from eudaemon.possession import homeward
from eudaemon.possession.abi import Abi
from eudaemon.possession.engine import Engine
from eudaemon.possession.errors import PossessionError, Refused, Vanished
from eudaemon.possession.mailbox import Mailbox, find_mailbox
from eudaemon.possession.maps import read_maps
from eudaemon.possession.memory import Memory
from eudaemon.possession.ptrace import OPTION_SYSGOOD, Kernel
from eudaemon.possession.remote import Loan, Site, borrowed, vdso_site
from eudaemon.possession.settle import Waiting, settle, watch
from eudaemon.possession.tracee import Seizure, Thread, heeding_stops


@dataclass
class Target:
    """One process, while a controller works on it."""

    pid: int
    engine: Engine
    kernel: Kernel
    memory: Memory
    options: int = OPTION_SYSGOOD
    remarks: list[str] = field(default_factory=list)

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
        site = self.vdso()
        self.memory.write(site.code, homeward.CODE)
        try:
            with self.loan(thread, site) as loan:
                yield loan
        finally:
            with suppress(PossessionError):
                self.memory.write(site.code, bytes(homeward.CODE_BYTES + homeward.BLOCK_BYTES))

    def vdso(self) -> Site:
        """Return the place of such a way home. Raises `Refused` if there is no room for it."""
        for area in read_maps(self.pid):
            if area.path == "[vdso]" and (site := vdso_site(self.memory, area.begin, area.end)):
                return site
        raise Refused(f"process {self.pid} has no vDSO with room behind it", "boot without vdso=0")

    def settle(self, threads: Iterable[Thread], watched: Mapping[int, Waiting | None]) -> None:
        """Settle stopped threads (`settle.settle`), and remember what there is to remark."""
        for thread in threads:
            remark = settle(self.kernel, self.memory, self.pid, thread, watched.get(thread.tid))
            if remark:
                self.remarks.append(remark)

    @contextmanager
    def one_thread(self) -> Iterator[Thread]:
        """Stop the thread that minds it least, and let it go again afterwards."""
        seizure = Seizure(self.kernel, self.pid, self.options)
        tid, watched = self._least_minding(seizure.listing())
        try:
            seizure.stop([tid])
            if tid not in seizure.threads:
                raise Vanished(f"thread {tid} has ended")
            thread = seizure.threads[tid]
            self.settle([thread], {tid: watched})
            thread.put_back()
            yield thread
        finally:
            seizure.detach()

    @contextmanager
    def loan(self, thread: Thread, site: Site, done: int = 0) -> Iterator[Loan]:
        """Borrow a stopped thread for calls, by this way home."""
        with borrowed(self.kernel, thread, self.memory, site, done) as loan:
            yield loan

    def _least_minding(self, tids: list[int]) -> tuple[int, Waiting | None]:
        waiting: dict[int, Waiting | None] = {}
        for tid in tids:
            waiting[tid] = watch(self.kernel, self.pid, tid)
            if waiting[tid] is None:
                return tid, None
        return tids[0], waiting[tids[0]]


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
                yield Target(pid, engine, kernel, memory)
        finally:
            memory.close()
    finally:
        os.close(door)
