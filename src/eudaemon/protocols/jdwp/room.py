"""Java's debugger wire protocol on TCP 5005, 8000 and 8453: whoever attaches may call any method, so `Runtime.exec`.

    JDWP-Handshake, said and repeated; then packets        (JDWP's specification, Oracle)
    length (4) | id (4) | 0    | set, command              a request, of either side
    length (4) | id (4) | 0x80 | error (2)                 its answer

A debugger has a thread stopped by an event (a breakpoint, a step), and then calls methods in it. The event comes as
soon as the machine is resumed. Commands go to the shell; classes and other bytes that are put into arrays are kept.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import ClassVar

from eudaemon.events.catalogue import CommandEntered, ExploitRecognised
from eudaemon.protocols._base import (
    Answered,
    Claim,
    Ended,
    HalfClosed,
    HangUp,
    Keep,
    Occasion,
    Order,
    Received,
    Room,
    Saw,
    Send,
    Visit,
    Woken,
)  # fmt: skip
from eudaemon.protocols._shell import Captured
from eudaemon.protocols.jdwp.calls import (
    CALLS,
    DISPOSE,
    NOT_IMPLEMENTED,
    RESUMING,
    SET_ARRAY,
    Debugged,
    Error,
    Runs,
    set_array,
    value,
)
from eudaemon.protocols.jdwp.fields import Fields
from eudaemon.wire import PeerError, printable

PACKET_BYTES_MAX = 16 * 1024 * 1024 + 64
PACKETS_MAX = 20_000  # of one session
COMMANDS_MAX = 64  # that are run
HANDSHAKE = b"JDWP-Handshake"
HEAD = struct.Struct(">IIBBB")
_ANSWER = struct.Struct(">IIBH")
_NOTHING = b"L" + bytes(8)  # no exception, and no object


class Jdwp(Room):
    """One debugger."""

    name: ClassVar[str] = "jdwp"

    __slots__ = ("_buffer", "_commands", "_debugged", "_greeted", "_held", "_leaves", "_lines", "_packets", "_shell",
                 "_told", "_waiting")  # fmt: skip

    def __init__(self, visit: Visit) -> None:
        super().__init__(visit)
        self._buffer = bytearray()
        self._held = 0
        self._greeted = False
        self._packets = 0
        self._told = 0  # events
        self._commands = 0
        self._waiting: tuple[int, Runs] | None = None  # an answer that the shell holds up, and its packet's id
        self._shell: Captured | None = None
        self._lines: list[bytes] = []  # printed, and not read by the debugger yet
        self._leaves = False
        self._debugged = Debugged(visit.host, visit.purse)

    @classmethod
    def claim(cls, first: bytes) -> Claim:
        """The handshake."""
        if not HANDSHAKE.startswith(first[: len(HANDSHAKE)]):
            return Claim.NO
        return Claim.YES if len(first) >= len(HANDSHAKE) else Claim.UNSURE

    def tell(self, occasion: Occasion) -> Iterator[Order]:
        """Take one occasion and yield the orders that follow from it."""
        match occasion:
            case Received(at_s, data):
                self._buffer += data
                self._account()
                yield from self._read(at_s)
            case Answered(at_s) | Woken(at_s) if self._shell:
                yield from self._shell.go_on(occasion)
                yield from self._read(at_s)
                yield from self._leave()
            case HalfClosed():
                self._leaves = True
                yield from self._leave()
            case Ended():
                yield from self._keep_all()
                if self._shell:
                    yield from self._shell.ended()

    @property
    def _busy(self) -> bool:
        return self._shell is not None and self._shell.busy

    def _leave(self) -> Iterator[Order]:
        if self._leaves and not self._busy:
            yield HangUp()

    def _account(self) -> None:
        more = len(self._buffer) - self._held
        if more > 0 and not self.visit.purse.take(more):
            raise PeerError("the session holds too many bytes")
        if more < 0:
            self.visit.purse.give_back(-more)
        self._held = len(self._buffer)

    # --- packets -------------------------------------------------------------------------------------

    def _read(self, at_s: float) -> Iterator[Order]:
        if not self._greeted:
            if len(self._buffer) < len(HANDSHAKE):
                return
            if not self._buffer.startswith(HANDSHAKE):
                raise PeerError("no handshake of a debugger")
            del self._buffer[: len(HANDSHAKE)]
            self._greeted = True
            yield Send(HANDSHAKE)
        yield from self._go_on()
        while self._waiting is None and (packet := self._packet()) is not None:
            yield from self._asked(*packet, at_s)
        self._account()

    def _packet(self) -> tuple[int, int, int, bytes] | None:
        if len(self._buffer) < HEAD.size:
            return None
        length, number, flags, group, command = HEAD.unpack_from(self._buffer)
        if not HEAD.size <= length <= PACKET_BYTES_MAX:
            raise PeerError(f"a packet of {length} bytes")
        if len(self._buffer) < length:
            return None
        data = bytes(self._buffer[HEAD.size : length])
        del self._buffer[:length]
        self._packets += 1
        if self._packets > PACKETS_MAX:
            raise PeerError(f"more than {PACKETS_MAX} packets in one session")
        return (-1 if flags & 0x80 else group), command, number, data

    def _asked(self, group: int, command: int, number: int, data: bytes, at_s: float) -> Iterator[Order]:
        call = CALLS.get((group, command))
        if group < 0:
            return  # an answer, to nothing
        try:
            if call is None:
                raise Error(NOT_IMPLEMENTED)
            name, step = call
            said = step(self._debugged, Fields(data))
        except Error as error:
            yield Send(_ANSWER.pack(_ANSWER.size, number, 0x80, error.code))
            return
        if name:
            yield Saw(CommandEntered(name))
        if isinstance(said, Runs):
            yield from self._run(said, number, at_s)
        else:
            yield _answer(number, said)
        if (group, command) in RESUMING:
            yield from self._events()
        elif (group, command) == DISPOSE:
            yield HangUp()

    def _events(self) -> Iterator[Order]:
        """Let each event come that is waited for; each stops the thread in which it happens."""
        for request, (kind, thread, place) in self._debugged.awaited.items():
            self._told += 1
            data = b"\2\0\0\0\1" + bytes((kind,)) + request.to_bytes(4, "big") + thread.to_bytes(8, "big") + place
            yield Send(HEAD.pack(HEAD.size + len(data), self._told, 0, 64, 100) + data)

    # --- commands --------------------------------------------------------------------------------------

    def _run(self, runs: Runs, number: int, at_s: float) -> Iterator[Order]:
        """Run a line, if the call has one. What is returned by what is printed waits until all is."""
        if runs.line:
            self._commands += 1
            if self._commands > COMMANDS_MAX:
                raise PeerError(f"more than {COMMANDS_MAX} commands in one session")
            yield Saw(ExploitRecognised("jdwp-command", "T1190", printable(runs.line, 2048)))
            self._shell = self._shell or Captured(self.visit)
            yield from self._shell.enter(runs.line, at_s)
        if runs.value:
            yield _answer(number, runs.value + _NOTHING)
        else:
            self._waiting = number, runs
            yield from self._go_on()

    def _go_on(self) -> Iterator[Order]:
        """Answer what waited for the shell."""
        if self._waiting is not None and not self._busy:
            (number, runs), self._waiting = self._waiting, None
            yield _answer(number, self._printed(whole=runs.whole) + _NOTHING)

    def _printed(self, *, whole: bool) -> bytes:
        """Return what was printed as a value: all of it, or the next line, and no object behind the last."""
        if self._shell is not None:
            self._lines += self._shell.printed.splitlines(keepends=True)
            self._shell.release()
        lines = self._lines if whole else self._lines[:1]
        self._lines = self._lines[len(lines) :]
        text = b"".join(lines)
        return value(self._debugged, text if whole else text.rstrip(b"\r\n")) if lines or whole else _NOTHING

    def _keep_all(self) -> Iterator[Order]:
        """Keep what was put into arrays, also by a request that broke off."""
        if tuple(self._buffer[9 : HEAD.size]) == SET_ARRAY:
            with suppress(Error, PeerError):
                set_array(self._debugged, Fields(bytes(self._buffer[HEAD.size :])), cut=True)
        for array in self._debugged.machine.arrays.values():
            if array.signature == "[B" and array.filled:
                yield Keep(bytes(array.data[: array.filled]), "upload", partial=array.filled < len(array.data))


def _answer(number: int, data: bytes) -> Send:
    return Send(_ANSWER.pack(_ANSWER.size + len(data), number, 0x80, 0) + data)
