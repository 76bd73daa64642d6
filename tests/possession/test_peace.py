"""What an honest peer says, and comes close to something that would matter: no alert."""

from __future__ import annotations

import pytest

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
