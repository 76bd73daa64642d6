"""What a thread needs that was stopped inside a system call, so that it never learns of it.

The kernel leaves in `rax` how the call would go on, and in `orig_rax` which call it is (linux/errno.h, arch/x86/kernel/
signal.c). Most calls can be issued again; those with a deadline are continued by `restart_syscall`, which knows it. The
calls in `EINTR_CALLS` can be neither: they answer EINTR to whoever wakes them, so they are looked at *before* a thread
is stopped. `eudaemon.possession.look` does that.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from eudaemon.possession.ptrace import Registers

EINTR = 4
ERESTARTSYS, ERESTARTNOINTR, ERESTARTNOHAND, ERESTART_RESTARTBLOCK = 512, 513, 514, 516
RESTART_SYSCALL = 219
SYSCALL = b"\x0f\x05"
SYSCALL_BYTES = len(SYSCALL)

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

    @property
    def timed_out(self) -> int:
        """The error with which it answers when its socket's timeout is over."""
        return errno.EINPROGRESS if self.name == "connect" else errno.EAGAIN

    @property
    def option(self) -> int | None:
        """The option of the socket that has the deadline, if a socket has it."""
        return {Deadline.RECEIVE: socket.SO_RCVTIMEO, Deadline.SEND: socket.SO_SNDTIMEO}.get(self.deadline)


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

    def fits(self, arguments: Sequence[int]) -> bool:
        """Whether the flags among these arguments make it one."""
        flags = arguments[self.flags] if self.needs or self.spares else 0
        return flags & self.needs == self.needs and not flags & self.spares


_MSG_DONTWAIT, _MSG_WAITALL = 0x40, 0x100

# Those that the engine goes on with (native/seal/src/pieces.rs). What is read from or written to files sleeps
# uninterruptibly, and of `splice`, `sendmmsg` and `recvmmsg` everybody has to expect less than was asked for.
PIECEMEAL_CALLS = {
    1: Piecemeal("write", length=2),
    20: Piecemeal("writev"),
    40: Piecemeal("sendfile", length=3),
    44: Piecemeal("sendto", length=2, flags=3, spares=_MSG_DONTWAIT),
    46: Piecemeal("sendmsg", flags=2, spares=_MSG_DONTWAIT),
    45: Piecemeal("recvfrom", length=2, flags=3, needs=_MSG_WAITALL),
    47: Piecemeal("recvmsg", flags=2, needs=_MSG_WAITALL),
}
PIPE_BUF = 4096  # so much goes into a pipe whole


def in_call(registers: Registers) -> bool:
    """Whether the thread was stopped inside a system call that is not over."""
    return registers.call >= 0 and (registers.result in AGAIN or registers.result == -EINTR)


def moved_a_part(registers: Registers) -> int:
    """Return how much a call has moved that was stopped in the middle of what it moves in pieces; 0: it was not.

    The thread stands behind its call. (One that the kernel has sent back to issue it again has the call's number in
    `rax`, which is no answer: `Settler.moved` tells the two apart.)
    """
    row = PIECEMEAL_CALLS.get(registers.call)
    if row is None or registers.result <= 0:
        return 0
    arguments = [getattr(registers, name) for name in ARGUMENTS]
    is_over = row.length is not None and registers.result >= arguments[row.length]
    return registers.result if row.fits(arguments) and not is_over else 0


def at_boundary(registers: Registers, moved: int = 0) -> Registers:
    """Return the registers with which the application goes on at an instruction boundary, by issuing its call again.

    What is no interrupted call stays as it is. An EINTR stays one: whether it is true, only `look` can tell. `moved`:
    how much the call has moved, for the engine to go on with the rest.
    """
    settled = registers.copy()
    if registers.call >= 0 and (registers.result in AGAIN or moved):
        again = AGAIN.get(registers.result)
        settled.rax = registers.orig_rax if again is None else again
        settled.rip -= SYSCALL_BYTES
    settled.orig_rax = _NONE
    return settled


def answered(registers: Registers, error: int) -> Registers:
    """Return registers with which the call is over, and has answered with an error."""
    over = registers.copy()
    over.rax, over.orig_rax = -error & _NONE, _NONE
    return over


def issued_again(registers: Registers) -> Registers:
    """Return registers that make an EINTR undone: the same call once more, by the kernel's own restart."""
    same = registers.copy()
    same.rax = -ERESTARTNOINTR & _NONE
    return same
