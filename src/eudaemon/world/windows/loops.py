"""`for`: over words and files, over numbers, over directories, and over the lines of a file, a text or a command."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from eudaemon.world.files import Directory, FileError, Fixed, Written
from eudaemon.world.outside import Downloaded
from eudaemon.world.shell.acts import Act
from eudaemon.world.shell.streams import Pipe, PipeFullError, content
from eudaemon.world.windows.batch import Exit, Leave
from eudaemon.world.windows.limits import LOOP_WORDS_MAX
from eudaemon.world.windows.paths import shown
from eudaemon.world.windows.syntax import CommandError, For, IncompleteError

if TYPE_CHECKING:
    from eudaemon.world.windows.evaluator import Evaluator, Steps, Streams
    from eudaemon.world.windows.scope import Scope

_WORD = re.compile(r'"[^"]*"?|[^\s,;="]+')
_OPTION = re.compile(r"(eol|skip|delims|tokens|usebackq)(?:=)?", re.IGNORECASE)


def run(evaluator: Evaluator, node: For, scope: Scope, streams: Streams) -> Steps:
    """Run a loop; return the exit code of its last turn."""
    items = evaluator.expanded(node.items, scope)
    turns: Iterator[dict[str, str]]
    if node.kind == "f":
        turns = yield from _of_lines(evaluator, node, items, scope, streams)
    elif node.kind == "l":
        turns = ({node.variable: str(number)} for number in _numbers(items))
    elif node.kind == "r":
        turns = ({node.variable: path} for path in _below(evaluator, node, items, scope))
    else:
        turns = ({node.variable: word} for word in _words(evaluator, items, scope, directories=node.kind == "d"))
    outer, status = scope.loop, 0
    try:
        for turn in turns:
            evaluator.shell.budget.step()
            scope.loop = {**outer, **turn}
            status = yield from evaluator.run(node.body, scope, streams)
    finally:
        scope.loop = outer
    return status


def _numbers(items: str) -> Iterator[int]:
    words = items.replace(",", " ").split()
    try:
        start, step, end = (int(word[:12]) for word in [*words, "0", "0", "0"][:3])
    except ValueError:
        return
    at = start
    while (at <= end) if step >= 0 else (at >= end):
        yield at  # the budget's steps end what would not end
        at += step


def _words(evaluator: Evaluator, items: str, scope: Scope, *, directories: bool) -> Iterator[str]:
    for word in _WORD.findall(items)[:LOOP_WORDS_MAX]:
        plain = word.strip('"')
        if "*" not in plain and "?" not in plain:
            yield word
            continue
        place = plain.rpartition("\\")[0]
        for path in evaluator.shell.matching(plain, scope.cwd):
            if isinstance(evaluator.shell.files.find(path), Directory) == directories:
                name = path.rpartition(b"/")[2].decode("latin-1")
                yield f"{place}\\{name}" if place else name


def _below(evaluator: Evaluator, node: For, items: str, scope: Scope) -> Iterator[str]:
    """Yield the files below a directory, `for /r`."""
    shell = evaluator.shell
    try:
        waiting = [shell.drives.locate(node.options or ".", scope.cwd)]
    except FileError:
        return
    patterns = [word.strip('"') for word in _WORD.findall(items)] or ["*"]
    while waiting:
        directory = waiting.pop()
        for pattern in patterns:
            if "*" not in pattern and "?" not in pattern:
                yield shown(directory).rstrip("\\") + "\\" + pattern
                continue
            for path in shell.matching(pattern, directory):
                if not isinstance(shell.files.find(path), Directory):
                    yield shown(path)
        for name in shell.files.names(directory):
            shell.budget.step()
            if isinstance(shell.files.find(directory + b"/" + name), Directory):
                waiting.append(directory + b"/" + name)


# --- for /f ------------------------------------------------------------------------------------------


def _of_lines(
    evaluator: Evaluator, node: For, items: str, scope: Scope, streams: Streams
) -> Generator[Act, Downloaded | None, Iterator[dict[str, str]]]:
    """Return the turns of `for /f`."""
    options = _options(node.options)
    text = yield from _text(evaluator, items.strip(), scope, streams, backquoted="usebackq" in options)
    delimiters = options.get("delims", " \t")
    comment = options.get("eol", ";")[:1]
    wanted, takes_rest = _tokens(options.get("tokens", "1"))
    skip = int(options.get("skip", "0") or 0) if options.get("skip", "0").isdecimal() else 0
    return _turns(text.split("\n")[skip:], node.variable, wanted, takes_rest, delimiters, comment)


def _turns(
    lines: list[str], variable: str, wanted: list[int], takes_rest: bool, delimiters: str, comment: str
) -> Iterator[dict[str, str]]:
    for line in lines:
        line = line.rstrip("\r")
        if not line or (comment and line.startswith(comment)):
            continue
        parts = _parts(line, delimiters, max(wanted, default=0))
        names = iter(range(ord(variable), 127))
        turn = {chr(next(names)): parts[number - 1][0] if number <= len(parts) else "" for number in wanted}
        if takes_rest:
            last = max(wanted, default=0)
            start = parts[last][1] if last < len(parts) else len(line)
            turn[chr(next(names))] = line[start:]
        if wanted and not parts:
            continue
        yield turn


def _parts(line: str, delimiters: str, count: int) -> list[tuple[str, int]]:
    """Return the parts of a line between delimiters and where each begins, one more than `count` at most."""
    if not delimiters:
        return [(line, 0)]
    found: list[tuple[str, int]] = []
    at = 0
    while at < len(line) and len(found) <= count:
        while at < len(line) and line[at] in delimiters:
            at += 1
        start = at
        while at < len(line) and line[at] not in delimiters:
            at += 1
        if at > start:
            found.append((line[start:at], start))
    return found


def _tokens(text: str) -> tuple[list[int], bool]:
    """Return the numbers that `tokens=1,3-5*` names, and whether the rest of the line is wanted too."""
    wanted: list[int] = []
    for part in text.rstrip("*").split(","):
        first, dash, last = part.partition("-")
        if first.isdecimal() and (not dash or last.isdecimal()):
            wanted += range(int(first[:2]), min(int((last or first)[:2]), 31) + 1)
    return sorted({number for number in wanted if number}), text.endswith("*")


def _options(text: str) -> dict[str, str]:
    """Read `skip=1 tokens=1,2 delims=: `; what `delims=` gives goes to the end, or to the next option."""
    found: dict[str, str] = {}
    at = 0
    while match := _OPTION.search(text, at):
        name = match[1].lower()
        following = _OPTION.search(text, match.end())
        end = following.start() if following else len(text)
        value = text[match.end() : end]
        found[name] = value if name == "delims" and following is None else value.rstrip(" ")
        at = max(end, match.end())
    return found


def _text(
    evaluator: Evaluator, items: str, scope: Scope, streams: Streams, *, backquoted: bool
) -> Generator[Act, Downloaded | None, str]:
    """Return the text whose lines are looped over."""
    quote = items[:1]
    inner = items[1:-1] if len(items) > 1 and items[-1:] == quote else items[1:]
    if quote == ("`" if backquoted else "'"):
        return (yield from _printed(evaluator, inner, scope, streams))
    if quote == ("'" if backquoted else '"'):
        return inner
    shell, texts = evaluator.shell, []
    for word in _WORD.findall(items)[:64]:
        node = shell.drives.find(word, scope.cwd)
        if not isinstance(node, Fixed | Written):
            raise CommandError(f"The system cannot find the file {word.strip(chr(34))}.")
        data = content(node, shell.at_s)
        shell.budget.work(len(data))
        texts.append(data.decode("latin-1"))
    return "\n".join(texts)


def _printed(
    evaluator: Evaluator, command: str, scope: Scope, streams: Streams
) -> Generator[Act, Downloaded | None, str]:
    """Return what a command prints."""
    shell = evaluator.shell
    pipe = Pipe(shell.budget, shell.purse)
    with suppress(PipeFullError, Exit, Leave, IncompleteError):
        yield from evaluator.text(command, scope.copy(), {**streams, 1: pipe})
    text = bytes(pipe.data).decode("latin-1")
    pipe.release()
    return text
