"""Expressions as trees: what attackers write in three dialects, not what a standard allows.

A tree is a tuple, its first item what it is:

    ("value", v)  ("column", parts)  ("variable", name)  ("set", name, tree)  ("call", name, trees)  ("star",)
    ("not", t)  ("minus", t)  ("chain", t, ((sign, t), …))  ("in", t, trees, negated)  ("is", t, word, negated)
    ("between", t, t, t, negated)  ("case", t | None, ((t, t), …), t | None)  ("cast", t, type)  ("select", Select)
    ("exists", Select)
"""

from __future__ import annotations

from typing import Any, TypeAlias

from eudaemon.protocols._sql.tokens import (
    BINARY,
    END,
    NAME,
    NUMBER,
    SIGN,
    TEXT,
    VARIABLE,
    WORD,
    Binary,
    Reader,
    SqlError,
)

Tree: TypeAlias = tuple[Any, ...]
DEPTH_MAX = 48  # of brackets and selects in each other

_COMPARISONS = frozenset((b"=", b"<>", b"!=", b"<", b">", b"<=", b">=", b"<=>", b"~", b"~*", b"!~", b"!~*"))
_SUMS = frozenset((b"+", b"-", b"||", b"&", b"|", b"^"))
_PRODUCTS = frozenset((b"*", b"/", b"%"))
_CONSTANTS = {b"null": None, b"true": True, b"false": False}
_BARE = frozenset(
    b"current_user session_user user current_database current_timestamp current_date current_time current_schema "
    b"system_user localtime localtimestamp current_role current_catalog".split()
)


class ExpressionParser(Reader):
    """Makes trees of tokens. Raises `SqlError` at what it does not know."""

    __slots__ = ("_depth",)

    def __init__(self, sql: bytes, dialect: Any) -> None:
        super().__init__(sql, dialect)
        self._depth = 0

    @property
    def begins_select(self) -> bool:
        """Whether a SELECT comes next, or the names of selects before one: `WITH a AS (SELECT …)`."""
        if self.is_word(b"with"):
            name = self.ahead(2 if self.ahead().word == b"recursive" else 1)
            return name.kind in (WORD, NAME)
        return self.is_word(b"select")

    def select(self) -> Any:
        """Read a SELECT within an expression: see `_sql.parser`."""
        raise self.error()

    def order(self) -> tuple[tuple[Tree, bool], ...]:
        """Read what stands after ORDER BY: expressions, each with whether it descends."""
        found = []
        while True:
            tree = self.expression()
            descends = self.word(b"desc")
            self.word(b"asc")
            if self.word(b"nulls"):
                self.take()
            found.append((tree, descends))
            if not self.sign(b","):
                return tuple(found)

    def deeper(self) -> None:
        """Go one bracket deeper. Raises `SqlError` past the limit."""
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise SqlError("depth", self.sql[self.next.start : self.next.start + 80])

    def expression(self) -> Tree:
        """Read one expression."""
        self.deeper()
        tree = self._conjunction()
        others: list[tuple[bytes, Tree]] = []
        while self.word(b"or") or self.word(b"xor"):
            others.append((b"or", self._conjunction()))
        self._depth -= 1
        return _chain(tree, others)

    def expressions(self) -> tuple[Tree, ...]:
        """Read expressions with commas between them."""
        found = [self.expression()]
        while self.sign(b","):
            found.append(self.expression())
        return tuple(found)

    def _conjunction(self) -> Tree:
        tree = self._negation()
        others: list[tuple[bytes, Tree]] = []
        while self.word(b"and") or self.sign(b"&&"):
            others.append((b"and", self._negation()))
        return _chain(tree, others)

    def _negation(self) -> Tree:
        negations = 0
        while self.word(b"not") or self.sign(b"!"):
            negations += 1
        tree = self._comparison()
        return ("not", tree) if negations % 2 else tree

    def _comparison(self) -> Tree:
        tree = self.sum()
        for _ in range(DEPTH_MAX):
            token = self.next
            negated = token.word == b"not" and token.kind is WORD and self.ahead().word in (
                b"in", b"like", b"ilike", b"between", b"regexp", b"rlike")  # fmt: skip
            if negated:
                self.at += 1
            if token.kind is SIGN and token.text in _COMPARISONS:
                self.at += 1
                self.word(b"all") or self.word(b"any")
                tree = _chain(tree, [(token.text, self.sum())])
            elif self.word(b"operator"):
                tree = _chain(tree, [(self._operator(), self.sum())])
            elif self.is_word(b"like", b"ilike", b"regexp", b"rlike"):
                tree = _chain(tree, [(self.take().word, self.sum())])
                if self.word(b"escape"):
                    self.sum()
            elif self.word(b"in"):
                self.expect(b"(")
                tree = ("in", tree, (("select", self.select()),) if self.begins_select else self.expressions(),
                        negated)  # fmt: skip
                negated = False
                self.expect(b")")
            elif self.word(b"between"):
                low = self.sum()
                if not self.word(b"and"):
                    raise self.error()
                tree = ("between", tree, low, self.sum(), negated)
                negated = False
            elif self.word(b"is"):
                wrong = self.word(b"not")
                tree = ("is", tree, self.take().word, wrong)
            else:
                return tree
            if negated:
                tree = ("not", tree)
        raise self.error()

    def _operator(self) -> bytes:
        self.expect(b"(")
        sign = b""
        while not self.over and not self.sign(b")"):
            sign = self.take().text
        return sign

    def sum(self) -> Tree:
        """Read what comparisons compare."""
        tree = self._product()
        others: list[tuple[bytes, Tree]] = []
        while self.next.kind is SIGN and self.next.text in _SUMS and self.ahead().text != b"=":
            others.append((self.take().text, self._product()))
        return _chain(tree, others)

    def _product(self) -> Tree:
        tree = self._unary()
        others: list[tuple[bytes, Tree]] = []
        while (self.next.kind is SIGN and self.next.text in _PRODUCTS) or self.is_word(b"div", b"mod"):
            others.append((self.take().word, self._unary()))
        return _chain(tree, others)

    def _unary(self) -> Tree:
        minus = False
        while self.next.kind is SIGN and self.next.text in (b"-", b"+", b"~"):
            minus ^= self.take().text == b"-"
        if self.is_word(b"binary", b"distinct", b"all", b"interval") and self.ahead().text not in (b",", b")", b"."):
            self.at += 1
        tree = self.primary()
        for _ in range(DEPTH_MAX):
            if self.sign(b"::"):
                tree = ("cast", tree, self.type())
            elif self.word(b"collate"):
                self.dotted()
            elif self.next.text == b"[" and self.sign(b"["):
                tree = ("call", b"element", (tree, self.expression()))
                self.expect(b"]")
            elif self.sign(b"->") or self.sign(b"->>"):
                tree = ("call", b"element", (tree, self.primary()))
            else:
                return ("minus", tree) if minus else tree
        raise self.error()

    def _is_mysql(self, word: bytes) -> bool:
        """Say whether this is a word that only MySQL takes for a column's name."""
        return self.dialect.name == "mysql" and word != b"current_user"

    def primary(self) -> Tree:
        """Read what no operator takes apart."""
        token = self.take()
        if token.kind is TEXT:
            text = token.text
            while self.next.kind is TEXT:  # 'a' 'b' is 'ab'
                text += self.take().text
            return ("value", text)
        if token.kind is BINARY:
            return ("value", Binary(token.text))
        if token.kind is NUMBER:
            return ("value", int(token.text) if token.text.isdigit() else float(token.text))
        if token.kind is VARIABLE:
            if self.sign(b":="):
                return ("set", token.word, self.expression())
            return ("variable", token.word)
        if token.kind is SIGN and token.text == b"(":
            tree: Tree = ("select", self.select()) if self.begins_select else self._bracket()
            self.expect(b")")
            return self._fields(tree)
        if token.kind is SIGN and token.text == b"*":
            return ("star",)
        if token.kind in (WORD, NAME):
            self.at -= 1
            return self._named()
        self.at -= token.kind is not END
        raise self.error()

    def _bracket(self) -> Tree:
        trees = self.expressions()
        return trees[0] if len(trees) == 1 else ("call", b"row", trees)

    def _fields(self, tree: Tree) -> Tree:
        while self.sign(b"."):
            self.take()
        return tree

    def _named(self) -> Tree:
        token = self.next
        if token.kind is WORD:
            if token.word in _CONSTANTS:
                self.at += 1
                return ("value", _CONSTANTS[token.word])
            special = _SPECIAL.get(token.word)
            if special is not None and (token.word == b"case" or self.ahead().text in (b"(", b"[")):
                self.at += 1
                tree: Tree = special(self)
                return tree
        parts = [self.name()]
        while self.sign(b"."):
            if self.sign(b"*"):
                return ("star", *parts)
            parts.append(b"" if self.next.text == b"." else self.name())
        if self.sign(b"("):
            return self._fields(("call", parts[-1].lower(), self.arguments()))
        if token.kind is WORD and len(parts) == 1:
            if token.word in _BARE and not (token.word.endswith(b"user") and self._is_mysql(token.word)):
                return ("call", token.word, ())
            if self.next.kind is TEXT and token.word in (b"date", b"timestamp", b"time", b"interval", b"regclass"):
                return ("value", self.take().text)  # a literal with its type before it
        return ("column", tuple(parts))

    def arguments(self) -> tuple[Tree, ...]:
        """Read the arguments of a function, of which the bracket was read."""
        if self.sign(b")"):
            return ()
        found: list[Tree] = []
        while True:
            found.append(("select", self.select()) if self.begins_select else self.expression())
            if self.word(b"order", b"by"):
                self.order()
            if self.sign(b"=>") or self.sign(b":="):
                found[-1] = self.expression()
            if self.sign(b",") or self.word(b"from") or self.word(b"for") or self.word(b"separator"):
                continue
            if self.word(b"as"):
                self.type()
            if self.word(b"using"):
                self.name()
            self.expect(b")")
            if self.word(b"over"):
                self.expect(b"(")
                while not self.over and not self.sign(b")"):
                    self.at += 1
            return tuple(found)

    def type(self) -> bytes:
        """Read the name of a type, with what belongs to it; return its last word, lower case."""
        name = self.dotted()[-1].lower()
        while self.is_word(b"varying", b"precision", b"unsigned", b"signed", b"zone", b"without", b"time", b"with"):
            if self.ahead().kind is END and self.next.word == b"with":
                break
            self.at += 1
        if self.sign(b"("):
            while not self.over and not self.sign(b")"):
                self.at += 1
        while self.sign(b"["):
            self.skip_to(b"]")
        if self.word(b"character", b"set") or self.word(b"charset"):
            self.name()
        return name

    def skip_to(self, sign: bytes) -> None:
        """Go past the next such sign."""
        while not self.over and not self.sign(sign):
            self.at += 1

    def _case(self) -> Tree:
        operand = None if self.is_word(b"when") else self.expression()
        whens: list[tuple[Tree, Tree]] = []
        while self.word(b"when"):
            condition = self.expression()
            if not self.word(b"then"):
                raise self.error()
            whens.append((condition, self.expression()))
        other = self.expression() if self.word(b"else") else None
        if not self.word(b"end"):
            raise self.error()
        return ("case", operand, tuple(whens), other)

    def _cast(self) -> Tree:
        self.expect(b"(")
        tree = self.expression()
        if not self.word(b"as"):
            raise self.error()
        kind = self.type()
        self.expect(b")")
        return ("cast", tree, kind)

    def _convert(self) -> Tree:
        """CONVERT(type, x[, style]) in T-SQL, CONVERT(x, type) and CONVERT(x USING set) in MySQL."""
        self.expect(b"(")
        if self.dialect.name == "tsql":
            kind = self.type()
            self.expect(b",")
            tree = self.expression()
            style = self.expression() if self.sign(b",") else ("value", 0)
            self.expect(b")")
            return ("cast", tree, kind, style)
        tree = self.expression()
        if self.word(b"using"):
            self.name()
            kind = b"char"
        else:
            self.expect(b",")
            kind = self.type()
        self.expect(b")")
        return ("cast", tree, kind)

    def _exists(self) -> Tree:
        self.expect(b"(")
        tree = ("exists", self.select())
        self.expect(b")")
        return tree

    def _array(self) -> Tree:
        closing = b"]" if self.sign(b"[") else b")"
        if closing == b")":
            self.expect(b"(")
        trees: tuple[Tree, ...]
        if self.begins_select:
            trees = (("select", self.select()),)
        else:
            trees = () if self.next.text == closing else self.expressions()
        self.expect(closing)
        return ("call", b"array", trees)


def _chain(tree: Tree, others: list[tuple[bytes, Tree]]) -> Tree:
    """Return what operators of one rank make, as one flat tree: attackers join thousands of pieces."""
    return ("chain", tree, tuple(others)) if others else tree


_SPECIAL: dict[bytes, Any] = {
    b"case": ExpressionParser._case,
    b"cast": ExpressionParser._cast,
    b"convert": ExpressionParser._convert,
    b"try_convert": ExpressionParser._convert,
    b"try_cast": ExpressionParser._cast,
    b"exists": ExpressionParser._exists,
    b"array": ExpressionParser._array,
}
