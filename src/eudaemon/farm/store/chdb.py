"""The embedded engine: ClickHouse in this process, by way of chDB. See docs/decisions/store.md.

Needs of the package only its shared object and `chdb.session`; data frames and Arrow are neither imported nor needed.
Connections are not shared between threads: each question borrows one that the engine itself holds to reading and to
limits.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from eudaemon.farm.settings import StoreSettings
from eudaemon.farm.store.cgroups import without_cgroups
from eudaemon.farm.store.engine import EngineError, QueryTooLargeError
from eudaemon.farm.store.schema import CREATE, TABLE

log = logging.getLogger("eudaemon.farm.store")

READERS_MAX = 4
MESSAGE_CHARS_MAX = 400
# 158, 159, 160, 241, 396: too many rows, timeout, too slow, memory limit, result too large.
_TOO_LARGE = ("Code: 158.", "Code: 159.", "Code: 160.", "Code: 241.", "Code: 396.")
_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r", "\0": "\\0"})
# Rows of a block may lie in any number of weeks, when clocks are off.
_INSERT = f"""INSERT INTO {TABLE} SETTINGS max_partitions_per_insert_block = 0, max_memory_usage = 0,
              input_format_parallel_parsing = 0 FORMAT JSONCompactEachRow
"""


class _Answer(Protocol):
    def bytes(self) -> bytes: ...


class _Session(Protocol):
    """What is used of `chdb.session.Session`, which declares no types."""

    def query(self, sql: str | bytes, fmt: str = "CSV", *, params: Mapping[str, str] | None = None) -> _Answer: ...
    def close(self) -> None: ...


class Chdb:
    """The engine in the directory `path`. Only one process may have it open."""

    def __init__(self, path: Path, settings: StoreSettings) -> None:
        self._path = path
        self._limits = (
            f"SET readonly = 1, max_execution_time = {settings.query_s_max},"
            f" max_result_rows = {settings.query_rows_max}, max_memory_usage = {settings.query_bytes_max},"
            " result_overflow_mode = 'throw', max_threads = 4,"
            " output_format_json_quote_64bit_integers = 0, output_format_json_validate_utf8 = 1"
        )
        self._writing = threading.Lock()
        self._writer: _Session | None = None
        self._free: list[_Session] = []
        self._readers = threading.BoundedSemaphore(READERS_MAX)

    def create(self) -> None:
        """Open the engine, and make the table where it is not there."""
        with without_cgroups():
            self._writer = self._connect()
        self._write(CREATE)

    def close(self) -> None:
        """Close the engine. No question may be under way."""
        for session in [*self._free, self._writer]:
            if session is not None:
                session.close()
        self._free, self._writer = [], None

    def insert(self, block: int, lines: Sequence[bytes], *, again: bool) -> None:
        """Insert a block; see `Engine.insert`.

        A part becomes visible whole or not at all, but a block that spans weeks becomes several parts. So a block that
        was tried before is compared with what is there, by its rows' ids. And the engine's word that it took a block is
        not enough: chDB 26.9's streaming insert gives it on a full disk too, having kept nothing. The rows are counted.
        """
        wanted = len(lines)
        if again:
            there = set(self._ids(block))
            lines = [line for line in lines if line[2:38].decode() not in there]
        if lines:
            self._write(_INSERT.encode() + (b",%d]\n" % block).join([*lines, b""]))
        found = self._rows(f"SELECT count() AS n FROM {TABLE} WHERE block = {block}")[0]["n"]  # noqa: S608
        if found < wanted:  # more, where the queue was lost once and its numbers began anew
            raise EngineError(f"of the {wanted} rows of block {block} the engine has {found}")

    def query(self, sql: str, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the rows of a SELECT; see `Engine.query`."""
        bound = {name: _literal(value) for name, value in parameters.items()}
        with self._reader() as session:
            try:
                answer = session.query(sql, "JSONEachRow", params=bound).bytes()
            except RuntimeError as error:
                raise _told(error) from None
        return [json.loads(line) for line in answer.split(b"\n") if line]

    def trim(self, *, before_s: float, bytes_max: int) -> list[str]:
        """Drop old partitions; see `Engine.trim`. The newest is never dropped."""
        weeks = self._rows(
            f"""SELECT partition AS week, toUnixTimestamp(toDateTime(toDate(partition) + 7, 'UTC')) AS end_s,
                       sum(bytes_on_disk) AS bytes
                FROM system.parts WHERE database = currentDatabase() AND table = '{TABLE}' AND active
                GROUP BY partition ORDER BY partition"""  # noqa: S608 - a constant of ours
        )
        left, dropped = sum(row["bytes"] for row in weeks), []
        for row in weeks[:-1]:
            if row["end_s"] > before_s and left <= bytes_max:
                break
            self._write(f"ALTER TABLE {TABLE} DROP PARTITION '{row['week']}'")
            left -= row["bytes"]
            dropped.append(row["week"])
        return dropped

    def bytes_on_disk(self) -> int:
        """Return what the table takes on disk."""
        rows = self._rows(f"SELECT sum(bytes_on_disk) AS bytes FROM system.parts WHERE table = '{TABLE}' AND active")  # noqa: S608
        size: int = rows[0]["bytes"]
        return size

    def _ids(self, block: int) -> list[str]:
        return [row["id"] for row in self._rows(f"SELECT toString(id) AS id FROM {TABLE} WHERE block = {block}")]  # noqa: S608

    def _rows(self, sql: str) -> list[dict[str, Any]]:
        """Ask on the farm's own behalf: with no limits of the page's."""
        return [json.loads(line) for line in self._write(sql).split(b"\n") if line]

    def _write(self, sql: str | bytes) -> bytes:
        with self._writing:
            try:
                answer = self._open_writer().query(sql, "JSONEachRow").bytes()
            except RuntimeError as error:
                raise _told(error) from None
        return answer

    def _open_writer(self) -> _Session:
        if self._writer is None:
            raise EngineError("the engine is closed")
        return self._writer

    @contextmanager
    def _reader(self) -> Iterator[_Session]:
        with self._readers:
            if self._writer is None:
                raise EngineError("the engine is closed")
            session = self._free.pop() if self._free else self._connect(self._limits)
            try:
                yield session
            finally:
                self._free.append(session)

    def _connect(self, setting: str = "SET output_format_json_quote_64bit_integers = 0") -> _Session:
        from chdb.session import Session

        try:
            session: _Session = Session(str(self._path))  # type: ignore[no-untyped-call]
            session.query(setting)
        except RuntimeError as error:
            raise _told(error) from None
        return session


def _told(error: RuntimeError) -> EngineError:
    text = str(error)
    message = text[:MESSAGE_CHARS_MAX]
    return QueryTooLargeError(message) if any(code in text for code in _TOO_LARGE) else EngineError(message)


def _literal(value: object) -> str:
    """Return a parameter as ClickHouse reads it: text as in its tab-separated format, a list as a literal."""
    if isinstance(value, list | tuple):
        return "[" + ",".join(_quoted(item) if isinstance(item, str) else str(item) for item in value) + "]"
    return str(value).translate(_ESCAPES)


def _quoted(text: str) -> str:
    escaped = text.translate(_ESCAPES).replace("'", "\\'")
    return f"'{escaped}'"
