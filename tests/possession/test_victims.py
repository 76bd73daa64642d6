"""Every victim passes natively, and is possessed and released while it works.

EUDAEMON_CYCLES=1000 pytest tests/possession/test_victims.py       as `make soak` does
EUDAEMON_POSSESSION=nothing pytest tests/possession                victims and harness alone
"""

from __future__ import annotations

import pytest

from possession.cycles import CYCLES, cycle, possess
from possession.running import running
from possession.victims import BY_NAME, VICTIMS, missing

EACH = pytest.mark.parametrize("name", list(BY_NAME))


def _skip_if_missing(name: str) -> None:
    reason = missing(BY_NAME[name])
    if reason:
        pytest.skip(reason)


def test_names_are_unique() -> None:
    assert len(BY_NAME) == len(VICTIMS)


@EACH
def test_passes_natively(name: str) -> None:
    _skip_if_missing(name)
    with running(BY_NAME[name]) as victim:
        victim.advance()
        victim.stop()


@pytest.mark.parametrize("name", [victim.name for victim in VICTIMS if not victim.limit])
@pytest.mark.timeout(90 + 4 * CYCLES)
def test_passes_possessed_and_released(name: str) -> None:
    _skip_if_missing(name)
    victim = BY_NAME[name]
    with running(victim) as one:
        cycle(one, victim.moving)
        one.stop()


ENDING = ["integer", "futex64", "timers", "storm", "exceptions", "forks", "integer-musl"]


@pytest.mark.parametrize("name", ENDING)
def test_ends_well_while_possessed(name: str) -> None:
    """It is never let go, says its success word in possession, and is gone; then there is nothing left to release."""
    _skip_if_missing(name)
    with running(BY_NAME[name]) as one, possess(one.pid):
        one.advance()
        one.stop()
