"""Files: `cat`, `cp`, `dd`, `rm`, `chmod` and their like. What the attacker wrote is kept before it goes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from eudaemon.world.files import Device, Directory, FileError, Fixed, Link, Written
from eudaemon.world.shell.acts import Kept
from eudaemon.world.shell.call import Applet, Call, Run, cannot_open, number, options, text
from eudaemon.world.shell.streams import Output, content

_TREE_MAX = 4096  # entries that one recursive command touches


def cat(call: Call) -> Run:
    """Write files one after the other."""
    _, paths = options(call.args)
    status = 0
    for path in paths or [b"-"]:
        try:
            if path == b"-":
                yield from call.pour(call.out)
            else:
                call.out((yield from call.read(path)))
        except FileError as error:
            shown = f"read error: {error}" if str(error) == "Is a directory" else cannot_open(path, error)
            status = call.error(shown)
    return status


def copy(call: Call) -> Run:
    """`cp`."""
    _, paths = options(call.args)
    if len(paths) < 2:
        return _usage(call, "cp [OPTIONS] SOURCE... DEST")
    status = 0
    for source in paths[:-1]:
        try:
            node = call.files.get(source, call.scope.cwd)
            if isinstance(node, Directory):
                status = call.error(f"omitting directory '{text(source)}'")
                continue
            target = _into(call, paths[-1], source)
            yield from call.shell.keep_before(target)
            data = content(node, call.at_s) if isinstance(node, Fixed | Written) else b""
            call.shell.budget.work(len(data))
            file = call.shell.open_for_writing(target)
            if file is None:
                continue
            call.files.append(file, data, call.at_s)
            file.mode = node.mode
            file.kept = not isinstance(node, Written) or node.kept
            file.missing = node.missing if isinstance(node, Written) else 0
        except FileError as error:
            missing = call.files.find(source, call.scope.cwd) is None
            what = f"can't stat '{text(source)}'" if missing else f"can't create '{text(paths[-1])}'"
            status = call.error(f"{what}: {error}")
    return status


def move(call: Call) -> Run:
    """`mv`."""
    _, paths = options(call.args)
    if len(paths) < 2:
        return _usage(call, "mv [-fin] SOURCE... DEST")
    status = 0
    for source in paths[:-1]:
        try:
            path = call.resolve(source, follow=False)
            node = call.files.get(path, follow=False)
            if isinstance(node, Directory):
                status = call.error(f"can't rename '{text(source)}': Invalid argument")
                continue
            target = _into(call, paths[-1], source)
            if target == path:
                continue
            yield from call.shell.keep_before(target)
            if call.files.find(target) is not None:
                call.files.remove(target)
            node = call.files.take_away(path)
            call.files.place(target, node)
        except FileError as error:
            status = call.error(f"can't rename '{text(source)}': {error}")
    return status


def _into(call: Call, target: bytes, source: bytes) -> bytes:
    """Return the resolved path that `source` gets, copied to `target`."""
    path = call.resolve(target)
    if isinstance(call.files.find(path), Directory):
        return path.rstrip(b"/") + b"/" + source.rstrip(b"/").rpartition(b"/")[2]
    return path


def remove(call: Call) -> Run:
    """`rm`."""
    given, paths = options(call.args)
    recursive = bool(given.keys() & {"r", "R", "recursive"})
    forced = "f" in given
    status = 0
    for shown in paths:
        try:
            path = call.resolve(shown, follow=False)
            node = call.files.get(path, follow=False)
            if isinstance(node, Directory) and not recursive:
                raise FileError("Is a directory")
            if path == b"/" or shown.rpartition(b"/")[2] in (b".", b".."):
                continue
            for below in reversed(list(_tree(call, path))):
                yield from call.shell.keep_before(below)
                call.files.remove(below)
        except FileError as error:
            if not (forced and str(error) == "No such file or directory"):
                status = call.error(f"can't remove '{text(shown)}': {error}")
    return status


def _tree(call: Call, path: bytes) -> list[bytes]:
    found = [path]
    for above in found:
        call.shell.budget.step()
        node = call.files.find(above, follow=False)
        if isinstance(node, Directory) and len(found) < _TREE_MAX:
            found += [above.rstrip(b"/") + b"/" + name for name in call.files.names(above)]
    return found


def make_directory(call: Call) -> int:
    """`mkdir`."""
    given, paths = options(call.args, "m")
    status = 0
    for shown in paths:
        try:
            if "p" in given:
                make_path(call, shown)
            else:
                call.files.make_directory(call.resolve(shown), call.at_s)
        except FileError as error:
            status = call.error(f"can't create directory '{text(shown)}': {error}")
    return status


def make_path(call: Call, shown: bytes) -> None:
    """Make a directory and those above it, as far as they are not there. Raises `FileError`."""
    at = b"/" if shown[:1] == b"/" else b""
    for part in shown.split(b"/")[:64]:
        if part:
            at = at + part if at in (b"", b"/") else at + b"/" + part
            if call.files.find(at, call.scope.cwd) is None:
                call.files.make_directory(call.resolve(at), call.at_s)


def remove_directory(call: Call) -> int:
    """`rmdir`."""
    _, paths = options(call.args)
    status = 0
    for shown in paths:
        try:
            path = call.resolve(shown)
            if not isinstance(call.files.get(path), Directory):
                raise FileError("Not a directory")
            call.files.remove(path)
        except FileError as error:
            status = call.error(f"'{text(shown)}': {error}")
    return status


def touch(call: Call) -> int:
    """Make empty files."""
    given, paths = options(call.args, "drt")
    status = 0
    for shown in paths:
        try:
            path = call.resolve(shown)
            if call.files.find(path) is None and "c" not in given:
                call.files.create(path, call.at_s)
        except FileError as error:
            status = call.error(f"{text(shown)}: {error}")
    return status


def make_temporary(call: Call) -> int:
    """`mktemp [-d] [-p DIR] [TEMPLATE]`."""
    given, rest = options(call.args, "p")
    folder = given.get("p") or call.scope.variables.get(b"TMPDIR", b"/tmp")
    wanted = rest[0] if rest else folder.rstrip(b"/") + b"/tmp." + b"X" * 6
    wanted = folder.rstrip(b"/") + b"/" + wanted if "t" in given and b"/" not in wanted else wanted
    stem = wanted.rstrip(b"X")
    if len(wanted) - len(stem) < 3:
        return call.error(f"Invalid argument: {text(wanted)}" if rest else "Invalid argument")
    letters = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    name = stem + bytes(letters[call.shell.random(len(letters))] for _ in range(min(len(wanted) - len(stem), 16)))
    try:
        if "d" in given:
            call.files.make_directory(call.resolve(name), call.at_s, 0o700)
        elif "u" not in given:
            call.shell.create(call.resolve(name)).mode = 0o600
    except FileError as error:
        return call.error(f"(null): {error}")
    call.out(name + b"\n")
    return 0


def link(call: Call) -> Run:
    """`ln`."""
    given, paths = options(call.args)
    if len(paths) < 2:
        return call.error("missing operand")
    try:
        target = _into(call, paths[-1], paths[0])
        if "f" in given and call.files.find(target, follow=False) is not None:
            call.files.remove(target)
        if "s" in given:
            call.files.make_link(target, paths[0], call.at_s)
        else:
            data = yield from call.read(paths[0])
            call.files.append(call.files.create(target, call.at_s, 0o755), data, call.at_s)
    except FileError as error:
        return call.error(f"{text(paths[-1])}: {error}")
    return 0


def change_mode(call: Call) -> int:
    """`chmod`."""
    args = [argument for argument in call.args if argument not in (b"-R", b"-f", b"-v")]
    if len(args) < 2:
        return _usage(call, "chmod [-Rcvf] MODE[,MODE]... FILE...")
    status = 0
    for shown in args[1:]:
        try:
            path = call.resolve(shown)
            node = call.files.get(path)
            if isinstance(node, Written):
                node.mode = _mode(args[0], node.mode)
            elif not call.files.writable(path):
                raise FileError("Read-only file system")
        except FileError as error:
            status = call.error(f"{text(shown)}: {error}")
    return status


def _mode(wanted: bytes, mode: int) -> int:
    if wanted and not wanted.strip(b"01234567"):
        return int(wanted[-4:], 8)
    for clause in wanted.split(b","):
        letters = clause.lstrip(b"ugoa")
        who = clause[: len(clause) - len(letters)] or b"a"
        mask = 0
        for letter, bits in ((b"u", 0o700), (b"g", 0o070), (b"o", 0o007)):
            mask |= bits if letter in who or b"a" in who else 0
        bits = (
            sum(value for letter, value in ((b"r", 0o444), (b"w", 0o222), (b"x", 0o111)) if letter in letters[1:])
            & mask
        )
        match letters[:1]:
            case b"+":
                mode |= bits
            case b"-":
                mode &= ~bits
            case b"=":
                mode = mode & ~mask | bits
    return mode


def change_owner(call: Call) -> int:
    """`chown`, `chgrp`: everything belongs to root and stays so."""
    status = 0
    for shown in [argument for argument in call.args if argument[:1] != b"-"][1:]:
        if call.files.find(shown, call.scope.cwd) is None:
            status = call.error(f"{text(shown)}: No such file or directory")
    return status


def dd(call: Call) -> Run:
    """Copy blocks; `seek`, `conv=notrunc` and `oflag=append` are how a file is written piece by piece."""
    given = {text(name): value for name, _, value in (argument.partition(b"=") for argument in call.args)}
    size = _size(given.get("bs", given.get("ibs", b"512")))
    count = _size(given["count"]) if "count" in given else -1
    skip = _size(given.get("skip", b"0")) * size
    try:
        data = (yield from call.read(given.get("if", b"-"), skip + count * size if count >= 0 else -1))[skip:]
        if "of" in given:
            yield from _put(call, given, data)
        else:
            call.out(data)
    except FileError as error:
        return call.error(cannot_open(given.get("if", given.get("of", b"")), error))
    whole, part = divmod(len(data), max(1, size))
    call.say(f"{whole}+{int(part > 0)} records in\n{whole}+{int(part > 0)} records out\n")
    return 0


def _put(call: Call, given: dict[str, bytes], data: bytes) -> Iterator[Kept]:
    """Write where dd's `of` says; what that takes away of the file is kept before. Raises `FileError`."""
    path = call.resolve(given["of"])
    if isinstance(call.files.find(path), Device):
        return
    file = call.shell.create(path)
    size = _size(given.get("bs", given.get("obs", b"512")))
    at = _size(given.get("seek", given.get("oseek", b"0"))) * size
    at = len(file.data) if b"append" in given.get("oflag", b"") else at
    if at < len(file.data):
        yield from call.shell.keep_before(path)
    call.shell.budget.work(max(0, at - len(file.data)) + len(data))
    if b"notrunc" not in given.get("conv", b""):
        call.files.truncate(file, at)
    call.files.write(file, at, data, call.at_s)


def _size(value: bytes) -> int:
    factor = {b"k": 1024, b"K": 1024, b"M": 1024**2, b"G": 1024**3, b"w": 2, b"b": 512}.get(value[-1:], 1)
    return max(0, number(value, 0, 2**31)) * factor


def tee(call: Call) -> Run:
    """Copy standard input to files and to standard output."""
    given, paths = options(call.args)
    status = 0
    sinks: list[Callable[[bytes], None]] = []
    for shown in paths:
        try:
            path = call.resolve(shown)
            if "a" in given:
                file: Written | None = call.shell.create(path)
            else:
                yield from call.shell.keep_before(path)
                file = call.shell.open_for_writing(path)
            if file is not None:
                sinks.append(Output(call.files, file, call.at_s, call.shell.budget).write)
        except FileError as error:
            status = call.error(f"{text(shown)}: {error}")
    yield from call.pour(*sinks, call.out)
    return status


def make_node(call: Call) -> int:
    """`mknod`, `mkfifo`: an empty file stands for it."""
    _, paths = options(call.args, "m")
    try:
        for shown in paths[:1]:
            call.files.create(call.resolve(shown), call.at_s)
    except FileError as error:
        return call.error(f"{text(paths[0])}: {error}")
    return 0


def real_path(call: Call) -> int:
    """`readlink`, `realpath`."""
    given, paths = options(call.args)
    status = 0
    for shown in paths:
        try:
            node = call.files.get(shown, call.scope.cwd, follow=False)
            if call.name == "readlink" and not given.keys() & {"f", "e"}:
                if not isinstance(node, Link):
                    return 1
                call.out(node.target + b"\n")
            else:
                call.out(call.resolve(shown) + b"\n")
        except FileError as error:
            status = call.error(f"{text(shown)}: {error}") if call.name == "realpath" else 1
    return status


def base_name(call: Call) -> int:
    """`basename`."""
    path = call.args[0].rstrip(b"/").rpartition(b"/")[2] if call.args else b""
    suffix = call.args[1] if len(call.args) > 1 else b""
    call.out((path.removesuffix(suffix) if suffix != path else path) + b"\n")
    return 0


def directory_name(call: Call) -> int:
    """`dirname`."""
    head, slash, _ = (call.args[0] if call.args else b"").rstrip(b"/").rpartition(b"/")
    call.out((head or (b"/" if slash else b".")) + b"\n")
    return 0


def _usage(call: Call, usage: str) -> int:
    call.say(f"{call.host.busybox_line} multi-call binary.\n\nUsage: {usage}\n\n")
    return 1


TABLE: dict[str, Applet] = {
    "cat": cat, "more": cat, "less": cat, "cp": copy, "mv": move, "rm": remove, "unlink": remove,
    "mkdir": make_directory,
    "rmdir": remove_directory, "touch": touch, "ln": link, "chmod": change_mode, "chown": change_owner,
    "chgrp": change_owner,
    "mktemp": make_temporary, "dd": dd, "tee": tee, "mkfifo": make_node, "mknod": make_node, "readlink": real_path,
    "realpath": real_path, "basename": base_name, "dirname": directory_name,
}  # fmt: skip
