"""The small victims: one program for each behaviour, and how it is built.

Owns the table and the compiler's command line. A victim's source is in `tests/victims`, what it prints in `victim.h`.
Built programs lie in `.venv/victims`, under the hash of all that went into them.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

SOURCES = Path(__file__).resolve().parent.parent / "victims"
BUILT = SOURCES.parent.parent / ".venv" / "victims"
COMMON = ("-O2", "-Wall", "-Wextra", "-Werror", "-pthread")

NON_PIE = ("-no-pie", "-fno-pie")
STATIC = ("-static",)
STATIC_PIE = ("-static-pie", "-fPIE")


@dataclass(frozen=True, slots=True)
class Victim:
    """One program. `moving` names what changes by the victim's own doing: maps, fd, task, signals, program."""

    name: str
    source: str
    flags: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    compiler: str = "gcc"
    needs: frozenset[str] = frozenset()  # flags of /proc/cpuinfo
    moving: frozenset[str] = frozenset()
    limit: str = ""  # why it cannot be possessed; it only runs natively


def row(source: str, *flags: str, needs: str = "", moving: str = "", **more: object) -> Victim:
    """Write one line of the table; `needs` and `moving` are words."""
    victim = Victim(
        source.partition(".")[0], source, flags, needs=frozenset(needs.split()), moving=frozenset(moving.split())
    )
    return replace(victim, **more)  # type: ignore[arg-type]


AVX512 = ("-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl")

VICTIMS = [
    # registers, flags, memory
    row("integer.c"),
    row("copies.c"),
    row("avx2.c", "-mavx2", "-mfma", "-mbmi2", needs="avx2 fma bmi2"),
    row("avx512.c", *AVX512, needs="avx512f avx512bw avx512dq avx512vl"),
    row("x87.c"),
    row("flags.c"),
    row("instructions.c"),
    row("strings.c"),
    row("segments.c"),
    row("clocks.c"),
    # ways through the code
    row("branches.c"),
    row("calls.c"),
    row("redzone.c"),
    row("recursion.c", moving="maps task"),
    row("exceptions.cc", compiler="g++", moving="maps task"),
    row("jumps.c", moving="signals"),
    row("coroutines.c", moving="signals"),
    row("bulk.c", "-O1"),
    row("spin.c"),
    # code that changes
    row("jit.c", moving="maps"),
    row(
        "jit.c",
        name="jit-shared",
        arguments=("shared",),
        moving="maps",
        limit="nobody sees what is written through a second mapping of the same pages",
    ),
    row("selfmod.c"),
    row("remap.c", moving="maps"),
    row("dlopen.c", "-ldl", moving="maps fd"),
    # threads
    row("futex64.c"),
    row("storm.c", moving="maps task"),
    row("tls.c"),
    row("atomics.c"),
    row("robust.c", moving="maps task signals"),
    row("rseq.c"),
    # signals
    row("timers.c"),
    row("sigframe.c", moving="signals"),
    row("sigmasks.c", moving="maps signals task"),
    row("sigwaits.c", moving="signals"),
    row("sigqueue.c", moving="signals"),
    row("faults.c", moving="maps"),
    row("restarts.c"),
    row("stacks.c", moving="maps task"),
    # the system
    row("blocking.c", moving="maps task fd"),
    row("forks.c", moving="maps fd"),
    row("exec.c", moving="program maps signals"),
    row("seccomp.c"),
    row("freeze.c"),
    # other kinds of program
    row("integer.c", *NON_PIE, name="integer-non-pie"),
    row("branches.c", *NON_PIE, name="branches-non-pie"),
    row("integer.c", *STATIC, name="integer-static"),
    row("calls.c", *STATIC, name="calls-static"),
    row("futex64.c", *STATIC, name="futex64-static"),
    row("timers.c", *STATIC, *NON_PIE, name="timers-static"),
    row("faults.c", *STATIC_PIE, name="faults-static-pie", moving="maps"),
    row("exceptions.cc", *STATIC, name="exceptions-static", compiler="g++", moving="maps task"),
    row("integer.c", *STATIC, name="integer-musl", compiler="musl-gcc"),
    row("strings.c", name="strings-musl", compiler="musl-gcc"),
    row("futex64.c", *STATIC, name="futex64-musl", compiler="musl-gcc"),
    row("timers.c", *STATIC, name="timers-musl", compiler="musl-gcc"),
    row("forks.c", *STATIC, name="forks-musl", compiler="musl-gcc", moving="maps fd"),
    row("jumps.c", "-O0", name="jumps-unoptimised", moving="signals"),
    row("branches.c", "-O3", "-fcf-protection=full", name="branches-cet"),
]

BY_NAME = {victim.name: victim for victim in VICTIMS}

# Installs the compilers that a victim may ask for.
PACKAGES = {"gcc": "gcc libc6-dev", "g++": "g++", "musl-gcc": "musl-tools"}


class CannotBuildError(Exception):
    """What is missing, and what to install."""


def missing(victim: Victim) -> str:
    """Say in words why this victim cannot run here, or nothing."""
    if shutil.which(victim.compiler) is None:
        return f"{victim.compiler} is not there: apt-get install {PACKAGES[victim.compiler]}"
    lacking = victim.needs - _processor_flags()
    return f"this processor has no {', '.join(sorted(lacking))}" if lacking else ""


def command(victim: Victim) -> list[str]:
    """Build a victim if need be; return its command line."""
    program = _built(victim.compiler, victim.source, victim.flags)
    if victim.source != "dlopen.c":
        return [str(program), *victim.arguments]
    plugins = (_built("gcc", "plugin.c", ("-shared", "-fPIC", f"-DVALUE={value}")) for value in (11, 22))
    return [str(program), *map(str, plugins)]


def _built(compiler: str, source: str, flags: tuple[str, ...]) -> Path:
    line = [compiler, *COMMON, *(flag for flag in flags if not flag.startswith("-l"))]
    libraries = [flag for flag in flags if flag.startswith("-l")]
    path = SOURCES / source
    content = b"".join(one.read_bytes() for one in (*sorted(path.parent.glob("*.h")), path))
    mark = hashlib.sha256(repr((line, libraries)).encode() + content).hexdigest()[:12]
    program = BUILT / f"{Path(source).stem}-{mark}"
    if not program.exists():
        BUILT.mkdir(parents=True, exist_ok=True)
        fresh = program.with_suffix(".new")
        done = subprocess.run([*line, "-o", fresh, SOURCES / source, *libraries], capture_output=True, text=True)
        if done.returncode:
            raise CannotBuildError(f"{' '.join(map(str, done.args))}\n{done.stderr[-3000:]}")
        fresh.rename(program)
    return program


def _processor_flags() -> frozenset[str]:
    for text in _cpuinfo():
        return frozenset(text.split())
    return frozenset()


def _cpuinfo() -> Iterator[str]:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("flags"):
            yield line.partition(":")[2]
