"""The door is tried before anyone goes in: why a process cannot be possessed, found out without changing anything.

`CHECKS` is the table. A check looks at `/proc` and yields what is wrong, and what to do about it. `eudaemon doctor PID`
prints the same.
"""

from __future__ import annotations

import os
import platform
import re
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from eudaemon.possession.errors import Refused, Vanished
from eudaemon.possession.maps import LOW_END, gaps, read_maps

KERNEL_MIN = (5, 9)  # the first with FSGSBASE, so that gs can be set from user mode
LOW_BYTES_MIN = 128 * 1024 * 1024
ROOT = "run as root (`sudo eudaemon …`), or give Python the capability: setcap cap_sys_ptrace+ep PYTHON"
BARE_ROOT = "this root lacks the right to: run outside of the container, or with CAP_SYS_PTRACE"
_CAP_SYS_PTRACE, _CAP_SYS_ADMIN = 19, 21
_PF_KTHREAD = 0x0020_0000


@dataclass
class Door:
    """A process as it looks from outside."""

    pid: int
    folder: Path = field(init=False)

    def __post_init__(self) -> None:
        self.folder = Path(f"/proc/{self.pid}")

    @cached_property
    def status(self) -> dict[str, str]:
        """Return the lines of `/proc/PID/status`."""
        text = self._read("status")
        return {name: value.strip() for name, _, value in (line.partition(":") for line in text.splitlines())}

    @cached_property
    def stat(self) -> list[str]:
        """Return `/proc/PID/stat` from its third field on."""
        return self._read("stat").rpartition(")")[2].split()

    @property
    def flags(self) -> int:
        """Return the kernel's flags of the task."""
        return int(self.stat[6])

    @property
    def has_ended(self) -> bool:
        """Whether it only waits for its parent to notice. A thread may run on after the first has ended."""
        if not self.status["State"].startswith(("Z", "X")):
            return False
        try:
            tasks = list((self.folder / "task").iterdir())
        except (FileNotFoundError, ProcessLookupError):
            return True
        for task in tasks:
            with suppress(FileNotFoundError, ProcessLookupError):  # one that ends meanwhile
                if "VmSize:" in (task / "status").read_text():
                    return False
        return True

    def _read(self, name: str) -> str:
        try:
            return (self.folder / name).read_text(encoding="utf-8", errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            raise Vanished(f"there is no process {self.pid}", "`ps` and `pidof NAME` say which there are") from None


Reason = tuple[str, str]  # what is wrong, and what to do


def refuse(pid: int) -> None:
    """Raise `Refused`, with the first reason, if this process cannot be possessed; `Vanished` if there is none."""
    for reason, do in reasons(pid):
        raise Refused(reason, do)


def reasons(pid: int) -> Iterator[Reason]:
    """Yield every reason why this process cannot be possessed, and what to do. A check may rely on those before it."""
    door = Door(pid)
    for check in CHECKS:
        found = list(check(door))
        yield from found
        if found and check in FINAL:
            return


def is_filtered(pid: int) -> bool:
    """Whether a thread of the process filters its system calls (seccomp)."""
    try:
        tasks = [task.name for task in Path(f"/proc/{pid}/task").iterdir()]
    except (FileNotFoundError, ProcessLookupError):
        raise Vanished(f"process {pid} has ended") from None
    for tid in tasks:
        with suppress(Vanished):  # one that ends meanwhile
            if has_filter(int(tid)):
                return True
    return False


def has_filter(tid: int) -> bool:
    """Whether a thread filters its system calls."""
    return Door(tid).status.get("Seccomp", "0") != "0"


def may_suspend_filters() -> bool:
    """Whether the kernel lets us suspend the filters of what we seize: root, who is under none himself."""
    is_built_in = Path("/proc/self/timers").exists()  # like that file, with CONFIG_CHECKPOINT_RESTORE
    return is_built_in and _capable(_CAP_SYS_ADMIN) and not has_filter(os.getpid())


def machine_reasons() -> Iterator[Reason]:
    """Yield why no process at all can be possessed here."""
    if platform.machine() != "x86_64":
        yield f"this machine is {platform.machine()}, and the engine translates x86-64", "use a 64-bit PC"
    version = tuple(int(number) for number in re.findall(r"\d+", platform.release())[:2])
    if version < KERNEL_MIN:
        yield f"kernel {platform.release()} is older than 5.9", "use a newer kernel"


def _machine(_: Door) -> Iterator[Reason]:
    yield from machine_reasons()


def _own(door: Door) -> Iterator[Reason]:
    if door.pid == os.getpid():
        yield f"process {door.pid} is this one, which would have to stop itself", "name another"


def _task(door: Door) -> Iterator[Reason]:
    if door.flags & _PF_KTHREAD:
        yield f"process {door.pid} is a thread of the kernel", "name a program's process"
    elif int(door.status.get("Tgid", door.pid)) != door.pid:
        yield f"{door.pid} is a thread of process {door.status['Tgid']}", f"name the process: {door.status['Tgid']}"
    elif door.has_ended:
        yield f"process {door.pid} has ended and waits for its parent to notice", "nothing is left of it to possess"


def traced(door: Door) -> Iterator[Reason]:
    """Yield who traces it."""
    tracer = int(door.status.get("TracerPid", "0"))
    if tracer:
        try:
            name = Path(f"/proc/{tracer}/comm").read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            name = "?"
        yield f"process {door.pid} is traced by {name} (process {tracer})", "end that tracer, or wait for it"


def _permission(door: Door) -> Iterator[Reason]:
    if _capable(_CAP_SYS_PTRACE):
        return
    uids = set(door.status["Uid"].split())
    if uids != {str(os.getuid())}:
        yield f"process {door.pid} is another user's", ROOT
        return
    scope = _number(Path("/proc/sys/kernel/yama/ptrace_scope"))
    if scope == 3:
        yield "Yama forbids ptrace to everybody on this machine", "boot with kernel.yama.ptrace_scope below 3"
    elif scope:
        yield "Yama forbids ptrace of any but one's own children", f"{ROOT}; or: sysctl kernel.yama.ptrace_scope=0"


def _capable(capability: int) -> bool:
    effective = re.search(r"^CapEff:\s*([0-9a-f]+)", Path("/proc/self/status").read_text(), re.MULTILINE)
    return effective is not None and bool(int(effective[1], 16) >> capability & 1)


def _number(path: Path) -> int:
    try:
        return int(path.read_text())
    except OSError:
        return 0


def _bits(door: Door) -> Iterator[Reason]:
    try:
        with (door.folder / "exe").open("rb") as file:
            head = file.read(20)
    except OSError:
        return  # its file is gone or not ours to read: the code segment tells when it stands
    if head[:4] == b"\x7fELF" and (head[4] != 2 or struct.unpack_from("<H", head, 18)[0] != 62):
        yield f"process {door.pid} is not a 64-bit x86 program", "the engine translates x86-64 only"


def _shadow_stack(door: Door) -> Iterator[Reason]:
    if "shstk" in door.status.get("x86_Thread_features", ""):
        yield (
            f"process {door.pid} runs with a shadow stack (CET)",
            "start it with GLIBC_TUNABLES=glibc.cpu.x86_shstk=off",
        )


def _seccomp(door: Door) -> Iterator[Reason]:
    if not is_filtered(door.pid):
        return
    if not may_suspend_filters():
        yield (
            f"process {door.pid} filters its system calls (seccomp), which only root may suspend",
            "run as root, where you are under no filter yourself",
        )
    elif door.status["Seccomp"] == "1":
        yield f"process {door.pid} may do nothing but read and write (seccomp mode 1)", "it cannot be possessed"


def _memory(door: Door) -> Iterator[Reason]:
    try:
        areas = read_maps(door.pid)
    except PermissionError:
        yield f"process {door.pid} may not be looked into", ROOT if os.geteuid() else BARE_ROOT
        return
    room = max((end - begin for begin, end in gaps(areas, 0x1_0000, LOW_END)), default=0)
    if room < LOW_BYTES_MIN:
        yield (
            f"process {door.pid} has no {LOW_BYTES_MIN >> 20} MiB in one piece free below 2 GiB",
            "if it is linked low, start it as a position-independent program",
        )


THREAD_BYTES_MIN = 1 << 20  # of memory that each thread may need from the first, with code to translate
PROCESS_BYTES_MIN = 16 << 20


def refuse_crowd(pid: int, threads: int, threads_max: int) -> None:
    """Raise `Refused` if a process has more threads than the engine has places for, or the machine memory."""
    if threads > threads_max:
        raise Refused(
            f"process {pid} has {threads} threads, and the engine has room for {threads_max}", "let it have fewer"
        )
    need = PROCESS_BYTES_MIN + threads * THREAD_BYTES_MIN
    if (free := available_bytes()) < need:
        raise Refused(
            f"process {pid} has {threads} threads, which need {need >> 20} MiB of memory; {free >> 20} MiB are left",
            "free some memory",
        )


def available_bytes() -> int:
    """Return how much memory the kernel can give before it swaps or kills."""
    found = re.search(r"^MemAvailable:\s*(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    return int(found[1]) << 10 if found else 1 << 62


CHECKS: tuple[Callable[[Door], Iterator[Reason]], ...] = (
    _machine, _task, _own, traced, _permission, _bits, _shadow_stack, _seccomp, _memory,
)  # fmt: skip
FINAL = frozenset((_machine, _task, _own, _permission))  # behind these there is nothing more to be seen
