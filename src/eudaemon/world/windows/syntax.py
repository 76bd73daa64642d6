"""The syntax tree of cmd.exe's language. Texts are as they stand after percent expansion, quotes and all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


class CommandError(Exception):
    """The line means nothing to cmd.exe; the message is what it says."""


class IncompleteError(Exception):
    """The line wants to be continued: a bracket is open, or it ends with `^`."""


@dataclass(frozen=True, slots=True)
class Redirect:
    """`op` is `<`, `>`, `>>`, `>&` or `<&`; of the last two the target is a number."""

    fd: int
    op: str
    target: str


@dataclass(frozen=True, slots=True)
class Simple:
    """A command with its arguments, as one text."""

    text: str
    redirects: tuple[Redirect, ...] = ()


@dataclass(frozen=True, slots=True)
class Chain:
    """Commands with one and the same of `&`, `&&`, `||` and `|` between them."""

    op: str
    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """`( … )`."""

    body: Node
    redirects: tuple[Redirect, ...] = ()


@dataclass(frozen=True, slots=True)
class If:
    """`test` is `exist`, `defined`, `errorlevel`, `==` or one of `EQU NEQ LSS LEQ GTR GEQ`, in capitals."""

    test: str
    left: str
    right: str
    negated: bool
    ignores_case: bool
    then: Node
    otherwise: Node | None


@dataclass(frozen=True, slots=True)
class For:
    """`kind` is the letter of `/d`, `/f`, `/l` or `/r`, or nothing; `variable` one letter."""

    kind: str
    options: str
    variable: str
    items: str
    body: Node


Node: TypeAlias = Simple | Chain | Group | If | For
NOTHING = Simple("")
