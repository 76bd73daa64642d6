"""What outputs have yet to tell, and how far each has come. One SQLite file; knows lines, no events.

    take     a block of the store's queue is entered, in entries of bounded size, once each
    next     the oldest entry that an output has not told yet
    done     an output's mark moves past it, in one transaction with what was counted and is to be remembered

An entry leaves the journal when all outputs have told it. When more than `bytes_max` wait, the oldest entry goes, and
who had not told it counts it as dropped: news are worth more than what is late already. The command line may open the
file while the farm runs.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

ENTRY_LINES_MAX, ENTRY_BYTES_MAX = 1_000, 4 * 1024 * 1024  # a single line may be longer
KEYS_MAX = 200_000  # remembered for an output; the oldest are forgotten
FAULT_CHARS_MAX = 300

_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
    number INTEGER PRIMARY KEY AUTOINCREMENT, taken_s REAL NOT NULL, events INTEGER NOT NULL, lines BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS counter (block INTEGER NOT NULL);
INSERT INTO counter SELECT -1 WHERE NOT EXISTS (SELECT 1 FROM counter);
CREATE TABLE IF NOT EXISTS outputs (
    name TEXT PRIMARY KEY, next INTEGER NOT NULL,
    told INTEGER NOT NULL DEFAULT 0, refused INTEGER NOT NULL DEFAULT 0,
    dropped INTEGER NOT NULL DEFAULT 0, faults INTEGER NOT NULL DEFAULT 0, told_s REAL,
    trouble TEXT NOT NULL DEFAULT '') WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS keys (
    number INTEGER PRIMARY KEY, output TEXT NOT NULL, key TEXT NOT NULL, at_s REAL NOT NULL, UNIQUE (output, key));
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """Some lines, as `schema.Row.line` returns them. Of several entries together, `number` is the last one's."""

    number: int
    taken_s: float
    lines: list[bytes]


@dataclass(frozen=True, slots=True)
class State:
    """How far an output has come. Counts are since it was first set, times seconds since the epoch."""

    name: str
    waiting: int  # events
    told: int  # records that the peer took
    refused: int  # records that the peer will never take
    dropped: int  # events that left the journal untold
    faults: int  # entries that a fault of ours kept from being told
    told_s: float | None
    trouble: str  # why it does not get on, or empty


class Journal:
    """The journal in the SQLite file at `path`. Its methods block and may be called from any thread."""

    def __init__(self, path: Path, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, check_same_thread=False, timeout=10)
        self._db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;" + _SCHEMA)
        (self._bytes,) = self._db.execute("SELECT coalesce(sum(length(lines)), 0) FROM entries").fetchone()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def begin(self, names: Collection[str]) -> None:
        """Say which outputs there are. A new one begins with what comes next; one that is gone is forgotten."""
        with self._lock, self._db:
            (newest,) = self._db.execute("SELECT coalesce(max(seq), 0) FROM sqlite_sequence").fetchone()
            known = {name for (name,) in self._db.execute("SELECT name FROM outputs")}
            self._db.executemany("DELETE FROM outputs WHERE name = ?", [(name,) for name in known - set(names)])
            self._db.executemany("DELETE FROM keys WHERE output = ?", [(name,) for name in known - set(names)])
            self._db.executemany(
                "INSERT INTO outputs (name, next) VALUES (?, ?)", [(name, newest + 1) for name in set(names) - known]
            )
            self._sweep()

    def take(self, block: int, lines: Sequence[bytes], *, again: bool) -> None:
        """Enter a block. `again` says that it may have been entered before, and then it is not entered twice."""
        now_s = time.time()
        with self._lock, self._db:
            (last,) = self._db.execute("SELECT block FROM counter").fetchone()
            if again and last == block:
                return
            for some in _parts(lines):
                blob = b"\n".join(some)
                self._db.execute(
                    "INSERT INTO entries (taken_s, events, lines) VALUES (?, ?, ?)", (now_s, len(some), blob)
                )
                self._bytes += len(blob)
            self._db.execute("UPDATE counter SET block = ?", (block,))
            while self._bytes > self._bytes_max and self._drop():
                pass

    def next(self, name: str, *, before_s: float, together: bool = False) -> Entry | None:
        """Return the oldest entry that an output has not told, if it was taken before a time.

        With `together`, what comes behind it is put to it, up to the size of one entry.
        """
        found: list[tuple[int, float, bytes]] = []
        size = 0
        with self._lock:
            for row in self._db.execute(
                "SELECT number, taken_s, lines FROM entries WHERE taken_s <= ? AND number >="
                " (SELECT next FROM outputs WHERE name = ?) ORDER BY number",
                (before_s, name),
            ):
                size += len(row[2])
                if found and size > ENTRY_BYTES_MAX:
                    break
                found.append(row)
                if not together:
                    break
        if not found:
            return None
        return Entry(found[-1][0], found[0][1], [line for row in found for line in row[2].split(b"\n")])

    def holds(self, number: int) -> bool:
        """Say whether an entry is still there."""
        with self._lock:
            return self._db.execute("SELECT 1 FROM entries WHERE number = ?", (number,)).fetchone() is not None

    def done(self, name: str, number: int, *, fault: bool = False) -> None:
        """Move an output's mark past an entry."""
        with self._lock, self._db:
            self._db.execute(
                "UPDATE outputs SET next = max(next, ?), faults = faults + ? WHERE name = ?", (number + 1, fault, name)
            )
            self._sweep()

    def told(self, name: str, count: int, keys: Collection[str] = (), *, refused: bool = False) -> None:
        """Count records that a peer took or refused, and remember their keys."""
        now_s = time.time()
        with self._lock, self._db:
            self._db.execute(
                "UPDATE outputs SET told = told + ?, refused = refused + ?, trouble = '' WHERE name = ?",
                (0 if refused else count, count if refused else 0, name),
            )
            if not refused:
                self._db.execute("UPDATE outputs SET told_s = ? WHERE name = ?", (now_s, name))
            self._db.executemany(
                "INSERT OR REPLACE INTO keys (output, key, at_s) VALUES (?, ?, ?)", [(name, key, now_s) for key in keys]
            )
            if keys:
                self._db.execute(
                    "DELETE FROM keys WHERE output = ?1 AND number <= (SELECT number FROM keys WHERE output = ?1"
                    " ORDER BY number DESC LIMIT 1 OFFSET ?2)",
                    (name, KEYS_MAX),
                )

    def trouble(self, name: str, why: str) -> None:
        """Write down why an output does not get on."""
        with self._lock, self._db:
            self._db.execute("UPDATE outputs SET trouble = ? WHERE name = ?", (why[:FAULT_CHARS_MAX], name))

    def was_told(self, name: str, key: str, *, since_s: float = 0.0) -> bool:
        """Say whether an output's peer took a record with this key, since a time."""
        with self._lock:
            found = self._db.execute(
                "SELECT 1 FROM keys WHERE output = ? AND key = ? AND at_s >= ?", (name, key, since_s)
            ).fetchone()
        return found is not None

    def states(self) -> list[State]:
        """Return how far each output has come, by name."""
        with self._lock:
            rows = self._db.execute(
                "SELECT name, (SELECT coalesce(sum(events), 0) FROM entries WHERE number >= next),"
                " told, refused, dropped, faults, told_s, trouble FROM outputs ORDER BY name"
            ).fetchall()
        return [State(*row) for row in rows]

    def _drop(self) -> bool:
        """Drop the oldest entry; return whether there was one besides the newest."""
        number, events = self._db.execute("SELECT number, events FROM entries ORDER BY number LIMIT 1").fetchone()
        if number == self._db.execute("SELECT max(number) FROM entries").fetchone()[0]:
            return False
        self._db.execute("UPDATE outputs SET dropped = dropped + ? WHERE next <= ?", (events, number))
        self._db.execute("UPDATE outputs SET next = ? WHERE next <= ?", (number + 1, number))
        self._remove(number, number)
        return True

    def _sweep(self) -> None:
        """Remove what all outputs have told."""
        (first,) = self._db.execute("SELECT min(next) FROM outputs").fetchone()
        self._remove(0, 2**62 if first is None else first - 1)

    def _remove(self, first: int, last: int) -> None:
        (size,) = self._db.execute(
            "SELECT coalesce(sum(length(lines)), 0) FROM entries WHERE number BETWEEN ? AND ?", (first, last)
        ).fetchone()
        self._db.execute("DELETE FROM entries WHERE number BETWEEN ? AND ?", (first, last))
        self._bytes -= size


def _parts(lines: Sequence[bytes]) -> list[list[bytes]]:
    parts: list[list[bytes]] = [[]]
    size = 0
    for line in lines:
        if parts[-1] and (len(parts[-1]) >= ENTRY_LINES_MAX or size + len(line) > ENTRY_BYTES_MAX):
            parts.append([])
            size = 0
        parts[-1].append(line)
        size += len(line)
    return parts
