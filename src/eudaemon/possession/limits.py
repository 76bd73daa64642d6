"""Deadlines that are a socket's: SO_RCVTIMEO and SO_SNDTIMEO.

Such a call answers EINTR to any interruption, and when it is issued again it waits its whole timeout, for that is no
argument of it. So the socket has what is left for its timeout from where the thread enters the call until it is seen to
wait there. Then the thread runs on, seized, and is let go when the thread of ours ends that has seized it
(`seizure.alone`): to be told so before, it would have to stop once more.

Whoever else uses the socket in that moment is cut short as well; and should we be killed then, it stays so.
"""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass

from eudaemon.possession.errors import PossessionError, Vanished
from eudaemon.possession.look import TIMEVAL, Look, look, socket_of, times_slept
from eudaemon.possession.ptrace import Kernel
from eudaemon.possession.stops import Why
from eudaemon.possession.tracee import Thread

_NOT_RUN_S = 0.005  # a thread that last ran so soon after we let it go has done nothing but fall asleep again
_WAITS_S_MAX = 1.0  # until a thread that we let go waits in its call again
_SLACK_US = 2000  # never early, for what we do not know exactly
_REMEMBERED_MAX = 4096


@dataclass(slots=True)
class Issued:
    """A call that we have issued again: until when it waits, and how it is recognised."""

    call: int
    descriptor: int
    until_s: float
    at_s: float = 0.0  # when it began to wait
    slept: int = 0  # how often the thread had gone to sleep then

    def is_it(self, seen: Look, ran_s: float | None, slept: int) -> bool:
        """Whether this is what a thread still waits in, that last ran then (None: who knows) and slept so often."""
        same = (self.call, self.descriptor, self.slept) == (seen.call, seen.arguments[0], slept)
        return same and (ran_s is None or ran_s < self.at_s + _NOT_RUN_S)


# By process and thread. What a socket's deadline was, nobody else can tell once the call has been issued again.
_ISSUED: dict[tuple[int, int], Issued] = {}


def _remember(pid: int, tid: int, issued: Issued) -> None:
    if len(_ISSUED) > _REMEMBERED_MAX:
        _ISSUED.clear()
    _ISSUED[pid, tid] = issued


def remembered(pid: int, tid: int) -> Issued | None:
    """Return what a thread was sent back to, the last time that it was."""
    return _ISSUED.get((pid, tid))


class Limits:
    """The threads of one process that go back to such calls. `settle`: what is done with one that had to be stopped."""

    def __init__(self, kernel: Kernel, pid: int, settle: Callable[[Thread], None]) -> None:
        self._kernel = kernel
        self._pid = pid
        self._settle = settle
        self._options: dict[int, tuple[int, Issued]] = {}  # by thread: the socket's option, and the call
        self._running: dict[int, Thread] = {}

    def set(self, tid: int, option: int, issued: Issued) -> None:
        """Let a thread's call have what is left of this option of its socket, when the thread is seen off."""
        self._options[tid] = option, issued

    def forget(self, tid: int) -> None:
        """Know nothing any more of the call that a thread was in."""
        self._options.pop(tid, None)

    def is_limited(self, thread: Thread) -> bool:
        """Whether a thread goes back to such a call: it is seen off as one of the last."""
        return thread.tid in self._options

    def see_off(self, thread: Thread) -> None:
        """Let a thread go, or run on to be let go."""
        option, issued = self._options.pop(thread.tid, (0, None))
        if issued is None or not self._enters(thread, issued):
            thread.detach()
            return
        with ExitStack() as stack:
            with suppress(OSError, PossessionError):
                peer = stack.enter_context(socket_of(self._kernel, self._pid, issued.descriptor))
                timeout = peer.getsockopt(socket.SOL_SOCKET, option, TIMEVAL.size)
                left_us = int(max(0.0, issued.until_s - time.monotonic()) * 1e6) + _SLACK_US
                peer.setsockopt(socket.SOL_SOCKET, option, TIMEVAL.pack(*divmod(left_us, 1_000_000)))
                stack.callback(peer.setsockopt, socket.SOL_SOCKET, option, timeout)
            is_waiting = self._is_waiting(thread, issued)
        if not is_waiting:
            thread.detach()
            return
        self.keep(thread)
        issued.at_s, issued.slept = time.monotonic(), times_slept(self._pid, thread.tid)
        _remember(self._pid, thread.tid, issued)

    def keep(self, thread: Thread) -> None:
        """Remember a thread that runs on and is seized all the same."""
        self._running[thread.tid] = thread

    def reclaim(self, tid: int) -> Thread | None:
        """Return such a thread, if there is one of this number."""
        return self._running.pop(tid, None)

    def attend(self) -> None:
        """Look after those threads: one that stops is let go, or hears its signal."""
        for thread in list(self._running.values()):
            with suppress(TimeoutError):
                try:
                    stop = thread.wait(0.0)
                    if stop.why is Why.SIGNAL:
                        thread.go_on(stop.signal)
                        continue
                    thread.detach()
                except Vanished:
                    pass
                del self._running[thread.tid]

    def _enters(self, thread: Thread, issued: Issued) -> bool:
        """Let a stopped thread run on until it enters its call again. False: it does not come there, and stands."""
        until_s = time.monotonic() + _WAITS_S_MAX
        pending = 0
        while True:
            thread.go_on_to_system_call(pending)
            try:
                stop = thread.wait(max(0.0, until_s - time.monotonic()))
            except TimeoutError:
                self._kernel.interrupt(thread.tid)
                thread.take()
                self._settle(thread)
                self.forget(thread.tid)
                thread.put_back()
                return False
            pending = stop.signal if stop.why is Why.SIGNAL else 0
            if stop.why is Why.SYSTEM_CALL:
                self._kernel.get_registers(thread.tid, thread.registers)
                thread.is_known = False  # what was known of it is over
                if thread.registers.call == issued.call and thread.registers.result == -errno.ENOSYS:
                    return True

    def _is_waiting(self, thread: Thread, issued: Issued) -> bool:
        """Let a thread go on that enters its call, until it waits there. False: it stands behind it."""
        thread.go_on_to_system_call()
        while True:
            try:
                thread.wait(0.0)
            except TimeoutError:
                seen = look(self._pid, thread.tid)
                if seen is not None and seen.call == issued.call:
                    return True
            else:
                return False
