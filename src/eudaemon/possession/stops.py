"""What a wait status says: a thread has ended, or why it stands still."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from enum import Enum

_EVENT_STOP = 128  # PTRACE_EVENT_STOP
_SYSTEM_CALL = signal.SIGTRAP | 0x80  # with PTRACE_O_TRACESYSGOOD


class Why(Enum):
    """Why a thread stands, or that it does not any more."""

    ENDED = "it has exited or was killed"
    INTERRUPTED = "we asked it to, or it stands in a group stop"
    SIGNAL = "a signal is about to be delivered"
    SYSTEM_CALL = "it enters or leaves a system call"
    EVENT = "something that we did not ask to be told"


@dataclass(frozen=True, slots=True)
class Stop:
    """One stop. `signal` is the signal about to be delivered, or the end's."""

    why: Why
    signal: int = 0


def read_status(status: int) -> Stop:
    """Say what a status of `waitpid` means for a thread that was seized."""
    if not os.WIFSTOPPED(status):
        return Stop(Why.ENDED, os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0)
    event, number = status >> 16, os.WSTOPSIG(status)
    if event == _EVENT_STOP:
        return Stop(Why.INTERRUPTED, number)
    if event:
        return Stop(Why.EVENT, number)
    if number == _SYSTEM_CALL:
        return Stop(Why.SYSTEM_CALL)
    return Stop(Why.SIGNAL, number)
