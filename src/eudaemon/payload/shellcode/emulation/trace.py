"""The calls of one run, in order, within limits; ends a run that only repeats itself."""

from __future__ import annotations

from collections import Counter

from eudaemon.payload.shellcode.emulation.machine import Machine
from eudaemon.payload.shellcode.report import Call

_REPEATED = ("chdir",)  # what is done so often because it costs nothing: `..` out of a chroot, up to 1,024 times


class Trace:
    """The calls of the code on a machine."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.calls: list[Call] = []
        self._from: Counter[tuple[int, str]] = Counter()

    def add(self, at: int, name: str, arguments: tuple[str, ...], result: int) -> None:
        """Note a call that was answered; stop the machine where there were enough of them."""
        limits = self._machine.limits
        self.calls.append(Call(at, name, arguments, result))
        self._from[at, name] += 1
        if len(self.calls) >= limits.calls_max:
            self._machine.stop(f"limit: {limits.calls_max} calls")
        elif self._from[at, name] >= limits.same_call_max and name not in _REPEATED:
            self._machine.stop(f"{name} again and again")
