"""Shell patterns: `*`, `?`, `[…]`, in linear memory and at most quadratic time. POSIX.1 XCU 2.13.

A pattern is bytes in which a backslash makes the next byte literal.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from eudaemon.world.files import Directory, FileError, Files
from eudaemon.world.shell.budget import Budget

_MATCHES_MAX = 2048
_CLASSES = {b"alpha": b"a-zA-Z", b"digit": b"0-9", b"alnum": b"a-zA-Z0-9", b"upper": b"A-Z", b"lower": b"a-z",
            b"space": b" \t\n\r\v\f", b"blank": b" \t", b"xdigit": b"0-9a-fA-F", b"punct": b"!-/:-@[-`{-~"}  # fmt: skip
Item = int | bytes | None  # a byte, 256 flags (one a byte value), or `*`
PATTERN_BYTES_MAX = 4096  # what is longer is no pattern and stands for itself
_STEP_COSTS = 8  # of one step of matching, against copying a byte
_NAME_COSTS = 256  # of one name of a directory


def escaped(text: bytes) -> bytes:
    """Return a pattern that matches exactly the text."""
    return b"".join(b"\\" + text[i : i + 1] if text[i] in b"*?[\\" else text[i : i + 1] for i in range(len(text)))


def is_pattern(pattern: bytes) -> bool:
    """Say whether anything in it is no literal."""
    if not any(special in pattern for special in b"*?[") or len(pattern) > PATTERN_BYTES_MAX:
        return False
    return any(not isinstance(item, int) for item in _items(pattern))


def literal(pattern: bytes) -> bytes:
    """Return the pattern with its backslashes taken away."""
    out = bytearray()
    at = 0
    while at < len(pattern):
        if pattern[at] == 0x5C and at + 1 < len(pattern):
            at += 1
        out.append(pattern[at])
        at += 1
    return bytes(out)


@lru_cache(maxsize=8)
def _items(pattern: bytes) -> tuple[Item, ...]:
    items: list[Item] = []
    at = 0
    while at < len(pattern):
        byte = pattern[at]
        at += 1
        if byte == 0x5C and at < len(pattern):
            items.append(pattern[at])
            at += 1
        elif byte == 0x2A:
            if not items or items[-1] is not None:
                items.append(None)
        elif byte == 0x3F:
            items.append(_ANY)
        elif byte == 0x5B and (bracket := _bracket(pattern, at)) is not None:
            items.append(bracket[0])
            at = bracket[1]
        else:
            items.append(byte)
    return tuple(items)


_ANY = b"\1" * 256


def _bracket(pattern: bytes, at: int) -> tuple[bytes, int] | None:
    negated = pattern[at : at + 1] in (b"!", b"^")
    at += negated
    end = pattern.find(b"]", at + 1)
    if end < 0:
        return None
    inside = pattern[at:end]
    for name, members in _CLASSES.items():
        mark = b"[:" + name + b":"
        if mark in inside:
            end = pattern.find(b"]", end + 1)
            if end < 0:
                return None
            inside = pattern[at:end].replace(mark + b"]", members)
    found: set[int] = set()
    position = 0
    while position < len(inside):
        if inside[position] == 0x5C and position + 1 < len(inside):
            position += 1
        low = inside[position]
        if position + 2 < len(inside) and inside[position + 1] == 0x2D:
            found.update(range(low, inside[position + 2] + 1))
            position += 3
        else:
            found.add(low)
            position += 1
    return bytes((value in found) != negated for value in range(256)), end + 1


def matches(pattern: bytes, text: bytes, budget: Budget) -> bool:
    """Say whether the pattern matches the whole text. What it costs at worst is taken from the budget."""
    if len(pattern) > PATTERN_BYTES_MAX:
        return literal(pattern) == text
    items = _items(pattern)
    budget.work(_STEP_COSTS * (len(text) + 1) * (min(len(text), len(items)) if None in items else 1))
    at = here = 0
    star = -1  # where to go on after the last `*`, and what it has swallowed up to
    swallowed = 0
    while at < len(text):
        item = items[here] if here < len(items) else -1
        if item is None:
            star, swallowed = here + 1, at
            here += 1
        elif item == text[at] or (isinstance(item, bytes) and item[text[at]]):
            at += 1
            here += 1
        elif star >= 0:
            swallowed += 1
            at, here = swallowed, star
        else:
            return False
    return all(item is None for item in items[here:])


def paths(pattern: bytes, files: Files, cwd: bytes, budget: Budget) -> list[bytes]:
    """Return the sorted paths that the pattern matches; empty if none."""
    absolute = pattern[:1] == b"/"
    found = [b"/" if absolute else b""]
    for part in pattern.split(b"/"):
        if not part:
            continue
        found = [path for stem in found for path in _below(stem, part, files, cwd, budget)][:_MATCHES_MAX]
    return sorted(found)


def _below(stem: bytes, part: bytes, files: Files, cwd: bytes, budget: Budget) -> Iterator[bytes]:
    joint = b"" if stem in (b"", b"/") else b"/"
    if not is_pattern(part):
        path = stem + joint + literal(part)
        if files.find(path, cwd, follow=False) is not None:
            yield path
        return
    try:
        directory = files.resolve(stem or b".", cwd)
        names = files.names(directory) if isinstance(files.find(directory), Directory) else []
    except FileError:
        return
    budget.work(_NAME_COSTS * (len(names) + 1))
    for name in [b".", b"..", *names] if part[:1] == b"." else names:
        if (name[:1] != b"." or part[:1] == b".") and matches(part, name, budget):
            yield stem + joint + name
