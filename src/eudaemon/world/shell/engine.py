"""One session's shell: takes lines, gives acts. Holds what lasts from line to line."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

from eudaemon.wire import PeerError, Purse
from eudaemon.world.files import Device, FileError, Files, Written
from eudaemon.world.host import Host
from eudaemon.world.outside import Downloaded
from eudaemon.world.seed import Seed
from eudaemon.world.shell.acts import Act, Kept, Print
from eudaemon.world.shell.applets import APPLETS, BUILTINS
from eudaemon.world.shell.budget import LimitError, PatienceError
from eudaemon.world.shell.evaluator import Break, Evaluator, Exit, Return
from eudaemon.world.shell.expansion import ExpansionError
from eudaemon.world.shell.keeping import Keeper
from eudaemon.world.shell.limits import LINE_BYTES_MAX, NOTE_BYTES_MAX, OFFERED_MAX, SCRIPT_BYTES_MAX
from eudaemon.world.shell.notes import note_used
from eudaemon.world.shell.parser import Parser
from eudaemon.world.shell.scope import Scope
from eudaemon.world.shell.streams import Endless, Full, PipeFullError, Stream, Terminal, Typed
from eudaemon.world.shell.survey import unknown_commands
from eudaemon.world.shell.unfinished import Reader
from eudaemon.world.shell.words import ShellSyntaxError

if TYPE_CHECKING:
    from eudaemon.world.shell.call import Applet


_READING_COSTS = 32  # what reading a byte of shell text costs, against copying one


@lru_cache(maxsize=16)
def _names(names: tuple[bytes, ...]) -> frozenset[bytes]:
    """Return the names of an environment, which all sessions of a host share."""
    return frozenset(names)


class Shell(Keeper):
    """A login shell of `user` on `host`.

    What its files hold is taken from `purse`. `peer` is the attacker's address, for droppers that hold it as bytes.
    `ports` are the host's and the attacker's of the connection. `hostname` is what `hostname` last set.
    `files` are those of a session that has several shells, `name` is what the shell calls itself and `starts_in` where
    it begins, if not as the host's does.
    `typed` is what commands hear that read their standard input, none if nobody gives them any.
    `watched` is whether somebody sits at a terminal. `unwatched` is 0 while he sees what is being evaluated: for what
    he does not see, such as a job in the background, no time passes.
    `unknown` names the commands of the last line that the host does not have; `exited` is true after `exit`.
    """

    __slots__ = (
        "_draws",
        "_heard",
        "_held_bytes",
        "_levels",
        "_offers",
        "_reader",
        "_scope",
        "_screen",
        "evaluator",
        "exited",
        "host",
        "hostname",
        "peer",
        "pid",
        "ports",
        "ran_program",
        "seed",
        "typed",
        "unknown",
        "unwatched",
        "user",
    )  # fmt: skip

    def __init__(
        self,
        host: Host,
        *,
        purse: Purse,
        seed: Seed,
        user: str = "root",
        peer: str = "",
        ports: tuple[int, int] = (0, 0),
        watched: bool = False,
        files: Files | None = None,
        name: bytes = b"",
        starts_in: bytes = b"",
        typed: Typed | None = None,
    ) -> None:
        super().__init__(files or Files(host.tree, host.writable, purse), purse)
        self.host = host
        self.hostname = host.name
        self.peer = peer
        self.ports = ports
        self.seed = seed
        self.user = user
        self.evaluator = Evaluator(self)
        self.exited = False
        self.ran_program = False
        self.unknown: tuple[str, ...] = ()
        self.unwatched = int(not watched)
        self.pid = 0
        self._screen = bytearray()
        self._reader: Reader | None = None  # of what is not finished
        self._draws = 0
        self._offers: list[bytes] | None = None
        self._levels = 0
        self._held_bytes = 0
        self._heard = False  # whether the line that runs has read what was typed
        self.typed = typed
        terminal = Terminal(self._screen, self.budget, typed)
        starts_in = starts_in or host.starts_in
        environment = self._environment(starts_in)
        streams = {0: typed or Stream(), 1: terminal, 2: terminal}
        self._scope = Scope(starts_in, environment, streams, _names(tuple(environment)))
        self._scope.name = name or host.shell_name

    def _environment(self, starts_in: bytes) -> dict[bytes, bytes]:
        name = self.user.encode("latin-1", "replace")
        return {**self.host.environment, b"USER": name, b"LOGNAME": name, b"PWD": starts_in}

    # --- lines in, acts out ------------------------------------------------------------------------

    def prompt(self) -> bytes:
        """Return the prompt that stands before the next line."""
        return b"> " if self._reader is not None else self.host.prompt_in(self._scope.cwd)

    def run(self, line: bytes, at_s: float) -> Generator[Act, Downloaded | None, int]:
        """Run one line, without its line end. Each `Download` is to be answered by `send`; returns the exit status.

        Raises `PeerError` if the line, or what it continues, is over a limit.
        """
        self.at_s = at_s
        self.unknown = ()
        if not self.pid:
            self.pid = self.host.pid_at(at_s)
        whole = (Reader() if self._reader is None else self._reader).whole(line)
        if whole is None:
            self._settle()
            return 0
        self.budget.renew()
        if len(whole) > LINE_BYTES_MAX:
            self.budget.heard(len(whole))
        self._writing, self._heard = None, False
        walk = self._evaluate_guarded(whole)
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
        self.withdraw(0)
        self._settle()
        return self._scope.status

    def finish(self) -> Iterator[Kept]:
        """See `Keeper`; a here-document that was never ended is a part of whatever it was to become."""
        yield from super().finish()
        unfinished = self._reader.unfinished if self._reader is not None else None
        if unfinished and unfinished.is_document and len(unfinished) > NOTE_BYTES_MAX:
            yield Kept("unfinished document", unfinished.text, "upload", partial=True)

    def hear(self, data: bytes) -> None:
        """Let commands read this. Raises `PeerError` past a limit."""
        if self.typed is not None:
            self.typed.hear(data)
            self.budget.heard(len(data))
            self._heard = True

    def hear_line(self, line: bytes) -> None:
        """Let commands read a line, which is without its end."""
        self.hear(line + b"\n")

    @property
    def unfinished(self) -> bool:
        """Whether the last line wants to be continued."""
        return self._reader is not None

    def _settle(self) -> None:
        """Take from the purse what the shell's state has grown by. Raises `PeerError` if that is not there."""
        held = self._scope.held_bytes() + (len(self._reader) if self._reader is not None else 0)
        if held > self._held_bytes:
            if not self.purse.take(held - self._held_bytes):
                raise PeerError("the session holds too many bytes")
        else:
            self.purse.give_back(self._held_bytes - held)
        self._held_bytes = held

    def interrupt(self) -> None:
        """Forget an unfinished line, as Ctrl-C does."""
        self._reader = None
        self._scope.status = 130
        if self._heard:
            self.note_typed()

    def _shown(self) -> Print:
        data = bytes(self._screen)
        self._screen.clear()
        return Print(data)

    def _evaluate_guarded(self, line: bytes) -> Generator[Act, Downloaded | None, None]:
        try:
            try:
                yield from self._read_and_run(line, self._scope)
            except Exit:
                yield from self.evaluator.at_exit(self._scope)
                raise
        except (ShellSyntaxError, ExpansionError) as error:
            self._screen += self._scope.name + f": {error}\n".encode("latin-1", "replace")
            self._scope.status = 2
        except (Break, Return, PipeFullError):
            self._scope.status = 1
        except Exit:
            self._levels -= 1
            self.exited = self.exited or self._levels < 0
        except PatienceError:
            self.count_exhausted()
            self._screen += b"\n"
            self._scope.status = 130
        except LimitError:
            self.count_exhausted()
            self._screen += b"Killed\n"
            self._scope.status = 137

    def _read_and_run(self, text: bytes, scope: Scope) -> Generator[Act, Downloaded | None, None]:
        reader, self._reader = Reader() if self._reader is None else self._reader, None
        lines = reader.commands(text)
        if lines is None:
            self._reader = reader
            return
        self.unknown = unknown_commands(lines, self, scope)
        for commands in lines:
            yield from self.evaluator.commands(commands, scope, scope.streams)

    def evaluate(self, text: bytes, scope: Scope, name: bytes) -> Generator[Act, Downloaded | None, None]:
        """Run a script's text in a scope; what is wrong in it ends it there."""
        scope.name = name
        self.budget.work(_READING_COSTS * len(text))
        note_used(self.files, text)
        parser = Parser(text[:SCRIPT_BYTES_MAX].replace(b"\r\n", b"\n"))
        try:
            while True:
                self.budget.work(1)
                start = parser.at
                try:
                    commands = parser.next_line()
                except ShellSyntaxError as error:
                    scope.streams.get(2, Stream()).write(
                        f"{name.decode('latin-1')}: line {parser.line_number}: {error}\n".encode("latin-1", "replace")
                    )
                    scope.status = 2
                    return
                if commands is None:
                    return
                scope.script_line += text.count(b"\n", start, parser.at)
                yield from self.evaluator.subshell_line(commands, scope)
        except Exit:
            return

    def is_ours(self, data: bytearray) -> bool:
        """See `Keeper`."""
        return len(data) == len(self.host.busybox) and data == self.host.busybox

    # --- what the evaluator and the applets ask ------------------------------------------------------

    def applet(self, name: bytes) -> Applet | None:
        """Return the builtin or applet of that name, if the host has it."""
        try:
            known = name.decode("ascii")
        except UnicodeDecodeError:
            return None
        if known in BUILTINS or known in self.host.applets or known in self.host.programs:
            return APPLETS.get(known)
        return None

    def program_path(self, name: bytes, scope: Scope) -> bytes | None:
        """Return the path of the file that a command name means, or None."""
        if b"/" in name:
            return name
        for directory in scope.variables.get(b"PATH", b"").split(b":")[:16]:
            path = directory + b"/" + name
            if self.files.find(path, scope.cwd) is not None:
                return path
        return None

    def device(self, node: Device) -> Stream:
        """Return the stream that a device is."""
        match node.name:
            case b"zero":
                return Endless(b"\0")
            case b"random":
                return Endless(self.seed.bytes("random", 251))
            case b"full":
                return Full()
            case b"tty" | b"console":
                return self._scope.streams[1]
        return Stream()

    @property
    def offered(self) -> int:
        """How many files there are of what commands print: `<(…)`."""
        return len(self._offers or ())

    def offer(self, data: bytes) -> bytes:
        """Return the path of a file that holds this. It is gone when the command that reads it has ended."""
        offers = self._offers = self._offers or []
        if len(offers) >= OFFERED_MAX or not self.purse.take(len(data)):
            raise LimitError("files")
        file = Written(0o755, self.at_s)
        file.data += data
        for folder in (b"/dev", b"/tmp", b"/var/run"):
            path = folder + b"/%d" % (63 - len(offers))
            try:
                self.files.place(path, file)
            except FileError:
                continue
            offers.append(path)
            return path
        self.purse.give_back(len(data))
        raise LimitError("files")

    def withdraw(self, left: int) -> None:
        """Take away the files of `offer` but for the first ones."""
        while self._offers and len(self._offers) > left:
            path = self._offers.pop()
            if self.files.find(path) is not None:
                self.files.remove(path)

    def random(self, below: int) -> int:
        """Return a number that differs from call to call."""
        self._draws += 1
        return self.seed.number(f"draw {self._draws}", below)

    def nest(self) -> None:
        """A shell was started in the shell: one more `exit` is needed to leave."""
        self._levels = min(self._levels + 1, 64)

    def leave(self) -> None:
        """The session is over after this line, however many shells were started in the shell."""
        self.exited = True

    def which(self, name: bytes) -> bytes | None:
        """Return where a program stands, None if the host does not have it."""
        known = name.decode("latin-1")
        if known in self.host.applets or known in self.host.programs or known == "busybox":
            return self.host.path_of(known).encode()
        return None
