"""Withdraw and release: every thread back to an instruction of the application, and nothing left behind.

1. all threads stop; the engine says for each where the application is
2. who is at work inside the engine runs on until it parks
3. each thread takes its farewell (alternate signal stack, rseq); once, signal dispositions go back
4. all go on natively but one, which unmaps what was mapped
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field

from eudaemon.possession import restart
from eudaemon.possession.errors import Busy, PossessionError, Vanished, undoing
from eudaemon.possession.limits import Limits
from eudaemon.possession.mailbox import Context
from eudaemon.possession.plant import inner_tids
from eudaemon.possession.planted import Planted
from eudaemon.possession.remote import Loan
from eudaemon.possession.restart import PIECEMEAL_CALLS, SYSCALL_BYTES
from eudaemon.possession.seizure import Seizure
from eudaemon.possession.settle import Settler, Waiting
from eudaemon.possession.stops import Why
from eudaemon.possession.tracee import NAP_S, Thread
from eudaemon.possession.wake import frozen

PIECES_S_MAX = 10.0  # until a call that moves in pieces has ended
PARK_S_MAX = 5.0  # until all threads have come out of the engine
PARK_TRY_S = 0.005  # until a thread that runs on to park is looked at again


@dataclass
class Leaving:
    """What is known of the threads of a withdrawal."""

    planted: Planted
    shadowed: bool
    seizure: Seizure = field(init=False)
    contexts: dict[int, Context] = field(default_factory=dict)  # by thread
    home: dict[int, Context | None] = field(default_factory=dict)  # threads that are out; with a context: of the engine

    def __post_init__(self) -> None:
        target = self.planted.target
        self.seizure = Seizure(target.kernel, target.pid, target.options, self)

    def watch(self, tid: int) -> Waiting | None:
        """Look at a thread that is about to be stopped."""
        return self.planted.target.settler.watch(tid)

    @property
    def limits(self) -> Limits:
        """Who lets threads go in the end."""
        return self.planted.target.settler.limits

    def settle(self, thread: Thread, seen: Waiting | None) -> None:
        """Settle a thread that has been stopped, where it stands: it may have to be let go again as it is."""
        self.planted.target.settler.settle(thread, seen)
        in_issue = self.planted.is_whole and thread.registers.rip == self.planted.symbols["seal_issue_after"]
        if in_issue and restart.moved_a_part(thread.registers):
            self.read_contexts()
            if (context := self.contexts.get(thread.tid)) is not None:
                context.set("cut", 1)  # it was us: it goes on with the rest

    def seize(self) -> None:
        """Stop all threads that are not stopped yet."""
        self.seizure.seize()
        known = self.planted.mailbox
        for thread in self.unresolved():
            self.seizure.let_out(thread, lambda registers: self.planted.target.is_homeward(registers, known))

    def unresolved(self) -> list[Thread]:
        """Return the threads of which it is not known yet where their application is."""
        return [thread for tid, thread in self.seizure.threads.items() if tid not in self.home]

    def without_shadow(self, thread: Thread) -> None:
        """Take the shadow's segment base from the registers, if there is a shadow."""
        if self.shadowed:
            thread.registers.gs_base = 0

    def is_parked(self, thread: Thread) -> bool:
        """Whether a thread that has just stopped did so where the engine lets threads be taken away."""
        self.planted.target.kernel.get_registers(thread.tid, thread.registers)
        parked_at = self.planted.symbols["seal_parked"]
        return thread.registers.rip in (parked_at, parked_at + 1)

    def take_parked(self, thread: Thread, context: Context) -> None:
        """Let a thread whose context says all have its registers from there."""
        thread.registers, thread.mask = context.registers(thread.registers), context.one("mask")
        thread.is_known = True
        self.planted.target.settler.forget(thread)
        self.without_shadow(thread)
        self.home[thread.tid] = context

    def read_contexts(self) -> None:
        """Learn which context is whose. New threads get theirs from the engine."""
        free, left = (self.planted.target.abi[f"state::{name}"] for name in ("FREE", "LEFT"))
        outer = {inner: tid for tid, inner in inner_tids(self.planted.target.pid, list(self.seizure.threads)).items()}
        self.contexts.clear()
        for context in self.planted.mailbox.contexts():
            tid, state = context.get("tid", "state")
            if state not in (free, left) and tid in outer:
                self.contexts[outer[tid]] = context


def withdraw(planted: Planted, last_look: Callable[[], None] = lambda: None) -> int:
    """Bring every thread back and unmap everything; the mailbox goes after a last look.

    Return for how long all threads stood, in nanoseconds.
    Raises `PossessionError` if one does not come out; the process stays possessed then, and can be released later.
    """
    leaving = Leaving(planted, planted.mailbox.one("shadow_offset") != 0)
    seizure = leaving.seizure
    with undoing(lambda: _ask_nobody(planted)), frozen(seizure):
        seizure.seize_parents()
        leaving.seize()
        _end_pieces(leaving)
        until_s = time.monotonic() + PARK_S_MAX
        while True:
            threads = leaving.unresolved()
            busy = _recover(leaving, threads)
            if busy:
                if time.monotonic() > until_s:
                    raise PossessionError(
                        f"thread {busy[0].tid} of process {planted.target.pid} does not come out of the engine",
                        "try again",
                    )
                _park(leaving, busy)
            before = set(seizure.threads)
            leaving.seize()
            if not busy and before == set(seizure.threads):
                break
        _farewell(leaving)
        last = _the_others_go(seizure, planted.target.settler)
        released_ns = time.monotonic_ns() - seizure.began_ns
        last_look()
        _unmap(planted, last)
    return released_ns


def _end_pieces(leaving: Leaving) -> None:
    """Let whoever is in the middle of a call that moves in pieces end it first; all the others run meanwhile.

    Meanwhile others may come into the middle of one. Who has parked stands until all have.
    """
    seizure, target = leaving.seizure, leaving.planted.target
    until_s = time.monotonic() + PIECES_S_MAX
    while middle := _in_pieces(leaving):
        for thread in middle:
            leaving.contexts[thread.tid].set("request", target.abi["request::PARK"])
        parked = [thread for tid, thread in seizure.threads.items() if tid in leaving.home]
        for thread in leaving.unresolved():
            thread.put_back()
        seizure.detach(kept=[*middle, *parked])
        for thread in middle:
            seizure.let_run(thread)
        for thread in middle:
            try:
                while not _has_parked(leaving, thread, until_s):
                    target.settler.limits.attend()
            except Vanished:
                seizure.forget(thread)
        seizure.began_ns = time.monotonic_ns()
        leaving.seize()


def _in_pieces(leaving: Leaving) -> list[Thread]:
    leaving.read_contexts()
    return [
        thread
        for thread in leaving.unresolved()
        if (context := leaving.contexts.get(thread.tid)) is not None and any(context.get("moved", "cut"))
    ]


def _has_parked(leaving: Leaving, thread: Thread, until_s: float) -> bool:
    """Wait a moment for a stop of a thread that is to park. False: it was another one or none, and it runs on."""
    context = leaving.contexts[thread.tid]
    try:
        stop = thread.wait(NAP_S)
    except TimeoutError:
        if time.monotonic() < until_s:
            return False
        leaving.seizure.interrupt([thread])
        context.set("request", leaving.planted.target.abi["request::NOTHING"])
        row = PIECEMEAL_CALLS.get(thread.registers.call)
        what = f"a {row.name} that does not end" if row else "a call that does not end"
        raise PossessionError(
            f"process {leaving.planted.target.pid} stays possessed: its thread {thread.tid} is in the middle of {what}",
            "release it later",
        ) from None
    if leaving.is_parked(thread):
        leaving.take_parked(thread, context)
        return True
    thread.go_on(stop.signal if stop.why is Why.SIGNAL else 0)
    return False


def _ask_nobody(planted: Planted) -> None:
    """Let nobody park any more who comes out of the engine, as `_park` may have asked."""
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
            leaving.take_parked(thread, context)
            if moved := context.one("moved"):  # nobody is there to go on with it
                thread.registers.rax, thread.registers.rip = moved, thread.registers.rip + SYSCALL_BYTES
            thread.put_back()
            leaving.home[thread.tid] = None
        else:
            asked.append(thread)
    if not asked:
        return []
    inner = inner_tids(target.pid, [thread.tid for thread in asked])
    planted.mailbox.write_snapshots((inner[thread.tid], thread.registers) for thread in asked)
    helper = next((thread for thread in asked if not planted.owns(thread.registers.rip)), asked[0])
    with planted.loan(helper) as loan:
        planted.call(loan, "seal_recover")
    busy = []
    answers = planted.mailbox.read_snapshots(len(asked))
    for thread, (_, status, registers) in zip(asked, answers, strict=True):
        context = leaving.contexts.get(thread.tid)
        if status == abi["recovered::BUSY"]:
            busy.append(thread)
        elif status == abi["recovered::PIECES"]:
            raise Busy(f"thread {thread.tid} of process {target.pid} is in the middle of a call", "try again")
        elif status == abi["recovered::EXACT"]:
            if context is None:
                raise PossessionError(f"the engine has no context of thread {thread.tid}", "please report it")
            thread.registers, thread.mask = registers, context.one("mask")
            leaving.without_shadow(thread)
            target.settler.shorten(thread)  # the engine has its registers from before
            leaving.home[thread.tid] = context
        else:
            # Native; but whoever has once been woken has to take its farewell.
            woken = context is not None and context.one("state") in (abi["state::RUNNING"], abi["state::PARKED"])
            leaving.home[thread.tid] = context if woken else None
    return busy


def _park(leaving: Leaving, busy: list[Thread]) -> None:
    """Let threads run on to where they park; those that did not come there are stopped where they are."""
    planted = leaving.planted
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
        if context is None:
            leaving.read_contexts()
            context = leaving.contexts.get(thread.tid)
        if leaving.is_parked(thread) and context is not None:
            leaving.take_parked(thread, context)
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


def _the_others_go(seizure: Seizure, settler: Settler) -> Thread:
    """Let all threads go natively but one, which is returned."""
    *others, last = sorted(seizure.threads.values(), key=seizure.comes_late)
    for thread in seizure.threads.values():
        settler.shorten(thread)  # by what it has stood here
        if seizure.is_limited(thread):  # goes on without a signal's way, on which the kernel would issue the call again
            thread.registers = restart.at_boundary(thread.registers)
    for thread in others:
        with suppress(Vanished):
            thread.put_back()
    seizure.detach(kept=[last, *(thread for thread in others if seizure.is_limited(thread))])
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
