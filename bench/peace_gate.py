"""Processes that are possessed before their first instruction of consequence, whoever starts them.

    a suite ──starts──► wrapper (sh) ──exec──► program, waits in `gate.so` for a byte
                            │ its number                     ▲
                            ▼                                │ the byte
                        asks (FIFO) ──► gatekeeper: possess, then let go; hears of alerts meanwhile

Owns the wrapper, and the thread that keeps the gate. What is said is only observed: the suites go on.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from eudaemon import possession
from eudaemon.evidence.model import Evidence, Report
from eudaemon.possession.engine import BUILT, load_engine
from eudaemon.possession.tags import TAGS_WINDOW_BYTES

ENGINE = Path(os.environ.get("EUDAEMON_ENGINE", BUILT))
HERE = Path(__file__).resolve().parent
LOOK_S = 0.003
ARRIVES_S_MAX = 10.0
# nginx that is asked something, or tells another one something, is none that serves.
_WRAPPER = """#!/bin/sh
case " $* " in *" -V "*|*" -v "*|*" -t "*|*" -T "*|*" -s "*) exec {program} "$@";; esac
mkfifo {place}/$$ && echo $$ > {place}/asks
exec env LD_PRELOAD={gate} {program} "$@" < {place}/$$
"""


@dataclass(frozen=True, slots=True)
class Heard:
    """An alert: its kind, the instruction and where that is, the input that it is about, and all that is known."""

    kind: str
    where: str
    input: bytes
    evidence: Evidence

    @staticmethod
    def of(evidence: Evidence) -> Heard:
        """Make one of an alert."""
        report = evidence.report
        frame = report.frames[0] if report.frames else None
        at = f"{frame.symbol or hex(frame.offset)} in {Path(frame.module).name}" if frame else hex(report.pc)
        culprit = report.culprits[0].data if report.culprits else b""
        return Heard(report.kind, f"{report.instruction.text} at {at}", culprit[:40], evidence)


def doubles(report: Report) -> Iterator[str]:
    """Yield what lies a multiple of 4 GiB from what an alert is about, so that their tags are one.

    That is the place of the value; where it was in a register, what any of them points to: it was read from there.
    """
    about = [report.place] if report.place else [one.value for one in report.registers]
    for address in dict.fromkeys(about):
        own = next((area for area in report.maps if area.begin <= address < area.end), None)
        if own is None:
            continue
        for area in report.maps:
            double = area.begin + (address - area.begin) % TAGS_WINDOW_BYTES
            if double < area.end and double != address and area.path != "engine" and area.rights[:2] != "--":
                yield f"{address:#x} ({own.path or 'anonymous'}) and {double:#x} ({area.path or 'anonymous'})"


class Gatekeeper:
    """Possesses what `wrapper` starts; a context manager.

    `heard` has all alerts, `refused` why some were not possessed.
    """

    def __init__(self, place: Path, program: str, source: str) -> None:
        self.wrapper = place / Path(program).name
        self.heard: list[Heard] = []
        self.refused: list[str] = []
        self.possessed = 0
        self._place = place
        self._source = source
        self._listeners: list[Any] = []
        self._pids: list[int] = []
        self._over = threading.Event()
        gate = place / "gate.so"
        subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-o", gate, HERE / "gate.c"], check=True)
        os.mkfifo(place / "asks")
        self._asks = os.open(place / "asks", os.O_RDWR | os.O_NONBLOCK)
        self.wrapper.write_text(_WRAPPER.format(program=program, place=place, gate=gate))
        self.wrapper.chmod(0o755)
        self._thread = threading.Thread(target=self._keep, daemon=True)

    def __enter__(self) -> Gatekeeper:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        os.close(self._asks)

    def end(self) -> None:
        """Kill what is left of the processes that were possessed."""
        for pid in self._pids:
            with suppress(OSError):
                if b"gate" in Path(f"/proc/{pid}/maps").read_bytes():
                    os.kill(pid, signal.SIGKILL)
        self._pids.clear()

    def _keep(self) -> None:
        rest = b""
        while not self._over.is_set():
            with suppress(BlockingIOError):
                *asking, rest = (rest + os.read(self._asks, 4096)).split(b"\n")
                for pid in asking:
                    self._let_in(int(pid))
            for listener in list(self._listeners):
                self._listen(listener)
            time.sleep(LOOK_S)

    def _listen(self, listener: Any) -> None:
        try:
            self.heard += [Heard.of(evidence) for evidence in listener.poll()]
        except possession.PossessionError as error:
            self.refused.append(str(error))
        if listener.is_alone:
            listener.close()
            self._listeners.remove(listener)

    def _let_in(self, pid: int) -> None:
        door = self._open(pid)
        if door < 0:
            return
        try:
            until_s = time.monotonic() + ARRIVES_S_MAX
            while not _waits(pid) and time.monotonic() < until_s:
                time.sleep(0.002)
            taint = possession.Taint.of(self._source, "observe")
            one = possession.possess(pid, taint=taint, engine=load_engine(ENGINE))
            self._listeners.append(one.listener())
            self._pids.append(pid)
            self.possessed += 1
        except (possession.PossessionError, OSError) as error:
            self.refused.append(str(error))
        finally:
            with suppress(OSError):
                os.write(door, b"\n")
            os.close(door)
            (self._place / str(pid)).unlink(missing_ok=True)

    def _open(self, pid: int) -> int:
        until_s = time.monotonic() + ARRIVES_S_MAX
        while time.monotonic() < until_s:
            with suppress(OSError):
                return os.open(self._place / str(pid), os.O_WRONLY | os.O_NONBLOCK)
            time.sleep(0.001)
        self.refused.append(f"process {pid} did not come to the gate")
        return -1


def _waits(pid: int) -> bool:
    """Whether a process waits for its byte: it reads from standard input, in the gate."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/syscall").read_text().split()[:2] == ["0", "0x0"]
    return False
