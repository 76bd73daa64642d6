"""Variables: `%NAME%`, `%NAME:~1,2%`, `%NAME:a=b%`, `%1`, `%~nx1`, `%i` of a loop, and `!NAME!`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from eudaemon.world.windows.limits import EXPANDED_CHARS_MAX
from eudaemon.world.windows.syntax import CommandError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_CHANGED = re.compile(r"([^%!:=\n]*):(?:~\s*([+-]?\d+)?\s*(?:,\s*([+-]?\d+)?)?|(\*?[^=%!\n]+)=([^%!\n]*))")
_ARGUMENT = re.compile(r"%(?:\*|(\d)|~([fdpnxsatzFDPNXSATZ]*)(\d))")
_NAMED = re.compile(r"%([^%\n]+)%")
_LOOP = re.compile(r"%(?:~([fdpnxsatzFDPNXSATZ]*?))?([^\s%~])")
_DELAYED = re.compile(r"!([^!\n]+)!")

Lookup = "Callable[[str], str | None]"


def percent(text: str, lookup: Callable[[str], str | None], arguments: tuple[str, ...] | None) -> str:
    """Expand a line as it is read. `arguments` are a batch file's, its own name first; None at the prompt.

    At the prompt an unknown variable stays as it is written, in a batch file it is nothing.
    """
    if "%" not in text:
        return text
    out, at, size = [], 0, 0
    while (found := text.find("%", at)) >= 0:
        out.append(text[at:found])
        value, at = _one(text, found, lookup, arguments)
        out.append(value)
        size += len(value)
        if size > EXPANDED_CHARS_MAX:
            raise CommandError("The input line is too long.")
    out.append(text[at:])
    return "".join(out)


def _one(text: str, at: int, lookup: Callable[[str], str | None], arguments: tuple[str, ...] | None) -> tuple[str, int]:
    """Return what stands at a `%`, and where it ends."""
    if arguments is not None:
        if text.startswith("%%", at):
            return "%", at + 2
        if argument := _ARGUMENT.match(text, at):
            number = argument[1] or argument[3]
            if number is None:
                return " ".join(arguments[1:]), argument.end()
            value = arguments[int(number)] if int(number) < len(arguments) else ""
            return (value if argument[1] else modified(value, argument[2])), argument.end()
    if named := _NAMED.match(text, at):
        value_or_none = value_of(named[1], lookup)
        if value_or_none is not None:
            return value_or_none, named.end()
        if arguments is not None:
            return "", named.end()
    return ("" if arguments is not None else "%"), at + 1


def value_of(name: str, lookup: Callable[[str], str | None]) -> str | None:
    """Return a variable's value, with what its `:` asks for; None if there is no such variable."""
    plain = lookup(name)
    if plain is not None:
        return plain
    change = _CHANGED.fullmatch(name)
    if change is None:
        return None
    value = lookup(change[1])
    if value is None:
        return None
    if change[4] is not None:
        return _replaced(value, change[4], change[5])
    start = _index(int((change[2] or "0")[:9]), len(value))
    end = len(value)
    if change[3] is not None:
        count = int(change[3][:9])
        end = start + count if count >= 0 else len(value) + count
    return value[start : max(start, end)]


def _index(number: int, length: int) -> int:
    return max(0, length + number) if number < 0 else min(number, length)


def _replaced(value: str, old: str, new: str) -> str:
    if old.startswith("*") and len(old) > 1:
        at = value.lower().find(old[1:].lower())
        return value if at < 0 else new + value[at + len(old) - 1 :]
    if value.lower().count(old.lower()) * len(new) > EXPANDED_CHARS_MAX:
        raise CommandError("The input line is too long.")
    return re.sub(re.escape(old), lambda _: new, value, flags=re.IGNORECASE)


def loop(text: str, variables: Mapping[str, str]) -> str:
    """Put the variables of loops in the place of `%i` and `%~nxi`."""
    if "%" not in text or not variables:
        return text

    def value(found: re.Match[str]) -> str:
        if found[2] not in variables:
            return found[0]
        return variables[found[2]] if found[1] is None else modified(variables[found[2]], found[1])

    out = _LOOP.sub(value, text)
    if len(out) > EXPANDED_CHARS_MAX:
        raise CommandError("The input line is too long.")
    return out


def delayed(text: str, lookup: Callable[[str], str | None]) -> str:
    """Expand `!NAME!`."""
    if "!" not in text:
        return text
    out = _DELAYED.sub(lambda found: value_of(found[1], lookup) or "", text)
    if len(out) > EXPANDED_CHARS_MAX:
        raise CommandError("The input line is too long.")
    return out.replace("^!", "!")


def modified(value: str, letters: str) -> str:
    r"""Return a path's parts as `%~dpnx1` asks for them. Paths are taken to be whole, or in the root."""
    value = value.strip('"')
    letters = letters.lower()
    if not letters or letters == "s":
        return value
    if "z" in letters or "t" in letters or "a" in letters:
        return ""
    path, backslash, name = value.rpartition("\\")
    drive, rest = (path[:2], path[2:]) if path[1:2] == ":" else ("C:", path)
    stem, dot, ending = name.rpartition(".")
    if not dot:
        stem, ending = name, ""
    if "f" in letters:
        return value if value[1:2] == ":" else f"C:\\{value}"
    return "".join((
        drive if "d" in letters else "", rest + (backslash or "\\") if "p" in letters else "",
        stem if "n" in letters else "", dot + ending if "x" in letters else "",
    ))  # fmt: skip
