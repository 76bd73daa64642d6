"""What a thread is doing, seen without stopping it; and whether it may be woken.

A call that answers EINTR to any interruption is issued again with the time that is left. How long it has waited, the
scheduler knows: `se.exec_start` of `/proc/PID/task/TID/sched` is when the thread last ran.
"""

from __future__ import annotations

import os
import re
import socket
import struct
from dataclasses import dataclass
from pathlib import Path

from eudaemon.possession.errors import PossessionError
from eudaemon.possession.memory import Memory
from eudaemon.possession.ptrace import Kernel
from eudaemon.possession.restart import EINTR_CALLS, Deadline, Row

_EXEC_START = re.compile(r"^se\.exec_start\s*:\s*([0-9.]+)", re.MULTILINE)
_PROCESSOR = 36  # of the words behind the name in /proc/PID/stat
_LONG_AND_LONG = struct.Struct("@ll")


@dataclass(frozen=True, slots=True)
class Look:
    """A thread that waits in a system call."""

    call: int
    arguments: tuple[int, ...]
    stack: int
    returns_to: int


def look(pid: int, tid: int) -> Look | None:
    """Return the call that a thread waits in. None: it runs, waits in none, or has ended."""
    try:
        text = Path(f"/proc/{pid}/task/{tid}/syscall").read_text(encoding="ascii")
    except OSError:
        return None
    words = text.split()
    if len(words) < 9:
        return None
    numbers = [int(word, 16) for word in words[1:]]
    return Look(int(words[0]), tuple(numbers[:6]), numbers[6], numbers[7])


def eintr_row(kernel: Kernel, pid: int, seen: Look | None) -> Row | None:
    """Return the row of the call if it would answer EINTR to being woken."""
    row = None if seen is None else EINTR_CALLS.get(seen.call)
    if row is None or seen is None or row.deadline not in (Deadline.RECEIVE, Deadline.SEND):
        return row
    return row if socket_timeout(kernel, pid, seen.arguments[0], row.deadline) else None


def socket_timeout(kernel: Kernel, pid: int, descriptor: int, deadline: Deadline) -> bool:
    """Whether the descriptor is a socket with a timeout in that direction."""
    try:
        if not os.readlink(f"/proc/{pid}/fd/{descriptor}").startswith("socket:"):  # noqa: PTH115
            return False
        ours = kernel.file_of(pid, descriptor)
    except (OSError, PossessionError):
        return False
    option = socket.SO_RCVTIMEO if deadline is Deadline.RECEIVE else socket.SO_SNDTIMEO
    try:
        with socket.socket(fileno=ours) as peer:
            return any(peer.getsockopt(socket.SOL_SOCKET, option, _LONG_AND_LONG.size))
    except OSError:
        return False


def remaining_s(row: Row, arguments: tuple[int, ...], memory: Memory, waited_s: float) -> float | None:
    """Return the seconds left to a call that has waited so long. None: no deadline, or none that its arguments say."""
    value = arguments[row.argument]
    if row.deadline is Deadline.MILLISECONDS:
        timeout_ms: int = struct.unpack("<i", struct.pack("<I", value & 0xFFFFFFFF))[0]
        return None if timeout_ms < 0 else max(0.0, timeout_ms / 1000 - waited_s)
    if row.deadline is Deadline.TIMESPEC and value:
        seconds, nanoseconds = struct.unpack("<qq", memory.read(value, 16))
        left_s: float = seconds + nanoseconds / 1e9 - waited_s
        return max(0.0, left_s)
    return None


def waited_s(pid: int, tid: int) -> float | None:
    """Return how long a sleeping thread has slept. None where the kernel does not tell (`CONFIG_SCHED_DEBUG`).

    Each processor has a scheduler's clock of its own, which stands still while others have stolen the processor. So we
    go to the one on which the thread fell asleep. Stolen time is not counted: a deadline is never early for it.
    """
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, (_processor_of(pid, tid),))
    except OSError:
        return None
    try:
        os.sched_yield()  # so that our own entry is fresh
        own, other = _exec_start_ms("self", "self"), _exec_start_ms(str(pid), str(tid))
    finally:
        os.sched_setaffinity(0, allowed)
    return None if own is None or other is None else max(0.0, (own - other) / 1000)


def _processor_of(pid: int, tid: int) -> int:
    text = Path(f"/proc/{pid}/task/{tid}/stat").read_text(encoding="utf-8", errors="replace")
    return int(text.rpartition(")")[2].split()[_PROCESSOR])


def _exec_start_ms(pid: str, tid: str) -> float | None:
    path = "/proc/thread-self/sched" if tid == "self" else f"/proc/{pid}/task/{tid}/sched"
    try:
        found = _EXEC_START.search(Path(path).read_text(encoding="ascii", errors="replace"))
    except OSError:
        return None
    return float(found[1]) if found else None
