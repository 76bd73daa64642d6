"""Kernels that fail or die at the nth operation on a tracee."""

from __future__ import annotations

import os
import signal

from eudaemon.possession.errors import OperationFailed
from eudaemon.possession.ptrace import Kernel

# A fuse stands for a fault of the kernel's or ours. Were one of these to fail, nothing could be done.
SPARED = frozenset(("wait", "PTRACE_DETACH"))


class Fuse(Kernel):
    """Fails one operation: the nth, counted from 0. Those after it succeed: the way back is not blown as well."""

    def __init__(self, nth: int) -> None:
        super().__init__()
        self.left = nth
        self.blown = ""

    def before(self, operation: str, tid: int) -> None:
        if operation in SPARED:
            return
        if self.left == 0:
            self.blown = operation
        self.left -= 1
        if self.left == -1:
            raise OperationFailed(operation, tid, 5, "the fuse is blown")


class Death(Kernel):
    """Kills its own process before the nth operation, whatever it is."""

    def __init__(self, nth: int) -> None:
        super().__init__()
        self.left = nth

    def before(self, operation: str, tid: int) -> None:
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self.left -= 1
