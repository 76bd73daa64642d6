"""Two children of one thread of any process, with its memory and its registers; the process goes on undisturbed.

Owns how they come about: the thread is stopped with all others, and made to fork. The process does not hear of them;
they have no memory in common with it, and no restartable sequences.
"""

from __future__ import annotations

import ctypes
import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from eudaemon.possession import ptrace, remote, restart
from eudaemon.possession.engine import Engine
from eudaemon.possession.maps import Area, read_maps
from eudaemon.possession.memory import Memory
from eudaemon.possession.ptrace import OPTION_SYSGOOD, WALL, Kernel, Registers
from eudaemon.possession.remote import Loan, lent
from eudaemon.possession.seizure import Seizure, patiently
from eudaemon.possession.stops import Why
from eudaemon.possession.target import Target, opened
from eudaemon.possession.tracee import NAP_S, Thread, state_of

CALL_S_MAX = 0.5  # how long a thread's next system call is waited for, and its end
_SINGLESTEP, _GETREGSET, _NT_X86_XSTATE = 9, 0x4204, 0x202
_OPTION_TRACECLONE = 1 << 3
_XSTATE_BYTES_MAX = 16 * 1024
_CALLS = {"clone": 56, "rseq": 334}
_UNREGISTER = 1
_MAP_PRIVATE_FIXED_ANONYMOUS = 0x32
_NO_CALL = (1 << 64) - 1
_SHARED_BYTES_MAX = 256 << 20
_PIECE_BYTES = 1 << 20


class Door(Kernel):
    """What ptrace can do besides, for tests."""

    def step(self, tid: int) -> None:
        """Let a stopped thread do one instruction."""
        self._raw(_SINGLESTEP, tid, 0, 0)

    def vectors(self, tid: int) -> bytes:
        """Return the XSAVE area, as if each part of it were in use."""
        data = ctypes.create_string_buffer(_XSTATE_BYTES_MAX)
        vector = (ctypes.c_uint64 * 2)(ctypes.addressof(data), _XSTATE_BYTES_MAX)
        self._raw(_GETREGSET, tid, _NT_X86_XSTATE, ctypes.addressof(vector))
        return data.raw[: vector[1]]

    def _raw(self, request: int, tid: int, address: int, data: int) -> None:
        if ptrace._ptrace(request, tid, address, data) == -1:
            raise OSError(ctypes.get_errno(), f"ptrace {request} of {tid}")


def fork_twice(kernel: Door, pid: int, engine: Engine, dice: random.Random, *, past_a_call: bool) -> tuple[int, int]:
    """Return two children: the first is stopped and traced, the second is stopped by job control."""
    children: list[int] = []
    try:
        with opened(pid, engine, kernel) as target, _stopped(target, dice, past_a_call) as thread:
            home = restart.at_boundary(thread.registers)
            home.orig_rax = _NO_CALL
            shared = dict(_shared(target))
            for _ in range(2):
                children.append(_child(target, thread))
                _set_apart(target, children[-1], home, thread.mask, shared)
        first, second = children
        os.kill(second, signal.SIGSTOP)
        kernel.detach(second)
    except BaseException:
        for child in children:
            end(child)
        raise
    while not state_of(second, second).startswith("T"):
        time.sleep(NAP_S)
    return first, second


def end(pid: int) -> None:
    """End a child, and bury it."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    with suppress(ChildProcessError):
        os.waitpid(pid, WALL)


@contextmanager
def _stopped(target: Target, dice: random.Random, past_a_call: bool) -> Iterator[Thread]:
    """Stop all threads; yield one of them, at random."""
    with ExitStack() as stack:
        if past_a_call:
            seizure = target.seizure()
            stack.callback(seizure.detach)
            thread = patiently(lambda: _stop_one(target, seizure, dice))
            _pass_a_call(target, seizure, thread)
            patiently(seizure.seize)
        else:
            seizure = stack.enter_context(target.all_threads())
            thread = dice.choice(list(seizure.threads.values()))
        yield seizure.threads[thread.tid]


def _stop_one(target: Target, seizure: Seizure, dice: random.Random) -> Thread:
    while not seizure.threads:  # one may end before it stands
        tid = dice.choice(seizure.listing())
        target.settler.await_pieces([tid])
        seizure.stop([tid])
    (thread,) = seizure.threads.values()
    return thread


def _pass_a_call(target: Target, seizure: Seizure, thread: Thread) -> None:
    """Let a stopped thread run to the end of its next system call, or as long as that is waited for."""
    thread.put_back()
    number = 0
    try:
        for _ in ("entered", "left"):
            while True:
                thread.go_on_to_system_call(number)
                stop = thread.wait(CALL_S_MAX)
                if stop.why is Why.SYSTEM_CALL:
                    number = 0
                    break
                number = stop.signal if stop.why is Why.SIGNAL else 0
    except TimeoutError:
        seizure._watched[thread.tid] = target.settler.watch(thread.tid)
        seizure.interrupt([thread])
        return
    target.kernel.get_registers(thread.tid, thread.registers)
    thread.mask = target.kernel.get_mask(thread.tid)
    if -4096 < thread.registers.result < -restart.EINTR and thread.registers.result in restart.AGAIN:
        thread.go_on()
        seizure.interrupt([thread])


def _child(target: Target, thread: Thread) -> int:
    """Let the thread fork; return the child, stopped."""
    kernel = target.kernel
    kernel.set_options(thread.tid, target.options | _OPTION_TRACECLONE)
    try:
        with _more_calls(), target.outside_loan(thread) as loan:
            pid = loan.system_call("clone", 0, 0, 0, 0, 0)  # without a signal at its end
    finally:
        kernel.set_options(thread.tid, target.options)
    os.waitpid(pid, WALL)
    return pid


def _shared(target: Target) -> Iterator[tuple[Area, list[bytes]]]:
    """Yield the memory that a process has in common with others, and what is in it now, in pieces."""
    for area in read_maps(target.pid):
        if area.rights[:2] == "rw" and area.rights[3] == "s" and area.end - area.begin <= _SHARED_BYTES_MAX:
            begins = range(area.begin, area.end, _PIECE_BYTES)
            yield area, [target.memory.read(at, min(_PIECE_BYTES, area.end - at)) for at in begins]


def _set_apart(target: Target, pid: int, home: Registers, mask: int, shared: dict[Area, list[bytes]]) -> None:
    """Set a child where its parent is, and take from it what it has in common with others."""
    kernel = target.kernel
    kernel.set_options(pid, target.options)
    child = Thread(kernel, pid)
    child.registers, child.mask, child.is_stopped, child.is_known = home.copy(), mask, True, True
    memory = Memory(kernel, pid)
    try:
        with _more_calls(), lent(Loan(kernel, child, memory, target.vdso)) as loan:
            address, size, signature = kernel.get_rseq(pid)
            if address:  # a single step would send it back to where a sequence begins
                loan.system_call("rseq", address, size, _UNREGISTER, signature)
            for area in shared:
                loan.system_call("mmap", area.begin, area.end - area.begin, 3, _MAP_PRIVATE_FIXED_ANONYMOUS, -1, 0)
        for area, pieces in shared.items():
            for number, piece in enumerate(pieces):
                if any(piece):
                    memory.write(area.begin + number * _PIECE_BYTES, piece)
        kernel.set_options(pid, OPTION_SYSGOOD)
        memory.write(target.vdso.code, bytes(remote.SITE_BYTES))  # the way home, of which it has a copy
    finally:
        memory.close()


@contextmanager
def _more_calls() -> Iterator[None]:
    """Let a loan make calls that the package has no need of."""
    remote.NUMBERS.update(_CALLS)
    try:
        yield
    finally:
        for name in _CALLS:
            del remote.NUMBERS[name]
