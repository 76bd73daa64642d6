"""From words to arguments: parameters, substitutions, arithmetic, field splitting, paths. POSIX.1 XCU 2.6."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, TypeAlias

from eudaemon.world.outside import Downloaded
from eudaemon.world.shell import patterns
from eudaemon.world.shell.acts import Act
from eudaemon.world.shell.arithmetic import Expression, ExpressionError
from eudaemon.world.shell.budget import LimitError
from eudaemon.world.shell.limits import WORD_BYTES_MAX, WORDS_MAX
from eudaemon.world.shell.streams import Pipe, PipeFullError
from eudaemon.world.shell.syntax import Arithmetic, Parameter, Part, Process, Substitution, Text, Word

if TYPE_CHECKING:
    from eudaemon.world.shell.evaluator import Evaluator
    from eudaemon.world.shell.scope import Scope
    from eudaemon.world.shell.syntax import AndOr

Bytes: TypeAlias = Generator[Act, Downloaded | None, bytes]
Fields: TypeAlias = Generator[Act, Downloaded | None, list[bytes]]


class ExpansionError(Exception):
    """The command cannot be run; the message is BusyBox's."""


class _Fields:
    """Collects fields: each a value, and the pattern that it may be."""

    __slots__ = ("_ifs", "_open", "_pattern", "_value", "found", "size")

    def __init__(self, ifs: bytes) -> None:
        self._ifs = ifs
        self._open = False
        self._value = bytearray()
        self._pattern = bytearray()
        self.found: list[tuple[bytes, bytes]] = []
        self.size = 0

    def quoted(self, data: bytes) -> None:
        """Add what is neither split nor a pattern."""
        self._count(data)
        self._open = True
        self._value += data
        self._pattern += patterns.escaped(data)

    def written(self, data: bytes) -> None:
        """Add what stands unquoted in the text: a pattern, not split."""
        self._count(data)
        self._open = True
        self._value += data
        self._pattern += data

    def expanded(self, data: bytes) -> None:
        """Add what an unquoted expansion gave: split, and a pattern."""
        self._count(data)
        if not self._ifs:
            if data:
                self.written(data)
            return
        white = bytes(byte for byte in self._ifs if byte in b" \t\n")
        start = 0
        for at, byte in enumerate(data):
            if byte not in self._ifs:
                continue
            if at > start:
                self._open = True
                self._value += data[start:at]
                self._pattern += data[start:at]
            start = at + 1
            if byte not in white:
                self._open = True
            self.close()
        if start < len(data):
            self._open = True
            self._value += data[start:]
            self._pattern += data[start:]

    def close(self) -> None:
        """End the field, if there is one."""
        if self._open:
            if len(self.found) >= WORDS_MAX:
                raise LimitError("words")
            self.found.append((bytes(self._value), bytes(self._pattern)))
            self._value.clear()
            self._pattern.clear()
            self._open = False

    def _count(self, data: bytes) -> None:
        self.size += len(data)
        if self.size > WORD_BYTES_MAX:
            raise LimitError("word")


class Expander:
    """Expands words for the evaluator."""

    __slots__ = ("_evaluator",)

    def __init__(self, evaluator: Evaluator) -> None:
        self._evaluator = evaluator

    def fields(self, word: Word, scope: Scope) -> Fields:
        """Return the arguments that a word becomes: any number of them."""
        if word.plain is not None:
            return [word.plain]
        shell = self._evaluator.shell
        shell.budget.step()
        fields = _Fields(scope.variables.get(b"IFS", _IFS))
        for index, part in enumerate(word.parts):
            if isinstance(part, Text):
                self._text(part, fields, scope, first=index == 0)
            elif isinstance(part, Parameter) and (values := (yield from self._listed(part, scope))) is not None:
                for number, value in enumerate(values):
                    if number:
                        fields.close()
                    (fields.quoted if part.quoted else fields.expanded)(value)
            else:
                value = yield from self._part(part, scope)
                (fields.quoted if part.quoted else fields.expanded)(value)
        fields.close()
        shell.budget.work(fields.size)
        arguments: list[bytes] = []
        for value, pattern in fields.found:
            found: list[bytes] = []
            if patterns.is_pattern(pattern):
                shell.budget.step(8)
                found = patterns.paths(pattern, shell.files, scope.cwd, shell.budget)
            arguments += found or [patterns.literal(value) if value is pattern else value]
        return arguments

    def text(self, word: Word, scope: Scope) -> Bytes:
        """Return the one value of a word, not split: as in assignments, here-documents and `case`."""
        if word.plain is not None:
            return word.plain
        return (yield from self._joined(word, scope, as_pattern=False))

    def pattern(self, word: Word, scope: Scope) -> Bytes:
        """Return a word as a pattern: what is quoted in it stands for itself."""
        return (yield from self._joined(word, scope, as_pattern=True))

    def _joined(self, word: Word, scope: Scope, *, as_pattern: bool) -> Bytes:
        budget = self._evaluator.shell.budget
        budget.step()
        out = bytearray()
        for index, part in enumerate(word.parts):
            if isinstance(part, Text):
                value = self._home(part, scope) if index == 0 else part.value
            else:
                value = yield from self._part(part, scope)
            out += patterns.escaped(value) if as_pattern and part.quoted else value
            budget.work(len(value))
            if len(out) > WORD_BYTES_MAX:
                raise LimitError("word")
        return bytes(out)

    def _text(self, part: Text, fields: _Fields, scope: Scope, *, first: bool) -> None:
        if part.quoted:
            fields.quoted(part.value)
        else:
            fields.written(self._home(part, scope) if first else part.value)

    def _home(self, part: Text, scope: Scope) -> bytes:
        value = part.value
        if part.quoted or value[:1] != b"~" or value[1:2] not in (b"", b"/"):
            return value
        return scope.variables.get(b"HOME", b"/") + value[1:]

    def _part(self, part: Part, scope: Scope) -> Bytes:
        match part:
            case Parameter():
                return (yield from self._parameter(part, scope))
            case Substitution():
                return (yield from self._substitution(part, scope))
            case Arithmetic():
                expression = yield from self.text(part.expression, scope)
                return self.arithmetic(expression, scope)
            case Process():
                return self._evaluator.shell.offer((yield from self._printed(part.body, scope)))
            case Text():
                return part.value

    def arithmetic(self, expression: bytes, scope: Scope) -> bytes:
        """Return what an expression comes to, in decimal."""
        try:
            value = Expression(expression, lambda name: scope.variables.get(name, b""), scope.set).value()
        except ExpressionError as error:
            raise ExpansionError(str(error)) from None
        return b"%d" % value

    def _substitution(self, part: Substitution, scope: Scope) -> Bytes:
        printed = yield from self._printed(part.body, scope)
        return printed.replace(b"\0", b"").rstrip(b"\n")

    def _printed(self, body: tuple[AndOr, ...], scope: Scope) -> Bytes:
        shell = self._evaluator.shell
        child = scope.copy()
        pipe = Pipe(shell.budget, shell.purse)
        child.streams[1] = pipe
        shell.budget.enter()
        try:
            yield from self._evaluator.subshell(body, child)
            scope.status = child.status
        except PipeFullError:
            scope.status = 141
        finally:
            shell.budget.leave()
            printed = pipe.read()
            pipe.release()
        return printed

    # --- parameters --------------------------------------------------------------------------------

    def _listed(self, part: Parameter, scope: Scope) -> Generator[Act, Downloaded | None, list[bytes] | None]:
        """Return the values that a parameter gives as fields of their own, None if it gives one: `"$@"`, `${a[@]}`."""
        if part.op not in (b"", b":") or b"@" not in (part.name, part.subscript):
            return None
        if part.name == b"@":
            if part.op or not part.quoted:
                return None
            return list(scope.parameters)
        items = (scope.arrays or {}).get(part.name, {})
        values = list(items) if part.indirect else list(items.values())
        if part.op:
            start = int(self.arithmetic((yield from self.text(part.words[0], scope)), scope))
            values = values[start:]
            if len(part.words) > 1:
                values = values[: int(self.arithmetic((yield from self.text(part.words[1], scope)), scope))]
        return values

    def key(self, subscript: bytes, scope: Scope) -> bytes:
        """Return the key that a subscript means: itself, what a variable says, or what an expression comes to."""
        subscript = subscript.strip(b"\"'")
        if subscript[:1] == b"$" and subscript[1:2] != b"(":
            return self.value_of(subscript[1:].strip(b"{}"), scope) or b""
        if subscript.isdigit() or not (set(subscript) & set(b"+-*/%#$") or subscript in scope.variables):
            return subscript
        try:
            return self.arithmetic(subscript, scope)
        except ExpansionError:
            return subscript

    def value_of(self, name: bytes, scope: Scope) -> bytes | None:
        """Return the value of a parameter, None if it is not set."""
        if name.isdigit():
            number = int(name) if len(name) < 6 else len(scope.parameters) + 1
            if number == 0:
                return scope.name
            return scope.parameters[number - 1] if number <= len(scope.parameters) else None
        match name:
            case b"?":
                return b"%d" % scope.status
            case b"#":
                return b"%d" % len(scope.parameters)
            case b"@" | b"*":
                return b" ".join(scope.parameters) if scope.parameters else None
            case b"$":
                return b"%d" % self._evaluator.shell.pid
            case b"!":
                return b"%d" % (self._evaluator.shell.pid + 4)
            case b"-":
                return b"smi"
            case b"PPID":
                return b"%d" % (self._evaluator.shell.pid - 1)
            case b"RANDOM":
                return b"%d" % self._evaluator.shell.random(32_768)
        if scope.arrays and name in scope.arrays:
            return next(iter(scope.arrays[name].values()), None)
        return scope.variables.get(name, _IFS if name == b"IFS" else None)

    def _item(self, part: Parameter, scope: Scope) -> bytes | None:
        """Return the value of `name[subscript]`, of all of an array joined for `@` and `*`."""
        items = (scope.arrays or {}).get(part.name)
        if items is None:
            items = {b"0": scope.variables[part.name]} if part.name in scope.variables else {}
        if part.subscript in (b"@", b"*"):
            joint = scope.variables.get(b"IFS", _IFS)[:1] if part.subscript == b"*" else b" "
            return joint.join(items if part.indirect else items.values()) if items else None
        key = self.key(part.subscript, scope)
        if key[:1] == b"-" and key[1:].isdigit():
            return next(iter(list(items.values())[-int(key[1:4]) :]), None)
        return items.get(key)

    def _parameter(self, part: Parameter, scope: Scope) -> Bytes:
        value = self._item(part, scope) if part.subscript else self.value_of(part.name, scope)
        if part.indirect and not part.subscript:
            value = self.value_of(value, scope) if value else None
        op = part.op
        if not op:
            return value or b""
        if op == b"len":
            if part.subscript in (b"@", b"*"):
                return b"%d" % len((scope.arrays or {}).get(part.name, {}))
            return b"%d" % len(value or b"")
        if op in _DEFAULTS:
            return (yield from self._default(part, value, scope))
        value = value or b""
        if op in (b"#", b"##", b"%", b"%%"):
            pattern = yield from self.pattern(part.words[0], scope)
            return self._trimmed(op, value, pattern)
        if op in _CASES:
            return _CASES[op](value)
        if op in (b"/", b"//", b"/#", b"/%"):
            pattern = yield from self.pattern(part.words[0], scope)
            replacement = (yield from self.text(part.words[1], scope)) if len(part.words) > 1 else b""
            if op in (b"/#", b"/%"):
                trimmed = self._trimmed(b"##" if op == b"/#" else b"%%", value, pattern)
                if trimmed == value:
                    return value
                return replacement + trimmed if op == b"/#" else trimmed + replacement
            return self._replaced(value, pattern, replacement, everywhere=op == b"//")
        offset = int(self.arithmetic((yield from self.text(part.words[0], scope)), scope))
        start = max(0, len(value) + offset) if offset < 0 else offset
        if len(part.words) == 1:
            return value[start:]
        length = int(self.arithmetic((yield from self.text(part.words[1], scope)), scope))
        return value[start : start + length] if length >= 0 else value[start:length]

    def _default(self, part: Parameter, value: bytes | None, scope: Scope) -> Bytes:
        op = part.op
        missing = value is None or (op[:1] == b":" and not value)
        if op[-1:] == b"+":
            return b"" if missing else (yield from self.text(part.words[0], scope))
        if not missing:
            return value or b""
        default = yield from self.text(part.words[0], scope)
        if op[-1:] == b"=":
            scope.set(part.name, default)
        elif op[-1:] == b"?":
            raise ExpansionError(f"{part.name.decode('latin-1')}: {default.decode('latin-1') or 'parameter not set'}")
        return default

    def _trimmed(self, op: bytes, value: bytes, pattern: bytes) -> bytes:
        ends = range(len(value) + 1)
        longest = len(op) == 2
        for end in reversed(ends) if longest == (op[:1] == b"#") else ends:
            head, tail = value[:end], value[end:]
            self._evaluator.shell.budget.work(len(value))
            if patterns.matches(pattern, head if op[:1] == b"#" else tail, self._evaluator.shell.budget):
                return tail if op[:1] == b"#" else head
        return value

    def _replaced(self, value: bytes, pattern: bytes, replacement: bytes, *, everywhere: bool) -> bytes:
        if not patterns.is_pattern(pattern):
            plain = patterns.literal(pattern)
            return value.replace(plain, replacement, -1 if everywhere else 1) if plain else value
        out = bytearray()
        at = 0
        while at < len(value):
            for end in range(len(value), at, -1):
                self._evaluator.shell.budget.work(end - at + 8)
                if patterns.matches(pattern, value[at:end], self._evaluator.shell.budget):
                    out += replacement
                    if not everywhere:
                        return bytes(out) + value[end:]
                    at = end
                    break
            else:
                out.append(value[at])
                at += 1
        return bytes(out)


_IFS = b" \t\n"
_CASES: dict[bytes, Callable[[bytes], bytes]] = {
    b"^^": bytes.upper, b"^": lambda value: value[:1].upper() + value[1:],
    b",,": bytes.lower, b",": lambda value: value[:1].lower() + value[1:],
}  # fmt: skip
_DEFAULTS = frozenset((b":-", b"-", b":=", b"=", b":?", b"?", b":+", b"+"))
