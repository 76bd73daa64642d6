"""Victims: small C programs of tests/victims, one behaviour each, that say on standard output how they fare."""

from __future__ import annotations

import contextlib
import os
import re
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

SOURCES = Path(__file__).resolve().parents[1] / "victims"
PATIENCE_S = 30.0  # until a test gives a victim up


class Victims:
    """Compiles them, once each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, name: str, *flags: str) -> Path:
        """Return the program, compiled."""
        if shutil.which("gcc") is None:
            pytest.skip("needs gcc, to compile victims")
        program = self._folder / "-".join((name, *(re.sub(r"\W", "", flag) for flag in flags)))
        if not program.exists():
            subprocess.run(
                ["gcc", "-O2", "-pthread", *flags, "-o", str(program), str(SOURCES / f"{name}.c"), "-lrt"], check=True
            )
        return program

    def start(self, name: str, *words: str, flags: tuple[str, ...] = ()) -> Victim:
        """Start one."""
        return Victim([str(self.path(name, *flags)), *words])


class Victim:
    """A victim that runs."""

    def __init__(self, command: list[str]) -> None:
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        self.pid = self.process.pid
        self._held = b""

    def say(self, text: str) -> None:
        """Write to its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(text.encode())

    def line(self) -> str:
        """Return its next line; "" at its end. Fails if none comes."""
        assert self.process.stdout is not None
        until_s = time.monotonic() + PATIENCE_S
        while b"\n" not in self._held:
            ready = self._is_readable(max(0.0, until_s - time.monotonic()))
            assert ready, f"victim {self.pid} says nothing any more: {Path(f'/proc/{self.pid}/stat').read_text()}"
            got = os.read(self.process.stdout.fileno(), 65536)
            if not got:
                return ""
            self._held += got
        line, _, self._held = self._held.partition(b"\n")
        return line.decode()

    def has_spoken(self) -> bool:
        """Whether a line is there already."""
        return b"\n" in self._held or self._is_readable(0)

    def _is_readable(self, within_s: float) -> bool:
        # poll, for select knows no descriptor above 1023, and a long run of tests may hold that many.
        assert self.process.stdout is not None
        poll = select.poll()
        poll.register(self.process.stdout, select.POLLIN)
        return bool(poll.poll(within_s * 1000))

    def good(self, lines: int = 2) -> None:
        """Wait until it has said so many times, from now on, that all is well."""
        while self.has_spoken():
            assert self.line().startswith("good")
        for _ in range(lines):
            line = self.line()
            assert line.startswith("good"), line

    def end(self) -> None:
        """Kill it."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                pipe.close()


def residue(pid: int) -> dict[str, object]:
    """Return everything of a process that a release must leave as it was."""
    folder = Path(f"/proc/{pid}")
    kept = re.compile(r"^(SigBlk|SigIgn|SigCgt|ShdPnd|SigPnd|TracerPid|Threads|Seccomp):", re.MULTILINE)
    status = "\n".join(line for line in (folder / "status").read_text().splitlines() if kept.match(line))
    return {
        "maps": [line for line in (folder / "maps").read_text().splitlines() if "[stack]" not in line],
        "descriptors": sorted(os.listdir(folder / "fd")),
        "status": status,
        "masks": {
            task.name: re.findall(r"^SigBlk.*$", (task / "status").read_text(), re.MULTILINE)
            for task in (folder / "task").iterdir()
        },
    }


def wait_for(condition: Callable[[], object]) -> None:
    """Wait until something holds."""
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError(condition)
