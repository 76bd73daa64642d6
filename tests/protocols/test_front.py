"""Several rooms on one port: who gets the conversation, whatever the pieces."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import pytest

from eudaemon.events.catalogue import PayloadClassified
from eudaemon.protocols import load
from eudaemon.protocols._base import (
    Claim,
    Ended,
    HalfClosed,
    HangUp,
    Keep,
    Occasion,
    Opened,
    Order,
    Received,
    Room,
    Send,
    WakeAt,
    Woken,
)
from eudaemon.protocols._front import FIRST_BYTES_MAX, Front
from eudaemon.testing.script import Table, visit
from eudaemon.wire import Purse


class Recorder(Room):
    """Repeats what it is told."""

    name: ClassVar[str] = "recorder"
    __slots__ = ()

    def tell(self, occasion: Occasion) -> Iterator[Order]:
        match occasion:
            case Opened():
                yield Send(f"[{self.name}]".encode())
            case Received(_, data):
                yield Send(data)
            case Woken(at_s):
                yield Send(b"(woken)")
                yield WakeAt(at_s + 5)
            case HalfClosed():
                yield HangUp()
            case Ended():
                yield Keep(b"end", "payload")


class Fussy(Recorder):
    """Is sure at `ab`, and unsure before and at `a?`."""

    name: ClassVar[str] = "fussy"
    __slots__ = ()

    @classmethod
    def claim(cls, first: bytes) -> Claim:
        return Claim.YES if first[:2] == b"ab" else Claim.UNSURE if first[:1] == b"a" else Claim.NO


class Greeter(Recorder):
    """Speaks first, and may be meant by whatever begins with a letter."""

    name: ClassVar[str] = "greeter"
    speaks_first: ClassVar[bool] = True
    __slots__ = ()

    @classmethod
    def claim(cls, first: bytes) -> Claim:
        return Claim.UNSURE if first[:1].isalpha() else Claim.NO


class Other(Recorder):
    """What gets the rest."""

    name: ClassVar[str] = "other"
    __slots__ = ()


def front(*rooms: type[Room], transport: str = "tcp", bytes_max: int = 10_000) -> Table:
    return Table(
        Front(visit(transport=transport, purse=Purse(bytes_max)), rooms or (Fussy, Greeter), Other, 2.0)
    ).open()


@pytest.mark.parametrize("split", [0, 1])
@pytest.mark.parametrize(
    ("said", "answer"),
    [
        (b"abc", b"[fussy]abc"),
        (b"123", b"[other]123"),
        (b"\0", b"[other]\0"),
        (b"b", b""),
        (b"ac", b""),
    ],
)
def test_the_first_bytes_decide(said: bytes, answer: bytes, split: int) -> None:
    assert front().say(said, split=split) == answer


@pytest.mark.parametrize(("said", "who"), [(b"ac", b"fussy"), (b"bc", b"greeter")])
def test_when_the_time_is_up_the_first_that_may_be_meant_gets_it(said: bytes, who: bytes) -> None:
    talk = front()
    assert talk.say(said) == b""
    talk.wait(1.9)
    assert talk.sent == b""
    talk.wait(0.2)
    assert talk.sent == b"[" + who + b"]" + said
    assert isinstance(talk.room, Front)
    assert talk.room.answering == who.decode()
    assert talk.say(b"more") == b"more"


def test_silence_is_for_whoever_speaks_first() -> None:
    talk = front()
    talk.wait(2.1)
    assert talk.sent == b"[greeter]"


def test_silence_stays_silence_where_nobody_speaks_first() -> None:
    talk = front(Fussy)
    talk.wait(20)
    assert talk.sent == b""
    assert talk.say(b"ab") == b"[fussy]ab"


def test_the_chosen_room_is_not_woken_by_our_clock_but_by_its_own() -> None:
    talk = front()
    talk.say(b"abc")
    talk.wait(3)
    assert b"(woken)" not in talk.sent
    talk.tell(Woken(talk.at_s))
    assert talk.sent.endswith(b"(woken)")
    talk.wait(5.5)
    assert talk.sent.count(b"(woken)") == 2


def test_an_end_before_any_decision_decides() -> None:
    talk = front()
    talk.say(b"b")
    talk.tell(HalfClosed(talk.at_s))
    assert talk.sent == b"[greeter]b"
    assert talk.over
    talk = front()
    talk.say(b"a")
    talk.end()
    assert [keep.data for keep in talk.kept] == [b"end"]


def test_an_end_without_a_word() -> None:
    talk = front(Fussy)
    talk.tell(HalfClosed(talk.at_s))
    assert talk.over
    talk = front()
    talk.tell(HalfClosed(talk.at_s))
    assert (talk.sent, talk.over) == (b"[greeter]", True)
    talk = front()
    talk.end()
    assert talk.kept == []


@pytest.mark.parametrize("split", [0, 1])
def test_first_bytes_are_waited_for_up_to_a_limit(split: int) -> None:
    talk = front(bytes_max=FIRST_BYTES_MAX)
    talk.say(b"c" * (FIRST_BYTES_MAX - 1), split=split)
    assert talk.sent == b""
    talk.say(b"c")
    assert talk.sent.startswith(b"[greeter]c")
    assert talk.room.visit.purse.bytes_taken == 0
    poor = front(bytes_max=10)
    poor.say(b"c" * 11, split=split)
    assert "held" in poor.fault


def test_a_datagram_is_whole() -> None:
    assert front(transport="udp").say(b"ac") == b"[fussy]ac"


@pytest.mark.parametrize("split", [0, 1])
def test_the_rooms_that_are_there(split: int) -> None:
    rooms = (load("telnet"), load("http"))

    def talk() -> Table:
        return Table(Front(visit(), rooms, load("catchall"), 2.0)).open()

    assert b"HTTP/1." in talk().say(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", split=split)
    assert talk().say(b"\xff\xfd\x03", split=split).startswith(b"\xff\xfd\x01")
    silent = talk()
    silent.wait(3)
    assert silent.sent.startswith(b"\xff\xfd\x01")
    typed = talk()
    typed.say(b"root\r\n", split=split)
    typed.wait(3)
    assert b"assword" in typed.sent
    odd = talk()
    odd.say(b"\x16\x03\x01" + bytes(80), split=split)
    assert [fact.guess for fact in odd.facts if isinstance(fact, PayloadClassified)] == ["tls"]
