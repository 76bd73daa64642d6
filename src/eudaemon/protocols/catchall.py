"""The catch-all: takes whatever comes, says what it looks like, keeps it, and answers nothing.

Silent over UDP, so that nobody is flooded through it, and over TCP, so that there is nothing to recognise. What reads
as commands for a shell is given to the pretended one, whose output is not shown; so are what a request in HTTP carries,
commands that stand in plain text in something else, and those of doors that whole families of devices have left open.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from eudaemon.events.catalogue import ExploitRecognised, PayloadClassified
from eudaemon.protocols import _plain as plain
from eudaemon.protocols._base import (
    Answered,
    Claim,
    Ended,
    Fetch,
    HalfClosed,
    HangUp,
    Keep,
    LookInto,
    Occasion,
    Opened,
    Order,
    Received,
    Room,
    Saw,
    Visit,
    WakeAt,
    Woken,
)  # fmt: skip
from eudaemon.protocols._general import suspected
from eudaemon.protocols._http import BadRequestError, HttpLimits, Request, RequestReader
from eudaemon.protocols._loot import asked_of_jndi
from eudaemon.protocols._places import Look
from eudaemon.protocols._shell import ShellDialogue
from eudaemon.protocols._signatures import HEAD_BYTES, looks_like
from eudaemon.wire import LineReader, PeerError, Purse, printable
from eudaemon.world.outside import Download

PAYLOAD_BYTES_MAX = 16 * 1024 * 1024
LINE_BYTES_MAX = 8192  # of what goes to the shell
PAUSE_S = 0.3  # in which nothing comes: then what came may be whole
SILENCE_S_MAX = 2.0  # then the first bytes are all the first bytes there will be
LOOKS_MAX = 4  # into what came, while more may come: an exploit's author waits for the shell of his code
LOOK_BYTES_MAX = 256 * 1024  # of that: what is larger is no exploit alone, and is looked into when it is kept
COMMAND_LINES_MAX = 64  # of one request in HTTP
DATAGRAMS_MAX = 64  # of one peer that are looked at; the rest is only kept
PROGRAMS = ("elf", "pe", "zip", "gzip", "script", "php")  # guesses
# What opens a door that takes commands in datagrams, and what stands before the command.
DOORS = (
    ("realtek-jungle", "CVE-2021-35394", b"orf;"),  # Realtek Jungle's UDPServer on 9034
    ("netis-backdoor", "CWE-912", b"AA\0\0AAAA"),  # Netis' and Netcore's igdmptd on 53413 (Trend Micro, 2014)
)


class CatchAll(Room):
    """One conversation that no room claims."""

    name: ClassVar[str] = "catchall"

    __slots__ = (
        "_asked_by_shell", "_guess", "_kept", "_leaves", "_lines", "_looked", "_looks", "_obeyed", "_payload",
        "_requests", "_shell",
    )  # fmt: skip

    def __init__(self, visit: Visit) -> None:
        super().__init__(visit)
        self._payload = bytearray()
        self._kept = False
        self._guess = ""
        self._looked = 0  # at how many datagrams
        self._looks = 0  # into what came over TCP
        self._obeyed: set[bytes] = set()  # which commands in plain text
        self._lines = LineReader(LINE_BYTES_MAX)
        self._shell: ShellDialogue | None = None
        self._requests = 0  # of HTTP that were looked through
        self._asked_by_shell: list[bool] = []  # who asked for each download that has no answer yet
        self._leaves = False

    @classmethod
    def claim(cls, first: bytes) -> Claim:  # noqa: ARG003
        """Claims nothing: it is asked when no other room claims."""
        return Claim.NO

    def tell(self, occasion: Occasion) -> Iterator[Order]:
        """Take one occasion and yield the orders that follow from it."""
        match occasion:
            case Received(at_s, data) if self.visit.transport == "udp":
                yield from self._datagram(data, at_s)
            case Received(at_s, data):
                yield from self._stream(data, at_s)
            case Woken(at_s):
                yield from self._classify(at_s)
                yield from self._look_into(at_s)
                yield from self._look_through(at_s, whole=False)
            case HalfClosed(at_s):
                yield from self._finish(at_s)
                self._leaves = True
                if not self._asked_by_shell:
                    yield HangUp()
            case Answered():
                if self._asked_by_shell.pop(0) and self._shell:
                    yield from self._of_shell(self._shell.answered(occasion))
                if self._leaves and not self._asked_by_shell:
                    yield HangUp()
            case Ended(at_s):
                yield from self._finish(at_s)
                if self._shell:
                    yield from self._shell.ended()
            case Opened():
                return

    def _stream(self, data: bytes, at_s: float) -> Iterator[Order]:
        yield from self._take(data)
        if self._guess:
            yield from self._commands(data, at_s)
        elif len(self._payload) >= HEAD_BYTES:
            yield from self._classify(at_s)
        if not self._guess:
            yield WakeAt(at_s + SILENCE_S_MAX)
        elif self._guess != "shell" and self._looks < LOOKS_MAX:
            yield WakeAt(at_s + PAUSE_S)

    def _look_into(self, at_s: float) -> Iterator[Order]:
        is_exploit = 0 < len(self._payload) <= LOOK_BYTES_MAX and self._guess != "shell"
        if is_exploit and self._looks < LOOKS_MAX:
            self._looks += 1
            yield LookInto(bytes(self._payload))
            yield from self._obey(bytes(self._payload), at_s)

    def _obey(self, data: bytes, at_s: float) -> Iterator[Order]:
        """Run what stands in it in plain text, each command once. Of a program it is what that may do later."""
        if self._guess in PROGRAMS or (self._guess == "http" and self.visit.transport == "tcp"):
            return
        for command in plain.commands(data):
            if command not in self._obeyed and len(self._obeyed) < plain.COMMANDS_MAX:
                self._obeyed.add(command)
                yield Saw(ExploitRecognised("command-in-plain-text", "CWE-77", printable(command, 2048)))
                yield from self._command(command, at_s)

    def _classify(self, at_s: float) -> Iterator[Order]:
        """State what the first bytes look like, once."""
        if self._guess or not self._payload:
            return
        head = bytes(self._payload[:HEAD_BYTES])
        self._guess = looks_like(head, self.visit.transport)
        yield Saw(PayloadClassified(self._guess, head.hex()))
        yield from self._commands(bytes(self._payload), at_s)

    def _commands(self, data: bytes, at_s: float) -> Iterator[Order]:
        if self._guess == "shell":
            for line in self._lines.feed(data):
                yield from self._command(line, at_s)

    def _command(self, line: bytes, at_s: float) -> Iterator[Order]:
        if line.strip():
            self._shell = self._shell or ShellDialogue(self.visit, muted=True)
            yield from self._of_shell(self._shell.enter(line, at_s))

    def _of_shell(self, orders: Iterator[Order]) -> Iterator[Order]:
        for order in orders:
            if isinstance(order, Fetch):
                self._asked_by_shell.append(True)
            yield order

    def _look_through(self, at_s: float, *, whole: bool) -> Iterator[Order]:
        """Take what requests in HTTP carry, by the general rule; each once. `whole`: no more will come."""
        if self._guess != "http" or not 0 < len(self._payload) <= LOOK_BYTES_MAX or self.visit.transport == "udp":
            return
        reader = RequestReader(Purse(4 * LOOK_BYTES_MAX), HttpLimits())
        requests: list[Request] = []
        try:
            reader.feed(bytes(self._payload))
            while item := reader.next():
                requests += [item] if isinstance(item, Request) else []
        except BadRequestError:
            pass  # what came before it counts; that it is none is the peer's affair
        last = reader.cut_short() if whole else None
        requests += [last] if last else []
        for request in requests[self._requests :]:
            self._requests += 1
            yield from self._suspect(request, at_s)

    def _suspect(self, request: Request, at_s: float) -> Iterator[Order]:
        found = suspected(Look(request, request.body))
        urls = asked_of_jndi(request)
        if urls:
            yield Saw(ExploitRecognised("log4shell", "CVE-2021-44228", urls[0]))
        elif found:
            rule, loot = found
            carried = loot.command or loot.script or " ".join(loot.urls).encode() or loot.reads
            yield Saw(ExploitRecognised(rule.name, rule.reference, printable(carried, 2048)))
            urls = loot.urls
        for url in urls:
            self._asked_by_shell.append(False)
            yield Fetch(Download(url, "class loading" if url.startswith("http") else "jndi"))
        for line in (found[1].command.split(b"\n") if found else ())[:COMMAND_LINES_MAX]:
            yield from self._command(line[: 4 * LINE_BYTES_MAX], at_s)

    def _datagram(self, data: bytes, at_s: float) -> Iterator[Order]:
        yield from self._take(data)
        if self._looked >= DATAGRAMS_MAX:
            return
        self._looked += 1
        if not self._guess:
            self._guess = looks_like(data, "udp")
            yield Saw(PayloadClassified(self._guess, data[:HEAD_BYTES].hex()))
        door = next((door for door in DOORS if data.startswith(door[2])), None)
        if door is not None:
            name, reference, before = door
            command = data[len(before) :].strip(b" \r\n\0")
            yield Saw(ExploitRecognised(name, reference, printable(command, 2048)))
            yield from self._command(command[:LINE_BYTES_MAX], at_s)
        elif looks_like(data, "udp") == "shell":
            for line in data[:LINE_BYTES_MAX].splitlines():
                yield from self._command(line, at_s)
        else:
            yield from self._obey(data, at_s)

    def _take(self, data: bytes) -> Iterator[Order]:
        """Hold what still fits; of what does not, what came so far is a part."""
        if self._kept:
            return
        part = data[: PAYLOAD_BYTES_MAX - len(self._payload)]
        if not self.visit.purse.take(len(part)):
            yield from self._keep(partial=True)
            raise PeerError("more bytes held than this session may")
        self._payload += part
        if len(part) < len(data):
            yield from self._keep(partial=True)

    def _keep(self, *, partial: bool = False) -> Iterator[Order]:
        payload, self._payload, self._kept = bytes(self._payload), bytearray(), True
        if payload:
            yield Keep(payload, "payload", partial=partial)
            self.visit.purse.give_back(len(payload))

    def _finish(self, at_s: float) -> Iterator[Order]:
        """No more will come: the last line needs no end, and the payload is whole."""
        yield from self._classify(at_s)
        if self._guess == "shell" and self.visit.transport == "tcp":
            last, self._lines = self._lines.unfinished(), LineReader(LINE_BYTES_MAX)
            yield from self._command(last, at_s)
        if self.visit.transport == "tcp" and self._guess != "shell":
            yield from self._obey(bytes(self._payload[: plain.LOOKED_BYTES_MAX]), at_s)
        yield from self._look_through(at_s, whole=True)
        yield from self._keep()
