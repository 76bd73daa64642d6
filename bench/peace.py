"""Real programs under honest input, possessed in taint mode: no alert, and every answer as natively.

    python bench/peace.py                                 natively, then possessed (some minutes)
    python bench/peace.py --only memcached-suite,wrk      some of them
    python bench/peace.py --only natively                 see that the programs and suites are there

memcached's suite and SQLite's speedtest1 are of Debian's sources, which are not fetched: what is missing is said. Each
program is told of the source of all that it reads: the network for servers, the files for programs that read files.
Suites of many parts are `peace_suites.py`'s.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
from possession_programs import PLACE, MissingError, debian_source, sqlite  # noqa: E402

sys.path[:] = [str(HERE.parent / "tests"), *(place for place in sys.path if Path(place) != HERE)]
from payload.servers import free_port  # type: ignore[import-not-found]  # noqa: E402
from possession import servers  # type: ignore[import-not-found]  # noqa: E402
from possession.alarms import watched, why_not  # type: ignore[import-not-found]  # noqa: E402

RUN_S = 1200.0
MEMCACHED_TESTS = (
    "cas", "flags", "getset", "incrdecr", "multiversioning", "noreply", "touch", "line-lengths", "binary-get",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ran:
    """How a run went: whether it is as it should be, in a few words, and what alerts there were."""

    is_well: bool
    words: str
    alerts: tuple[str, ...]
    wall_s: float


@dataclass(frozen=True, slots=True)
class Case:
    """What one run does: processes, the source of their input, and the command whose end is the run's."""

    pids: list[int]
    source: str
    finish: Callable[[], tuple[bool, str]]


Peace = Callable[[ExitStack, Path], Case]


def command(
    line: list[str], pattern: str, *, well: str, cwd: Path | None = None, **environment: str
) -> tuple[bool, str]:
    """Run a suite. It is well if a pattern is in what it says; the words are another pattern's finds."""
    done = subprocess.run(
        line,
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=RUN_S,
        errors="replace",
    )
    said = done.stdout + done.stderr
    found = re.findall(pattern, said)
    is_well = done.returncode == 0 and re.search(well, said) is not None
    return is_well, ", ".join(dict.fromkeys(found)) if is_well else said[-600:]


def redis_server(kept: ExitStack, place: Path) -> tuple[int, int]:
    """Start redis; return port and pid."""
    port = free_port()
    program = servers.tool("redis-server", "redis-server")
    settings = {"bind": "127.0.0.1", "port": port, "dir": place, "save": "", "enable-debug-command": "yes"}
    line = [program, *(word for name, value in settings.items() for word in (f"--{name}", str(value)))]
    return port, kept.enter_context(servers.process(*line, port=port)).pid


def redis_benchmark(kept: ExitStack, place: Path) -> Case:
    """Run all of redis-benchmark's tests."""
    port, pid = redis_server(kept, place)
    line = [servers.tool("redis-benchmark", "redis-tools"), "-h", "127.0.0.1", "-p", str(port), "-q", "-n", "5000"]
    return Case([pid], "inet", lambda: command(line, r"(?m)^(MSET).*requests per second", well="MSET"))


def memcached_suite(kept: ExitStack, _place: Path) -> Case:
    """Run memcached's own tests against a running daemon."""
    source, port = debian_source("memcached"), free_port()
    program = servers.tool("memcached", "memcached")
    with suppress(FileExistsError):
        (source / "memcached-debug").symlink_to(program)  # they ask whether it is built
    one = kept.enter_context(
        servers.process(program, "-l", "127.0.0.1", "-p", str(port), "-u", "nobody", "-o", "modern", port=port)
    )
    tests = [f"t/{name}.t" for name in MEMCACHED_TESTS if (source / "t" / f"{name}.t").exists()]
    line = [servers.tool("prove", "perl"), "-It/lib", *tests]
    return Case(
        [one.pid], "inet",
        lambda: command(line, r"Files=\d+, Tests=\d+", well="Result: PASS", cwd=source,
                        T_MEMD_USE_DAEMON=f"127.0.0.1:{port}"),
    )  # fmt: skip


def wrk(serve: Callable[[Path], AbstractContextManager[Any]]) -> Peace:
    """Load a server with files."""

    def peace(kept: ExitStack, place: Path) -> Case:
        return _wrk(kept.enter_context(serve(place)))

    return peace


def _wrk(served: Any) -> Case:
    line = [word if not word.startswith("-d") else "-d10s" for word in served.loads[0].command]

    def finish() -> tuple[bool, str]:
        is_well, words = command(line, r"Non-2xx|Socket errors", well=r"\d+ requests in")
        return is_well and not words, words or "10 s"

    return Case(served.pids(), "inet", finish)


@contextmanager
def gated(line: list[str], cwd: Path) -> Iterator[tuple[subprocess.Popen[bytes], Callable[[], bytes]]]:
    """Start a program that waits for a byte before its beginning; yield it, and what lets it go to its end."""
    shim = PLACE / "gate.so"
    subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-o", shim, HERE / "gate.c"], check=True)
    environment = {**os.environ, "LD_PRELOAD": str(shim)}
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=said, stderr=said, cwd=cwd, env=environment)

        def go() -> bytes:
            process.communicate(b"\n", timeout=RUN_S)
            said.seek(0)
            return said.read()

        try:
            while "read" not in waits_in(process.pid):
                if process.poll() is not None:
                    raise MissingError(f"{line[0]} ends before its beginning")
                time.sleep(0.01)
            yield process, go
        finally:
            process.kill()
            process.wait(20)


def waits_in(pid: int) -> str:
    """Return the name of the system call that a process waits in, as far as it matters here."""
    words = Path(f"/proc/{pid}/syscall").read_text().split()
    return "read" if words[:2] == ["0", "0x0"] else ""


def gate(kept: ExitStack, line: list[str], cwd: Path, source: str, well: str) -> Case:
    """Make a case of a program that waits."""
    process, go = kept.enter_context(gated(line, cwd))

    def finish() -> tuple[bool, str]:
        said = go().decode(errors="replace")
        found = re.search(well, said)
        return process.returncode == 0 and found is not None, found[0] if found else said[-600:]

    return Case([process.pid], source, finish)


def sqlite_speedtest(kept: ExitStack, place: Path) -> Case:
    """Run SQLite's speedtest1 on a file, of which it reads its pages back."""
    (place / "test.db").touch()  # so that it is known as a source from the beginning
    line = [sqlite(0.2).command[0], "--verify", "--size", "10", f"{place}/test.db"]
    return gate(kept, line, place, f"file:{place}/*", r"TOTAL")


CASES: dict[str, Peace] = {
    "redis-benchmark": redis_benchmark, "memcached-suite": memcached_suite, "sqlite": sqlite_speedtest,
    "wrk": wrk(servers.nginx), "wrk-lighttpd": wrk(servers.lighttpd),
}  # fmt: skip


def run(peace: Peace, is_possessed: bool) -> Ran:
    """Run a case once."""
    with ExitStack() as kept:
        place = Path(kept.enter_context(tempfile.TemporaryDirectory(prefix="peace-")))
        case = peace(kept, place)
        watches = []
        if is_possessed:
            watches = [kept.enter_context(watched(pid, case.source, on_alert="observe")) for pid in case.pids]
        began_s = time.monotonic()
        is_well, words = case.finish()
        wall_s = time.monotonic() - began_s
        alerts = tuple(f"{report.kind} at {report.instruction.text}" for watch in watches for report in watch.reports)
        return Ran(is_well, words, alerts, wall_s)


def main() -> int:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="names of runs, by commas, and `natively` or `possessed`")
    arguments = parser.parse_args()
    wanted = set(filter(None, arguments.only.split(",")))
    modes = [mode for mode in ("natively", "possessed") if mode in wanted or not wanted & {"natively", "possessed"}]
    if "possessed" in modes and (reason := why_not()):
        raise SystemExit(reason)
    is_wrong = False
    print("| run | | time, s | alerts |\n|---|---|---:|---|")
    for name in CASES:
        if wanted - {"natively", "possessed"} and name not in wanted:
            continue
        for mode in modes:
            try:
                ran = run(CASES[name], mode == "possessed")
            except MissingError as missing:
                print(f"| {name} | not here: {missing} | | |")
                break
            is_wrong |= not ran.is_well or bool(ran.alerts)
            alerts = f"{len(ran.alerts)}: {', '.join(dict.fromkeys(ran.alerts))}" if ran.alerts else "none"
            words = ran.words if ran.is_well else f"FAILED: {ran.words}"
            print(f"| {name}, {mode} | {words} | {ran.wall_s:.0f} | {alerts} |", flush=True)
    return int(is_wrong)


if __name__ == "__main__":
    sys.exit(main())
