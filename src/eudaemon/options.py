"""How a setting is declared: its default, what it means, and what it may be. Imports nothing of ours.

A part's settings are one frozen dataclass in that part, its fields declared with `option`. `eudaemon.settings` puts
the parts together, reads the one TOML file into them, and names the line that is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Option:
    """What is known of one setting besides its type and default."""

    says: str  # one sentence for people, for docs/settings.md
    low: float | None = None
    high: float | None = None
    among: Collection[str] = ()
    check: Callable[[Any], None] | None = None  # raises ValueError with what is wrong
    secret: bool = False  # never shown, neither in a complaint nor in a log


def option(
    default: Any,
    says: str,
    *,
    low: float | None = None,
    high: float | None = None,
    among: Collection[str] = (),
    check: Callable[[Any], None] | None = None,
    secret: bool = False,
) -> Any:
    """Declare a setting. `default` may be a value, a tuple, or a dataclass type (a section of its own)."""
    metadata = {"option": Option(says, low, high, among, check, secret)}
    if isinstance(default, type):
        return field(default_factory=default, metadata=metadata)
    return field(default=MISSING if default is ... else default, repr=not secret, metadata=metadata)


@dataclass(frozen=True, slots=True)
class Named:
    """A part that consists of tables with names of their own, `[part.NAME]`, none by default.

    The setting `key` of each says which of `kinds` it is: whose dataclass declares what else may be set in it.
    """

    key: str
    kinds: Mapping[str, type[Any]]


def port_ranges(text: str) -> tuple[tuple[int, int], ...]:
    """Read `23,2323,5000-5010` as first and last port of each range. Raises `ValueError` with what is wrong."""
    found = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not 1 <= first <= last <= 65535:
            raise ValueError(f"{part!r} is neither a port nor a range of ports")
        found.append((first, last))
    return tuple(found)


def restored(kind: type[T], values: dict[str, Any]) -> T:
    """Return the settings that `dataclasses.asdict` took apart, also when JSON has made lists of tuples since."""
    found: dict[str, Any] = {}
    for declared in fields(kind):  # type: ignore[arg-type]
        value: Any = values[declared.name]
        section: Any = declared.default_factory
        if section is not MISSING:
            value = restored(section, value)
        found[declared.name] = tuple(value) if isinstance(value, list) else value
    return kind(**found)
