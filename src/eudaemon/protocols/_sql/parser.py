"""SELECT as a tree, with the expressions in it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from eudaemon.protocols._sql.expressions import ExpressionParser, Tree
from eudaemon.protocols._sql.tokens import NAME, TEXT, VARIABLE, WORD

# Words that may not name a column's alias, because something else begins with them.
_CLAUSES = frozenset(
    b"from where group having order limit offset union into for procedure on join inner left right cross full outer "
    b"using set values as fetch returning go exec execute declare if else begin end while waitfor print select insert "
    b"update delete create drop alter use return option with go intersect except lock separator when then and or "
    b"not like is in between collate truncate grant revoke deny reconfigure raiserror backup restore kill shutdown "
    b"open close deallocate"
    .split()
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Source:
    """What stands after FROM: a table by its name, or what a tree gives; `outer` keeps what it has no match for."""

    name: tuple[bytes, ...]
    tree: Tree | None
    alias: bytes
    on: Tree | None
    outer: bool


@dataclass(frozen=True, slots=True)
class Named:
    """A select that stands before another under a name: WITH name (columns) AS (SELECT …)."""

    name: bytes
    columns: tuple[bytes, ...]
    select: Select
    recursive: bool


@dataclass(frozen=True, slots=True)
class Select:
    """One SELECT. `into` is what it is written to: a word (`dumpfile`, `outfile`, `table`, `variable`) and its name.

    `named` are the selects that stand before it under names. With a union, order and limits are those of the whole.
    """

    columns: tuple[tuple[Tree, bytes], ...]
    sources: tuple[Source, ...]
    where: Tree | None
    grouped: tuple[Tree, ...]
    order: tuple[tuple[Tree, bool], ...]  # and whether it descends
    limit: Tree | None
    offset: Tree | None
    into: tuple[str, bytes] | None
    union: Select | None
    distinct: bool
    named: tuple[Named, ...] = ()
    keeps_all: bool = True  # UNION ALL


class Parser(ExpressionParser):
    """Reads selects as well."""

    __slots__ = ()

    def select(self) -> Select:
        """Read one SELECT, with all that is joined to it by UNION, and the names before it."""
        self.deeper()
        if self.is_word(b"with"):
            named = self.named()
            select = replace(self.select(), named=named)
            self._depth -= 1
            return select
        if self.word(b"values"):
            select = self._rows()
            self._depth -= 1
            return select
        if not self.word(b"select"):
            raise self.error()
        distinct = self.word(b"distinct")
        self.word(b"all")
        limit: Tree | None = None
        if self.dialect.name == "tsql" and self.word(b"top"):
            limit = self.primary()
        while self.is_word(b"sql_no_cache", b"sql_calc_found_rows", b"straight_join"):
            self.at += 1
        columns = [self._column()]
        while self.sign(b","):
            columns.append(self._column())
        into = self._into()
        sources = self._sources() if self.word(b"from") else ()
        where = self.expression() if self.word(b"where") else None
        grouped = self.expressions() if self.word(b"group", b"by") else ()
        if self.word(b"having"):
            self.expression()
        into = into or self._into()
        order = self.order() if self.word(b"order", b"by") else ()
        limit, offset = self._bounds(limit)
        into = into or self._into()
        while self.word(b"for", b"update") or self.word(b"lock", b"in", b"share", b"mode"):
            pass
        union, keeps_all = self._union()
        if union is not None:
            into = into or union.into
            if self.tokens[self.at - 1].text != b")":  # what stands behind the last one is said of all
                order, limit, offset = union.order or order, union.limit or limit, union.offset or offset
                union = replace(union, order=(), limit=None, offset=None)
        self._depth -= 1
        return Select(
            tuple(columns), sources, where, grouped, order, limit, offset, into, union, distinct, (), keeps_all
        )

    def _union(self) -> tuple[Select | None, bool]:
        if not self.word(b"union"):
            return None, True
        keeps_all = self.word(b"all")
        self.word(b"distinct")
        bracket = self.sign(b"(")
        union = self.select()
        if bracket:
            self.expect(b")")
        return union, keeps_all

    def _rows(self) -> Select:
        """VALUES (…), …: each row a SELECT, joined to the next."""
        rows: list[tuple[Tree, ...]] = []
        while not rows or self.sign(b","):
            self.deeper()
            self.expect(b"(")
            rows.append(self.expressions())
            self.expect(b")")
        self._depth -= len(rows)
        found, keeps_all = self._union()
        for row in reversed(rows):
            columns = tuple((tree, b"column%d" % number) for number, tree in enumerate(row, 1))
            found = Select(columns, (), None, (), (), None, None, None, found, False, keeps_all=keeps_all)
            keeps_all = True
        if found is None:
            raise self.error()
        return found

    @property
    def names_before_select(self) -> bool:
        """Whether WITH, which comes next, stands before a SELECT, and not before what changes tables."""
        at = self.at
        self.named()
        found = self.begins_select or self.is_word(b"values")
        self.at = at
        return found

    def named(self) -> tuple[Named, ...]:
        """Read what stands before a statement: WITH [RECURSIVE] name [(columns)] AS (SELECT …), …."""
        self.at += 1
        recursive = self.word(b"recursive") or self.dialect.name == "tsql"
        found: list[Named] = []
        while True:
            name = self.name()
            columns: list[bytes] = []
            if self.sign(b"("):
                columns.append(self.name())
                while self.sign(b","):
                    columns.append(self.name())
                self.expect(b")")
            if not self.word(b"as"):
                raise self.error()
            self.word(b"not")
            self.word(b"materialized")
            self.expect(b"(")
            found.append(Named(name.lower(), tuple(columns), self.select(), recursive))
            self.expect(b")")
            if not self.sign(b","):
                return tuple(found)

    def _bounds(self, limit: Tree | None) -> tuple[Tree | None, Tree | None]:
        offset: Tree | None = None
        while self.is_word(b"limit", b"offset"):
            if self.take().word == b"offset":
                offset = self.sum()
                self.word(b"rows")
            elif not self.word(b"all"):
                limit = self.sum()
                if self.sign(b","):
                    offset, limit = limit, self.sum()
        return limit, offset

    def _column(self) -> tuple[Tree, bytes]:
        start = self.next.start
        if self.next.kind is VARIABLE and self.dialect.name == "tsql" and self.ahead().text == b"=":
            name = self.take().word
            self.at += 1
            return ("set", name, self.expression()), b""
        if self.next.kind in (WORD, NAME) and self.dialect.name == "tsql" and self.ahead().text == b"=":
            name = self.name()  # SELECT alias = value
            self.at += 1
            return self.expression(), name
        tree = self.expression()
        end = self.tokens[self.at - 1].end
        alias = self._alias()
        return tree, alias or self._heading(tree, self.sql[start:end])

    def _heading(self, tree: Tree, written: bytes) -> bytes:
        """Return what a column without a name of its own is called."""
        if tree[0] == "column":
            return bytes(tree[1][-1])
        if self.dialect.name == "mysql":
            return written[:256]
        if self.dialect.name == "tsql":
            return b""
        while tree[0] == "cast":
            if tree[1][0] not in ("column", "call", "cast"):
                return bytes(tree[2])
            tree = tree[1]
        if tree[0] == "column":
            return bytes(tree[1][-1])
        return bytes(tree[1]) if tree[0] == "call" else b"case" if tree[0] == "case" else b"?column?"

    def _alias(self) -> bytes:
        if self.word(b"as"):
            return self.take().text
        if self.next.kind is NAME or (self.next.kind is TEXT and self.dialect.name != "postgres"):
            return self.take().text
        if self.next.kind is WORD and self.next.word not in _CLAUSES:
            return self.take().text
        return b""

    def _into(self) -> tuple[str, bytes] | None:
        if not self.word(b"into"):
            return None
        if self.is_word(b"dumpfile", b"outfile") and self.ahead().kind is TEXT:
            what = self.take().word.decode()
            into = what, self.take().text
            while (
                self.is_word(
                    b"fields",
                    b"columns",
                    b"lines",
                    b"terminated",
                    b"enclosed",
                    b"by",
                    b"escaped",
                    b"optionally",
                    b"starting",
                    b"character",
                    b"set",
                    b"charset",
                )
                or self.next.kind is TEXT
            ):
                self.at += 1
            return into
        if self.next.kind is VARIABLE:
            return "variable", self.take().word
        return "table", self.dotted()[-1]

    def _sources(self) -> tuple[Source, ...]:
        found = [self._source()]
        while True:
            if self.sign(b","):
                found.append(self._source())
            elif self.is_word(b"join", b"inner", b"left", b"right", b"cross", b"full", b"natural"):
                outer = self.is_word(b"left", b"full")
                while self.is_word(b"inner", b"left", b"right", b"cross", b"full", b"outer", b"natural"):
                    self.at += 1
                if not (self.word(b"join") or self.word(b"apply")):
                    raise self.error()
                found.append(self._source(joined=True, outer=outer))
            else:
                return tuple(found)

    def _source(self, *, joined: bool = False, outer: bool = False) -> Source:
        name: tuple[bytes, ...] = ()
        tree: Tree | None = None
        self.word(b"lateral") or self.word(b"only")
        if self.sign(b"("):
            tree = ("select", self.select())
            self.expect(b")")
        else:
            name = self.dotted()
            if self.sign(b"("):
                tree, name = ("call", name[-1].lower(), self.arguments()), ()
        alias = self._alias()
        if self.sign(b"("):
            self.skip_to(b")")  # names, and for some their types
        if self.word(b"with"):
            self.expect(b"(")
            self.skip_to(b")")  # T-SQL's (nolock)
        on = None
        if joined and self.word(b"on"):
            on = self.expression()
        elif joined and self.word(b"using"):
            self.expect(b"(")
            self.skip_to(b")")
        return Source(name, tree, alias, on, outer)
