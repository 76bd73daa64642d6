"""ftp.exe, as worms drive it: a script given with `-s:file`, what is piped in, or what is typed.

open 198.51.100.7 5554
user a b              without `-n` the two lines after `open` are name and password
get x.exe             `get` alone takes the names from the next two lines, as its questions would
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from eudaemon.world.files import FileError
from eudaemon.world.windows.call import BROUGHT, Call, Run
from eudaemon.world.windows.limits import ANSWERS_MAX
from eudaemon.world.windows.mode import Mode

if TYPE_CHECKING:
    from eudaemon.world.shell.streams import Stream
    from eudaemon.world.windows.engine import CommandShell

_SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~")
_SCRIPT_BYTES_MAX = 16 * 1024


class Session:
    """One ftp.exe. `wants` are the answers that the next lines give: `user`, `password`, `remote`, `local`, `open`."""

    __slots__ = ("_local", "_remote", "asks_login", "call", "directory", "host", "over", "password", "port", "user",
                 "wants")  # fmt: skip

    def __init__(self, call: Call, host: str, port: str, *, asks_login: bool) -> None:
        self.call = call
        self.host, self.port = host, port
        self.asks_login = asks_login
        self.user = self.password = ""
        self.directory = ""
        self.wants: list[str] = ["user", "password"] if host and asks_login else []
        self.over = False
        self._remote = self._local = ""

    def line(self, line: str) -> Run:
        """Take a line: a command, or the answer to a question."""
        call = self.call
        if self.wants:
            return (yield from self._answer(self.wants.pop(0), line.strip()))
        verb, *args = line.split() or [""]
        verb = verb.lower()
        if verb[:1] == "!":
            return (yield from call.shell.apart(line.strip()[1:], call.scope, call.streams))
        if verb in ("get", "recv", "rec", "mget", "lcd"):
            return (yield from self._moving(verb, args))
        self._saying(verb, args)
        return 0

    def _moving(self, verb: str, args: list[str]) -> Run:
        """Do what changes files."""
        if not args:
            self.wants = ["remote", "local"] if verb != "lcd" else []
            return 0
        if verb == "lcd":
            return (yield from self.call.shell.apart(f'cd /d "{args[0]}"', self.call.scope, {}))
        if verb != "mget":
            return (yield from self._get(args[0], args[1] if len(args) > 1 else _base(args[0])))
        status = 0
        for name in args[:ANSWERS_MAX]:
            status = yield from self._get(name, _base(name))
        return status

    def _saying(self, verb: str, args: list[str]) -> None:
        """Do what only the server would notice."""
        match verb, args:
            case "open" | "o", [host, *port]:
                self._open(host, port[0] if port else "")
            case "open" | "o", []:
                self.wants = ["open"]
            case "user", [name, *rest]:
                self.user, self.password = name, rest[0] if rest else ""
                self.wants = [] if rest else ["password"]
                self.call.line(f"230 User {name} logged in." if rest else f"331 Password required for {name}.")
            case "cd", [directory, *_]:
                self.directory = directory if directory.startswith("/") else f"{self.directory}/{directory}".lstrip("/")
                self.call.line("250 CWD command successful.")
            case (("bye" | "quit"), _):
                self.over = True
                self.call.line("221 Goodbye.")
            case (("binary" | "bin" | "ascii" | "type"), _):
                self.call.line("200 Type set to I.")
            case (("close" | "disconnect"), _):
                self.host = ""

    def _answer(self, question: str, text: str) -> Run:
        match question:
            case "open":
                host, *port = text.split() or [""]
                self._open(host, port[0] if port else "")
            case "user":
                self.user = text
                self.call.line(f"331 Password required for {text}.")
            case "password":
                self.password = text
                self.call.line(f"230 User {self.user} logged in.")
            case "remote":
                self._remote = text
            case "local":
                return (yield from self._get(self._remote, text or _base(self._remote)))
        return 0

    def _open(self, host: str, port: str) -> None:
        self.host, self.port = host, port
        self.call.line(f"Connected to {host}.")
        self.wants = ["user", "password"] if self.asks_login else []

    def _get(self, remote: str, local: str) -> Run:
        call = self.call
        if not self.host:
            call.line("Not connected.")
            return 1
        who = _quoted(self.user) + (f":{_quoted(self.password)}" if self.password else "")
        authority = f"[{self.host}]" if self.host.count(":") > 1 else self.host
        port = f":{self.port}" if self.port.isdecimal() and len(self.port) < 6 and self.port != "21" else ""
        path = remote if remote.startswith("/") else f"{self.directory}/{remote}"
        url = f"ftp://{who + '@' if who else ''}{authority}{port}/{path.lstrip('/')}"
        got = yield from call.fetch(url, "ftp", local)
        if got.outcome not in BROUGHT:
            call.line(
                "550 The system cannot find the file specified. " if got.outcome == "missing" else "Not connected."
            )
            return 1
        call.line(f"200 PORT command successful.\r\n150 Opening BINARY mode data connection for {remote}.\r\n"
                  f"226 Transfer complete.\r\nftp: {got.size} bytes received in 0.14Seconds {got.size / 140:.2f}"
                  "Kbytes/sec.")  # fmt: skip
        return 0


class FtpPrompt(Mode):
    """ftp.exe that reads what is typed."""

    __slots__ = ("_session",)

    def __init__(self, session: Session) -> None:
        self._session = session

    def prompt(self, shell: CommandShell) -> bytes:  # noqa: ARG002
        """See `Mode`."""
        session = self._session
        if session.wants:
            return {"user": b"User: ", "password": b"Password: ", "remote": b"Remote file ", "local": b"Local file ",
                    "open": b"To "}[session.wants[0]]  # fmt: skip
        return b"ftp> "

    def line(self, shell: CommandShell, line: str, streams: dict[int, Stream]) -> Run:
        """See `Mode`."""
        self._session.call.streams = streams
        status = yield from self._session.line(line)
        if self._session.over:
            shell.mode = None
        return status


def ftp(call: Call) -> Run:
    """`ftp [-v] [-n] [-i] [-s:file] [-A] [host [port]]`."""
    script, asks_login, rest = "", True, []
    anonymous = False
    for arg in call.args:
        lower = arg.lower()
        if lower[:3] in ("-s:", "/s:"):
            script = arg[3:]
        elif arg[:1] in "-/" and len(arg) > 1:
            asks_login &= "n" not in lower
            anonymous |= "A" in arg
        else:
            rest.append(arg)
    if anonymous:
        asks_login = False
    host, port = [*rest, "", ""][:2]
    session = Session(call, host, port, asks_login=asks_login)
    if anonymous:
        session.user, session.password = "anonymous", "User@"
    if not script and call.shell.is_typing(call.streams):
        call.shell.mode = FtpPrompt(session)
        return 0
    if script:
        try:
            data = call.read(script)[:_SCRIPT_BYTES_MAX]
        except FileError:
            return call.error(f"Error opening script file {script}.")
    else:
        data = (yield from call.input())[:_SCRIPT_BYTES_MAX]
    status = 0
    for line in data.decode("latin-1").replace("\r\n", "\n").split("\n")[:ANSWERS_MAX]:
        if session.over:
            break
        if line.strip() or session.wants:
            call.line(f"ftp> {line.strip()}" if not session.wants else line.strip())
            status = yield from session.line(line)
    return status


def _base(path: str) -> str:
    return path.replace("\\", "/").rpartition("/")[2]


def _quoted(text: str) -> str:
    return "".join(char if char in _SAFE else f"%{ord(char):02X}" for char in text[:128])
