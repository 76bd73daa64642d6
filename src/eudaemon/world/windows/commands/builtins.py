"""cmd.exe's own commands that touch no file: `echo`, `set`, `call`, `goto`, `exit`, `setlocal` and their like."""

from __future__ import annotations

import re

from eudaemon.world.windows import expansion
from eudaemon.world.windows.arithmetic import ExpressionError, assign
from eudaemon.world.windows.batch import Exit, Goto, Leave
from eudaemon.world.windows.call import Call, Command, Run, words


def echo(call: Call) -> int:
    """Write a line; `echo.` and its kin write an empty one."""
    text = call.tail
    # Whatever one character parts the name from the text is none of it.
    text = text[1:] if text[:1] in (" ", "\t", ".", ",", ":", ";", "=", "/", "\\", "(", "+", "[", "]") else text
    switch = text.strip().lower()
    if switch in ("on", "off"):
        call.scope.echoes = switch == "on"
    elif not text.strip() and call.tail[:1] in ("", " ", "\t", "=", ","):
        call.line(f"ECHO is {'on' if call.scope.echoes else 'off'}.")
    else:
        call.line(text)
    return 0


def set_(call: Call) -> int | Run:
    """Show, set and calculate variables, and ask for them."""
    text = call.tail.lstrip()
    if text[:2].lower() == "/a":
        return _calculate(call, text[2:])
    if text[:2].lower() == "/p":
        return _ask(call, text[2:].strip())
    if text.startswith('"') and (end := text.rfind('"')) > 0:
        text = text[1:end]
    name, equals, value = text.partition("=")
    if not equals:
        found = call.scope.listed(name.strip())
        for shown_name, held in found:
            call.line(f"{shown_name}={held}")
        if name.strip() and not found:
            return call.error(f"Environment variable {name.strip()} not defined")
        return 0
    call.scope.set(name, value)
    return 0


def _calculate(call: Call, text: str) -> int:
    try:
        result = assign(text.replace('"', ""), call.shell.lookup(call.scope), call.scope.set)
    except ExpressionError as error:
        return call.error(str(error), 1073750988)
    if call.scope.batch is None:
        call.out(str(result))
    return 0


def _ask(call: Call, text: str) -> Run:
    """Read a line from standard input into a variable: `set /p x=<file` does, and `<nul set /p =text` prints."""
    text = text[1 : text.rfind('"')] if text.startswith('"') and text.rfind('"') > 0 else text
    name, _, question = text.partition("=")
    question = question.strip(" ") if question.startswith('"') else question.lstrip(" ")
    call.out(question.strip('"'))
    line = (yield from call.input_line()).rstrip(b"\r\n").decode("latin-1")
    if name.strip() and line:
        call.scope.set(name, line)
    return 0 if line else 1


def call_(call: Call) -> Run:
    """Run a batch file and come back, or a part of this one."""
    shell, scope = call.shell, call.scope
    line = expansion.percent(call.tail, shell.lookup(scope), scope.batch.arguments if scope.batch else None).strip()
    if line.startswith(":"):
        if scope.batch is None:
            return call.error("Invalid attempt to call batch label outside of batch script.")
        label, *arguments = words(line[1:]) or [""]
        if label.lower() == "eof":
            return 0
        below = scope.batch.called(label.lower(), (line.split()[0], *arguments))
        if below is None:
            return call.error(f"The system cannot find the batch label specified - {label}")
        return (yield from shell.evaluator.batch(below, scope, call.streams))
    # What is called comes back: for what reads `scope.batch`, it is as if nobody had called.
    outer, scope.batch = scope.batch, None
    try:
        return (yield from shell.evaluator.text(line, scope, call.streams))
    finally:
        scope.batch = outer


def goto(call: Call) -> int:
    """Go on at a label."""
    label = call.tail.strip().lstrip(":").split(" ")[0].lower()
    if call.scope.batch is None:
        return 0
    raise Goto(label)


def exit_(call: Call) -> int:
    """Leave this cmd.exe, or with `/b` the batch file."""
    arguments = words(call.tail.lower())
    codes = [word for word in arguments if word.lstrip("-").isdecimal()]
    if codes:
        call.scope.status = int(codes[0][:10])
    if "/b" in arguments and call.scope.batch is not None:
        raise Leave
    raise Exit


def setlocal(call: Call) -> int:
    """Remember the variables."""
    call.scope.save()
    if re.search("enabledelayedexpansion", call.tail, re.IGNORECASE):
        call.scope.delayed = True
    return 0


def endlocal(call: Call) -> int:
    """Go back to what they were."""
    call.scope.restore()
    return 0


def shift(call: Call) -> int:
    """Move the arguments of the batch file by one."""
    if call.scope.batch is not None:
        call.scope.batch.arguments = call.scope.batch.arguments[1:]
    return 0


def ver(call: Call) -> int:
    """Say which Windows this is."""
    call.line()
    call.line(call.machine.banner)
    return 0


def vol(call: Call) -> int:
    """Say what the drive is called."""
    call.lines(f" Volume in drive C has no label.\n Volume Serial Number is {call.machine.volume_serial}\n")
    return 0


def date(call: Call) -> int:
    """Say the date; nobody sets it."""
    today = f"{call.machine.local(call.at_s):%a %m/%d/%Y} "
    if call.tail.lower().strip().startswith("/t"):
        call.line(today)
    else:
        call.out(f"The current date is: {today}\r\nEnter the new date: (mm-dd-yy) ")
    return 0


def time(call: Call) -> int:
    """Say the time; nobody sets it."""
    now = call.machine.local(call.at_s)
    if call.tail.lower().strip().startswith("/t"):
        call.line(f"{now:%I:%M %p}")
    else:
        moment = f"{now.hour:>2}:{now:%M:%S}.{now.microsecond // 10_000:02d}"
        call.out(f"The current time is: {moment}\r\nEnter the new time: ")
    return 0


def nothing(call: Call) -> int:  # noqa: ARG001
    """What changes how a window looks, and shows nothing here."""
    return 0


def cls(call: Call) -> int:
    """Clear the screen."""
    call.out(b"\x0c")
    return 0


def pause(call: Call) -> int:
    """Wait for a key; nobody presses one."""
    call.line("Press any key to continue . . . ")
    return 0


def path(call: Call) -> int:
    """Show or set where programs are looked for."""
    if call.tail.strip(" ="):
        call.scope.set("Path", call.tail.strip(" ="))
    else:
        call.line(f"PATH={call.scope.get('Path') or ''}")
    return 0


def help_(call: Call) -> int:
    """Begin as the real one does."""
    call.lines("For more information on a specific command, type HELP command-name\n"
               "ASSOC          Displays or modifies file extension associations.\n"
               "ATTRIB         Displays or changes file attributes.\n"
               "BREAK          Sets or clears extended CTRL+C checking.\n")  # fmt: skip
    return 0


def assoc(call: Call) -> int:
    """Say what opens a kind of file."""
    if "=" not in call.tail and call.tail.strip():
        call.line(f"{call.tail.strip()}={call.tail.strip(' .')}file")
    return 0


TABLE: dict[str, Command] = {
    "echo": echo, "set": set_, "call": call_, "goto": goto, "exit": exit_, "setlocal": setlocal, "endlocal": endlocal,
    "shift": shift, "ver": ver, "vol": vol, "date": date, "time": time, "title": nothing, "color": nothing,
    "prompt": nothing, "break": nothing, "verify": nothing, "cls": cls, "pause": pause, "path": path,
    "help": help_, "assoc": assoc, "ftype": assoc, "rem": nothing,
}  # fmt: skip
