"""How PowerShell is called: `powershell [-options] [-EncodedCommand …] [-Command] text`; with text piped in; typed to.

The text on cmd.exe's line is one word after the other, quotes gone; encoded it is UTF-16 in base64.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from eudaemon.wire import decode
from eudaemon.world.files import FileError
from eudaemon.world.shell.limits import LINE_BYTES_MAX
from eudaemon.world.windows.call import Call, Run
from eudaemon.world.windows.limits import CONTINUATION_LINES_MAX
from eudaemon.world.windows.mode import Mode
from eudaemon.world.windows.paths import shown
from eudaemon.world.windows.powershell.cmdlets import run_text
from eudaemon.world.windows.powershell.evaluator import Evaluator, Leave, Thrown
from eudaemon.world.windows.powershell.given import printed
from eudaemon.world.windows.powershell.parser import Parser
from eudaemon.world.windows.powershell.syntax import ParseError, UnfinishedError

if TYPE_CHECKING:
    from eudaemon.world.shell.streams import Stream
    from eudaemon.world.windows.engine import CommandShell

_OPENS_TEXT = re.compile(r"@([\"'])[ \t]*$")
_WITH_VALUE = ("executionpolicy", "ep", "windowstyle", "version", "inputformat", "outputformat", "psconsolefile",
               "configurationname", "settingsfile", "workingdirectory", "custompipename")  # fmt: skip


def powershell(call: Call) -> Run:
    """Run what stands on the line, or is piped in."""
    kind, text = _asked(call.tail)
    evaluator = Evaluator(call)
    if kind == "encoded":
        data = decode.base64_text(text.encode("latin-1", "replace")) or b""
        return (yield from _run(evaluator, data.decode("utf-16-le", "replace"), decoded=True))
    if kind == "file":
        return (yield from _file(evaluator, text))
    if text and text != "-":
        return (yield from _run(evaluator, text))
    if call.shell.is_typing(call.streams):
        call.lines("Windows PowerShell\nCopyright (C) Microsoft Corporation. All rights reserved.\n\n")
        call.shell.mode = PowerShellPrompt(evaluator)
        return 0
    return (yield from _run(evaluator, (yield from call.input()).decode("latin-1")))


def _asked(tail: str) -> tuple[str, str]:
    """Return whether a `command`, a `file` or something `encoded` is to be run, and what."""
    rest = tail.strip()
    while rest[:1] in ("-", "/", "\u2013"):
        word, _, after = rest.partition(" ")
        option = word[1:].lower().rstrip(":").replace('"', "").replace("`", "")
        after = after.strip()
        if option == "":
            return "command", after or "-"
        if "command".startswith(option):
            return "command", _unquoted(after)
        if option == "ec" or (option[:1] == "e" and "encodedcommand".startswith(option)):
            return "encoded", after.partition(" ")[0].strip("\"'")
        if "file".startswith(option):
            return "file", after
        if any(name.startswith(option) for name in _WITH_VALUE) and not "noprofile".startswith(option):
            after = after.partition(" ")[2].strip()
        rest = after
    return "command", _unquoted(rest)


def _unquoted(text: str) -> str:
    r"""Return what C's rules leave of quotes: `"a \"b\" c"` is `a "b" c`. Single quotes are PowerShell's own."""
    if text[:2] == text[-2:] == '\\"':  # escaped once too often, as what passed through several hands is
        text = text[1:-2] + '"'
    out: list[str] = []
    at = 0
    while at < len(text):
        char = text[at]
        if (char == "\\" and text[at + 1 : at + 2] == '"') or (char == '"' and text[at + 1 : at + 2] == '"' and out):
            out.append('"')
            at += 1
        elif char != '"':
            out.append(char)
        at += 1
    return "".join(out)


def _file(evaluator: Evaluator, text: str) -> Run:
    call = evaluator.call
    path, _, rest = text[1:].partition('"') if text.startswith('"') else text.partition(" ")
    try:
        data = call.use(call.read(path))
    except FileError:
        return call.error(f"The argument '{path}' to the -File parameter does not exist. Provide the path to an "
                          "existing '.ps1' file as an argument to the -File parameter.", -196608)  # fmt: skip
    yield from call.shell.keep_at(path, call.scope)
    evaluator.set("args", list(rest.split()))
    return (yield from _run(evaluator, _text_of(data)))


def _text_of(data: bytes) -> str:
    return (
        data.decode("utf-16", "replace") if data[:2] in (b"\xff\xfe", b"\xfe\xff") else data.decode("utf-8", "replace")
    )


def _run(evaluator: Evaluator, text: str, *, decoded: bool = False) -> Run:
    """Run a script; return the exit code."""
    status = 0
    try:
        values = yield from run_text(evaluator, text, keeps=decoded)
        for line in printed(values):
            evaluator.call.out(f"{line}\r\n".encode("utf-8", "replace"))
    except Leave as jump:
        status = int(jump.value) & 0xFFFF if jump.kind == "exit" and isinstance(jump.value, int) else 0
    except Thrown:
        status = 1
    return status


def _unfinished(text: str) -> bool:
    try:
        Parser(text).script()
    except UnfinishedError:
        return True
    except ParseError:
        pass
    return False


class PowerShellPrompt(Mode):
    """PowerShell that reads what is typed. Its variables last from line to line, and a text or a block goes on."""

    __slots__ = ("_evaluator", "_here", "_lines", "_pending")

    def __init__(self, evaluator: Evaluator) -> None:
        self._evaluator = evaluator
        self._pending = ""  # lines that are not finished
        self._lines = 0
        self._here = ""  # what ends the text over several lines that is being typed

    def prompt(self, shell: CommandShell) -> bytes:
        """See `Mode`."""
        if self._pending:
            return b">> "
        return b"PS " + shown(shell.scope.cwd).encode("latin-1") + b"> "

    def line(self, shell: CommandShell, line: str, streams: dict[int, Stream]) -> Run:
        """See `Mode`."""
        if line.strip().lower() == "exit":
            shell.mode = None
            return 0
        self._evaluator.call.streams = streams
        whole = self._whole(line)
        return (yield from _run(self._evaluator, whole)) if whole else 0

    def _whole(self, line: str) -> str:
        """Return the line with what it continues; nothing while that is not finished, as far as it may grow."""
        whole = f"{self._pending}\n{line}" if self._pending else line
        if self._here and line.startswith(self._here):
            self._here = ""
        elif not self._here and (opened := _OPENS_TEXT.search(line)):
            self._here = f"{opened[1]}@"
        self._lines = self._lines + 1 if self._pending and not self._here else 0
        if len(whole) < LINE_BYTES_MAX and self._lines < CONTINUATION_LINES_MAX and (self._here or _unfinished(whole)):
            self._pending = whole
            return ""
        self._pending = self._here = ""
        return whole

    def held_bytes(self) -> int:
        """See `Mode`."""
        return len(self._pending) + sum(64 + _size(value) for value in self._evaluator.variables.values())


def _size(value: object) -> int:
    if isinstance(value, str | bytearray):
        return len(value)
    if isinstance(value, list | tuple):
        return 16 * len(value) + sum(_size(item) for item in value[:1024])
    return 64
