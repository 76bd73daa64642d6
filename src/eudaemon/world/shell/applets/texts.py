"""Text and bytes: `head`, `tail`, `wc`, `cut`, `tr`, `sort`, `uniq`, `base64`, `hexdump`, the checksums."""

from __future__ import annotations

import binascii
import hashlib

from eudaemon.world.files import FileError
from eudaemon.world.shell.applets._dump import dumped
from eudaemon.world.shell.call import Applet, Call, Run, cannot_open, number, options, text
from eudaemon.world.shell.words import unescape

_SEQUENCE_MAX = 65_536


def head(call: Call) -> Run:
    """The first lines, or bytes."""
    lines, size, paths = _how_much(call.args)
    if not paths and (size is None or size >= 0):
        # It leaves what stands behind to whoever reads next.
        if size is not None:
            call.out((yield from call.input(size)))
            return 0
        while lines > 0 and (line := (yield from call.input_line())):
            call.out(line)
            lines -= 1
        return 0
    for _, data in (yield from call.sources(paths)):
        if size is not None:
            call.out(data[:size] if size >= 0 else data[: max(0, len(data) + size)])
        else:
            call.out(b"".join(data.splitlines(keepends=True)[:lines]) if b"\r" not in data else _first(data, lines))
    return 0


def tail(call: Call) -> Run:
    """The last lines, or bytes, or with `+N` all from the Nth on; `-f` does not wait."""
    lines, size, paths = _how_much(call.args)
    from_start = any(word[:1] == b"+" or word[:3] in (b"-n+", b"-c+") for word in call.args if word not in paths)
    for _, data in (yield from call.sources(paths)):
        if from_start:
            skipped = max(0, (lines if size is None else size) - 1)
            call.out(data[skipped if size is not None else len(_first(data, skipped)) :])
        elif size is not None:
            call.out(data[-size:] if size else b"")
        else:
            rows = data.split(b"\n")
            ended = rows and not rows[-1]
            rows = rows[:-1] if ended else rows
            kept = rows[-lines:] if lines else []
            call.out(b"\n".join(kept) + (b"\n" if ended and kept else b""))
    return 0


def _first(data: bytes, lines: int) -> bytes:
    at = 0
    for _ in range(lines):
        end = data.find(b"\n", at)
        if end < 0:
            return data
        at = end + 1
    return data[:at]


def _how_much(args: list[bytes]) -> tuple[int, int | None, list[bytes]]:
    if args and args[0][:1] == b"-" and args[0][1:].isdigit():
        return number(args[0][1:]), None, args[1:]
    given, paths = options(args, "nc")
    size = number(given["c"]) if "c" in given else None
    return abs(number(given.get("n", b"10"), 10)), size, paths


def count(call: Call) -> Run:
    """`wc`."""
    given, paths = options(call.args)
    wanted = [letter for letter in "lwcm" if letter in given] or list("lwc")
    for name, data in (yield from call.sources(paths)):
        figures = {"l": data.count(b"\n"), "w": len(data.split()), "c": len(data), "m": len(data)}
        row = " ".join(str(figures[letter]) if len(wanted) == 1 else f"{figures[letter]:>9}" for letter in wanted)
        call.line(row + (f" {text(name)}" if paths else ""))
    return 0


def cut(call: Call) -> Run:
    """Cut fields or characters out of each line."""
    given, paths = options(call.args, "dfcb")
    by_field = "f" in given
    ranges = _ranges(given.get("f") or given.get("c") or given.get("b") or b"")
    if not ranges:
        return call.error("expected a list of bytes, characters, or fields")
    delimiter = given.get("d", b"\t")[:1] or b"\t"
    for _, data in (yield from call.sources(paths)):
        for line in _lines(data):
            if not by_field:
                call.out(b"".join(line[low - 1 : high] for low, high in ranges) + b"\n")
            elif delimiter not in line:
                call.out(b"" if "s" in given else line + b"\n")
            else:
                fields = line.split(delimiter)
                call.out(delimiter.join(part for low, high in ranges for part in fields[low - 1 : high]) + b"\n")
    return 0


def _ranges(wanted: bytes) -> list[tuple[int, int | None]]:
    found: list[tuple[int, int | None]] = []
    for piece in wanted.split(b",")[:64]:
        low, dash, high = piece.partition(b"-")
        first = max(1, number(low, 1))
        found.append((first, (number(high) if high else None) if dash else first))
    return found if wanted else []


def _lines(data: bytes) -> list[bytes]:
    rows = data.split(b"\n")
    return rows[:-1] if not rows[-1] else rows


def translate(call: Call) -> Run:
    """`tr`."""
    given, rest = options(call.args)
    if not rest:
        return call.error("missing operand")
    first = _members(rest[0])
    if "c" in given or "C" in given:
        first = bytes(byte for byte in range(256) if byte not in first)
    data = yield from call.input()
    if "d" in given:
        call.out(data.translate(None, first))
        return 0
    second = _members(rest[1]) if len(rest) > 1 else b""
    if second:
        second = second[: len(first)].ljust(len(first), second[-1:])
        table = bytearray(range(256))
        for old, new in zip(first, second, strict=True):
            table[old] = new
        data = data.translate(bytes(table))
    if "s" in given:
        squeezed = frozenset(second or first)
        data = bytes(byte for at, byte in enumerate(data) if not (at and byte == data[at - 1] and byte in squeezed))
    call.out(data)
    return 0


_SETS = {b"upper": b"A-Z", b"lower": b"a-z", b"digit": b"0-9", b"alpha": b"A-Za-z", b"alnum": b"0-9A-Za-z",
         b"space": b"\t\n\v\f\r ", b"blank": b"\t "}  # fmt: skip


def _members(given: bytes) -> bytes:
    for name, members in _SETS.items():
        given = given.replace(b"[:" + name + b":]", members)
    given = unescape(given)[0]
    found = bytearray()
    at = 0
    while at < len(given) and len(found) < 512:
        if at + 2 < len(given) and given[at + 1] == 0x2D and given[at] <= given[at + 2]:
            found += bytes(range(given[at], given[at + 2] + 1))
            at += 3
        else:
            found.append(given[at])
            at += 1
    return bytes(found)


def sort(call: Call) -> Run:
    """Sort lines."""
    given, paths = options(call.args, "kto")
    rows = [line for _, data in (yield from call.sources(paths)) for line in _lines(data)]
    call.shell.budget.work(32 * len(rows))
    column = number(given.get("k", b"1"), 1)

    def key(line: bytes) -> tuple[int, bytes]:
        fields = line.split(given["t"][:1]) if given.get("t") else line.split()
        field = (fields[column - 1] if 0 < column <= len(fields) else b"") if "k" in given else line
        return (number(field), field) if "n" in given else (0, field)

    rows.sort(key=key, reverse="r" in given)
    if "u" in given:
        rows = list(dict.fromkeys(rows))
    call.out(b"".join(row + b"\n" for row in rows))
    return 0


def unique(call: Call) -> Run:
    """Drop repeated lines."""
    given, paths = options(call.args, "fsw")
    runs: list[tuple[bytes, int]] = []
    for _, data in (yield from call.sources(paths[:1])):
        for line in _lines(data):
            if runs and runs[-1][0] == line:
                runs[-1] = (line, runs[-1][1] + 1)
            else:
                runs.append((line, 1))
    for line, times in runs:
        if ("d" in given and times < 2) or ("u" in given and times > 1):
            continue
        call.out((b"%7d " % times if "c" in given else b"") + line + b"\n")
    return 0


def sequence(call: Call) -> int:
    """`seq [first [step]] last`."""
    figures = [number(argument) for argument in call.args if argument[:1].isdigit() or argument[1:].isdigit()]
    if not figures:
        return call.error("missing operand")
    first = figures[0] if len(figures) > 1 else 1
    step = figures[1] if len(figures) > 2 else 1
    last = figures[-1]
    values = range(first, last + (1 if step > 0 else -1), step or 1)[:_SEQUENCE_MAX]
    call.out(b"".join(b"%d\n" % value for value in values))
    return 0


def base64(call: Call) -> Run:
    """Encode, or with `-d` decode."""
    given, paths = options(call.args, "w")
    for _, data in (yield from call.sources(paths)):
        if given.keys() & {"d", "D", "decode"}:
            found = decoded(data)
            if found is None:
                return call.error("truncated base64 input")
            call.out(found)
        else:
            encoded = binascii.b2a_base64(data, newline=False)
            wide = number(given.get("w", b"76"), 76) or len(encoded) or 1
            call.out(b"".join(encoded[at : at + wide] + b"\n" for at in range(0, len(encoded), wide)))
    return 0


def decoded(data: bytes) -> bytes | None:
    """Return what base64 says, whatever else stands in it; None if that is nothing."""
    letters = data.translate(None, _NO_BASE64)
    try:
        return binascii.a2b_base64(letters[: len(letters) - (len(letters) % 4 == 1)] + b"=" * (-len(letters) % 4))
    except binascii.Error:
        return None


_NO_BASE64 = bytes(set(range(256)).difference(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"))
_NO_HEXADECIMAL = bytes(set(range(256)).difference(b"0123456789abcdef"))


def checksum(call: Call) -> Run:
    """`md5sum`, `sha1sum`, `sha256sum`, `sha512sum`."""
    _, paths = options(call.args)
    for name, data in (yield from call.sources(paths)):
        call.line(f"{hashlib.new(call.name.removesuffix('sum'), data).hexdigest()}  {text(name)}")
    return 0


def hexdump(call: Call) -> Run:
    """`hexdump`, with `-C` in the canonical form, with `-e` in one's own."""
    given, paths = options(call.args, "nse")
    size = number(given.get("n", b""), -1)
    data = b"".join(data for _, data in (yield from call.sources(paths)))[number(given.get("s", b"")) :]
    data = data if size < 0 else data[:size]
    call.shell.budget.work((4 if "e" not in given else 16) * len(data))
    if "e" in given:
        call.out(dumped(data, given["e"]))
        return 0
    for at in range(0, len(data), 16):
        row = data[at : at + 16]
        if "C" in given:
            left, right = row[:8].hex(" "), row[8:].hex(" ")
            call.line(f"{at:08x}  {left:<23}  {right:<23}  |{_printable(row)}|")
        else:
            words = (int.from_bytes(row[i : i + 2], "little") for i in range(0, len(row), 2))
            call.line(f"{at:07x} " + " ".join(f"{word:04x}" for word in words))
    if data:
        call.line(f"{len(data):08x}" if "C" in given else f"{len(data):07x}")
    return 0


def _printable(row: bytes) -> str:
    return "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in row)


def xxd(call: Call) -> Run:
    """`xxd`: with `-p` plain, with `-r` back to bytes."""
    given, paths = options(call.args, "lsc")
    data = b"".join(data for _, data in (yield from call.sources(paths[:1])))
    if "r" in given:
        digits = data.lower().translate(None, _NO_HEXADECIMAL)
        call.out(bytes.fromhex(digits[: len(digits) & ~1].decode()))
        return 0
    data = data[: number(given["l"])] if "l" in given else data
    call.shell.budget.work(4 * len(data))
    for at in range(0, len(data), 30 if "p" in given else 16):
        if "p" in given or "ps" in given:
            call.line(data[at : at + 30].hex())
        else:
            row = data[at : at + 16]
            call.line(f"{at:08x}: {row.hex(' ', -2):<39}  {_printable(row)}")
    return 0


def octal_dump(call: Call) -> Run:
    """`od`: `-x`/`-t x1` hexadecimal, `-c` characters, else octal words; `-A n` without addresses."""
    given, paths = options(call.args, "tANjw")
    data = b"".join(data for _, data in (yield from call.sources(paths)))[number(given.get("j", b"")) :]
    data = data[: number(given["N"])] if "N" in given else data
    call.shell.budget.work(4 * len(data))
    bare = given.get("A") == b"n"
    kind = given.get("t", b"c" if "c" in given else b"x2" if "x" in given else b"x1" if "h" in given else b"o2")
    for at in range(0, len(data), 16):
        call.line(("" if bare else f"{at:07o}") + "".join(_cells(data[at : at + 16], kind)))
    if not bare:
        call.line(f"{len(data):07o}")
    return 0


_NAMED = {0: "\\0", 7: "\\a", 8: "\\b", 9: "\\t", 10: "\\n", 11: "\\v", 12: "\\f", 13: "\\r"}


def _cells(row: bytes, kind: bytes) -> list[str]:
    if kind[:1] == b"c":
        return [f"{_NAMED.get(byte) or (chr(byte) if 0x20 <= byte < 0x7F else f'{byte:03o}'):>4}" for byte in row]
    if kind == b"x1":
        return [f" {byte:02x}" for byte in row]
    words = [int.from_bytes(row[i : i + 2], "little") for i in range(0, len(row), 2)]
    return [f" {word:04x}" if kind[:1] == b"x" else f" {word:06o}" for word in words]


def strings(call: Call) -> Run:
    """Runs of at least four printable characters."""
    given, paths = options(call.args, "n")
    least = max(1, number(given.get("n", b"4"), 4))
    for _, data in (yield from call.sources(paths)):
        run = bytearray()
        call.shell.budget.work(16 * len(data))
        for byte in data:
            if 0x20 <= byte < 0x7F:
                run.append(byte)
                continue
            if len(run) >= least:
                call.out(bytes(run) + b"\n")
            run.clear()
        if len(run) >= least:
            call.out(bytes(run) + b"\n")
    return 0


def yes(call: Call) -> int:
    """The same line until nobody reads on."""
    line = (b" ".join(call.args) or b"y") + b"\n"
    while True:
        call.shell.budget.step()
        call.out(line * 1024)


def reverse(call: Call) -> Run:
    """`rev`, and `tac` by lines."""
    for _, data in (yield from call.sources(call.args)):
        rows = _lines(data)
        rows = list(reversed(rows)) if call.name == "tac" else [row[::-1] for row in rows]
        call.out(b"".join(row + b"\n" for row in rows))
    return 0


def paste(call: Call) -> Run:
    """`paste -s`: the lines of each file as one; without it, line by line beside each other."""
    given, paths = options(call.args, "d")
    joint = unescape(given["d"])[0][:1] if "d" in given else b"\t"
    columns = [_lines(data) for _, data in (yield from call.sources(paths))]
    if "s" in given:
        for column in columns:
            call.out(joint.join(column) + b"\n")
        return 0
    for row in range(max(map(len, columns), default=0)):
        call.shell.budget.work(len(columns))
        call.out(joint.join(column[row] if row < len(column) else b"" for column in columns) + b"\n")
    return 0


def number_lines(call: Call) -> Run:
    """`nl`: a number before each line that says something."""
    _, paths = options(call.args, "bnsvw")
    count = 0
    for _, data in (yield from call.sources(paths)):
        for line in _lines(data):
            count += bool(line)
            call.out((b"%6d\t" % count if line else b"       ") + line + b"\n")
    return 0


def fold(call: Call) -> Run:
    """Break lines at a width."""
    given, paths = options(call.args, "w")
    wide = max(1, number(given.get("w", b"80"), 80))
    for _, data in (yield from call.sources(paths)):
        for line in _lines(data):
            call.out(b"".join(line[at : at + wide] + b"\n" for at in range(0, len(line) or 1, wide)))
    return 0


def shuffle(call: Call) -> Run:
    """Lines in another order; `-n` so many of them, `-e` of arguments, `-i` of a range."""
    given, paths = options(call.args, "ni")
    if "i" in given:
        low, _, high = given["i"].partition(b"-")
        rows = [b"%d" % figure for figure in range(number(low), number(high) + 1)[:_SEQUENCE_MAX]]
    else:
        rows = paths if "e" in given else [row for _, data in (yield from call.sources(paths)) for row in _lines(data)]
    rows.sort(key=lambda _: call.shell.random(1 << 30))
    call.out(b"".join(row + b"\n" for row in rows[: number(given["n"]) if "n" in given else None]))
    return 0


def compare(call: Call) -> Run:
    """`cmp`, `diff`: whether two files are the same."""
    _, paths = options(call.args)
    if len(paths) < 2:
        return call.error("missing operand", 2)
    try:
        first = yield from call.read(paths[0])
        second = yield from call.read(paths[1])
    except FileError as error:
        return call.error(cannot_open(paths[0], error), 2)
    if first != second:
        call.line(f"{text(paths[0])} {text(paths[1])} differ")
    return int(first != second)


TABLE: dict[str, Applet] = {
    "head": head, "tail": tail, "wc": count, "cut": cut, "tr": translate, "sort": sort, "uniq": unique, "seq": sequence,
    "base64": base64, "md5sum": checksum, "sha1sum": checksum, "sha256sum": checksum, "sha512sum": checksum,
    "hexdump": hexdump, "xxd": xxd, "od": octal_dump, "strings": strings, "yes": yes, "rev": reverse, "tac": reverse,
    "cmp": compare, "diff": compare, "paste": paste, "nl": number_lines, "fold": fold, "shuf": shuffle,
}  # fmt: skip
