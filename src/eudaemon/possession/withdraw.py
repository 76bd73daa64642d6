"""Withdraw and release: every thread back to an instruction of the application, and nothing left behind.

1. all threads stop; the engine says for each where the application is
2. who is at work inside the engine runs on until it parks
3. each thread takes its farewell (alternate signal stack, rseq); once, signal dispositions go back
4. all go on natively but one, which unmaps what was mapped
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field

from eudaemon.possession.errors import PossessionError, Vanished
from eudaemon.possession.mailbox import Context
from eudaemon.possession.plant import inner_tids
from eudaemon.possession.planted import Planted
from eudaemon.possession.remote import Loan
from eudaemon.possession.settle import Waiting
from eudaemon.possession.tracee import Seizure, Thread
from eudaemon.possession.wake import frozen

PARK_S_MAX = 5.0  # until all threads have come out of the engine
PARK_TRY_S = 0.005  # until a thread that runs on to park is looked at again


@dataclass
class Leaving:
    """What is known of the threads of a withdrawal."""

    planted: Planted
    seizure: Seizure
    shadowed: bool
    contexts: dict[int, Context] = field(default_factory=dict)  # by thread
    denied: dict[int, Waiting | None] = field(default_factory=dict)  # calls that said EINTR because of us
    home: dict[int, Context | None] = field(default_factory=dict)  # threads that are out; with a context: of the engine

    def unresolved(self) -> list[Thread]:
        """Return the threads of which it is not known yet where their application is."""
        return [thread for tid, thread in self.seizure.threads.items() if tid not in self.home]

    def without_shadow(self, thread: Thread) -> None:
        """Take the shadow's segment base from the registers, if there is a shadow."""
        if self.shadowed:
            thread.registers.gs_base = 0

    def read_contexts(self) -> None:
        """Learn which context is whose. New threads get theirs from the engine."""
        free, left = (self.planted.target.abi[f"state::{name}"] for name in ("FREE", "LEFT"))
        outer = {inner: tid for tid, inner in inner_tids(self.planted.target.pid, list(self.seizure.threads)).items()}
        for context in self.planted.mailbox.contexts():
            tid, state = context.get("tid", "state")
            if state not in (free, left) and tid in outer:
                self.contexts[outer[tid]] = context


def withdraw(planted: Planted) -> int:
    """Bring every thread back and unmap everything. Return for how long all threads stood, in nanoseconds."""
    target = planted.target
    seizure = Seizure(target.kernel, target.pid, target.options)
    leaving = Leaving(planted, seizure, planted.mailbox.one("shadow_offset") != 0)
    with _parking(planted), frozen(seizure):
        seizure.seize_parents()
        target.settler.await_pieces(seizure.listing())
        watched = {tid: target.settler.watch(tid) for tid in seizure.listing()}
        seizure.seize()
        until_s = time.monotonic() + PARK_S_MAX
        while True:
            threads = leaving.unresolved()
            for thread in threads:
                seizure.let_out(thread, target.is_homeward)
                if target.settler.deny(thread):
                    leaving.denied[thread.tid] = target.settler.same(thread, watched.get(thread.tid))
            busy = _recover(leaving, threads)
            if busy:
                if time.monotonic() > until_s:
                    raise PossessionError(
                        f"thread {busy[0].tid} of process {target.pid} does not come out of the engine", "try again"
                    )
                _park(leaving, busy)
            before = set(seizure.threads)
            seizure.seize()
            if not busy and before == set(seizure.threads):
                break
        _farewell(leaving)
        last = _the_others_go(seizure)
        released_ns = time.monotonic_ns() - seizure.began_ns
        _unmap(planted, last)
    return released_ns


@contextmanager
def _parking(planted: Planted) -> Iterator[None]:
    """Within, `_park` may ask that whoever comes out of the engine parks. Nobody is asked to once it has failed."""
    went_well = False
    try:
        yield
        went_well = True
    finally:
        if not went_well:
            with suppress(PossessionError):
                planted.mailbox.set("park", 0)


def _recover(leaving: Leaving, threads: list[Thread]) -> list[Thread]:
    """Ask the engine where each thread's application is. Return the threads that are at work inside the engine."""
    planted, target, abi = leaving.planted, leaving.planted.target, leaving.planted.target.abi
    if not planted.mailbox.one("awake"):  # half planted, or half released: all are native already
        leaving.home |= dict.fromkeys((thread.tid for thread in threads), None)
        return []
    leaving.read_contexts()
    entry = planted.symbols["seal_wake"]
    asked = []
    for thread in threads:
        context = leaving.contexts.get(thread.tid)
        if context is not None and thread.registers.rip == entry:  # stopped before its first instruction
            thread.registers, thread.mask = context.registers(thread.registers), context.one("mask")
            leaving.without_shadow(thread)
            thread.put_back()
            leaving.home[thread.tid] = None
        else:
            asked.append(thread)
    if not asked:
        return []
    planted.mailbox.write_snapshots((thread.tid, thread.registers) for thread in asked)
    helper = next((thread for thread in asked if not planted.owns(thread.registers.rip)), asked[0])
    with planted.loan(helper) as loan:
        planted.call(loan, "seal_recover")
    busy = []
    answers = planted.mailbox.read_snapshots(len(asked))
    for thread, (_, status, registers) in zip(asked, answers, strict=True):
        context = leaving.contexts.get(thread.tid)
        if status == abi["recovered::BUSY"]:
            busy.append(thread)
        elif status == abi["recovered::EXACT"]:
            if context is None:
                raise PossessionError(f"the engine has no context of thread {thread.tid}", "please report it")
            thread.registers, thread.mask = registers, context.one("mask")
            leaving.without_shadow(thread)
            target.settler.shorten(thread, leaving.denied.get(thread.tid))
            leaving.home[thread.tid] = context
        else:
            target.settler.settle(thread, None)
            target.settler.shorten(thread, leaving.denied.get(thread.tid))
            # Native; but whoever has once been woken has to take its farewell. (An ambushed thread has not.)
            woken = context is not None and context.one("state") == abi["state::RUNNING"]
            leaving.home[thread.tid] = context if woken else None
    return busy


def _park(leaving: Leaving, busy: list[Thread]) -> None:
    """Let threads run on to where they park; those that did not come there are stopped where they are."""
    planted, kernel = leaving.planted, leaving.planted.target.kernel
    parked_at = planted.symbols["seal_parked"]
    # Also a thread that has only begun. Not before all are attached: the stop would be a signal to be heard.
    planted.mailbox.set("park", 1)
    for thread in busy:
        if context := leaving.contexts.get(thread.tid):
            context.set("request", planted.target.abi["request::PARK"])
    for thread in busy:
        thread.go_on()
    for thread in busy:
        context = leaving.contexts.get(thread.tid)
        try:
            stop = thread.wait(PARK_TRY_S)
        except Vanished:
            leaving.seizure.forget(thread)
            continue
        except TimeoutError:
            leaving.seizure.interrupt([thread])
            continue
        kernel.get_registers(thread.tid, thread.registers)
        if context is None:
            leaving.read_contexts()
            context = leaving.contexts.get(thread.tid)
        if context is not None and thread.registers.rip in (parked_at, parked_at + 1):
            thread.registers, thread.mask = context.registers(thread.registers), context.one("mask")
            leaving.without_shadow(thread)
            leaving.home[thread.tid] = context
        else:
            thread.go_on(stop.signal)
            leaving.seizure.interrupt([thread])


def _farewell(leaving: Leaving) -> None:
    """Let every thread that was in the engine undo what the engine set up in it; all of them at once."""
    planted, target = leaving.planted, leaving.planted.target
    with ExitStack() as loans:
        lent: list[tuple[Loan, Context]] = []
        for tid, context in leaving.home.items():
            if context is not None:
                site = planted.slot_site(context.address)
                target.memory.write(site.stack, site.returning())
                thread = leaving.seizure.threads[tid]
                lent.append((loans.enter_context(target.loan(thread, site)), context))
        for loan, context in lent:
            loan.start(planted.symbols["seal_farewell"], context.address)
        for loan, _ in lent:
            loan.result("seal_farewell")
    if planted.mailbox.one("awake"):
        with planted.loan(next(iter(leaving.seizure.threads.values()))) as loan:
            planted.call(loan, "seal_restore")


def _the_others_go(seizure: Seizure) -> Thread:
    """Let all threads go natively but one, which is returned."""
    last, *others = seizure.threads.values()
    for thread in others:
        with suppress(Vanished):
            thread.put_back()
    seizure.detach(kept=last)
    return last


def _unmap(planted: Planted, thread: Thread) -> None:
    """Unmap everything that is noted, the reservation with the notes last."""
    target = planted.target
    *spans, low = planted.mailbox.spans()
    with target.outside_loan(thread) as loan:
        for mapped in spans:
            loan.system_call("munmap", mapped.address, mapped.size)
            planted.mailbox.forget_mapping(mapped)
        loan.system_call("munmap", low.address, low.size)
