"""The kernel's door to another process: ptrace and what belongs to it, with typed errors.

Owns every raw call, and the one `ctypes` of the package `possession`. Knows nothing of what a call is for.
Every operation passes `Kernel.before`, where a test's fuse sits. Numbers: linux/ptrace.h, x86-64.

ptrace answers only to the operating system's thread that has seized; so a seizure begins and ends in one Python thread.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from typing import ClassVar

from eudaemon.possession.errors import OperationFailed, Vanished

WORDS_OF_REGISTERS = 27  # struct user_regs_struct
_BYTES_BEFORE_BASES = 8 * 21  # of struct user_regs_struct: r15 … ss
WALL = 0x40000000  # __WALL: also threads that are not our children

OPTION_SYSGOOD = 1 << 0  # stops at system calls are told from SIGTRAP
OPTION_SUSPEND_SECCOMP = 1 << 21

_CONT, _GETREGS, _DETACH, _SYSCALL = 7, 12, 17, 24
_SETOPTIONS, _GETSIGINFO, _SETREGSET, _PEEKSIGINFO = 0x4200, 0x4202, 0x4205, 0x4209
_SEIZE, _INTERRUPT, _GETSIGMASK, _SETSIGMASK = 0x4206, 0x4207, 0x420A, 0x420B
_GET_RSEQ_CONFIGURATION = 0x420F
_PIDFD_GETFD = 438
_NT_PRSTATUS = 1
_SIGINFO_BYTES = 128
_PENDING_MAX = 8  # signals looked at
_FAULTS = frozenset((4, 5, 7, 8, 11))  # SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV: what an instruction raises

NAMES = {
    _CONT: "PTRACE_CONT", _GETREGS: "PTRACE_GETREGS", _SETREGSET: "PTRACE_SETREGSET", _DETACH: "PTRACE_DETACH",
    _SYSCALL: "PTRACE_SYSCALL", _SETOPTIONS: "PTRACE_SETOPTIONS", _GETSIGINFO: "PTRACE_GETSIGINFO",
    _PEEKSIGINFO: "PTRACE_PEEKSIGINFO",
    _SEIZE: "PTRACE_SEIZE", _INTERRUPT: "PTRACE_INTERRUPT", _GETSIGMASK: "PTRACE_GETSIGMASK",
    _SETSIGMASK: "PTRACE_SETSIGMASK", _GET_RSEQ_CONFIGURATION: "PTRACE_GET_RSEQ_CONFIGURATION",
}  # fmt: skip

_libc = ctypes.CDLL(None, use_errno=True)
_ptrace = _libc.ptrace
_ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
_ptrace.restype = ctypes.c_long


class Registers(ctypes.Structure):
    """`struct user_regs_struct`: the general registers of a stopped thread."""

    _fields_ = [
        (name, ctypes.c_uint64)
        for name in (
            "r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi", "rdi",
            "orig_rax", "rip", "cs", "eflags", "rsp", "ss", "fs_base", "gs_base", "ds", "es", "fs", "gs",
        )
    ]  # fmt: skip

    # For the type checker, what `_fields_` makes.
    r15: int
    r14: int
    r13: int
    r12: int
    rbp: int
    rbx: int
    r11: int
    r10: int
    r9: int
    r8: int
    rax: int
    rcx: int
    rdx: int
    rsi: int
    rdi: int
    orig_rax: int
    rip: int
    cs: int
    eflags: int
    rsp: int
    ss: int
    fs_base: int
    gs_base: int
    ds: int
    es: int
    fs: int
    gs: int

    BYTES: ClassVar[int] = 8 * WORDS_OF_REGISTERS

    def copy(self) -> Registers:
        """Return a second set with the same values."""
        return Registers.from_buffer_copy(self)

    @property
    def result(self) -> int:
        """`rax` as a system call's answer: negative for an error."""
        return self.rax - (1 << 64) if self.rax >> 63 else self.rax

    @property
    def call(self) -> int:
        """The number of the system call in which the thread was stopped, or -1."""
        return self.orig_rax - (1 << 64) if self.orig_rax >> 63 else self.orig_rax


class Kernel:
    """The operations. One object serves any number of tracees; `operations` counts, for tests and for status."""

    def __init__(self) -> None:
        self.operations = 0
        self._vector = (ctypes.c_uint64 * 2)()  # struct iovec
        self._peek = (ctypes.c_uint64 * 2)(0, _PENDING_MAX << 32)  # from the first, of the thread's own, so many
        self._pending = ctypes.create_string_buffer(_SIGINFO_BYTES * _PENDING_MAX)
        self._mask = ctypes.c_uint64()
        self._mask_at = ctypes.addressof(self._mask)

    def before(self, operation: str, tid: int) -> None:
        """Be told of each operation before it is done. A test's double fails or dies here."""

    def seize(self, tid: int, options: int) -> None:
        """Become the tracer of a thread, which runs on."""
        self._do(_SEIZE, tid, 0, options)

    def set_options(self, tid: int, options: int) -> None:
        """Change the options of a stopped thread."""
        self._do(_SETOPTIONS, tid, 0, options)

    def interrupt(self, tid: int) -> None:
        """Ask a seized thread to stop."""
        self._do(_INTERRUPT, tid, 0, 0)

    def go_on(self, tid: int, signal: int = 0) -> None:
        """Let a stopped thread run until the next stop; deliver `signal` to it first, if one is named."""
        self._do(_CONT, tid, 0, signal)

    def go_on_to_system_call(self, tid: int, signal: int = 0) -> None:
        """Let a stopped thread run until it enters or leaves a system call; deliver `signal` to it first, if named."""
        self._do(_SYSCALL, tid, 0, signal)

    def detach(self, tid: int) -> None:
        """Let a stopped thread go for good."""
        self._do(_DETACH, tid, 0, 0)

    def get_registers(self, tid: int, into: Registers) -> None:
        """Read the general registers."""
        self._do(_GETREGS, tid, 0, ctypes.addressof(into))

    def set_registers(self, tid: int, registers: Registers) -> None:
        """Write the general registers, but not the segments' bases.

        Those the engine sets itself: the shadow's lies where the kernel takes none from a tracer.
        """
        self._vector[0], self._vector[1] = ctypes.addressof(registers), _BYTES_BEFORE_BASES
        self._do(_SETREGSET, tid, _NT_PRSTATUS, ctypes.addressof(self._vector))

    def signal_code(self, tid: int) -> int:
        """Return `si_code` of the signal by which a thread is stopped: positive where the kernel itself sent it."""
        record = (ctypes.c_int32 * 32)()  # siginfo_t: si_signo, si_errno, si_code, …
        self._do(_GETSIGINFO, tid, 0, ctypes.addressof(record))
        return int(record[2])

    def get_mask(self, tid: int) -> int:
        """Return the blocked signals, bit n-1 for signal n; the real mask, also inside `ppoll` and its kin."""
        self._do(_GETSIGMASK, tid, 8, self._mask_at)
        return self._mask.value

    def set_mask(self, tid: int, mask: int) -> None:
        """Set the blocked signals."""
        self._mask.value = mask
        self._do(_SETSIGMASK, tid, 8, self._mask_at)

    def pending_fault(self, tid: int) -> int:
        """Return the signal of a fault that the thread has raised and that is not delivered yet, or 0."""
        peek, pending = ctypes.addressof(self._peek), ctypes.addressof(self._pending)
        for place in range(self._do(_PEEKSIGINFO, tid, peek, pending)):
            number, _, code = struct.unpack_from("<iii", self._pending, place * _SIGINFO_BYTES)
            if code > 0 and number in _FAULTS:
                return int(number)
        return 0

    def get_rseq(self, tid: int) -> tuple[int, int, int]:
        """Return address, size and signature of the thread's rseq area; zeros if none is registered."""
        answer = (ctypes.c_uint64 * 3)()
        self._do(_GET_RSEQ_CONFIGURATION, tid, ctypes.sizeof(answer), ctypes.addressof(answer))
        address, size, signature, _, _ = struct.unpack("<QIIII", answer)
        return address, size, signature

    def wait(self, tid: int, flags: int = os.WNOHANG) -> int | None:
        """Return the wait status of a tracee, or None if it has none yet. Raises `Vanished` if it is no tracee."""
        self.before("wait", tid)
        self.operations += 1
        try:
            seen, status = os.waitpid(tid, WALL | flags)
        except ChildProcessError:
            raise Vanished(f"thread {tid} has ended") from None
        return status if seen == tid else None

    def file_of(self, pid: int, descriptor: int) -> int:
        """Return a descriptor of ours for the open file of another process (`pidfd_getfd`)."""
        self.before("pidfd_getfd", pid)
        handle = os.pidfd_open(pid)
        try:
            ours: int = _libc.syscall(_PIDFD_GETFD, handle, descriptor, 0)
        finally:
            os.close(handle)
        if ours < 0:
            raise _failure("pidfd_getfd", pid)
        return ours

    def _do(self, request: int, tid: int, address: int, data: int) -> int:
        self.before(NAMES[request], tid)
        self.operations += 1
        answer: int = _ptrace(request, tid, address, data)
        if answer == -1:
            raise _failure(NAMES[request], tid)
        return answer


def _failure(operation: str, tid: int) -> OperationFailed | Vanished:
    number = ctypes.get_errno()
    if number == errno.ESRCH:
        return Vanished(f"thread {tid} has ended")
    return OperationFailed(operation, tid, number, os.strerror(number))
