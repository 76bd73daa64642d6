"""`echo`, `printf`, `test`: what loaders write their binaries with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eudaemon.world.files import content_size
from eudaemon.world.shell import patterns
from eudaemon.world.shell.applets.listing import letters
from eudaemon.world.shell.call import Applet, Call, number, text
from eudaemon.world.shell.expansion import ExpansionError
from eudaemon.world.shell.limits import WORD_BYTES_MAX
from eudaemon.world.shell.regular import Regular, RegularError
from eudaemon.world.shell.words import unescape

if TYPE_CHECKING:
    from eudaemon.world.shell.budget import Budget


def echo(call: Call) -> int:
    """Write the arguments; `-n` without LF, `-e` with escapes. BusyBox takes them joined: `-ne`."""
    args = call.args
    newline, escapes = b"\n", False
    start = 0
    for argument in args:
        if len(argument) < 2 or argument[:1] != b"-" or argument[1:].strip(b"neE"):
            break
        for letter in argument[1:]:
            if letter == 0x6E:
                newline = b""
            else:
                escapes = letter == 0x65
        start += 1
    line = b" ".join(args[start:])
    if escapes:
        line, ended = unescape(line)
        newline = b"" if ended else newline
    call.out(line + newline)
    return 0


def printed(form: bytes, args: list[bytes], budget: Budget) -> bytes:
    """Return what `printf form args` prints; the form is used again while arguments are left."""
    out = bytearray()
    waiting = list(reversed(args))
    while True:
        before = len(waiting)
        budget.step()
        if _print_once(form, waiting, out) or not waiting or len(waiting) == before or len(out) > WORD_BYTES_MAX:
            return bytes(out)


def _print_once(form: bytes, waiting: list[bytes], out: bytearray) -> bool:
    """Print the form once; true if a `\\c` ended everything."""
    at = 0
    while at < len(form):
        percent = form.find(b"%", at)
        piece, ended = unescape(form[at:] if percent < 0 else form[at:percent])
        out += piece
        if ended or percent < 0:
            return ended
        at = percent + 1
        start = at
        while at < len(form) and form[at] in b"-+ #0123456789.":
            at += 1
        if at >= len(form):
            out += form[percent:]
            return False
        flags, letter = form[start:at], form[at : at + 1]
        at += 1
        if letter == b"%":
            out += b"%"
        elif _convert(flags, letter, waiting.pop() if waiting else b"", out):
            return True
    return False


def _convert(flags: bytes, letter: bytes, value: bytes, out: bytearray) -> bool:
    width, _, precision = flags.lstrip(b"-+ #").partition(b".")
    left = b"-" in flags
    zero = width[:1] == b"0" and not left
    ended = False
    if letter in (b"s", b"b", b"c"):
        if letter == b"b":
            value, ended = unescape(value)
        if letter == b"c":
            value = value[:1]
        elif b"." in flags:
            value = value[: number(precision)]
        zero = False
    elif letter in (b"d", b"i", b"u", b"x", b"X", b"o"):
        figure = _figure(value)
        if letter in (b"u", b"x", b"X", b"o"):
            figure &= 2**64 - 1
        value = {b"x": b"%x", b"X": b"%X", b"o": b"%o"}.get(letter, b"%d") % figure
        if b"+" in flags and figure >= 0:
            value = b"+" + value
    else:
        value = b"%" + flags + letter
    size = min(number(width), 4096)
    out += value.ljust(size) if left else value.zfill(size) if zero else value.rjust(size)
    return ended


def _figure(value: bytes) -> int:
    if value[:1] in (b"'", b'"'):
        return value[1] if len(value) > 1 else 0
    if value[:2] in (b"0x", b"0X") and value[2:18].isalnum():
        try:
            return int(value[2:18], 16)
        except ValueError:
            return 0
    if value[:1] == b"0" and value[1:] and not value[1:20].strip(b"01234567"):
        return int(value[:20], 8)
    return number(value, at_most=2**63 - 1)


# --- test ------------------------------------------------------------------------------------------


class _TestError(Exception):
    pass


def test(call: Call) -> int:
    """`test`, `[` and `[[`."""
    args = list(call.args)
    if call.name in ("[", "[["):
        closer = b"]" if call.name == "[" else b"]]"
        if not args or args.pop() != closer:
            call.say(f"{text(call.scope.name)}: {call.name}: missing {text(closer)}\n")
            return 2
    try:
        value, rest = _either(call, args, 0)
        if rest < len(args):
            raise _TestError(f"{text(args[rest])}: unknown operand")
    except _TestError as error:
        call.say(f"{text(call.scope.name)}: {error}\n")
        return 2
    return int(not value)


_DEPTH_MAX = 24


def _either(call: Call, args: list[bytes], at: int, depth: int = 0) -> tuple[bool, int]:
    value, at = _both(call, args, at, depth)
    while at < len(args) and args[at] in (b"-o", b"||"):
        right, at = _both(call, args, at + 1, depth)
        value = value or right
    return value, at


def _both(call: Call, args: list[bytes], at: int, depth: int) -> tuple[bool, int]:
    value, at = _primary(call, args, at, depth)
    while at < len(args) and args[at] in (b"-a", b"&&"):
        right, at = _primary(call, args, at + 1, depth)
        value = value and right
    return value, at


def _primary(call: Call, args: list[bytes], at: int, depth: int) -> tuple[bool, int]:
    negated = False
    left = len(args) - at
    if left == 0:
        return False, at
    while args[at] == b"!" and len(args) - at > 1 and not (len(args) - at > 2 and args[at + 1] in _COMPARISONS):
        negated = not negated
        at += 1
    left = len(args) - at
    if left >= 3 and args[at + 1] in _COMPARISONS:
        value = (_match if call.name == "[[" else _compare)(call, args[at], args[at + 1], args[at + 2])
        at += 3
    elif args[at] == b"(" and left > 1:
        if depth >= _DEPTH_MAX:
            raise _TestError("too many parentheses")
        value, at = _either(call, args, at + 1, depth + 1)
        if at >= len(args) or args[at] != b")":
            raise _TestError("closing paren expected")
        at += 1
    elif left >= 2 and len(args[at]) == 2 and args[at][:1] == b"-" and args[at][1:] in _UNARY:
        value = _about(call, args[at][1:], args[at + 1])
        at += 2
    else:
        value = bool(args[at])
        at += 1
    return value != negated, at


_COMPARISONS = frozenset((b"=", b"==", b"!=", b"<", b">", b"-eq", b"-ne", b"-lt", b"-le", b"-gt", b"-ge", b"-nt", b"=~",
                          b"-ot", b"-ef"))  # fmt: skip
_KINDS = {b"f": "-", b"d": "d", b"h": "l", b"L": "l", b"b": "b", b"c": "c", b"p": "p", b"S": "s"}
_UNARY = frozenset(bytes((letter,)) for letter in b"nzefdrwxshLbcpSugkOGt")


def _match(call: Call, left: bytes, operator: bytes, right: bytes) -> bool:
    """Compare as `[[` does: with a pattern, or with a regular expression."""
    if operator == b"=~":
        try:
            return Regular(right, extended=True).search(left) is not None
        except RegularError as error:
            raise _TestError(f"bad regex: {error}") from None
    if operator in (b"=", b"==", b"!="):
        call.shell.budget.work(len(left) + len(right))
        return patterns.matches(right, left, call.shell.budget) == (operator != b"!=")
    return _compare(call, left, operator, right)


def _compare(_: Call, left: bytes, operator: bytes, right: bytes) -> bool:
    match operator:
        case b"=" | b"==":
            return left == right
        case b"!=":
            return left != right
        case b"<":
            return left < right
        case b">":
            return left > right
        case b"-nt" | b"-ot" | b"-ef":
            return False
    for side in (left, right):
        if not side.strip().lstrip(b"+-").isdigit():
            raise _TestError(f"{text(side)}: bad number")
    a, b = number(left), number(right)
    return {b"-eq": a == b, b"-ne": a != b, b"-lt": a < b, b"-le": a <= b, b"-gt": a > b, b"-ge": a >= b}[operator]


def _about(call: Call, letter: bytes, operand: bytes) -> bool:
    if letter == b"n":
        return bool(operand)
    if letter == b"z":
        return not operand
    if letter == b"t":
        return True
    node = call.files.find(operand, call.scope.cwd, follow=letter not in (b"h", b"L"))
    if node is None:
        return False
    kind = letters(node)[0]
    if letter in _KINDS:
        return kind == _KINDS[letter]
    match letter:
        case b"s":
            return content_size(node, call.at_s) > 0
        case b"x":
            return bool(node.mode & 0o111)
        case b"w":
            return kind in "bc" or call.files.writable(call.resolve(operand))
    return letter not in (b"u", b"g", b"k")


def expression(call: Call) -> int:
    """`expr`: arithmetic, comparison, and `length`."""
    args = call.args
    if args[:1] == [b"length"] and len(args) == 2:
        value = b"%d" % len(args[1])
    elif len(args) == 3 and args[1] in (b"=", b"!="):
        value = b"%d" % ((args[0] == args[2]) == (args[1] == b"="))
    else:
        try:
            value = call.shell.evaluator.expander.arithmetic(b" ".join(args), call.scope)
        except ExpansionError:
            return call.error("syntax error", 2)
    call.out(value + b"\n")
    return int(value in (b"0", b""))


TABLE: dict[str, Applet] = {"expr": expression, "echo": echo, "test": test, "[": test, "[[": test}
