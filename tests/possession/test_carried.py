"""Flags that live where tags are reckoned: a program makes of them what it makes natively, whenever signals come."""

from __future__ import annotations

import os
import struct

import pytest

from possession.alarms import watched, why_not
from possession.ctl import Victim, Victims

ROUNDS = 100_000
SEEDS = (0x0123456789ABCDEF, 0xFFFFFFFFFFFFFFFF, 0, 0x8000000000000001, 0xD1B54A32D192ED03)


@pytest.mark.skipif(bool(why_not()), reason=why_not())
def test_signals_find_flags_where_tags_are_reckoned(victims: Victims, started: list[Victim]) -> None:
    native, tracked = victims.start("ctl_carried"), victims.start("ctl_carried")
    started += [native, tracked]
    assert [native.line(), tracked.line()] == ["ready", "ready"]
    signals = 0
    for seed in SEEDS:
        with watched(tracked.pid, "stdin", on_alert="observe"):
            *expected, _ = _made_of(native, seed)
            *found, count = _made_of(tracked, seed)
        assert found == expected
        signals = int(count)
    assert signals > len(SEEDS)


def _made_of(victim: Victim, seed: int) -> list[str]:
    assert victim.process.stdin is not None
    os.write(victim.process.stdin.fileno(), struct.pack("<QQ", seed, ROUNDS))
    return victim.line().split()
