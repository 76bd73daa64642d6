"""PowerShell's cmdlets for files and folders. Where cmd.exe has a command for it, that one does it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eudaemon.world.files import Directory, FileError
from eudaemon.world.shell.streams import Pipe
from eudaemon.world.windows.paths import NO_PATH, shown, words_of
from eudaemon.world.windows.powershell.given import Cmdlet, Given, Values, printed, rows
from eudaemon.world.windows.powershell.members import append, read, write
from eudaemon.world.windows.powershell.values import items, listed, octets, text, unwrapped

if TYPE_CHECKING:
    from eudaemon.world.windows.powershell.evaluator import Evaluator


def _set_content(evaluator: Evaluator, given: Given) -> Values:
    if "append" in given.named:
        return (yield from _add_content(evaluator, given))
    yield from write(evaluator, _path(given), _bytes(given))
    return []


def _add_content(evaluator: Evaluator, given: Given) -> Values:
    yield from ()
    append(evaluator, _path(given), _bytes(given))
    return []


def _path(given: Given) -> str:
    return text(given.get("path", "filepath", "literalpath", at=0))


def _bytes(given: Given) -> bytes:
    """Return what is to be written: bytes as they are, anything else as lines."""
    value = given.get("value", "inputobject", at=1)
    value = given.piped if value is None else value
    if isinstance(value, bytearray) or text(given.get("encoding")).lower() == "byte" or "asbytestream" in given.named:
        return bytes(octets(unwrapped(value) if isinstance(value, list) and len(value) == 1 else value))
    return "".join(f"{line}\r\n" for line in printed(items(value))).encode("latin-1", "replace")


def _get_content(evaluator: Evaluator, given: Given) -> Values:
    yield from ()
    path = text(given.get("path", "literalpath", at=0))
    data = read(evaluator, path)
    if text(given.get("encoding")).lower() == "byte" or "asbytestream" in given.named:
        return [bytearray(data)]
    lines = data.decode("latin-1").replace("\r\n", "\n").removesuffix("\n")
    return [lines] if "raw" in given.named else listed(list(lines.split("\n"))) if lines else []


def _cmd(line: str, places: int) -> Cmdlet:
    """Return a cmdlet that is one of cmd.exe's commands with other names for its arguments."""

    def run(evaluator: Evaluator, given: Given) -> Values:
        named = [given.get("path", "literalpath", "name", at=0), given.get("destination", "newname", "itemtype", at=1)]
        arguments = " ".join(f'"{text(item)}"' for value in named[:places] for item in items(value)[:16])
        call = evaluator.call
        pipe = Pipe(call.shell.budget, call.shell.purse)
        command, _, options = line.partition(" ")
        tail = f" {options} {arguments}".encode("latin-1", "replace").decode("latin-1")
        try:
            yield from call.shell.evaluator.command(command, tail, call.scope, {**call.streams, 1: pipe})
            shown_lines = bytes(pipe.data).decode("latin-1").replace("\r\n", "\n").removesuffix("\n")
        except FileError as error:
            call.error(words_of(error))
            shown_lines = ""
        finally:
            pipe.release()
        return shown_lines.split("\n") if shown_lines and command in ("dir", "cd", "tasklist") else []

    return run


def _new_item(evaluator: Evaluator, given: Given) -> Values:
    path = text(given.get("path", "name", at=0))
    if text(given.get("itemtype", "type")).lower().startswith("d"):
        return (yield from _cmd("mkdir", 1)(evaluator, given))
    if ":" not in path[2:] and not path.lower().startswith("hk"):
        yield from write(evaluator, path, text(given.get("value")).encode("latin-1", "replace"))
    return []


def _test_path(evaluator: Evaluator, given: Given) -> Values:
    yield from ()
    return [evaluator.call.shell.drives.find(text(given.get("path", at=0)), evaluator.call.scope.cwd) is not None]


def _join_path(evaluator: Evaluator, given: Given) -> Values:  # noqa: ARG001
    yield from ()
    first, second = text(given.get("path", at=0)), text(given.get("childpath", at=1))
    return [f"{first.rstrip(chr(92))}\\{second.lstrip(chr(92))}"]


def _set_location(evaluator: Evaluator, given: Given) -> Values:
    yield from ()
    call = evaluator.call
    try:
        where = call.locate(text(given.get("path", at=0)) or ".")
    except FileError:
        where = b""
    if isinstance(call.shell.files.find(where) if where else None, Directory):
        call.scope.cwd = where
    else:
        call.error(NO_PATH)
    return []


def _location(evaluator: Evaluator, given: Given) -> Values:  # noqa: ARG001
    yield from ()
    return [shown(evaluator.call.scope.cwd)]


FILES: dict[str, Cmdlet] = rows(
    ("set-content out-file", _set_content), ("add-content ac", _add_content), ("get-content gc cat type", _get_content),
    ("new-item ni", _new_item), ("mkdir md", _cmd("mkdir", 1)), ("remove-item rm del erase ri rd", _cmd("del /q", 1)),
    ("copy-item cp copy cpi", _cmd("copy /y", 2)), ("move-item mv move mi", _cmd("move /y", 2)),
    ("rename-item ren rni", _cmd("ren", 2)), ("get-childitem gci ls dir", _cmd("dir", 1)),
    ("test-path", _test_path), ("join-path", _join_path), ("set-location cd chdir sl", _set_location),
    ("get-location pwd gl", _location),
)  # fmt: skip
