"""What starts something else: `sh`, `busybox`, `su`, `nohup`, `env`, `xargs` and their like."""

from __future__ import annotations

import hashlib

from eudaemon.world.files import Device, FileError, Written
from eudaemon.world.shell.acts import Kept
from eudaemon.world.shell.applets.builtins import nothing
from eudaemon.world.shell.call import Applet, Call, Run, number, options, text
from eudaemon.world.shell.evaluator import Exit
from eudaemon.world.shell.limits import SCRIPT_BYTES_MAX
from eudaemon.world.shell.programs import looks_like_script, run_script
from eudaemon.world.shell.streams import Stream, Terminal, Typed
from eudaemon.world.shell.unfinished import Reader
from eudaemon.world.shell.words import ShellSyntaxError


def shell(call: Call) -> Run:
    """`sh`, `ash`, `bash`: with `-c`, with a script, from a pipe, or interactively."""
    given, rest = options(call.args[:1]) if call.args and call.args[0][:1] == b"-" else ({}, call.args)
    if given:
        rest = call.args[1:]
    if "c" in given:
        if not rest:
            return call.error("-c requires an argument", 2)
        argv = rest[1:] or [b"sh"]
        return (yield from run_script(call.shell.evaluator, rest[0], argv, call.scope, call.streams))
    if rest and rest[0] != b"-" and "s" not in given:
        return (yield from _script_file(call, rest))
    stream = call.streams.get(0, Stream())
    if isinstance(stream, Typed) and not stream.shared:
        return (yield from _from_pipe(call))
    if not isinstance(stream, Typed):
        data = yield from call.input()
        if data:
            return (yield from run_script(call.shell.evaluator, data, [b"sh"], call.scope, call.streams))
    if isinstance(call.streams.get(1), Terminal):
        call.line(f"\n\n{call.host.busybox_line} built-in shell (ash)\nEnter 'help' for a list of built-in commands.\n")
        call.shell.nest()
    return 0


def _from_pipe(call: Call) -> Run:
    """Run what comes through a pipe, each command as soon as it is whole: `ssh host sh`. All of it is kept."""
    child = call.scope.fresh(b"sh")
    child.streams = dict(call.streams)
    reader = Reader()
    heard = bytearray()
    try:
        while line := (yield from call.input_line()):
            if len(heard) + len(line) <= SCRIPT_BYTES_MAX and call.shell.purse.take(len(line)):
                heard += line
            text = reader.whole(line.rstrip(b"\r\n"))
            for commands in (None if text is None else reader.commands(text)) or ():
                yield from call.shell.evaluator.subshell_line(commands, child)
    except ShellSyntaxError as error:
        call.say(f"sh: {error}\n")
        child.status = 2
    except Exit:
        pass
    finally:
        call.shell.purse.give_back(len(heard))
    if heard and call.shell.note_kept(hashlib.sha256(heard).digest()):
        yield Kept("stdin", bytes(heard), "script")
    return child.status


def _script_file(call: Call, rest: list[bytes]) -> Run:
    path = rest[0]
    node = call.files.find(path, call.scope.cwd)
    try:
        data = yield from call.read(path)
    except FileError:
        return call.error(f"can't open '{text(path)}'", 2)
    if isinstance(node, Written):
        yield from call.shell.keep(call.resolve(path), node, script=looks_like_script(data))
    if isinstance(node, Device) or data[:4] == b"\x7fELF":
        return call.error(f'{text(path)}: line 1: syntax error: unexpected "("', 2)
    return (yield from run_script(call.shell.evaluator, data, rest, call.scope, call.streams))


def busybox(call: Call) -> Run:
    """`busybox applet …`: its own list without one."""
    args = call.args
    if not args or args[0] in (b"--help", b"-h"):
        call.out(_busybox_help(call))
        return 0
    if args[0] == b"--list":
        for listed in sorted(call.host.applets):
            call.line(listed)
        return 0
    name = args[0].rpartition(b"/")[2]
    if text(name) not in call.host.applets and name != b"busybox":
        call.say(f"{text(args[0])}: applet not found\n")
        return 127
    return (yield from call.shell.evaluator.call_applet(text(name), [name, *args[1:]], call.scope, call.streams))


def _busybox_help(call: Call) -> bytes:
    names = ", ".join(sorted((*call.host.applets, "busybox")))
    lines: list[str] = []
    line = ""
    for name in names.split(" "):
        if len(line) + len(name) > 70:
            lines.append(line)
            line = ""
        line += f" {name}" if line else name
    lines.append(line)
    listed = "".join(f"\t{line}\n" for line in lines)
    return (
        f"{call.host.busybox_line} multi-call binary.\n"
        "BusyBox is copyrighted by many authors between 1998-2012.\nLicensed under GPLv2. See source distribution for "
        "detailed\ncopyright notices.\n\nUsage: busybox [function] [arguments]...\n   or: busybox --list[-full]\n   "
        "or: function "
        "[arguments]...\n\n\tBusyBox is a multi-call binary that combines many common Unix\n\tutilities into a single "
        "executable.  Most people will create a\n\tlink to busybox for each function they wish to use and "
        "BusyBox\n\twill act "
        f"like whatever it was invoked as.\n\nCurrently defined functions:\n{listed}\n"
    ).encode()


def privileged(call: Call) -> Run:
    """`su`, `sudo`, `nohup`, `nice`, `time`, `timeout`, `setsid`, `chroot`: the command after the options."""
    args = list(call.args)
    with_value = {b"-u", b"-n", b"-s", b"-t", b"-k"} if call.name != "setsid" else set()
    while args and args[0][:1] == b"-":
        option = args.pop(0)
        if option == b"-c" and args:
            return (yield from run_script(call.shell.evaluator, args[0], [b"sh"], call.scope, call.streams))
        if option in with_value and args:
            args.pop(0)
    if call.name in ("timeout", "chroot") and args:
        args.pop(0)
    if call.name == "su":
        if args:
            args.pop(0)
        if args[:1] == [b"-c"] and len(args) > 1:
            return (yield from run_script(call.shell.evaluator, args[1], [b"sh"], call.scope, call.streams))
        call.shell.nest()
        return 0
    if not args:
        return 0
    return (yield from call.shell.evaluator.call(args, call.scope, call.streams))


def env(call: Call) -> Run:
    """Show the environment, or run a command in it."""
    args = [argument for argument in call.args if argument not in (b"-i", b"-")]
    while args and b"=" in args[0]:
        name, _, value = args.pop(0).partition(b"=")
        call.scope.set(name, value)
    if args:
        return (yield from call.shell.evaluator.call(args, call.scope, call.streams))
    for name in sorted(call.scope.exported):
        if name in call.scope.variables:
            call.out(name + b"=" + call.scope.variables[name] + b"\n")
    return 0


def xargs(call: Call) -> Run:
    """Run a command with the words of standard input."""
    given, rest = options(call.args, "nIPLs") if call.args and call.args[0][:1] == b"-" else ({}, call.args)
    words = (yield from call.input()).split()[:1024]
    base = rest or [b"echo"]
    if "I" in given:
        status = 0
        for word in words:
            call.shell.budget.step()
            filled = [part.replace(given["I"] or b"{}", word) for part in base]
            status = yield from call.shell.evaluator.call(filled, call.scope, call.streams)
        return status
    size = max(1, number(given.get("n", b""), len(words) or 1))
    status = 0
    for start in range(0, max(1, len(words)), size):
        call.shell.budget.step()
        status = yield from call.shell.evaluator.call(base + words[start : start + size], call.scope, call.streams)
    return status


TABLE: dict[str, Applet] = {
    "sh": shell, "ash": shell, "bash": shell, "busybox": busybox,
    "su": privileged,
    "sudo": privileged, "nohup": privileged, "nice": privileged, "renice": nothing, "time": privileged,
    "timeout": privileged,
    "setsid": privileged, "chroot": privileged, "watch": privileged, "env": env, "xargs": xargs,
}  # fmt: skip
