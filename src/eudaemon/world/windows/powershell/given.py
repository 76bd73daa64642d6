"""What a cmdlet is given, and how what it gives is shown."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

from eudaemon.world.outside import Downloaded
from eudaemon.world.shell.acts import Act
from eudaemon.world.windows.powershell.syntax import Block
from eudaemon.world.windows.powershell.values import Thing, items, text

if TYPE_CHECKING:
    from eudaemon.world.windows.powershell.evaluator import Evaluator

Values: TypeAlias = Generator[Act, Downloaded | None, list[Any]]
Cmdlet: TypeAlias = "Callable[[Evaluator, Given], Values]"


class Given:
    """What a cmdlet is given: `named` by the names' beginnings, `rest` in order, `piped` from the one before."""

    __slots__ = ("named", "piped", "rest")

    def __init__(self, named: dict[str, Any], rest: list[Any], piped: list[Any] | None) -> None:
        self.named = named
        self.rest = rest
        self.piped = piped

    def get(self, *names: str, at: int = -1) -> Any:
        """Return what is given under one of the names, or in a place."""
        for given, value in self.named.items():
            if any(name.startswith(given) for name in names):
                return value
        if 0 <= at < len(self.rest):
            return self.rest[at]
        return None

    @property
    def input(self) -> list[Any]:
        """What is piped in, or else the arguments."""
        return self.piped if self.piped is not None else self.rest


def printed(values: list[Any]) -> Iterator[str]:
    """Yield the lines in which values are shown."""
    for value in values:
        if isinstance(value, dict):
            yield from (f"{key:<30} {text(item)}" for key, item in value.items())
        elif isinstance(value, list | bytearray):
            yield from printed(items(value))
        elif value is not None and not isinstance(value, Thing | Block):
            yield text(value)


def rows(*named: tuple[str, Cmdlet]) -> dict[str, Cmdlet]:
    """Return a table of cmdlets from rows of their names, with blanks between them."""
    return {name: cmdlet for names, cmdlet in named for name in names.split()}
