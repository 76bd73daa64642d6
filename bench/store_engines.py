"""The candidates for the embedded engine, with the same events and the same questions. See docs/decisions/store.md.

    python bench/store.py engines            (needs `pip install duckdb`)

Each engine runs in a process of its own: insert in blocks that are on disk when they return, start on a full database,
seven questions, memory.
"""

from __future__ import annotations

import json
import os
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Verbs = tuple[Callable[[str], Any], Callable[[str], Any]]  # run a statement, ask a question
BLOCK, BLOCKS = 10_000, 20
ROUNDS = 3
COLUMNS = 14
QUESTIONS = {
    "events per hour": "SELECT {hour} AS hour, count(*) FROM events WHERE kind = 'session.opened' GROUP BY hour",
    "top countries": "SELECT country, count(*) AS n, count(DISTINCT ip) FROM events WHERE kind = 'session.opened'"
                     " GROUP BY country ORDER BY n DESC LIMIT 10",
    "top attackers": "SELECT ip, count(*) AS n FROM events WHERE kind = 'session.opened'"
                     " GROUP BY ip ORDER BY n DESC LIMIT 10",
    "top credentials": "SELECT user, password, count(*) AS n FROM events WHERE kind = 'login.tried'"
                       " GROUP BY user, password ORDER BY n DESC LIMIT 10",
    "distinct attackers": "SELECT count(DISTINCT ip) FROM events WHERE kind = 'session.opened'",
    "sessions, newest": "SELECT session, time, ip FROM events WHERE kind = 'session.opened' AND country = 'NL'"
                        " ORDER BY time DESC LIMIT 50",
    "commands with text": "SELECT count(*) FROM events WHERE kind = 'command.entered' AND command LIKE '%sora.arm7%'",
}  # fmt: skip
HOURS = {"chdb": "toStartOfHour(time)", "duckdb": "date_trunc('hour', time)", "sqlite": "substr(time, 1, 13)"}


def compare(home: Path, count: int) -> None:
    """Fill each engine with the same events and print what it takes."""
    from store import fill

    fill(home / "engine", count)
    source = home / f"events-{count}.csv"
    if not source.exists():
        export(home / "engine", source)
    for name in ("chdb", "duckdb", "sqlite"):
        answer = subprocess.run(
            [sys.executable, __file__, name, str(home), str(source)], check=True, capture_output=True, text=True
        )
        told = json.loads(answer.stdout.splitlines()[-1])
        print(f"{name}: {told['insert']:,.0f} events/s in blocks of {BLOCK:,}, {told['bytes'] / 2**20:,.0f} MB for"
              f" {count:,} events, start {told['start_ms']:.0f} ms, RSS {told['rss'] / 2**20:,.0f} MB,"
              f" package {told['package'] / 2**20:,.0f} MB")  # fmt: skip
        for question, ms in told["ms"].items():
            print(f"    {question:<22} {ms:9.1f} ms")


def export(engine: Path, target: Path) -> None:
    """Write all events as a CSV file that every engine reads."""
    from eudaemon.farm.settings import StoreSettings
    from eudaemon.farm.store.chdb import Chdb

    opened = Chdb(engine, StoreSettings())
    opened.create()
    opened._write(f"""INSERT INTO FUNCTION file('{target}', 'CSV') SELECT toString(id), time, sensor, session, kind,
        toString(attacker_ip), local_port, country, asn, user, password, command, sha256, fields FROM events""")
    opened.close()


def chdb(home: Path) -> Verbs:
    """Return how to run a statement and how to ask."""
    from chdb.session import Session

    session = Session(str(home / "candidate-chdb"))
    session.query("""CREATE TABLE IF NOT EXISTS events (id UUID, time DateTime64(6, 'UTC'),
        sensor LowCardinality(String), session String, kind LowCardinality(String), ip IPv6, port UInt16,
        country LowCardinality(String), asn UInt32,
        user LowCardinality(String), password LowCardinality(String), command LowCardinality(String),
        sha256 String, fields String CODEC(ZSTD(1)))
        ENGINE = MergeTree PARTITION BY toMonday(time) ORDER BY (kind, time, id)
        SETTINGS fsync_after_insert = 1, fsync_part_directory = 1""")
    return session.query, lambda sql: session.query(sql, "JSONEachRow").bytes()


def duckdb(home: Path) -> Verbs:
    """Return how to run a statement and how to ask."""
    import duckdb as module

    db = module.connect(str(home / "candidate-duckdb"))
    db.execute("""CREATE TABLE IF NOT EXISTS events (id UUID, time TIMESTAMP, sensor VARCHAR, session VARCHAR,
        kind VARCHAR, ip VARCHAR, port USMALLINT, country VARCHAR, asn UINTEGER, "user" VARCHAR,
        password VARCHAR, command VARCHAR,
        sha256 VARCHAR, fields VARCHAR)""")
    return db.execute, lambda sql: db.execute(sql.replace(" user", ' "user"')).fetchall()


def sqlite(home: Path) -> Verbs:
    """Return how to run a statement and how to ask."""
    db = sqlite3.connect(home / "candidate-sqlite", isolation_level=None)
    db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-200000;"
                     "CREATE TABLE IF NOT EXISTS events (id, time, sensor, session, kind, ip, port,"
                     " country, asn, user, password, command, sha256, fields);"
                     "CREATE INDEX IF NOT EXISTS by_kind ON events (kind, time)")  # fmt: skip
    return db.execute, lambda sql: db.execute(sql).fetchall()


def load(name: str, run: Callable[[str], Any], source: Path) -> None:
    """Fill an engine from the CSV file."""
    if name == "chdb":
        run(f"INSERT INTO events SELECT * FROM file('{source}', 'CSV', 'id UUID, time DateTime64(6), sensor String,"
            " session String, kind String, ip IPv6, port UInt16, country String, asn UInt32, user String,"
            " password String, command String, sha256 String, fields String')")  # fmt: skip
        run("OPTIMIZE TABLE events")
    elif name == "duckdb":
        run(f"INSERT INTO events SELECT * FROM read_csv('{source}', header = false, all_varchar = true, quote = '\"')")
        run("CHECKPOINT")
    else:
        import csv

        with source.open(newline="", encoding="utf-8") as file:
            rows = csv.reader(file)
            run("BEGIN")
            run.__self__.executemany(f"INSERT INTO events VALUES ({', '.join('?' * COLUMNS)})", rows)  # type: ignore[attr-defined]
            run("COMMIT")


def blocks(source: Path) -> Iterator[list[str]]:
    """Yield blocks of CSV lines."""
    with source.open(encoding="utf-8") as file:
        for _ in range(BLOCKS):
            yield [line for line, _ in zip(file, range(BLOCK), strict=False)]


def insert(name: str, run: Callable[[str], Any], block: list[str], scratch: Path) -> None:
    """Insert one block; when this returns it is on disk."""
    if name == "chdb":
        inserter = run.__self__.send_insert("INSERT INTO events", "CSV")  # type: ignore[attr-defined]
        inserter.append("".join(block).encode())
        inserter.finish()
    elif name == "duckdb":
        scratch.write_text("".join(block), encoding="utf-8")
        run(f"INSERT INTO events SELECT * FROM read_csv('{scratch}', header = false, all_varchar = true, quote = '\"')")
    else:
        import csv

        run("BEGIN")
        run.__self__.executemany(  # type: ignore[attr-defined]
            f"INSERT INTO events VALUES ({', '.join('?' * COLUMNS)})", csv.reader(block)
        )
        run("COMMIT")


def measure(name: str, home: Path, source: Path) -> dict[str, Any]:
    """Measure one engine in this process."""
    from store import size

    opener = {"chdb": chdb, "duckdb": duckdb, "sqlite": sqlite}[name]
    place = home / f"candidate-{name}"
    new = not place.exists()
    began_s = time.perf_counter()
    run, ask = opener(home)
    ask("SELECT 1")
    start_ms = (time.perf_counter() - began_s) * 1000
    if new:
        load(name, run, source)
        os.execv(sys.executable, [sys.executable, *sys.argv])  # start again on the full database
    ms = {}
    for question, sql in QUESTIONS.items():
        times = []
        for _ in range(ROUNDS):
            began_s = time.perf_counter()
            ask(sql.format(hour=HOURS[name]))
            times.append((time.perf_counter() - began_s) * 1000)
        ms[question] = statistics.median(times)
    taken = size(place)
    began_s = time.perf_counter()
    for block in blocks(source):
        insert(name, run, block, home / "block.csv")
    rate = BLOCK * BLOCKS / (time.perf_counter() - began_s)
    statm = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    package = 0 if name == "sqlite" else _package(name)
    return {"insert": rate, "start_ms": start_ms, "ms": ms, "bytes": taken, "rss": statm, "package": package}


def _package(name: str) -> int:
    """Return what an engine's package takes on disk."""
    from importlib.metadata import files

    found = files({"chdb": "chdb-core", "duckdb": "duckdb"}[name]) or []
    return sum(path.stat().st_size for path in (Path(str(f.locate())) for f in found) if path.is_file())


if __name__ == "__main__" and len(sys.argv) == 4:
    print(json.dumps(measure(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))))
