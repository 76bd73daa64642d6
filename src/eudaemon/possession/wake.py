"""Wake: all threads stop, and go on inside the engine.

This is the freeze. What can be read, computed and allocated before, is; in it each thread costs eight operations.
"""

from __future__ import annotations

import gc
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from eudaemon.possession import restart
from eudaemon.possession.errors import PossessionError, Refused, Undone, Vanished
from eudaemon.possession.image import PROT_READ, PROT_WRITE
from eudaemon.possession.mailbox import fill_context
from eudaemon.possession.maps import low_room, read_maps
from eudaemon.possession.memory import Remote
from eudaemon.possession.plant import MAPPING, inner_tids
from eudaemon.possession.planted import Planted
from eudaemon.possession.refuse import has_filter, is_filtered
from eudaemon.possession.seizure import Seizure
from eudaemon.possession.stops import Why
from eudaemon.possession.target import Target
from eudaemon.possession.tracee import Thread

_PLAIN_FLAGS = 0x202
_CS_64 = 0x33
_NO_CALL = _ALL_SIGNALS = (1 << 64) - 1
_WORD = 8


def wake(planted: Planted) -> int:
    """Wake every thread in the engine. Return for how long they stood, in nanoseconds.

    Raises `Undone` if that fails; all threads run natively then, and the engine lies there unused.
    """
    target = planted.target
    seizure = target.take_held()
    slots = _free_slots(planted)
    shadowed, blind = planted.mailbox.get("shadow_offset", "blind")
    _confine(planted, is_filtered(target.pid))
    with holding(target, seizure), frozen(seizure, lambda thread: target.settler.moved(thread) > 0):
        seizure.seize_parents()
        seizure.seize()
        _confine(planted, has_filter(target.pid))  # the first thread's is looked at once more: most have no other
        threads = list(seizure.threads.values())
        for thread in threads:
            check_registers(target.pid, thread, bool(shadowed))
        taken_over = False
        try:
            slots += _more_slots(planted, threads[0], len(threads) - len(slots))
            if blind:
                planted.mailbox.write_code(read_maps(target.pid))
            with planted.loan(threads[0]) as loan:
                taken_over = True
                planted.call(loan, "seal_take_over")
            _fill(planted, threads, slots)
            _enter(planted, threads, slots)
        except Vanished:
            raise
        except PossessionError as error:
            if taken_over:
                with planted.loan(threads[0]) as loan:
                    planted.call(loan, "seal_restore")
            raise Undone(f"waking failed: {error.reason}", error.do) from error
        planted.mailbox.set("possessed_at_ns", time.time_ns())  # children, which copy it, are known by it
        if target.confined:
            _hold(planted, threads)  # awake already: whoever undoes this withdraws
    frozen_ns = time.monotonic_ns() - seizure.began_ns
    with suppress(PossessionError):  # for people only
        planted.mailbox.set("frozen_ns", frozen_ns)
    return frozen_ns


def _confine(planted: Planted, is_confined: bool) -> None:
    """Let the engine know of a filter that has come since it was planted."""
    if is_confined and not planted.target.confined:
        planted.target.confined = True
        planted.mailbox.set("confined", 1)


def check_registers(pid: int, thread: Thread, shadowed: bool) -> None:
    """Raise `Refused` if what only a stopped thread's registers show makes it impossible."""
    if thread.registers.cs != _CS_64:
        raise Refused(f"thread {thread.tid} of process {pid} runs 32-bit code", "the engine translates x86-64 only")
    if shadowed and thread.registers.gs_base:
        raise Refused(
            f"thread {thread.tid} of process {pid} uses the gs register", "possess it with --mode none, without --taint"
        )


@contextmanager
def holding(target: Target, seizure: Seizure) -> Iterator[None]:
    """Whom a failure has left in the seizure is held for the next try."""
    try:
        yield
    finally:
        if seizure.threads:
            target.held = seizure


@contextmanager
def frozen(seizure: Seizure, is_held: Callable[[Thread], bool] = lambda _: False) -> Iterator[None]:
    """Let all threads of the seizure go at the end, whatever happens within; no garbage is collected meanwhile.

    After a failure those stay stopped that are to be held.
    """
    collecting = gc.isenabled()
    gc.disable()
    went_well = False
    try:
        yield
        went_well = True
    finally:
        held = []
        if not went_well:
            for thread in seizure.threads.values():
                if thread.is_stopped:
                    with suppress(PossessionError):
                        thread.put_back()
                        if thread.is_known and is_held(thread):
                            held.append(thread)
        seizure.detach(kept=held)
        if collecting:
            gc.enable()


def _free_slots(planted: Planted) -> list[Remote]:
    free = planted.target.abi["state::FREE"]
    return [context.address for context in planted.mailbox.contexts() if context.one("state") == free]


def _more_slots(planted: Planted, thread: Thread, count: int) -> list[Remote]:
    """Map slots for threads that began after planting."""
    if count <= 0:
        return []
    layout, abi = planted.layout, planted.target.abi
    known = planted.mailbox.slots()
    if len(known) + count > abi["THREADS_MAX"]:
        raise PossessionError(f"process {planted.target.pid} has more than {abi['THREADS_MAX']} threads")
    begin = low_room(read_maps(planted.target.pid), count * layout.slot_bytes, 0, layout.slot_bytes)
    if begin is None:
        raise PossessionError(f"process {planted.target.pid} has no room left below 2 GiB")
    with planted.target.outside_loan(thread) as loan:
        size = count * layout.slot_bytes
        loan.system_call("mmap", begin, size, PROT_READ | PROT_WRITE, MAPPING, -1, 0)
    planted.mailbox.add_mapping(begin, size, abi["mapping::SLOT"])
    more = [Remote(begin + index * layout.slot_bytes) for index in range(count)]
    planted.mailbox.set_slots([*known, *more])
    return more


def _fill(planted: Planted, threads: list[Thread], slots: list[Remote]) -> None:
    target = planted.target
    record, prepared = target.abi.records["Context"], target.abi["state::PREPARED"]
    inner = inner_tids(target.pid, [thread.tid for thread in threads])
    for thread, slot in zip(threads, slots, strict=False):
        address, size, signature = target.kernel.get_rseq(thread.tid)
        target.settler.shorten(thread)  # by what it has stood here
        moved = target.settler.moved(thread)
        begin = restart.at_boundary(thread.registers, moved)
        raw = fill_context(
            record, begin, tid=inner[thread.tid], state=prepared, mask=thread.mask, rseq_address=address,
            rseq_bytes=size, rseq_signature=signature, hold=target.confined, moved=moved,
        )  # fmt: skip
        target.memory.write(slot, raw)


def _enter(planted: Planted, threads: list[Thread], slots: list[Remote]) -> None:
    entry, stack_top = planted.symbols["seal_wake"], planted.target.abi["SLOT_STACK_TOP"]
    for thread, slot in zip(threads, slots, strict=False):
        registers = thread.registers.copy()
        registers.rip, registers.rdi, registers.rsp = entry, slot, slot + (stack_top - _WORD)
        registers.eflags, registers.orig_rax = _PLAIN_FLAGS, _NO_CALL
        thread.send(registers, _ALL_SIGNALS)  # which the engine's prologue opens, when it is ready for them


def _hold(planted: Planted, threads: list[Thread]) -> None:
    """Let all prologues run while seccomp is suspended: what comes after them makes no call of ours."""
    held_at, kernel = planted.symbols["seal_held"] + 1, planted.target.kernel
    for thread in threads:
        thread.go_on()
    for thread in threads:
        while True:
            try:
                stop = thread.wait()
            except TimeoutError:
                raise PossessionError(f"thread {thread.tid} of process {planted.target.pid} does not arrive") from None
            if stop.why is Why.SIGNAL:
                kernel.get_registers(thread.tid, thread.registers)
                if stop.signal == signal.SIGTRAP and thread.registers.rip == held_at:
                    break
            thread.go_on(stop.signal if stop.why is Why.SIGNAL else 0)  # which the engine keeps for the application
