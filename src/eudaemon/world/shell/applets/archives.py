"""Archives: `tar`, `gunzip`, `zcat`, … What comes out of them are the attacker's files, as if he had written them.

What nobody here can unpack (bzip2, xz, zip) and comes through a pipe is kept as it came: there is no file of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from eudaemon.wire import decode
from eudaemon.wire.tar import Member, members
from eudaemon.world.files import FileError
from eudaemon.world.shell.acts import Kept
from eudaemon.world.shell.applets.files import make_path
from eudaemon.world.shell.call import Applet, Call, Run, cannot_open, options, text

UNPACKED_BYTES_MAX = 16 * 1024 * 1024
_GZIP = b"\x1f\x8b"


def tar(call: Call) -> Run:
    """`tar x`, `tar t`; any other verb has nothing to say."""
    first, *rest = call.args or [b""]
    given, paths = options([first if first[:1] == b"-" else b"-" + first, *rest], "fCTX")
    if "f" in given and not given["f"]:  # `tar xfC FILE PLACE`: nobody writes that
        return call.error("no such file")
    name = given.get("f", b"-")
    if not {"x", "t"} & given.keys():
        return 0
    try:
        data = yield from call.read(name)
        if data[:2] == _GZIP:
            data, _ = _inflated(call, data)
        found = list(members(data))
        if not found and name == b"-":
            yield from _as_it_came(call, data)
        for member in found:
            if not paths or any(member.name.startswith(path) for path in paths):
                if "x" in given:
                    yield from _lay(call, given.get("C", b"."), member)
                if "t" in given or "v" in given:
                    call.line(text(member.name))
    except FileError as error:
        return call.error(cannot_open(name, error))
    return 0


def _lay(call: Call, folder: bytes, member: Member) -> Iterator[Kept]:
    """Write a file of an archive; names lead to nowhere above the folder. Raises `FileError`."""
    parts = [part for part in member.name.split(b"/") if part not in (b"", b".", b"..")]
    if not parts:
        return
    place = b"/".join((folder, *parts))
    make_path(call, b"/".join((folder, *parts[:-1])))
    yield from call.shell.keep_before(call.resolve(place))
    file = call.write(place, member.data)
    file.mode = member.mode or 0o644


def gunzip(call: Call) -> Run:
    """`gunzip`, `gzip -d`, `zcat`: of a file, or from standard input to standard output."""
    given, paths = options(call.args)
    if call.name == "gzip" and "d" not in given:
        return 0
    status = 0
    for name in paths or [b"-"]:
        try:
            data = yield from call.read(name)
            found, whole = _inflated(call, data)
            if not whole:
                status = call.error("invalid magic" if data[:2] != _GZIP else "unexpected end of file")
            if not found:
                yield from _as_it_came(call, data if name == b"-" else b"")
            elif name == b"-" or "c" in given or call.name == "zcat":
                call.out(found)
            else:
                target = call.resolve(name.removesuffix(b".gz"))
                yield from call.shell.keep_before(call.resolve(name))
                yield from call.shell.keep_before(target)
                call.write(target, found)
                if target != call.resolve(name):
                    call.files.remove(call.resolve(name))
        except FileError as error:
            status = call.error(f"{text(name)}: {error}")
    return status


def unknown(call: Call) -> Run:
    """`unzip`, `bunzip2`, …: the archive has to be there; what is in it nobody looks at."""
    _, paths = options(call.args, "dO")
    name = next(iter(paths), b"-")
    try:
        data = yield from call.read(name)
    except FileError as error:
        return call.error(f"{text(name)}: {error}")
    yield from _as_it_came(call, data if name == b"-" else b"")
    return 0


def _inflated(call: Call, data: bytes) -> tuple[bytes, bool]:
    found, whole = decode.inflated(data, UNPACKED_BYTES_MAX) if data[:2] == _GZIP else (b"", False)
    call.shell.budget.work(len(found) // 8)  # all at once; writing it costs more
    return found, whole


def _as_it_came(call: Call, data: bytes) -> Iterator[Kept]:
    if data and call.shell.note_kept(hashlib.sha256(data).digest()):
        yield Kept("-", data, "upload")


TABLE: dict[str, Applet] = {
    "tar": tar, "gunzip": gunzip, "gzip": gunzip, "zcat": gunzip, "unzip": unknown, "bunzip2": unknown,
    "bzcat": unknown,
}  # fmt: skip
