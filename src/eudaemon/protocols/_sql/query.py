"""SELECT over the tables of one session. Not a database: as much as attackers ask for."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from eudaemon.protocols._sql.expressions import Tree
from eudaemon.protocols._sql.functions import FUNCTIONS
from eudaemon.protocols._sql.parser import Named, Select, Source
from eudaemon.protocols._sql.tables import Table, Tables
from eudaemon.protocols._sql.tokens import Dialect, SqlError
from eudaemon.protocols._sql.values import (
    STEPS_MAX,
    Evaluation,
    Scope,
    Value,
    bounded,
    compare,
    evaluate,
    evaluate_all,
    text,
    truth,
)

RECURSIONS_MAX = 1000  # of a select that names itself: MySQL's cte_max_recursion_depth
PRODUCT_ROWS_MAX = 10_000  # that a select looks at, once its tables are multiplied
_ROW_STEPS = 16  # what a row costs that is looked at


@dataclass(slots=True)
class Result:
    """What a statement gives: rows, if it has columns, and how many it changed. `tag` is its name, upper case."""

    tag: str
    columns: list[bytes] | None = None
    rows: list[list[Value]] = field(default_factory=list)
    changed: int = 0
    kinds: list[bytes] | None = None  # the columns' types, where they are known


Work: TypeAlias = "Generator[Any, Any, Result]"
Environment: TypeAlias = "list[tuple[bytes, dict[bytes, int], list[Value]]]"
_AGGREGATES = frozenset(b"count sum min max avg group_concat string_agg array_agg".split())


class Query(Scope):
    """What one session's statements work on. `database` is the one in use."""

    __slots__ = ("_environments", "_groups", "_named", "database", "tables")

    def __init__(self, dialect: Dialect, tables: Tables, database: bytes) -> None:
        super().__init__(dialect)
        self.functions = FUNCTIONS
        self.tables = tables
        self.database = database
        self._environments: list[Environment] = []
        self._groups: list[list[Environment]] = []
        self._named: list[dict[bytes, Table]] = []  # what WITH names, the innermost last

    def begin(self) -> None:
        """See `Scope`."""
        super().begin()
        self._environments.clear()
        self._groups.clear()
        self._named.clear()

    # --- what a dialect adds -----------------------------------------------------------------------

    def place(self, name: tuple[bytes, ...]) -> tuple[bytes, bytes]:
        """Return database and table that a name means."""
        return (name[-2] if len(name) > 1 and name[-2] else self.database), name[-1]

    def catalogue(self, name: tuple[bytes, ...]) -> Table | None:
        """Return a table of the server's own, None if there is none of that name."""

    def rows_of(self, name: bytes, value: Value) -> Table:
        """Return what a function gives as a table: here a row."""
        return Table([name], [[value]])

    # --- expressions reach these -------------------------------------------------------------------

    def column(self, parts: tuple[bytes, ...]) -> Value:
        """See `Scope`: the innermost select's columns hide those around it."""
        name = parts[-1].lower()
        alias = parts[-2].lower() if len(parts) > 1 else b""
        for environment in reversed(self._environments):
            for known, columns, row in environment:
                if (not alias or known == alias) and name in columns:
                    return row[columns[name]]
        raise SqlError("column", b".".join(parts))

    def rows(self, select: Select) -> Generator[Any, Any, list[list[Value]]]:
        """See `Scope`."""
        result = yield from self.select(select)
        return result.rows

    def aggregate(self, name: bytes, trees: tuple[Tree, ...]) -> Evaluation | None:
        """See `Scope`."""
        if name in _AGGREGATES and self._groups:
            return self._over_all(name, trees, self._groups[-1])
        return None

    def _over_all(self, name: bytes, trees: tuple[Tree, ...], group: list[Environment]) -> Evaluation:
        values: list[Value] = []
        before = self.held_bytes
        self._groups.append([])
        for environment in group:
            self._environments.append(environment)
            value = yield from evaluate(trees[0], self) if trees else evaluate(("star",), self)
            self._environments.pop()
            if value is not None:
                self.hold(value)
                values.append(value)
        self._groups.pop()
        self.held_bytes = before
        match name:
            case b"count":
                return len(values)
            case b"sum" | b"avg":
                total = sum(value for value in values if isinstance(value, int | float))
                return total if name == b"sum" or not values else total / len(values)
            case b"min" | b"max":
                best: Value = None
                for value in values:
                    if best is None or (compare(value, best) < 0) == (name == b"min"):
                        best = value
                return best
            case b"array_agg":
                return bounded(b"{" + b",".join(map(text, values)) + b"}")
        separator = trees[-1][1] if len(trees) > 1 and trees[-1][0] == "value" else b","
        return bounded(text(separator).join(map(text, values)))

    # --- SELECT --------------------------------------------------------------------------------------

    def select(self, select: Select) -> Work:
        """Carry out a SELECT. What it is written into is the dialect's affair."""
        before = self.held_bytes
        with self.naming() if select.named else nullcontext():
            yield from self.name_all(select.named)
            result = yield from self._selected(select)
        self.held_bytes = before
        return result

    def _selected(self, select: Select) -> Work:
        found = yield from self._product(select)
        groups = yield from self._grouped(select, found)
        headings = self._headings(select, found)
        rows: list[tuple[list[Value], Environment]] = []
        for group in groups:
            row: list[Value] = []
            environment = group[0] if group else []
            self._environments.append(environment)
            self._groups.append(group if _is_grouped(select) else [])
            for tree, _ in select.columns:
                row += self._starred(tree, environment) if tree[0] == "star" else ((yield from evaluate(tree, self)),)
                self.hold(row[-1] if row else None)
            self._groups.pop()
            rows.append((row, environment))
            self._environments.pop()
        if select.union is None:
            rows = yield from self._ordered(select, headings, rows)
        width = len(headings)
        values = [row if len(row) == width else [*row, *[None] * width][:width] for row, _ in rows]
        if select.distinct:
            values = _distinct(values)
        if select.union is not None:
            values = yield from self._united(select, headings, values)
        values = yield from self._limited(select, values)
        return Result("SELECT", headings, values, len(values), self._kinds(select))

    def _united(
        self, select: Select, headings: list[bytes], values: list[list[Value]]
    ) -> Generator[Any, Any, list[list[Value]]]:
        """Return the rows of a select and of those joined to it, one after the other, in its order."""
        last, other = select, select.union
        while other is not None:
            result = yield from self.select(replace(other, union=None))
            if len(result.columns or ()) != len(headings):
                raise SqlError("union")
            self.hold_rows(result.rows)
            values = [*values, *result.rows] if last.keeps_all else _distinct([*values, *result.rows])
            last, other = other, other.union
        ordered = yield from self._ordered(select, headings, [(row, []) for row in values])
        return [row for row, _ in ordered]

    # --- WITH ------------------------------------------------------------------------------------------

    @contextmanager
    def naming(self) -> Iterator[None]:
        """Have room for names as long as a statement takes that has selects before it."""
        self._named.append({})
        yield
        self._named.pop()

    def name_all(self, named: tuple[Named, ...]) -> Generator[Any, Any, None]:
        """Carry out the selects that stand before a statement. Raises `SqlError`."""
        for one in named:
            step = _first_that_reads(one.select.union, one.name) if one.recursive else None
            if step is not None:
                yield from self._recursive(one, step)
            else:
                result = yield from self.select(one.select)
                self.hold_rows(result.rows)
                self._name(one, result.columns or [], result.rows)

    def _name(self, one: Named, columns: list[bytes], rows: list[list[Value]]) -> None:
        if one.columns and len(one.columns) != len(columns):
            raise SqlError("union")
        self._named[-1][one.name] = Table(list(one.columns) or columns, rows)

    def _recursive(self, one: Named, step: Select) -> Generator[Any, Any, None]:
        """Carry out a select that names itself behind UNION: on its last rows alone, until they give no more."""
        begun = yield from self.select(replace(_without(one.select, step), order=(), limit=None, offset=None))
        most = yield from self._bound(one.select.limit)
        columns, found, last = begun.columns or [], list(begun.rows), begun.rows
        for _ in range(RECURSIONS_MAX + 1):
            if not last or (most is not None and len(found) >= most):
                break
            self.hold_rows(last)
            self._name(one, columns, last)
            last = (yield from self.select(step)).rows
            if not one.select.keeps_all:
                seen = set(map(tuple, found))
                last = [row for row in last if tuple(row) not in seen]
            if any(len(row) != len(columns) for row in last):
                raise SqlError("union")
            found += last
            if len(found) > PRODUCT_ROWS_MAX:
                raise SqlError("too much")
        else:
            raise SqlError("recursion")
        self._name(one, columns, found if most is None else found[:most])

    def hold_rows(self, rows: list[list[Value]]) -> None:
        """Note that rows are held. Raises `SqlError` past the limit."""
        for row in rows:
            self.hold(*row)

    # --- its parts -------------------------------------------------------------------------------------

    def _product(self, select: Select) -> Generator[Any, Any, list[Environment]]:
        """Return the rows of the tables, multiplied, to which WHERE and ON apply."""
        found: list[Environment] = [[]]
        for source in select.sources:
            table = yield from self._source(source)
            name = (source.alias or (source.name[-1] if source.name else b"")).lower()
            index = {column.lower(): at for at, column in enumerate(table.columns)}
            if len(found) * len(table.rows) > PRODUCT_ROWS_MAX:
                raise SqlError("too much")
            self.steps += _ROW_STEPS * len(found) * len(table.rows)
            if self.steps > STEPS_MAX:  # a loop of selects that evaluate nothing
                raise SqlError("too much")
            joined: list[Environment] = []
            for environment in found:
                fitting = yield from self._fitting(
                    source.on, [[*environment, (name, index, row)] for row in table.rows]
                )
                if not fitting and source.outer:
                    fitting = [[*environment, (name, index, [None] * len(table.columns))]]
                joined += fitting
            found = joined
        return (yield from self._fitting(select.where, found))

    def _fitting(self, condition: Tree | None, found: list[Environment]) -> Generator[Any, Any, list[Environment]]:
        if condition is None:
            return found
        kept = []
        for environment in found:
            self._environments.append(environment)
            if truth((yield from evaluate(condition, self))):
                kept.append(environment)
            self._environments.pop()
        return kept

    def _source(self, source: Source) -> Generator[Any, Any, Table]:
        if source.tree is None:
            return self.table(source.name)
        if source.tree[0] == "select":
            result = yield from self.select(source.tree[1])
            self.hold_rows(result.rows)
            return Table(result.columns or [], result.rows)
        value = yield from evaluate(source.tree, self)
        return self.rows_of(source.tree[1] if not source.alias else source.alias, value)

    def table(self, name: tuple[bytes, ...]) -> Table:
        """Return a table by its name. Raises `SqlError`."""
        known = next((scope[name[-1].lower()] for scope in reversed(self._named) if name[-1].lower() in scope), None)
        if known is None or len(name) > 1:
            known = self.catalogue(name)
        if known is None:
            known = self.tables.find(*self.place(name))
        if known is None:
            raise SqlError("table", b".".join(name))
        return known

    def _grouped(self, select: Select, found: list[Environment]) -> Generator[Any, Any, list[list[Environment]]]:
        if not _is_grouped(select):
            return [[environment] for environment in found]
        if not select.grouped:
            return [found]
        groups: dict[tuple[Value, ...], list[Environment]] = {}
        for environment in found:
            self._environments.append(environment)
            key = tuple((yield from evaluate_all(select.grouped, self)))
            self._environments.pop()
            self.hold(*key)
            groups.setdefault(key, []).append(environment)
        return list(groups.values())

    def headings(self, select: Select) -> list[bytes]:
        """Return the columns that a select will have. Raises `SqlError`."""
        with self.naming() if select.named else nullcontext():
            for one in select.named:
                self._name(one, self.headings(replace(one.select, union=None)), [])
            return self._headings(select, [])

    def _tables_of(self, select: Select, found: list[Environment]) -> list[tuple[bytes, list[bytes]]]:
        if found:
            return [(name, list(columns)) for name, columns, _ in found[0]]
        named = []
        for source in select.sources:
            name = source.alias or (source.name[-1] if source.name else b"")
            if source.tree is None:
                columns = self.table(source.name).columns
            else:
                columns = self.headings(source.tree[1]) if source.tree[0] == "select" else [name]
            named.append((name.lower(), [column.lower() for column in columns]))
        return named

    def _headings(self, select: Select, found: list[Environment]) -> list[bytes]:
        headings: list[bytes] = []
        for tree, heading in select.columns:
            if tree[0] == "star":
                for name, columns in self._tables_of(select, found):
                    if len(tree) == 1 or tree[-1].lower() == name:
                        headings += columns
            else:
                headings.append(heading)
        return headings

    def _kinds(self, select: Select) -> list[bytes] | None:
        """Return the columns' types where all are those of one table."""
        if len(select.sources) != 1 or select.sources[0].tree is not None:
            return None
        table = self.table(select.sources[0].name)
        return list(table.kinds) if table.kinds and [tree[0] for tree, _ in select.columns] == ["star"] else None

    def _starred(self, tree: Tree, environment: Environment) -> list[Value]:
        wanted = tree[-1].lower() if len(tree) > 1 else b""
        return [value for name, _, row in environment if not wanted or name == wanted for value in row]

    def _ordered(
        self, select: Select, headings: list[bytes], rows: list[tuple[list[Value], Environment]]
    ) -> Generator[Any, Any, list[tuple[list[Value], Environment]]]:
        names = [heading.lower() for heading in headings]
        for tree, descends in reversed(select.order):
            keys: list[tuple[bool, float, bytes]] = []
            for row, environment in rows:
                if tree[0] == "value" and isinstance(tree[1], int):
                    if not 0 < tree[1] <= len(row):
                        raise SqlError("column", b"%d" % tree[1])
                    value = row[tree[1] - 1]
                elif tree[0] == "column" and len(tree[1]) == 1 and tree[1][0].lower() in names[: len(row)]:
                    value = row[names.index(tree[1][0].lower())]
                else:
                    self._environments.append(environment)
                    value = yield from evaluate(tree, self)
                    self._environments.pop()
                self.hold(value)
                is_number = isinstance(value, int | float)
                keys.append((is_number, float(value) if is_number else 0.0, b"" if is_number else text(value)))  # type: ignore[arg-type]
            order = sorted(range(len(rows)), key=keys.__getitem__, reverse=descends)
            rows = [rows[at] for at in order]
        return rows

    def _limited(self, select: Select, rows: list[list[Value]]) -> Generator[Any, Any, list[list[Value]]]:
        offset = yield from self._bound(select.offset)
        limit = yield from self._bound(select.limit)
        rows = rows[offset or 0 :]
        return rows if limit is None else rows[:limit]

    def _bound(self, tree: Tree | None) -> Generator[Any, Any, int | None]:
        value = None if tree is None else (yield from evaluate(tree, self))
        return max(0, int(value)) if isinstance(value, int) else None


def _distinct(rows: list[list[Value]]) -> list[list[Value]]:
    return [list(row) for row in dict.fromkeys(map(tuple, rows))]


def _first_that_reads(select: Select | None, name: bytes) -> Select | None:
    """Return the first of selects joined by UNION that reads a table of this name."""
    while select is not None and not _reads(select, name):
        select = select.union
    return select


def _without(select: Select, last: Select) -> Select:
    """Return selects joined by UNION up to one of them."""
    rest = select.union
    return replace(select, union=None if rest is last or rest is None else _without(rest, last))


def _reads(select: Select, name: bytes) -> bool:
    return any(
        source.name[-1].lower() == name if source.name
        else source.tree is not None and source.tree[0] == "select" and _reads(source.tree[1], name)
        for source in select.sources
    )  # fmt: skip


def _is_grouped(select: Select) -> bool:
    return bool(select.grouped) or any(_has_aggregate(tree) for tree, _ in select.columns)


def _has_aggregate(tree: Any) -> bool:
    if not isinstance(tree, tuple) or not tree:
        return False
    return (tree[0] == "call" and tree[1] in _AGGREGATES) or any(map(_has_aggregate, tree))
