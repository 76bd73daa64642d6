"""What is known of a shellcode at the end, as one value: made by `emulation`, carried between processes as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from eudaemon.payload.shellcode import behaviour as behaviours_
from eudaemon.payload.shellcode.behaviour import Behaviour, is_understood

_KINDS = {kind.kind: kind for kind in Behaviour.__subclasses__()}


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the code's to its system: a function of Windows, or a system call. `at` is where it returns to."""

    at: int
    name: str
    arguments: tuple[str, ...]
    result: int

    def __str__(self) -> str:
        return f"{self.name}({', '.join(self.arguments)}) = {self.result:#x}"


@dataclass(frozen=True, slots=True)
class Report:
    """One run, the one that told most.

    `offset` is where in the bytes it began, `base` the address of their first byte, `ended` why it ended, in words.
    `listing` are lines of assembler: what was executed, as it stood when it was executed.
    """

    architecture: str
    offset: int
    base: int
    ended: str
    instructions: int
    behaviours: tuple[Behaviour, ...] = ()
    calls: tuple[Call, ...] = ()
    listing: tuple[str, ...] = ()
    layer: int = 0  # 0: the bytes themselves; n: what the n-th decoding of them gave

    @property
    def understood(self) -> bool:
        """Whether it says what the code is for."""
        return is_understood(self.behaviours)

    @property
    def system(self) -> str:
        """What it ran on: `windows`, whose functions have capitals in their names, or `linux`. Empty without a call."""
        if not self.calls:
            return ""
        return "windows" if any(not call.name.islower() for call in self.calls) else "linux"

    def as_json(self) -> dict[str, Any]:
        """Return the report as an object for machines. `from_json` reads it."""
        return {
            **asdict(self),
            "behaviours": [behaviours_.as_json(behaviour) for behaviour in self.behaviours],
            "understood": self.understood,
        }

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Report:
        """Return the report that `as_json` gave."""
        values = {key: found[key] for key in ("architecture", "offset", "base", "ended", "instructions", "layer")}
        behaviours = []
        for entry in found["behaviours"]:
            own = {key: value for key, value in entry.items() if key not in ("kind", "says")}
            behaviours.append(_KINDS[entry["kind"]](**own))
        calls = [Call(call["at"], call["name"], tuple(call["arguments"]), call["result"]) for call in found["calls"]]
        return cls(**values, behaviours=tuple(behaviours), calls=tuple(calls), listing=tuple(found["listing"]))
