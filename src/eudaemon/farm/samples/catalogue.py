"""What artefacts are there, and what became of them. One SQLite file; knows sizes and dates, never bytes."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_SCHEMA = """
CREATE TABLE IF NOT EXISTS artefacts (
    sha256 TEXT PRIMARY KEY, size INTEGER NOT NULL, first_seen_s REAL NOT NULL, last_seen_s REAL NOT NULL,
    sample INTEGER NOT NULL DEFAULT 0, identified INTEGER NOT NULL DEFAULT 0,
    format TEXT NOT NULL DEFAULT '', description TEXT NOT NULL DEFAULT '',
    rules TEXT NOT NULL DEFAULT '', fuzzy TEXT NOT NULL DEFAULT '') WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS unidentified ON artefacts (sha256) WHERE sample AND NOT identified;
CREATE INDEX IF NOT EXISTS conversations ON artefacts (last_seen_s) WHERE NOT sample;
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One artefact."""

    sha256: str
    size: int
    first_seen_s: float
    last_seen_s: float
    sample: bool  # some event names it as kept from an attack; otherwise it is a conversation, or not named yet
    format: str
    description: str
    rules: tuple[str, ...]
    fuzzy: str


class Catalogue:
    """The table in the SQLite file at `path`. Quick; may be called from any thread."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, check_same_thread=False)
        self._db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;" + _SCHEMA)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def size(self, sha256: str) -> int | None:
        """Return an artefact's size in bytes, or None if it is not here."""
        with self._lock:
            found = self._db.execute("SELECT size FROM artefacts WHERE sha256 = ?", (sha256,)).fetchone()
        return found[0] if found else None

    def add(self, sha256: str, size: int) -> None:
        """Enter an artefact that is now kept."""
        now_s = time.time()
        with self._lock, self._db:
            self._db.execute(
                "INSERT OR IGNORE INTO artefacts (sha256, size, first_seen_s, last_seen_s) VALUES (?, ?, ?, ?)",
                (sha256, size, now_s, now_s),
            )

    def seen(self, sha256: str) -> bool:
        """Say whether an artefact is here, and note, to the day, that it was asked for."""
        now_s = time.time()
        with self._lock, self._db:
            found = self._db.execute("SELECT last_seen_s FROM artefacts WHERE sha256 = ?", (sha256,)).fetchone()
            if found and found[0] < now_s - 86_400:
                self._db.execute("UPDATE artefacts SET last_seen_s = ? WHERE sha256 = ?", (now_s, sha256))
        return found is not None

    def remove_old(self, sha256: str, before_s: float) -> bool:
        """Strike out a conversation, unless it was named again meanwhile. Returns whether it was struck out."""
        with self._lock, self._db:
            gone = self._db.execute(
                "DELETE FROM artefacts WHERE sha256 = ? AND NOT sample AND last_seen_s < ?", (sha256, before_s)
            )
        return gone.rowcount > 0

    def named(self, samples: Iterable[str], conversations: Iterable[str]) -> bool:
        """Note that events name these artefacts. Returns whether a sample among them has yet to be identified."""
        now_s, samples = time.time(), list(samples)
        with self._lock, self._db:
            self._db.executemany(
                "UPDATE artefacts SET last_seen_s = ?, sample = 1 WHERE sha256 = ?", [(now_s, s) for s in samples]
            )
            self._db.executemany(
                "UPDATE artefacts SET last_seen_s = ? WHERE sha256 = ?", [(now_s, s) for s in conversations]
            )
            waiting = self._db.execute("SELECT 1 FROM artefacts WHERE sample AND NOT identified LIMIT 1").fetchone()
        return waiting is not None

    def unidentified(self, count: int) -> list[str]:
        """Return samples that were not looked at yet."""
        with self._lock:
            rows = self._db.execute("SELECT sha256 FROM artefacts WHERE sample AND NOT identified LIMIT ?", (count,))
            return [sha256 for (sha256,) in rows]

    def identified(self, sha256: str, format_: str, description: str, rules: Iterable[str], fuzzy: str) -> None:
        """Note what a sample is."""
        with self._lock, self._db:
            self._db.execute(
                "UPDATE artefacts SET identified = 1, format = ?, description = ?, rules = ?, fuzzy = ?"
                " WHERE sha256 = ?",
                (format_, description, "\n".join(rules), fuzzy, sha256),
            )

    def get(self, sha256: str) -> Entry | None:
        """Return an artefact's entry."""
        with self._lock:
            row = self._db.execute(
                "SELECT sha256, size, first_seen_s, last_seen_s, sample, format, description, rules, fuzzy"
                " FROM artefacts WHERE sha256 = ?",
                (sha256,),
            ).fetchone()
        if row is None:
            return None
        _, size, first_s, last_s, sample, format_, description, rules, fuzzy = row
        names = tuple(filter(None, rules.split("\n")))
        return Entry(sha256, size, first_s, last_s, bool(sample), format_, description, names, fuzzy)

    def old_conversations(self, before_s: float, count: int = 1_000) -> list[str]:
        """Return artefacts that no event names as a sample and that were last named before a time."""
        with self._lock:
            rows = self._db.execute(
                "SELECT sha256 FROM artefacts WHERE NOT sample AND last_seen_s < ? LIMIT ?", (before_s, count)
            )
            return [sha256 for (sha256,) in rows]

    def totals(self) -> tuple[int, int, int]:
        """Return how many artefacts there are, how many bytes they have, and how many are samples."""
        with self._lock:
            row = self._db.execute(
                "SELECT count(*), coalesce(sum(size), 0), coalesce(sum(sample), 0) FROM artefacts"
            ).fetchone()
        return row[0], row[1], row[2]
