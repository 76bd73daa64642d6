"""A public suite of buffer overflows, natively and possessed: which forms succeed, which are caught, and when.

    python bench/ripe.py --program PATH                    natively: how many forms succeed (about five minutes)
    python bench/ripe.py --program PATH --possessed        each of those again, possessed in taint mode
    python bench/ripe.py --program PATH --possessed --stores    ... where a tainted address of a store is an alert too
    python bench/ripe.py --table                           what was found so far, as the tables of docs/detection.md
    ... --way tcp|pair|file --only direct,memcpy --most 100 --jobs 2 --results FILE

PATH is the attack generator of the 64-bit port of RIPE (https://github.com/hrosier/ripe64), built for gcc as its own
Makefile does. It is not part of this repository, and not fetched. It builds its payloads within the process that it
attacks, so `ripe_shim.c` is preloaded, which takes the payload out and brings it in through a socket or a file.

A form succeeds if the shell that it starts says a word that it was told on standard input, in every one of three runs
at fixed addresses, or in some of them: a jump buffer has a secret in it, where a zero ends a string. Results are kept,
a line of JSON each; what is there is not done again.

Possessed, a form is caught *before* (the first alert is about where control would go, and the word was not said),
*late* (the first alert is about a system call of code that had taken over), *missed* (the word was said), or
*otherwise* (neither alert nor word).
"""

from __future__ import annotations

import argparse
import collections
import itertools
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

HERE = Path(__file__).resolve().parent
PLACE = HERE.parent / ".venv" / "bench"
TESTS = str(HERE.parent / "tests")

TECHNIQUES = ("direct", "indirect")
CODE = ("nonop", "simplenop", "simplenopequival", "r2libc", "rop")
POINTERS = (
    "ret", "baseptr", "funcptrstackvar", "funcptrstackparam", "funcptrheap", "funcptrbss", "funcptrdata",
    "structfuncptrstack", "structfuncptrheap", "structfuncptrbss", "structfuncptrdata",
    "longjmpstackvar", "longjmpstackparam", "longjmpheap", "longjmpbss", "longjmpdata",
)  # fmt: skip
LOCATIONS = ("stack", "heap", "bss", "data")
FUNCTIONS = (
    "memcpy", "strcpy", "strncpy", "sprintf", "snprintf", "strcat", "strncat", "sscanf", "fscanf", "homebrew",
)  # fmt: skip
# As the source that the engine is told of. What fscanf reads, the suite has written to a file besides.
SOURCES = {"tcp": "inet,file:{place}/*", "pair": "unix,file:{place}/*", "file": "file:{place}/*"}

SUCCEED = ("succeeds", "sometimes")
TOGETHER = ("**together**",)
COLUMNS = {
    "natively": "succeed natively", "by default before": "caught before", "by default late": "late",
    "by default missed": "missed", "by default otherwise": "otherwise", "with --stores before": "before, with --stores",
}  # fmt: skip

WORD = "HIJACKED"
TOLD = f"echo {WORD}\nexit\n".encode()
TRIES = 3
RUN_S = 20.0
# What goes astray ends soon, and leaves no core.
LIMITED = ("prlimit", "--cpu=10", "--core=0", "--fsize=1048576")


Results = dict[tuple[str, ...], str]


@dataclass(frozen=True, slots=True)
class Form:
    """One attack, in the suite's own words."""

    technique: str
    code: str
    pointer: str
    location: str
    function: str

    def arguments(self) -> list[str]:
        """Return the generator's arguments."""
        return ["-t", self.technique, "-i", self.code, "-c", self.pointer, "-l", self.location, "-f", self.function]

    def words(self) -> tuple[str, ...]:
        """Return the five choices."""
        return (self.technique, self.code, self.pointer, self.location, self.function)


FORMS = [Form(*words) for words in itertools.product(TECHNIQUES, CODE, POINTERS, LOCATIONS, FUNCTIONS)]


def shim() -> Path:
    """Build what is preloaded."""
    source, built = HERE / "ripe_shim.c", PLACE / "ripe_shim.so"
    if not built.exists() or built.stat().st_mtime < source.stat().st_mtime:
        PLACE.mkdir(parents=True, exist_ok=True)
        subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-shared", "-fPIC", "-o", built, source], check=True)
    return built


def start(program: Path, form: Form, way: str, place: str, gate: socket.socket) -> subprocess.Popen[bytes]:
    """Start the generator: it waits at the gate before its payload comes in. Addresses are the same each time."""
    environment = {
        "PATH": os.environ["PATH"], "RIPE_WAY": way, "RIPE_GATE": str(gate.fileno()), "LD_PRELOAD": str(shim()),
    }  # fmt: skip
    return subprocess.Popen(
        [*LIMITED, "setarch", "-R", str(program), *form.arguments()], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, env=environment, cwd=place, pass_fds=(gate.fileno(),),
        start_new_session=True,
    )  # fmt: skip


def end(process: subprocess.Popen[bytes]) -> bytes:
    """Tell the shell its word, wait, and end all that the attack has started; return what was said."""
    assert process.stdin
    with suppress(BrokenPipeError):  # it may be over already
        process.stdin.write(TOLD)
        process.stdin.close()
    process.stdin = None
    try:
        return process.communicate(timeout=RUN_S)[0]
    except subprocess.TimeoutExpired:
        return b""
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        process.wait()
        if process.stdout:
            process.stdout.close()


def opened(gate: socket.socket) -> bool:
    """Wait until the payload is made; false if the generator has ended without one."""
    gate.settimeout(RUN_S)
    try:
        return gate.recv(1) == b"r"
    except OSError:
        return False


def natively(program: Path, way: str, form: Form) -> str:
    """Return `succeeds`, `sometimes`, `fails`, or `impossible` where the suite itself says so."""
    count = 0
    for _ in range(TRIES):
        with tempfile.TemporaryDirectory(prefix="ripe-") as place:
            ours, theirs = socket.socketpair()
            with ours:
                with theirs:
                    process = start(program, form, way, place, theirs)
                is_made = opened(ours)
                if is_made:
                    ours.sendall(b"g")
                count += WORD.encode() in end(process)
        if not is_made:
            return "impossible"
        if not count:
            return "fails"
    return "succeeds" if count == TRIES else "sometimes"


def possessed(program: Path, way: str, stores: bool, form: Form) -> str:
    """Return `before KIND`, `late KIND`, `missed` or `otherwise`; that only if it is so each time.

    A saved jump buffer has the process's secret in it, which is another each time. Where there is a zero byte in it a
    string function copies too little, natively too.
    """
    for _ in range(TRIES):
        outcome = once_possessed(program, way, stores, form)
        if not outcome.startswith("otherwise"):
            break
    return outcome


def once_possessed(program: Path, way: str, stores: bool, form: Form) -> str:
    """Run a form once."""
    sys.path[:] = [TESTS, *(place for place in sys.path if place not in (TESTS, str(HERE)))]
    from possession.alarms import TRANSFERS, watched  # type: ignore[import-not-found]

    with tempfile.TemporaryDirectory(prefix="ripe-") as place:
        for name in ("payload", "fscanf_temp_file"):
            (Path(place) / name).touch()
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                process = start(program, form, way, place, theirs)
            if not opened(ours):
                end(process)
                return "otherwise: no payload"
            with watched(process.pid, SOURCES[way].format(place=place), stores=stores) as watch:
                ours.sendall(b"g")
                assert process.stdin
                with suppress(BrokenPipeError):  # it may be over already
                    process.stdin.write(TOLD)
                    process.stdin.flush()
                kind = watch.first(RUN_S, process)
                said = end(process)
    if WORD.encode() in said:
        return "missed"
    if not kind:
        return "otherwise"
    return f"{'before' if kind in TRANSFERS or kind == 'store' else 'late'} {kind}"


def table(native: Results, possessed: Results, stores: Results) -> Iterator[str]:
    """Yield the docs' tables in Markdown: of the forms that succeed natively, what became of each when possessed."""
    for head in ("technique", "code", "pointer", "function", "location"):
        rows: dict[tuple[str, ...], collections.Counter[str]] = {}
        for form in FORMS:
            if native.get(form.words()) in SUCCEED:
                found = [f"{name} {results.get(form.words(), '-').split()[0].rstrip(':')}"
                         for name, results in (("by default", possessed), ("with --stores", stores))]  # fmt: skip
                for row in ((form.technique, getattr(form, head)), TOGETHER):
                    rows.setdefault(row, collections.Counter()).update(["natively", *found])
        rows[TOGETHER] = rows.pop(TOGETHER, collections.Counter())
        yield f"| {head if head == 'technique' else f'technique, {head}'} | {' | '.join(COLUMNS.values())} |"
        yield "|---|" + "---:|" * len(COLUMNS)
        for words, counts in rows.items():
            yield f"| {', '.join(dict.fromkeys(words))} | {' | '.join(f'{counts[name]:,}' for name in COLUMNS)} |"
        yield ""


def kept(path: Path) -> Results:
    """Read the results that there are."""
    if not path.exists():
        return {}
    lines = map(json.loads, path.read_text().splitlines())
    return {tuple(line["form"]): line["outcome"] for line in lines}


def results_path(arguments: argparse.Namespace, kind: str) -> Path:
    """Return where results are kept: a file for each kind of run, which is native, possessed or stores."""
    return (arguments.results or PLACE) / f"ripe-{kind}-{arguments.way}.jsonl"


def main() -> int:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=Path, help="the suite's attack generator")
    parser.add_argument("--possessed", action="store_true", help="possess each form that succeeds natively")
    parser.add_argument("--stores", action="store_true", help="a tainted address of a store is an alert")
    parser.add_argument("--way", choices=SOURCES, default="tcp", help="how the payload comes in (default: %(default)s)")
    parser.add_argument("--only", default="", help="forms that have all of these words, by commas")
    parser.add_argument("--most", type=int, default=len(FORMS), help="end after so many forms")
    parser.add_argument("--jobs", type=int, default=2, help="at a time (default: %(default)s)")
    parser.add_argument("--results", type=Path, help=f"a folder (default: {PLACE.relative_to(HERE.parent)})")
    parser.add_argument("--table", action="store_true", help="only show what was found")
    arguments = parser.parse_args()
    arguments.possessed |= arguments.stores
    path = results_path(arguments, "stores" if arguments.stores else "possessed" if arguments.possessed else "native")
    results = kept(path)
    if not arguments.table:
        if arguments.program is None or not arguments.program.exists():
            parser.error("--program: name the built attack generator of https://github.com/hrosier/ripe64")
        program = arguments.program.resolve()
        wanted = set(filter(None, arguments.only.split(",")))
        todo = [form for form in FORMS if wanted <= set(form.words()) and form.words() not in results]
        if arguments.possessed:
            native = kept(results_path(arguments, "native"))
            if not native:
                parser.error("which forms succeed is not known yet: run it natively first, without --possessed")
            todo = [form for form in todo if native.get(form.words()) in SUCCEED]
            one = partial(possessed, program, arguments.way, arguments.stores)
        else:
            one = partial(natively, program, arguments.way)
        shim()
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as out, ThreadPoolExecutor(arguments.jobs) as pool:
            for form, outcome in zip(todo[: arguments.most], pool.map(one, todo[: arguments.most]), strict=True):
                results[form.words()] = outcome
                print(json.dumps({"form": form.words(), "outcome": outcome}), file=out, flush=True)
    print("\n".join(table(*(kept(results_path(arguments, kind)) for kind in ("native", "possessed", "stores")))))
    print(collections.Counter(results.values()).most_common())
    return 0


if __name__ == "__main__":
    sys.exit(main())
