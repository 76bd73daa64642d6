"""Giving up power before attackers are served: user id, new privileges, system calls, file tree.

The only file with `ctypes`, because Python has no binding for prctl, seccomp and Landlock. What the kernel, the
machine or the Python at hand lacks is skipped and named in the answer; on a router procd's jail does this work.

    become(uid)          no root any more; groups and capabilities go with it
    no_new_privileges()  nothing executed later gains any
    forbid_execution()   seccomp: execve and what leads to other processes fail with EPERM
    forbid_sockets()     seccomp: no new ones, of whatever kind
    restrict_files(...)  Landlock: the rest of the file tree is gone
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path

_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_SET_MODE_FILTER, _SECCOMP_FILTER_FLAG_TSYNC = 1, 1
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446

# Per machine: AUDIT_ARCH constant, number of seccomp(2), numbers of the calls that are forbidden.
# From the kernel's arch/*/include/generated/uapi/asm/unistd_*.h.
_MACHINES = {
    "x86_64": (
        0xC000003E,
        317,
        {"execve": 59, "execveat": 322, "ptrace": 101, "mount": 165, "umount2": 166, "pivot_root": 155, "chroot": 161,
         "unshare": 272, "setns": 308, "init_module": 175, "finit_module": 313, "kexec_load": 246, "bpf": 321,
         "process_vm_readv": 310, "process_vm_writev": 311, "keyctl": 250, "add_key": 248, "io_uring_setup": 425,
         "userfaultfd": 323, "perf_event_open": 298, "vfork": 58, "fork": 57},
    ),
    "aarch64": (
        0xC00000B7,
        277,
        {"execve": 221, "execveat": 281, "ptrace": 117, "mount": 40, "umount2": 39, "pivot_root": 41, "chroot": 51,
         "unshare": 97, "setns": 268, "init_module": 105, "finit_module": 273, "kexec_load": 104, "bpf": 280,
         "process_vm_readv": 270, "process_vm_writev": 271, "keyctl": 219, "add_key": 217, "io_uring_setup": 425,
         "userfaultfd": 282, "perf_event_open": 241},
    ),
}  # fmt: skip

_SOCKETS = {"x86_64": {"socket": 41, "socketpair": 53}, "aarch64": {"socket": 198, "socketpair": 199}}

# linux/landlock.h, ABI 2 (kernel 5.19): the first under which a file may move from one folder to another at all.
_ABI_MIN = 2
_CREATE_RULESET_VERSION = 1
_READ = 1 << 2 | 1 << 3 | 1 << 0  # read file, read directory, execute (to map shared objects)
_WRITE = _READ | 1 << 1 | sum(1 << bit for bit in (4, 5, 7, 8, 12, 13))  # remove and make folders, files, links; move
_ALL = (1 << 14) - 1


class ConfinementError(Exception):
    """A power that had to be given up could not be. The message says which."""


def become(uid: int, owned: Iterable[Path] = ()) -> None:
    """Change from root to user and group `uid` for good; directories in `owned` are handed over first.

    Raises `ConfinementError` if root could be had back.
    """
    for path in owned:
        _hand_over(path, uid)
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    os.umask(0o077)
    try:
        os.setuid(0)
    except PermissionError:
        return
    raise ConfinementError("root was given up, but could be had back")


def no_new_privileges() -> bool:
    """Set no_new_privs. False if the kernel does not have it."""
    return bool(_libc().prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)


def forbid_execution() -> bool:
    """Make the system calls that start or touch other processes fail with EPERM, in all threads, for good.

    False where the machine's calls are not known or the kernel has no seccomp. Needs `no_new_privileges`.
    """
    known = _MACHINES.get(os.uname().machine)
    return known is not None and _forbid(*known)


def forbid_sockets() -> bool:
    """Make no new socket possible, in all threads, for good; those that are open work on. As `forbid_execution`."""
    known = _MACHINES.get(os.uname().machine)
    return known is not None and _forbid(known[0], known[1], _SOCKETS[os.uname().machine])


def _forbid(arch: int, seccomp: int, calls: Mapping[str, int]) -> bool:
    program = _filter(arch, sorted(calls.values()))
    buffer = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("@HP", len(program) // 8, ctypes.addressof(buffer))
    done: int = _libc().syscall(seccomp, _SECCOMP_SET_MODE_FILTER, _SECCOMP_FILTER_FLAG_TSYNC, header)
    return done == 0


def restrict_files(readable: Iterable[Path], writable: Iterable[Path]) -> bool:
    """Leave of the file tree only these directories. False where the kernel has no Landlock. Needs no_new_privs.

    Holds for the calling thread and those that it starts: call it before any is started.
    """
    libc = _libc()
    if landlock_version() < _ABI_MIN:
        return False
    ruleset: int = libc.syscall(_LANDLOCK_CREATE, struct.pack("@Q", _ALL), 8, 0)
    if ruleset < 0:
        return False
    try:
        for allowed, paths in ((_READ, readable), (_WRITE, writable)):
            for path in paths:
                _add_rule(libc, ruleset, path, allowed)
        return bool(libc.syscall(_LANDLOCK_RESTRICT, ruleset, 0) == 0)
    finally:
        os.close(ruleset)


def landlock_version() -> int:
    """Return which version of Landlock the kernel has; -1 if none, or if it is switched off."""
    version: int = _libc().syscall(_LANDLOCK_CREATE, None, 0, _CREATE_RULESET_VERSION)
    return version


def _add_rule(libc: ctypes.CDLL, ruleset: int, path: Path, allowed: int) -> None:
    try:
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, PermissionError):
        return  # what cannot be reached need not be allowed
    try:
        if not path.is_dir():
            allowed &= 1 << 0 | 1 << 1 | 1 << 2
        if libc.syscall(_LANDLOCK_ADD, ruleset, 1, struct.pack("=Qi", allowed, opened), 0) != 0:
            raise ConfinementError(f"Landlock refused {path}: {errno.errorcode.get(ctypes.get_errno(), '?')}")
    finally:
        os.close(opened)


def _filter(arch: int, calls: list[int]) -> bytes:
    """Return the BPF program: wrong architecture or a listed call gives EPERM, the rest is allowed."""
    load, equal, above, give = 0x20, 0x15, 0x35, 0x06  # BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_JMP|JGE|K, BPF_RET|K
    allow, refuse = 0x7FFF0000, 0x00050000 | errno.EPERM
    refusal = len(calls) + 5  # the last step; a jump counts from the step after its own
    steps = [
        (load, 0, 0, 4),  # seccomp_data.arch
        (equal, 0, refusal - 2, arch),
        (load, 0, 0, 0),  # seccomp_data.nr
        (above, refusal - 4, 0, 0x40000000),  # the x32 calls are the same calls again
        *((equal, refusal - 5 - index, 0, number) for index, number in enumerate(calls)),
        (give, 0, 0, allow),
        (give, 0, 0, refuse),
    ]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)


def _hand_over(path: Path, uid: int) -> None:
    os.chown(path, uid, uid, follow_symlinks=False)
    for folder, folders, files in os.walk(path):
        for name in (*folders, *files):
            os.chown(Path(folder, name), uid, uid, follow_symlinks=False)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
