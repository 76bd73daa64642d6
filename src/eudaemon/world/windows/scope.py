"""What one cmd.exe knows: where it is, its variables, the batch file that it reads. Variables ignore case."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from eudaemon.world.shell.budget import LimitError
from eudaemon.world.shell.limits import VARIABLES_MAX
from eudaemon.world.windows.limits import LEVELS_MAX, VALUE_CHARS_MAX

if TYPE_CHECKING:
    from eudaemon.world.windows.batch import Batch

_ENTRY_BYTES = 120


class Scope:
    """One cmd.exe. `base` are the variables that all sessions share, by their names in capitals: name and value."""

    __slots__ = ("_base", "_own", "_saved", "batch", "cwd", "delayed", "echoes", "loop", "pushed", "status")

    def __init__(self, cwd: bytes, base: Mapping[str, tuple[str, str]]) -> None:
        self._base = base
        self._own: dict[str, tuple[str, str] | None] = {}
        self._saved: list[tuple[dict[str, tuple[str, str] | None], bool]] = []
        self.cwd = cwd
        self.status = 0
        self.delayed = False
        self.echoes = True
        self.loop: dict[str, str] = {}
        self.batch: Batch | None = None
        self.pushed: tuple[bytes, ...] = ()

    def copy(self) -> Scope:
        """Return what a started cmd.exe begins with."""
        child = Scope(self.cwd, self._base)
        child._own = dict(self._own)
        child.status = self.status
        child.loop = self.loop
        child.batch = self.batch
        child.echoes = self.echoes
        child.delayed = self.delayed
        return child

    def get(self, name: str) -> str | None:
        """Return a variable's value, or None."""
        key = name.upper()
        found = self._own[key] if key in self._own else self._base.get(key)
        return None if found is None else found[1]

    def set(self, name: str, value: str) -> None:
        """Set a variable; an empty value removes it."""
        key = name.upper()
        if not value:
            if key in self._base:
                self._own[key] = None
            else:
                self._own.pop(key, None)
            return
        if len(value) > VALUE_CHARS_MAX or (key not in self._own and len(self._own) >= VARIABLES_MAX):
            raise LimitError("variables")
        self._own[key] = (name, value)

    def listed(self, prefix: str = "") -> list[tuple[str, str]]:
        """Return the variables whose names begin so, in order."""
        merged = {**self._base, **self._own}
        wanted = prefix.upper()
        return [found for key, found in sorted(merged.items()) if found is not None and key.startswith(wanted)]

    def save(self) -> None:
        """`setlocal`."""
        if len(self._saved) >= LEVELS_MAX:
            raise LimitError("setlocal")
        self._saved.append((dict(self._own), self.delayed))

    def restore(self) -> None:
        """`endlocal`."""
        if self._saved:
            self._own, self.delayed = self._saved.pop()

    def held_bytes(self) -> int:
        """Return about how many bytes the variables hold."""
        return sum(
            _ENTRY_BYTES + len(key) + (len(entry[1]) if entry else 0)
            for own in (self._own, *(saved for saved, _ in self._saved))
            for key, entry in own.items()
        )
