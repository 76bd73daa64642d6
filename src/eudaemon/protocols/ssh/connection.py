"""The connection protocol, RFC 4254: channels, their windows, and what is asked for in them.

    CHANNEL_DATA --> unread --> the program in the channel --> out --> CHANNEL_DATA, within window and burst

A program's orders are taken one by one: when a channel's output waits, so does its program, and with it its input,
whose window is not opened again. Connections elsewhere are noted and refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import ClassVar

from eudaemon.events.catalogue import FileRequested, ForwardingAsked
from eudaemon.protocols import _uploads
from eudaemon.protocols._base import Answered, Fetch, Keep, Order, Record, Saw, Send, TellDrained, Visit, WakeAt, Woken
from eudaemon.protocols._shell import left_in
from eudaemon.protocols.ssh import fields, scp
from eudaemon.protocols.ssh.extensions import OpenSshSftp
from eudaemon.protocols.ssh.fields import Fields, message, number, string
from eudaemon.protocols.ssh.programs import Command, OnTerminal, Piped, Program
from eudaemon.protocols.ssh.transport import Transport
from eudaemon.wire import PeerError, printable
from eudaemon.wire.conversation import ATTACKER, HOST

CHANNELS_MAX = 10  # at once: OpenSSH's MaxSessions
REQUESTS_MAX = 4096  # of all kinds, in one session: channels, forwardings, what is done to files
BURST_BYTES_MAX = 64 * 1024  # sent before all of it is on its way
KEPT_BYTES_MAX = 128 * 1024**2  # in one session: a file that is written again and again is kept again and again
_PIECE_BYTES_MAX = 16 * 1024  # of output, in one message
_OUT_BYTES_HIGH = 64 * 1024  # of a channel's output that waits, from which on its program waits
_NAME_CHARS_MAX = 1024
_PROHIBITED, _UNKNOWN_TYPE, _SHORTAGE = 1, 3, 4  # RFC 4254, 5.1


class Channel:
    """One channel, and the program at our end of it."""

    __slots__ = (
        "closed", "consumed", "end_told", "ended", "later", "number", "on_terminal", "out", "packet_bytes", "program",
        "theirs", "unread", "wake_at_s", "window", "window_left", "work",
    )  # fmt: skip

    def __init__(self, own: int, theirs: int, window: int, packet_bytes: int, window_left: int) -> None:
        self.number = own
        self.theirs = theirs
        self.window = window  # what we may still send
        self.packet_bytes = packet_bytes
        self.window_left = window_left  # what the peer may still send
        self.consumed = 0  # since the window was last opened
        self.unread = bytearray()
        self.out = bytearray()
        self.program: Program | None = None
        self.work: Iterator[Order] | None = None  # what the program is at
        self.later: list[Answered | Woken] = []  # what it is to be told then
        self.wake_at_s: float | None = None
        self.on_terminal = self.ended = self.end_told = self.closed = False


class Connection:
    """All channels of one session."""

    __slots__ = (
        "_burst_bytes",
        "_channels",
        "_fetching",
        "_files",
        "_kept_bytes",
        "_requests",
        "_transport",
        "_user",
        "_visit",
    )

    def __init__(self, transport: Transport, visit: Visit, user: str) -> None:
        self._transport = transport
        self._visit = visit
        self._user = user
        self._files = _uploads.files_of(visit, "device", visit.host.tree, visit.host.writable)
        self._channels: dict[int, Channel] = {}
        self._fetching: list[Channel] = []  # whose downloads have no answer yet
        self._requests = 0
        self._burst_bytes = 0
        self._kept_bytes = 0

    # --- what the room says ------------------------------------------------------------------------

    def hear(self, kind: int, read: Fields, at_s: float) -> Iterator[Order]:
        """Take one message. Raises `PeerError`."""
        handler = self._HANDLERS.get(kind)
        if handler is None:
            self._transport.unknown()
            return
        yield from handler(self, read, at_s)

    def go_on(self, occasion: Answered | Woken) -> Iterator[Order]:
        """A download has an answer, or a program's time has come."""
        if isinstance(occasion, Answered):
            told = [self._fetching.pop(0)] if self._fetching else []
        else:
            told = [each for each in self._channels.values() if (each.wake_at_s or occasion.at_s + 1) <= occasion.at_s]
        for channel in told:
            if not channel.closed:
                if isinstance(occasion, Woken):
                    channel.wake_at_s = None
                channel.later.append(occasion)
                yield from self._pump(channel, occasion.at_s)
        yield from self._wake()

    def drained(self, at_s: float) -> Iterator[Order]:
        """All that was sent is on its way."""
        self._burst_bytes = 0
        yield from self.flush(at_s)

    def ended(self, at_s: float) -> Iterator[Order]:
        """The session is over."""
        for channel in self._channels.values():
            yield from self._leave(channel, at_s)
        for keep in left_in(self._files, self._visit):
            self._count_kept(keep)
            yield keep
        self._files.leave()

    def flush(self, at_s: float) -> Iterator[Order]:
        """Send of all channels' output what may be sent now, and let the programs go on that waited for that."""
        for channel in list(self._channels.values()):
            while self._sends(channel) and channel.work is not None and len(channel.out) < _OUT_BYTES_HIGH:
                yield from self._pump(channel, at_s)
            self._end(channel)
        if self._burst_bytes >= BURST_BYTES_MAX:
            yield TellDrained()

    # --- output ------------------------------------------------------------------------------------

    def _sends(self, channel: Channel) -> bool:
        """Send what may be sent; say whether that was anything, or there is nothing."""
        before = len(channel.out)
        while channel.out and channel.window and self._burst_bytes < BURST_BYTES_MAX and self._transport.may_send:
            count = min(len(channel.out), channel.window, channel.packet_bytes, _PIECE_BYTES_MAX)
            piece = bytes(channel.out[:count])
            del channel.out[:count]
            channel.window -= count
            self._burst_bytes += count
            self._visit.purse.give_back(count)
            self._transport.send(message(fields.CHANNEL_DATA, number(channel.theirs), string(piece)))
        return not before or len(channel.out) < before

    def _end(self, channel: Channel) -> None:
        """Close a channel whose program has ended, when all of its output is sent."""
        program = channel.program
        if program is None or program.status is None or channel.out or channel.work is not None or channel.closed:
            return
        channel.closed = True
        self._files.leave()
        status = number(program.status % 2**32)
        theirs = number(channel.theirs)
        self._transport.send(message(fields.CHANNEL_REQUEST, theirs, string(b"exit-status"), b"\0", status))
        self._transport.send(message(fields.CHANNEL_EOF, theirs))
        self._transport.send(message(fields.CHANNEL_CLOSE, theirs))

    # --- programs ----------------------------------------------------------------------------------

    def _pump(self, channel: Channel, at_s: float) -> Iterator[Order]:
        """Let a channel's program work until it wants input that is not there, or its output waits."""
        program = channel.program
        while program is not None:
            if channel.work is None:
                channel.work = self._next_work(channel, program, at_s)
                if channel.work is None:
                    return
            for order in channel.work:
                yield from self._carry(channel, program, order)
                if len(channel.out) >= _OUT_BYTES_HIGH:
                    return
            channel.work = None

    def _next_work(self, channel: Channel, program: Program, at_s: float) -> Iterator[Order] | None:
        if channel.later:
            return program.go_on(channel.later.pop(0))
        if program.status is not None:
            self._consume(channel)
        elif channel.unread:
            return program.receive(self._consume(channel), at_s)
        elif channel.ended and not channel.end_told:
            channel.end_told = True
            return program.end_of_input(at_s)
        return None

    def _consume(self, channel: Channel) -> bytes:
        """Take what is unread, and open the window again by that much, not each time."""
        data = bytes(channel.unread)
        channel.unread.clear()
        self._visit.purse.give_back(len(data))
        channel.consumed += len(data)
        if channel.consumed >= self._transport.product.window_bytes // 3 and not channel.closed:
            channel.window_left += channel.consumed
            opened = number(channel.consumed)
            channel.consumed = 0
            self._transport.send(message(fields.CHANNEL_WINDOW_ADJUST, number(channel.theirs), opened))
        return data

    def _carry(self, channel: Channel, program: Program, order: Order) -> Iterator[Order]:
        if isinstance(order, Send):
            if program.recorded:
                yield Record(HOST, order.data)
            if channel.closed:
                return
            if not self._visit.purse.take(len(order.data)):
                raise PeerError("does not read: more bytes held than this session may")
            channel.out += order.data
        elif isinstance(order, WakeAt):
            channel.wake_at_s = order.at_s
            yield from self._wake()
        else:
            if isinstance(order, Fetch):
                self._fetching.append(channel)
            elif isinstance(order, Saw) and isinstance(order.fact, FileRequested):
                self._count_request()
            elif isinstance(order, Keep):
                self._count_kept(order)
            yield order

    def _count_kept(self, keep: Keep) -> None:
        self._kept_bytes += len(keep.data)
        if self._kept_bytes > KEPT_BYTES_MAX:
            raise PeerError(f"more than {KEPT_BYTES_MAX} bytes to keep")

    def _leave(self, channel: Channel, at_s: float) -> Iterator[Order]:
        """Let a channel's program keep what it has; what it writes now, nobody reads."""
        channel.closed = True
        if channel.program is not None:
            for order in channel.program.ended(at_s):
                yield from self._carry(channel, channel.program, order)

    def _wake(self) -> Iterator[Order]:
        times = [channel.wake_at_s for channel in self._channels.values() if channel.wake_at_s is not None]
        if times:
            yield WakeAt(min(times))

    def _run(self, channel: Channel, program: Program, at_s: float) -> Iterator[Order]:
        channel.program = program
        channel.work = program.begin(at_s)
        yield from self._pump(channel, at_s)

    # --- messages ----------------------------------------------------------------------------------

    def _count_request(self) -> None:
        self._requests += 1
        if self._requests > REQUESTS_MAX:
            raise PeerError(f"more than {REQUESTS_MAX} SSH requests")

    def _global(self, read: Fields, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        self._count_request()
        kind, wants_reply = read.string(), read.flag()
        if kind == b"tcpip-forward":
            yield Saw(ForwardingAsked(kind.decode(), printable(read.string(), _NAME_CHARS_MAX), read.number()))
        if wants_reply:
            self._transport.send(message(fields.REQUEST_FAILURE))

    def _open(self, read: Fields, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        self._count_request()
        kind, theirs, window, packet_bytes = read.string(), read.number(), read.number(), read.number()
        product = self._transport.product
        if kind == b"direct-tcpip":
            yield Saw(ForwardingAsked(kind.decode(), printable(read.string(), _NAME_CHARS_MAX), read.number()))
            self._refuse(theirs, *product.no_forwarding)
        elif kind != b"session":
            self._refuse(theirs, _UNKNOWN_TYPE, b"")
        elif len(self._channels) >= CHANNELS_MAX or not packet_bytes:
            self._refuse(theirs, _SHORTAGE, b"")
        else:
            own = next(each for each in range(CHANNELS_MAX) if each not in self._channels)
            self._channels[own] = Channel(own, theirs, window, packet_bytes, product.window_bytes)
            limits = (number(product.window_bytes), number(product.packet_bytes))
            self._transport.send(message(fields.CHANNEL_OPEN_CONFIRMATION, number(theirs), number(own), *limits))

    def _refuse(self, theirs: int, reason: int, words: bytes) -> None:
        self._transport.send(
            message(fields.CHANNEL_OPEN_FAILURE, number(theirs), number(reason), string(words), string(b""))
        )

    def _named(self, read: Fields) -> Channel:
        channel = self._channels.get(read.number())
        if channel is None:
            raise PeerError("names an SSH channel that is not there")
        return channel

    def _adjust(self, read: Fields, at_s: float) -> Iterator[Order]:  # noqa: ARG002
        channel = self._named(read)
        channel.window += read.number()
        if channel.window >= 2**32:
            raise PeerError("opens an SSH window beyond its limit")
        yield from ()

    def _data(self, read: Fields, at_s: float) -> Iterator[Order]:
        channel = self._named(read)
        data = read.string()
        if channel.ended or len(data) > channel.window_left:
            raise PeerError("sends more than an SSH channel's window allows")
        channel.window_left -= len(data)
        if channel.program is not None and channel.program.recorded:
            yield Record(ATTACKER, data)
        if not self._visit.purse.take(len(data)):
            raise PeerError("the session holds too many bytes")
        channel.unread += data
        if channel.work is None:
            yield from self._pump(channel, at_s)

    def _end_of_data(self, read: Fields, at_s: float) -> Iterator[Order]:
        channel = self._named(read)
        channel.ended = True
        if channel.work is None:
            yield from self._pump(channel, at_s)

    def _close(self, read: Fields, at_s: float) -> Iterator[Order]:
        channel = self._named(read)
        del self._channels[channel.number]
        self._visit.purse.give_back(len(channel.unread) + len(channel.out))
        was_closed = channel.closed
        yield from self._leave(channel, at_s)
        if not was_closed:
            self._transport.send(message(fields.CHANNEL_CLOSE, number(channel.theirs)))

    def _request(self, read: Fields, at_s: float) -> Iterator[Order]:
        self._count_request()
        channel = self._named(read)
        kind, wants_reply = read.string(), read.flag()
        program = self._asked_program(channel, kind, read)
        done = program is not None
        if kind == b"pty-req" and channel.program is None:
            channel.on_terminal = done = True
        elif kind == b"window-change":
            done = True
        if wants_reply and not channel.closed:
            answer = fields.CHANNEL_SUCCESS if done else fields.CHANNEL_FAILURE
            self._transport.send(message(answer, number(channel.theirs)))
        if program is not None:
            if isinstance(program, Command):
                yield Record(ATTACKER, program.text + b"\n")
            yield from self._run(channel, program, at_s)

    def _asked_program(self, channel: Channel, kind: bytes, read: Fields) -> Program | None:
        """Return the program that a request starts; None if it starts none, or there is one."""
        if channel.program is not None or channel.closed:
            return None
        visit, user, files = self._visit, self._user, self._files
        if kind == b"shell":
            return (OnTerminal if channel.on_terminal else Piped)(visit, user, files)
        if kind == b"exec":
            text = read.string()
            return scp.make(visit, files, text) or Command(visit, user, files, text, on_terminal=channel.on_terminal)
        if kind == b"subsystem" and read.string() == b"sftp":
            return OpenSshSftp(visit, files)
        return None

    _HANDLERS: ClassVar[dict[int, Callable[[Connection, Fields, float], Iterator[Order]]]] = {
        fields.GLOBAL_REQUEST: _global,
        fields.CHANNEL_OPEN: _open,
        fields.CHANNEL_WINDOW_ADJUST: _adjust,
        fields.CHANNEL_DATA: _data,
        fields.CHANNEL_EOF: _end_of_data,
        fields.CHANNEL_CLOSE: _close,
        fields.CHANNEL_REQUEST: _request,
    }
