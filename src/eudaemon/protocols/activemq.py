"""ActiveMQ's OpenWire on TCP 61616: a broker of a version that makes whatever exception it is told of (CVE-2023-46604).

    size (4) | type | content                both say WIREFORMAT_INFO first: magic, version, a map of properties

Loosely encoded, as the broker says that it wants it. The exception that attackers have made is Spring's, whose name for
a message is the URL of an XML file: that is fetched, and the commands in it go to the shell. Owns no queue.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any, ClassVar

from eudaemon.events.catalogue import CommandEntered, ExploitRecognised, LoginTried
from eudaemon.protocols import _loot as loot
from eudaemon.protocols._base import (
    Answered,
    Claim,
    Ended,
    Fetch,
    HalfClosed,
    HangUp,
    Keep,
    Occasion,
    Opened,
    Order,
    Received,
    Room,
    Saw,
    Send,
    Visit,
)  # fmt: skip
from eudaemon.protocols._shell import ShellDialogue
from eudaemon.wire import ByteReader, PeerError, printable
from eudaemon.world.container import container_of
from eudaemon.world.host import Host
from eudaemon.world.outside import Download

FRAME_BYTES_MAX = 1024 * 1024
FRAMES_MAX = 5000  # of one session
FETCHES_MAX = 8  # of one session
COMMAND_LINES_MAX = 64
COMMAND_BYTES_MAX = 64 * 1024
_INFO, _CONNECTION, _KEEP_ALIVE, _SHUTDOWN, _RESPONSE, _EXCEPTION = 1, 3, 10, 11, 30, 31  # CommandTypes.java
_NAMES = {2: "BrokerInfo", 4: "SessionInfo", 5: "ConsumerInfo", 6: "ProducerInfo", 7: "TransactionInfo",
          8: "DestinationInfo", 9: "RemoveSubscriptionInfo", 12: "RemoveInfo", 22: "MessageAck",
          23: "ActiveMQMessage", 24: "ActiveMQBytesMessage", 25: "ActiveMQMapMessage", 26: "ActiveMQObjectMessage",
          27: "ActiveMQStreamMessage", 28: "ActiveMQTextMessage"}  # fmt: skip
_BOOLEAN, _INTEGER, _LONG, _STRING = 1, 5, 6, 9  # MarshallingSupport.java
_THROWN_AT = 11  # behind the command's type, number, wish for a response, number that it answers, and a one
_CLASS = re.compile(rb"[A-Za-z_][\w$]*(?:\.[A-Za-z_][\w$]*){2,}")
_URL = re.compile(rb"(?:https?|ftp)://[\x21-\x7e]{1,2048}")
_VERSIONS = (
    "5.15.2",
    "5.15.8",
    "5.15.9",
    "5.15.12",
    "5.15.15",
    "5.16.1",
    "5.16.3",
    "5.16.5",
    "5.17.1",
    "5.17.3",
    "5.17.5",
)
_JVMS = ("1.8.0_181, 25.181-b13", "1.8.0_212, 25.212-b04", "1.8.0_252, 25.252-b09", "1.8.0_342, 25.342-b07")


class ActiveMq(Room):
    """One client of the broker."""

    name: ClassVar[str] = "activemq"
    speaks_first: ClassVar[bool] = True

    __slots__ = ("_asked_by_shell", "_fetches", "_frames", "_held", "_leaves", "_reader", "_shell")

    def __init__(self, visit: Visit) -> None:
        super().__init__(visit)
        self._reader = ByteReader(FRAME_BYTES_MAX + 4)
        self._held = 0
        self._frames = 0
        self._fetches = 0
        self._asked_by_shell: list[bool] = []  # who asked for each download that has no answer yet
        self._shell: ShellDialogue | None = None
        self._leaves = False

    @classmethod
    def claim(cls, first: bytes) -> Claim:
        """An OpenWire client says so; exploits begin with the exception."""
        if first[4:5] == bytes((_EXCEPTION,)) or first[5:13] == b"ActiveMQ":
            return Claim.YES
        is_short = len(first) < 13 and b"\0\0\0\0".startswith(first[:1]) and b"ActiveMQ".startswith(first[5:])
        return Claim.UNSURE if is_short else Claim.NO

    def tell(self, occasion: Occasion) -> Iterator[Order]:
        """Take one occasion and yield the orders that follow from it."""
        match occasion:
            case Opened():
                yield Send(_wire_format(self.visit.host))
            case Received(_, data):
                yield from self._received(data)
            case Answered(at_s):
                yield from self._answered(occasion, at_s)
                yield from self._leave()
            case HalfClosed():
                self._leaves = True
                yield from self._leave()
            case Ended() if self._shell:
                yield from self._shell.ended()

    def _leave(self) -> Iterator[Order]:
        if self._leaves and not self._asked_by_shell:
            yield HangUp()

    def _received(self, data: bytes) -> Iterator[Order]:
        at = 0
        while at < len(data):  # no more at a time than may be held
            piece = data[at : at + self._reader.bytes_max - len(self._reader)]
            at += len(piece)
            self._reader.feed(piece)
            while (frame := self._frame()) is not None:
                yield from self._command(frame)
                if self._leaves:
                    return
        self._account()

    def _frame(self) -> bytes | None:
        head = self._reader.peek()[:4]
        if len(head) < 4:
            return None
        size = int.from_bytes(head, "big")
        if not 0 < size <= FRAME_BYTES_MAX:
            raise PeerError(f"a frame of {size} bytes")
        frame = self._reader.take(4 + size)
        if frame is not None:
            self._frames += 1
            if self._frames > FRAMES_MAX:
                raise PeerError(f"more than {FRAMES_MAX} frames in one session")
        return None if frame is None else frame[4:]

    def _account(self) -> None:
        more = len(self._reader) - self._held
        if more > 0 and not self.visit.purse.take(more):
            raise PeerError("the session holds too many bytes")
        if more < 0:
            self.visit.purse.give_back(-more)
        self._held = len(self._reader)

    # --- commands ------------------------------------------------------------------------------------

    def _command(self, frame: bytes) -> Iterator[Order]:
        kind = frame[0]
        if kind == _INFO:
            return
        if kind == _KEEP_ALIVE:
            yield Send(_framed(frame[:5] + b"\0"))
            return
        if kind == _SHUTDOWN:
            self._leaves = True
            yield from self._leave()
            return
        if kind == _EXCEPTION:
            yield from self._thrown(frame)
        elif kind == _CONNECTION:
            yield from self._connected(frame)
        else:
            yield Saw(CommandEntered(_NAMES.get(kind, f"command {kind}")))
        if frame[5:6] == b"\1":  # it wants a response
            yield Send(_framed(bytes((_RESPONSE,)) + bytes(5) + frame[1:5]))

    def _connected(self, frame: bytes) -> Iterator[Order]:
        """ConnectionInfo: a connection's id, the client's id, password and user name."""
        is_loose = frame[6:8] == b"\1\x78"  # the id is an object of type 120
        texts = _texts(frame, 8, 4) if is_loose else [b""] * 4
        if texts[2] or texts[3]:
            yield Saw(LoginTried(printable(texts[3], 256), printable(texts[2], 256), accepted=True))
        else:
            yield Saw(CommandEntered("ConnectionInfo"))

    def _thrown(self, frame: bytes) -> Iterator[Order]:
        """ExceptionResponse: the name of a class, and the text that one is made with."""
        name, said = _texts(frame, _THROWN_AT, 2)
        if not _CLASS.fullmatch(name):  # tightly encoded, which nobody was asked for
            found = _CLASS.search(frame, _THROWN_AT)
            name, said = found[0] if found else b"exception", frame
        url = _URL.search(said)
        if not url and name.endswith((b"Exception", b"Error")):
            yield Saw(CommandEntered(f"ExceptionResponse {printable(name, 256)}: {printable(said, 1024)}"))
            return
        carried = printable(name + b" " + (url[0] if url else said), 2048)
        yield Saw(ExploitRecognised("activemq-exception", "CVE-2023-46604", carried))
        if url and self._fetches < FETCHES_MAX:
            self._fetches += 1
            self._asked_by_shell.append(False)
            yield Fetch(Download(url[0].decode("ascii"), "spring"))

    # --- what was fetched ----------------------------------------------------------------------------

    def _answered(self, answered: Answered, at_s: float) -> Iterator[Order]:
        if self._asked_by_shell.pop(0):
            if self._shell:
                yield from self._of_shell(self._shell.answered(answered))
            return
        found = loot.xml_strings(answered.downloaded.head)
        if not found or not found.command:
            return
        if self._shell is None:
            inside = replace(self.visit, host=_inside(self.visit.host))
            self._shell = ShellDialogue(inside, muted=True)
        for line in found.command[:COMMAND_BYTES_MAX].split(b"\n")[:COMMAND_LINES_MAX]:
            if not self._shell.over:
                yield from self._of_shell(self._shell.enter(line, at_s))

    def _of_shell(self, orders: Iterator[Order]) -> Iterator[Order]:
        for order in orders:
            if isinstance(order, Fetch):
                self._asked_by_shell.append(True)
            if isinstance(order, Saw | Keep | Fetch):
                yield order


def _texts(frame: bytes, at: int, count: int) -> list[bytes]:
    """Return so many texts, each a one, a size and bytes; a zero stands for none."""
    texts: list[bytes] = []
    for _ in range(count):
        if frame[at : at + 1] == b"\1":
            size = int.from_bytes(frame[at + 1 : at + 3], "big")
            texts.append(frame[at + 3 : at + 3 + size])
            at += 3 + size
        else:
            texts.append(b"")
            at += 1
    return texts


@lru_cache(maxsize=8)
def _inside(host: Host) -> Host:
    """Return the container in which the broker runs."""
    return container_of(host, "activemq", "java")


@lru_cache(maxsize=8)
def _wire_format(host: Host) -> bytes:
    """Return how the broker introduces itself (WireFormatInfo.java)."""
    seed = host.seed.child("activemq")
    version, jvm = seed.choice("version", _VERSIONS), seed.choice("jvm", _JVMS)
    system = f"JVM: {jvm}, Oracle Corporation, OS: Linux, {_inside(host).kernel}, amd64"
    properties: tuple[tuple[str, Any, Any], ...] = (
        ("TcpNoDelayEnabled", _BOOLEAN, True), ("SizePrefixDisabled", _BOOLEAN, False), ("CacheSize", _INTEGER, 1024),
        ("ProviderName", _STRING, "ActiveMQ"), ("StackTraceEnabled", _BOOLEAN, True),
        ("PlatformDetails", _STRING, system), ("CacheEnabled", _BOOLEAN, False),
        ("TightEncodingEnabled", _BOOLEAN, False), ("MaxFrameSize", _LONG, 104_857_600),
        ("MaxInactivityDuration", _LONG, 30_000), ("MaxInactivityDurationInitalDelay", _LONG, 10_000),
        ("ProviderVersion", _STRING, version),
    )  # fmt: skip
    body = len(properties).to_bytes(4, "big") + b"".join(
        _utf(name) + _value(kind, what) for name, kind, what in properties
    )
    return _framed(
        bytes((_INFO,)) + b"ActiveMQ" + (12).to_bytes(4, "big") + b"\1" + len(body).to_bytes(4, "big") + body
    )


def _value(kind: int, what: Any) -> bytes:
    if kind == _STRING:
        return bytes((kind,)) + _utf(str(what))
    return bytes((kind,)) + struct.pack({_BOOLEAN: ">?", _INTEGER: ">i", _LONG: ">q"}[kind], what)


def _utf(text: str) -> bytes:
    return len(text).to_bytes(2, "big") + text.encode("ascii")


def _framed(content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + content
