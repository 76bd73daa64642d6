"""`awk`: patterns and actions over the fields of lines, as one-liners use them. The grammar stands in `_awk`.

The tree of a program is walked for each line. Numbers are floats, texts are bytes, and what came from the input may be
either (`Input`), as its looks decide.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Callable
from typing import Any, ClassVar, TypeAlias

from eudaemon.world.shell.applets._awk import Parser, ProgramError, Rule, Tree
from eudaemon.world.shell.applets.output import printed
from eudaemon.world.shell.call import Applet, Call, Run, options
from eudaemon.world.shell.limits import WORD_BYTES_MAX
from eudaemon.world.shell.regular import Regular, RegularError
from eudaemon.world.shell.words import unescape

FIELDS_MAX = 1024
Value: TypeAlias = "bytes | float"

_LETTER = re.compile(rb"%[-+ #0-9.]*([A-Za-z%])")
_NUMBER = re.compile(rb"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


class Input(bytes):
    """Bytes that came from outside the program: they count as a number where they look like one."""

    __slots__ = ()


class _Next(Exception):  # noqa: N818 (a jump, no error)
    pass


class _Exit(Exception):  # noqa: N818 (a jump, no error)
    pass


def awk(call: Call) -> Run:
    """`awk [-F separator] [-v name=value] program [file…]`."""
    given, rest = options(call.args, "Fvf")
    if not rest:
        call.say(f"{call.host.busybox_line} multi-call binary.\n\nUsage: awk [OPTIONS] [AWK_PROGRAM] [FILE]...\n\n")
        return 1
    try:
        rules = Parser(rest.pop(0)).rules()
        run = _Run(call, given.get("F", b" "))
    except RegularError as error:
        return call.error(f"bad regex: {error}")
    except ProgramError as error:
        return call.error(f"cmd. line:1: {error}")
    name, _, value = given.get("v", b"").partition(b"=")
    if name:
        run.names[name] = Input(unescape(value)[0])
    try:
        reads = any(rule[0] != _BEGIN for rule in rules)
        run.all(rules, (yield from call.sources(rest)) if reads else [])
    except RegularError as error:
        return call.error(f"bad regex: {error}")
    return run.status


class _Run:
    """One run of a program. `names` are its variables."""

    def __init__(self, call: Call, separator: bytes) -> None:
        self.call = call
        self.status = 0
        self.names: dict[bytes, Value] = {b"FS": b"\t" if separator == b"t" else unescape(separator)[0], b"OFS": b" ",
                                          b"ORS": b"\n", b"RS": b"\n", b"NR": 0.0, b"NF": 0.0}  # fmt: skip
        self.line = b""
        self.fields: list[bytes] = []
        self._regulars: dict[bytes, Regular] = {}

    def all(self, rules: list[Rule], sources: list[tuple[bytes, bytes]]) -> None:
        """Do what is to be done first, for each line, and last."""
        always = [rule for rule in rules if rule[0] not in (_BEGIN, _END)]
        ending = [rule for rule in rules if rule[0] == _END]
        try:
            self._apply([rule for rule in rules if rule[0] == _BEGIN])
            for _, data in sources:
                for line in data.removesuffix(b"\n").split(b"\n") if data else ():
                    self.call.shell.budget.work(2 * len(line) + 8)
                    self._take(line)
                    self._apply(always)
        except _Exit:
            pass
        if not self.status:
            with contextlib.suppress(_Exit):
                self._apply(ending)

    def _apply(self, rules: list[Rule]) -> None:
        try:
            for pattern, action in rules:
                self.call.shell.budget.step()
                if pattern in (None, _BEGIN, _END) or _truth(self.value(pattern or _BEGIN)):
                    self.do(action or ("print", []))
        except _Next:
            pass

    def _take(self, line: bytes) -> None:
        self.names[b"NR"] = _number(self.names[b"NR"]) + 1
        self._split(line)

    def _split(self, line: bytes) -> None:
        separator = _text(self.names[b"FS"])
        self.line = line
        if separator == b" ":
            self.fields = line.split(None, FIELDS_MAX)
        elif len(separator) == 1 and separator != b"|" and line:
            self.fields = line.split(separator, FIELDS_MAX)
        else:
            self.fields = self._split_by(self._regular(separator), line) if line else []
        self.names[b"NF"] = float(len(self.fields))

    def _split_by(self, separator: Regular, line: bytes) -> list[bytes]:
        found: list[bytes] = []
        at = 0
        while len(found) < FIELDS_MAX:
            self.call.shell.budget.work(separator.cost(line[at:]))
            where = separator.search(line, at)
            if where is None or where[0] == where[1]:
                break
            found.append(line[at : where[0]])
            at = where[1]
        return [*found, line[at:]]

    def _regular(self, pattern: bytes) -> Regular:
        if pattern not in self._regulars:
            if pattern == b"|":
                return Regular(b"|", fixed=True)
            self._regulars[pattern] = Regular(pattern, extended=True)
        return self._regulars[pattern]

    # --- statements --------------------------------------------------------------------------------

    def do(self, tree: Tree) -> None:
        """Carry out a statement."""
        self.call.shell.budget.step()
        match tree:
            case ("block", statements):
                for statement in statements:
                    self.do(statement)
            case ("print", given):
                shown = [_text(self.value(one)) for one in given] or [self.line]
                self.call.out(_text(self.names[b"OFS"]).join(shown) + _text(self.names[b"ORS"]))
            case ("printf", given) if given:
                form, *rest = (self.value(one) for one in given)
                values = [_text(form), *_characters(_text(form), rest)]
                if values[1:] or b"%" in values[0]:
                    self.call.out(printed(values[0].replace(b"\\", b"\\\\"), values[1:], self.call.shell.budget))
                else:
                    self.call.out(values[0])
            case ("if", condition, then, otherwise):
                if _truth(self.value(condition)):
                    self.do(then)
                elif otherwise is not None:
                    self.do(otherwise)
            case ("next",):
                raise _Next
            case ("exit", *status):
                self.status = _whole(self.value(status[0]), 0, 2**31) & 255 if status else 0
                raise _Exit
            case ("expression", inner):
                self.value(inner)

    # --- expressions -------------------------------------------------------------------------------

    def value(self, tree: Tree) -> Value:
        """Return what an expression is worth."""
        return self._VALUES[tree[0]](self, *tree[1:])

    def _joined(self, left: Tree, right: Tree) -> Value:
        return (_text(self.value(left)) + _text(self.value(right)))[:WORD_BYTES_MAX]

    def _binary(self, operator: bytes, left: Tree, right: Tree) -> Value:
        return _calculated(operator, _number(self.value(left)), _number(self.value(right)))

    def _unary(self, operator: bytes, inner: Tree) -> Value:
        value = self.value(inner)
        if operator == b"!":
            return float(not _truth(value))
        return -_number(value) if operator == b"-" else _number(value)

    def _compare(self, operator: bytes, left: Tree, right: Tree) -> Value:
        return float(_compared(operator, self.value(left), self.value(right)))

    def _both(self, left: Tree, right: Tree) -> Value:
        return float(_truth(self.value(left)) and _truth(self.value(right)))

    def _either(self, left: Tree, right: Tree) -> Value:
        return float(_truth(self.value(left)) or _truth(self.value(right)))

    def _matched(self, left: Tree, pattern: Tree, negated: bool) -> Value:
        subject = _text(self.value(left))
        found = pattern[1] if pattern[0] == "regular" else self._regular(_text(self.value(pattern)))
        self.call.shell.budget.work(found.cost(subject))
        return float((found.search(subject) is not None) != negated)

    def _chosen(self, condition: Tree, then: Tree, otherwise: Tree) -> Value:
        return self.value(then if _truth(self.value(condition)) else otherwise)

    def _assigned(self, target: Tree, source: Tree) -> Value:
        value = self.value(source)
        self._assign(target, value)
        return value

    def _counted(self, target: Tree, source: Tree) -> Value:
        before = _number(self.value(target))
        self._assign(target, self.value(source))
        return before

    def _field_at(self, which: Tree) -> Value:
        return self._field(_whole(self.value(which), -1, 1_000_000))

    def _field(self, which: int) -> bytes:
        return Input(self.line if which == 0 else self.fields[which - 1] if 0 < which <= len(self.fields) else b"")

    def _assign(self, target: Tree, value: Value) -> None:
        if target[0] == "name":
            self.names[target[1]] = value
            return
        which = _whole(self.value(target[1]), 0, FIELDS_MAX)
        if which == 0:
            self._split(_text(value))
            return
        self.fields += [b""] * (which - len(self.fields))
        self.fields[which - 1] = _text(value)
        self.names[b"NF"] = float(len(self.fields))
        self.line = _text(self.names[b"OFS"]).join(self.fields)[:WORD_BYTES_MAX]

    def _called(self, name: bytes, trees: list[Tree]) -> Value:
        given = [self.value(tree) for tree in trees]
        first = _text(given[0]) if given else self.line
        match name:
            case b"length":
                return float(len(first))
            case b"index":
                return float(first.find(_text(given[1])) + 1)
            case b"tolower":
                return first.lower()
            case b"toupper":
                return first.upper()
            case b"int":
                value = _number(given[0])
                return float(int(value)) if math.isfinite(value) else value
        begin = _whole(given[1], 1, len(first) + 1)
        count = _whole(given[2], 0, len(first)) if len(given) > 2 else len(first)
        return first[begin - 1 : begin - 1 + count]

    _VALUES: ClassVar[dict[str, Callable[..., Value]]] = {
        "value": lambda _, value: value,
        "name": lambda self, name: self.names.get(name, b""),
        "field": _field_at,
        "list": lambda self, trees: self.value(trees[-1]),
        "join": _joined,
        "binary": _binary,
        "unary": _unary,
        "compare": _compare,
        "and": _both,
        "or": _either,
        "match": _matched,
        "choose": _chosen,
        "assign": _assigned,
        "count": _counted,
        "call": _called,
    }


_BEGIN: Tree = ("name", b"BEGIN")
_END: Tree = ("name", b"END")


def _number(value: Value) -> float:
    if isinstance(value, float):
        return value
    found = _NUMBER.match(value[:64])
    return float(found[0]) if found else 0.0


def _whole(value: Value, low: int, high: int) -> int:
    """Return the whole number next to a value, within bounds; what is no number is the lower."""
    figure = _number(value)
    return round(min(max(figure, low), high)) if figure == figure else low


def _characters(form: bytes, values: list[Value]) -> list[bytes]:
    """Return values for a form of `printf` as texts; for its `%c` a number is the character of that code."""
    letters = [letter for letter in _LETTER.findall(form) if letter != b"%"]
    return [
        bytes((int(value) & 0xFF,)) if letter == b"c" and isinstance(value, float) and math.isfinite(value)
        else _text(value)
        for letter, value in zip([*letters, *[b""] * len(values)], values, strict=False)
    ]  # fmt: skip


def _text(value: Value) -> bytes:
    if isinstance(value, bytes):
        return value
    if value == int(value) if math.isfinite(value) else False:
        return b"%d" % int(value)
    return b"%.6g" % value


def _looks_numeric(value: Value) -> bool:
    if isinstance(value, float):
        return True
    return isinstance(value, Input) and len(value) < 64 and _NUMBER.fullmatch(value.rstrip()) is not None


def _truth(value: Value) -> bool:
    return bool(_number(value)) if _looks_numeric(value) else bool(value)


def _compared(operator: bytes, left: Value, right: Value) -> bool:
    a: Any = left
    b: Any = right
    numeric = (_looks_numeric(left) or left == b"") and (_looks_numeric(right) or right == b"")
    a, b = (_number(left), _number(right)) if numeric and (left, right) != (b"", b"") else (_text(left), _text(right))
    return {b"<": a < b, b"<=": a <= b, b"==": a == b, b"!=": a != b, b">": a > b, b">=": a >= b}[operator]  # type: ignore[no-any-return]


def _calculated(operator: bytes, left: float, right: float) -> float:
    match operator:
        case b"+":
            return left + right
        case b"-":
            return left - right
        case b"*":
            return left * right
    if not right or not math.isfinite(left):
        return 0.0
    return left / right if operator == b"/" else math.fmod(left, right)


TABLE: dict[str, Applet] = {"awk": awk}
