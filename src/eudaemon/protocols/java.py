"""Java's objects over the network: RMI's registry on TCP 1099, WebLogic's T3 on 7001, and bare streams of objects.

    RMI     "JRMI" version K --> N peer's address --> its own --> P object …    (Java RMI specification, chapter 10)
    T3      "t3 12.2.1", AS:…, HL:… and a blank line --> HELO:version --> size (4) and a message, which has objects
    bare    ac ed 00 05 …

Whoever reads such objects makes whatever they are, which has run commands ever since (CWE-502). Objects are kept; the
commands in them, which stand there in plain text, go to the shell, and addresses that JNDI would ask are asked. Makes
no object of anything.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from itertools import islice
from typing import ClassVar

from eudaemon.events.catalogue import CommandEntered, ExploitRecognised
from eudaemon.protocols import _plain as plain
from eudaemon.protocols._base import (
    Answered,
    Claim,
    Ended,
    Fetch,
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
    WakeAt,
    Woken,
)  # fmt: skip
from eudaemon.protocols._shell import ShellDialogue
from eudaemon.wire import PeerError, printable
from eudaemon.world.host import Host
from eudaemon.world.outside import Download

MESSAGE_BYTES_MAX = 16 * 1024 * 1024
HEAD_BYTES_MAX = 4096  # of what introduces a client
MESSAGES_MAX = 256  # of one session
FETCHES_MAX = 4  # of one session
COMMANDS_MAX = 16  # of one session
CLASSES_MAX = 12  # that an event names
PAUSE_S = 0.2  # a call has no length: it is over when nothing more comes
_STREAM = b"\xac\xed\0\5"
_RMI = re.compile(rb"JRMI\0[\1\2][KLM]", re.DOTALL)
_CALL, _RETURN, _PING, _PING_ACK, _DGC_ACK = b"\x50", b"\x51", b"\x52", b"\x53", b"\x54"
_DGC_BYTES = 15
_HEAD = struct.Struct(">4sBBq14siq")  # of a call: a stream, a block of 34 bytes; object, its id, operation, hash
_OPERATIONS = ("bind", "list", "lookup", "rebind", "unbind")  # RegistryImpl_Skel
_LIST, _LOOKUP = 1, 2
_STRINGS = b"\x75\x72\0\x13[Ljava.lang.String;\xad\xd2\x56\xe7\xe9\x1d\x7b\x47\2\0\0\x78\x70"
_CLASS = re.compile(rb"r\0[\x02-\xff]((?:\[+L?)?[A-Za-z_$][\w$]*(?:\.[\w$]+)+)")  # TC_CLASSDESC and a name
_JNDI = re.compile(rb"(?:ldaps?|rmi|iiop)://[\w.:\[\]-]{3,256}(?:/[!-~]{0,1024})?")
_T3_VERSIONS = ("10.3.6.0", "12.1.3.0", "12.2.1.0", "12.2.1.3", "12.2.1.4", "14.1.1.0")
_NAMES = (
    "jmxrmi",
    "HelloRegistry",
    "RmiService",
    "userService",
    "BrokerService",
    "remoteService",
    "task",
    "Calculator",
)


class Java(Room):
    """One client that speaks in objects."""

    name: ClassVar[str] = "java"

    __slots__ = (
        "_asked_by_shell",
        "_buffer",
        "_commands",
        "_fetches",
        "_held",
        "_leaves",
        "_messages",
        "_shell",
        "_way",
    )

    def __init__(self, visit: Visit) -> None:
        super().__init__(visit)
        self._buffer = bytearray()
        self._held = 0
        self._way = ""  # rmi: its own address is to come; calls; t3; bare
        self._messages = 0
        self._fetches = 0
        self._commands = 0
        self._asked_by_shell: list[bool] = []  # who asked for each download that has no answer yet
        self._shell: ShellDialogue | None = None
        self._leaves = False

    @classmethod
    def claim(cls, first: bytes) -> Claim:
        """By the first letters."""
        marks = (b"JRMI\0", b"t3 ", b"t3s ", _STREAM)
        if any(first.startswith(mark) for mark in marks):
            return Claim.YES
        return Claim.UNSURE if any(mark.startswith(first) for mark in marks) else Claim.NO

    def tell(self, occasion: Occasion) -> Iterator[Order]:
        """Take one occasion and yield the orders that follow from it."""
        match occasion:
            case Received(at_s, data):
                self._buffer += data
                self._account()
                yield from self._read(at_s)
                self._account()
                if self._way == "calls" and _is_whole(bytes(self._buffer[:MESSAGE_BYTES_MAX])):
                    yield from self._paused(at_s)
                elif self._way in ("calls", "bare") and self._buffer:
                    yield WakeAt(at_s + PAUSE_S)
            case Woken(at_s):
                yield from self._paused(at_s)
            case Answered(at_s):
                by_shell = self._asked_by_shell.pop(0)
                if by_shell and self._shell:
                    yield from self._of_shell(self._shell.answered(occasion))
                yield from self._leave()
            case HalfClosed(at_s):
                yield from self._paused(at_s)
                self._leaves = True
                yield from self._leave()
            case Ended(at_s):
                yield from self._broken_off(at_s)
                if self._shell:
                    yield from self._shell.ended()

    def _leave(self) -> Iterator[Order]:
        if self._leaves and not self._asked_by_shell:
            yield HangUp()

    def _account(self) -> None:
        more = len(self._buffer) - self._held
        if more > 0 and not self.visit.purse.take(more):
            raise PeerError("the session holds too many bytes")
        if more < 0:
            self.visit.purse.give_back(-more)
        self._held = len(self._buffer)

    # --- reading -------------------------------------------------------------------------------------

    def _read(self, at_s: float) -> Iterator[Order]:
        if not self._way:
            yield from self._introduced()
        if self._way == "rmi":
            self._skip_endpoint()
        if self._way == "t3":
            while (message := self._message()) is not None:
                self._count()
                yield from self._objects(message, at_s)
        elif len(self._buffer) > MESSAGE_BYTES_MAX:
            yield Keep(bytes(self._buffer[:MESSAGE_BYTES_MAX]), "payload", partial=True)
            self._buffer.clear()
            raise PeerError(f"an object over {MESSAGE_BYTES_MAX} bytes")

    def _introduced(self) -> Iterator[Order]:
        """See whose way it is, and answer as that has it."""
        if self._buffer.startswith(_STREAM):
            self._way = "bare"
        elif _RMI.match(self._buffer):
            kind = self._buffer[6:7]
            del self._buffer[:7]
            peer = self.visit.attacker
            if kind == b"K":
                there = peer.ip.encode()
                yield Send(b"N" + len(there).to_bytes(2, "big") + there + peer.port.to_bytes(4, "big"))
            self._way = "rmi" if kind == b"K" else "calls"
        elif self._buffer[:2] == b"t3" and b"\n\n" in self._buffer[:HEAD_BYTES_MAX]:
            head, _, rest = bytes(self._buffer).partition(b"\n\n")
            self._buffer[:] = rest
            yield Saw(CommandEntered(printable(head.replace(b"\n", b" "), 512)))
            yield Send(f"HELO:{t3_version(self.visit.host)}.false\nAS:2048\nHL:19\nMS:10000000\nPN:DOMAIN\n\n".encode())
            self._way = "t3"
        elif len(self._buffer) > HEAD_BYTES_MAX or not self._may_be():
            raise PeerError("nothing that Java says")

    def _may_be(self) -> bool:
        first = bytes(self._buffer[:7])
        return first[:2] == b"t3" or any(mark.startswith(first[: len(mark)]) for mark in (b"JRMI\0", b"t3", _STREAM))

    def _skip_endpoint(self) -> None:
        """The client says its own address, too, of which nobody makes use."""
        size = 2 + int.from_bytes(self._buffer[:2], "big") + 4
        if size > HEAD_BYTES_MAX:
            raise PeerError("an address that is too long")
        if len(self._buffer) >= size:
            del self._buffer[:size]
            self._way = "calls"

    def _message(self) -> bytes | None:
        if len(self._buffer) < 4:
            return None
        size = int.from_bytes(self._buffer[:4], "big")
        if not 4 <= size <= MESSAGE_BYTES_MAX:
            raise PeerError(f"a message of {size} bytes")
        if len(self._buffer) < size:
            return None
        message = bytes(self._buffer[4:size])
        del self._buffer[:size]
        return message

    def _count(self) -> None:
        self._messages += 1
        if self._messages > MESSAGES_MAX:
            raise PeerError(f"more than {MESSAGES_MAX} messages in one session")

    def _paused(self, at_s: float) -> Iterator[Order]:
        """Nothing more has come for a while: what is there is whole."""
        data, kind = bytes(self._buffer), bytes(self._buffer[:1])
        if self._way not in ("calls", "bare") or not data:
            return
        self._buffer.clear()
        self._account()
        self._count()
        if self._way == "bare":
            yield from self._objects(data, at_s)
        elif kind == _CALL:
            yield from self._call(data[1:], at_s)
        elif kind == _PING:
            yield Send(_PING_ACK)
        elif kind != _DGC_ACK or len(data) != _DGC_BYTES:
            yield Keep(data, "payload")
            raise PeerError("no message of RMI's")

    def _broken_off(self, at_s: float) -> Iterator[Order]:
        if self._way == "t3" and len(self._buffer) > 4:
            yield Keep(bytes(self._buffer[4:]), "payload", partial=True)
        else:
            for order in self._paused(at_s):
                if not isinstance(order, Send):
                    yield order

    # --- objects -------------------------------------------------------------------------------------

    def _call(self, data: bytes, at_s: float) -> Iterator[Order]:
        answer = b"\x70"  # null
        if len(data) >= _HEAD.size and data.startswith(_STREAM):
            _, _, _, target, _, operation, _ = _HEAD.unpack_from(data)
            named = target == 0 and 0 <= operation < len(_OPERATIONS)
            name = printable(data[_HEAD.size + 3 :], 256) if _is_whole(_CALL + data) else ""
            asked = f"registry: {_OPERATIONS[operation]} {name}" if named else f"call of object {target}"
            yield Saw(CommandEntered(asked.rstrip()))
            if named and operation == _LIST:
                names = bound(self.visit.host)
                answer = _STRINGS + len(names).to_bytes(4, "big") + b"".join(
                    b"\x74" + len(name).to_bytes(2, "big") + name.encode() for name in names
                )  # fmt: skip
        if len(data) > _HEAD.size and not _is_whole(_CALL + data):
            yield from self._objects(data, at_s)
        unique = self.visit.seed.bytes("vm", 4) + int(at_s * 1000).to_bytes(8, "big") + b"\x80\1"
        yield Send(_RETURN + _STREAM + b"\x77\x0f\1" + unique + answer)

    def _objects(self, data: bytes, at_s: float) -> Iterator[Order]:
        """Keep what came, and do what is in it."""
        classes = dict.fromkeys(found[1].decode("ascii") for found in islice(_CLASS.finditer(data), 64))
        if _STREAM in data:
            yield Keep(data, "payload")
        urls = dict.fromkeys(_address(data, found) for found in islice(_JNDI.finditer(data), FETCHES_MAX))
        commands = plain.commands(data)
        if not commands and not urls:
            if classes:
                named = "object: " + " ".join(islice(classes, CLASSES_MAX))
                yield Saw(CommandEntered(printable(named.encode(), 1024)))
            return
        yield Saw(ExploitRecognised("java-object", "CWE-502", printable((commands or list(urls))[0], 2048)))
        for url in urls:
            if self._fetches < FETCHES_MAX:
                self._fetches += 1
                self._asked_by_shell.append(False)
                yield Fetch(Download(url.decode("ascii"), "jndi"))
        for command in commands:
            if self._commands < COMMANDS_MAX:
                self._commands += 1
                self._shell = self._shell or ShellDialogue(self.visit, muted=True)
                yield from self._of_shell(self._shell.enter(command, at_s))

    def _of_shell(self, orders: Iterator[Order]) -> Iterator[Order]:
        for order in orders:
            if isinstance(order, Fetch):
                self._asked_by_shell.append(True)
            if not isinstance(order, WakeAt):
                yield order


def _is_whole(call: bytes) -> bool:
    """Say whether a call shows its own end: one for the list of names, or for what bears a name."""
    if call[:1] == _PING:
        return True
    if len(call) < 1 + _HEAD.size or len(call) > 1 + _HEAD.size + 3 + 65_535:
        return False
    *_, target, _, operation, _ = _HEAD.unpack_from(call, 1)
    if call[:5] != _CALL + _STREAM or target:
        return False
    name = call[1 + _HEAD.size :]
    size = int.from_bytes(name[1:3], "big")
    return operation == _LIST or (operation == _LOOKUP and name[:1] == b"\x74" and len(name) == 3 + size)


def _address(data: bytes, found: re.Match[bytes]) -> bytes:
    """Return an address without what stands behind the text that it is: its length stands before it."""
    size = int.from_bytes(data[max(0, found.start() - 2) : found.start()], "big")
    return found[0][:size] if 8 < size < len(found[0]) else found[0]


def t3_version(host: Host) -> str:
    """Return the version that WebLogic says it is."""
    return host.seed.child("java").choice("t3", _T3_VERSIONS)


def bound(host: Host) -> list[str]:
    """Return the names in the registry."""
    seed = host.seed.child("java")
    first = seed.number("first name", len(_NAMES))
    return [_NAMES[(first + at) % len(_NAMES)] for at in range(1 + seed.number("names", 3))]
