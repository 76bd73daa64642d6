"""What one shell process knows: where it is, its variables, functions and parameters. A subshell gets a copy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eudaemon.world.shell.budget import LimitError
from eudaemon.world.shell.limits import ARRAYS_MAX, FUNCTIONS_MAX, VARIABLES_MAX, WORD_BYTES_MAX, WORDS_MAX

if TYPE_CHECKING:
    from eudaemon.world.shell.streams import Stream
    from eudaemon.world.shell.syntax import Function


_TREE_COSTS = 16  # bytes that a byte of source takes as a syntax tree


class Scope:
    """One shell process. `streams` maps file descriptors to streams."""

    __slots__ = (
        "arrays",
        "at_exit",
        "cwd",
        "exported",
        "functions",
        "name",
        "parameters",
        "script_line",
        "status",
        "streams",
        "variables",
    )

    def __init__(
        self, cwd: bytes, variables: dict[bytes, bytes], streams: dict[int, Stream],
        exported: frozenset[bytes] | None = None,
    ) -> None:  # fmt: skip
        self.cwd = cwd
        self.variables = variables
        self.exported = frozenset(variables) if exported is None else exported
        self.functions: dict[bytes, Function] | None = None
        self.arrays: dict[bytes, dict[bytes, bytes]] | None = None  # bash's: by name, and by key, which may be a figure
        self.at_exit = b""  # what `trap` has to be run when this shell ends
        self.parameters: tuple[bytes, ...] = ()
        self.name = b"-sh"
        self.status = 0
        self.script_line = 0
        self.streams = streams

    def copy(self) -> Scope:
        """Return what a forked child starts with."""
        child = Scope(self.cwd, dict(self.variables), dict(self.streams))
        child.exported = self.exported
        child.functions = dict(self.functions) if self.functions else None
        child.arrays = {name: dict(items) for name, items in self.arrays.items()} if self.arrays else None
        child.parameters = self.parameters
        child.name = self.name
        child.status = self.status
        child.script_line = self.script_line
        return child

    def fresh(self, name: bytes, parameters: tuple[bytes, ...] = ()) -> Scope:
        """Return what a new `sh` starts with: the exported variables only."""
        known = {key: value for key, value in self.variables.items() if key in self.exported}
        child = Scope(self.cwd, known, dict(self.streams))
        child.name = name
        child.parameters = parameters
        return child

    def set(self, name: bytes, value: bytes) -> None:
        """Set a variable."""
        if len(value) > WORD_BYTES_MAX or (name not in self.variables and len(self.variables) >= VARIABLES_MAX):
            raise LimitError("variables")
        self.variables[name] = value
        if self.arrays:
            self.arrays.pop(name, None)

    def set_items(self, name: bytes, items: dict[bytes, bytes]) -> None:
        """Set an array."""
        arrays = self.arrays = self.arrays or {}
        size = sum(len(value) for value in items.values())
        if size > WORD_BYTES_MAX or len(items) > WORDS_MAX or (name not in arrays and len(arrays) >= ARRAYS_MAX):
            raise LimitError("variables")
        arrays[name] = items
        self.variables.pop(name, None)

    def unset(self, name: bytes) -> None:
        """Forget a variable."""
        self.variables.pop(name, None)
        if self.arrays:
            array, _, key = name.rstrip(b"]").partition(b"[")
            if not key:
                self.arrays.pop(array, None)
            elif array in self.arrays:
                self.arrays[array].pop(key, None)

    def export(self, name: bytes) -> None:
        """Hand a variable on to what is started."""
        self.exported |= {name}

    def held_bytes(self) -> int:
        """Return about how many bytes the shell's own state holds."""
        held = sum(map(len, self.variables)) + sum(map(len, self.variables.values())) + sum(map(len, self.parameters))
        for items in (self.arrays or {}).values():
            held += sum(64 + len(key) + len(value) for key, value in items.items())
        held += len(self.at_exit)
        return held + sum(function.size * _TREE_COSTS for function in (self.functions or {}).values())

    def define(self, function: Function) -> None:
        """Define a function."""
        name = function.name
        if self.functions is None:
            self.functions = {}
        if name not in self.functions and len(self.functions) >= FUNCTIONS_MAX:
            raise LimitError("functions")
        self.functions[name] = function
