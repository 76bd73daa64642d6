"""What a thread needs that was stopped inside a system call, so that it never learns of it.

The kernel leaves in `rax` how the call would go on, and in `orig_rax` which call it is (linux/errno.h, arch/x86/kernel/
signal.c). Most calls can be issued again; those with a deadline are continued by `restart_syscall`, which knows it. The
calls in `EINTR_CALLS` can be neither: they answer EINTR to whoever wakes them, so they are looked at *before* a thread
is stopped. `eudaemon.possession.look` does that.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from eudaemon.possession.ptrace import Registers

EINTR = 4
ERESTARTSYS, ERESTARTNOINTR, ERESTARTNOHAND, ERESTART_RESTARTBLOCK = 512, 513, 514, 516
RESTART_SYSCALL = 219
SYSCALL_BYTES = 2

_NONE = -1 & (1 << 64) - 1

# How the kernel would go on: the call that is issued again, or None for the same one.
AGAIN = {
    -ERESTARTSYS: None,
    -ERESTARTNOINTR: None,
    -ERESTARTNOHAND: None,
    -ERESTART_RESTARTBLOCK: RESTART_SYSCALL,
}


class Deadline(Enum):
    """Where a call says how long it waits."""

    NONE = "it waits as long as it takes"
    MILLISECONDS = "a number of milliseconds in a register, negative for ever"
    TIMESPEC = "a pointer to a timespec in a register, null for ever"
    RECEIVE = "the socket's SO_RCVTIMEO"
    SEND = "the socket's SO_SNDTIMEO"
    RING = "io_uring's extended argument"


@dataclass(frozen=True, slots=True)
class Row:
    """A call that answers EINTR to any interruption. `argument` counts from 0."""

    name: str
    deadline: Deadline
    argument: int = 0

    @property
    def register(self) -> str:
        """The register of that argument."""
        return ARGUMENTS[self.argument]


ARGUMENTS = ("rdi", "rsi", "rdx", "r10", "r8", "r9")

# By number on x86-64. Socket calls are here only for sockets with a timeout: without one they can be restarted.
EINTR_CALLS = {
    232: Row("epoll_wait", Deadline.MILLISECONDS, 3),
    281: Row("epoll_pwait", Deadline.MILLISECONDS, 3),
    441: Row("epoll_pwait2", Deadline.TIMESPEC, 3),
    65: Row("semop", Deadline.NONE),
    220: Row("semtimedop", Deadline.TIMESPEC, 3),
    128: Row("rt_sigtimedwait", Deadline.TIMESPEC, 2),
    208: Row("io_getevents", Deadline.TIMESPEC, 4),
    426: Row("io_uring_enter", Deadline.RING, 4),
    0: Row("read", Deadline.RECEIVE),
    19: Row("readv", Deadline.RECEIVE),
    43: Row("accept", Deadline.RECEIVE),
    288: Row("accept4", Deadline.RECEIVE),
    45: Row("recvfrom", Deadline.RECEIVE),
    47: Row("recvmsg", Deadline.RECEIVE),
    299: Row("recvmmsg", Deadline.RECEIVE),
    1: Row("write", Deadline.SEND),
    20: Row("writev", Deadline.SEND),
    42: Row("connect", Deadline.SEND),
    44: Row("sendto", Deadline.SEND),
    46: Row("sendmsg", Deadline.SEND),
    307: Row("sendmmsg", Deadline.SEND),
}


@dataclass(frozen=True, slots=True)
class Piecemeal:
    """A call that moves much in pieces and, when it is interrupted between two, answers how much it has moved so far.

    `length`: which argument is the number of bytes or messages; with one alone there is no progress. `flags`: which
    argument has flags, of which all of `needs` and none of `spares` make it one.
    """

    name: str
    length: int | None = None
    flags: int = 0
    needs: int = 0
    spares: int = 0


_MSG_DONTWAIT, _MSG_WAITALL, _MSG_WAITFORONE = 0x40, 0x100, 0x10000

# `splice` and `sendfile` to a pipe or socket; what is read from or written to files sleeps uninterruptibly.
PIECEMEAL_CALLS = {
    1: Piecemeal("write", length=2),
    20: Piecemeal("writev"),
    40: Piecemeal("sendfile", length=3),
    44: Piecemeal("sendto", length=2, flags=3, spares=_MSG_DONTWAIT),
    46: Piecemeal("sendmsg", flags=2, spares=_MSG_DONTWAIT),
    307: Piecemeal("sendmmsg", flags=3, spares=_MSG_DONTWAIT),
    275: Piecemeal("splice", length=4),
    45: Piecemeal("recvfrom", length=2, flags=3, needs=_MSG_WAITALL),
    47: Piecemeal("recvmsg", flags=2, needs=_MSG_WAITALL),
    299: Piecemeal("recvmmsg", length=2, flags=3, spares=_MSG_DONTWAIT | _MSG_WAITFORONE),
}
PIPE_BUF = 4096  # so much goes into a pipe whole


def in_call(registers: Registers) -> bool:
    """Whether the thread was stopped inside a system call that is not over."""
    return registers.call >= 0 and (registers.result in AGAIN or registers.result == -EINTR)


def at_boundary(registers: Registers) -> Registers:
    """Return the registers with which the application goes on at an instruction boundary, by issuing its call again.

    What is no interrupted call stays as it is. An EINTR stays one: whether it is true, only `look` can tell.
    """
    settled = registers.copy()
    if registers.call >= 0 and registers.result in AGAIN:
        again = AGAIN[registers.result]
        settled.rax = registers.orig_rax if again is None else again
        settled.rip -= SYSCALL_BYTES
    settled.orig_rax = _NONE
    return settled


def issued_again(registers: Registers) -> Registers:
    """Return registers that make an EINTR undone: the same call once more, by the kernel's own restart."""
    same = registers.copy()
    same.rax = -ERESTARTNOINTR & (1 << 64) - 1
    return same
