"""What an honest peer says, and comes close to something that would matter: no alert."""

from __future__ import annotations

import pytest

from eudaemon.possession.maps import Area
from eudaemon.possession.memory import Remote
from eudaemon.possession.tags import doubled_bytes
from possession.alarms import watched, why_not
from possession.ctl import Victim, Victims


@pytest.mark.skipif(bool(why_not()), reason=why_not())
def test_what_lies_behind_a_short_buffer_is_not_input(victims: Victims, started: list[Victim]) -> None:
    """The length is input, and so is what is copied; the pointer behind it is neither."""
    victim = victims.start("ctl_masked")
    started.append(victim)
    assert victim.line() == "ready"
    with watched(victim.pid, "stdin") as watch:
        for count in (1, 7, 8, 15, 16, 31):
            victim.say(chr(count) + "x" * 63)
            assert [victim.line(), victim.line()] == ["fine", "fine"]
        assert watch.kinds() == []


@pytest.mark.skipif(bool(why_not()), reason=why_not())
def test_what_lies_four_gib_from_input_is_not_input(victims: Victims, started: list[Victim]) -> None:
    """Their tags would lie in one place: the kernel is asked for another."""
    victim = victims.start("ctl_apart")
    started.append(victim)
    assert victim.line() == "ready"
    with watched(victim.pid, "stdin") as watch:
        for _ in range(6):
            victim.say("x" * 63)
            victim.say("y" * 63)
            assert victim.line() == "fine"
        assert watch.kinds() == []


def test_what_shares_tags_is_counted() -> None:
    """What wraps around the window, lies in it three times, or may not be accessed."""
    gib = 1 << 30

    def area(begin: int, end: int, rights: str = "rw-p") -> Area:
        return Area(Remote(begin), Remote(end), rights, "")

    heap, library = area(0x1000, 0x5000), area(4 * gib + 0x4000, 4 * gib + 0x9000)
    assert doubled_bytes([heap, area(8 * gib + 0x5000, 8 * gib + 0x6000)]) == 0
    assert doubled_bytes([heap, library]) == 2 * 0x1000
    assert doubled_bytes([heap, library, area(8 * gib, 8 * gib + 0x10000)]) == 3 * 0x1000 + 2 * (0x3000 + 0x4000)
    assert doubled_bytes([area(4 * gib - 0x2000, 4 * gib + 0x3000), area(8 * gib, 8 * gib + 0x1000)]) == 2 * 0x1000
    assert doubled_bytes([heap, area(4 * gib, 12 * gib, "---p")]) == 0
    assert doubled_bytes([heap, library], [(4 * gib, 5 * gib)]) == 0
