"""Possess, let run, release, let run; again and again.

Owns the rhythm, and how the tests get at the real possession. `EUDAEMON_POSSESSION` chooses: `none`, `shadow` and
`taint` are the engine's modes, `nothing` possesses nobody (the victims and this harness alone are then what is tested).
`EUDAEMON_ENGINE` is a folder with another engine than the one that is built here.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path

from eudaemon import possession
from eudaemon.evidence import text
from eudaemon.possession.engine import BUILT, load_engine
from eudaemon.possession.errors import PossessionError, Refused, Vanished
from eudaemon.possession.status import status_of
from eudaemon.possession.taint import Taint
from possession.residue import GROWN_KIB_MAX, Look, look
from possession.running import Running

CYCLES = int(os.environ.get("EUDAEMON_CYCLES", "4"))
MODE = os.environ.get("EUDAEMON_POSSESSION", "none")
ENGINE = Path(os.environ.get("EUDAEMON_ENGINE", BUILT))
STAY_S_MAX = 0.03

Possess = Callable[[int], AbstractContextManager[object]]


@contextmanager
def nothing(pid: int) -> Iterator[object]:
    """Possess nobody."""
    os.kill(pid, 0)
    yield None


def possess(pid: int) -> AbstractContextManager[object]:
    """Possess a process, as `EUDAEMON_POSSESSION` says; leaving the context releases it."""
    if MODE == "nothing":
        return nothing(pid)
    if MODE == "taint":
        return in_peace(pid)
    return possession.possess(pid, mode=MODE, engine=load_engine(ENGINE))


@contextmanager
def in_peace(pid: int) -> Iterator[object]:
    """Possess a process, and follow all that it is told; nothing that a harmless peer says is an alert."""
    policy = Taint.of("inet,unix,stdin", "observe")
    with possession.possess(pid, taint=policy, engine=load_engine(ENGINE)) as one:
        yield one
        with suppress(Vanished), ExitStack() as stack:
            try:
                listener = stack.enter_context(one.listener())
            except PossessionError:  # it has executed another program
                return
            alerts = [evidence.report for evidence in listener.poll()]
            assert not alerts, "\n".join(text.page(report) for report in alerts)


def possess_or_adopt(pid: int) -> AbstractContextManager[object]:
    """Possess a process, or take over one that has begun possessed since we looked for such children."""
    try:
        return possess(pid)
    except Refused:
        if status_of(pid, load_engine(ENGINE).abi) is None:
            raise
        return possession.adopt(pid, engine=load_engine(ENGINE))


def release_child(pid: int) -> None:
    """Release a process that began possessed, as the child of one that was; of others there is nothing to release."""
    if MODE != "nothing":
        with suppress(PossessionError):
            possession.adopt(pid, engine=load_engine(ENGINE)).release()


def cycle(victim: Running, moving: frozenset[str], times: int = CYCLES, seed: int = 1) -> None:
    """Possess and release a victim `times` times; in both states it must go on, and afterwards be as before."""
    dice = random.Random(seed)
    victim.advance()
    before = _usual(victim, moving)
    settled_kib = 0
    for number in range(times):
        with ExitStack() as possessed:
            try:
                possessed.enter_context(possess(victim.pid))
            except PossessionError:
                if "program" not in moving:  # it has executed another program just then
                    raise
            _stay(victim, dice, number)
        _stay(victim, dice, number + 2)
        if number == min(3, times // 2):
            settled_kib = look(victim.pid).resident_kib
    victim.advance()
    after = look(victim.pid)
    differences = before.differs(after, moving)
    if differences and not _went_away(victim, before, moving):
        raise AssertionError("\n".join([f"{victim.name}, after {times} cycles:", *differences]))
    if "maps" not in moving and after.resident_kib > settled_kib + GROWN_KIB_MAX:
        raise AssertionError(
            f"{victim.name} has grown from {settled_kib} to {after.resident_kib} KiB in {times} cycles"
        )


def _stay(victim: Running, dice: random.Random, number: int) -> None:
    """Long enough for a round in one of four cases, in one of four no time at all."""
    if number % 4 == 0:
        victim.advance()
    if number % 4 != 3:
        time.sleep(dice.random() * STAY_S_MAX)
    victim.read()


def _usual(victim: Running, moving: frozenset[str]) -> Look:
    """Look until two looks agree: one alone may meet what the victim does for a moment, as with signals blocked."""
    seen = look(victim.pid)
    for _ in range(20):
        time.sleep(0.02)
        victim.read()
        before, seen = seen, look(victim.pid)
        if not before.differs(seen, moving):
            break
    return seen


def _went_away(victim: Running, before: Look, moving: frozenset[str]) -> bool:
    """A difference that the victim itself made (a descriptor open for a moment) is gone at another look."""
    for _ in range(10):
        time.sleep(0.05)
        victim.read()
        if not before.differs(look(victim.pid), moving):
            return True
    return False
