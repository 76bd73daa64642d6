"""INSERT, UPDATE, CREATE TABLE and their like over the tables of one session.

A dialect's server is an `Engine` with functions, variables and catalogues of its own, and statements besides these.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from eudaemon.protocols._sql.expressions import Tree
from eudaemon.protocols._sql.parser import Parser
from eudaemon.protocols._sql.query import Query, Result, Work
from eudaemon.protocols._sql.tables import Table
from eudaemon.protocols._sql.tokens import VARIABLE, SqlError
from eudaemon.protocols._sql.values import Value, evaluate, evaluate_all, truth

_NO_COLUMNS = (b"primary", b"unique", b"key", b"index", b"constraint", b"foreign", b"check", b"fulltext")


class Engine(Query):
    """What changes tables. Each statement's reader begins where its own first words have been read, or before them."""

    __slots__ = ()

    def named_before(self, parser: Parser, step: Callable[[], Work]) -> Work:
        """WITH before a statement that changes tables: carry out what it names, and then the statement."""
        with self.naming():
            yield from self.name_all(parser.named())
            return (yield from step())

    def changeable(self, name: tuple[bytes, ...]) -> Table:
        """Return a table to change. Raises `SqlError`."""
        table = self.tables.own(*self.place(name))
        if table is None:
            raise SqlError("table", b".".join(name))
        return table

    def create_table(self, parser: Parser) -> Work:
        """CREATE TABLE, of which the first two words are read."""
        is_new = parser.word(b"if", b"not", b"exists")
        name = parser.dotted()
        database, table = self.place(name)
        exists = self.tables.find(database, table) is not None
        if exists and is_new:
            parser.skip()
            return Result("CREATE TABLE")
        columns: list[bytes] = []
        kinds: list[bytes] = []
        rows: list[list[Value]] = []
        if parser.sign(b"("):
            while not parser.over:
                if parser.is_word(*_NO_COLUMNS):
                    _skip_column(parser)
                else:
                    columns.append(parser.name())
                    kinds.append(parser.type() if parser.next.text not in (b",", b")") else b"text")
                    _skip_column(parser)
                if not parser.sign(b","):
                    break
            parser.expect(b")")
        if parser.word(b"as") or parser.begins_select:
            result = yield from self.select(parser.select())
            columns, rows = result.columns or [], result.rows
            kinds = result.kinds or [b"text"] * len(columns)
        if parser.dialect.name != "tsql":
            parser.skip()
        made = self.tables.make(database, table, columns, kinds)
        for row in rows:
            self.tables.add(made, list(row))
        return Result("CREATE TABLE", changed=len(rows))

    def insert(self, parser: Parser) -> Work:
        """INSERT, REPLACE: of values, of a SELECT, or of `SET a = b`."""
        parser.take()
        while parser.is_word(b"low_priority", b"delayed", b"ignore", b"into"):
            parser.take()
        name = parser.dotted()
        names: list[bytes] = []
        trees: list[tuple[Tree, ...]] = []
        if parser.sign(b"("):
            while not parser.sign(b")"):
                names.append(parser.name().lower())
                parser.sign(b",")
        values: list[list[Value]] = []
        if parser.word(b"values") or parser.word(b"value"):
            while parser.sign(b"("):
                trees.append(() if parser.next.text == b")" else parser.expressions())
                parser.expect(b")")
                parser.sign(b",")
        elif parser.begins_select:
            values = (yield from self.select(parser.select())).rows
        elif parser.word(b"set"):
            names, row = _assignments(parser)
            trees.append(row)
        elif parser.is_word(b"exec", b"execute"):
            values = yield from self.executed(parser)
        else:
            raise parser.error()
        table = self.changeable(name)
        before = self.held_bytes
        for row in trees:
            values.append((yield from evaluate_all(row, self)))
            self.hold(*values[-1])
        self.held_bytes = before
        for value in values:
            self.tables.add(table, _arranged(table, names, value))
        return Result("INSERT", changed=len(values))

    def executed(self, parser: Parser) -> Generator[Any, Any, list[list[Value]]]:
        """Return the rows of a procedure, for T-SQL's INSERT … EXEC. Raises `SqlError`."""
        yield from ()
        raise parser.error()

    def update(self, parser: Parser) -> Work:
        """UPDATE t SET a = b WHERE …."""
        parser.take()
        name = parser.dotted()
        parser.word(b"as")
        if not parser.is_word(b"set"):
            parser.name()
        if not parser.word(b"set"):
            raise parser.error()
        names, trees = _assignments(parser)
        table = self.changeable(name)
        rows = yield from self._chosen(parser, table, name)
        index = {column.lower(): at for at, column in enumerate(table.columns)}
        for row in rows:
            self._environments.append([(name[-1].lower(), index, row)])
            values = yield from evaluate_all(trees, self)
            self._environments.pop()
            for column, value in zip(names, values, strict=True):
                if column not in index:
                    raise SqlError("column", column)
                self.tables.change(row, index[column], value)
        return Result("UPDATE", changed=len(rows))

    def delete(self, parser: Parser) -> Work:
        """DELETE FROM t WHERE …."""
        parser.take()
        parser.word(b"from")
        name = parser.dotted()
        table = self.changeable(name)
        rows = yield from self._chosen(parser, table, name)
        self.tables.remove(table, rows)
        return Result("DELETE", changed=len(rows))

    def _chosen(self, parser: Parser, table: Table, name: tuple[bytes, ...]) -> Generator[Any, Any, list[list[Value]]]:
        condition = parser.expression() if parser.word(b"where") else None
        index = {column.lower(): at for at, column in enumerate(table.columns)}
        limit = None
        if parser.word(b"limit"):
            limit = parser.take().text
        rows = []
        for row in list(table.rows):
            self._environments.append([(name[-1].lower(), index, row)])
            value = True if condition is None else (yield from evaluate(condition, self))
            self._environments.pop()
            if truth(value):
                rows.append(row)
        return rows[: int(limit)] if limit is not None and limit.isdigit() and len(limit) < 10 else rows

    def truncate(self, parser: Parser) -> Work:
        """TRUNCATE [TABLE] t."""
        yield from ()
        parser.take()
        parser.word(b"table")
        name = parser.dotted()
        table = self.changeable(name)
        self.tables.empty(table)
        return Result("TRUNCATE TABLE")

    def drop_tables(self, parser: Parser) -> Work:
        """DROP TABLE, of which the first two words are read."""
        yield from ()
        forgives = parser.word(b"if", b"exists")
        while True:
            name = parser.dotted()
            if not self.tables.drop(*self.place(name)) and not forgives:
                raise SqlError("unknown table", b".".join(name))
            if not parser.sign(b","):
                break
        parser.word(b"cascade") or parser.word(b"restrict")
        return Result("DROP TABLE")

    def drop_databases(self, parser: Parser) -> Work:
        """DROP DATABASE, of which the first two words are read."""
        yield from ()
        forgives = parser.word(b"if", b"exists")
        name = parser.name()
        if not self.tables.drop_database(name) and not forgives:
            raise SqlError("unknown database", name)
        return Result("DROP DATABASE")


def _skip_column(parser: Parser) -> None:
    depth = 0
    while not parser.over:
        sign = parser.next.text if parser.next.kind == "sign" else b""
        if depth == 0 and sign in (b",", b")"):
            return
        depth += (sign == b"(") - (sign == b")")
        parser.at += 1


def _assignments(parser: Parser) -> tuple[list[bytes], tuple[Tree, ...]]:
    names: list[bytes] = []
    trees: list[Tree] = []
    while True:
        name = (parser.take().word,) if parser.next.kind is VARIABLE else parser.dotted()
        parser.expect(b"=")
        names.append(name[-1].lower())
        trees.append(parser.expression())
        if not parser.sign(b","):
            return names, tuple(trees)


def _arranged(table: Table, names: list[bytes], values: list[Value]) -> list[Value]:
    """Return a row of the table, of values for the columns named. Raises `SqlError`."""
    if not names:
        if len(values) > len(table.columns):
            raise SqlError("values")
        return values + [None] * (len(table.columns) - len(values))
    if len(names) != len(values):
        raise SqlError("values")
    index = {column.lower(): at for at, column in enumerate(table.columns)}
    row: list[Value] = [None] * len(table.columns)
    for name, value in zip(names, values, strict=True):
        if name not in index:
            raise SqlError("column", name)
        row[index[name]] = value
    return row
