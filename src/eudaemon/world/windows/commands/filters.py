"""What reads text and writes text: `find`, `findstr`, `more`, `sort`, `clip`, `fc`."""

from __future__ import annotations

from collections.abc import Generator

from eudaemon.world.files import FileError
from eudaemon.world.outside import Downloaded
from eudaemon.world.shell.acts import Act
from eudaemon.world.windows.call import Call, Command, Run, switches
from eudaemon.world.windows.paths import shown

_SEARCHED_COSTS = 4


def _inputs(call: Call, paths: list[str]) -> Generator[Act, Downloaded | None, list[tuple[str, str]]]:
    """Return name and text of the files, or of standard input."""
    if not paths:
        return [("", (yield from call.input()).decode("latin-1"))]
    found: list[tuple[str, str]] = []
    for path in paths:
        names = (
            [shown(found) for found in call.shell.matching(path, call.scope.cwd)]
            if "*" in path or "?" in path
            else [path]
        )
        found += [(name, call.read(name).decode("latin-1")) for name in names]
    return found


def _lines(text: str) -> list[str]:
    lines = text.replace("\r\n", "\n").split("\n")
    return lines[:-1] if lines[-1:] == [""] else lines


def find(call: Call) -> Run:
    """`find [/v] [/c] [/n] [/i] "text" [file]`: lines that hold a text."""
    quote = call.tail.find('"')
    end = call.tail.find('"', quote + 1)
    if quote < 0 or end < 0:
        return call.error("FIND: Parameter format not correct", 2)
    wanted = call.tail[quote + 1 : end]
    options = {
        option.lower() for option in (call.tail[:quote] + " " + call.tail[end + 1 :]).split() if option[:1] == "/"
    }
    paths = [word.strip('"') for word in call.tail[end + 1 :].split() if word[:1] != "/"]
    found_any = False
    for name, text in (yield from _inputs(call, paths)):
        call.shell.budget.work(_SEARCHED_COSTS * len(text))
        found = [(number, line) for number, line in enumerate(_lines(text), 1)
                 if _holds(line, wanted, ignores_case="/i" in options) != ("/v" in options)]  # fmt: skip
        found_any |= bool(found)
        header = f"---------- {name.upper()}" if name else ""
        if "/c" in options:
            call.line(f"\r\n{header}: {len(found)}" if name else str(len(found)))
            continue
        if name:
            call.line(f"\r\n{header}")
        for number, line in found:
            call.line(f"[{number}]{line}" if "/n" in options else line)
    return 0 if found_any else 1


def _holds(line: str, wanted: str, *, ignores_case: bool) -> bool:
    # A text of no length is in no line, by which `find /v ""` shows all of them.
    return bool(wanted) and (wanted.lower() in line.lower() if ignores_case else wanted in line)


def findstr(call: Call) -> Run:
    """Lines that hold one of several texts; a regular expression is taken for the words in it."""
    options, rest = switches(call.args)
    wanted = [options["c"]] if options.get("c") else rest.pop(0).split(" ") if rest else []
    if not wanted:
        return call.error("FINDSTR: Bad command line", 2)
    ignores_case = "i" in options
    simple = [_plain(text) for text in wanted]
    found_any = False
    for name, text in (yield from _inputs(call, rest)):
        call.shell.budget.work(_SEARCHED_COSTS * len(text) * len(simple))
        for number, line in enumerate(_lines(text), 1):
            if any(_fits(line, one, ignores_case=ignores_case) for one in simple) == ("v" in options):
                continue
            found_any = True
            prefix = f"{name}:" if len(rest) > 1 or "*" in "".join(rest) else ""
            call.line(f"{prefix}{f'{number}:' if 'n' in options else ''}{line}")
    return 0 if found_any else 1


def _plain(text: str) -> tuple[str, bool, bool]:
    """Return a pattern as (text, from the beginning, to the end); of `.*` between words the longest word counts."""
    start, end = text.startswith("^"), text.endswith("$")
    inner = text.strip("^$").replace("\\.", "\0").replace("\\\\", "\\")
    longest = max(inner.replace(".*", "\1").split("\1"), key=len)
    return longest.replace("\0", ".").strip("\\<>"), start, end


def _fits(line: str, wanted: tuple[str, bool, bool], *, ignores_case: bool) -> bool:
    text, start, end = wanted
    line, text = (line.lower(), text.lower()) if ignores_case else (line, text)
    if start and end:
        return line == text
    return line.startswith(text) if start else line.endswith(text) if end else text in line


def more(call: Call) -> Run:
    """Show text, all of it: nobody presses the bar."""
    _, paths = switches(call.args)
    for _, text in (yield from _inputs(call, paths)):
        call.out(text)
    return 0


def sort(call: Call) -> Run:
    """Sort lines."""
    options, paths = switches(call.args)
    for _, text in (yield from _inputs(call, paths[:1])):
        call.shell.budget.work(16 * len(text))
        for line in sorted(_lines(text), key=str.lower, reverse="r" in options):
            call.line(line)
    return 0


def clip(call: Call) -> Run:
    """Take text, and show nothing of it."""
    yield from call.input()
    return 0


def fc(call: Call) -> int:
    """Compare two files."""
    _, paths = switches(call.args)
    try:
        first, second = (call.read(path) for path in paths[:2])
    except (FileError, ValueError):
        return call.error("FC: cannot open a file - No such file or folder", 2)
    call.line(f"Comparing files {paths[0]} and {paths[1].upper()}")
    call.line("FC: no differences encountered\r\n" if first == second else "***** files are different\r\n")
    return int(first != second)


TABLE: dict[str, Command] = {"find": find, "findstr": findstr, "more": more, "sort": sort, "clip": clip, "fc": fc,
                             "comp": fc}  # fmt: skip
