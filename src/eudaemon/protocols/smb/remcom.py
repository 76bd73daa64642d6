"""RemCom, the program that psexec.py and its heirs bring and start as a service, from the service's side.

    RemCom_communicaton   <- command line (4096), folder (260), priority, process, machine (260), "no wait"
                          -> error and status (4 + 4), once the command line has ended
    RemCom_stdin<machine><process>, RemCom_stdout…, RemCom_stderr…     what is typed and printed

Nothing of it runs: the command line goes to the pretended cmd.exe. The client opens each of the three pipes on a
connection of its own; `between` is what leads to them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from eudaemon.events.catalogue import CommandEntered
from eudaemon.protocols._base import Order, Saw, Send, StillThere
from eudaemon.protocols._dcerpc.host import shown
from eudaemon.protocols.smb.between import Between
from eudaemon.protocols.smb.commands import command_in, is_shell_alone
from eudaemon.wire import PeerError
from eudaemon.world.shell.limits import LINE_BYTES_MAX

if TYPE_CHECKING:
    from eudaemon.protocols.smb.connection import Connection

NAME = "remcom_communicat"  # with and without the mistake in it
_MESSAGE = struct.Struct("<4096s260sII260sI")
MESSAGE_BYTES = _MESSAGE.size
STD = {"remcom_stdin": "in", "remcom_stdout": "out", "remcom_stderr": "err"}
PRINTED_BYTES_MAX = 256 * 1024  # that wait for somebody to read them
TERMINALS_MAX = 4  # of one connection
_PIECE_BYTES = 4096  # that are written at once
_GRACE_S = 2.0  # for who has not yet read what was printed last


@dataclass(frozen=True, slots=True)
class Message:
    """What the client wants run, and what its three pipes are called."""

    command: str
    folder: str
    name: str

    @classmethod
    def read(cls, data: bytes) -> Message:
        """Read a message of `MESSAGE_BYTES`."""
        command, folder, _, process, machine, _ = _MESSAGE.unpack(data)
        texts = (part.split(b"\0")[0].decode("utf-8", "replace") for part in (command, folder, machine))
        command_line, place, whose = texts
        return cls(command_line.strip() or "cmd.exe", place, f"{whose}{process}".lower())


class Terminal:
    """One command line that is run, and somebody who may type. `status` is what it ended with, None before."""

    __slots__ = ("_between", "_connection", "_ended_at_s", "_is_interactive", "_line", "_printed", "_printed_bytes",
                 "prompt", "status")  # fmt: skip

    def __init__(self, connection: Connection, message: Message, at_s: float) -> None:
        self._connection = connection
        self._between = Between(connection.visit, message.name)
        self._between.close()  # what another program of that name has left
        self._between.open(at_s)
        self._is_interactive = is_shell_alone(message.command)
        self.prompt = connection.commands.at_terminal(message.command)
        self.prompt.starts_in = message.folder.encode("latin-1", "replace")
        self._line = b""
        self._printed: list[bytes] = []
        self._printed_bytes = 0
        self._ended_at_s = 0.0
        self.status: int | None = None

    def start(self, command: str, at_s: float) -> Iterator[Order]:
        """Begin."""
        if self._is_interactive:
            yield Saw(CommandEntered(shown(command)))
            self._print(self.prompt.greeting + self.prompt.prompt)
        else:
            yield from self._enter(command_in(command).encode("latin-1", "replace"), at_s)

    def _enter(self, line: bytes, at_s: float) -> Iterator[Order]:
        files = self._connection.disk.files
        files.take_up()  # what the client brought meanwhile, over another connection
        yield from self.heard(self._connection.commands.of(self.prompt, self.prompt.enter(line, at_s)))
        files.leave()

    def heard(self, orders: Iterator[Order]) -> Iterator[Order]:
        """Pass on what the shell orders; what it prints goes to the pipes. Raises `PeerError`."""
        for order in orders:
            if isinstance(order, Send):
                self._print(order.data)
            else:
                yield order

    def _print(self, data: bytes) -> None:
        if self._printed_bytes + len(data) > PRINTED_BYTES_MAX or not self._connection.visit.purse.take(len(data)):
            raise PeerError(f"does not read: over {PRINTED_BYTES_MAX} bytes printed")
        self._printed_bytes += len(data)
        # cmd.exe writes its prompt by itself, and clients that look for one look at what they read at once.
        cut = data.rfind(b"\n") + 1
        for part in (data[:cut], data[cut:]):
            self._printed += [part[at : at + _PIECE_BYTES] for at in range(0, len(part), _PIECE_BYTES)]

    def go_on(self, at_s: float) -> Iterator[Order]:
        """Take what was typed, hand over what was printed, and see whether all is over."""
        for piece in self._between.take_all("in"):
            self._between.open(at_s)
            yield StillThere()
            yield from self._typed(piece, at_s)
        while self._printed and self._between.put("out", self._printed[0]):
            size = len(self._printed.pop(0))
            self._printed_bytes -= size
            self._connection.visit.purse.give_back(size)
        if self._reads or self.prompt.busy:
            return
        self._ended_at_s = self._ended_at_s or at_s
        if at_s - self._ended_at_s > _GRACE_S or not (self._printed or self._between.waits("out")):
            self.status = self.prompt.status
            self._between.close()

    @property
    def _reads(self) -> bool:
        """Whether something reads what is typed: a shell, or what was started and asks."""
        return not self.prompt.over if self._is_interactive else self.prompt.reads

    def _typed(self, piece: bytes, at_s: float) -> Iterator[Order]:
        purse = self._connection.visit.purse
        *lines, rest = (self._line + piece).split(b"\n")
        purse.give_back(len(self._line))
        self._line = b""
        for line in lines:
            if self._reads:
                yield from self._enter(line.rstrip(b"\r"), at_s)
        if len(rest) > LINE_BYTES_MAX or not purse.take(len(rest)):
            raise PeerError(f"line over {LINE_BYTES_MAX} bytes, or more than the session may hold")
        self._line = rest

    def ended(self) -> Iterator[Order]:
        """The client is gone."""
        self._between.close()
        self._connection.visit.purse.give_back(self._printed_bytes + len(self._line))
        self._line, self._printed_bytes = b"", 0
        self._printed.clear()
        yield from self.heard(self.prompt.ended())
