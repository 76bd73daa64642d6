"""Possession as one verb: `with possess(pid) as possession:`.

    seize → plant → wake → listen → withdraw → release

Each step undoes itself when it fails (`plant`, `wake`, `withdraw` say how). Between waking and withdrawing nobody is
attached: a controller may end, and another one takes over with `adopt`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType

from eudaemon.possession import refuse
from eudaemon.possession.engine import Engine, load_engine
from eudaemon.possession.errors import Busy, PossessionError, Refused, Vanished
from eudaemon.possession.plant import plant
from eudaemon.possession.planted import Planted
from eudaemon.possession.ptrace import Kernel
from eudaemon.possession.target import Target, opened
from eudaemon.possession.wake import wake
from eudaemon.possession.withdraw import withdraw

MODES = ("none", "shadow")
TRIES_MAX = 100
TRY_S = 0.01


class Possession:
    """A possessed process. As a context manager it is released at the end."""

    def __init__(self, pid: int, engine: Engine, kernel: Kernel) -> None:
        self.pid = pid
        self.frozen_ns = 0
        self.released_ns = 0
        self.remarks: list[str] = []
        self._engine = engine
        self._kernel = kernel

    def __enter__(self) -> Possession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(Vanished):
            self.release()

    def release(self) -> None:
        """Withdraw every thread and leave nothing behind. Released already: nothing is done.

        Raises `Vanished` if the process has ended.
        """
        with opened(self.pid, self._engine, self._kernel) as target:
            mailbox = target.mailbox()
            if mailbox is None:
                return
            planted = Planted(target, mailbox)
            self.released_ns = _patiently(lambda: withdraw(planted))
            self.remarks += target.settler.remarks


def possess(pid: int, *, mode: str = "none", engine: Engine | None = None, kernel: Kernel | None = None) -> Possession:
    """Move all threads of a process into the engine.

    Raises `Refused` before anything is changed, `Undone` if a step failed and was undone, `Vanished` if there is no
    such process (any more), `PossessionError` if the engine is not built.
    """
    possession = Possession(pid, engine or load_engine(), kernel or Kernel())
    refuse.refuse(pid)
    with opened(pid, possession._engine, possession._kernel) as target:
        target.tidy()
        _refuse_possessed(target)
        planted = plant(target, mode)
        try:
            possession.frozen_ns = _patiently(lambda: wake(planted))
        except Vanished:
            raise
        except PossessionError:
            if planted.mailbox.one("awake"):
                withdraw(planted)
            else:
                target.unmap((mapped.address, mapped.size) for mapped in planted.mailbox.spans())
            raise
        possession.remarks += target.settler.remarks
    return possession


def adopt(pid: int, *, engine: Engine | None = None, kernel: Kernel | None = None) -> Possession:
    """Take over a process that another controller has possessed. Raises `Refused` if none has."""
    possession = Possession(pid, engine or load_engine(), kernel or Kernel())
    with opened(pid, possession._engine, possession._kernel) as target:
        target.tidy()
        if target.mailbox() is None:
            raise Refused(f"process {pid} is not possessed", f"possess it: eudaemon possess {pid}")
    return possession


def _patiently(step: Callable[[], int]) -> int:
    """Take a step for which all threads must stand, and again a little later while one of them cannot."""
    for _ in range(TRIES_MAX):
        try:
            return step()
        except Busy:
            time.sleep(TRY_S)
    return step()


def _refuse_possessed(target: Target) -> None:
    if target.mailbox() is not None:
        raise Refused(f"process {target.pid} is possessed already", f"release it first: eudaemon release {target.pid}")
