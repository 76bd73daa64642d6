"""What the store needs of an engine. One is embedded; a ClickHouse server is the next, with the same schema and SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class EngineError(Exception):
    """The engine refused or failed. The message is its own, shortened."""


class QueryTooLargeError(EngineError):
    """A query ran into a limit of time, rows or memory."""


class Engine(Protocol):
    """Keeps rows for questions. Every method blocks and may be called from any thread."""

    def create(self) -> None:
        """Open the engine, and make the table where it is not there."""

    def insert(self, block: int, lines: Sequence[bytes], *, again: bool) -> None:
        """Insert a block; when this returns it is on disk. A block that fails is inserted again, with the same lines.

        `lines` are what `schema.Row.line` returns. `again` says that an earlier attempt may have left the block or a
        part of it: then only what is missing is inserted. Raises `EngineError`.
        """

    def query(self, sql: str, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the rows of a SELECT with `{name:Type}` parameters. Raises `EngineError`."""

    def trim(self, *, before_s: float, bytes_max: int) -> list[str]:
        """Drop partitions that end before a time, then the oldest until the table fits. Return what was dropped."""

    def bytes_on_disk(self) -> int:
        """Return what the table takes on disk."""

    def close(self) -> None:
        """Close the engine."""
