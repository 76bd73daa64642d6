"""Possession as one verb: `with possess(pid) as possession:`.

    seize → plant → wake → listen → withdraw → release

Each step undoes itself when it fails (`plant`, `wake`, `withdraw` say how). Between waking and withdrawing nobody is
attached: a controller may end, and another one takes over with `adopt`.
"""

from __future__ import annotations

from contextlib import suppress
from types import TracebackType

from eudaemon.possession import refuse
from eudaemon.possession.engine import Engine, load_engine
from eudaemon.possession.errors import PossessionError, Refused, Replaced, Vanished
from eudaemon.possession.plant import is_limited, plant
from eudaemon.possession.planted import Planted
from eudaemon.possession.ptrace import Kernel
from eudaemon.possession.seizure import alone, patiently
from eudaemon.possession.target import Target, opened
from eudaemon.possession.wake import wake
from eudaemon.possession.withdraw import withdraw

MODES = ("none", "shadow")


class Possession:
    """A possessed process. As a context manager it is released at the end.

    `is_gone`: it has executed another program meanwhile, so that nothing is possessed any more; a remark says so.
    """

    def __init__(self, pid: int, engine: Engine, kernel: Kernel) -> None:
        self.pid = pid
        self.frozen_ns = 0
        self.released_ns = 0
        self.remarks: list[str] = []
        self.is_gone = False
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
        """Withdraw every thread and leave nothing behind. Where nothing is left to release, nothing is done.

        Raises `Vanished` if the process has ended.
        """
        if not self.is_gone and not self.released_ns:
            alone(self._release)

    def _begin(self, mode: str) -> None:
        with opened(self.pid, self._engine, self._kernel) as target:
            try:
                self.frozen_ns = _possess(target, mode)
            except Replaced as error:
                self._lost(error.reason)
            self.remarks += target.settler.remarks

    def _find(self) -> None:
        with opened(self.pid, self._engine, self._kernel) as target:
            target.tidy()
            if target.mailbox() is None:
                raise Refused(f"process {self.pid} is not possessed", f"possess it: eudaemon possess {self.pid}")

    def _release(self) -> None:
        with opened(self.pid, self._engine, self._kernel) as target:
            try:
                mailbox = target.mailbox()
                if mailbox is None:
                    self._lost(f"process {self.pid} has executed another program, or somebody else has released it")
                    return
                planted = Planted(target, mailbox)
                self.released_ns = patiently(lambda: withdraw(planted))
            except Replaced as error:
                self._lost(error.reason)
            self.remarks += target.settler.remarks

    def _lost(self, why: str) -> None:
        self.is_gone = True
        self.remarks.append(f"{why}: nothing is left to release")


def possess(pid: int, *, mode: str = "none", engine: Engine | None = None, kernel: Kernel | None = None) -> Possession:
    """Move all threads of a process into the engine.

    One that executes another program meanwhile is let be: the answer says that it `is_gone`.
    Raises `Refused` before anything is changed, `Undone` if a step failed and was undone, `Vanished` if there is no
    such process (any more), `PossessionError` if the engine is not built.
    """
    _check_pid(pid)
    if mode not in MODES:
        raise ValueError(f"mode {mode!r} is none of {', '.join(MODES)}")
    possession = Possession(pid, engine or load_engine(), kernel or Kernel())
    refuse.refuse(pid)
    alone(lambda: possession._begin(mode))
    return possession


def _possess(target: Target, mode: str) -> int:
    if mode == "shadow" and is_limited(target.pid):
        raise Refused(
            f"process {target.pid} may not map a shadow: its address space is limited (RLIMIT_AS)",
            f"possess it with --mode none, or lift the limit: prlimit --pid {target.pid} --as=unlimited",
        )
    target.await_children()
    target.tidy()
    _refuse_possessed(target)
    planted = plant(target, mode)
    try:
        return patiently(lambda: wake(planted))
    except Vanished:
        raise
    except PossessionError:
        target.take_held().detach()
        if planted.mailbox.one("awake"):
            withdraw(planted)
        else:
            target.unmap((mapped.address, mapped.size) for mapped in planted.mailbox.spans())
        raise


def adopt(pid: int, *, engine: Engine | None = None, kernel: Kernel | None = None) -> Possession:
    """Take over a process that another controller has possessed. Raises `Refused` if none has."""
    _check_pid(pid)
    possession = Possession(pid, engine or load_engine(), kernel or Kernel())
    alone(possession._find)
    return possession


def _check_pid(pid: object) -> None:
    if not isinstance(pid, int):
        raise TypeError(f"a pid is a number, not {pid!r}")


def _refuse_possessed(target: Target) -> None:
    if target.mailbox() is not None:
        raise Refused(f"process {target.pid} is possessed already", f"release it first: eudaemon release {target.pid}")
