"""The journal in front of the engine: what it has committed is never lost, and never counted twice.

    append   one transaction: the batches' rows, and the marks of their spools      -> acknowledged
    seal     the oldest rows get a block number, once and for all
             (the block is inserted into the engine)
    forget   the block's rows leave the journal

A crash before the commit of `append` leaves nothing, and the sensor sends again. A crash between `seal` and `forget`
leaves a block with a number, and the engine is given that same block again. Owns one SQLite file; knows no events, only
lines.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SPOOLS_MAX = 256  # remembered for each sensor; a sensor has one, and a new one after its disk was replaced
SEQUENCE_MAX = 2**62

_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
    number INTEGER PRIMARY KEY, block INTEGER, events INTEGER NOT NULL, lines BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS marks (
    sensor TEXT NOT NULL, spool TEXT NOT NULL, next INTEGER NOT NULL, batches INTEGER NOT NULL,
    PRIMARY KEY (sensor, spool)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS counter (next_block INTEGER NOT NULL, batches INTEGER NOT NULL);
INSERT INTO counter SELECT 0, 0 WHERE NOT EXISTS (SELECT 1 FROM counter);
"""


class QueueFullError(Exception):
    """So much waits for the engine that nothing more is taken in for now."""


class DiskFullError(Exception):
    """The disk is full; nothing was taken in, and nothing kept is harmed."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Lines of one spool, the first of them number `first` of that spool."""

    sensor: str
    spool: str
    first: int
    lines: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of a batch: everything of its spool below `next` is durable."""

    next: int
    taken: int
    duplicates: int  # how many at the head of the batch had been taken before


@dataclass(frozen=True, slots=True)
class Block:
    """Lines with a number that they keep until they are forgotten. `again`: it was handed out before."""

    number: int
    lines: list[bytes]
    again: bool


class Queue:
    """The journal in the SQLite file at `path`. Its methods block and may be called from any thread."""

    def __init__(self, path: Path, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;" + _SCHEMA)
        self._events, self._bytes = self._db.execute(
            "SELECT coalesce(sum(events), 0), coalesce(sum(length(lines)), 0) FROM entries"
        ).fetchone()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    @property
    def waiting(self) -> tuple[int, int]:
        """How many events, and how many bytes of them, are not in the engine yet."""
        return self._events, self._bytes

    def append(self, batches: Sequence[Batch]) -> list[Accepted]:
        """Commit batches, all or none. Raises `QueueFullError`, `DiskFullError`."""
        with self._lock:
            size = sum(len(line) + 1 for batch in batches for line in batch.lines)
            if self._bytes + size > self._bytes_max:
                raise QueueFullError(f"{self._bytes} bytes wait for the engine")
            with _Transaction(self._db):
                done = [self._take(batch) for batch in batches]
            for accepted, grown in done:
                self._events += accepted.taken
                self._bytes += grown
            return [accepted for accepted, _ in done]

    def _take(self, batch: Batch) -> tuple[Accepted, int]:
        found = self._db.execute(
            "SELECT next FROM marks WHERE sensor = ? AND spool = ?", (batch.sensor, batch.spool)
        ).fetchone()
        mark, end = found[0] if found else 0, batch.first + len(batch.lines)
        lines = batch.lines[max(0, mark - batch.first) :]
        if not lines:
            return Accepted(max(mark, end) if found else end, 0, len(batch.lines)), 0
        blob = b"\n".join(lines)
        self._db.execute("INSERT INTO entries (events, lines) VALUES (?, ?)", (len(lines), blob))
        self._db.execute("UPDATE counter SET batches = batches + 1")
        self._db.execute(
            "INSERT INTO marks VALUES (?, ?, ?, (SELECT batches FROM counter))"
            " ON CONFLICT DO UPDATE SET next = excluded.next, batches = excluded.batches",
            (batch.sensor, batch.spool, end),
        )
        if not found:
            self._db.execute(
                "DELETE FROM marks WHERE sensor = ?1 AND spool IN"
                " (SELECT spool FROM marks WHERE sensor = ?1 ORDER BY batches DESC LIMIT -1 OFFSET ?2)",
                (batch.sensor, SPOOLS_MAX),
            )
        return Accepted(end, len(lines), len(batch.lines) - len(lines)), len(blob)

    def mark(self, sensor: str, spool: str) -> int:
        """Return the number of the next event that is wanted of a spool."""
        with self._lock:
            found = self._db.execute(
                "SELECT next FROM marks WHERE sensor = ? AND spool = ?", (sensor, spool)
            ).fetchone()
        return found[0] if found else 0

    def seal(self, events_max: int) -> Block | None:
        """Return the oldest block: one that was not forgotten yet, or a new one. None if nothing waits."""
        with self._lock:
            number = self._db.execute("SELECT min(block) FROM entries").fetchone()[0]
            again = number is not None
            if number is None:
                last, events = 0, 0
                for entry, count in self._db.execute("SELECT number, events FROM entries ORDER BY number"):
                    if last and events + count > events_max:
                        break
                    last, events = entry, events + count
                if not last:
                    return None
                with _Transaction(self._db):
                    number = self._counter("next_block")
                    self._db.execute("UPDATE counter SET next_block = next_block + 1")
                    self._db.execute("UPDATE entries SET block = ? WHERE number <= ?", (number, last))
            found = self._db.execute("SELECT lines FROM entries WHERE block = ? ORDER BY number", (number,))
            return Block(number, [line for (blob,) in found for line in blob.split(b"\n")], again)

    def forget(self, block: Block) -> None:
        """Let go of a block that is in the engine."""
        with self._lock:
            events, size = self._db.execute(
                "SELECT coalesce(sum(events), 0), coalesce(sum(length(lines)), 0) FROM entries WHERE block = ?",
                (block.number,),
            ).fetchone()
            with _Transaction(self._db):
                self._db.execute("DELETE FROM entries WHERE block = ?", (block.number,))
            self._events -= events
            self._bytes -= size

    def _counter(self, name: str) -> int:
        value: int = self._db.execute(f"SELECT {name} FROM counter").fetchone()[0]  # noqa: S608 - a name of ours
        return value


class _Transaction:
    """Commit at the end, roll back on the way out of an error; a full disk is told as such."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if error is None:
            try:
                self._db.execute("COMMIT")
            except sqlite3.OperationalError as refused:
                self._roll_back()
                raise _told(refused) from None
            return
        self._roll_back()
        if isinstance(error, sqlite3.OperationalError):
            raise _told(error) from None

    def _roll_back(self) -> None:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")


def _told(error: sqlite3.OperationalError) -> Exception:
    # SQLITE_FULL, and SQLITE_IOERR, which is what a write-ahead log on a full disk gives.
    if (error.sqlite_errorcode & 0xFF) in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
        return DiskFullError(str(error))
    return error
