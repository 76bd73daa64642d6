"""`sed`: a script is read into steps, and each line of the text goes through them.

    [address[,address]][!]command      address: N, $, /re/        command: s y d p q n = a i c {…}

No branches and no hold space: without them every script ends, and loaders do without. `regular` matches patterns.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from eudaemon.world.shell.call import Applet, Call, Run, text
from eudaemon.world.shell.regular import Regular, RegularError

STEPS_MAX = 64  # of one script
LEVELS_MAX = 8  # of brackets
_BLANKS = b" \t"
_ENDS = b";\n}"
Address: TypeAlias = "int | Regular"  # a line's number, 0 for the last
_LAST = 0


class _ScriptError(Exception):
    """The script is wrong; the message is BusyBox's."""


@dataclass(slots=True)
class _Step:
    """One command. `inside` says that a range has begun."""

    first: Address | None = None
    last: Address | None = None
    negated: bool = False
    command: bytes = b""
    found: Regular | None = None
    given: bytes = b""  # a replacement, a text, or what `y` makes of each byte
    flags: bytes = b""
    block: list[_Step] = field(default_factory=list)
    inside: bool = False


@dataclass(slots=True)
class _Pass:
    """One line's way through the steps."""

    line: bytes
    at: int
    is_last: bool
    before: bytes = b""
    after: bytes = b""
    deleted: bool = False
    quits: bool = False


def sed(call: Call) -> Run:
    """`sed [-n] [-E|-r] [-i] [-e] script [file…]`."""
    scripts, rest, letters = _arguments(call.args)
    if not scripts:
        if not rest:
            call.say(f"{call.host.busybox_line} multi-call binary.\n\nUsage: sed [-i[SFX]] [-nrE] [-f FILE]... "
                     "[-e CMD]... [FILE]...\nor: sed [-i[SFX]] [-nrE] CMD [FILE]...\n\n")  # fmt: skip
            return 1
        scripts = [rest.pop(0)]
    try:
        steps = _Reader(b"\n".join(scripts), extended=bool(letters & set(b"rE"))).steps()
    except RegularError as error:
        return call.error(f"bad regex: {error}")
    except _ScriptError as error:
        return call.error(str(error))
    sources = yield from call.sources(rest)
    if ord("i") in letters:
        for name, data in sources:
            call.write(name, _edited(call, steps, data, silent=ord("n") in letters))
    else:
        data = b"".join(data if data.endswith(b"\n") or number == len(sources) else data + b"\n"
                        for number, (_, data) in enumerate(sources, 1))  # fmt: skip
        call.out(_edited(call, steps, data, silent=ord("n") in letters))
    return 0


def _arguments(args: list[bytes]) -> tuple[list[bytes], list[bytes], set[int]]:
    """Return the scripts of `-e`, the other words, and the letters given."""
    scripts: list[bytes] = []
    rest: list[bytes] = []
    letters: set[int] = set()
    waiting = list(reversed(args))
    while waiting:
        word = waiting.pop()
        if word[:1] != b"-" or len(word) < 2 or word[:2] == b"--":
            rest.append(word)
        elif (at := word.find(b"e")) > 0 and b"i" not in word[:at]:
            letters |= set(word[1:at])
            scripts.append(word[at + 1 :] or (waiting.pop() if waiting else b""))
        else:
            letters |= {ord("i")} if word[:2] == b"-i" else set(word[1:])
    return scripts, rest, letters


class _Reader:
    """Reads a script. Raises `_ScriptError` and `RegularError`."""

    def __init__(self, script: bytes, *, extended: bool) -> None:
        self._script = script
        self._extended = extended
        self._at = 0
        self._count = 0
        self._regular: Regular | None = None  # the last, which an empty pattern means again

    def steps(self, level: int = 0) -> list[_Step]:
        """Read up to the end, or to the bracket that closes this level."""
        found: list[_Step] = []
        while True:
            self._skip(_BLANKS + b";\n")
            if self._at >= len(self._script):
                if level:
                    raise _ScriptError("unmatched '{'")
                return found
            if self._next() == b"}":
                if not level:
                    raise _ScriptError("unexpected '}'")
                self._at += 1
                return found
            found.append(self._step(level))

    def _step(self, level: int) -> _Step:
        self._count += 1
        if self._count > STEPS_MAX or level > LEVELS_MAX:
            raise _ScriptError("script too long")
        step = _Step(first=self._address())
        self._skip(_BLANKS)
        if step.first is not None and self._next() == b",":
            self._at += 1
            self._skip(_BLANKS)
            step.last = self._address()
            if step.last is None:
                raise _ScriptError("no address after comma")
        self._skip(_BLANKS)
        while self._next() == b"!":
            step.negated = True
            self._at += 1
            self._skip(_BLANKS)
        step.command = self._next()
        self._at += 1
        match step.command:
            case b"{":
                step.block = self.steps(level + 1)
            case b"s" | b"y":
                self._substitution(step)
            case b"a" | b"i" | b"c":
                self._text(step)
            case b"d" | b"p" | b"q" | b"n" | b"=":
                self._skip(_BLANKS)
                if self._next() and self._next() not in _ENDS:
                    raise _ScriptError("extra characters after command")
            case b"":
                raise _ScriptError("missing command")
            case _:
                raise _ScriptError(f"unsupported command {text(step.command)}")
        return step

    def _substitution(self, step: _Step) -> None:
        mark = self._next()
        self._at += 1
        pattern, step.given = self._delimited(mark), self._delimited(mark, keep_escapes=True)
        if step.command == b"y":
            plain = step.given.replace(b"\\n", b"\n")
            if len(pattern) != len(plain):
                raise _ScriptError("y/xxx/yyy/ strings have different lengths")
            step.given = bytes.maketrans(pattern, plain)
            return
        start = self._at
        self._skip(b"0123456789gpiI")
        step.flags = self._script[start : self._at]
        self._skip(_BLANKS)
        if self._next() and self._next() not in _ENDS:
            raise _ScriptError("bad option in substitution expression")
        step.found = self._compiled(pattern, fold=b"i" in step.flags.lower())

    def _text(self, step: _Step) -> None:
        end = self._script.find(b"\n", self._at)
        end = len(self._script) if end < 0 else end
        given = self._script[self._at : end].lstrip(_BLANKS)
        if given == b"\\":  # the text stands on the next line
            start = end + 1
            end = self._script.find(b"\n", start)
            end = len(self._script) if end < 0 else end
            given = self._script[start:end]
        step.given = given.removeprefix(b"\\") + b"\n"
        self._at = end

    def _address(self) -> Address | None:
        start = self._at
        self._skip(b"0123456789")
        if self._at > start:
            return int(self._script[start : min(self._at, start + 9)]) or -1
        if self._next() == b"$":
            self._at += 1
            return _LAST
        if self._next() == b"/":
            self._at += 1
            return self._compiled(self._delimited(b"/"), fold=False)
        return None

    def _compiled(self, pattern: bytes, *, fold: bool) -> Regular:
        if pattern or self._regular is None:
            self._regular = Regular(pattern, extended=self._extended, fold=fold)
        return self._regular

    def _delimited(self, mark: bytes, *, keep_escapes: bool = False) -> bytes:
        """Return what stands up to `mark`, in which an escaped mark is the mark."""
        out = bytearray()
        in_bracket = False
        while (here := self._next()) and here != b"\n":
            self._at += 1
            if here == b"\\" and self._next():
                following = self._next()
                self._at += 1
                out += following if following == mark else b"\n" if following == b"n" and not keep_escapes else (
                    here + following)  # fmt: skip
            elif here == mark and not in_bracket:
                return bytes(out)
            else:
                in_bracket = here == b"[" or (in_bracket and here != b"]") if not keep_escapes else False
                out += here
        raise _ScriptError(f"unmatched '{text(mark)}'")

    def _next(self) -> bytes:
        return self._script[self._at : self._at + 1]

    def _skip(self, members: bytes) -> None:
        while self._at < len(self._script) and self._script[self._at] in members:
            self._at += 1


def _edited(call: Call, steps: list[_Step], data: bytes, *, silent: bool) -> bytes:
    rows = data.removesuffix(b"\n").split(b"\n") if data else []
    out = bytearray()
    at = 0
    while at < len(rows):
        here = _Pass(rows[at], at + 1, at + 1 == len(rows))
        at = _run(call, steps, here, rows, at, silent=silent) + 1
        shown = b"" if silent or here.deleted else here.line + b"\n"
        out += here.before + shown + here.after
        if here.quits:
            return bytes(out)
    return bytes(out) if data.endswith(b"\n") else bytes(out).removesuffix(b"\n")


def _run(call: Call, steps: list[_Step], here: _Pass, rows: list[bytes], at: int, *, silent: bool) -> int:
    """Send a line through the steps; return the number of the last row taken, for `n` takes one more."""
    for step in steps:
        call.shell.budget.work(len(here.line) + 8)
        if _selected(call, step, here) == step.negated:
            continue
        if step.command == b"{":
            at = _run(call, step.block, here, rows, at, silent=silent)
        elif step.command == b"n":
            if here.is_last:
                return at
            here.before += b"" if silent else here.line + b"\n"
            at += 1
            here.line, here.at, here.is_last = rows[at], at + 1, at + 1 == len(rows)
        else:
            _edit(call, step, here)
        if here.deleted or here.quits:
            break
    return at


def _edit(call: Call, step: _Step, here: _Pass) -> None:
    match step.command:
        case b"d":
            here.deleted = True
        case b"p":
            here.before += here.line + b"\n"
        case b"q":
            here.quits = True
        case b"=":
            here.before += b"%d\n" % here.at
        case b"i":
            here.before += step.given
        case b"a":
            here.after += step.given
        case b"c":
            here.before += b"" if step.inside else step.given  # once for a range, at its end
            here.deleted = True
        case b"y":
            here.line = here.line.translate(step.given)
        case b"s" if step.found is not None:
            _substitute(call, step, step.found, here)


def _substitute(call: Call, step: _Step, found: Regular, here: _Pass) -> None:
    call.shell.budget.work(2 * found.cost(here.line))
    everywhere = b"g" in step.flags
    nth = 1 if everywhere else max(1, int(step.flags.translate(None, b"gpiI")[:4] or b"1"))
    changed = found.replace(here.line, step.given, everywhere=everywhere, nth=nth)
    call.shell.budget.work(len(changed))
    if b"p" in step.flags and changed != here.line:
        here.before += changed + b"\n"
    here.line = changed


def _selected(call: Call, step: _Step, here: _Pass) -> bool:
    """Say whether a step's address selects this line; a range's end is noted."""
    if step.first is None:
        return True
    if step.last is None:
        return _is_at(call, step.first, here)
    if not step.inside:
        if not _is_at(call, step.first, here):
            return False
        if isinstance(step.last, Regular):  # looked for from the next line on
            step.inside = True
            return True
    step.inside = not _is_at(call, step.last, here, or_behind=True)
    return True


def _is_at(call: Call, address: Address, here: _Pass, *, or_behind: bool = False) -> bool:
    if isinstance(address, Regular):
        call.shell.budget.work(address.cost(here.line))
        return address.search(here.line) is not None
    if address == _LAST:
        return here.is_last
    return here.at == address or (or_behind and here.at > address)


TABLE: dict[str, Applet] = {"sed": sed}
