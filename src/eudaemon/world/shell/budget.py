"""What one line may still do. Whoever runs out is stopped as if killed; nobody else notices."""

from __future__ import annotations

from eudaemon.world.shell.limits import (
    CALL_LEVELS_MAX,
    OUTPUT_BYTES_MAX,
    SLEEPS_MAX,
    SLEPT_S_MAX,
    STEPS_MAX,
    WORK_BYTES_MAX,
)


class LimitError(Exception):
    """The line ran into a limit."""


class PatienceError(LimitError):
    """The line sleeps again and again: whoever typed it would have pressed Ctrl-C by now."""


class Budget:
    """Steps, sleeps, bytes worked on, bytes printed and levels of one line."""

    __slots__ = ("levels", "output_bytes", "sleeps", "slept_s", "steps", "work_bytes")

    def __init__(self) -> None:
        self.renew()

    def renew(self, share: int = 1) -> None:
        """Start a new line, with the whole or the `share`-th part of what a line may."""
        self.steps = STEPS_MAX // share
        self.work_bytes = WORK_BYTES_MAX // share
        self.output_bytes = OUTPUT_BYTES_MAX // share
        self.levels = CALL_LEVELS_MAX
        self.sleeps = SLEEPS_MAX
        self.slept_s = SLEPT_S_MAX

    def heard(self, count: int) -> None:
        """A command that reads was given so many bytes: it may do with them what a new line may, and turn them over."""
        self.steps, self.output_bytes, self.sleeps = STEPS_MAX, OUTPUT_BYTES_MAX, SLEEPS_MAX
        self.work_bytes += 2 * count

    def step(self, count: int = 1) -> None:
        """One command, loop turn or expansion."""
        self.steps -= count
        if self.steps < 0:
            raise LimitError("steps")

    def sleep(self, seconds: float) -> float:
        """One `sleep`; return how much of it is left to this line."""
        self.sleeps -= 1
        if self.sleeps < 0:
            raise PatienceError("sleeps")
        seconds = min(seconds, self.slept_s)
        self.slept_s -= seconds
        return seconds

    def work(self, count: int) -> None:
        """So many bytes were read, written or compared."""
        self.work_bytes -= count
        if self.work_bytes < 0:
            raise LimitError("work")

    def output(self, count: int) -> None:
        """So many bytes were printed."""
        self.output_bytes -= count
        if self.output_bytes < 0:
            raise LimitError("output")

    def enter(self) -> None:
        """One level deeper; pair it with `leave`."""
        if self.levels <= 0:
            raise LimitError("levels")
        self.levels -= 1

    def leave(self) -> None:
        """One level back."""
        self.levels += 1
