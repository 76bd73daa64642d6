"""Suites of many parts, their program possessed in taint mode: which parts end as natively, and what alerts there are.

    python bench/peace_suites.py nginx FOLDER       nginx' own tests (https://github.com/nginx/nginx-tests), a file each
    python bench/peace_suites.py lua FOLDER         Lua's own tests (`testes` of https://github.com/lua/lua, of the
                                                    version that `lua5.4` is), a file each, programs too
    python bench/peace_suites.py redis              redis' own tests against a daemon, a unit each (Debian's source)
    python bench/peace_suites.py cpython            the tests of the Python that runs this, a module each; their source
                                                    is the input
    … --only 'h2_*,proxy*'      only parts whose names fit          --limit-s 60    for one part, possessed
    … --within-s 1200           no part is begun later than that    --natively-s 20 parts that take longer are left out

nginx' need libraries of Perl's, and all modules that `nginx -V` calls dynamic: apt-get install libio-socket-ssl-perl
libgd-perl libscgi-perl libfcgi-perl libnginx-mod-mail libnginx-mod-stream libnginx-mod-stream-geoip
libnginx-mod-http-{geoip,image-filter,perl,xslt-filter}

Each part runs natively first; who fails or skips there is not asked again. The exit code is 1 if a part failed
possessed, or if there was an alert that is not meant. An alert is meant where a test has a program do what it reads:
tests in Python start programs with words of their own source.
"""

from __future__ import annotations

import argparse
import fnmatch
import os
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from eudaemon.evidence.store import Store
from peace_gate import HERE, Gatekeeper, Heard, doubles
from possession_programs import PLACE, MissingError, debian_source

# `possession` of the tests, which has the name of a file here.
sys.path[:] = [str(HERE.parent / "tests"), *(place for place in sys.path if Path(place) != HERE)]
from payload.servers import free_port  # type: ignore[import-not-found]  # noqa: E402
from possession import servers  # type: ignore[import-not-found]  # noqa: E402
from possession.alarms import why_not  # type: ignore[import-not-found]  # noqa: E402

START_S_MAX = 60.0
PLACES_MAX = 5  # of false alarms of a part that are named; all are kept
ALERTS_MAX, ALERTS_BYTES_MAX = 1000, 512 * 1024 * 1024  # that are kept


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a suite: how its program is started is the command's business, which gets the program's path."""

    name: str
    command: Callable[[str, ExitStack, Path], list[str]]
    source: str
    cwd: Path
    well: str  # a pattern of what it says when it has passed
    environment: Callable[[str], dict[str, str]] = lambda _: {}


@dataclass(frozen=True, slots=True)
class Suite:
    """A program and the parts of its suite. `meant` are kinds of alert that are true."""

    program: str
    parts: list[Part]
    meant: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Ran:
    """How a part went."""

    outcome: str  # passed, failed, late
    wall_s: float
    heard: tuple[Heard, ...] = ()
    said: str = ""
    refused: tuple[str, ...] = ()
    possessed: int = 0


def run(suite: Suite, part: Part, limit_s: float, *, is_possessed: bool) -> Ran:
    """Run a part once."""
    with ExitStack() as kept:
        place = Path(kept.enter_context(tempfile.TemporaryDirectory(prefix="peace-")))
        place.chmod(0o755)
        keeper = Gatekeeper(place, suite.program, part.source) if is_possessed else None
        program = suite.program
        if keeper is not None:
            kept.callback(keeper.end)
            kept.enter_context(keeper)
            program = str(keeper.wrapper)
        line = part.command(program, kept, place)
        began_s = time.monotonic()
        outcome, said = _ended(line, part, program, place, limit_s)
        wall_s = time.monotonic() - began_s
        if keeper is None:
            return Ran(outcome, wall_s, said=said)
        time.sleep(0.05)  # what was said last is heard
        return Ran(outcome, wall_s, tuple(keeper.heard), said, tuple(keeper.refused), keeper.possessed)


def _ended(line: list[str], part: Part, program: str, place: Path, limit_s: float) -> tuple[str, str]:
    environment = {**os.environ, **part.environment(program), "TMPDIR": str(place)}
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(line, cwd=part.cwd, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                   env=environment, start_new_session=True)  # fmt: skip
        # Not by `wait`: the gatekeeper is a thread of ours and seizes our child, whose stops we would take from it.
        ended = os.pidfd_open(process.pid)
        late = not select.select([ended], [], [], limit_s)[0]
        os.close(ended)
        with suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        out.seek(0)
        said = out.read().decode(errors="replace") + f"\n(it ended with {process.returncode})"
    is_well = process.returncode == 0 and re.search(part.well, said) is not None
    return "late" if late else "passed" if is_well else "failed", said


def nginx(folder: Path | None) -> Suite:
    """nginx' own tests: each file starts its own nginx."""
    tests = _folder(folder, "https://github.com/nginx/nginx-tests") / "lib"
    program = servers.tool("nginx", "nginx-light")

    def environment(path: str) -> dict[str, str]:
        return {"TEST_NGINX_BINARY": path, "TEST_NGINX_MODULES": "/usr/lib/nginx/modules",
                "TEST_NGINX_GLOBALS": "user root;"}  # fmt: skip

    parts = [
        Part(test.name, lambda _p, _k, _f, test=test: [servers.tool("prove", "perl"), test.name],  # type: ignore[misc]
             "inet", tests.parent, r"Result: PASS", environment)
        for test in sorted(tests.parent.glob("*.t"))
    ]  # fmt: skip
    return Suite(program, parts)


def lua(folder: Path | None) -> Suite:
    """Lua's own tests, each file by itself as `all.lua` runs it, and `all.lua` whole."""
    tests = _folder(folder, "testes of https://github.com/lua/lua")
    program = servers.tool("lua5.4", "lua5.4")
    begins = "_port=false; _soft=false; _nomsg=true"  # nothing is left out but what needs a Lua built for its tests

    def part(name: str) -> Part:
        whole = name == "all.lua"
        return Part(
            name, lambda path, _k, _f: [path, "-e", f"{begins}; arg={{[0]='{program}',[-1]='{program}'}}", name],
            f"file:{tests}/*.lua", tests, r"final OK" if whole else r"(?i)\bOK\b",
        )  # fmt: skip

    left_out = {"heavy.lua"}  # it fills the memory
    return Suite(program, [part(one.name) for one in sorted(tests.glob("*.lua")) if one.name not in left_out],
                 frozenset({"execute", "format"}))  # fmt: skip


def redis(_: Path | None) -> Suite:
    """redis' own tests, each unit against a daemon of its own."""
    source = debian_source("redis")
    program = servers.tool("redis-server", "redis-server")

    def command(path: str, kept: ExitStack, place: Path, unit: str) -> list[str]:
        port = free_port()
        settings = {"bind": "127.0.0.1", "port": port, "dir": place, "save": "", "enable-debug-command": "yes"}
        words = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
        kept.enter_context(_daemon([path, *words], port))
        return [servers.tool("tclsh", "tcl"), "tests/test_helper.tcl", "--host", "127.0.0.1", "--port", str(port),
                "--tags", "-slow -needs:repl", "--single", unit]  # fmt: skip

    units = sorted(str(one.relative_to(source / "tests").with_suffix("")) for one in source.glob("tests/unit/**/*.tcl"))
    parts = [
        Part(unit, lambda path, kept, place, unit=unit: command(path, kept, place, unit), "inet", source,  # type: ignore[misc]
             r"ok\S{0,6}\]: (?s:.*)All tests passed without errors")
        for unit in units if "moduleapi" not in unit and "cluster" not in unit
    ]  # fmt: skip
    return Suite(program, parts)


@contextmanager
def _daemon(line: list[str], port: int) -> Iterator[None]:
    """Run a server until the end, from when it accepts. Nobody waits for it meanwhile: see `_ended`."""
    process = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until_s = time.monotonic() + START_S_MAX
        while time.monotonic() < until_s:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.02)
        yield
    finally:
        process.kill()
        process.wait()


def cpython(_: Path | None) -> Suite:
    """CPython's own tests, a module each."""
    try:
        from test import __file__ as package
    except ImportError:
        raise MissingError("a Python with its tests, as it is when built from source") from None
    folder = Path(package).parent
    # It possesses, attaches or measures itself, or asks the world.
    left_out = {"test_gdb", "test_urllib2net", "test_urllibnet", "test_dtrace", "test_perf_profiler"}
    names = sorted({one.stem for one in folder.glob("test_*.py")} | {one.name for one in folder.glob("test_*/")})

    def part(name: str) -> Part:
        source = f"file:{folder}/{name}/*.py" if (folder / name).is_dir() else f"file:{folder}/{name}.py"

        def command(path: str, _kept: ExitStack, place: Path) -> list[str]:
            return [path, "-B", "-X", f"pycache_prefix={place}/cache", "-m", "test", name]

        return Part(name, command, source, Path("/tmp"), r"Result: SUCCESS")

    return Suite(os.path.realpath(sys.executable), [part(name) for name in names if name not in left_out],
                 frozenset({"execute"}))  # fmt: skip


SUITES = {"nginx": nginx, "lua": lua, "redis": redis, "cpython": cpython}


def _folder(folder: Path | None, what: str) -> Path:
    if folder is None or not folder.is_dir():
        raise MissingError(f"the folder of {what}")
    return folder.resolve()


def _lines(suite: Suite, arguments: argparse.Namespace) -> Iterator[tuple[Part, Ran, Ran | None]]:
    """Run all parts; yield each with how it went natively, and possessed."""
    until_s = time.monotonic() + arguments.within_s
    wanted = arguments.only.split(",")
    for part in suite.parts:
        if time.monotonic() > until_s:
            return
        if not any(fnmatch.fnmatchcase(part.name, one) for one in wanted):
            continue
        natively = run(suite, part, arguments.natively_s, is_possessed=False)
        if natively.outcome != "passed":
            yield part, natively, None
            continue
        yield part, natively, run(suite, part, arguments.limit_s, is_possessed=True)


def main() -> int:
    """Run a suite and say how it went."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite", choices=SUITES)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--only", default="*")
    parser.add_argument("--limit-s", type=float, default=60.0)
    parser.add_argument("--natively-s", type=float, default=20.0)
    parser.add_argument("--within-s", type=float, default=3600.0)
    parser.add_argument(
        "--reports",
        type=Path,
        metavar="FOLDER",
        default=PLACE / "peace",
        help="keep false alerts there: eudaemon alert list --data FOLDER (default: %(default)s)",
    )
    arguments = parser.parse_args()
    if reason := why_not():
        raise SystemExit(reason)
    try:
        suite = SUITES[arguments.suite](arguments.folder)
    except MissingError as missing:
        raise SystemExit(f"not here: {missing}") from None
    kept = Store(arguments.reports / "alerts", count_max=ALERTS_MAX, bytes_max=ALERTS_BYTES_MAX)
    outcomes: Counter[str] = Counter()
    meant = false = possessed = 0
    for part, natively, ran in _lines(suite, arguments):
        if ran is None:
            outcomes[f"natively {natively.outcome}"] += 1
            continue
        outcomes[ran.outcome] += 1
        possessed += ran.possessed
        true = [one for one in ran.heard if one.kind in suite.meant]
        wrong = [one for one in ran.heard if one.kind not in suite.meant]
        meant, false = meant + len(true), false + len(wrong)
        print(f"{ran.outcome:7} {part.name:32} {natively.wall_s:6.1f} s {ran.wall_s:6.1f} s  {ran.possessed} possessed"
              + (f"  {len(true)} meant" if true else ""), flush=True)  # fmt: skip
        places = Counter((one.kind, one.where) for one in wrong)
        for (kind, where), count in list(places.items())[:PLACES_MAX]:
            first = next(one for one in wrong if (one.kind, one.where) == (kind, where))
            name = first.evidence.report.id
            print(f"        ALERT {count} x {kind}: {where}, of {first.input!r}: {name}", flush=True)
            for pair in doubles(first.evidence.report):
                print(f"            share their tags: {pair}", flush=True)
        if len(places) > PLACES_MAX:
            print(f"        ALERTS at {len(places) - PLACES_MAX} more places", flush=True)
        for one in wrong:
            kept.keep(one.evidence)
        for why in dict.fromkeys(ran.refused):
            print(f"        not possessed: {why}", flush=True)
        if ran.outcome == "failed":
            print("        " + "\n        ".join(ran.said.strip().splitlines()[-30:]), flush=True)
    counted = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
    print(f"{arguments.suite}: {counted}; {possessed} processes possessed; alerts: {false}, and {meant} that are meant")
    return int(bool(false or outcomes["failed"]))


if __name__ == "__main__":
    sys.exit(main())
