"""What works on files: `copy`, `type`, `del`, `dir`, `cd`, `mkdir`, `move`, `ren`, `attrib` and their like."""

from __future__ import annotations

from collections.abc import Generator, Iterator

from eudaemon.world.files import Directory, FileError, Fixed, Node, Written
from eudaemon.world.outside import Downloaded
from eudaemon.world.shell.acts import Act
from eudaemon.world.windows.call import BROUGHT, Call, Command, Reading, Run, is_there, words
from eudaemon.world.windows.paths import DENIED, NO_FILE, NO_PATH, device, shown
from eudaemon.world.windows.tree import Image

_FREE_BYTES = 9_000_000_000


def _options(call: Call) -> tuple[set[str], list[str]]:
    """Return the `/x` options in small letters, without what follows a `:`, and the rest."""
    found, rest = set(), []
    for token in call.tokens:
        if token.startswith("/") and len(token) > 1:
            found.add(token[1:].partition(":")[0].lower())
        else:
            rest.append(token)
    return found, rest


def _matching(call: Call, path: str) -> list[bytes]:
    """Return the paths that a name, with or without `*`, means: those that are there."""
    if "*" in path or "?" in path:
        return list(call.shell.matching(path, call.scope.cwd))
    resolved = call.locate(path)
    return [resolved] if call.shell.files.find(resolved) is not None else []


# --- reading -----------------------------------------------------------------------------------------


def type_(call: Call) -> Run:
    """Show files."""
    _, paths = _options(call)
    if not paths:
        return call.error("The syntax of the command is incorrect.")
    for path in paths:
        if device(path):
            call.out((yield from _of_device(call, path)))
            continue
        several = len(paths) > 1 or "*" in path or "?" in path
        found = _matching(call, path)
        if not found:
            message = NO_FILE if not several else f"{NO_FILE}\r\nError occurred while processing: {path}."
            return call.error(message)
        for resolved in found:
            if several:
                call.error(f"\r\n{shown(resolved)}\r\n\r\n")
            call.out(call.read(shown(resolved)))
    return 0


def dir_(call: Call) -> int:
    """List a directory."""
    options, paths = _options(call)
    status = 0
    for path in paths or ["."]:
        status = _listed(call, path, options) or status
    return status


def _listed(call: Call, path: str, options: set[str]) -> int:
    files = call.shell.files
    bare = "b" in options
    place, name = path, "*"
    if "*" in path or "?" in path or not isinstance(call.shell.drives.find(path, call.scope.cwd), Directory):
        head, backslash, name = path.replace("/", "\\").rpartition("\\")
        place = head + "\\" if backslash else "."
    directory = call.locate(place)
    if not isinstance(files.find(directory), Directory):
        return call.error(NO_FILE if not bare else "File Not Found")
    found = list(call.shell.matching(shown(directory).rstrip("\\") + "\\" + name, call.scope.cwd))
    if bare:
        for entry in _tree(call, found) if "s" in options else found:
            is_directory = isinstance(files.find(entry), Directory)
            if not ("ad" in options and not is_directory) and not ("a-d" in options and is_directory):
                call.line(shown(entry) if "s" in options else entry.rpartition(b"/")[2].decode("latin-1"))
        return 0 if found else call.error("File Not Found")
    call.lines(f" Volume in drive C has no label.\n Volume Serial Number is {call.machine.volume_serial}\n\n"
               f" Directory of {shown(directory)}\n\n")  # fmt: skip
    if not found:
        return call.error("File Not Found")
    count = size = directories = 0
    rows: list[tuple[bytes, Node | None]] = [(entry.rpartition(b"/")[2], files.find(entry)) for entry in found]
    if name in ("*", "*.*") and directory.count(b"/") > 1:
        here = files.find(directory)
        rows = [(b".", here), (b"..", here), *rows]
    for entry_name, node in rows:
        when = call.machine.local(node.mtime_s if node is not None else 0.0)
        stamp = f"{when:%m/%d/%Y  %I:%M %p}"
        if isinstance(node, Directory):
            directories += 1
            call.line(f"{stamp}    <DIR>          {entry_name.decode('latin-1')}")
        else:
            count, size = count + 1, size + size_of(node)
            call.line(f"{stamp}    {size_of(node):>14,} {entry_name.decode('latin-1')}")
    free = _FREE_BYTES + call.machine.seed.number("free", 60_000_000_000) // 4096 * 4096
    call.lines(f"{count:>16} File(s) {size:>14,} bytes\n{directories:>16} Dir(s)  {free:,} bytes free\n")
    return 0


def _tree(call: Call, found: list[bytes]) -> Iterator[bytes]:
    waiting = list(reversed(found))
    while waiting:
        path = waiting.pop()
        call.shell.budget.step()
        yield path
        if isinstance(call.shell.files.find(path), Directory):
            waiting += [path + b"/" + name for name in reversed(call.shell.files.names(path))]


def size_of(node: Node | None) -> int:
    """Return a file's size in bytes, as `dir` shows it."""
    match node:
        case Image():
            return node.size
        case Written():
            return len(node.data) + node.missing
        case Fixed():
            return len(node.content) if isinstance(node.content, bytes) else 0
    return 0


# --- going about -------------------------------------------------------------------------------------


def cd(call: Call) -> int:
    """Show where we are, or go elsewhere."""
    text = call.tail.strip()
    if text[:2].lower() == "/d":
        text = text[2:].strip()
    text = text.strip('"').rstrip()
    if not text:
        call.line(shown(call.scope.cwd))
        return 0
    resolved = call.locate(text)
    node = call.shell.files.find(resolved)
    if node is None:
        return call.error(NO_PATH)
    if not isinstance(node, Directory):
        return call.error("The directory name is invalid.")
    call.scope.cwd = resolved
    return 0


def pushd(call: Call) -> int:
    """Go elsewhere, and remember."""
    before = call.scope.cwd
    status = cd(call)
    if status == 0 and call.tail.strip():
        call.scope.pushed = (*call.scope.pushed[-63:], before)
    return status


def popd(call: Call) -> int:
    """Go back."""
    if call.scope.pushed:
        *rest, call.scope.cwd = call.scope.pushed
        call.scope.pushed = tuple(rest)
        return 0
    return 1


# --- changing ----------------------------------------------------------------------------------------


def mkdir(call: Call) -> int:
    """Make directories, and those above them."""
    status = 0
    for path in call.tokens:
        parts = path.replace("/", "\\").rstrip("\\").split("\\")
        for end in range(1, len(parts) + 1):
            part = "\\".join(parts[:end])
            if not part or part.endswith(":"):
                continue
            resolved = call.locate(part)
            if call.shell.files.find(resolved) is None:
                call.shell.files.make_directory(resolved, call.at_s)
            elif end == len(parts):
                status = call.error(f"A subdirectory or file {path} already exists.")
    return status if call.tokens else call.error("The syntax of the command is incorrect.")


def rmdir(call: Call) -> Run:
    """Remove directories."""
    options, paths = _options(call)
    for path in paths:
        resolved = call.locate(path)
        if not isinstance(call.shell.files.find(resolved), Directory):
            return call.error(NO_FILE)
        if "s" in options:
            for entry in reversed(list(_tree(call, [resolved]))):
                yield from call.shell.keep_before(entry)
                call.shell.files.remove(entry)
        else:
            call.shell.files.remove(resolved)
    return 0


def del_(call: Call) -> Run:
    """Remove files; what is the attacker's is kept first."""
    options, paths = _options(call)
    if not paths:
        return call.error("The syntax of the command is incorrect.")
    for path in paths:
        found = _matching(call, path)
        if not found:
            call.error(
                f"Could Not Find {shown(call.scope.cwd)}\\{path}" if ":" not in path else f"Could Not Find {path}"
            )
        for resolved in found:
            node = call.shell.files.find(resolved)
            if isinstance(node, Directory):
                inside = list(call.shell.matching(shown(resolved) + "\\*", call.scope.cwd)) if "q" in options else []
                found += [entry for entry in inside if not isinstance(call.shell.files.find(entry), Directory)]
                continue
            if isinstance(node, Image):
                call.error(f"{shown(resolved)}\r\n{DENIED}")
                continue
            yield from call.shell.keep_before(resolved)
            call.shell.files.remove(resolved)
    return 0


def copy(call: Call) -> Run:
    """Copy files, and with `+` put them together."""
    sources, target = _copied(call)
    if not sources:
        return call.error("The syntax of the command is incorrect.")
    count = 0
    joined = bytearray()
    for path in sources:
        if path.startswith("\\\\"):
            name = path.rpartition("\\")[2]
            got = yield from call.fetch(_share(path), "copy", _into(call, target, name))
            if got.outcome not in BROUGHT:
                return call.error("The network path was not found.")
            count += 1
            continue
        found = [b"\0"] if device(path) else _matching(call, path)
        if not found:
            return call.error(NO_FILE)
        for resolved in found:
            if resolved == b"\0":
                count += 1
                joined += yield from _of_device(call, path)
                continue
            if isinstance(call.shell.files.find(resolved), Directory):
                found += list(call.shell.matching(shown(resolved) + "\\*", call.scope.cwd))
                continue
            if len(found) > 1 or len(sources) > 1:
                call.line(shown(resolved) if len(found) > 1 else path)
            count += 1
            if len(sources) > 1:
                joined += call.read(shown(resolved))
                call.shell.budget.work(len(joined) // 8)
                continue
            yield from duplicate(call, resolved, _into(call, target, resolved.rpartition(b"/")[2].decode("latin-1")))
    if len(sources) > 1 or device(sources[0]):
        last = sources[0].rpartition("\\")[2]
        yield from call.write(_into(call, target or last, last), bytes(joined))
    call.line(f"{count:>9} file(s) copied.")
    return 0


def _of_device(call: Call, path: str) -> Reading:
    """Read a device: what is typed at the console, until Ctrl-Z, and nothing of all others."""
    return (yield from call.input()) if device(path) == "con" else b""


def _copied(call: Call) -> tuple[list[str], str]:
    """Return the sources and the target of `copy /b a + b c`."""
    text = call.tail.replace("+", " + ")
    tokens = [word for word in words(text) if not (word[:1] == "/" and len(word) <= 3)]
    # `/b` may be glued to what is before it: `x.exe/b`.
    tokens = [word[:-2] if word[-2:].lower() in ("/b", "/y", "/a") and len(word) > 2 else word for word in tokens]
    tokens = [token for token in tokens if token]
    sources, at = tokens[:1], 1
    while at + 1 < len(tokens) and tokens[at] == "+":
        sources.append(tokens[at + 1])
        at += 2
    return sources, tokens[at] if at < len(tokens) else ""


def _share(path: str) -> str:
    from eudaemon.world.windows.programs import share_url

    return share_url(path)


def _into(call: Call, target: str, name: str) -> str:
    """Return the path of a file that is copied to `target`, which may be a directory, or nothing: here."""
    if not target:
        return name
    if isinstance(call.shell.drives.find(target, call.scope.cwd), Directory):
        return f"{target.rstrip(chr(92))}\\{name}"
    return target.replace("*", name)


def duplicate(call: Call, source: bytes, target: str) -> Generator[Act, Downloaded | None, None]:
    """Copy one file. A copy of one of Windows' own programs still is that program, and no artefact."""
    shell = call.shell
    node = shell.files.find(source)
    if not is_there(node):
        raise FileError(NO_FILE)
    data = call.read(shown(source))
    yield from call.write(target, data)
    if device(target):
        return
    path = call.locate(target)
    written = shell.files.find(path)
    if not isinstance(written, Written):
        return
    stem = source.rpartition(b"/")[2].decode("latin-1").lower().removesuffix(".exe")
    program = stem if isinstance(node, Image) else (shell.copies or {}).get(source)
    if program is not None:
        shell.copies = {**(shell.copies or {}), path: program}
    if isinstance(node, Fixed) or program is not None:
        written.kept = True
    elif isinstance(node, Written):
        written.kept, written.missing = node.kept, node.missing


def move(call: Call) -> Run:
    """Move files, or give a directory another name."""
    _, paths = _options(call)
    if len(paths) < 2:
        return call.error("The syntax of the command is incorrect.")
    found = _matching(call, paths[0])
    if not found:
        return call.error(NO_FILE)
    for resolved in found:
        yield from _moved(call, resolved, _into(call, paths[1], resolved.rpartition(b"/")[2].decode("latin-1")))
    call.line(f"{len(found):>9} file(s) moved." if len(found) > 1 else "        1 file(s) moved.")
    return 0


def ren(call: Call) -> Run:
    """Give a file another name."""
    _, paths = _options(call)
    if len(paths) < 2:
        return call.error("The syntax of the command is incorrect.")
    found = _matching(call, paths[0])
    if not found:
        return call.error(NO_FILE)
    for resolved in found[:1]:
        directory = shown(resolved.rpartition(b"/")[0]).rstrip("\\")
        target = f"{directory}\\{paths[1].rpartition(chr(92))[2]}"
        if call.shell.drives.find(target, call.scope.cwd) is not None:
            return call.error("A duplicate file name exists, or the file\r\ncannot be found.")
        yield from _moved(call, resolved, target)
    return 0


def _moved(call: Call, source: bytes, target: str) -> Generator[Act, Downloaded | None, None]:
    shell = call.shell
    path = call.locate(target)
    if path == source:
        return
    node = shell.files.find(source)
    if isinstance(node, Written):
        yield from shell.keep_before(path)
        if shell.files.find(path) is not None:
            shell.files.remove(path)
        shell.files.place(path, shell.files.take_away(source))
        if shell.copies and source in shell.copies:
            shell.copies = {**shell.copies, path: shell.copies[source]}
        return
    if isinstance(node, Directory):
        if shell.files.names(source):
            raise FileError(DENIED)
        shell.files.make_directory(path, call.at_s)
        shell.files.remove(source)
        return
    yield from duplicate(call, source, target)
    shell.files.remove(source)


def attrib(call: Call) -> int:
    """Set attributes, which nobody checks, or show them."""
    rest = [arg for arg in call.args if arg[:1] not in "+-/"]
    if any(arg[:1] in ("+", "-") for arg in call.args):
        if rest and not _matching(call, rest[0]):
            return call.error(f"File not found - {rest[0]}")
        return 0
    for path in _matching(call, rest[0] if rest else "*"):
        if not isinstance(call.shell.files.find(path), Directory):
            call.line(f"A            {shown(path)}")
    return 0


def xcopy(call: Call) -> Run:
    """Copy files and directories."""
    options, paths = _options(call)
    if not paths:
        return call.error("Invalid number of parameters", 4)
    target = paths[1] if len(paths) > 1 else "."
    count = 0
    if "i" in options and call.shell.drives.find(target, call.scope.cwd) is None:
        call.shell.files.make_directory(call.locate(target), call.at_s)
    for resolved in _matching(call, paths[0]):
        if is_there(call.shell.files.find(resolved)):
            yield from duplicate(call, resolved, _into(call, target, resolved.rpartition(b"/")[2].decode("latin-1")))
            call.line(shown(resolved))
            count += 1
    call.line(f"{count} File(s) copied")
    return 0 if count else call.error(f"File not found - {paths[0]}", 4)


def expand(call: Call) -> Run:
    """Copy: what is packed stays packed."""
    paths = [arg for arg in call.args if arg[:1] not in "/-"]
    if len(paths) < 2:
        return call.error("Microsoft (R) File Expansion Utility\r\n\r\nNo destination specified for: "
                          f"{paths[0] if paths else ''}.")  # fmt: skip
    if paths[0].startswith("\\\\"):
        got = yield from call.fetch(_share(paths[0]), call.name, paths[1])
        return 0 if got.outcome in BROUGHT else call.error("The network path was not found.")
    yield from duplicate(call, call.locate(paths[0]), _into(call, paths[1], paths[0].rpartition("\\")[2]))
    return 0


def mklink(call: Call) -> int:
    """Nobody follows links here."""
    _, paths = _options(call)
    return call.error("The syntax of the command is incorrect.") if len(paths) < 2 else 0


INTERNAL: dict[str, Command] = {
    "type": type_, "dir": dir_, "cd": cd, "chdir": cd, "pushd": pushd, "popd": popd, "md": mkdir, "mkdir": mkdir,
    "rd": rmdir, "rmdir": rmdir, "del": del_, "erase": del_, "copy": copy, "move": move, "ren": ren, "rename": ren,
    "mklink": mklink,
}  # fmt: skip
PROGRAMS: dict[str, Command] = {"attrib": attrib, "xcopy": xcopy, "robocopy": xcopy, "expand": expand,
                                "extrac32": expand, "makecab": expand}  # fmt: skip
