"""A room played to by a recording: no network, no clock, no disk. What the sensor's driver does, done at once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

from eudaemon.app import UNPRIVILEGED_PORT_OFFSET
from eudaemon.cli._recordings import Recording
from eudaemon.cli._script import Script
from eudaemon.events import Endpoint, Fact
from eudaemon.events.catalogue import CommandEntered, LoginTried, PayloadClassified
from eudaemon.protocols import ROOMS, load
from eudaemon.protocols._base import (
    Answered,
    AwaitSide,
    CallSide,
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
    SideAwaited,
    SideClosed,
    Visit,
    WakeAt,
    Woken,
)  # fmt: skip
from eudaemon.sensor.settings import SensorSettings
from eudaemon.wire import PeerError, Purse
from eudaemon.world.host import Host
from eudaemon.world.outside import Download, Downloaded
from eudaemon.world.seed import Seed

START_S = 1_700_000_000.0
HELD_BYTES_MAX = 32 * 1024 * 1024
RECEIVED_BYTES = 64 * 1024  # what a socket gives at a time
AFTERMATH_S_MAX = 600.0  # how long a room is woken after the last word
WAKES_MAX = 1000
_OTHER_CONSOLES = frozenset(("enable", "system", "shell", "linuxshell"))
_PORTS = {"telnet": 23, "http": 80, "adb": 5555, "redis": 6379, "docker": 2375, "kubelet": 10250, "memcached": 11211,
          "smb": 445, "epmap": 135}  # fmt: skip


@dataclass(slots=True)
class Played:
    """What a room understood of a recording, and what nobody did."""

    recording: Recording
    room: str
    facts: list[Fact] = field(default_factory=list)
    wishes: list[Download] = field(default_factory=list)
    kept: list[Keep] = field(default_factory=list)
    fault: str = ""

    @property
    def understanding(self) -> tuple[int, int, int, int]:
        """How much was understood, for comparing: wishes, then commands and requests, logins, whatever else.

        Any two lines make a login, so that logins weigh only where nothing better was made of them.
        """
        plain = sum(isinstance(fact, PayloadClassified) for fact in self.facts)
        logins = sum(isinstance(fact, LoginTried) for fact in self.facts)
        return len(self.wishes), len(self.facts) - plain - logins, logins, plain + len(self.kept)

    @property
    def not_understood(self) -> list[str]:
        """What was not understood, in words, each once."""
        found: dict[str, None] = {}
        for fact in self.facts:
            if isinstance(fact, CommandEntered):
                found.update(dict.fromkeys(f"unknown command: {name}" for name in fact.unknown if _is_lack(name, fact)))
            elif isinstance(fact, PayloadClassified) and fact.guess == "unknown":
                found[f"unclaimed bytes: {fact.head}"] = None
        if self.fault:
            found[f"broken off: {self.fault}"] = None
        wished = {download.url for download in self.wishes}
        found.update(
            dict.fromkeys(f"recorded but not wished here: {u}" for u in self.recording.urls if u not in wished)
        )
        if missing := self.recording.missing_bytes:
            found[f"{missing} bytes are missing in the recording"] = None
        if not (self.facts or self.wishes or self.kept):
            found["nothing was understood"] = None
        return list(found)

    @property
    def artefacts(self) -> list[dict[str, str | int]]:
        """What was kept: origin, name, size and SHA-256."""
        return [
            {"origin": k.origin, "name": k.name, "size": len(k.data), "sha256": hashlib.sha256(k.data).hexdigest()}
            for k in self.kept
        ]


def play(recording: Recording, host: Host, room_name: str = "") -> Played:
    """Play a recording to the room of that name, or to all that may fit, and return what understood most of it."""
    names = [room_name] if room_name else candidates(recording)
    return max((_played(recording, host, name) for name in names), key=lambda played: played.understanding)


def candidates(recording: Recording) -> list[str]:
    """Return the rooms that a recording may be for: those that claim its first bytes, the surest alone."""
    if recording.room:
        return [recording.room]
    if recording.local is not None:  # captured: the port tells, where no first bytes do
        there = _rooms_at(recording.transport, recording.local.port)
        if recording.transport == "udp" or (recording.host_spoke_first and there != ["catchall"]):
            return there
    first = recording.pieces[0][1][:RECEIVED_BYTES] if recording.pieces else b""
    rooms = {name: load(name) for name in ROOMS}
    claims = {name: room.claim(first) for name, room in rooms.items()}
    if recording.host_spoke_first:
        claims = {name: claim for name, claim in claims.items() if rooms[name].speaks_first} or claims
    if sure := [name for name, claim in claims.items() if claim == Claim.YES]:
        return sure
    if recording.host_spoke_first:
        if recording.local is not None:
            return ["catchall"]
        return [name for name, claim in claims.items() if claim != Claim.NO] or list(claims)
    return ["catchall", *(name for name, claim in claims.items() if claim == Claim.UNSURE)]


def _rooms_at(transport: str, port: int) -> list[str]:
    """Return which rooms answer on a port by default, or on a port of a sensor without root."""
    for asked in (port, port - UNPRIVILEGED_PORT_OFFSET):
        for listener in SensorSettings().listeners:
            if listener.transport == transport and asked in listener.ports:
                return list(listener.rooms)
    return ["catchall"]


def _played(recording: Recording, host: Host, name: str) -> Played:
    played = Played(recording, name)
    visit = Visit(
        host=host,
        attacker=recording.attacker or Endpoint("198.51.100.7", 40000),
        local=recording.local or Endpoint("192.0.2.1", _PORTS.get(name, 4444)),
        transport=recording.transport,
        purse=Purse(HELD_BYTES_MAX),
        seed=Seed(b"replay").child(recording.name),
    )
    room = Script if name == Script.name else load(name)
    _Stage(room(visit), played).play()
    return played


def _is_lack(name: str, command: CommandEntered) -> bool:
    """Whether a command that the host does not have is one that it should: some are sent to be answered `not found`.

    Mirai's loader sends `enable`, `system` and `shell` for the consoles of other makers, and then `/bin/busybox MIRAI`,
    or whatever capitals its maker chose: the answer `applet not found` tells it where the output ends.
    """
    is_token = name.isalnum() and name.isupper() and f"busybox {name}" in command.line
    return name not in _OTHER_CONSOLES and not is_token


class _Stage:
    """The driver's part: tells the room, and does what it orders."""

    def __init__(self, room: Room, played: Played) -> None:
        self.room = room
        self.played = played
        self.at_s = START_S
        self.wake_at_s: float | None = None
        self.over = False
        self.sides: list[AwaitSide | CallSide] = []  # of which there are none without a network
        self.unanswered: list[Download] = []

    def play(self) -> None:
        """Play the whole recording."""
        self.tell(Opened(self.at_s))
        for after_s, data in self.played.recording.pieces:
            self.wait_until(START_S + after_s)
            if self.played.recording.transport == "udp":
                self.tell(Received(self.at_s, data))
                continue
            for start in range(0, len(data), RECEIVED_BYTES):
                self.tell(Received(self.at_s, data[start : start + RECEIVED_BYTES]))
        if self.played.recording.transport == "tcp":
            self.tell(HalfClosed(self.at_s))
        self.wait_until(self.at_s + AFTERMATH_S_MAX)
        self.over = False  # the end is told to those that left, too
        self.tell(Ended(self.at_s))

    def wait_until(self, until_s: float) -> None:
        """Let time pass, and wake the room whenever it asked to be."""
        for _ in range(WAKES_MAX):
            if self.wake_at_s is None or self.wake_at_s > until_s or self.over:
                break
            self.at_s, self.wake_at_s = max(self.at_s, self.wake_at_s), None
            self.tell(Woken(self.at_s))
        self.at_s = max(self.at_s, until_s)

    def tell(self, occasion: Occasion) -> None:
        """Tell the room, and answer at once that nothing can be fetched."""
        if self.over:
            return
        try:
            self._obey(self.room.tell(occasion))
            while self.unanswered and not isinstance(occasion, Ended):
                wish = self.unanswered.pop(0)
                answer = Downloaded(wish.url, "failed", "replayed without a network")
                self._obey(self.room.tell(Answered(self.at_s, answer)))
            while self.sides and not isinstance(occasion, Ended):
                is_awaited = isinstance(self.sides.pop(0), AwaitSide)
                told = SideAwaited(self.at_s, 0) if is_awaited else SideClosed(self.at_s, clean=False)
                self._obey(self.room.tell(told))
        except PeerError as error:
            self.played.fault, self.over = str(error), True

    def _obey(self, orders: Iterable[Order]) -> None:
        for order in orders:
            match order:
                case Saw(fact):
                    self.played.facts.append(fact)
                case Keep():
                    self.played.kept.append(order)
                case Fetch(download):
                    self.played.wishes.append(download)
                    self.unanswered.append(download)
                case WakeAt(at_s):
                    self.wake_at_s = at_s
                case HangUp():
                    self.over = True
                case AwaitSide() | CallSide():
                    self.sides.append(order)
                case _:
                    pass  # what the room sends, nobody hears
