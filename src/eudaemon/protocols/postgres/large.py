"""Large objects: bytes under a number, in pages of 2048 that stand in the table `pg_largeobject`.

They are how a library gets onto a server that has no way to write files: page by page by INSERT and UPDATE, or by
`lo_from_bytea` and `lo_put`, and then out by `lo_export`.
"""

from __future__ import annotations

from collections.abc import Iterator

from eudaemon.protocols._sql.tables import Table, Tables
from eudaemon.protocols._sql.tokens import Binary, SqlError
from eudaemon.protocols._sql.values import VALUE_BYTES_MAX, Value, text, whole

PAGE_BYTES = 2048
FIRST_OID = 16_390


class LargeObjects:
    """One session's. They hold what they hold through its tables."""

    __slots__ = ("_made", "_table", "_tables", "exported")

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._table = Table([b"loid", b"pageno", b"data"], [], [b"oid", b"int4", b"bytea"])
        self._made: set[int] = set()  # of which there may be no page
        self.exported: set[int] = set()  # that became files

    @property
    def table(self) -> Table:
        """The pages."""
        return self._table

    def numbers(self) -> list[int]:
        """Return the numbers of all objects."""
        return sorted(self._made | {whole(row[0]) for row in self._table.rows})

    def has(self, number: int) -> bool:
        """Say whether there is an object of this number."""
        return number in self._made or any(whole(row[0]) == number for row in self._table.rows)

    def create(self, wished: int) -> int:
        """Make an empty object, of this number unless that is 0 or less. Raises `SqlError`."""
        taken = self.numbers()
        number = wished if wished > 0 else max([FIRST_OID, *taken]) + 1
        if number in taken:
            raise SqlError("large exists", b"%d" % number)
        if len(self._made) >= 1024:
            raise SqlError("full")
        self._made.add(number)
        return number

    def read(self, number: int) -> Binary:
        """Return an object's bytes. Raises `SqlError`."""
        if not self.has(number):
            raise SqlError("large", b"%d" % number)
        out = bytearray()
        for page, row in self._pages(number):
            start = page * PAGE_BYTES
            data = text(row[2])
            if start + len(data) > VALUE_BYTES_MAX:
                raise SqlError("too large")
            if start > len(out):
                out += bytes(start - len(out))
            # A page that was written larger than one, as careless tools do, is followed by the next at its end.
            out[start:] = data
        return Binary(out)

    def write(self, number: int, at: int, data: bytes) -> None:
        """Put bytes into an object at an offset. Raises `SqlError`."""
        if not self.has(number):
            raise SqlError("large", b"%d" % number)
        if at < 0 or at + len(data) > VALUE_BYTES_MAX:
            raise SqlError("too large")
        first, last = at // PAGE_BYTES, (at + len(data)) // PAGE_BYTES
        known = {whole(row[1]): row for row in self._table.rows
                 if whole(row[0]) == number and first <= whole(row[1]) <= last}  # fmt: skip
        done = 0
        while done < len(data):
            page, offset = divmod(at + done, PAGE_BYTES)
            part = data[done : done + PAGE_BYTES - offset]
            row = known.get(page)
            if row is None:
                self._tables.add(self._table, [number, page, Binary(bytes(offset) + part)])
            else:
                before = text(row[2])
                after = before[:offset].ljust(offset, b"\0") + part + before[offset + len(part) :]
                self._tables.change(row, 2, Binary(after))
            done += len(part)

    def remove(self, number: int) -> None:
        """Remove an object. Raises `SqlError`."""
        if not self.has(number):
            raise SqlError("large", b"%d" % number)
        self._made.discard(number)
        self._tables.remove(self._table, [row for _, row in self._pages(number)])

    def _pages(self, number: int) -> Iterator[tuple[int, list[Value]]]:
        rows = [(whole(row[1], low=0), row) for row in self._table.rows if whole(row[0]) == number]
        yield from sorted(rows, key=lambda found: found[0])
