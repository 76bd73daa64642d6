"""What the shell does itself: directories, variables, jumps, and starting other shells."""

from __future__ import annotations

from eudaemon.world.files import Directory, FileError, Written
from eudaemon.world.shell.applets.output import printed
from eudaemon.world.shell.call import Applet, Call, Run, number, options, text
from eudaemon.world.shell.evaluator import Break, Continue, Exit, Return
from eudaemon.world.shell.limits import WORDS_MAX
from eudaemon.world.shell.programs import looks_like_script
from eudaemon.world.shell.streams import Stream
from eudaemon.world.shell.words import NAME


def cd(call: Call) -> int:
    """Change the directory."""
    target = call.args[0] if call.args else call.scope.variables.get(b"HOME", b"/")
    if target == b"-":
        target = call.scope.variables.get(b"OLDPWD", call.scope.cwd)
    try:
        path = call.resolve(target or b".")
        node = call.files.get(path)
    except FileError as error:
        return _failed(call, f"can't cd to {text(target)}: {error}")
    if not isinstance(node, Directory):
        return _failed(call, f"can't cd to {text(target)}: Not a directory")
    call.scope.set(b"OLDPWD", call.scope.cwd)
    call.scope.cwd = path
    call.scope.set(b"PWD", path)
    return 0


def _failed(call: Call, message: str, status: int = 1) -> int:
    call.say(
        f"{text(call.scope.name)}: {call.name}: {message}\n"
        if call.name != "cd"
        else f"{text(call.scope.name)}: cd: {message}\n"
    )
    return status


def pwd(call: Call) -> int:
    """Print the directory."""
    call.out(call.scope.cwd + b"\n")
    return 0


def leave(call: Call) -> int:
    """`exit`."""
    call.scope.status = number(call.args[0], 2) & 0xFF if call.args else call.scope.status
    raise Exit


def come_back(call: Call) -> int:
    """`return`."""
    call.scope.status = number(call.args[0], 2) & 0xFF if call.args else call.scope.status
    raise Return


def break_loop(call: Call) -> int:
    """`break`."""
    raise Break(max(1, number(call.args[0], 1)) if call.args else 1)


def continue_loop(call: Call) -> int:
    """`continue`."""
    raise Continue(max(1, number(call.args[0], 1)) if call.args else 1)


def nothing(call: Call) -> int:  # noqa: ARG001
    """Succeed."""
    return 0


def fail(call: Call) -> int:  # noqa: ARG001
    """Fail."""
    return 1


def export(call: Call) -> int:
    """`export`, `readonly`, `local`, `declare`."""
    for argument in call.args:
        name, equals, value = argument.partition(b"=")
        if argument[:1] == b"-":
            continue
        if not NAME.fullmatch(name):
            return _failed(call, f"{text(name)}: bad variable name", 2)
        if equals:
            call.scope.set(name, value)
        call.scope.export(name)
    if not call.args or call.args == [b"-p"]:
        for name in sorted(call.scope.exported):
            call.out(b"export %s='%s'\n" % (name, call.scope.variables.get(name, b"")))
    return 0


def unset(call: Call) -> int:
    """Forget variables or functions."""
    for name in call.args:
        if name[:1] == b"-":
            continue
        call.scope.unset(name)
        if call.scope.functions:
            call.scope.functions.pop(name, None)
    return 0


def set_(call: Call) -> int:
    """Show variables, or set the positional parameters."""
    args = call.args
    if not args:
        for name, value in sorted(call.scope.variables.items()):
            call.out(b"%s='%s'\n" % (name, value))
        return 0
    if args[0] == b"--":
        call.scope.parameters = tuple(args[1:])
    elif args[0][:1] not in (b"-", b"+"):
        call.scope.parameters = tuple(args)
    return 0


def shift(call: Call) -> int:
    """Drop positional parameters."""
    count = number(call.args[0], 1) if call.args else 1
    if count < 0 or count > len(call.scope.parameters):
        return 1
    call.scope.parameters = call.scope.parameters[count:]
    return 0


def read(call: Call) -> Run:
    """Read a line into variables."""
    given, names = options(call.args, "nptdua")
    if "u" in given:
        streams = {**call.streams, 0: call.streams.get(number(given["u"]), Stream())}
        call = Call(call.shell, call.scope, streams, "read", [])
    names = names or [b"REPLY"]
    if "p" in given:
        call.say(text(given["p"]))
    if "d" in given and not given["d"]:
        line = (yield from call.input()).rstrip(b"\n")
    elif "n" in given:
        line = yield from call.input(number(given["n"], 1))
    else:
        line = yield from call.input_line(hidden="s" in given)
    ended = line.endswith(b"\n") or "n" in given
    line = line.rstrip(b"\n").replace(b"\0", b"")
    if "r" not in given:
        line = line.replace(b"\\\\", b"\0").replace(b"\\", b"").replace(b"\0", b"\\")
    separators = call.scope.variables.get(b"IFS", b" \t\n")
    white = bytes(byte for byte in separators if byte in b" \t\n")
    rest = line.strip(white) if white else line
    if "a" in given:
        values: list[bytes] = []
        while rest and len(values) < WORDS_MAX:
            first, rest = _field(rest, separators, white)
            values.append(first)
        call.scope.set_items(given["a"], {b"%d" % at: value for at, value in enumerate(values)})
        return 0 if ended else 1
    for index, name in enumerate(names):
        if not NAME.fullmatch(name):
            return _failed(call, f"{text(name)}: bad variable name", 2)
        if index == len(names) - 1:
            call.scope.set(name, rest)
        else:
            first, rest = _field(rest, separators, white)
            call.scope.set(name, first)
    return 0 if ended else 1


def _field(line: bytes, separators: bytes, white: bytes) -> tuple[bytes, bytes]:
    """Return the first field of a line, and what stands behind it. POSIX.1 XCU 2.6.5."""
    end = next((at for at, byte in enumerate(line) if byte in separators), len(line))
    rest = line[end:].lstrip(white) if white else line[end:]
    if rest[:1] and rest[0] in separators and rest[0] not in white:
        rest = rest[1:].lstrip(white) if white else rest[1:]
    return line[:end], rest


def evaluate(call: Call) -> Run:
    """`eval`."""
    yield from _nested(call, b" ".join(call.args))
    return call.scope.status


def source(call: Call) -> Run:
    """`. file`: run a file in this shell."""
    if not call.args:
        return _failed(call, "filename argument required", 2)
    try:
        data = yield from call.read(call.args[0])
        node = call.files.find(call.args[0], call.scope.cwd)
    except FileError:
        return _failed(call, f"can't open '{text(call.args[0])}'", 2)
    if isinstance(node, Written):
        yield from call.shell.keep(call.resolve(call.args[0]), node, script=looks_like_script(data))
    yield from _nested(call, data)
    return call.scope.status


def _nested(call: Call, data: bytes) -> Run:
    outer, call.scope.streams = call.scope.streams, call.streams
    name = call.scope.name
    call.shell.budget.enter()
    try:
        yield from call.shell.evaluate(data, call.scope, name)
    finally:
        call.scope.streams = outer
        call.shell.budget.leave()
    return call.scope.status


def execute(call: Call) -> Run:
    """`exec command`: the command, and then the shell is gone."""
    if call.args:
        call.scope.status = yield from call.shell.evaluator.call(call.args, call.scope, call.streams)
        raise Exit
    return 0


def command(call: Call) -> Run:
    """`command [-v] name`."""
    given, rest = options(call.args) if call.args and call.args[0][:1] == b"-" else ({}, call.args)
    if not rest:
        return 0
    if "v" in given or "V" in given:
        return kind(Call(call.shell, call.scope, call.streams, "command", rest))
    return (yield from call.shell.evaluator.call(rest, call.scope, call.streams))


def kind(call: Call) -> int:
    """`type` and `command -v`."""
    status = 0
    for name in call.args:
        path = call.shell.which(name)
        quiet = call.name == "command"
        if call.shell.applet(name) is not None and text(name) in TABLE:
            call.out(name + b"\n" if quiet else name + b" is a shell builtin\n")
        elif path is not None:
            call.out(path + b"\n" if quiet else name + b" is " + path + b"\n")
        else:
            if not quiet:
                call.out(name + b": not found\n")
            status = 127
    return status


def umask(call: Call) -> int:
    """Show the mask."""
    if not call.args:
        call.line("0022")
    return 0


def ulimit(call: Call) -> int:
    """Show a limit; setting one always works."""
    given, rest = options(call.args)
    if not rest:
        call.line("1024" if "n" in given else "unlimited")
    return 0


def help_(call: Call) -> int:
    """List the builtins."""
    call.line("Built-in commands:\n------------------")
    call.line("\t. : [ [[ alias bg break cd chdir command continue echo eval exec\n\texit export false fg hash help "
              "history jobs "
              "kill let local\n\tprintf pwd read readonly return set shift source test times\n\ttrap true type ulimit "
              "umask "
              "unalias unset wait")  # fmt: skip
    return 0


def trap(call: Call) -> int:
    """`trap command EXIT`: what is run when this shell ends. No signal ever comes."""
    args = call.args[1:] if call.args[:1] == [b"--"] else call.args
    if len(args) > 1 and {b"EXIT", b"0"} & set(args[1:]):
        call.scope.at_exit = b"" if args[0] == b"-" else args[0]
    return 0


def map_file(call: Call) -> Run:
    """`mapfile`, `readarray`: lines into an array; `-t` without their ends."""
    given, names = options(call.args, "ndOsu")
    lines = (yield from call.input()).split(b"\n", WORDS_MAX)
    lines = lines[:-1] if lines[-1:] == [b""] else lines
    end = b"" if "t" in given else b"\n"
    items = {b"%d" % at: line + end for at, line in enumerate(lines[:WORDS_MAX])}
    call.scope.set_items(names[0] if names else b"MAPFILE", items)
    return 0


def let(call: Call) -> int:
    """`let expression`."""
    value = b"0"
    for argument in call.args:
        value = call.shell.evaluator.expander.arithmetic(argument, call.scope)
    return int(value == b"0")


def getopts(call: Call) -> int:
    """Nothing is left to parse."""
    if len(call.args) > 1:
        call.scope.set(call.args[1], b"?")
    return 1


def printf_to(call: Call) -> int:
    """`printf`, of which `-v name` sets a variable."""
    args = call.args
    if args[:1] == [b"-v"] and len(args) > 2:
        call.scope.set(args[1], printed(args[2], args[3:], call.shell.budget))
        return 0
    if not args:
        return call.error("usage: printf FORMAT [ARG]...", 2)
    call.out(printed(args[0], args[1:], call.shell.budget))
    return 0


TABLE: dict[str, Applet] = {
    "cd": cd, "chdir": cd, "pwd": pwd, "exit": leave, "logout": leave, "return": come_back, "break": break_loop,
    "continue": continue_loop, ":": nothing, "true": nothing, "false": fail, "export": export, "readonly": export,
    "local": export, "declare": export, "typeset": export, "unset": unset, "set": set_, "shift": shift, "read": read,
    "eval": evaluate, ".": source, "source": source, "exec": execute, "command": command, "type": kind,
    "umask": umask, "ulimit": ulimit, "help": help_,
    "let": let, "getopts": getopts,
    "trap": trap, "mapfile": map_file, "readarray": map_file, "shopt": nothing, "disown": nothing,
    "wait": nothing, "jobs": nothing, "fg": nothing, "bg": nothing,
    "hash": nothing, "alias": nothing, "unalias": nothing, "times": nothing, "printf": printf_to,
}  # fmt: skip
