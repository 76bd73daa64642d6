"""Slowing down who guesses: so many failures within a while, then refusals until the while is over."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

REMEMBERED_MAX = 10_000  # whom it remembers; beyond it the oldest are forgotten


class Throttle:
    """Counts failures by key. `clock` gives seconds that only grow."""

    def __init__(self, failures_max: int, window_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._failures_max, self._window_s, self._clock = failures_max, window_s, clock
        self._failures: dict[str, list[float]] = {}

    def wait_s(self, key: str) -> int:
        """Return how many seconds are to be waited; 0 if none."""
        now_s = self._clock()
        recent = [at_s for at_s in self._failures.get(key, ()) if at_s > now_s - self._window_s]
        if len(recent) < self._failures_max:
            return 0
        return math.ceil(recent[-self._failures_max] + self._window_s - now_s)

    def failed(self, key: str) -> None:
        """Count a failure."""
        recent = self._failures.pop(key, [])[1 - self._failures_max :] if self._failures_max > 1 else []
        self._failures[key] = [*recent, self._clock()]
        while len(self._failures) > REMEMBERED_MAX:
            del self._failures[next(iter(self._failures))]
