"""The runs: every start that may be one, each on a fresh machine, until one tells what the code is for."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

from eudaemon.payload.shellcode import scan
from eudaemon.payload.shellcode.behaviour import Connects, Downloads, Listens, RunsReceived, Transfers
from eudaemon.payload.shellcode.emulation.cpu import CPUS, Cpu
from eudaemon.payload.shellcode.emulation.deeds import Deeds
from eudaemon.payload.shellcode.emulation.limits import Limits
from eudaemon.payload.shellcode.emulation.linux.system import FORKS, UNALIGNED, Linux
from eudaemon.payload.shellcode.emulation.listing import Listing
from eudaemon.payload.shellcode.emulation.machine import BASE, Machine
from eudaemon.payload.shellcode.emulation.trace import Trace
from eudaemon.payload.shellcode.emulation.windows.system import Windows
from eudaemon.payload.shellcode.report import Report

_EARLIER_MAX, _LATER_MAX = 64, 8  # instructions (bytes on x86) around a start that was understood
_WHOLE = (Connects, Listens, Downloads, RunsReceived, Transfers)  # with what a code begins, not where it ends
CALLS_MIN = 2  # that make a code of bytes whose purpose is not understood
_TRAPS = {
    "x86": b"\xcc",
    "x86-64": b"\xcc",
    "arm": b"\xf0\x00\xf0\xe7",
    "aarch64": b"\0\0\x20\xd4",
    "mips": b"\0\0\0\x0d",
    "mipsel": b"\x0d\0\0\0",
}


def emulate(
    data: bytes, *, limits: Limits | None = None, architectures: Sequence[str] = (), listing: bool = False
) -> Report | None:
    """Return the run that tells most of these bytes, or None if they are no code that calls anybody.

    `architectures` is where it is known (possession knows); otherwise it is guessed. With `listing`, that run is made
    once more, and each instruction written down.
    """
    trials = _Trials(data, limits or Limits())
    for cpu, start, pointing in _starts(data, architectures):
        if trials.spent:
            break
        report = trials.attempt(cpu, start, pointing=pointing)
        if report.understood:
            last = report.calls[-1].name if report.calls else ""
            if last == "execve" and not any(isinstance(did, _WHOLE) for did in report.behaviours):
                _try_around(trials, cpu, start, pointing=pointing)
            break
    return trials.told(listing=listing)


def _try_around(trials: _Trials, cpu: Cpu, start: int, *, pointing: bool) -> None:
    """Try what begins a little before or behind a start.

    A code for Linux that is entered in its middle, or through a byte too many, still does the rest of what it does.
    (One for Windows does nothing without its beginning, which looks for the functions.)
    """
    step = 1 if cpu.name.startswith("x86") else 4
    for distance in (*range(-1, -_EARLIER_MAX, -1), *range(1, _LATER_MAX)):
        if not trials.spent and start + step * distance >= 0:
            trials.attempt(cpu, start + step * distance, pointing=pointing)


class _Trials:
    """The runs on some bytes so far, what they have cost, and the one that told most."""

    def __init__(self, data: bytes, limits: Limits) -> None:
        self._data, self._limits = data, limits
        self._until_s = time.monotonic() + limits.seconds_max
        self._starts, self._instructions = limits.starts_max, limits.instructions_all_max
        self._best: Report | None = None
        self._pointing, self._careful = True, False

    @property
    def spent(self) -> bool:
        """Whether nothing is left to try more."""
        return self._starts <= 0 or self._instructions <= 0 or time.monotonic() >= self._until_s

    def attempt(self, cpu: Cpu, start: int, *, pointing: bool) -> Report:
        """Run once, and remember it if it tells more than the others."""
        limits = replace(self._limits, instructions_max=min(self._limits.instructions_max, self._instructions))
        report = run(self._data, cpu, start, limits, self._until_s, pointing=pointing)
        careful = report.ended == UNALIGNED
        if careful:
            report = run(self._data, cpu, start, limits, self._until_s, pointing=pointing, careful=True)
        self._starts -= 1
        self._instructions -= report.instructions
        if _rank(report) > _rank(self._best):
            self._best, self._pointing, self._careful = report, pointing, careful
        return report

    def told(self, *, listing: bool) -> Report | None:
        """Return what told most, if that is enough to call the bytes a code; with a listing, it is run once more."""
        best, limits = self._best, self._limits
        if best is None or not (best.understood or len(best.calls) >= CALLS_MIN):
            return None
        if listing:
            limits = replace(limits, instructions_max=limits.listing_instructions_max)
            cpu = CPUS[best.architecture]
            kept = Listing(cpu, limits.listing_lines_max)
            until_s = time.monotonic() + limits.seconds_max
            run(self._data, cpu, best.offset, limits, until_s, pointing=self._pointing, careful=self._careful,
                listing=kept)  # fmt: skip
            best = replace(best, listing=tuple(kept.lines(best.calls)))
        return best


def _rank(report: Report | None) -> tuple[bool, int, int]:
    if report is None:
        return False, 0, 0
    return report.understood, len(report.behaviours), len(report.calls)


def _starts(data: bytes, architectures: Sequence[str]) -> Iterator[tuple[Cpu, int, bool]]:
    names = architectures or scan.architectures(data)
    # The first byte for both kinds of x86, which look alike, before any other place for one of them.
    at_once = [name for name in names if name.startswith("x86")] if names[0].startswith("x86") else []
    for name in at_once:
        for pointing in (True, False):
            yield CPUS[name], 0, pointing
    for name in names:
        for start in _given(data, name) if architectures else scan.starts(data, name):
            if start == 0 and name in at_once:
                continue
            yield CPUS[name], start, True
            if start == 0:
                yield CPUS[name], start, False


def _given(data: bytes, name: str) -> Iterator[int]:
    """Yield starts where the CPU is known, so that the first byte may well be the first of the code."""
    yield 0
    yield from (start for start in scan.starts(data, name) if start)


def run(
    data: bytes, cpu: Cpu, start: int, limits: Limits, until_s: float, *, pointing: bool, careful: bool = False,
    listing: Listing | None = None,
) -> Report:  # fmt: skip
    """Run the bytes from one start. With `pointing`, registers hold the start's address, otherwise zero.

    A code that forks is run as the child, and once more as the parent: one fetches what the other starts.
    """
    child = _run(data, cpu, start, limits, until_s, pointing=pointing, careful=careful, listing=listing)
    forked = next((at for at, call in enumerate(child.calls) if call.name in FORKS), None)
    if forked is None:
        return child
    parent = _run(data, cpu, start, limits, until_s, pointing=pointing, careful=careful, is_parent=True)
    return replace(
        child,
        instructions=child.instructions + parent.instructions,
        behaviours=tuple(dict.fromkeys((*child.behaviours, *parent.behaviours))),
        calls=(*child.calls, *parent.calls[forked:]),
    )


def _run(
    data: bytes, cpu: Cpu, start: int, limits: Limits, until_s: float, *, pointing: bool, careful: bool = False,
    listing: Listing | None = None, is_parent: bool = False,
) -> Report:  # fmt: skip
    windows = cpu.name.startswith("x86")
    # Instructions that are words lie at whole words, wherever in the bytes they began.
    base = BASE if windows else BASE + -start % 4
    machine = Machine(cpu, data, limits, until_s, base)
    deeds = Deeds(limits, cpu.order, _TRAPS[cpu.name], is_parent=is_parent)
    trace = Trace(machine)

    def received_runs() -> None:
        deeds.runs_received()
        machine.stop("runs what it received")

    deeds.watch = lambda address, count: machine.watch(address, count, received_runs)
    Linux(machine, deeds, trace, careful=careful)
    system = Windows(machine, deeds, trace) if windows else None
    for register in cpu.general:
        machine.put(register, base + start if pointing else 0)
    if not pointing:  # nor does the stack hold anything: codes push texts without an end
        machine.put_word(machine.get(cpu.sp), 0)
    if listing is not None:
        listing.attach(machine)
    at: int | None = base + start
    while at is not None:
        machine.run(at)
        at = system.next_thread() if system is not None and not machine.ended.startswith("limit") else None
    machine.close()
    return Report(cpu.name, start, base, machine.ended, machine.instructions, tuple(deeds.behaviours),
                  tuple(trace.calls))  # fmt: skip
