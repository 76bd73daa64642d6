"""The scripts that hold rooms to their word are held to theirs: a room that departs from one fails."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import pytest

from eudaemon.events.catalogue import LoginTried
from eudaemon.protocols._base import (
    Answered,
    Fetch,
    HangUp,
    Keep,
    Occasion,
    Opened,
    Order,
    Received,
    Room,
    Saw,
    Send,
    WakeAt,
    Woken,
)  # fmt: skip
from eudaemon.testing.script import ScriptError, play
from eudaemon.wire import PeerError
from eudaemon.world.outside import Download


class Parrot(Room):
    """Greets, says back what it hears, and knows a few words."""

    __slots__ = ()
    name: ClassVar[str] = "parrot"

    def tell(self, occasion: Occasion) -> Iterable[Order]:
        match occasion:
            case Opened():
                yield Send(b"hello \xff\n")
            case Received(at_s, data):
                yield Send(data)
                if data.endswith(b"k"):
                    yield Saw(LoginTried("root", "a b", accepted=True))
                    yield Keep(b"\x7f\x00", "upload", "/tmp/x")
                if data.endswith(b"g"):
                    yield Fetch(Download("http://198.51.100.7/x", "get"))
                    yield WakeAt(at_s + 5)
                if data.endswith(b"q"):
                    yield HangUp()
                if data.endswith(b"!"):
                    raise PeerError("shouting")
            case Answered(downloaded=downloaded):
                yield Send(downloaded.outcome.encode() + downloaded.head)
            case Woken():
                yield Send(b"awake")


WHOLE = r"""
    # a remark
    < hello \xff\n
    > ask
    < ask
    ! login.tried user='root' password='a b' accepted=True
    ^ upload /tmp/x 7f00
    > g
    < g
    ? http://198.51.100.7/x
    = ok 6869
    < okhi
    ~ 4.5
    ~ 0.5
    < awake
    > something else
    *
    > q
    < q
    / over
"""


@pytest.mark.parametrize("split", [0, 1])
def test_what_is_as_written_passes(split: int) -> None:
    table = play(Parrot, WHOLE, split=split)
    assert table.over
    assert not table.fault


@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        ("< hello\n", "should have sent"),
        ("< hello \\xff\\n\n> a\n< b", "should have sent"),
        ("< hello \\xff\\n\n> a\n", "should have sent"),
        ("< hello \\xff\\n\n> a\n< a\n! login.tried user='root'", "not among"),
        ("< hello \\xff\\n\n> k\n< k\n! login.tried user='admin'", "not among"),
        ("< hello \\xff\\n\n> k\n< k\n! login.tried user='root'\n! login.tried user='root'", "not among"),
        ("< hello \\xff\\n\n> k\n< k\n! login.tried nobody='root'", "no field nobody"),
        ("< hello \\xff\\n\n> k\n< k\n^ upload /tmp/x 7f01", "not among"),
        ("< hello \\xff\\n\n> k\n< k\n^ script /tmp/x 7f00", "not among"),
        ("< hello \\xff\\n\n? http://198.51.100.7/x", "wishes are"),
        ("< hello \\xff\\n\n= ok 00", "nothing was wished"),
        ("< hello \\xff\\n\n> g\n< g\n~ 4.9\n< awake", "should have sent"),
        ("< hello \\xff\\n\n/ over", "did not hang up"),
        ("*\n*", "sent nothing"),
        ("< hello \\xff\\n\n$ what", "no such mark"),
    ],
)
def test_a_departure_fails(script: str, complaint: str) -> None:
    with pytest.raises(ScriptError, match=complaint):
        play(Parrot, script)


def test_the_peers_fault_ends_the_session_and_is_told() -> None:
    table = play(Parrot, "< hello \\xff\\n\n> a!\n< a!\n/ over")
    assert table.fault == "shouting"
