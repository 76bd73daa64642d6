"""Who guesses is counted, refused for a while, and forgotten."""

from __future__ import annotations

from eudaemon.farm.intake.throttle import REMEMBERED_MAX, Throttle


def test_guesses_are_counted_and_forgotten() -> None:
    now_s = 1_000_000.0
    throttle = Throttle(2, 10.0, clock=lambda: now_s)
    throttle.failed("a")
    assert throttle.wait_s("a") == 0
    now_s += 4.0
    throttle.failed("a")
    assert (throttle.wait_s("a"), throttle.wait_s("b")) == (6, 0)
    now_s += 6.5
    assert throttle.wait_s("a") == 0
    throttle.failed("b")
    throttle.failed("b")
    for number in range(REMEMBERED_MAX):
        throttle.failed(str(number))
    assert throttle.wait_s("b") == 0
