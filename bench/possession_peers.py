"""How a program is run natively, possessed, and by others that translate code.

Owns the variants of the possession benchmark: how each starts a command, and what it costs in processor time.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from eudaemon import possession
from eudaemon.possession.engine import BUILT, load_engine
from possession_programs import HERE, PLACE, MissingError

ENGINE = Path(os.environ.get("EUDAEMON_ENGINE", BUILT))


class TooSlowError(Exception):
    """It took longer than it was given."""


@dataclass(frozen=True)
class Ran:
    """One run: processor time of the program, and what it printed."""

    cpu_s: float
    wall_s: float
    output: bytes


Run = Callable[[list[str], float], Ran]


def _watched(process: subprocess.Popen[bytes], began_s: float, limit_s: float, out: Path) -> Ran:
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            break
        if time.monotonic() - began_s > limit_s:
            process.kill()
            process.wait()
            raise TooSlowError(f"more than {limit_s:.0f} s")
        time.sleep(0.002)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise MissingError(f"ended with {process.returncode}: {out.read_bytes()[-200:]!r}")
    return Ran(usage.ru_utime + usage.ru_stime, time.monotonic() - began_s, out.read_bytes())


def behind(*prefix: str) -> Run:
    """Run a command behind another one, or plain."""

    def run(command: list[str], limit_s: float) -> Ran:
        with tempfile.TemporaryDirectory() as place:
            out = Path(place, "out")
            with out.open("wb") as to:
                began_s = time.monotonic()
                process = subprocess.Popen([*prefix, *command], stdout=to, stderr=subprocess.DEVNULL)
            return _watched(process, began_s, limit_s, out)

    return run


# How each variant possesses. `clean`: taint is followed, and nothing of the input is a source; `tainted`: all of it is.
POSSESSED: dict[str, dict[str, str]] = {
    "none": {"mode": "none"},
    "shadow": {"mode": "shadow"},
    "clean": {"taint": "unix", "on_alert": "observe"},
    "tainted": {"taint": f"inet,stdin,file:{PLACE}/*,file:{HERE}/*", "on_alert": "observe"},
}


def possessed(variant: str) -> Run:
    """Run a command that is possessed as soon as it has begun, and never let go."""
    engine = load_engine(ENGINE)

    def run(command: list[str], limit_s: float) -> Ran:
        with tempfile.TemporaryDirectory() as place:
            out = Path(place, "out")
            with out.open("wb") as to:
                began_s = time.monotonic()
                process = subprocess.Popen(command, stdout=to, stderr=subprocess.DEVNULL)
            possession.possess(process.pid, engine=engine, **POSSESSED[variant])
            return _watched(process, began_s, limit_s, out)

    return run


def _installed(name: str, package: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise MissingError(f"apt-get install {package}")
    return path


def variants(names: list[str]) -> Iterator[tuple[str, Run]]:
    """Yield the variants that can be had here; say what is missing."""
    makers: dict[str, Callable[[], Run]] = {
        "native": behind,
        **{name: lambda name=name: possessed(name) for name in POSSESSED},  # type: ignore[misc]
        "qemu": lambda: behind(_installed("qemu-x86_64", "qemu-user")),
        "valgrind": lambda: behind(_installed("valgrind", "valgrind"), "--tool=none", "-q"),
        "memcheck": lambda: behind(_installed("valgrind", "valgrind"), "--tool=memcheck", "-q"),
        "dynamorio": _dynamorio,
    }
    for name in names:
        try:
            yield name, makers[name]()
        except (MissingError, possession.PossessionError) as missing:
            print(f"{name}: not here: {missing}", file=sys.stderr)


def _dynamorio() -> Run:
    home = os.environ.get("DYNAMORIO_HOME")
    if not home:
        raise MissingError("DynamoRIO is not in Debian: unpack a release of it, and set DYNAMORIO_HOME")
    return behind(str(Path(home, "bin64", "drrun")), "--")


VARIANTS = ("native", "none", "shadow", "clean", "tainted", "qemu", "valgrind", "memcheck", "dynamorio")


def minemu() -> Run:
    """Run a program of 32 bits in Minemu, which propagates always."""
    home = os.environ.get("MINEMU_HOME")
    if not home:
        raise MissingError(
            "build https://github.com/brainsmoke/minemu (`make minemu`; for a gcc of today first write `static` before "
            "the two `inline` in src/threads.h), and set MINEMU_HOME"
        )
    return behind(str(Path(home, "minemu")))


@contextmanager
def server_behind(prefix: list[str], command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server, plain or behind another program, until the end."""
    process = subprocess.Popen([*prefix, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
