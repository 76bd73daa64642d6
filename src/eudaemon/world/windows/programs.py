"""Files that are run: nothing of them is executed. A batch file or script is read, a program is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eudaemon.world.files import Directory, Fixed, Node, Written
from eudaemon.world.shell.streams import Stream, content
from eudaemon.world.windows.batch import Batch
from eudaemon.world.windows.call import Call, Run, words
from eudaemon.world.windows.commands import PROGRAMS
from eudaemon.world.windows.paths import NO_DRIVE, NO_PATH, shown
from eudaemon.world.windows.tree import Image, has_program

if TYPE_CHECKING:
    from eudaemon.world.windows.engine import CommandShell
    from eudaemon.world.windows.evaluator import Evaluator, Streams
    from eudaemon.world.windows.scope import Scope

_ENDINGS = (".com", ".exe", ".bat", ".cmd", ".vbs", ".vbe", ".js", ".jse", ".wsf")
_BATCH = (".bat", ".cmd")
_SCRIPTS = (".vbs", ".vbe", ".js", ".jse", ".wsf")
UNKNOWN = 9009
_LOOKUP_COSTS = 1024  # bytes worked on: a directory is gone through for each ending that a name may have
# What Windows has, but where only a whole path leads to it.
_ELSEWHERE = frozenset(("regasm", "regsvcs", "installutil", "msbuild", "csc", "iexplore"))


def execute(evaluator: Evaluator, name: str, tail: str, scope: Scope, streams: Streams) -> Run:
    """Pretend to run what a name means; return its exit code."""
    shell = evaluator.shell
    if len(name) == 2 and name[1] == ":" and name[0].isalpha():
        return 0 if name[0] in "cC" else Call(shell, scope, streams, name, "").error(NO_DRIVE)
    if name.startswith("\\\\"):
        return (yield from _from_share(shell, name, scope, streams))
    found = find(shell, name, scope)
    if isinstance(found, str):
        return (yield from evaluator.command(found, tail, scope, streams))
    if found is None:
        return _not_found(name, shell, scope, streams)
    return (yield from run_file(evaluator, found, name, tail, scope, streams))


def find(shell: CommandShell, name: str, scope: Scope) -> str | bytes | None:
    """Return what a name means: a command of the table, the path of a file, or nothing."""
    base = name.replace("/", "\\").rpartition("\\")[2].lower()
    stem = base.removesuffix(".exe").removesuffix(".com")
    has_path = "\\" in name or "/" in name or ":" in name
    for directory in (scope.cwd,) if has_path else (scope.cwd, b"/C/Windows/System32", b"/C/Windows"):
        for ending in ("", *_ENDINGS) if directory == scope.cwd or not stem.isalnum() else ("", ".exe", ".bat", ".cmd"):
            shell.budget.work(_LOOKUP_COSTS)
            node = shell.drives.find(name + ending, directory)
            if node is None or isinstance(node, Directory):
                continue
            path = shell.drives.locate(name + ending, directory)
            if isinstance(node, Image) and stem in PROGRAMS:
                return stem
            copied = shell.copies.get(path) if shell.copies and isinstance(node, Written) else None
            if copied in PROGRAMS:  # any other file of the system's runs as a file
                return copied
            if ending or "." in base or isinstance(node, Image):
                return path
        is_known = directory == scope.cwd and not has_path and stem in PROGRAMS and stem not in _ELSEWHERE
        if is_known and has_program(shell.machine, f"{stem}.exe"):
            return stem
    if has_path and stem in PROGRAMS and "\\windows\\" in name.lower().replace("/", "\\"):
        return stem  # SysWOW64 and Sysnative, where the tree has no file of that name
    return None


def _not_found(name: str, shell: CommandShell, scope: Scope, streams: Streams) -> int:
    place = name.replace("/", "\\").rpartition("\\")[0]
    message = f"'{name}' is not recognized as an internal or external command,\r\noperable program or batch file."
    if place and shell.drives.find(place + "\\", scope.cwd) is None:
        message = NO_PATH
    streams.get(2, Stream()).write(f"{message}\r\n".encode("latin-1", "replace"))
    return UNKNOWN if message is not NO_PATH else 1


def run_file(evaluator: Evaluator, path: bytes, name: str, tail: str, scope: Scope, streams: Streams) -> Run:
    """Pretend to run the file at a resolved path. What the attacker made is kept first."""
    shell = evaluator.shell
    node = shell.files.find(path)
    data = _bytes(node, shell)
    ending = "." + path.decode("latin-1").lower().rpartition(".")[2]
    is_script = ending in _BATCH or ending in _SCRIPTS
    if isinstance(node, Written):
        yield from shell.keep(path, node, script=is_script)
    shell.budget.work(len(data))
    if ending in _BATCH:
        batch = Batch.read(data, (name, *words(tail)), shown(path))
        if scope.batch is not None:  # a batch file that is not called does not come back
            scope.batch.at = len(scope.batch.lines)
        return (yield from evaluator.batch(batch, scope, streams))
    if ending in _SCRIPTS:
        call = Call(shell, scope, streams, "wscript", f'"{shown(path)}" {tail}')
        return (yield from evaluator.command("wscript", call.tail, scope, streams))
    if data and data[:2] != b"MZ" and ending in (".exe", ".scr", ".com", ".pif") and not getattr(node, "missing", 0):
        call = Call(shell, scope, streams, name, tail)
        return call.error(f"This version of {shown(path)} is not compatible with the version of Windows you're "
                          "running. Check your computer's system information and then contact the software "
                          "publisher.", 216)  # fmt: skip
    return 0


def _bytes(node: Node | None, shell: CommandShell) -> bytes:
    return content(node, shell.at_s) if isinstance(node, Fixed | Written) else b""


def _from_share(shell: CommandShell, name: str, scope: Scope, streams: Streams) -> Run:
    """Run a program from somebody's share: `\\\\198.51.100.7\\x\\a.exe`."""
    got = yield from shell.download(share_url(name), "smb", name.rpartition("\\")[2].encode("latin-1", "replace"))
    if got.outcome in ("ok", "partial"):
        return 0
    return Call(shell, scope, streams, name, "").error("The network path was not found.", 53)


def share_url(path: str) -> str:
    """Return a path on somebody's share as a URL, by WebDAV where it names a port, as Windows has it."""
    host, _, rest = path.strip('"').strip("\\").partition("\\")
    name, at, port = host.partition("@")
    where = rest.replace("\\", "/").removeprefix("DavWWWRoot/")
    if at:
        scheme = "https" if port.upper().startswith("SSL") else "http"
        digits = "".join(char for char in port if char.isdecimal())
        return f"{scheme}://{name}{':' + digits if digits else ''}/{where}"
    return f"smb://{name}/{where}"
