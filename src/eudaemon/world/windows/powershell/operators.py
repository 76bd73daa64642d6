"""PowerShell's operators, casts and indexes. The attacker's regular expressions are simulated: see `shell.regular`."""

from __future__ import annotations

import re
from typing import Any

from eudaemon.world.shell.budget import Budget
from eudaemon.world.shell.regular import Regular, RegularError
from eudaemon.world.windows.limits import POWERSHELL_ITEMS_MAX
from eudaemon.world.windows.powershell.values import (
    Thing,
    bounded,
    items,
    listed,
    number,
    octets,
    text,
    truth,
    whole,
)

_WORK_MAX = 1024 * 1024
_FIELD = re.compile(r"\{\{|\}\}|\{(\d{1,4})(?:,(-?\d{1,4}))?(?::([^}]*))?\}")


def binary(op: str, left: Any, right: Any, budget: Budget) -> tuple[Any, list[str] | None]:
    """Return what an operator gives, and what `-match` leaves in `$matches`."""
    plain = op.lstrip("ic") if op not in ("is", "in", "contains", "isnot") else op
    match plain:
        case "match" | "notmatch":
            found = _groups(text(left), text(right), budget, fold=op != "cmatch")
            return (found is not None) == (plain == "match"), found
        case "replace":
            old, new = [*items(right), "", ""][:2] if isinstance(right, list) else (right, "")
            done = [replaced(text(item), text(old), text(new), budget, fold=op != "creplace") for item in _each(left)]
            return (done if isinstance(left, list) else done[0]), None
        case "split":
            separator = right[0] if isinstance(right, list) and right else right
            pieces = [piece for item in _each(left) for piece in split(text(item), text(separator), budget)]
            return listed(pieces), None
        case "f":
            return formatted(text(left), items(right)), None
    return _SIMPLE[plain](left, right) if plain in _SIMPLE else None, None


def _each(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _plus(left: Any, right: Any) -> Any:
    if isinstance(left, list):
        return listed([*left, *items(right)])
    if isinstance(left, bytearray):
        return bytearray(left + octets(right)) if isinstance(right, bytearray | list) else listed([*left, right])
    if isinstance(left, dict) and isinstance(right, dict):
        return {**left, **right}
    if isinstance(left, str) or (left is None and isinstance(right, str)):
        return bounded(text(left) + text(right))
    if left is None:
        return right
    return number(left) + number(right)


def _times(left: Any, right: Any) -> Any:
    count = max(0, whole(right))
    if isinstance(left, str):
        return bounded(left * min(count, POWERSHELL_ITEMS_MAX * 16 // max(1, len(left)) + 1))
    if isinstance(left, list | bytearray):
        return listed(list(left) * min(count, POWERSHELL_ITEMS_MAX // max(1, len(left)) + 1))
    return _fits(number(left) * number(right))


def _fits(value: float) -> int | float:
    return value if abs(value) < 2**63 else 0


def _divided(left: Any, right: Any) -> Any:
    divisor = number(right)
    if not divisor:
        return None
    quotient = number(left) / divisor
    return int(quotient) if quotient == int(quotient) else quotient


def _rest(left: Any, right: Any) -> Any:
    divisor = whole(right)
    return None if not divisor else abs(whole(left)) % abs(divisor) * (1 if whole(left) >= 0 else -1)


def _range(left: Any, right: Any) -> list[Any]:
    start, end = whole(left), whole(right)
    if abs(end - start) >= POWERSHELL_ITEMS_MAX:
        return listed([0] * (POWERSHELL_ITEMS_MAX + 1))
    return list(range(start, end + 1)) if start <= end else list(range(start, end - 1, -1))


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, int | float) and not isinstance(left, bool):
        return number(right) == left
    return text(left).lower() == text(right).lower()


def _equal(left: Any, right: Any) -> Any:
    return [item for item in left if _same(item, right)] if isinstance(left, list) else _same(left, right)


def _less(left: Any, right: Any) -> bool:
    if isinstance(left, str):
        return left.lower() < text(right).lower()
    return number(left) < number(right)


def like(value: str, pattern: str) -> bool:
    """Say whether a text is one that a pattern with `*` and `?` means."""
    from eudaemon.world.windows.engine import matches

    return matches(value.lower()[:4096], pattern.lower()[:256])


_SIMPLE: dict[str, Any] = {
    "+": _plus, "-": lambda a, b: number(a) - number(b), "*": _times, "/": _divided, "%": _rest, "..": _range,
    "eq": _equal, "ne": lambda a, b: [i for i in a if not _same(i, b)] if isinstance(a, list) else not _same(a, b),
    "gt": lambda a, b: not _less(a, b) and not _same(a, b), "ge": lambda a, b: not _less(a, b), "lt": _less,
    "le": lambda a, b: _less(a, b) or _same(a, b), "like": lambda a, b: like(text(a), text(b)),
    "notlike": lambda a, b: not like(text(a), text(b)), "and": lambda a, b: truth(a) and truth(b),
    "or": lambda a, b: truth(a) or truth(b), "xor": lambda a, b: truth(a) != truth(b),
    "band": lambda a, b: whole(a) & whole(b), "bor": lambda a, b: whole(a) | whole(b),
    "bxor": lambda a, b: whole(a) ^ whole(b), "shl": lambda a, b: (whole(a) << (whole(b) & 63)) & (2**63 - 1),
    "shr": lambda a, b: whole(a) >> (whole(b) & 63),
    "join": lambda a, b: joined(a, text(b)), "contains": lambda a, b: any(_same(i, b) for i in items(a)),
    "notcontains": lambda a, b: not any(_same(i, b) for i in items(a)), "in": lambda a, b: any(
        _same(i, a) for i in items(b)), "notin": lambda a, b: not any(_same(i, a) for i in items(b)),
    "is": lambda *_: True, "isnot": lambda *_: False,
    "as": lambda a, b: cast(text(b.data) if isinstance(b, Thing) else text(b), a),
}  # fmt: skip


def joined(value: Any, separator: str) -> str:
    """Return texts with a separator between them."""
    return bounded(separator.join(text(item) for item in items(value)))


def unary(op: str, value: Any) -> Any:
    """Return what an operator that stands before its operand gives."""
    if op[:1] == "[":
        return cast(op[1:-1], value)
    match op:
        case "not":
            return not truth(value)
        case "bnot":
            return ~whole(value)
        case "minus":
            return -number(value)
        case "plus":
            return number(value)
        case "join":
            return joined(value, "")
    return listed(text(value).split())


def cast(kind: str, value: Any) -> Any:  # noqa: C901 - one row a type
    """Return a value as another type."""
    if kind in ("char", "char[]") and isinstance(value, str) and kind == "char[]":
        return listed(list(value))
    if kind == "char[]":
        return [_character(item) for item in items(value)]
    if kind == "byte[]":
        return octets(value) if not isinstance(value, str) else bytearray([whole(value) & 0xFF])
    if kind.endswith("[]"):
        return [cast(kind[:-2], item) for item in items(value)]
    match kind:
        case "char":
            return _character(value)
        case "string":
            return text(value)
        case "byte":
            return whole(value) & 0xFF
        case "int" | "int32" | "int64" | "long" | "uint32" | "uint64" | "int16" | "convert":
            return ord(value) if isinstance(value, str) and len(value) == 1 and not value.isdecimal() else whole(value)
        case "double" | "float" | "decimal":
            return float(number(value))
        case "bool" | "switch":
            return truth(value)
        case "array":
            return items(value)
        case "void":
            return None
    return value


def _character(value: Any) -> str:
    if isinstance(value, str):
        return value[:1] if not (len(value) > 1 and value.isdecimal()) else _character(int(value[:7]))
    code = whole(value)
    return chr(code) if 0 <= code < 0x110000 else ""


def index(held: Any, at: Any) -> Any:
    """Return an element, or several."""
    if isinstance(held, dict):
        wanted = text(at).lower()
        return next((value for key, value in held.items() if key.lower() == wanted), None)
    if not isinstance(held, str | list | bytearray):
        return held if at == 0 and held is not None and not isinstance(held, Thing) else None
    if isinstance(at, list):
        return [held[place] for place in map(whole, at) if -len(held) <= place < len(held)]
    place = whole(at)
    return held[place] if -len(held) <= place < len(held) else None


# --- texts -------------------------------------------------------------------------------------------


def _compiled(pattern: str, *, fold: bool) -> Regular | None:
    try:
        return Regular(pattern.encode("latin-1", "replace"), extended=True, fold=fold)
    except RegularError:
        return None


def _groups(value: str, pattern: str, budget: Budget, *, fold: bool) -> list[str] | None:
    regular, data = _compiled(pattern, fold=fold), value.encode("latin-1", "replace")
    if regular is None:
        return [pattern] if pattern.lower() in value.lower() else None
    budget.work(regular.cost(data))
    found = regular.search(data)
    return None if found is None else [part.decode("latin-1") for part in regular.groups(data, *found)]


def replaced(value: str, pattern: str, new: str, budget: Budget, *, fold: bool = True) -> str:
    """Return a text with what a pattern means replaced. Patterns without signs are the rule, and are quick."""
    plain = re.sub(r"\\(\W)", r"\1", pattern)
    if not re.search(r"(?<!\\)[.\[\]*^$+?(){}|]|\\\w", pattern):
        if len(value) + value.lower().count(plain.lower()) * len(new) > _WORK_MAX:
            return value
        return re.sub(re.escape(plain), lambda _: new, value, flags=re.IGNORECASE if fold else 0) if plain else value
    regular, data = _compiled(pattern, fold=fold), value.encode("latin-1", "replace")
    if regular is None:
        return value
    budget.work(regular.cost(data))
    replacement = re.sub(r"\$(\d)", r"\\\1", new.replace("\\", "\\\\")).encode("latin-1", "replace")
    if len(data) * max(1, len(replacement)) > 16 * _WORK_MAX:
        return value
    return bounded(regular.replace(data, replacement, everywhere=True).decode("latin-1"))


def split(value: str, pattern: str, budget: Budget) -> list[str]:
    """Return the parts of a text between what a pattern means."""
    plain = re.sub(r"\\(\W)", r"\1", pattern)
    if not plain:
        return list(value)
    if len(pattern) == 1 or not re.search(r"(?<!\\)[.\[\]*^$+?(){}|]|\\\w", pattern):
        return re.split(re.escape(plain), value, flags=re.IGNORECASE)
    regular, data = _compiled(pattern, fold=True), value.encode("latin-1", "replace")
    if regular is None:
        return [value]
    found: list[bytes] = []
    at = searched = 0
    while searched <= len(data):
        budget.work(regular.cost(data[searched : searched + 64]))
        place = regular.search(data, searched)
        if place is None:
            break
        begin, end = place
        searched = end + (end == begin)
        if end > begin:  # what groups hold is given too, as in .NET
            found += (data[at:begin], *regular.groups(data, begin, end)[1:])
            listed(found)
            at = end
    return [part.decode("latin-1") for part in (*found, data[at:])]


def formatted(pattern: str, values: list[Any]) -> str:
    """Return what `-f` makes of a text with `{0}` in it."""
    size = len(pattern)

    def field(found: re.Match[str]) -> str:
        nonlocal size
        if found[1] is None:
            return found[0][0]
        value = values[int(found[1])] if int(found[1]) < len(values) else ""
        form = (found[3] or "").lower()
        if (form[:1] in ("x", "d") and form[1:].isdecimal()) or form in ("x", "d"):
            width = min(int(form[1:] or "0"), 64)
            made = f"{whole(value):0{width}{form[0]}}"
            made = made.upper() if (found[3] or "")[:1] == "X" else made
        else:
            made = text(value)
        width = int(found[2] or "0")
        made = made.rjust(width) if width > 0 else made.ljust(-width)
        size += len(made)
        return made if size <= _WORK_MAX else ""

    return bounded(_FIELD.sub(field, pattern))
