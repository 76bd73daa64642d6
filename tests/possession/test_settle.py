"""Whether a wait is still the one that was looked at, and which calls are in the middle of something."""

from __future__ import annotations

import mmap
import struct
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

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


# Polls again and again, and computes for a moment between. It says since when, in nanoseconds, and how often it has.
_NAPS = """
import mmap, os, random, select, struct, sys, time
place = mmap.mmap(os.open(sys.argv[1], os.O_RDWR), 4096)
poll = select.epoll(); poll.register(0, select.EPOLLERR)
number = 0
print("ready", flush=True)
while True:
    number += 1
    struct.pack_into("<qq", place, 0, time.monotonic_ns(), number)
    poll.poll(0.02 + random.random() / 20)
    sum(range(50_000))
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


def test_a_wait_never_seems_longer_than_it_was(tmp_path: Path) -> None:
    """Of a thread that has been woken, and waits for a processor, the scheduler does not say when it last ran."""
    kernel = Kernel()
    with ExitStack() as stack:
        nappers = []
        for number in range(8):
            path = tmp_path / str(number)
            path.write_bytes(bytes(4096))
            file = stack.enter_context(path.open("rb"))
            place = stack.enter_context(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ))
            victim = Victim([sys.executable, "-c", _NAPS, str(path)])
            stack.callback(victim.end)
            assert victim.line() == "ready"
            memory = Memory(kernel, victim.pid)
            stack.callback(memory.close)
            nappers.append((victim.pid, memory, place))
        seen = 0
        while seen < 5000:
            for pid, memory, place in nappers:
                settler = Settler(kernel, memory, pid)
                began_ns, before = struct.unpack_from("<qq", place)
                waiting = settler.watch(pid)
                if waiting is None or waiting.until_s is None or struct.unpack_from("<qq", place)[1] != before:
                    continue
                timeout_ms = waiting.seen.arguments[3]
                assert waiting.until_s >= began_ns / 1e9 + timeout_ms / 1000, (pid, waiting)
                seen += 1


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
