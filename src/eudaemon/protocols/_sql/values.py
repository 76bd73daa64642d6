"""What expressions come to: values and operators.

Evaluation is a generator, because a function may be one that runs a command: what it yields goes up to whoever can
carry it out, and the answer comes back down. Values are None, numbers, truth and bytes; text is UTF-8.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from typing import Any, TypeAlias

from eudaemon.protocols._sql.expressions import Tree
from eudaemon.protocols._sql.parser import Select
from eudaemon.protocols._sql.tokens import Binary, Dialect, SqlError
from eudaemon.wire import decode

Value: TypeAlias = "bool | int | float | bytes | None"
Evaluation: TypeAlias = "Generator[Any, Any, Value]"
VALUE_BYTES_MAX = 16 * 1024 * 1024
STEPS_MAX = 400_000  # of one request
HELD_BYTES_MAX = 40 * 1024 * 1024  # of values that one request has at a time: of rows, arguments, groups
_PATTERN_BYTES_MAX = 64
_LIKENED_BYTES_MAX = 1024  # of what is held against it
_LIKE_STEPS = 100  # what one comparison with a pattern counts for
_LIKE_MARK = re.compile(rb"(\\?)(.)", re.DOTALL)
_NUMBER = re.compile(rb"\s*[-+]?(?:\d{1,40}\.?\d{0,40}|\.\d{1,40})(?:[eE][-+]?\d{1,3})?")


class Scope:
    """What an expression can reach. The rooms' servers fill it in."""

    __slots__ = ("dialect", "functions", "held_bytes", "steps", "variables")

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.steps = 0
        self.held_bytes = 0  # whoever holds values says so, and sets it back when it lets them go
        self.variables: dict[bytes, Value] = {}
        self.functions: dict[bytes, Callable[..., Any]] = {}

    def begin(self) -> None:
        """A request begins: what an error has left of the one before is forgotten."""
        self.steps = self.held_bytes = 0

    def hold(self, *values: Value) -> None:
        """Note that values are held. Raises `SqlError` past the limit."""
        self.held_bytes += sum(len(value) for value in values if isinstance(value, bytes))
        if self.held_bytes > HELD_BYTES_MAX:
            raise SqlError("too much")

    def variable(self, name: bytes) -> Value:
        """Return a variable's value."""
        return self.variables.get(name)

    def keep_variable(self, name: bytes, value: Value) -> None:
        """Set a variable. Raises `SqlError` where there is no room for it."""
        self.variables[name] = value

    def column(self, parts: tuple[bytes, ...]) -> Value:
        """Return a column's value in the row at hand. Raises `SqlError`."""
        raise SqlError("column", b".".join(parts))

    def rows(self, select: Select) -> Generator[Any, Any, list[list[Value]]]:  # noqa: ARG002
        """Return the rows that a select within an expression gives."""
        yield from ()
        raise SqlError("syntax", b"SELECT")

    def aggregate(self, name: bytes, trees: tuple[Tree, ...]) -> Evaluation | None:
        """Return the evaluation of a function over all rows, None if it is none."""

    def call(self, name: bytes, values: list[Value]) -> Any:
        """Return what a function gives, or a generator that will give it. Raises `SqlError`."""
        function = self.functions.get(name)
        if function is None:
            raise SqlError("function", name)
        try:
            return function(self, values)
        except IndexError:  # a value that was not given
            raise SqlError("arguments", name) from None


# --- what a value is as something else -------------------------------------------------------------


def text(value: Value) -> bytes:
    """Return a value as it is written."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, bool):
        return b"1" if value else b"0"
    return b"" if value is None else str(value).encode()


def number(value: Value) -> int | float:
    """Return a value as a number: the one with which a text begins, 0 if it begins with none."""
    if value is None:
        return 0
    if isinstance(value, int | float):
        return value
    found = _NUMBER.match(value[:128])
    if found is None:
        return 0
    digits = found[0].strip()
    return int(digits) if digits.lstrip(b"-+").isdigit() else float(digits)


def whole(value: Value, *, low: int = -(1 << 63), high: int = (1 << 63) - 1) -> int:
    """Return a value as an integer within bounds."""
    try:
        found = int(number(value))
    except (OverflowError, ValueError):  # of an infinity
        return high
    return min(max(found, low), high)


def truth(value: Value) -> bool:
    """Say whether a value is true."""
    if isinstance(value, bytes) and value[:5].lower() in (b"t", b"true", b"yes", b"on"):
        return True
    return bool(number(value))


def bounded(value: bytes) -> bytes:
    """Return a value that is not too large. Raises `SqlError`."""
    if len(value) > VALUE_BYTES_MAX:
        raise SqlError("too large")
    return value


# --- evaluation --------------------------------------------------------------------------------------


def evaluate(tree: Tree, scope: Scope) -> Evaluation:
    """Return what a tree comes to. Raises `SqlError`."""
    scope.steps += 1
    if scope.steps > STEPS_MAX:
        raise SqlError("too much")
    kind = tree[0]
    if kind == "value":
        value: Value = tree[1]
        return value
    return (yield from _KINDS[kind](tree, scope))


def evaluate_all(trees: tuple[Tree, ...], scope: Scope) -> Generator[Any, Any, list[Value]]:
    """Return what trees come to."""
    before = scope.held_bytes
    found: list[Value] = []
    for tree in trees:
        found += ((yield from evaluate(tree, scope)),)
        scope.hold(found[-1])
    scope.held_bytes = before
    return found


def _column(tree: Tree, scope: Scope) -> Evaluation:
    yield from ()
    return scope.column(tree[1])


def _variable(tree: Tree, scope: Scope) -> Evaluation:
    yield from ()
    return scope.variable(tree[1])


def _star(tree: Tree, scope: Scope) -> Evaluation:  # noqa: ARG001
    yield from ()
    return 1


def _set(tree: Tree, scope: Scope) -> Evaluation:
    value = yield from evaluate(tree[2], scope)
    scope.keep_variable(tree[1], value)
    return value


def _call(tree: Tree, scope: Scope) -> Evaluation:
    whole_table = scope.aggregate(tree[1], tree[2])
    if whole_table is not None:
        return (yield from whole_table)
    values = yield from evaluate_all(tree[2], scope)
    value: Any = scope.call(tree[1], values)
    if isinstance(value, Generator):
        value = yield from value
    return bounded(value) if isinstance(value, bytes) else value


def _not(tree: Tree, scope: Scope) -> Evaluation:
    value = yield from evaluate(tree[1], scope)
    return None if value is None else not truth(value)


def _minus(tree: Tree, scope: Scope) -> Evaluation:
    return -number((yield from evaluate(tree[1], scope)))


def _chain(tree: Tree, scope: Scope) -> Evaluation:
    value = yield from evaluate(tree[1], scope)
    joined: list[bytes] | None = None  # pieces of one long text, joined once
    before = scope.held_bytes
    for sign, other in tree[2]:
        scope.steps += 1
        if (sign == b"and" and value is not None and not truth(value)) or (sign == b"or" and truth(value)):
            continue
        right = yield from evaluate(other, scope)
        if _joins(sign, value if joined is None else b"", right, scope):
            if joined is None:
                joined = [text(value)]
            joined.append(text(right))
            scope.hold(joined[-1])
            continue
        if joined is not None:
            value, joined = _joined(joined, value), None
        if sign in _PATTERNED:
            scope.steps += _LIKE_STEPS
        value = operate(sign, value, right)
    scope.held_bytes = before
    return _joined(joined, value) if joined is not None else value


def _joins(sign: bytes, left: Value, right: Value, scope: Scope) -> bool:
    if left is None or right is None:
        return False
    if sign == b"||":
        return scope.dialect.name != "mysql"
    return sign == b"+" and scope.dialect.name == "tsql" and isinstance(left, bytes) and isinstance(right, bytes)


def _joined(pieces: list[bytes], first: Value) -> bytes:
    whole_text = bounded(b"".join(pieces))
    return Binary(whole_text) if isinstance(first, Binary) else whole_text


def _in(tree: Tree, scope: Scope) -> Evaluation:
    value = yield from evaluate(tree[1], scope)
    found = False
    for other in tree[2]:
        if other[0] == "select":
            rows = yield from scope.rows(other[1])
            found = found or any(same(value, row[0]) for row in rows)
        else:
            right = yield from evaluate(other, scope)
            found = found or same(value, right)
    return found is not bool(tree[3])


def _is(tree: Tree, scope: Scope) -> Evaluation:
    value = yield from evaluate(tree[1], scope)
    meant = value is None if tree[2] in (b"null", b"unknown") else value is not None and (
        truth(value) == (tree[2] == b"true"))  # fmt: skip
    return meant is not bool(tree[3])


def _between(tree: Tree, scope: Scope) -> Evaluation:
    value, low, high = yield from evaluate_all(tree[1:4], scope)
    return (compare(low, value) <= 0 and compare(value, high) <= 0) is not bool(tree[4])


def _case(tree: Tree, scope: Scope) -> Evaluation:
    operand = None if tree[1] is None else (yield from evaluate(tree[1], scope))
    for condition, then in tree[2]:
        value = yield from evaluate(condition, scope)
        if truth(value) if tree[1] is None else same(operand, value):
            found: Value = yield from evaluate(then, scope)
            return found
    return None if tree[3] is None else (yield from evaluate(tree[3], scope))


def _cast(tree: Tree, scope: Scope) -> Evaluation:
    value = yield from evaluate(tree[1], scope)
    return cast(value, tree[2], truth(tree[3][1]) if len(tree) > 3 and tree[3][0] == "value" else False)


def _select(tree: Tree, scope: Scope) -> Evaluation:
    rows = yield from scope.rows(tree[1])
    return rows[0][0] if rows and rows[0] else None


def _exists(tree: Tree, scope: Scope) -> Evaluation:
    return bool((yield from scope.rows(tree[1])))


_KINDS: dict[str, Callable[[Tree, Scope], Evaluation]] = {
    "column": _column, "variable": _variable, "star": _star, "set": _set, "call": _call, "not": _not, "minus": _minus,
    "chain": _chain, "in": _in, "is": _is, "between": _between, "case": _case, "cast": _cast, "select": _select,
    "exists": _exists,
}  # fmt: skip


_PATTERNED = frozenset((b"like", b"ilike", b"~", b"~*", b"!~", b"!~*", b"regexp", b"rlike"))


def compare(left: Value, right: Value) -> int:
    """Return -1, 0 or 1. Text is compared without regard to case and to blanks at its end.

    So do MySQL's and SQL Server's collations.
    """
    a: Any
    b: Any
    if isinstance(left, bytes) and isinstance(right, bytes):
        a, b = left.lower().rstrip(b" "), right.lower().rstrip(b" ")
    else:
        a, b = number(left), number(right)
    return 1 if a > b else -1 if a < b else 0


def same(left: Value, right: Value) -> bool:
    """Say whether two values are equal; nothing equals null."""
    return left is not None and right is not None and compare(left, right) == 0


def operate(sign: bytes, left: Value, right: Value) -> Value:
    """Return what an operator makes of two values. Raises `SqlError`."""
    if sign in (b"and", b"or"):
        if left is None or right is None:
            return None
        return (truth(left) and truth(right)) if sign == b"and" else (truth(left) or truth(right))
    if sign == b"<=>":
        return (left is None and right is None) or same(left, right)
    if left is None or right is None:
        return None
    if sign in (b"like", b"ilike"):
        return like(text(left), text(right))
    if sign in (b"~", b"~*", b"regexp", b"rlike"):
        return matches(text(left), text(right))
    if sign in (b"!~", b"!~*"):
        return not matches(text(left), text(right))
    if sign in _COMPARED:
        return _COMPARED[sign](compare(left, right))
    if sign == b"||":
        return truth(left) or truth(right)
    a, b = number(left), number(right)
    if sign in (b"/", b"div", b"%", b"mod") and not b:
        return None
    try:
        return _reckon(sign, a, b)
    except (OverflowError, ValueError):
        raise SqlError("out of range") from None


def _reckon(sign: bytes, a: float, b: float) -> Value:
    match sign:
        case b"+":
            value = a + b
        case b"-":
            value = a - b
        case b"*":
            value = a * b
        case b"/":
            value = a // b if isinstance(a, int) and isinstance(b, int) and a % b == 0 else a / b
        case b"div":
            value = int(a // b)
        case b"%" | b"mod":
            value = a % b
        case b"&":
            value = int(a) & int(b)
        case b"|":
            value = int(a) | int(b)
        case _:
            value = int(a) ^ int(b)
    if isinstance(value, int) and abs(value) >= 1 << 64:
        raise SqlError("out of range")
    return value


_COMPARED: dict[bytes, Callable[[int], bool]] = {
    b"=": lambda order: order == 0, b"<>": lambda order: order != 0, b"!=": lambda order: order != 0,
    b"<": lambda order: order < 0, b">": lambda order: order > 0, b"<=": lambda order: order <= 0,
    b">=": lambda order: order >= 0,
}  # fmt: skip


def like(value: bytes, pattern: bytes) -> bool:
    """Say whether a text is like a pattern of `%` and `_`, without regard to case; `\\` makes either itself.

    What stands between two `%` is looked for from left to right, so that no pattern takes more than one look at each.
    """
    value, pieces = value[:_LIKENED_BYTES_MAX].lower(), _pieces(pattern[:_PATTERN_BYTES_MAX].lower())
    if len(pieces) == 1:
        return re.fullmatch(pieces[0], value, re.DOTALL) is not None
    first, *between, last = pieces
    found = re.compile(first, re.DOTALL).match(value)
    for piece in (*between, last + rb"\Z"):
        if found is None:
            return False
        found = re.compile(piece, re.DOTALL).search(value, found.end())
    return found is not None


def _pieces(pattern: bytes) -> list[bytes]:
    """Return what stands between the `%` of a pattern, as regular expressions."""
    pieces = [b""]
    for escaped, mark in _LIKE_MARK.findall(pattern):
        if mark == b"%" and not escaped:
            pieces.append(b"")
        else:
            pieces[-1] += b"." if mark == b"_" and not escaped else re.escape(mark)
    return pieces


_PLAIN_PATTERN = re.compile(rb"\^?\(?[\w .-]*\)?\$?", re.ASCII)


def matches(value: bytes, pattern: bytes) -> bool:
    """Say whether a text matches a regular expression, if that is a plain one: `^(name)$`. Others match nothing."""
    if not _PLAIN_PATTERN.fullmatch(pattern[:_PATTERN_BYTES_MAX]):
        return False
    plain = pattern.strip(b"^$()").lower()
    value = value.lower()
    if pattern.startswith(b"^"):
        return value == plain if pattern.endswith(b"$") else value.startswith(plain)
    return value.endswith(plain) if pattern.endswith(b"$") else plain in value


_WHOLE_TYPES = frozenset(b"int integer int4 int8 int2 bigint smallint tinyint signed unsigned bit oid serial".split())
_BYTE_TYPES = frozenset(b"varbinary binary image bytea blob".split())


def cast(value: Value, kind: bytes, styled: bool = False) -> Value:
    """Return a value as one of another type. `styled` is T-SQL's style 1 or 2: hexadecimal text is bytes."""
    if value is None:
        return None
    if kind in _WHOLE_TYPES:
        return whole(value)
    if kind in (b"bool", b"boolean"):
        return truth(value)
    if kind in _BYTE_TYPES:
        data = text(value)
        if data[:2] in (b"\\x", b"0x") or styled:
            return unhexed(data[2:] if data[:2] in (b"\\x", b"0x") else data) or Binary()
        return Binary(data if kind != b"bytea" else decode.backslashes(data))
    if kind in (b"float", b"real", b"double", b"numeric", b"decimal"):
        return number(value)
    return bytes(text(value))


def unhexed(data: bytes) -> Binary | None:
    """Return what hexadecimal digits stand for, None if they are none."""
    try:
        return Binary(bytes.fromhex(data.decode("ascii")))
    except ValueError:
        return None
