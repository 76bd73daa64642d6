"""What is there: `ls`, `find`, `df`, `du`, `mount`, `stat`, `which`, `free`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from eudaemon.world.files import Device, Directory, FileError, Files, Link, Node, content_size
from eudaemon.world.kernel import memory, usage_kb
from eudaemon.world.shell import patterns
from eudaemon.world.shell.budget import Budget
from eudaemon.world.shell.call import Applet, Call, Run, number, options, text

_FOUND_MAX = 8192
_COLUMNS = 80


def ls(call: Call) -> int:
    """List files: names in columns on a terminal, one a line otherwise, with `-l` in full."""
    given, paths = options(call.args)
    status = 0
    several = len(paths) > 1
    directories: list[bytes] = []
    plain: list[tuple[bytes, bytes]] = []
    for shown in paths or [b"."]:
        try:
            path = call.resolve(shown, follow="l" not in given)
            if isinstance(call.files.get(path, follow=False), Directory) and "d" not in given:
                directories.append(shown)
            else:
                plain.append((shown, path))
        except FileError as error:
            status = call.error(f"{text(shown)}: {error}")
    _list(call, plain, given)
    for shown in directories:
        if several:
            call.out(shown + b":\n")
        path = call.resolve(shown)
        names = call.files.names(path)
        if "a" in given:
            names = [b".", b"..", *names]
        elif "A" not in given:
            names = [name for name in names if name[:1] != b"."]
        call.shell.budget.work(64 * len(names))
        _list(call, [(name, path.rstrip(b"/") + b"/" + name) for name in names], given)
    return status


def _list(call: Call, entries: list[tuple[bytes, bytes]], given: dict[str, bytes]) -> None:
    if "l" in given:
        for shown, path in entries:
            call.out(_row(call, shown, path))
        return
    if "1" in given or not call.on_terminal or not entries:
        call.out(b"".join(shown + b"\n" for shown, _ in entries))
        return
    width = max(len(shown) for shown, _ in entries) + 2
    per_row = max(1, _COLUMNS // width)
    rows = -(-len(entries) // per_row)
    for row in range(rows):
        call.out(b"".join(shown.ljust(width) for shown, _ in entries[row::rows]).rstrip() + b"\n")


def _row(call: Call, shown: bytes, path: bytes) -> bytes:
    node = call.files.find(path, follow=False)
    if node is None:
        return b""
    when = datetime.fromtimestamp(getattr(node, "mtime_s", 0.0) or call.at_s, UTC)
    recent = abs(call.at_s - when.timestamp()) < 180 * 86_400
    date = f"{when:%b} {when.day:>2} " + (f"{when:%H:%M}" if recent else f" {when.year}")
    size = "  1,   3" if isinstance(node, Device) else f"{content_size(node, call.at_s):>9}"
    arrow = b" -> " + node.target if isinstance(node, Link) else b""
    links = 2 if isinstance(node, Directory) else 1
    return f"{letters(node)} {links:>4} root     root     {size:>9} {date} ".encode() + shown + arrow + b"\n"


def letters(node: Node) -> str:
    """Return type and mode as `ls -l` writes them: `drwxr-xr-x`."""
    kind = "-"
    match node:
        case Directory():
            kind = "d"
        case Link():
            kind = "l"
        case Device():
            kind = "b" if node.block else "c"
    bits = "".join(letter if node.mode >> (8 - index) & 1 else "-" for index, letter in enumerate("rwxrwxrwx"))
    return kind + (bits[:-1] + "t" if node.mode & 0o1000 else bits)


def walk(files: Files, path: bytes) -> Iterator[tuple[bytes, Node]]:
    """Yield what lies at and below a resolved path, at most `_FOUND_MAX` entries."""
    waiting = [path]
    for _ in range(_FOUND_MAX):
        if not waiting:
            return
        here = waiting.pop()
        node = files.find(here, follow=False)
        if node is None:
            continue
        yield here, node
        if isinstance(node, Directory):
            waiting += [here.rstrip(b"/") + b"/" + name for name in reversed(files.names(here))]


def find(call: Call) -> Run:
    """`find path… [-name pattern] [-type t] [-exec command {} ;]`."""
    args = call.args
    first = next((at for at, argument in enumerate(args) if argument[:1] in (b"-", b"(", b"!")), len(args))
    tests = {args[at]: args[at + 1] for at in range(first, len(args) - 1) if args[at] in _FIND_TESTS}
    command: list[bytes] = []
    if b"-exec" in args:
        command = args[args.index(b"-exec") + 1 :]
        command = command[: next((at for at, part in enumerate(command) if part in (b";", b"+")), len(command))]
    depth_max = number(tests.get(b"-maxdepth", b""), 64)
    status = 0
    for shown in args[:first] or [b"."]:
        try:
            root = call.resolve(shown)
            call.files.get(root)
        except FileError as error:
            status = call.error(f"{text(shown)}: {error}")
            continue
        for path, node in walk(call.files, root):
            call.shell.budget.step()
            below = path[len(root.rstrip(b"/")) :]
            if below.count(b"/") > depth_max or not _wanted(tests, path, node, call.shell.budget):
                continue
            name = shown.rstrip(b"/") + below if below else shown
            if command:
                filled = [name if part == b"{}" else part for part in command]
                status = yield from call.shell.evaluator.call(filled, call.scope, call.streams)
            elif b"-delete" in args:
                yield from call.shell.keep_before(path)
                call.files.remove(path)
            else:
                call.out(name + b"\n")
    return status


_FIND_TESTS = frozenset((b"-name", b"-iname", b"-type", b"-perm", b"-maxdepth", b"-path", b"-size", b"-user"))


def _wanted(tests: dict[bytes, bytes], path: bytes, node: Node, budget: Budget) -> bool:
    name = path.rpartition(b"/")[2] or b"/"
    if b"-name" in tests and not patterns.matches(tests[b"-name"], name, budget):
        return False
    if b"-iname" in tests and not patterns.matches(tests[b"-iname"].lower(), name.lower(), budget):
        return False
    if b"-path" in tests and not patterns.matches(tests[b"-path"], path, budget):
        return False
    kind = letters(node)[0].replace("-", "f").encode()
    return b"-type" not in tests or tests[b"-type"] == kind


def mount(call: Call) -> int:
    """Show the mounts; mounting works."""
    if call.args:
        return 0
    for row in call.host.mounts:
        device, path, kind, flags, *_ = row.split(" ")
        call.line(f"{device} on {path} type {kind} ({flags})")
    return 0


def df(call: Call) -> int:
    """Show the space on each mount."""
    given, _ = options(call.args)
    call.line("Filesystem                Size      Used Available Use% Mounted on" if "h" in given else
              "Filesystem           1K-blocks      Used Available Use% Mounted on")  # fmt: skip
    for row in call.host.mounts:
        device, path, kind, flags, *_ = row.split(" ")
        if kind in ("proc", "sysfs", "devpts", "rootfs"):
            continue
        size, used = usage_kb(call.host, device, path, kind, flags)
        if "h" in given:
            shown = f"{size / 1024:>9.1f}M {used / 1024:>8.1f}M {(size - used) / 1024:>8.1f}M"
        else:
            shown = f"{size:>10} {used:>9} {size - used:>9}"
        call.line(f"{device:<20} {shown} {100 * used // max(1, size):>3}% {path}")
    return 0


def du(call: Call) -> int:
    """Show how much a directory holds."""
    _, paths = options(call.args, "d")
    for shown in paths or [b"."]:
        try:
            total = sum(content_size(node, call.at_s) for _, node in walk(call.files, call.resolve(shown)))
        except FileError as error:
            return call.error(f"{text(shown)}: {error}")
        call.out(b"%d\t%s\n" % (-(-total // 1024), shown))
    return 0


def stat(call: Call) -> int:
    """Show what is known of a file."""
    given, paths = options(call.args, "c")
    status = 0
    for shown in paths:
        try:
            node = call.files.get(shown, call.scope.cwd, follow=False)
        except FileError as error:
            status = call.error(f"can't stat '{text(shown)}': {error}")
            continue
        size = content_size(node, call.at_s)
        if "c" in given:
            mode = f"{node.mode & 0o7777:o}"
            form = given["c"].replace(b"%s", b"%d" % size).replace(b"%n", shown).replace(b"%a", mode.encode())
            call.out(form + b"\n")
            continue
        call.out(b"  File: " + shown + b"\n")
        call.line(f"  Size: {size}\tBlocks: {-(-size // 512)}\tIO Block: 4096")
        call.line(f"Access: ({node.mode & 0o7777:04o}/{letters(node)})  Uid: (    0/    root)   Gid: (    0/    root)")
    return status


def which(call: Call) -> int:
    """`which`, `whereis`."""
    status = 0
    for name in call.args:
        path = call.shell.which(name)
        if path is None:
            status = 1
        else:
            call.out(path + b"\n")
    return status


def free(call: Call) -> int:
    """Show the memory."""
    total, left, buffers, cached = memory(call.host, call.at_s)
    used = total - left
    call.line("             total         used         free       shared      buffers")
    call.line(f"Mem:  {total:>12} {used:>12} {left:>12} {0:>12} {buffers:>12}")
    call.line(f"-/+ buffers: {used - buffers - cached:>18} {left + buffers + cached:>12}")
    call.line(f"Swap: {0:>12} {0:>12} {0:>12}")
    return 0


TABLE: dict[str, Applet] = {
    "ls": ls, "dir": ls, "find": find, "mount": mount, "df": df, "du": du, "stat": stat, "which": which,
    "whereis": which, "free": free,
}  # fmt: skip
