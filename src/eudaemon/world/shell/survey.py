"""Which commands of a line the host does not have: evidence of what the attacker expected. Looks, runs nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from eudaemon.wire import printable
from eudaemon.world.shell.syntax import AndOr, Case, Command, For, Function, Group, If, Simple, While

if TYPE_CHECKING:
    from eudaemon.world.shell.engine import Shell
    from eudaemon.world.shell.scope import Scope

_NAMES_MAX = 16
_NAME_CHARS_MAX = 64


def unknown_commands(lines: list[tuple[AndOr, ...]], shell: Shell, scope: Scope) -> tuple[str, ...]:
    """Return the names, each once, in order."""
    found: dict[str, None] = {}
    defined: set[bytes] = set(scope.functions or ())
    for commands in lines:
        for command in _all(commands):
            if isinstance(command, Function):
                defined.add(command.name)
            elif isinstance(command, Simple) and command.words and (name := command.words[0].plain):
                if name.rpartition(b"/")[2] == b"busybox" and len(command.words) > 1:
                    name = command.words[1].plain or b"busybox"
                if name not in defined and b"/" not in name and shell.applet(name) is None:
                    found.setdefault(printable(name, _NAME_CHARS_MAX))
                    if len(found) == _NAMES_MAX:
                        return tuple(found)
    return tuple(found)


def _all(commands: tuple[AndOr, ...]) -> Iterator[Command]:
    for and_or in commands:
        for _, pipeline in and_or.pipelines:
            for command in pipeline.commands:
                yield command
                for body in _bodies(command):
                    yield from _all(body)


def _bodies(command: Command) -> Iterator[tuple[AndOr, ...]]:
    match command:
        case Group() | For():
            yield command.body
        case While():
            yield command.condition
            yield command.body
        case If():
            for condition, body in command.arms:
                yield condition
                yield body
            yield command.otherwise
        case Case():
            for _, body in command.arms:
                yield body
        case Function() if isinstance(command.body, Group):
            yield command.body.body
