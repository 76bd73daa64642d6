"""Which commands of a line the machine does not have: evidence of what the attacker expected. Looks, runs nothing."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from eudaemon.wire import printable
from eudaemon.world.windows.commands import INTERNAL, PROGRAMS
from eudaemon.world.windows.syntax import Chain, For, Group, If, Node, Simple

if TYPE_CHECKING:
    from eudaemon.world.windows.engine import CommandShell

_NAMES_MAX = 16
_NAME_CHARS_MAX = 64
_LOOKED_AT_MAX = 256  # commands of one line


def unknown_commands(node: Node, shell: CommandShell) -> tuple[str, ...]:
    """Return the names, each once, in order. What the line itself may have made is not unknown."""
    simples = list(islice(_all(node), _LOOKED_AT_MAX))
    texts = [simple.text for simple in simples]
    made = " ".join([*texts, *(one.target for simple in simples for one in simple.redirects)]).lower()
    found: dict[str, None] = {}
    for text in texts:
        word = text.lstrip(" \t,;=@").replace('"', " ").split(" ")[0]
        name = word.lower()
        stem = name.removesuffix(".exe").removesuffix(".com").split("/")[0]
        if not name or "\\" in name or "%" in name or "!" in name or stem in PROGRAMS or made.count(name) > 1:
            continue
        if any(stem == known or (stem.startswith(known) and not stem[len(known)].isalnum()) for known in INTERNAL):
            continue
        if (
            shell.drives.find(word, shell.scope.cwd) is None
            and shell.drives.find(f"{word}.exe", shell.scope.cwd) is None
        ):
            found.setdefault(printable(word.encode("latin-1", "replace"), _NAME_CHARS_MAX))
            if len(found) == _NAMES_MAX:
                break
    return tuple(found)


def _all(node: Node | None) -> Iterator[Simple]:
    match node:
        case Simple():
            yield node
        case Chain():
            for part in node.parts:
                yield from _all(part)
        case Group() | For():
            yield from _all(node.body)
        case If():
            yield from _all(node.then)
            yield from _all(node.otherwise)
