"""One session's cmd.exe: takes lines, gives acts. Holds what lasts from line to line."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from functools import lru_cache

from eudaemon.wire import PeerError, Purse
from eudaemon.world.files import FileError, Files, Written
from eudaemon.world.outside import Downloaded
from eudaemon.world.seed import Seed
from eudaemon.world.shell.acts import Act, Kept, Print
from eudaemon.world.shell.budget import LimitError, PatienceError
from eudaemon.world.shell.keeping import Keeper
from eudaemon.world.shell.limits import LINE_BYTES_MAX, NOTE_BYTES_MAX
from eudaemon.world.shell.streams import Buffered, PipeFullError, Stream, Terminal, Typed
from eudaemon.world.windows import expansion
from eudaemon.world.windows.batch import Exit, Goto, Leave
from eudaemon.world.windows.call import Command, Run
from eudaemon.world.windows.commands import INTERNAL, PROGRAMS
from eudaemon.world.windows.evaluator import Evaluator
from eudaemon.world.windows.limits import CONTINUATION_LINES_MAX, LEVELS_MAX, REGISTRY_VALUES_MAX
from eudaemon.world.windows.machine import Windows
from eudaemon.world.windows.mode import Mode
from eudaemon.world.windows.parser import Parser
from eudaemon.world.windows.paths import Drives, shown, shown_for_people
from eudaemon.world.windows.programs import execute
from eudaemon.world.windows.scope import Scope
from eudaemon.world.windows.survey import unknown_commands
from eudaemon.world.windows.syntax import CommandError, IncompleteError
from eudaemon.world.windows.tree import SERVICE_PROFILE, WRITABLE

_CTRL_Z = b"\x1a"
_READING_COSTS = 32  # what reading a character of a line costs, against copying one
_TEXT = bytes((*b"\t\n\r", *range(0x20, 0x7F)))
_RUN_LATER = (b"startup/", b"/tasks/", b".bat", b".cmd", b".vbs", b".vbe", b".js", b".jse", b".wsf", b".hta", b".ps1",
              b".psm1", b".sct", b".inf", b".reg", b".lnk", b".url", b".asp", b".aspx", b".php", b".jsp")  # fmt: skip


class CommandShell(Keeper):
    """A cmd.exe of `user`, such as `nt authority\\system`, on `machine`.

    What its files hold is taken from `purse`. `files` are those of a session that has several shells; `starts_in` is
    where it begins, as Windows writes it, if not where that user's would. `watched` is whether somebody sits there, for
    whom time passes. `unknown` names the commands of the last line that the machine does not have; `exited` is true
    after `exit`. `copies` are copies of Windows' own programs, and what they are copies of.
    """

    __slots__ = (
        "_draws",
        "_given_bytes",
        "_heard",
        "_held_bytes",
        "_nested",
        "_pending",
        "_pending_lines",
        "_screen",
        "_streams",
        "copies", "depth",
        "drives",
        "evaluator",
        "exited",
        "hostname",
        "layers",
        "machine",
        "mode",
        "peer",
        "registry",
        "scope",
        "seed",
        "typed",
        "unknown",
        "user",
        "watched",
    )  # fmt: skip
    internal = INTERNAL.keys()

    def __init__(
        self, machine: Windows, *, purse: Purse, seed: Seed, user: str, peer: str = "", watched: bool = False,
        files: Files | None = None, starts_in: str = "", typed: Typed | None = None,
    ) -> None:  # fmt: skip
        super().__init__(files or Files(machine.tree, WRITABLE, purse), purse)
        self.machine = machine
        self.seed = seed
        self.user = user
        self.peer = peer
        self.watched = watched
        self.drives = Drives(self.files)
        self.evaluator = Evaluator(self)
        self.exited = False
        self.unknown: tuple[str, ...] = ()
        self.copies: dict[bytes, str] | None = None
        self.registry: dict[str, str] | None = None
        self.layers = 0  # scripts of PowerShell inside each other
        self.depth = 0  # and expressions of it
        self.mode: Mode | None = None
        base = _environment(machine, user)
        self.scope = Scope(b"/C/Windows/System32", base)
        if starts_in:
            with suppress(FileError):
                self.scope.cwd = self.drives.locate(starts_in, b"/C")
        elif base["USERNAME"][1] in machine.profiles:
            self.scope.cwd = self.drives.locate(base["USERPROFILE"][1], b"/C")
        self._screen = bytearray()
        self.typed = typed
        self._heard = False  # whether the line that runs has read what was typed
        terminal = Terminal(self._screen, self.budget)
        self._streams: dict[int, Stream] = {0: typed or Stream(), 1: terminal, 2: terminal}
        self._pending = ""
        self._pending_lines = 0
        self._nested = 0
        self._given_bytes = 0
        self._held_bytes = 0
        self._draws = 0

    # --- lines in, acts out --------------------------------------------------------------------------

    def prompt(self) -> bytes:
        """Return the prompt that stands before the next line."""
        if self.mode is not None:
            return self.mode.prompt(self)
        return b"More? " if self._pending else shown(self.scope.cwd).encode("latin-1") + b">"

    @property
    def unfinished(self) -> bool:
        """Whether the last line wants to be continued."""
        return bool(self._pending)

    def run(self, line: bytes, at_s: float) -> Generator[Act, Downloaded | None, int]:
        """Run one line, without its line end. Each `Download` is to be answered by `send`; returns the exit code.

        Raises `PeerError` if the line, or what it continues, is over a limit.
        """
        self.at_s = at_s
        self.unknown = ()
        if len(self._pending) + len(line) > LINE_BYTES_MAX:
            raise PeerError(f"command line over {LINE_BYTES_MAX} bytes")
        self.budget.renew()
        self._writing, self._heard = None, False
        self.budget.levels = LEVELS_MAX
        self.layers = self.depth = 0
        self.budget.work(-2 * self._given_bytes)  # what somebody took the trouble to send may be read and written once
        self._given_bytes = 0
        walk = self._guarded(line.rstrip(b"\r\n").decode("latin-1"))
        answer: Downloaded | None = None
        while True:
            try:
                act = walk.send(answer)
            except StopIteration:
                break
            if self._screen:
                yield self._shown()
            answer = yield act
        if self._screen:
            yield self._shown()
        if self._heard:
            self.note_typed()
        self._settle()
        return self.scope.status

    def give_input(self, data: bytes) -> None:
        """Let the next line's commands read this from their standard input; the purse is the caller's affair."""
        self._streams[0] = Buffered(data)
        self._given_bytes = len(data)

    def hear(self, data: bytes) -> None:
        """Let commands read this. Raises `PeerError` past a limit."""
        if self.typed is not None:
            self.typed.hear(data)
            self.budget.heard(len(data))
            self._heard = True

    def hear_line(self, line: bytes) -> None:
        """Let commands read a line, which is without its end. Ctrl-Z in it ends what they read."""
        text, end, _ = line.partition(_CTRL_Z)
        self.hear(text if end else text + b"\r\n")
        if end and self.typed is not None:
            self.typed.end()

    def interrupt(self) -> None:
        """Forget an unfinished line, as Ctrl-C does."""
        if self._heard:
            self.note_typed()
        self._pending, self._pending_lines, self.mode = "", 0, None

    def _shown(self) -> Print:
        data = bytes(self._screen)
        self._screen.clear()
        return Print(data)

    def _settle(self) -> None:
        """Take from the purse what the variables have grown by. Raises `PeerError` if that is not there."""
        held = self.scope.held_bytes() + len(self._pending) + (self.mode.held_bytes() if self.mode is not None else 0)
        if held > self._held_bytes:
            if not self.purse.take(held - self._held_bytes):
                raise PeerError("the session holds too many bytes")
        else:
            self.purse.give_back(self._held_bytes - held)
        self._held_bytes = held

    def _guarded(self, line: str) -> Generator[Act, Downloaded | None, None]:
        try:
            if self.mode is not None:
                self.scope.status = yield from self.mode.line(self, line, self._streams)
            else:
                yield from self._line(line)
        except IncompleteError:
            pass  # of what a command was given to run: it does not run
        except CommandError as error:
            self._screen += f"{error}\r\n".encode("latin-1", "replace")
            self.scope.status = 255
        except (Goto, Leave, PipeFullError):
            self.scope.status = 1
        except Exit:
            self._nested -= 1
            self.exited = self._nested < 0
        except PatienceError:
            self.count_exhausted()
            self._screen += b"^C"
            self.scope.status = 1
        except LimitError:
            self.count_exhausted()
            self._screen += b"Not enough storage is available to process this command.\r\n"
            self.scope.status = 8

    def _line(self, line: str) -> Generator[Act, Downloaded | None, None]:
        expanded = expansion.percent(line, self.lookup(self.scope), None)
        whole = f"{self._pending}\n{expanded}" if self._pending else expanded
        if self._pending:
            self._pending_lines += 1
            if self._pending_lines > CONTINUATION_LINES_MAX:
                raise PeerError(f"command over {CONTINUATION_LINES_MAX} lines")
        self.budget.work(_READING_COSTS * len(whole))
        self._pending = ""
        try:
            node = Parser(whole).parse()
        except IncompleteError:
            self._pending = whole
            return
        self._pending_lines = 0
        self.unknown = unknown_commands(node, self)
        yield from self.evaluator.run(node, self.scope, self._streams)

    # --- what the evaluator and the commands ask -----------------------------------------------------

    def command(self, name: str) -> Command:
        """Return a command of the table. Raises `KeyError`."""
        return INTERNAL.get(name) or PROGRAMS[name]

    def lookup(self, scope: Scope) -> Callable[[str], str | None]:
        """Return how variables are looked up: those that are set, and those that are made up when they are asked."""

        def value(name: str) -> str | None:
            found = scope.get(name)
            if found is not None:
                return found
            now = self.machine.local(self.at_s)
            match name.upper():
                case "CD":
                    return shown(scope.cwd)
                case "DATE":
                    return f"{now:%a %m/%d/%Y}"
                case "TIME":
                    return f"{now.hour:>2}:{now:%M:%S}.{now.microsecond // 10_000:02d}"
                case "RANDOM":
                    return str(self.random(32_768))
                case "ERRORLEVEL":
                    return str(scope.status)
                case "CMDCMDLINE":
                    return "cmd.exe"
                case "CMDEXTVERSION":
                    return "2"
            return None

        return value

    def random(self, below: int) -> int:
        """Return a number that differs from call to call."""
        self._draws += 1
        return self.seed.number(f"draw {self._draws}", below)

    def nest(self) -> None:
        """A cmd.exe was started in it: one more `exit` is needed to leave."""
        self._nested = min(self._nested + 1, 64)

    def apart(self, command: str, scope: Scope, streams: dict[int, Stream]) -> Run:
        """Run a command line that stands for itself: what is wrong with it, or left in it, ends it alone."""
        try:
            return (yield from self.evaluator.text(command, scope, streams))
        except (CommandError, IncompleteError, Exit, Goto, Leave, PipeFullError):
            return 1

    def launch(self, program: str, arguments: str, scope: Scope) -> Run:
        """Run a program with its arguments, without cmd.exe between: `&` is none of its affair."""
        try:
            return (yield from execute(self.evaluator, program, f" {arguments}", scope, {}))
        except (CommandError, FileError, IncompleteError, Exit, Goto, Leave, PipeFullError):
            return 1

    def keep_at(self, path: str, scope: Scope) -> Iterator[Kept]:
        """Yield what the attacker made at a path, which is being run."""
        node = self.drives.find(path, scope.cwd)
        if isinstance(node, Written):
            yield from self.keep(self.drives.locate(path, scope.cwd), node, script=not node.data.startswith(b"MZ"))

    def keep_bytes(self, data: bytes, name: str, origin: str) -> Iterator[Kept]:
        """Yield what is run without ever having been a file, if it is more than a note and was not kept before."""
        if len(data) > NOTE_BYTES_MAX and self.note_kept(hashlib.sha256(data).digest()):
            yield Kept(name, data, origin)

    def note_registry(self, key: str, value: str) -> None:
        """Remember what was written into the registry."""
        known = self.registry if self.registry is not None else {}
        if key not in known and (len(known) >= REGISTRY_VALUES_MAX or not self.purse.take(len(key) + len(value))):
            return
        self.registry = {**known, key[:1024]: value[:1024]}

    def is_typing(self, streams: dict[int, Stream]) -> bool:
        """Say whether a command would read what is typed next."""
        return type(streams.get(0)) in (Stream, Typed)

    def matching(self, pattern: str, cwd: bytes) -> Iterator[bytes]:
        """Yield the resolved paths that a name with `*` and `?` means."""
        pattern = pattern.replace("/", "\\").replace('"', "")
        place, backslash, name = pattern.rpartition("\\")
        try:
            directory = self.drives.locate(place + "\\" if backslash else ".", cwd)
            names = sorted(self.files.names(directory), key=bytes.upper)  # as NTFS keeps them
        except FileError:
            return
        wanted = name.lower()
        for there in names:
            self.budget.work(64)
            if matches(there.decode("latin-1").lower(), wanted):
                yield directory + b"/" + there

    # --- what is kept --------------------------------------------------------------------------------

    def is_note(self, path: bytes, file: Written) -> bool:
        """See `Keeper`."""
        data, name = file.data, path.lower()
        return (len(data) <= NOTE_BYTES_MAX and not file.used and not data.translate(None, _TEXT)
                and not any(part in name for part in _RUN_LATER))  # fmt: skip

    def shown_path(self, path: bytes) -> str:
        """See `Keeper`."""
        return shown_for_people(path)


def matches(name: str, pattern: str) -> bool:
    """Say whether a name is one that a pattern with `*` and `?` means; both in small letters."""
    if pattern in ("*", "*.*"):
        return True
    at = back = 0
    star = -1
    position = 0
    while position < len(name):
        if at < len(pattern) and pattern[at] in (name[position], "?"):
            at, position = at + 1, position + 1
        elif at < len(pattern) and pattern[at] == "*":
            star, back = at, position
            at += 1
        elif star >= 0:
            back += 1
            at, position = star + 1, back
        else:
            return False
    return not pattern[at:].strip("*")


@lru_cache(maxsize=8)
def _environment(machine: Windows, user: str) -> dict[str, tuple[str, str]]:
    """Return a user's variables, by their names in capitals."""
    account = user.rpartition("\\")[2]
    is_system = account.lower() in ("system", "local service", "network service")
    known = {name.lower(): name for name in machine.profiles}
    account = known.get(account.lower(), account if is_system else SERVICE_PROFILE)
    profile = "C:\\Windows\\system32\\config\\systemprofile" if is_system else f"C:\\Users\\{account}"
    temporary = "C:\\Windows\\TEMP" if is_system else f"{profile}\\AppData\\Local\\Temp"
    values = {
        "ALLUSERSPROFILE": "C:\\ProgramData", "APPDATA": f"{profile}\\AppData\\Roaming",
        "CommonProgramFiles": "C:\\Program Files\\Common Files",
        "CommonProgramFiles(x86)": "C:\\Program Files (x86)\\Common Files",
        "CommonProgramW6432": "C:\\Program Files\\Common Files", "COMPUTERNAME": machine.name,
        "ComSpec": "C:\\Windows\\system32\\cmd.exe", "LOCALAPPDATA": f"{profile}\\AppData\\Local",
        "NUMBER_OF_PROCESSORS": str(2 << machine.seed.number("processors", 3)), "OS": "Windows_NT",
        "Path": "C:\\Windows\\system32;C:\\Windows;C:\\Windows\\System32\\Wbem;"
                "C:\\Windows\\System32\\WindowsPowerShell\\v1.0\\",
        "PATHEXT": ".COM;.EXE;.BAT;.CMD;.VBS;.VBE;.JS;.JSE;.WSF;.WSH;.MSC",
        "PROCESSOR_ARCHITECTURE": "AMD64", "PROCESSOR_IDENTIFIER": machine.cpu_family.partition(" ~")[0].replace(
            " GenuineIntel", ", GenuineIntel"),
        "PROCESSOR_LEVEL": "6", "ProgramData": "C:\\ProgramData", "ProgramFiles": "C:\\Program Files",
        "ProgramFiles(x86)": "C:\\Program Files (x86)", "ProgramW6432": "C:\\Program Files", "PROMPT": "$P$G",
        "PSModulePath": "C:\\Windows\\system32\\WindowsPowerShell\\v1.0\\Modules\\", "PUBLIC": "C:\\Users\\Public",
        "SystemDrive": "C:", "SystemRoot": "C:\\Windows", "TEMP": temporary, "TMP": temporary,
        "USERDOMAIN": machine.workgroup if is_system else machine.name,
        "USERNAME": f"{machine.name}$" if is_system else account, "USERPROFILE": profile, "windir": "C:\\Windows",
    }  # fmt: skip
    return {name.upper(): (name, value) for name, value in values.items()}
