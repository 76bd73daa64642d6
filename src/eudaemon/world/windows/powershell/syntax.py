"""The syntax tree of PowerShell, as far as it is understood."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias


class ParseError(Exception):
    """The text is no PowerShell that is understood here."""


class UnfinishedError(ParseError):
    """The text ends within a block."""


@dataclass(frozen=True, slots=True)
class Constant:
    """A text or a number."""

    value: Any


@dataclass(frozen=True, slots=True)
class Expandable:
    """A text with variables and `$( )` in it."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Variable:
    """`$name`, in small letters; `env:name` with its scope."""

    name: str


@dataclass(frozen=True, slots=True)
class Listed:
    """`a, b`, `@( )` and `$( )`: what the parts give, as a list, or if `flat` as what a pipeline gives."""

    parts: tuple[Node, ...]
    flat: bool = False
    single: bool = False  # whether one value stands for itself


@dataclass(frozen=True, slots=True)
class Table:
    """`@{ name = value }`."""

    rows: tuple[tuple[Node, Node], ...]


@dataclass(frozen=True, slots=True)
class Block:
    """`{ }`: not run until somebody asks."""

    body: tuple[Node, ...]
    parameters: tuple[tuple[str, Node | None], ...] = ()


@dataclass(frozen=True, slots=True)
class TypeName:
    """`[Convert]`, in small letters, without `System.`."""

    name: str


@dataclass(frozen=True, slots=True)
class Member:
    """`a.b`, `a::b`, and with arguments a call."""

    target: Node
    name: Node
    arguments: tuple[Node, ...] | None = None


@dataclass(frozen=True, slots=True)
class Index:
    """`a[b]`."""

    target: Node
    at: Node


@dataclass(frozen=True, slots=True)
class Unary:
    """`-not a`, `-join a`, `-a`, and casts: `[char]a`."""

    op: str
    operand: Node


@dataclass(frozen=True, slots=True)
class Binary:
    """`a op b`, the operator in small letters and without its dash."""

    op: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Assign:
    """`a = b`, `a += b`; `a++` adds a constant."""

    target: Node
    op: str
    value: Node


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a command: `-name`, a value, or `-name:value`."""

    name: str | None
    value: Node | None


@dataclass(frozen=True, slots=True)
class Command:
    """A command with its arguments; `target` is where its output is redirected to."""

    name: Node
    arguments: tuple[Argument, ...]
    target: Node | None = None


@dataclass(frozen=True, slots=True)
class Pipeline:
    """`a | b`."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Condition:
    """`if`: conditions with what follows from them; `else` has the constant `True`."""

    arms: tuple[tuple[Node, tuple[Node, ...]], ...]


@dataclass(frozen=True, slots=True)
class Loop:
    """`while`, `do`, `for`: `first` is done once, `step` after each turn; `tested_last` is `do`'s."""

    first: Node | None
    condition: Node | None
    step: Node | None
    body: tuple[Node, ...]
    tested_last: bool = False
    until: bool = False


@dataclass(frozen=True, slots=True)
class ForEach:
    """`foreach ($a in b) { }`."""

    variable: str
    items: Node
    body: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Function:
    """`function name { }`."""

    name: str
    block: Block


@dataclass(frozen=True, slots=True)
class Try:
    """`try { } catch { } finally { }`."""

    body: tuple[Node, ...]
    caught: tuple[Node, ...]
    last: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Jump:
    """`return`, `break`, `continue`, `exit`, `throw`."""

    kind: str
    value: Node | None


Node: TypeAlias = (
    Constant | Expandable | Variable | Listed | Table | Block | TypeName | Member | Index | Unary | Binary | Assign
    | Command | Pipeline | Condition | Loop | ForEach | Function | Try | Jump
)  # fmt: skip
