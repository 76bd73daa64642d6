"""Whether a wait is still the one that was looked at, and which calls are in the middle of something."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from eudaemon.possession.look import Look, piecemeal
from eudaemon.possession.memory import Memory
from eudaemon.possession.ptrace import Kernel
from eudaemon.possession.seizure import Seizure, heeding_stops
from eudaemon.possession.settle import Settler
from eudaemon.possession.tracee import state_of
from possession.ctl import Victim, wait_for

_POLLS = """
import os, select
poll = select.epoll(); poll.register(0, select.EPOLLIN)
while True:
    os.write(1, b"waiting\\n"); poll.poll(30); os.read(0, 1)
"""


@pytest.fixture
def poller() -> Iterator[Victim]:
    victim = Victim([sys.executable, "-c", _POLLS])
    assert victim.line() == "waiting"
    yield victim
    victim.end()


@pytest.mark.parametrize("is_other", [False, True])
def test_another_wait_of_the_same_kind_is_told_from_the_one_that_was_seen(poller: Victim, is_other: bool) -> None:
    kernel = Kernel()
    memory = Memory(kernel, poller.pid)
    settler = Settler(kernel, memory, poller.pid)
    wait_for(lambda: state_of(poller.pid, poller.pid).startswith("S"))
    waiting = settler.watch(poller.pid)
    assert waiting
    if is_other:
        poller.say("x")
        assert poller.line() == "waiting"
        wait_for(lambda: state_of(poller.pid, poller.pid).startswith("S"))
    seizure = Seizure(kernel, poller.pid)
    with heeding_stops():
        try:
            seizure.seize()
            thread = seizure.threads[poller.pid]
            assert settler.deny(thread)
            assert settler.same(thread, waiting) is (None if is_other else waiting)
            thread.put_back()
        finally:
            seizure.detach()
            memory.close()


@pytest.mark.parametrize(
    ("call", "arguments", "name"),
    [
        (1, (99, 0, 262144, 0, 0, 0), "write"),
        (1, (99, 0, 1, 0, 0, 0), None),  # one byte has no middle
        (20, (99, 0, 2, 0, 0, 0), "writev"),
        (45, (99, 0, 12, 0x100, 0, 0), "recvfrom"),
        (45, (99, 0, 12, 0, 0, 0), None),  # comes back with what there is
        (47, (99, 0, 0x100, 0, 0, 0), "recvmsg"),
        (299, (99, 0, 2, 0, 0, 0), None),  # of which everybody expects fewer
        (44, (99, 0, 4096, 0x40, 0, 0), None),  # does not wait at all
        (0, (99, 0, 4096, 0, 0, 0), None),
    ],
)
def test_calls_that_move_in_pieces(call: int, arguments: tuple[int, ...], name: str | None) -> None:
    row = piecemeal(1, Look(call, arguments, 0, 0))
    assert (row and row.name) == name
