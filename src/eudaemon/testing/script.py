"""Conversations are text. A script is read aloud, line by line, and holds a room to it:

    < login:                      the room sends exactly this (successive `<` lines are one text)
    > root\\r\\n                    the peer sends this
    ! login.tried user='root'     the room states this fact (the fields named must be equal)
    ^ upload /tmp/x 7f454c46      the room keeps these bytes (hexadecimal), under this origin and name
    ? http://198.51.100.7/x       the room wishes this download; next line the answer:
    = ok 23212f62696e2f7368       outcome and content (hexadecimal)
    *                             the room sends something that this script is not about
    ~ 2.5                         so many seconds pass
    / over                        the room hangs up
    # a remark

Text after the mark and one blank is taken as written, with Python's escapes. `play` plays the script whole, and
`play(..., split=1)` one byte at a time: a room must not know the difference.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import ClassVar

from eudaemon.events import Endpoint, Fact, Unknown, fields_of
from eudaemon.protocols._base import (
    Answered,
    AwaitSide,
    CallSide,
    CloseSide,
    Drained,
    Ended,
    EndTls,
    Fetch,
    HangUp,
    Keep,
    LookInto,
    Occasion,
    Opened,
    Order,
    Received,
    Record,
    Room,
    Saw,
    Secured,
    Send,
    SendSide,
    SideAwaited,
    SideClosed,
    SideOpened,
    SideReceived,
    StartTls,
    StillThere,
    TellDrained,
    Visit,
    WakeAt,
    Woken,
)  # fmt: skip
from eudaemon.wire import PeerError, Purse
from eudaemon.world.host import Host
from eudaemon.world.memory import Memory
from eudaemon.world.outside import Downloaded
from eudaemon.world.seed import Seed

SIDE_PORT = 50_007
START_S = 1_700_000_000.0


class ScriptError(AssertionError):
    """The room departs from the script. The message shows the line and what came instead."""


def visit(
    *, host: Host | None = None, transport: str = "tcp", port: int = 23, purse: Purse | None = None, tls: bool = False,
    memory: Memory | None = None, can_tls: bool = False,
) -> Visit:  # fmt: skip
    """Return a visit for tests: attacker 198.51.100.7, host 192.0.2.1, everything drawn from a fixed seed."""
    return Visit(
        host=host or Host.from_seed(Seed(b"test")),
        attacker=Endpoint("198.51.100.7", 40226),
        local=Endpoint("192.0.2.1", port),
        transport=transport,
        purse=purse or Purse(32 * 1024 * 1024),
        seed=Seed(b"test session"),
        tls=tls,
        memory=memory or Memory(),
        can_tls=can_tls,
    )


@dataclass
class Table:
    """One room being talked to, and all that it said so far. Also of use without a script."""

    room: Room
    at_s: float = START_S
    sent: bytes = b""
    facts: list[Fact] = field(default_factory=list)
    kept: list[Keep] = field(default_factory=list)
    looks: list[bytes] = field(default_factory=list)  # what was to be looked into at once
    wishes: list[Fetch] = field(default_factory=list)
    recorded: list[Record] = field(default_factory=list)
    wake_at_s: float | None = None
    drains: bool = True  # whether the peer reads; else `Drained` is the test's to tell
    wants_drained: bool = False
    still_there: int = 0  # how often the room said that its peer is, though it says nothing here
    secured: bool = False  # whether TLS was begun: at once, as soon as the room says so
    ended_tls: bool = False  # whether it is plain again
    over: bool = False
    fault: str = ""
    side: AwaitSide | CallSide | None = None  # the side connection as ordered, None once closed
    side_sent: bytes = b""
    _side_awaited: bool = False
    _tls_first: bytes | None = None

    def tell(self, occasion: Occasion) -> None:
        """Tell the room, and note its orders. A `PeerError` ends the session as the driver would end it."""
        if self.over and not isinstance(occasion, Ended):
            return
        try:
            self._note(self.room.tell(occasion))
        except PeerError as error:
            self.fault, self.over = str(error), True
        if isinstance(self._tls_first, bytes) and not self.over:
            first, self._tls_first, self.secured = self._tls_first, None, True
            self.tell(Secured(self.at_s))
            if first:
                self.tell(Received(self.at_s, first))
        if isinstance(self.side, AwaitSide) and not self._side_awaited:
            self._side_awaited = True
            self.tell(SideAwaited(self.at_s, SIDE_PORT))
        while self.wants_drained and self.drains and not self.over and not isinstance(occasion, Drained):
            self.wants_drained = False
            self.tell(Drained(self.at_s))

    def open(self) -> Table:
        """Tell `Opened`."""
        self.tell(Opened(self.at_s))
        return self

    def say(self, data: bytes, split: int = 0) -> bytes:
        """Send bytes to the room, in pieces of `split` bytes if given; return what it sent meanwhile."""
        before = len(self.sent)
        step = split or max(1, len(data))
        for start in range(0, len(data), step):
            self.tell(Received(self.at_s, data[start : start + step]))
        return self.sent[before:]

    def join_side(self) -> None:
        """Let the side connection, which the room awaits or calls, come about."""
        if self.side is not None:
            self.tell(SideOpened(self.at_s))

    def say_side(self, data: bytes, split: int = 0) -> None:
        """Send bytes over the side connection, in pieces of `split` bytes if given."""
        step = split or max(1, len(data))
        for start in range(0, len(data), step):
            self.tell(SideReceived(self.at_s, data[start : start + step]))

    def end_side(self, *, clean: bool = True) -> None:
        """Close the side connection from the peer's side."""
        if self.side is not None:
            self.side = None
            self.tell(SideClosed(self.at_s, clean))

    def answer(self, outcome: str, content: bytes = b"") -> None:
        """Answer the oldest wish."""
        wish = self.wishes.pop(0).download
        self.tell(Answered(self.at_s, Downloaded(wish.url, outcome, head=content, size=len(content))))

    def wait(self, seconds: float) -> None:
        """Let time pass, and wake the room whenever it asked to be."""
        until_s = self.at_s + seconds
        while self.wake_at_s is not None and self.wake_at_s <= until_s:
            self.at_s, self.wake_at_s = max(self.at_s, self.wake_at_s), None
            self.tell(Woken(self.at_s))
        self.at_s = until_s

    def end(self) -> None:
        """Tell `Ended`."""
        self.tell(Ended(self.at_s))

    def _note(self, orders: Iterable[Order]) -> None:
        for order in orders:
            match order:
                case Send(data):
                    self.sent += data
                case Saw(fact):
                    self.facts.append(fact)
                case Keep():
                    self.kept.append(order)
                case LookInto(data):
                    self.looks.append(data)
                case Fetch():
                    self.wishes.append(order)
                case WakeAt(at_s):
                    self.wake_at_s = at_s
                case HangUp():
                    self.over = True
                case _:
                    self._note_rare(order)

    def _note_rare(self, order: Order) -> None:
        match order:
            case TellDrained():
                self.wants_drained = True
            case StillThere():
                self.still_there += 1
            case StartTls(first):
                if not self.room.visit.can_tls or self.secured:
                    raise RuntimeError("no TLS can be begun here")
                self._tls_first = first
            case EndTls():
                if not self.secured:
                    raise RuntimeError("no TLS to end")
                self.ended_tls = True
            case AwaitSide() | CallSide():
                self.side, self._side_awaited = order, False
            case SendSide(data):
                self.side_sent += data
            case CloseSide():
                self.side = None
            case Record():
                self.recorded.append(order)


def play(make: Callable[[Visit], Room], script: str, *, split: int = 0, given: Visit | None = None) -> Table:
    """Play a script against a new room. Raises `ScriptError` at the first departure; returns the table afterwards.

    Facts and kept artefacts that the script does not name are passed over, but those it names must come in order.
    """
    player = _Player(Table(make(given or visit())).open(), split)
    for number, raw in enumerate(script.splitlines(), 1):
        line = raw.lstrip() if raw.lstrip().startswith("<") else raw.strip()
        if line and not line.startswith("#"):
            player.step(line[0], line[2:], f"line {number}: {line}")
    player.settle("at the end")
    return player.table


class _Player:
    """Goes through a script, one line at a time."""

    def __init__(self, table: Table, split: int) -> None:
        self.table = table
        self._split = split
        self._expected = b""  # by `<` lines that were not compared yet
        self._heard = 0
        self._seen = 0  # facts that the script has passed
        self._kept = 0

    def step(self, mark: str, text: str, where: str) -> None:
        """Carry out one line."""
        if mark == "<":
            self._expected += _bytes(text)
            return
        if mark == "*":
            if self._heard == len(self.table.sent):
                raise ScriptError(f"{where}: the room sent nothing")
            self._heard = len(self.table.sent)
            return
        self.settle(f"before {where}")
        step = self._STEPS.get(mark)
        if step is None:
            raise ScriptError(f"{where}: no such mark")
        step(self, text, where)

    def settle(self, where: str) -> None:
        """Compare what the room has sent with what the script has named since the last time."""
        got = self.table.sent[self._heard :]
        if self._expected != got:
            raise ScriptError(f"{where}: the room should have sent\n    {self._expected!r}\nbut sent\n    {got!r}")
        self._expected = b""
        self._heard = len(self.table.sent)

    def _say(self, text: str, where: str) -> None:  # noqa: ARG002
        self.table.say(_bytes(text), self._split)

    def _fact(self, text: str, where: str) -> None:
        self._seen = _find_fact(self.table.facts, self._seen, text, where)

    def _artefact(self, text: str, where: str) -> None:
        self._kept = _find_kept(self.table.kept, self._kept, text, where)

    def _wish(self, text: str, where: str) -> None:
        wishes = [wish.download.url for wish in self.table.wishes]
        if wishes[:1] != [text]:
            raise ScriptError(f"{where}: wishes are {wishes}")

    def _answer(self, text: str, where: str) -> None:
        if not self.table.wishes:
            raise ScriptError(f"{where}: nothing was wished")
        outcome, _, content = text.partition(" ")
        self.table.answer(outcome, bytes.fromhex(content))

    def _wait(self, text: str, where: str) -> None:  # noqa: ARG002
        self.table.wait(float(text))

    def _over(self, text: str, where: str) -> None:  # noqa: ARG002
        if not self.table.over:
            raise ScriptError(f"{where}: the room did not hang up")

    _STEPS: ClassVar[dict[str, Callable[[_Player, str, str], None]]] = {
        ">": _say, "!": _fact, "^": _artefact, "?": _wish, "=": _answer, "~": _wait, "/": _over,
    }  # fmt: skip


def _bytes(text: str) -> bytes:
    quoted = text.replace('"', '\\"')
    value = ast.literal_eval(f'"{quoted}"')
    return "".join(c if ord(c) < 256 else c.encode().decode("latin-1") for c in value).encode("latin-1")


def _find_fact(facts: list[Fact], start: int, text: str, where: str) -> int:
    kind, _, rest = text.partition(" ")
    call = ast.parse(f"f({', '.join(_split_fields(rest))})", mode="eval").body
    keywords = call.keywords if isinstance(call, ast.Call) else []
    wanted = {keyword.arg: ast.literal_eval(keyword.value) for keyword in keywords}
    for index in range(start, len(facts)):
        fact = facts[index]
        if fact.kind == kind and all(_field(fact, name) == value for name, value in wanted.items()):
            return index + 1
    raise ScriptError(f"{where}: not among {facts[start:]}")


def _split_fields(text: str) -> list[str]:
    """Split `a='x y' b=2` at the blanks that stand between two fields."""
    found: list[str] = []
    for piece in text.split(" "):
        if found and not _whole(found[-1]):
            found[-1] += " " + piece
        elif piece:
            found.append(piece)
    return found


def _whole(text: str) -> bool:
    try:
        ast.parse(f"f({text})")
    except SyntaxError:
        return False
    return True


def _field(fact: Fact, name: str | None) -> object:
    if isinstance(fact, Unknown):
        return fact.values.get(name or "")
    if name not in {f.name for f in fields_of(type(fact))}:
        raise ScriptError(f"{fact.kind} has no field {name}")
    value: object = getattr(fact, name or "")
    return value


def _find_kept(kept: list[Keep], start: int, text: str, where: str) -> int:
    origin, name, content = text.split(" ")
    for index in range(start, len(kept)):
        keep = kept[index]
        if (keep.origin, keep.name, keep.data) == (origin, name, bytes.fromhex(content)):
            return index + 1
    raise ScriptError(f"{where}: not among {kept[start:]}")
