"""What the possession benchmark runs: programs that are CPU-bound, each with a fixed amount of work and a known answer.

Owns how each is built, and says where it is had. Nothing is bundled, nothing is fetched: CoreMark is cloned by hand,
speedtest1 comes with Debian's source of sqlite3, the rest are Debian's packages and two files of ours. What is missing
is skipped, with what to do.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
PLACE = HERE.parent / ".venv" / "bench"
COREMARK = "git clone https://github.com/eembc/coremark .venv/bench/coremark"


class MissingError(Exception):
    """What to do to have it."""


@dataclass(frozen=True)
class Program:
    """A command line of about a second or two natively, and what of its output must be the same in every run."""

    name: str
    command: list[str]
    answer: Callable[[bytes], str]


def digest(output: bytes) -> str:
    """Everything must be the same."""
    return hashlib.sha256(output).hexdigest()[:16]


def lines_with(*words: str) -> Callable[[bytes], str]:
    """Only lines with one of these words must be the same: the others tell times."""

    def answer(output: bytes) -> str:
        return "\n".join(line for line in output.decode().splitlines() if any(word in line for word in words))

    return answer


def coremark(scale: float) -> Program:
    """EEMBC's CoreMark, as it is."""
    sources = PLACE / "coremark"
    if not (sources / "core_main.c").exists():
        raise MissingError(COREMARK)
    program = PLACE / "coremark.out"
    if not program.exists():
        line = ["gcc", "-O2", f"-I{sources}/posix", f"-I{sources}", '-DFLAGS_STR="-O2"', "-DPERFORMANCE_RUN=1",
                "-DITERATIONS=0", *map(str, sources.glob("core_*.c")), f"{sources}/posix/core_portme.c"]  # fmt: skip
        subprocess.run([*line, "-o", str(program)], check=True)
    return Program("CoreMark", [str(program), "0", "0", "0x66", str(int(40_000 * scale))], lines_with("crc"))


def sqlite(scale: float) -> Program:
    """SQLite's own speedtest1, against the system's library."""
    program = PLACE / "speedtest1.out"
    if not program.exists():
        source = debian_source("sqlite3") / "test" / "speedtest1.c"
        done = subprocess.run(["gcc", "-O2", "-w", "-o", program, source, "-lsqlite3"], capture_output=True, text=True)
        if done.returncode:
            raise MissingError("apt-get install gcc libsqlite3-dev")
    size = str(max(5, int(60 * scale)))
    return Program(
        "sqlite speedtest1", [str(program), "--memdb", "--verify", "--size", size], lines_with("Verification")
    )


def debian_source(package: str) -> Path:
    """Return the folder of a project's source as Debian has it. Nothing is fetched: what is there is unpacked."""
    for _ in range(2):
        found = sorted(path for path in PLACE.glob(f"{package}-*") if path.is_dir())
        if found:
            return found[-1]
        archives = sorted(PLACE.glob(f"{package}_*.orig.tar.*"))
        if archives:
            subprocess.run(["tar", "xf", archives[-1]], cwd=PLACE, check=True)
    raise MissingError(
        f"the source of {package}: in .venv/bench, `apt-get source --download-only {package}` of the same release "
        "(`Types: deb deb-src` in /etc/apt/sources.list.d/debian.sources, then apt-get update)"
    )


def _text(mebibytes: float) -> Path:
    """Return a file of made-up log lines, which compresses as such do."""
    PLACE.mkdir(parents=True, exist_ok=True)
    path = PLACE / f"text-{mebibytes:.1f}"
    if not path.exists():
        dice = random.Random(1)
        words = [dice.randbytes(dice.randint(2, 6)).hex() for _ in range(3000)]
        with path.open("w") as out:
            while out.tell() < mebibytes * 2**20:
                line = (dice.choice(words) for _ in range(12))
                out.write(f"{dice.randint(1, 1 << 20)} {dice.choice(words[:20])} {' '.join(line)}\n")
    return path


def bzip2(scale: float) -> Program:
    """Compress text."""
    return Program("bzip2", [_tool("bzip2"), "-9", "-c", str(_text(12 * scale))], digest)


def xz(scale: float) -> Program:
    """Compress text, in one thread."""
    return Program("xz", [_tool("xz", "xz-utils"), "-6", "-T1", "-c", str(_text(3 * scale))], digest)


def lua(scale: float) -> Program:
    """Run kernels in the reference interpreter."""
    return Program("Lua", [_tool("lua5.4"), str(HERE / "kernels.lua"), str(max(1, int(12 * scale)))], digest)


def cpython(scale: float) -> Program:
    """Run kernels in the system's Python: -S and -I, so that no site-packages count."""
    line = ["/usr/bin/python3", "-I", "-S", "-B", str(HERE / "kernels.py"), str(max(1, int(20 * scale)))]
    return Program("CPython", line, digest)


def kernel(mode: str, rounds: int, bits: int) -> list[str]:
    """Return the command of a kernel without any library, of 64 or 32 bits."""
    text = _text(1.5)
    program = PLACE / f"kernel{bits}.out"
    options = ("-ffreestanding", "-nostdlib", "-static", "-fno-pie", "-no-pie", "-fno-stack-protector",
               "-fcf-protection=none", "-fno-builtin")  # fmt: skip
    line = ["gcc", "-O2", f"-m{bits}", *options, "-o", program, HERE / "kernel.c"]
    if subprocess.run(line, capture_output=True).returncode:
        raise MissingError("apt-get install gcc-multilib")
    return [str(program), mode, str(rounds), str(text)]


def _tool(name: str, package: str = "") -> str:
    path = shutil.which(name)
    if path is None:
        raise MissingError(f"apt-get install {package or name}")
    return os.path.realpath(path)


PROGRAMS: dict[str, Callable[[float], Program]] = {
    "coremark": coremark, "bzip2": bzip2, "xz": xz, "sqlite": sqlite, "lua": lua, "cpython": cpython,
}  # fmt: skip
