"""The connection: who is connected, the streams on it, and whose turn it is on each.

CNXN -> CNXN      OPEN -> OKAY | CLSE      WRTE -> OKAY      and of ours each WRTE waits for its OKAY
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

from eudaemon.events.catalogue import CommandEntered
from eudaemon.protocols._base import (
    Answered,
    Claim,
    Ended,
    Fetch,
    HalfClosed,
    HangUp,
    Occasion,
    Opened,
    Order,
    Received,
    Room,
    Saw,
    Send,
    Visit,
    WakeAt,
    Woken,
)  # fmt: skip
from eudaemon.protocols._services import Said, Service
from eudaemon.protocols._shell import left_in
from eudaemon.protocols.adb.messages import Message, MessageReader
from eudaemon.protocols.adb.services import shell_service
from eudaemon.protocols.adb.sync import Sync
from eudaemon.wire import PeerError, printable
from eudaemon.world.android import Android, android_of
from eudaemon.world.files import Files

STREAMS_MAX = 32  # at once
OPENED_MAX = 4096  # in one session
UNSENT_BYTES_MAX = 4 * 1024 * 1024  # that wait on one stream for the peer's OKAY
_PAYLOAD_BYTES_MIN = 256  # a peer that says it takes less is not believed
_SUMMED = 0x01000000  # the last protocol version whose payloads are summed
# What other services answer, by their name; the rest are refused, as `tcp:` is, by which others would be reached.
_SAID = {
    b"root": b"adbd is already running as root\n",
    b"remount": b"remount succeeded\n",
    b"tcpip": b"restarting in TCP mode port: 5555\n",
    b"usb": b"restarting in USB mode\n",
    b"disable-verity": b"verity is already disabled\n",
    b"reboot": b"",
}
_FIRST = b"CNXN"


class _Stream:
    """One stream: its two numbers, its service, and what waits to be sent on it."""

    __slots__ = ("awaits", "closing", "ours", "service", "theirs", "unsent", "wake_s")

    def __init__(self, ours: int, theirs: int, service: Service) -> None:
        self.ours = ours
        self.theirs = theirs
        self.service = service
        self.unsent = bytearray()
        self.awaits = False  # whether the peer owes an OKAY
        self.closing = False
        self.wake_s: float | None = None


class Adb(Room):
    """One connection to the debug bridge."""

    name: ClassVar[str] = "adb"

    __slots__ = (
        "_asked", "_box", "_connected", "_files", "_leaving", "_opened", "_payload_bytes_max", "_reader",
        "_streams", "_summed",
    )  # fmt: skip

    def __init__(self, visit: Visit) -> None:
        super().__init__(visit)
        self._reader = MessageReader(visit.purse)
        self._box: Android | None = None
        self._files: Files | None = None
        self._connected = False
        self._summed = True
        self._payload_bytes_max = _PAYLOAD_BYTES_MIN
        self._streams: dict[int, _Stream] = {}
        self._opened = 0
        self._asked: deque[_Stream] = deque()  # who asked for each download that has no answer yet
        self._leaving = False

    @classmethod
    def claim(cls, first: bytes) -> Claim:
        """Every client begins with CNXN."""
        if first.startswith(_FIRST):
            return Claim.YES
        return Claim.UNSURE if _FIRST.startswith(first) else Claim.NO

    def tell(self, occasion: Occasion) -> Iterator[Order]:
        """Take one occasion and yield the orders that follow from it."""
        match occasion:
            case Received(at_s, data):
                self._reader.feed(data)
                while (message := self._reader.next()) is not None:
                    step = _STEPS.get(message.command)
                    if step is not None:  # adbd passes over what it does not know
                        yield from step(self, message, at_s)
            case Answered(at_s):
                stream = self._asked.popleft()
                yield from self._of_service(stream, stream.service.told(occasion), at_s)
                yield from self._leave()
            case Woken(at_s):
                for stream in [one for one in self._streams.values() if one.wake_s is not None and one.wake_s <= at_s]:
                    stream.wake_s = None
                    yield from self._of_service(stream, stream.service.told(occasion), at_s)
                yield from self._leave()
            case HalfClosed():
                self._leaving = True
                yield from self._leave()
            case Ended(at_s):
                yield from self._cut_short(at_s)
                for stream in list(self._streams.values()):
                    yield from self._close(stream, at_s, cut=True)
                if self._files is not None and self._box is not None:
                    yield from left_in(self._files, replace(self.visit, host=self._box))
            case Opened():
                return

    def _cut_short(self, at_s: float) -> Iterator[Order]:
        """Of a frame that is not whole, give its stream the part that came."""
        message = self._reader.cut_short()
        stream = self._stream(message) if message is not None and message.command == b"WRTE" else None
        if message is not None and stream is not None and not stream.closing:
            yield from self._of_service(stream, stream.service.received(message.payload, at_s), at_s)

    def _leave(self) -> Iterator[Order]:
        if self._leaving and not self._asked:
            yield HangUp()

    # --- messages ------------------------------------------------------------------------------------

    def _connect(self, message: Message, at_s: float) -> Iterator[Order]:
        for stream in list(self._streams.values()):
            yield from self._close(stream, at_s)
        box = self._box = self._box or android_of(self.visit.host)
        version = min(message.arg0, box.release.protocol)
        payload_bytes_max = min(message.arg1, box.release.payload_bytes_max)
        self._summed = version <= _SUMMED
        self._payload_bytes_max = max(_PAYLOAD_BYTES_MIN, payload_bytes_max)
        if not self._connected:
            yield Saw(CommandEntered(f"connect {printable(message.payload.rstrip(bytes(1)), 1024)}"))
        self._connected = True
        yield Send(Message(_FIRST, version, payload_bytes_max, _banner(box)).encode(summed=self._summed))

    def _open(self, message: Message, at_s: float) -> Iterator[Order]:
        box = self._box
        if box is None or not message.arg0:
            return
        self._opened += 1
        if self._opened > OPENED_MAX:
            raise PeerError(f"more than {OPENED_MAX} streams in one session")
        if len(self._streams) >= STREAMS_MAX:
            raise PeerError(f"more than {STREAMS_MAX} streams at once")
        destination = message.payload.partition(b"\0")[0]
        service = self._service(destination, box)
        if not isinstance(service, Sync) and not destination.startswith((b"shell", b"exec")):
            yield Saw(CommandEntered(printable(destination)))
        if service is None:
            yield self._send(b"CLSE", 0, message.arg0)
            return
        stream = _Stream(self._opened, message.arg0, service)
        self._streams[stream.ours] = stream
        yield self._send(b"OKAY", stream.ours, stream.theirs)
        yield from self._of_service(stream, service.opened(at_s), at_s)

    def _write(self, message: Message, at_s: float) -> Iterator[Order]:
        stream = self._stream(message)
        if stream is None:
            yield self._send(b"CLSE", 0, message.arg0)
            return
        yield self._send(b"OKAY", stream.ours, stream.theirs)
        if not stream.closing:
            yield from self._of_service(stream, stream.service.received(message.payload, at_s), at_s)

    def _ready(self, message: Message, at_s: float) -> Iterator[Order]:
        stream = self._stream(message)
        if stream is not None and stream.awaits:
            stream.awaits = False
            yield from self._send_on(stream, at_s)

    def _closed(self, message: Message, at_s: float) -> Iterator[Order]:
        stream = self._stream(message)
        if stream is not None:
            yield from self._close(stream, at_s)

    def _stream(self, message: Message) -> _Stream | None:
        stream = self._streams.get(message.arg1)
        return stream if stream is not None and stream.theirs == message.arg0 else None

    # --- streams -------------------------------------------------------------------------------------

    def _service(self, destination: bytes, box: Android) -> Service | None:
        name, colon, rest = destination.partition(b":")
        visit = replace(self.visit, host=box)
        if self._files is None:
            self._files = Files(box.tree, box.writable, self.visit.purse)
        kind, _, how = name.partition(b",")
        if kind == b"shell" and colon:
            return shell_service(visit, self._files, how, rest)
        if kind == b"exec" and rest:
            return shell_service(visit, self._files, b"exec", rest)
        if kind == b"sync":
            return Sync(self._files)
        return Said(_SAID[kind]) if kind in _SAID else None

    def _of_service(self, stream: _Stream, orders: Iterator[Order], at_s: float) -> Iterator[Order]:
        """Pass on what a service wants; what it sends goes into its stream, as long as that is there."""
        for order in orders:
            if isinstance(order, Fetch):
                self._asked.append(stream)
            if not isinstance(order, Send | HangUp | WakeAt):
                yield order
            elif stream.ours not in self._streams:
                continue
            elif isinstance(order, Send):
                if len(stream.unsent) + len(order.data) > UNSENT_BYTES_MAX or not self.visit.purse.take(
                    len(order.data)
                ):
                    raise PeerError(f"does not read: over {UNSENT_BYTES_MAX} bytes on one stream, or in the session")
                stream.unsent += order.data
            elif isinstance(order, HangUp):
                stream.closing = True
            else:
                stream.wake_s = order.at_s
                yield WakeAt(min(one.wake_s for one in self._streams.values() if one.wake_s is not None))
        yield from self._send_on(stream, at_s)

    def _send_on(self, stream: _Stream, at_s: float) -> Iterator[Order]:
        if stream.ours not in self._streams or stream.awaits:
            return
        part = bytes(stream.unsent[: self._payload_bytes_max])
        if part:
            del stream.unsent[: len(part)]
            self.visit.purse.give_back(len(part))
            stream.awaits = True
            yield self._send(b"WRTE", stream.ours, stream.theirs, part)
        elif stream.closing:
            yield from self._close(stream, at_s)

    def _close(self, stream: _Stream, at_s: float, *, cut: bool = False) -> Iterator[Order]:
        del self._streams[stream.ours]
        self.visit.purse.give_back(len(stream.unsent))
        stream.unsent = bytearray()
        if not stream.closing:
            ends = stream.service.cut if cut else stream.service.closed
            yield from self._of_service(stream, ends(at_s), at_s)
        yield self._send(b"CLSE", stream.ours, stream.theirs)

    def _send(self, command: bytes, arg0: int, arg1: int, payload: bytes = b"") -> Send:
        return Send(Message(command, arg0, arg1, payload).encode(summed=self._summed))


_STEPS = {
    _FIRST: Adb._connect, b"OPEN": Adb._open, b"WRTE": Adb._write, b"OKAY": Adb._ready, b"CLSE": Adb._closed,
}  # fmt: skip


def _banner(box: Android) -> bytes:
    """Return what adbd says of itself, as its release says it."""
    known = ("ro.product.name", "ro.product.model", "ro.product.device")
    pairs = "".join(f"{name}={box.properties[name]};" for name in known)
    features = box.release.features
    return f"device::{pairs}features={features}".encode() if features else f"device::{pairs}\0".encode()
