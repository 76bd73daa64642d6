"""PowerShell's values: texts, numbers, lists, `bytearray` for `byte[]`, tables, and objects with what they hold.

What is not known is None, and goes on as None: a script is followed as far as it can be.
"""

from __future__ import annotations

from typing import Any

from eudaemon.world.shell.budget import LimitError
from eudaemon.world.windows.limits import POWERSHELL_ITEMS_MAX, POWERSHELL_TEXT_CHARS_MAX


class Thing:
    """An object. `kind` is what it is, such as `webclient`; `data` what it holds."""

    __slots__ = ("data", "kind", "more")

    def __init__(self, kind: str, data: Any = None) -> None:
        self.kind = kind
        self.data = data
        self.more: dict[str, Any] = {}


def text(value: Any) -> str:
    """Return a value as text, as PowerShell puts it into one."""
    match value:
        case None:
            return ""
        case str():
            return value
        case bool():
            return str(value)
        case bytearray():
            return bounded(" ".join(map(str, value[:POWERSHELL_ITEMS_MAX])))
        case list():
            return bounded(" ".join(text(item) for item in value))
        case Thing():
            return text(value.data) if isinstance(value.data, str) else f"System.{value.kind}"
        case float() if value == int(value):
            return str(int(value))
    return str(value)


def bounded(value: str) -> str:
    """Return a text. Raises `LimitError` if it is too long."""
    if len(value) > POWERSHELL_TEXT_CHARS_MAX:
        raise LimitError("text")
    return value


def items(value: Any) -> list[Any]:
    """Return what a value gives to who goes through it."""
    if value is None:
        return []
    if isinstance(value, list):
        return value
    return list(value) if isinstance(value, bytearray) else [value]


def listed(values: list[Any]) -> list[Any]:
    """Return a list. Raises `LimitError` if it is too long."""
    if len(values) > POWERSHELL_ITEMS_MAX:
        raise LimitError("items")
    return values


def number(value: Any) -> int | float:
    """Return a value as a number, 0 if it is none."""
    if isinstance(value, bool | int | float):
        return value if not isinstance(value, bool) else int(value)
    if isinstance(value, str):
        stripped = value.strip()
        try:
            if stripped[:2].lower() == "0x":
                return int(stripped[:18], 16)
            return float(stripped[:32]) if "." in stripped else int(stripped[:18] or "0")
        except ValueError:
            return ord(stripped) if len(stripped) == 1 else 0
    return 0


def whole(value: Any) -> int:
    """Return a value as a whole number within 64 bits."""
    found = number(value)
    if isinstance(found, float) and (found != found or abs(found) > 2**62):
        return 0
    return max(-(2**63), min(2**63, int(found)))


def truth(value: Any) -> bool:
    """Say whether a value counts as true."""
    if isinstance(value, list):
        return bool(value) and (len(value) > 1 or truth(value[0]))
    return bool(value) if isinstance(value, str | int | float | bytearray) or value is None else True


def octets(value: Any) -> bytearray:
    """Return a value as bytes."""
    if isinstance(value, bytearray):
        return value
    if isinstance(value, str):
        return bytearray(value.encode("latin-1", "replace"))
    if isinstance(value, Thing):
        return value.data if isinstance(value.data, bytearray) else bytearray()
    return bytearray(whole(item) & 0xFF for item in items(value))


def unwrapped(values: list[Any]) -> Any:
    """Return what a pipeline gives: nothing, one value, or a list."""
    return None if not values else values[0] if len(values) == 1 else listed(values)
