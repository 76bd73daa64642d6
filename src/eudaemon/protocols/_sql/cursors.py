"""Cursors: the rows of a select, given out piece by piece. Forward only."""

from __future__ import annotations

from dataclasses import dataclass

from eudaemon.protocols._sql.tables import cost_of
from eudaemon.protocols._sql.tokens import SqlError
from eudaemon.protocols._sql.values import Value
from eudaemon.wire import Purse

CURSORS_MAX = 16  # of one session that are open


@dataclass(slots=True)
class Cursor:
    """One that is open. `rows` are those that are left."""

    columns: list[bytes]
    rows: list[list[Value]]
    held_bytes: int


class Cursors:
    """One session's, by their names."""

    __slots__ = ("_open", "_purse")

    def __init__(self, purse: Purse) -> None:
        self._purse = purse
        self._open: dict[bytes, Cursor] = {}

    def open(self, name: bytes, columns: list[bytes], rows: list[list[Value]]) -> None:
        """Open one over these rows. Raises `SqlError`."""
        if name in self._open:
            raise SqlError("cursor exists", name)
        held_bytes = sum(map(cost_of, rows))
        if len(self._open) >= CURSORS_MAX or not self._purse.take(held_bytes):
            raise SqlError("full")
        self._open[name] = Cursor(columns, rows, held_bytes)

    def fetch(self, name: bytes, count: int | None) -> tuple[list[bytes], list[list[Value]]]:
        """Return the columns of one and its next rows, all of them for None. Raises `SqlError`."""
        cursor = self._open.get(name)
        if cursor is None:
            raise SqlError("cursor", name)
        rows, cursor.rows = (cursor.rows, []) if count is None else (cursor.rows[:count], cursor.rows[count:])
        return cursor.columns, rows

    def close(self, name: bytes) -> None:
        """Close one. Raises `SqlError`."""
        cursor = self._open.pop(name, None)
        if cursor is None:
            raise SqlError("cursor", name)
        self._purse.give_back(cursor.held_bytes)

    def close_all(self) -> None:
        """Close all."""
        for name in list(self._open):
            self.close(name)
