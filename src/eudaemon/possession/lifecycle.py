"""Possession as one verb: `with possess(pid) as possession:`.

    seize → plant → wake → listen → withdraw → release

Each step undoes itself when it fails (`plant`, `wake`, `withdraw` say how). Between waking and withdrawing nobody is
attached: a controller may end, and another one takes over with `adopt`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import TracebackType

from eudaemon.evidence.model import Evidence
from eudaemon.possession import formats, refuse
from eudaemon.possession.blind import unseen
from eudaemon.possession.engine import Engine, load_engine
from eudaemon.possession.errors import PossessionError, Refused, Replaced, Vanished
from eudaemon.possession.listening import POLL_S, Listener
from eudaemon.possession.maps import read_maps
from eudaemon.possession.plant import is_limited, plant
from eudaemon.possession.planted import Planted
from eudaemon.possession.ptrace import Kernel
from eudaemon.possession.seizure import alone, patiently
from eudaemon.possession.tags import doubled_bytes
from eudaemon.possession.taint import Taint
from eudaemon.possession.target import Target, opened
from eudaemon.possession.wake import wake
from eudaemon.possession.withdraw import withdraw

MODES = ("none", "shadow")


class Possession:
    """A possessed process. As a context manager it is released at the end.

    `is_gone`: it has executed another program meanwhile, so that nothing is possessed any more; a remark says so.
    `taint` is what is asked of taint analysis; None: nothing, or somebody else has possessed it.
    `last_look` is called when a release has brought the threads back, before the mailbox goes with all that is in it.
    """

    def __init__(self, pid: int, engine: Engine, kernel: Kernel) -> None:
        self.pid = pid
        self.frozen_ns = 0
        self.released_ns = 0
        self.remarks: list[str] = []
        self.is_gone = False
        self.taint: Taint | None = None
        self.last_look: Callable[[], None] = lambda: None  # at the end of a release, while the mailbox is still there
        self._listener: Listener | None = None
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
        if self._listener is not None:
            self._listener.close()

    def alerts(self, within_s: float = math.inf) -> Iterator[Evidence]:
        """Yield each alert of the process and its children as it happens, answered by the policy; wait for it so long.

        Ends also when nobody of them is possessed any more, and, if the verdict is `release`, with the process's own.
        """
        until_s = time.monotonic() + within_s
        listener = self._listener = self._listener or self.listener()  # which knows what it has told
        while not listener.is_alone:
            for evidence in listener.poll():
                yield evidence
                if listener.policy.on_alert == "release":
                    self._let_out(evidence.report.process.pid)
            if time.monotonic() >= until_s or self.released_ns or self.is_gone:
                return
            time.sleep(POLL_S)

    def listener(self) -> Listener:
        """Return what asks for alerts. Raises `PossessionError` if the process is not possessed any more."""
        return Listener(self.pid, self._engine.abi, self.taint)

    def _let_out(self, pid: int) -> None:
        with suppress(PossessionError):  # it may have ended, or somebody else was quicker
            (self if pid == self.pid else adopt(pid, engine=self._engine, kernel=self._kernel)).release()

    def _begin(self, mode: str, heap_bytes_max: int | None) -> None:
        known = formats.find(self.pid, self._engine.abi["FORMATS_MAX"]) if self.taint else []
        with opened(self.pid, self._engine, self._kernel) as target:
            try:
                self.frozen_ns = _possess(target, mode, self.taint, known, heap_bytes_max)
            except Replaced as error:
                self._lost(error.reason)
            self.remarks += target.settler.remarks

    def _find(self) -> None:
        with opened(self.pid, self._engine, self._kernel) as target:
            target.tidy()
            if target.mailbox() is None:
                raise Refused(f"process {self.pid} is not possessed", "`eudaemon status` says which are")

    def _release(self) -> None:
        with opened(self.pid, self._engine, self._kernel) as target:
            try:
                mailbox = target.mailbox()
                if mailbox is None:
                    self._lost(f"process {self.pid} has executed another program, or somebody else has released it")
                    return
                planted = Planted(target, mailbox)
                self.released_ns = patiently(lambda: withdraw(planted, self.last_look))
            except Replaced as error:
                self._lost(error.reason)
            self.remarks += target.settler.remarks

    def _lost(self, why: str) -> None:
        self.is_gone = True
        self.remarks.append(f"{why}: nothing is left to release")


def possess(
    pid: int, *, mode: str = "none", taint: Taint | str | None = None, on_alert: str = "contain",
    engine: Engine | None = None, kernel: Kernel | None = None, heap_bytes_max: int | None = None,
) -> Possession:  # fmt: skip
    """Move all threads of a process into the engine.

    `taint` names the sources of input that are followed (`inet,file:/srv/in/*`, see `taint.Taint`); `on_alert` is what
    happens when it takes control: `observe`, `contain`, `kill` or `release`. Then listen: `possession.alerts()`.

    `heap_bytes_max` is what the engine may have for its records at the most, and makes do with; None: 2 GiB.

    One that executes another program meanwhile is let be: the answer says that it `is_gone`.
    Raises `Refused` before anything is changed, `Undone` if a step failed and was undone, `Vanished` if there is no
    such process (any more), `PossessionError` if the engine is not built.
    """
    _check_pid(pid)
    if mode not in MODES:
        raise ValueError(f"mode {mode!r} is none of {', '.join(MODES)}")
    possession = Possession(pid, engine or load_engine(), kernel or Kernel())
    possession.taint = Taint.of(taint, on_alert) if isinstance(taint, str) else taint
    if possession.taint is not None:
        mode = "taint"
    refuse.refuse(pid)
    if possession.taint is not None:
        possession.remarks += [*unseen(pid, possession.taint.sources), *_doubled(pid)]
    alone(lambda: possession._begin(mode, heap_bytes_max))
    return possession


def _doubled(pid: int) -> Iterator[str]:
    if doubled := doubled_bytes(read_maps(pid)):
        yield (
            f"{doubled >> 10} KiB of its memory lie a multiple of 4 GiB from other memory of it and share its tags: an "
            "alert about these may be none (restarted, it lies elsewhere)"
        )


def _possess(
    target: Target, mode: str, taint: Taint | None, known: list[tuple[int, int]], heap_bytes_max: int | None
) -> int:
    if mode != "none" and is_limited(target.pid):
        raise Refused(
            f"process {target.pid} may not map a shadow: its address space is limited (RLIMIT_AS)",
            f"possess it without, or lift the limit: prlimit --pid {target.pid} --as=unlimited",
        )
    target.await_children()
    target.tidy()
    _refuse_possessed(target)
    planted = plant(target, mode, taint, known, heap_bytes_max)
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
