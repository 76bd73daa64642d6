"""Runs the little Lua that scripts for Redis are made of, and turns values into replies and back (redis.io/docs, EVAL).

A script sees nothing but its own values and the commands that it may call. What it costs is counted by the request's
budget: a step for each tree, and work for each byte of a text that is made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from eudaemon.protocols.redis.lua_parser import Block, Tree, UnsupportedError
from eudaemon.protocols.redis.resp import Failure, Reply, Status

if TYPE_CHECKING:
    from eudaemon.world.shell.budget import Budget

TABLE_MAX = 4096  # entries of one table
REPLY_DEPTH_MAX = 8  # tables in each other, in a reply
REPLY_VALUES_MAX = 20_000
TEXT_BYTES_MAX = 1024 * 1024

_TABLE_STEPS = 8  # entries of a table that is given to a function cost a step
# What Redis gives to scripts, too, and is not known here.
_UNKNOWN = frozenset(
    b"pcall xpcall select next rawget rawset rawequal setmetatable getmetatable loadstring load collectgarbage cjson "
    b"cmsgpack bit struct os coroutine _G _VERSION gcinfo newproxy dofile".split()
)


class Table:
    """A table. Whole numbers are its keys as floats, as all numbers are; from 1 up to the first gap is its length."""

    __slots__ = ("_length", "entries")

    def __init__(self, values: Sequence[Any] = ()) -> None:
        self.entries: dict[Any, Any] = {}
        self._length = 0
        for at, value in enumerate(values, 1):
            self.set(float(at), value)

    def get(self, key: Any) -> Any:
        """Return a value, None if there is none."""
        return self.entries.get(key)

    def set(self, key: Any, value: Any) -> None:
        """Set a value. Raises `LuaError`."""
        if key is None or key != key:
            raise LuaError(b"table index is nil")
        if value is None:
            self.entries.pop(key, None)
            if isinstance(key, float) and 0 < key <= self._length and key.is_integer():
                self._length = int(key) - 1
        elif len(self.entries) >= TABLE_MAX and key not in self.entries:
            raise LuaError(b"not enough memory")
        else:
            self.entries[key] = value
            while float(self._length + 1) in self.entries:
                self._length += 1

    def __len__(self) -> int:
        return self._length

    def values(self) -> list[Any]:
        """Return the values from 1 up to the first that is not there."""
        return [self.entries[float(at)] for at in range(1, self._length + 1)]


class Library(Table):
    """A table of functions that is there from the start. What it has not, it has in Lua."""

    __slots__ = ()

    def __init__(self, functions: dict[bytes, Any]) -> None:
        super().__init__()
        self.entries.update(functions)

    def get(self, key: Any) -> Any:
        """See `Table`. Raises `UnsupportedError`."""
        if key not in self.entries:
            raise UnsupportedError
        return self.entries[key]

    def set(self, key: Any, value: Any) -> None:  # noqa: ARG002
        """See `Table`: it is everybody's. Raises `LuaError`."""
        raise LuaError(b"Attempt to modify a readonly table")


class Pairs:
    """What `pairs` and `ipairs` give to a loop."""

    __slots__ = ("turns",)

    def __init__(self, turns: list[tuple[Any, Any]]) -> None:
        self.turns = turns


class LuaError(Exception):
    """What ends a script, unless it is caught. `source` is where it comes from: the script, Redis, or its guard."""

    def __init__(self, said: bytes, source: str = "script") -> None:
        super().__init__(said)
        self.said = said
        self.source = source


class _BreakError(Exception):
    """BREAK."""


class _ReturnError(Exception):
    """RETURN, with its first value."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value


class Script:
    """One run. `library` are the names that there are from the start."""

    def __init__(self, library: dict[bytes, Any], budget: Budget) -> None:
        self._budget = budget
        self.line = 1  # of the statement at hand
        self._scopes: list[dict[bytes, Any]] = [library, {}]

    def run(self, block: Block) -> Any:
        """Return what a script returns. Raises `LuaError`, `UnsupportedError`, and `LimitError` past the budget."""
        try:
            self._statements(block)
        except _ReturnError as found:
            return found.value
        except _BreakError:
            raise LuaError(b"no loop to break") from None
        return None

    # --- statements ----------------------------------------------------------------------------------

    def _within(self, block: Block, names: dict[bytes, Any]) -> None:
        self._scopes.append(names)
        depth = len(self._scopes)
        try:
            self._statements(block)
        finally:
            del self._scopes[depth - 1 :]

    def _statements(self, block: Block) -> None:
        for line, tree in block:
            self.line = line
            self._budget.step()
            _STATEMENTS[tree[0]](self, tree)

    def _local(self, tree: Tree) -> None:
        values = [self.evaluate(one) for one in tree[2]]
        for at, name in enumerate(tree[1]):
            self._scopes[-1][name] = values[at] if at < len(values) else None

    def _assign(self, tree: Tree) -> None:
        values = [self.evaluate(one) for one in tree[2]]
        for at, target in enumerate(tree[1]):
            value = values[at] if at < len(values) else None
            if target[0] == "index":
                owner = self.evaluate(target[1])
                if not isinstance(owner, Table):
                    raise LuaError(b"attempt to index a %s value" % kind_of(owner))
                owner.set(self.evaluate(target[2]), value)
                continue
            scope = next((scope for scope in reversed(self._scopes[1:]) if target[1] in scope), None)
            if scope is None:
                raise LuaError(b"Script attempted to create global variable '%s'" % target[1], "guard")
            scope[target[1]] = value

    def _expression(self, tree: Tree) -> None:
        self.evaluate(tree[1])

    def _return(self, tree: Tree) -> None:
        raise _ReturnError(self.evaluate(tree[1][0]) if tree[1] else None)

    def _if(self, tree: Tree) -> None:
        for condition, block in tree[1]:
            if truth(self.evaluate(condition)):
                self._within(block, {})
                return

    def _loop(self, turns: Iterator[dict[bytes, Any]], block: Block) -> None:
        for names in turns:
            self._budget.step()
            try:
                self._within(block, names)
            except _BreakError:
                return

    def _while(self, tree: Tree) -> None:
        self._loop(({} for _ in iter(lambda: truth(self.evaluate(tree[1])), False)), tree[2])

    def _repeat(self, tree: Tree) -> None:
        self._loop(self._until(tree[2]), tree[1])

    def _until(self, condition: Tree) -> Iterator[dict[bytes, Any]]:
        yield {}
        while not truth(self.evaluate(condition)):
            yield {}

    def _for(self, tree: Tree) -> None:
        start, stop, step = (number_of(self.evaluate(one)) for one in tree[2:5])
        if start is None or stop is None or not step:
            raise LuaError(b"'for' initial value must be a number")
        self._loop(self._counted(tree[1], start, stop, step), tree[5])

    def _counted(self, name: bytes, at: float, stop: float, step: float) -> Iterator[dict[bytes, Any]]:
        while at <= stop if step > 0 else at >= stop:
            yield {name: at}
            at += step

    def _each(self, tree: Tree) -> None:
        pairs = self.evaluate(tree[2])
        if not isinstance(pairs, Pairs):
            raise UnsupportedError
        names = tree[1]
        self._loop((dict(zip(names, turn, strict=False)) for turn in pairs.turns), tree[3])

    def _do(self, tree: Tree) -> None:
        self._within(tree[1], {})

    def _break(self, tree: Tree) -> None:  # noqa: ARG002
        raise _BreakError

    # --- expressions ---------------------------------------------------------------------------------

    def evaluate(self, tree: Tree) -> Any:
        """Return what an expression comes to."""
        self._budget.step()
        if tree[0] == "value":
            return tree[1]
        value = _EXPRESSIONS[tree[0]](self, tree)
        if isinstance(value, bytes):
            self._budget.work(len(value))
        return value

    def _name(self, tree: Tree) -> Any:
        for scope in reversed(self._scopes):
            if tree[1] in scope:
                return scope[tree[1]]
        if tree[1] in _UNKNOWN:
            raise UnsupportedError
        raise LuaError(b"Script attempted to access unexisting global variable '%s'" % tree[1], "guard")

    def _index(self, tree: Tree) -> Any:
        owner, key = self.evaluate(tree[1]), self.evaluate(tree[2])
        if isinstance(owner, bytes):
            owner = self._scopes[0][b"string"]
        if not isinstance(owner, Table):
            raise LuaError(b"attempt to index a %s value" % kind_of(owner))
        return owner.get(key)

    def _call(self, tree: Tree) -> Any:
        return self._called(self.evaluate(tree[1]), [self.evaluate(one) for one in tree[2]])

    def _method(self, tree: Tree) -> Any:
        owner = self.evaluate(tree[1])
        function = self._index(("index", ("value", owner), ("value", tree[2])))
        return self._called(function, [owner, *(self.evaluate(one) for one in tree[3])])

    def _called(self, function: Any, given: list[Any]) -> Any:
        if not callable(function):
            raise LuaError(b"attempt to call a %s value" % kind_of(function))
        self._budget.step(sum(len(one) for one in given if isinstance(one, Table)) // _TABLE_STEPS)
        return function(given)

    def _not(self, tree: Tree) -> Any:
        return not truth(self.evaluate(tree[1]))

    def _minus(self, tree: Tree) -> Any:
        return -arithmetic(self.evaluate(tree[1]))

    def _length(self, tree: Tree) -> Any:
        value = self.evaluate(tree[1])
        if not isinstance(value, bytes | Table):
            raise LuaError(b"attempt to get length of a %s value" % kind_of(value))
        return float(len(value))

    def _binary(self, tree: Tree) -> Any:
        sign, left = tree[1], self.evaluate(tree[2])
        if sign in (b"and", b"or"):
            return left if truth(left) == (sign == b"or") else self.evaluate(tree[3])
        right = self.evaluate(tree[3])
        if sign in (b"==", b"~="):
            return (type(left) is type(right) and left == right) == (sign == b"==")
        if sign == b"..":
            return joined([left, right])
        if sign in _ORDERS:
            return ordered(sign, left, right)
        return calculated(sign, arithmetic(left), arithmetic(right))

    def _table(self, tree: Tree) -> Any:
        made, at = Table(), 0
        for key, value in tree[1]:
            if key is None:
                at += 1
            made.set(float(at) if key is None else self.evaluate(key), self.evaluate(value))
        return made


_STATEMENTS: dict[str, Callable[[Script, Tree], None]] = {
    "local": Script._local, "assign": Script._assign, "do": Script._do, "expression": Script._expression,
    "return": Script._return, "if": Script._if, "while": Script._while, "repeat": Script._repeat, "for": Script._for,
    "each": Script._each, "break": Script._break,
}  # fmt: skip
_EXPRESSIONS: dict[str, Callable[[Script, Tree], Any]] = {
    "name": Script._name, "index": Script._index, "call": Script._call, "method": Script._method, "not": Script._not,
    "minus": Script._minus, "length": Script._length, "binary": Script._binary, "table": Script._table,
}  # fmt: skip
_ORDERS = frozenset((b"<", b">", b"<=", b">="))


# --- what values are ---------------------------------------------------------------------------------


def kind_of(value: Any) -> bytes:
    """Return the name of a value's type."""
    if value is None:
        return b"nil"
    if isinstance(value, bool):
        return b"boolean"
    kinds = ((float, b"number"), (bytes, b"string"), (Table, b"table"))
    return next((name for kind, name in kinds if isinstance(value, kind)), b"function")


def truth(value: Any) -> bool:
    """Say whether a value counts as true: all but nil and false do."""
    return value is not None and value is not False


def number_of(value: Any) -> float | None:
    """Return a number, or what a text says; None if it says none."""
    if isinstance(value, float) and not isinstance(value, bool):
        return value
    if not isinstance(value, bytes) or len(value) > 64:
        return None
    text = value.strip()
    try:
        return float(int(text, 16)) if text[:2].lower() == b"0x" else float(text) if b"_" not in text else None
    except (ValueError, OverflowError):
        return None


def arithmetic(value: Any) -> float:
    """Return a number to calculate with. Raises `LuaError`."""
    number = number_of(value)
    if number is None:
        raise LuaError(b"attempt to perform arithmetic on a %s value" % kind_of(value))
    return number


def calculated(sign: bytes, left: float, right: float) -> float:
    """Return what an operator makes of two numbers."""
    infinite = float("inf")
    try:
        match sign:
            case b"+":
                return left + right
            case b"-":
                return left - right
            case b"*":
                return left * right
            case b"/":
                return left / right if right else infinite if left > 0 else -infinite if left < 0 else float("nan")
            case b"%":
                return left % right if right else float("nan")
            case _:
                found = left**right
                return found if isinstance(found, float) else float("nan")
    except (OverflowError, ZeroDivisionError):
        return infinite


def ordered(sign: bytes, left: Any, right: Any) -> bool:
    """Compare two numbers or two texts. Raises `LuaError`."""
    is_pair = any(isinstance(left, kind) and isinstance(right, kind) for kind in (float, bytes))
    if not is_pair:
        raise LuaError(b"attempt to compare %s with %s" % (kind_of(left), kind_of(right)))
    if sign in (b">", b">="):
        left, right = right, left
    return bool(left < right if sign in (b"<", b">") else left <= right)


def written(value: Any) -> bytes:
    """Return a value as text, as `tostring` gives it."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, float):
        return b"%.14g" % value
    if value is None or isinstance(value, bool):
        return b"nil" if value is None else b"true" if value else b"false"
    raise UnsupportedError  # an address


def joined(values: list[Any]) -> bytes:
    """Return texts and numbers as one text. Raises `LuaError`."""
    wrong = next((value for value in values if kind_of(value) not in (b"string", b"number")), b"")
    if wrong != b"":
        raise LuaError(b"attempt to concatenate a %s value" % kind_of(wrong))
    whole = b"".join(map(written, values))
    if len(whole) > TEXT_BYTES_MAX:
        raise LuaError(b"not enough memory")
    return whole


# --- replies -----------------------------------------------------------------------------------------


def reply_of(value: Any) -> Reply:
    """Return what a script's value is as a reply: whole numbers, tables up to the first nil."""
    return _reply(value, [REPLY_VALUES_MAX], 0)


def _reply(value: Any, left: list[int], depth: int) -> Reply:
    if value is True:
        return 1
    if isinstance(value, bytes):
        return value
    if isinstance(value, float):
        return int(value) if abs(value) < 1 << 63 else -(1 << 63)
    if not isinstance(value, Table):
        return None
    for key, kind in ((b"err", Failure), (b"ok", Status)):
        said = value.entries.get(key)
        if isinstance(said, bytes):
            return kind(said.replace(b"\r", b" ").replace(b"\n", b" "))
    left[0] -= len(value)
    if depth >= REPLY_DEPTH_MAX or left[0] < 0:
        return Failure(b"ERR reached lua stack limit")
    return [_reply(one, left, depth + 1) for one in value.values()]


def value_of(reply: Reply) -> Any:
    """Return what a command's reply is to a script."""
    if reply is None:
        return False
    if isinstance(reply, Status | Failure):
        table = Table()
        table.set(b"ok" if isinstance(reply, Status) else b"err", bytes(reply))
        return table
    if isinstance(reply, int):
        return float(reply)
    return bytes(reply) if isinstance(reply, bytes) else Table([value_of(one) for one in reply])
