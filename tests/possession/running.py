"""A victim while it runs: start, progress, end; and in words what it does when it stands still.

Owns the victim's pipes. `victim.h` says what comes through them.
"""

from __future__ import annotations

import os
import selectors
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from possession.victims import Victim, command

START_S = 30.0
PROGRESS_S = 40.0
END_S = 60.0
TAIL_LINES_MAX = 12


class VictimError(AssertionError):
    """A victim went wrong, stood still or died; says which, and where its threads were."""


class Running:
    """One running victim."""

    def __init__(self, name: str, process: subprocess.Popen[bytes]) -> None:
        self.name = name
        self.process = process
        self.pid = process.pid
        self.count = 0
        self.lines: list[str] = []
        self._rest = b""
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(process.stdout, selectors.EVENT_READ)

    def read(self, wait_s: float = 0.0) -> None:
        """Take in what the victim has said; a word of failure raises."""
        assert self.process.stdout is not None
        if not self._selector.select(wait_s):
            return
        piece = os.read(self.process.stdout.fileno(), 1 << 16)
        if not piece:
            self._dead()
        *whole, self._rest = (self._rest + piece).split(b"\n")
        for line in whole:
            self._heard(line.decode(errors="replace"))

    def heard(self, word: str, within_s: float) -> str:
        """Return the next line that begins with this word."""
        end_s = time.monotonic() + within_s
        while True:
            for place, line in enumerate(self.lines):
                if line.startswith(word):
                    del self.lines[: place + 1]
                    return line
            if time.monotonic() > end_s:
                raise VictimError(f"{self.name} has not said {word!r} for {within_s} s\n{self.where()}")
            self.read(0.5)

    def advance(self, within_s: float = PROGRESS_S) -> None:
        """Wait until the victim has done another round, whatever was in the pipe before."""
        self.read()
        before, end_s = self.count, time.monotonic() + within_s
        while self.count == before:
            if time.monotonic() > end_s:
                raise VictimError(f"{self.name} stands still at {before} rounds for {within_s} s\n{self.where()}")
            self.read(0.5)

    def stop(self) -> None:
        """Ask it to end; it must say its success word, and be gone with status 0."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.heard("SOUND", END_S)
        try:
            status = self.process.wait(END_S)
        except subprocess.TimeoutExpired:
            raise VictimError(f"{self.name} said SOUND, and does not end\n{self.where()}") from None
        if status:
            raise VictimError(f"{self.name} said SOUND, then ended with {status}")

    def where(self) -> str:
        """Say where every thread is, for the one who must find out why."""
        return "\n".join([f"last lines: {self.lines[-TAIL_LINES_MAX:]}", *where(self.pid)])

    def _heard(self, line: str) -> None:
        if line.startswith("WRONG"):
            raise VictimError(f"{self.name}: {line}")
        if line.isdecimal():
            self.count = int(line)
        else:
            self.lines.append(line)

    def _dead(self) -> None:
        try:
            status = self.process.wait(10)
        except subprocess.TimeoutExpired:
            raise VictimError(f"{self.name} has closed its output\n{self.where()}") from None
        raise VictimError(f"{self.name} is gone: status {status}, last lines {self.lines[-TAIL_LINES_MAX:]}")


@contextmanager
def running(victim: Victim, **environment: str) -> Iterator[Running]:
    """Start a victim, wait until its first round is done; whatever happens, end it."""
    process = subprocess.Popen(
        command(victim), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={**os.environ, **environment},
    )  # fmt: skip
    try:
        one = Running(victim.name, process)
        one.heard("ready", START_S)
        yield one
    finally:
        process.kill()
        process.wait(30)
        for stream in (process.stdin, process.stdout):
            if stream:
                stream.close()


def where(pid: int) -> Iterator[str]:
    """For each thread of a process: state, system call, and what its instruction pointer lies in."""
    maps = _maps(pid)
    yield f"threads of {pid}:"
    with suppress(OSError):
        for task in sorted(Path(f"/proc/{pid}/task").iterdir(), key=lambda path: int(path.name)):
            try:
                status = dict(
                    line.split(":\t", 1) for line in (task / "status").read_text().splitlines() if ":\t" in line
                )
                call = (task / "syscall").read_text().strip()
            except OSError:
                continue
            rip = int(call.split()[-1], 16) if call.split()[-1].startswith("0x") else 0
            place = next((text for low, high, text in maps if low <= rip < high), "unmapped")
            signals = f"blocked {status['SigBlk']} pending {status['SigPnd']}/{status['ShdPnd']}"
            yield f"  {task.name} {status['State']}  {signals}  syscall {call}  in {place}"


def _maps(pid: int) -> list[tuple[int, int, str]]:
    found = []
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            low, _, high = line.split()[0].partition("-")
            found.append((int(low, 16), int(high, 16), line))
    return found
