"""The tables that one session sees: the firm's, drawn from the seed, and what the attacker made and changed.

What a session stores is taken from its purse. What it stored and wrote to no file is kept when the session ends, for a
binary that is built piece by piece in a table may be all there is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from eudaemon.protocols._base import Keep
from eudaemon.protocols._sql.tokens import SqlError
from eudaemon.protocols._sql.values import Value
from eudaemon.wire import Purse, printable
from eudaemon.world import records
from eudaemon.world.host import Host

TABLES_MAX = 256  # that one session may make or change, and databases
ROWS_MAX = 40_000  # of one session's own, in all tables
COLUMNS_MAX = 256
KEPT_BYTES_MIN = 512  # a value that is smaller stands in the events
KEPT_MAX = 64  # values that are kept at the end
_ROW_BYTES = 96
_CELL_BYTES = 48


@dataclass(slots=True)
class Table:
    """`kinds` are the columns' types as they are shown. `shared` while the rows are the host's, not the session's."""

    columns: list[bytes]
    rows: list[list[Value]] = field(default_factory=list)
    kinds: list[bytes] = field(default_factory=list)
    shared: bool = False


@lru_cache(maxsize=8)
def drawn(host: Host) -> dict[bytes, dict[bytes, Table]]:
    """Return the host's own databases."""
    return {
        database.encode(): {
            name.encode(): Table(
                [column.encode() for column, _ in table.columns],
                [[cell.encode() if isinstance(cell, str) else cell for cell in row] for row in table.rows],
                [kind.encode() for _, kind in table.columns],
                shared=True,
            )
            for name, table in tables.items()
        }
        for database, tables in records.databases(host.seed.child("records")).items()
    }


class Tables:
    """Databases, each with its tables."""

    __slots__ = ("_count", "_purse", "_rows", "databases", "exported")

    def __init__(self, host: Host, purse: Purse, own: Sequence[bytes] = ()) -> None:
        """Own are the databases that every such server has."""
        self._purse = purse
        self._count = 0
        self._rows = 0
        self.databases: dict[bytes, dict[bytes, Table]] = {name: {} for name in own}
        self.databases |= {name: dict(tables) for name, tables in drawn(host).items()}
        self.exported: set[int] = set()  # hashes of values that became files

    def find(self, database: bytes, name: bytes) -> Table | None:
        """Return a table, None if it is not there. Names are compared without regard to case."""
        tables = self.databases.get(database) or self.databases.get(database.lower(), {})
        table = tables.get(name)
        return table or next((table for known, table in tables.items() if known.lower() == name.lower()), None)

    def make(self, database: bytes, name: bytes, columns: list[bytes], kinds: list[bytes]) -> Table:
        """Make an empty table. Raises `SqlError`."""
        if self.find(database, name) is not None:
            raise SqlError("exists", name)
        if len(columns) > COLUMNS_MAX:
            raise SqlError("too many columns")
        self._one_more(sum(map(len, columns)) + len(name))
        table = self.databases.setdefault(database, {})[name] = Table(columns, [], kinds)
        return table

    def make_database(self, name: bytes) -> None:
        """Make an empty database. Raises `SqlError`."""
        if name in self.databases:
            raise SqlError("database exists", name)
        self._one_more(len(name))
        self.databases[name] = {}

    def drop(self, database: bytes, name: bytes) -> bool:
        """Remove a table; say whether it was there."""
        table = self.find(database, name)
        if table is None:
            return False
        self.databases[database] = {known: one for known, one in self.databases[database].items() if one is not table}
        self.empty(table)
        return True

    def drop_database(self, name: bytes) -> bool:
        """Remove a database; say whether it was there."""
        for table in self.databases.get(name, {}).values():
            self.empty(table)
        return self.databases.pop(name, None) is not None

    def empty(self, table: Table) -> int:
        """Remove all rows of a table, unless they are the host's; return how many there were."""
        count = len(table.rows)
        if not table.shared:
            self._rows -= count
            self._purse.give_back(sum(map(cost_of, table.rows)))
            table.rows = []
        return count

    def own(self, database: bytes, name: bytes) -> Table | None:
        """Return a table to change: the session's own, made of the host's if need be. Raises `SqlError`."""
        table = self.find(database, name)
        if table is None or not table.shared:
            return table
        self._one_more(0)
        mine = Table(table.columns, [], table.kinds)
        for row in table.rows:
            self.add(mine, list(row))
        tables = self.databases[database if database in self.databases else database.lower()]
        for known, one in list(tables.items()):
            if one is table:
                tables[known] = mine
        return mine

    def add(self, table: Table, row: list[Value]) -> None:
        """Add a row. Raises `SqlError`."""
        if self._rows >= ROWS_MAX or not self._purse.take(cost_of(row)):
            raise SqlError("full")
        self._rows += 1
        table.rows.append(row)

    def change(self, row: list[Value], at: int, value: Value) -> None:
        """Set a cell of a row that is the session's own. Raises `SqlError`."""
        grows = _size(value) - _size(row[at])
        if grows > 0 and not self._purse.take(grows):
            raise SqlError("full")
        if grows < 0:
            self._purse.give_back(-grows)
        row[at] = value

    def remove(self, table: Table, rows: list[list[Value]]) -> None:
        """Remove rows of a table that is the session's own."""
        gone = {id(row) for row in rows}
        self._rows -= len(rows)
        self._purse.give_back(sum(map(cost_of, rows)))
        table.rows = [row for row in table.rows if id(row) not in gone]

    def left(self) -> Iterator[Keep]:
        """Yield what was stored and written to no file."""
        count = 0
        for tables in self.databases.values():
            for name, table in tables.items():
                for row in () if table.shared else table.rows:
                    for value in row:
                        if isinstance(value, bytes) and len(value) >= KEPT_BYTES_MIN and self._is_new(value):
                            count += 1
                            if count > KEPT_MAX:
                                return
                            yield Keep(bytes(value), "upload", printable(name, 256))

    def export(self, value: bytes) -> bytes:
        """Note that a value became a file; return it."""
        if len(value) >= KEPT_BYTES_MIN and len(self.exported) < ROWS_MAX:
            self.exported.add(hash(value))
        return value

    def _is_new(self, value: bytes) -> bool:
        if hash(value) in self.exported:
            return False
        self.exported.add(hash(value))
        return True

    def _one_more(self, size: int) -> None:
        if self._count >= TABLES_MAX or not self._purse.take(_ROW_BYTES + size):
            raise SqlError("full")
        self._count += 1


def _size(value: Value) -> int:
    return _CELL_BYTES + (len(value) if isinstance(value, bytes) else 0)


def cost_of(row: list[Value]) -> int:
    """Return what a row that is held takes of the purse."""
    return _ROW_BYTES + sum(map(_size, row))
