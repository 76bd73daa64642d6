"""How fast the store takes events in, how fast it answers, and what other engines would do.

    python bench/store.py append                     events per second through the whole append path
    python bench/store.py queries --events 10000000  every query of the page
    python bench/store.py engines --events 10000000  chDB, DuckDB and SQLite with the same events and questions

Without an argument: `append`, then `queries` with 10 million events. `engines` needs `pip install duckdb`.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from eudaemon.events import from_json, to_json
from eudaemon.farm.geo import Locator, Place
from eudaemon.farm.queries import addresses, attacks, samples
from eudaemon.farm.settings import StoreSettings
from eudaemon.farm.store import Store, row_of
from eudaemon.farm.store.chdb import Chdb
from eudaemon.testing.synthetic import Synthetic

BATCH = 500
MADE_MAX = 500_000  # made one by one; more are copies of these, shifted in time, with other sessions and attackers
APPEND_TARGET, QUERY_TARGET_MS = 5_000, 200
DAYS = 30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=("append", "queries", "engines", "all"), default="all")
    parser.add_argument("--events", type=int, default=0, help="how many (append: 200000, else 10000000)")
    parser.add_argument("--keep", type=Path, help="folder for the engines' files, used again when it is there")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-store-") as scratch:
        home = arguments.keep or Path(scratch)
        if arguments.what in ("append", "all"):
            asyncio.run(append(Path(scratch) / "append", arguments.events or 200_000))
        if arguments.what in ("queries", "all"):
            asyncio.run(ask(home, arguments.events or 10_000_000))
        if arguments.what == "engines":
            from store_engines import compare

            compare(home, arguments.events or 10_000_000)


async def append(home: Path, count: int) -> None:
    """Take in lines as a sensor sends them: read, locate, make durable, acknowledge, until the engine has them all."""
    now_s = time.time()
    made = [to_json(seen.event).encode() for seen in Synthetic(end_s=now_s, days=DAYS).events(count)]
    locate = Locator().locate
    async with Store(home) as store:
        began_s = time.perf_counter()
        for first in range(0, count, BATCH):
            rows = []
            for line in made[first : first + BATCH]:
                event = from_json(line)
                rows.append(row_of(event, now_s, locate(event.attacker.ip) if event.attacker else Place()))
            await store.append("bench", "0" * 32, first, rows)
        taken_s = time.perf_counter() - began_s
        await store.settle()
        took_s = time.perf_counter() - began_s
        stored = (await store.query("SELECT count() AS n FROM events"))[0]["n"]
    rate = count / took_s
    print(f"append: {stored:,} events in batches of {BATCH}: acknowledged at {count / taken_s:,.0f}/s, in the engine at"
          f" {rate:,.0f}/s (target {APPEND_TARGET:,}: {rate / APPEND_TARGET:.1f} ×), {resident()}")  # fmt: skip


async def ask(home: Path, count: int) -> None:
    """Time every query of the page, over all of the 30 days that the events lie in."""
    fill(home / "engine", count)
    async with Store(home) as store:
        began_s = time.perf_counter()
        await store.query("SELECT 1")
        window = attacks.Window.last(timedelta(days=DAYS))
        print(f"queries: {(await attacks.totals(store, window))['attacks']:,} attacks in {count:,} events,"
              f" {size(home / 'engine') / 2**20:,.0f} MB on disk, {resident()}")  # fmt: skip
        slowest = 0.0
        for name, question in questions(
            store, window, (await attacks.sessions(store, attacks.SessionFilter(window)))[9]
        ):
            times = []
            for _ in range(5):
                began_s = time.perf_counter()
                await question()
                times.append((time.perf_counter() - began_s) * 1000)
            median = statistics.median(times)
            slowest = max(slowest, median)
            print(f"  {name:<28} {median:7.1f} ms   (fastest {min(times):.1f}, first {times[0]:.1f})")
        print(f"  slowest {slowest:.0f} ms, target {QUERY_TARGET_MS} ms; {resident()}")


def questions(
    store: Store, window: attacks.Window, session: dict[str, Any]
) -> Iterator[tuple[str, Callable[[], Awaitable[object]]]]:
    """Yield every question by its name."""
    wanted = attacks.SessionFilter
    yield "totals", lambda: attacks.totals(store, window)
    yield "over time", lambda: attacks.over_time(store, window)
    for what in attacks.RANKINGS:
        yield f"top {what}", lambda what=what: attacks.ranked(store, what, window)
    yield "sessions, newest", lambda: attacks.sessions(store, wanted(window))
    yield "sessions, country", lambda: attacks.sessions(store, wanted(window, country=session["country"]))
    yield "sessions, address", lambda: attacks.sessions(store, wanted(window, network=session["ip"]))
    yield "sessions, with sample", lambda: attacks.sessions(store, wanted(window, with_sample=True))
    yield "sessions, exploit", lambda: attacks.sessions(store, wanted(window, exploit="Realtek SDK miniigd"))
    yield "sessions, CVE", lambda: attacks.sessions(store, wanted(window, exploit="CVE-2014-8361"))
    yield "sessions, unknown CVE", lambda: attacks.sessions(store, wanted(window, exploit="CVE-2000-0001"))
    yield (
        "sessions, outcomes",
        lambda: attacks.sessions(
            store, wanted(window, with_login=True, with_command=True, with_sample=True, room="telnet")
        ),
    )
    yield "sessions, alerts", lambda: attacks.sessions(store, wanted(window, with_alert=True))
    yield "sessions, text", lambda: attacks.sessions(store, wanted(window, text="xc3511"))
    yield "one session", lambda: attacks.session_events(store, session["session"])
    yield "one address", lambda: addresses.address(store, session["ip"], window)
    for what in ("ports", "credentials", "commands", "exploits", "urls", "artefacts"):
        yield f"one address, {what}", lambda what=what: attacks.ranked(store, what, window, network=session["ip"])
    yield "one address, facts", lambda: addresses.address_events(store, session["ip"], window)
    yield "nobody's address", lambda: addresses.address_events(store, "203.0.113.254", window)
    yield "samples", lambda: samples.samples(store, window)
    yield "search, text", lambda: samples.search(store, "busybox", window)
    yield "search, address", lambda: samples.search(store, session["ip"], window)


def fill(path: Path, count: int) -> None:
    """Fill the engine in `path` with `count` events; what an earlier run left there is used."""
    done = path.parent / f"filled-{count}"
    if done.exists():
        return
    shutil.rmtree(path, ignore_errors=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    engine = Chdb(path, StoreSettings())
    engine.create()
    now_s, lines, block = time.time(), [], 0
    for seen in Synthetic(end_s=now_s, days=DAYS).events(min(count, MADE_MAX)):
        who = seen.attacker
        lines.append(row_of(seen.event, now_s, Place(who.country, who.asn, who.as_name) if who else Place()).line())
        if len(lines) == 50_000:
            engine.insert(block, lines, again=False)
            block, lines = block + 1, []
    engine.insert(block, lines, again=False)
    for copy in range(1, -(-count // MADE_MAX)):
        # A quarter of the attackers of a copy are new ones; every session is.
        engine._write(f"""INSERT INTO events SELECT * REPLACE (
            generateUUIDv4() AS id, time - toIntervalSecond({copy * 97}) AS time, {copy + 1000} AS block,
            concat(substring(session, 1, 24), leftPad(hex({copy}), 4, '0'), substring(session, 29)) AS session,
            if(cityHash64(attacker_ip) % 4 = 0, toIPv6(concat('::ffff:', IPv4NumToString(toUInt32(
                1681915904 + (cityHash64(attacker_ip, {copy}) % 4000000))))), attacker_ip) AS attacker_ip)
            FROM events WHERE events.block < 1000 SETTINGS max_partitions_per_insert_block = 0""")
    engine.close()
    done.touch()


def size(path: Path) -> int:
    """Return what a file, or all files of a folder, take on disk, bytes."""
    files = [path] if path.is_file() else path.rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file())


def resident() -> str:
    """Return this process's memory, in words."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    whole, own = (int(fields[name].split()[0]) / 1024 for name in ("VmRSS", "RssAnon"))
    return f"RSS {whole:,.0f} MB ({own:,.0f} of its own)"


if __name__ == "__main__":
    main()
