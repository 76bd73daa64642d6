"""What can be said of a line by looking at it: which commands the host does not have, and whether it waits for input.

The first is evidence of what the attacker expected. Looks, runs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from eudaemon.wire import printable
from eudaemon.world.shell.parser import Parser
from eudaemon.world.shell.syntax import AndOr, Case, Command, For, Function, Group, If, Simple, While
from eudaemon.world.shell.words import IncompleteError, ShellSyntaxError

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


# What reads its standard input where it is given no file to read.
_READS = frozenset(
    b"awk base64 bunzip2 bzcat cat chpasswd crontab cut dd egrep fgrep grep gunzip gzip head hexdump less md5sum more "
    b"od passwd read sed sha1sum sha256sum sort strings tail tar tee tr uniq wc xargs xxd zcat sh ash bash".split()
)
_TAKES_TEXT = frozenset((b"awk", b"egrep", b"fgrep", b"grep", b"sed"))  # the first operand is none of a file
_READS_ANYWAY = frozenset((b"chpasswd", b"passwd", b"read", b"tee", b"tr", b"xargs"))  # whatever operands there are


def reads_input(text: bytes) -> bool:
    """Say whether a command of this text reads what its caller sends it, as `cat > file` does."""
    parser = Parser(text)
    try:
        while (commands := parser.next_line()) is not None:
            if _reads(commands):
                return True
    except (IncompleteError, ShellSyntaxError):
        pass
    return False


def _reads(commands: tuple[AndOr, ...]) -> bool:
    for and_or in commands:
        for _, pipeline in and_or.pipelines:
            first = pipeline.commands[0]  # the others read what it writes
            if any(redirect.op.startswith(b"<") for redirect in first.redirects):
                continue
            if isinstance(first, Simple):
                if _simple_reads([word.plain or b"?" for word in first.words]):
                    return True
            elif not isinstance(first, Function) and any(_reads(body) for body in _bodies(first)):
                return True
    return False


def _simple_reads(words: list[bytes]) -> bool:
    if words and words[0].rpartition(b"/")[2] == b"busybox":
        words = words[1:]
    if not words or words[0].rpartition(b"/")[2] not in _READS:
        return False
    name = words[0].rpartition(b"/")[2]
    operands = [word for word in words[1:] if word == b"-" or not word.startswith(b"-")]
    if name == b"dd":
        return not any(word.startswith(b"if=") for word in operands)
    if name == b"crontab":
        return len(words) == 1 or b"-" in operands
    if name == b"tar":
        return not any(b"f" in word for word in words[1:2]) or b"-" in operands
    if name in (b"sh", b"ash", b"bash"):
        return reads_input(words[2]) if words[1:2] == [b"-c"] and len(words) > 2 else not operands or b"-s" in words
    if name in (b"head", b"tail"):
        operands = [word for word in operands if not word.isdigit()]
    if name in _TAKES_TEXT:
        operands = operands[1:]
    return name in _READS_ANYWAY or not operands or operands == [b"-"]


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
