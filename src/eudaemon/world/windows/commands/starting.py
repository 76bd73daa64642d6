"""What starts something else: `start`, `cmd /c`, `powershell`, `forfiles`, `runas`, `pcalua`."""

from __future__ import annotations

import re

from eudaemon.world.windows import expansion
from eudaemon.world.windows.batch import Exit, Leave
from eudaemon.world.windows.call import Call, Command, Run, switches, url_in
from eudaemon.world.windows.parser import Parser
from eudaemon.world.windows.scope import Scope

_START_OPTION = re.compile(
    r'\s*/(?:d\s*("[^"]*"|\S+)|wait|b|i|min|max|low|normal|high|realtime|\w+)(?=\s|$)', re.IGNORECASE
)
_CMD_OPTION = re.compile(r"\s*/([a-z]+)(:\w+)?\s*", re.IGNORECASE)
_LINES_MAX = 4096


def start(call: Call) -> Run:
    """`start ["title"] [/b] [/d path] command`."""
    text, titled = call.tail.strip(), False
    while True:
        if option := _START_OPTION.match(text):
            text = text[option.end() :].strip()
        elif text.startswith('"') and not titled and (end := text.find('"', 1)) > 0 and text[end + 1 :].strip():
            text, titled = text[end + 1 :].strip(), True
        else:
            break
    if not text:
        return 0
    if url := (url_in(text) if text.lower().startswith(("http:", "https:", "ftp:")) else ""):
        yield from call.fetch(url, "start", "")
        return 0
    return (yield from call.shell.evaluator.text(text, call.scope.copy(), call.streams))


def cmd(call: Call) -> Run:
    """A cmd.exe in cmd.exe: with `/c` for one line, with what is piped in, or for what is typed next."""
    text, delayed, runs = call.tail, call.scope.delayed, False
    while (option := _CMD_OPTION.match(text)) and not runs:
        name = option[1].lower()
        runs = name[0] in "ckr"
        if name[0] == "v":
            delayed = (option[2] or ":on").lower() == ":on"
        # `/cecho` begins with the command.
        text = (
            text[option.end() :]
            if len(name) == 1
            else name[1:] + text[option.end(1) :]
            if runs
            else text[option.end() :]
        )
    scope = call.scope.copy()
    scope.delayed, scope.batch = delayed, None
    if runs:
        status = yield from _one_line(call, _unquoted(call, text.strip()), scope)
        return status
    if call.shell.is_typing(call.streams):
        call.shell.nest()
        call.out(call.machine.greeting)
        return 0
    status = 0
    for line in (yield from call.input()).decode("latin-1").replace("\r\n", "\n").split("\n")[:_LINES_MAX]:
        if line.strip():
            status = yield from _one_line(call, line, scope)
    return status


def _one_line(call: Call, line: str, scope: Scope) -> Run:
    shell = call.shell
    shell.budget.enter()
    try:
        shell.budget.work(32 * len(line))
        node = Parser(expansion.percent(line, shell.lookup(scope), None)).parse()
        status = yield from shell.evaluator.run(node, scope, call.streams)
    except (Exit, Leave):
        status = scope.status
    finally:
        shell.budget.leave()
    return int(status)


def _unquoted(call: Call, text: str) -> str:
    """Take the outer quotes away as cmd.exe does (`cmd /?`): unless they are two, around the name of a program."""
    if not text.startswith('"'):
        return text
    last = text.rfind('"')
    if last == 0:
        return text[1:]
    inner = text[1:last]
    is_one = text.count('"') == 2 and " " in inner and not re.search(r"[&<>()@^|]", inner)
    if is_one and call.shell.drives.find(inner, call.scope.cwd) is not None:
        return text
    return inner + text[last + 1 :]


def powershell(call: Call) -> Run:
    """PowerShell, which is loaded when it is first called."""
    from eudaemon.world.windows.powershell.command import powershell as run

    return (yield from run(call))


def forfiles(call: Call) -> Run:
    """`forfiles /c "command"`: run it once."""
    lower = [arg.lower() for arg in call.args]
    if "/c" in lower and lower.index("/c") + 1 < len(lower):
        command = call.args[lower.index("/c") + 1]
        return (yield from call.shell.evaluator.text(command, call.scope.copy(), call.streams))
    return 0


def started_by(call: Call) -> Run:
    """`runas /user:x "command"`, `pcalua -a program`, `psexec \\\\host command`: run what is behind the options."""
    _, rest = switches(call.args)
    rest = [arg for arg in rest if not arg.startswith("\\\\")]
    if call.name == "runas":
        call.out("Enter the password for the user: ")
        return 1
    return (yield from call.shell.evaluator.text(" ".join(rest), call.scope.copy(), call.streams)) if rest else 0


def program(call: Call) -> int:  # noqa: ARG001
    """A program with a window, which nobody sees."""
    return 0


INTERNAL: dict[str, Command] = {"start": start}
PROGRAMS: dict[str, Command] = {
    "cmd": cmd, "powershell": powershell, "pwsh": powershell, "forfiles": forfiles, "pcalua": started_by,
    "conhost": started_by, "runas": started_by, "notepad": program, "calc": program,
    "mspaint": program, "write": program, "control": program, "mmc": program, "mstsc": program, "taskmgr": program,
    "svchost": program, "dllhost": program, "regasm": program, "regsvcs": program, "installutil": program,
    "msbuild": program, "csc": program, "eventvwr": program, "fodhelper": program, "computerdefaults": program,
}  # fmt: skip
