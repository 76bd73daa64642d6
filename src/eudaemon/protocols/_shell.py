"""The shell as rooms use it: lines in, orders out; one download at a time, and a queue for what is typed meanwhile.

    enter(line) --> the line runs --> it is over               --> enter(line)
                                  --> it downloads, or sleeps  --> busy: lines wait
                                  --> it reads what is typed   --> listening: hear(data), end_input()

Shared by every room in which an attacker gets commands to run. The room says what its terminal does to the text
(`shown`) and hears when the shell has been left (`over`).
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import ClassVar, Protocol

from eudaemon.events.catalogue import CommandEntered
from eudaemon.protocols._base import Answered, Fetch, Keep, Order, Saw, Send, Visit, WakeAt, Woken
from eudaemon.wire import PeerError, printable
from eudaemon.world.files import Files
from eudaemon.world.outside import Download, Downloaded
from eudaemon.world.shell import Act, Kept, Listen, Pause, Print, Shell
from eudaemon.world.shell.streams import Typed

QUEUED_LINES_MAX = 1024
QUEUED_BYTES_MAX = 256 * 1024
PRINTED_BYTES_MAX = 256 * 1024  # of a command whose output a room takes into its answer
_LINE_CHARS_MAX = 4096
_INTERRUPTED = 130  # what a command ends with that SIGINT has ended


class Interpreter(Protocol):
    """What a dialogue needs of a shell: `world.shell.Shell`, or Windows' `CommandShell`."""

    at_s: float
    exited: bool
    unknown: tuple[str, ...]

    typed: Typed | None

    @property
    def unfinished(self) -> bool:
        """Whether the last line wants to be continued."""

    def prompt(self) -> bytes:
        """Return the prompt that stands before the next line."""

    def run(self, line: bytes, at_s: float) -> Generator[Act, Downloaded | None, int]:
        """Run one line; each `Download` is to be answered by `send`."""

    def hear(self, data: bytes) -> None:
        """Let commands read this."""

    def hear_line(self, line: bytes) -> None:
        """Let commands read a line, which is without its end."""

    def interrupt(self) -> None:
        """Forget an unfinished line, as Ctrl-C does."""

    def finish(self) -> Iterator[Kept]:
        """Yield what was written and not kept yet."""

    def finish_writing(self) -> Iterator[Kept]:
        """Yield what the line that runs was writing."""


class ShellDialogue:
    """One attacker at the shell of the pretended host. `muted` keeps the output back, for commands that nobody sees.

    `files` are those that several shells of one session share; `starts_in` a directory other than the host's own.
    Override `shown` and `after_line` where a terminal
    stands between.
    """

    __slots__ = (
        "_line", "_listening", "_pausing", "_queue", "_queued_bytes", "_running", "_shell", "_user", "files", "muted",
        "printed", "starts_in", "status", "visit",
    )  # fmt: skip
    name: ClassVar[bytes] = b""  # what the shell calls itself, if not as the host's does
    captures: ClassVar[bool] = False  # whether output goes into `printed`, up to a limit, and is not sent
    watched: ClassVar[bool] = False  # whether somebody sits at a terminal; then `woken` must be told
    gives_input: ClassVar[bool] = (
        False  # whether commands are given what they read; then `ended` keeps what they make of it
    )
    shares: ClassVar[bool] = True  # whether that comes as the shell's own lines do

    def __init__(self, visit: Visit, user: str = "root", *, muted: bool = False, files: Files | None = None) -> None:
        self.visit = visit
        self.starts_in = b""
        self.muted = muted
        self.printed = b""
        self.files = files
        self.status = 0  # what the last line ended with
        self._user = user
        self._shell: Interpreter | None = None
        self._running: Generator[Act, Downloaded | None, int] | None = None
        self._pausing = False
        self._listening: Listen | None = None
        self._queue: list[bytes] | None = None
        self._queued_bytes = 0
        self._line: bytes | None = None

    # --- what a room asks --------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether a download is awaited or a command takes its time; lines entered now wait too."""
        return self._running is not None and self._listening is None

    @property
    def listening(self) -> bool:
        """Whether a command waits for what it reads."""
        return self._listening is not None

    @property
    def wants_line(self) -> bool:
        """Whether that is a line, which is stated as one."""
        return self._listening is not None and self._listening.stated

    @property
    def over(self) -> bool:
        """Whether the shell was left, by `exit`."""
        return self._shell is not None and self._shell.exited

    @property
    def asking(self) -> bool:
        """Whether the next line is a secret, which no terminal shows."""
        return self._listening is not None and self._listening.hidden

    @property
    def prompt(self) -> bytes:
        """The prompt that stands before the next line."""
        return self._shell.prompt() if self._shell is not None else self.visit.host.prompt_in(self.visit.host.starts_in)

    def enter(self, line: bytes, at_s: float) -> Iterator[Order]:
        """Run a line, give it to the command that reads, or queue it while busy. Raises `PeerError` past a limit."""
        if self.busy:
            if self._queue is None:
                self._queue = []
            self._queued_bytes += len(line)
            if len(self._queue) >= QUEUED_LINES_MAX or self._queued_bytes > QUEUED_BYTES_MAX:
                raise PeerError("too many lines while a download is awaited")
            if not self.visit.purse.take(len(line)):
                raise PeerError("the session holds too many bytes")
            self._queue.append(line)
            return
        yield from self._take(line, at_s)

    def _take(self, line: bytes, at_s: float) -> Iterator[Order]:
        if self._listening is None:
            yield from self._start(line, at_s)
            return
        if self.wants_line:
            self._line = line
        self._made().hear_line(line)
        yield from self._hear_on(at_s)

    def hear(self, data: bytes, at_s: float) -> Iterator[Order]:
        """Give a command what it reads; before there is one, for the next. Raises `PeerError` past a limit."""
        if self.wants_line:
            self._line = data.rstrip(b"\r\n")
        self._made().hear(data)
        yield from self._hear_on(at_s)

    def end_input(self, at_s: float) -> Iterator[Order]:
        """There is nothing more to read: at a terminal for the command that reads now, else for all."""
        typed = self._made().typed
        if typed is not None:
            typed.end()
        yield from self._hear_on(at_s)

    def not_read(self) -> bytes:
        """Return what was given to commands, and none of them has read."""
        typed = self._shell.typed if self._shell is not None else None
        return typed.take_back() if typed is not None else b""

    def _hear_on(self, at_s: float) -> Iterator[Order]:
        if self._listening is not None and self._shell is not None:
            self._listening = None
            self._shell.at_s = at_s
            yield from self._resume(None, at_s)

    def broken_off(self, rest: bytes = b"") -> Iterator[Order]:
        """The session is over while a command reads: what it makes of what came is a part, and worth keeping."""
        if self._listening is None or self._shell is None:
            return
        self._shell.hear(rest)
        for order in self.end_input(self._shell.at_s):
            if isinstance(order, Keep):
                yield replace(order, partial=True)
            elif not isinstance(order, Send):
                yield order
        for kept in self._shell.finish_writing():
            yield Keep(kept.data, kept.origin, kept.path, partial=True)

    @property
    def unfinished(self) -> bool:
        """Whether the last line wants to be continued."""
        return self._shell is not None and self._shell.unfinished

    def answered(self, occasion: Answered) -> Iterator[Order]:
        """Go on with what a download brought, then with the lines that waited."""
        if self._running is not None and not self._pausing and self._listening is None:
            yield from self._resume(occasion.downloaded, occasion.at_s)

    def woken(self, at_s: float) -> Iterator[Order]:
        """Go on with a command whose time has passed, then with the lines that waited."""
        if self._pausing and self._shell is not None:
            self._pausing = False
            self._shell.at_s = at_s
            yield from self._resume(None, at_s)

    def go_on(self, occasion: Answered | Woken) -> Iterator[Order]:
        """Go on, whatever was waited for."""
        yield from self.answered(occasion) if isinstance(occasion, Answered) else self.woken(occasion.at_s)

    def _resume(self, answer: Downloaded | None, at_s: float) -> Iterator[Order]:
        yield from self._go_on(answer, at_s)
        while self._queue and not self.busy and not self.over:
            line = self._queue.pop(0)
            self._queued_bytes -= len(line)
            self.visit.purse.give_back(len(line))
            yield from self._take(line, at_s)

    def interrupt(self) -> None:
        """Ctrl-C: forget the unfinished line, what is awaited and what waits."""
        if self._running is not None:
            self._running.close()
            self.status = _INTERRUPTED
        self._running = self._listening = None
        self._pausing = False
        self._queue = None
        self.visit.purse.give_back(self._queued_bytes)
        self._queued_bytes = 0
        if self._shell is not None:
            self._shell.interrupt()

    def ended(self, *, keeps: bool = True) -> Iterator[Order]:
        """The session is over: keep what was written and not kept, if nobody else does it later."""
        yield from self.broken_off()
        self._running = self._listening = None
        if self._line is not None:
            yield self._entered()
        if self._shell is not None and keeps:
            for kept in self._shell.finish():
                yield Keep(kept.data, kept.origin, kept.path, kept.partial)

    def release(self) -> None:
        """Forget what was printed, and give its bytes back."""
        self.visit.purse.give_back(len(self.printed))
        self.printed = b""

    # --- what a terminal changes -------------------------------------------------------------------

    def shown(self, data: bytes) -> bytes:
        """Return output as the peer gets it."""
        return data

    def after_line(self) -> bytes:
        """Return what is sent after a line was run: the prompt."""
        return b""

    # --- the run -----------------------------------------------------------------------------------

    def _made(self) -> Interpreter:
        """Return the shell, made when it is first needed."""
        if self._shell is None:
            self._shell = self._make()
        return self._shell

    def _make(self) -> Interpreter:
        visit = self.visit
        return Shell(
            visit.host, purse=visit.purse, seed=visit.seed, user=self._user, peer=visit.attacker.ip,
            ports=(visit.local.port, visit.attacker.port), watched=self.watched, files=self.files, name=self.name,
            starts_in=self.starts_in, typed=self._typed(),
        )  # fmt: skip

    def _typed(self) -> Typed | None:
        """Return what commands read."""
        return Typed(self.visit.purse, on_terminal=self.watched, shared=self.shares) if self.gives_input else None

    def _start(self, line: bytes, at_s: float) -> Iterator[Order]:
        self._line = line if line.strip() else None
        self._running = self._made().run(line, at_s)
        yield from self._go_on(None, at_s)

    def _go_on(self, answer: Downloaded | None, at_s: float) -> Iterator[Order]:
        running = self._running
        while running is not None:
            try:
                act = running.send(answer)
            except StopIteration as stop:
                self.status = stop.value
                running = None
                break
            finally:
                # Stated first: what follows in the record follows from it.
                if self._line is not None:
                    fact, self._line = self._entered(), None
                    yield fact
            answer = None
            match act:
                case Print(data):
                    yield from self._send(self.shown(data))
                case Kept(path, data, origin):
                    yield Keep(data, origin, path)
                case Download():
                    yield Fetch(act)
                    return
                case Listen():
                    self._listening = act
                    return
                case Pause(seconds):
                    self._pausing = True
                    yield WakeAt(at_s + seconds)
                    return
        self._running = None
        if not self.over and (prompt := self.after_line()):
            yield from self._send(prompt)

    def _entered(self) -> Saw:
        unknown: tuple[str, ...] = ()
        if self._shell is not None:
            unknown, self._shell.unknown = self._shell.unknown, ()
        return Saw(CommandEntered(printable(self._line or b"", _LINE_CHARS_MAX), unknown))

    def _send(self, data: bytes) -> Iterator[Order]:
        if self.captures:
            part = data[: PRINTED_BYTES_MAX - len(self.printed)]
            if self.visit.purse.take(len(part)):
                self.printed += part
        elif not self.muted:
            yield Send(data)


class TerminalShell(ShellDialogue):
    """The shell behind a terminal: LF is shown as CR LF, and a prompt follows each line."""

    __slots__ = ()
    watched: ClassVar[bool] = True
    gives_input: ClassVar[bool] = True

    def shown(self, data: bytes) -> bytes:
        """See `ShellDialogue`."""
        return data.replace(b"\n", b"\r\n")

    def after_line(self) -> bytes:
        """See `ShellDialogue`."""
        return self.prompt


class Captured(ShellDialogue):
    """A command whose output is taken, for an answer that the room gives."""

    __slots__ = ()
    captures: ClassVar[bool] = True

    def __init__(self, visit: Visit, files: Files | None = None, starts_in: bytes = b"") -> None:
        super().__init__(visit, files=files)
        self.starts_in = starts_in


def left_in(files: Files, visit: Visit) -> Iterator[Keep]:
    """Yield what shells that share these files wrote and did not keep. Call it when the session is over."""
    for kept in Shell(visit.host, purse=visit.purse, seed=visit.seed, files=files).finish():
        yield Keep(kept.data, kept.origin, kept.path)
