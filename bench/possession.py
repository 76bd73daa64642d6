"""What possession costs: ratios to native in one run, beside others that translate code.

    python bench/possession.py                         all of it (about twenty minutes)
    python bench/possession.py --only cpu              programs that compute: processor time, median of the rounds
    python bench/possession.py --only servers          nginx, lighttpd and redis: requests a second; uploads by a proxy
    python bench/possession.py --only freeze           the longest gap between two clock reads, seen by the victim
    python bench/possession.py --only memory           what engine and shadow take of memory in servers
    python bench/possession.py --only crowd            … and the engine for each thread where there are many
    python bench/possession.py --only kernels          two kernels without a library; Minemu on their 32-bit build
    python bench/possession.py --programs lua,xz --variants native,none --rounds 5
    python bench/possession.py --quick                 less work in each run, one round
    python bench/possession.py --json                  figures for a program to read

A program is possessed as soon as it has begun and runs to its end; what it prints must be the same in every variant.
Servers are possessed and released in turn while they are asked. Ratios matter, not the numbers: machines differ.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from eudaemon import possession
from eudaemon.possession.engine import load_engine
from eudaemon.possession.mailbox import Mailbox, find_mailbox
from eudaemon.possession.maps import read_maps
from eudaemon.possession.memory import Memory
from eudaemon.possession.ptrace import Kernel
from possession_peers import ENGINE, POSSESSED, VARIANTS, Run, TooSlowError, minemu, server_behind, variants
from possession_programs import PROGRAMS, MissingError, kernel

HERE = Path(__file__).resolve().parent
SLOWER_MAX = 40.0  # times native, then a variant is given up
FREEZES = 31
SETTLE_S = 0.08
SERVER_S = 3.0
CROWD_S = 4.0  # until all threads of a crowd have run


@dataclass
class Bench:
    """What is asked for, and what was found."""

    rounds: int
    scale: float
    programs: list[str]
    variants: list[str]
    json: bool
    server_s: float
    found: dict[str, object] = field(default_factory=dict)

    def say(self, text: str) -> None:
        """Print for people; as JSON only the end is printed."""
        print(text, file=sys.stderr if self.json else sys.stdout, flush=True)


def cpu(bench: Bench) -> None:
    """Processor time of each program and variant, one after the other in each round."""
    chosen = list(variants(bench.variants))
    table: dict[str, dict[str, float | str]] = {}
    for name in bench.programs:
        try:
            program = PROGRAMS[name](bench.scale)
        except MissingError as missing:
            bench.say(f"{name}: not here: {missing}")
            continue
        times: dict[str, list[float]] = {}
        notes: dict[str, str] = {}
        want = ""
        for _ in range(bench.rounds):
            for variant, run in chosen:
                if variant in notes:
                    continue
                limit_s = max(20.0, SLOWER_MAX * statistics.median(times["native"])) if "native" in times else 300.0
                taken_s, answer, note = _once(run, program.command, limit_s, program.answer)
                want = want or answer
                if note or answer != want:
                    notes[variant] = note or "another answer than natively"
                    bench.say(f"{program.name}, {variant}: {notes[variant]}")
                else:
                    times.setdefault(variant, []).append(taken_s)
        table[program.name] = _ratios(times, notes)
        bench.say(_row(program.name, table[program.name], statistics.median(times["native"])))
    means = _means(table, [name for name, _ in chosen])
    bench.say(_row("geometric mean", means, 0.0))
    bench.found["cpu"] = {**table, "geometric mean": means}


def _once(run: Run, command: list[str], limit_s: float, answer: object) -> tuple[float, str, str]:
    try:
        ran = run(command, limit_s)
    except TooSlowError as slow:
        return 0.0, "", str(slow)
    except (MissingError, possession.PossessionError) as failed:
        return 0.0, "", str(failed)
    assert callable(answer)
    return ran.cpu_s, str(answer(ran.output)), ""


def _ratios(times: dict[str, list[float]], notes: dict[str, str]) -> dict[str, float | str]:
    native = times["native"]
    ratios: dict[str, float | str] = {}
    for variant, taken in times.items():
        ratios[variant] = round(statistics.median(one / base for one, base in zip(taken, native, strict=False)), 3)
    return ratios | dict.fromkeys(notes, "–")


def _means(table: dict[str, dict[str, float | str]], names: list[str]) -> dict[str, float | str]:
    means: dict[str, float | str] = {}
    for name in names:
        ratios = [row[name] for row in table.values() if isinstance(row.get(name), float | int)]
        if ratios and len(ratios) == len(table):
            means[name] = round(math.exp(statistics.fmean(math.log(float(ratio)) for ratio in ratios)), 3)
    return means


def _row(name: str, ratios: dict[str, float | str], native_s: float) -> str:
    cells = "  ".join(
        f"{variant} {ratio if isinstance(ratio, str) else format(ratio, '.2f')}" for variant, ratio in ratios.items()
    )
    return f"{name:18} {f'{native_s:.2f} s' if native_s else '':8} {cells}"


def servers(bench: Bench) -> None:
    """Requests a second: native, possessed, native again, on the same running server; peers from their start."""
    for name, (command_of, rate_of) in SERVERS.items():
        rates: dict[str, list[float]] = {}
        try:
            with tempfile.TemporaryDirectory() as place:
                Path(place).chmod(0o755)
                port = _free_port()
                command = command_of(Path(place), port)
                with server_behind([], command) as process:
                    _until_it_answers(port)
                    rate_of(port, 1.0)  # warm
                    for _ in range(bench.rounds):
                        rates.setdefault("native", []).append(rate_of(port, bench.server_s))
                        for variant in POSSESSED:
                            if variant in bench.variants:
                                rates.setdefault(variant, []).append(
                                    _possessed_rate(process.pid, variant, rate_of, port, bench)
                                )
                    rates["after"] = [rate_of(port, bench.server_s)]
                for peer, prefix in _peers(bench.variants):
                    port = _free_port()
                    with server_behind(prefix, command_of(Path(place), port)):
                        _until_it_answers(port)
                        rates[peer] = [rate_of(port, bench.server_s)]
        except MissingError as missing:
            bench.say(f"{name}: not here: {missing}")
            continue
        native = statistics.median(rates["native"])
        shares = {variant: round(statistics.median(found) / native, 3) for variant, found in rates.items()}
        bench.say(f"{name:18} {native:9,.0f}/s  " + "  ".join(f"{one} {share:.0%}" for one, share in shares.items()))
        bench.found[name] = {"native_per_s": round(native), **shares}


def _possessed_rate(pid: int, variant: str, rate_of: object, port: int, bench: Bench) -> float:
    assert callable(rate_of)
    with possession.possess(pid, engine=load_engine(ENGINE), **POSSESSED[variant]):
        rate_of(port, 0.5)  # translate
        return float(rate_of(port, bench.server_s))


def _peers(names: list[str]) -> Iterator[tuple[str, list[str]]]:
    peers = {"qemu": ["qemu-x86_64"], "valgrind": ["valgrind", "--tool=none", "-q"],
             "memcheck": ["valgrind", "--tool=memcheck", "-q"]}  # fmt: skip
    for name, line in peers.items():
        if name in names and (path := shutil.which(line[0])):
            yield name, [path, *line[1:]]


def _nginx(place: Path, port: int) -> list[str]:
    program = _tool("nginx", "nginx-light")
    (place / "index.html").write_bytes(bytes(range(256)) * 4)
    temporary = " ".join(f"{what}_temp_path {place};" for what in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    config = place / f"conf-{port}"
    config.write_text(f"""
        daemon off; master_process off; pid {place}/pid; error_log /dev/null;
        events {{ worker_connections 256; }}
        http {{ access_log off; {temporary} keepalive_requests 100000000;
                server {{ listen 127.0.0.1:{port}; root {place}; }} }}""")
    return [program, "-c", str(config), "-p", str(place)]


def _nginx_proxy(place: Path, port: int) -> list[str]:
    """nginx that takes uploads, and hands them on to itself: each byte is read, written and read again."""
    line = _nginx(place, port)
    config = place / f"conf-{port}"
    config.write_text(
        config.read_text().replace(
            "server {",
            f"""
        upstream behind {{ server unix:{place}/behind-{port}; keepalive 32; }}
        server {{ listen unix:{place}/behind-{port}; client_body_buffer_size 256k;
                  location / {{ return 200 "taken"; }} }}
        server {{ location /up {{ proxy_pass http://behind; proxy_http_version 1.1; proxy_set_header Connection "";
                                  client_body_buffer_size 256k; }}""",
            1,
        )
    )
    return line


def _lighttpd(place: Path, port: int) -> list[str]:
    (place / "index.html").write_bytes(bytes(range(256)) * 4)
    config = place / f"conf-{port}"
    config.write_text(f"""
        server.document-root = "{place}"
        server.bind = "127.0.0.1"
        server.port = {port}
        server.max-keep-alive-requests = 100000000
        index-file.names = ("index.html")
    """)
    return [_tool("lighttpd", "lighttpd"), "-D", "-f", str(config)]


def _wrk_upload(port: int, seconds: float) -> float:
    """Upload 64 KiB again and again."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write('wrk.method = "POST"; wrk.path = "/up"; wrk.body = string.rep("0123456789abcdef", 4096)')
        script.flush()
        return _wrk(port, seconds, "-s", script.name)


def _wrk(port: int, seconds: float, *more: str) -> float:
    line = [_tool("wrk", "wrk"), "-t1", "-c16", f"-d{max(1, round(seconds))}s", *more, f"http://127.0.0.1:{port}/"]
    said = subprocess.run(line, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in said or "Socket errors" in said:
        raise SystemExit(f"wrk saw errors:\n{said}")
    return float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1])  # type: ignore[index]


def _redis(place: Path, port: int) -> list[str]:
    return [
        _tool("redis-server", "redis-server"),
        "--bind",
        "127.0.0.1",
        "--port",
        str(port),
        "--save",
        "",
        "--dir",
        str(place),
    ]


def _redis_benchmark(port: int, seconds: float) -> float:
    line = [_tool("redis-benchmark", "redis-tools"), "-h", "127.0.0.1", "-p", str(port), "-c", "20", "-t", "set,get",
            "-n", str(int(20_000 * seconds)), "--csv"]  # fmt: skip
    said = subprocess.run(line, capture_output=True, text=True, check=True).stdout
    return statistics.fmean(float(rate) for rate in re.findall(r'^"(?:SET|GET)","([\d.]+)"', said, re.MULTILINE))


SERVERS = {
    "nginx": (_nginx, _wrk), "lighttpd": (_lighttpd, _wrk), "redis": (_redis, _redis_benchmark),
    "nginx upload": (_nginx_proxy, _wrk_upload),
}  # fmt: skip


def freeze(bench: Bench) -> None:
    """The victim's own longest gap around a possession and a release, with 1 thread and with 64."""
    _reach_tests()
    from possession.running import running  # type: ignore[import-not-found]
    from possession.victims import row  # type: ignore[import-not-found]

    for threads in (1, 64):
        gaps: dict[str, list[float]] = {"quiet": [], "possession": [], "release": []}
        with running(row("freeze.c", arguments=(str(threads),))) as victim:
            time.sleep(0.3)
            for _ in range(5 if bench.rounds == 1 else FREEZES):
                gaps["quiet"].append(_longest_gap_ms(victim))
                held = possession.possess(victim.pid, engine=load_engine(ENGINE))
                gaps["possession"].append(_longest_gap_ms(victim))
                held.release()
                gaps["release"].append(_longest_gap_ms(victim))
            victim.stop()
        medians = {what: round(statistics.median(found), 2) for what, found in gaps.items()}
        worst = {what: round(max(found), 2) for what, found in gaps.items()}
        bench.say(
            f"freeze, {threads:2} threads  "
            + "  ".join(f"{what} {medians[what]:.2f} ms (worst {worst[what]:.2f})" for what in gaps)
        )
        bench.found[f"freeze_{threads}_threads_ms"] = {"median": medians, "worst": worst}


def _reach_tests() -> None:
    """Let `possession` be that of the tests, which has the name of this file."""
    sys.path[:] = [str(HERE.parent / "tests"), *(place for place in sys.path if Path(place) != HERE)]


def _longest_gap_ms(victim: object) -> float:
    """Let the victim settle; return the longest gap of which it has told since the last time."""
    time.sleep(SETTLE_S)
    victim.read()  # type: ignore[attr-defined]
    lines, victim.lines = victim.lines, []  # type: ignore[attr-defined]
    gaps = [int(line.split()[1]) for line in lines if line.startswith("gap")]
    return max(gaps, default=0) / 1000


def memory(bench: Bench) -> None:
    """Resident memory of what the engine maps in servers that are asked for a while, and their shadow while tainted."""
    for name, (command_of, rate_of) in SERVERS.items():
        try:
            with tempfile.TemporaryDirectory() as place:
                Path(place).chmod(0o755)
                port = _free_port()
                with server_behind([], command_of(Path(place), port)) as process:
                    _until_it_answers(port)
                    with possession.possess(process.pid, engine=load_engine(ENGINE)):
                        rate_of(port, 2.0)
                        taken_mib = _resident_kib(process.pid).engine / 1024
                    with possession.possess(process.pid, engine=load_engine(ENGINE), **POSSESSED["tainted"]):
                        rate_of(port, 2.0)
                        tainted = _resident_kib(process.pid)
        except MissingError as missing:
            bench.say(f"{name}: not here: {missing}")
            continue
        share = tainted.shadow / tainted.own
        bench.say(
            f"memory, {name:13} {taken_mib:.1f} MiB beyond the shadow; tainted: a shadow of "
            f"{tainted.shadow / 1024:.1f} MiB, {tainted.own / 1024:.1f} MiB touched by the program: {share:.2f}"
        )
        bench.found[f"memory_{name}"] = {
            "engine_mib": round(taken_mib, 2), "shadow_mib": round(tainted.shadow / 1024, 2),
            "touched_mib": round(tainted.own / 1024, 2), "shadow_of_touched": round(share, 3),
        }  # fmt: skip


def crowd(bench: Bench) -> None:
    """Resident memory of what the engine maps, beyond the shadow, a thread."""
    _reach_tests()
    from possession.ctl import Victims  # type: ignore[import-not-found]

    for threads in (64, 512, 1000):
        taken: dict[str, int] = {}
        for variant in ("none", "tainted"):
            with tempfile.TemporaryDirectory() as place:
                victim = Victims(Path(place)).start("ctl_crowd", str(threads), "0")
                try:
                    victim.good(1)
                    with possession.possess(victim.pid, engine=load_engine(ENGINE), **POSSESSED[variant]):
                        time.sleep(CROWD_S)
                        taken[variant] = _resident_kib(victim.pid).engine // threads
                finally:
                    victim.end()
        bench.say(f"memory, {threads:4} threads  " + "  ".join(f"{one} {kib} KiB each" for one, kib in taken.items()))
        bench.found[f"memory_{threads}_threads_kib_each"] = taken


@dataclass(frozen=True)
class Resident:
    """Resident memory of a possessed process, KiB: the engine's but for the shadow, the shadow's, and its own."""

    engine: int
    shadow: int
    own: int


def kernels(bench: Bench) -> None:
    """Two kernels whose input is tainted, beside Minemu: each against the same kernel natively, of its own bits."""
    try:
        peer: dict[str, Run] = {"minemu": minemu()}
    except MissingError as missing:
        bench.say(f"minemu: not here: {missing}")
        peer = {}
    runs = dict(variants([name for name in bench.variants if name in ("native", *POSSESSED, "qemu", "memcheck")]))
    for mode in ("hash", "store"):
        rounds = int(4000 * bench.scale)
        times: dict[str, list[float]] = {}
        answers = set()
        for _ in range(bench.rounds):
            for bits, chosen in ((64, runs), (32, {"native 32": runs["native"], **peer})):
                for name, run in chosen.items():
                    try:
                        ran = run(kernel(mode, rounds, bits), 120.0)
                    except (TooSlowError, MissingError, possession.PossessionError) as failed:
                        bench.say(f"kernel {mode}, {name}: {failed}")
                        continue
                    times.setdefault(name, []).append(ran.cpu_s)
                    answers.add(ran.output)
        if len(answers) > 1:
            raise SystemExit(f"kernel {mode}: the answers differ: {answers}")
        of = {"minemu": "native 32"}
        ratios = {
            name: round(statistics.median(taken) / statistics.median(times[of.get(name, "native")]), 2)
            for name, taken in times.items()
            if name not in ("native", "native 32") and of.get(name, "native") in times
        }
        bench.say(f"kernel {mode:5}  " + "  ".join(f"{name} {ratio:.2f}" for name, ratio in ratios.items()))
        bench.found[f"kernel {mode}"] = ratios


def _resident_kib(pid: int) -> Resident:
    abi, memory_of = load_engine(ENGINE).abi, Memory(Kernel(), pid)
    address = find_mailbox(read_maps(pid), memory_of, abi)
    assert address is not None
    spans = [(one.address, one.address + one.size, one.kind == abi["mapping::SHADOW"])
             for one in Mailbox(memory_of, abi, address).mappings()]  # fmt: skip
    memory_of.close()
    found = {"engine": 0, "shadow": 0, "own": 0}
    whose = "own"
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if header := re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line):
            begin = int(header[1], 16)
            inside = [is_shadow for low, high, is_shadow in spans if low <= begin < high]
            whose = "own" if not inside else "shadow" if inside[0] else "engine"
        elif line.startswith("Rss:"):
            found[whose] += int(line.split()[1])
    return Resident(**found)


def _tool(name: str, package: str) -> str:
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin")
    if path is None:
        raise MissingError(f"apt-get install {package}")
    return path


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def _until_it_answers(port: int) -> None:
    for _ in range(1200):
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise MissingError(f"nobody answers on port {port}")


def main() -> None:
    """Run what is asked for."""
    parts = {"cpu": cpu, "servers": servers, "freeze": freeze, "memory": memory, "crowd": crowd, "kernels": kernels}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=parts)
    parser.add_argument("--programs", default=",".join(PROGRAMS))
    parser.add_argument("--variants", default=",".join(VARIANTS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    bench = Bench(
        rounds=1 if chosen.quick else chosen.rounds, scale=0.5 if chosen.quick else 2.5,
        programs=chosen.programs.split(","), variants=chosen.variants.split(","), json=chosen.json,
        server_s=1.0 if chosen.quick else SERVER_S,
    )  # fmt: skip
    for name, part in parts.items():
        if chosen.only in (None, name):
            part(bench)
    if chosen.json:
        print(json.dumps(bench.found, indent=1))


if __name__ == "__main__":
    main()
