"""One coarse clock for all sessions: deadlines are looked at every `TICK_S`, and nobody has a timer of his own.

What is due lies in the set of its tick. A deadline that moves on (each byte that a peer sends moves it) is not moved in
the wheel: whoever is due looks at the clock himself, and is put back if his time has not come.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

TICK_S = 0.25


class Due(Protocol):
    """Something with a deadline."""

    tick: int  # the wheel's: in which set it lies, 0 if in none

    def due(self, now_s: float) -> None:
        """The time it was put in for has come. `now_s` is the loop's time."""


class Wheel:
    """Deadlines in the loop's time. It turns only while something lies in it."""

    __slots__ = ("_handle", "_last", "_loop", "_ticks")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._ticks: dict[int, set[Due]] = {}
        self._last = 0
        self._handle: asyncio.TimerHandle | None = None

    def put(self, item: Due, at_s: float) -> None:
        """Have `item.due` called at `at_s` or up to a tick later; replaces what was said before."""
        if item.tick:
            self.drop(item)
        if self._handle is None:
            self._last = int(self._loop.time() / TICK_S)
            self._handle = self._loop.call_later(TICK_S, self._turn)
        tick = max(int(at_s / TICK_S), self._last) + 1
        item.tick = tick
        found = self._ticks.get(tick)
        if found is None:
            found = self._ticks[tick] = set()
        found.add(item)

    def drop(self, item: Due) -> None:
        """Forget it."""
        found = self._ticks.get(item.tick)
        if found is not None:
            found.discard(item)
            if not found:
                del self._ticks[item.tick]
        item.tick = 0

    def close(self) -> None:
        """Forget all."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        self._ticks.clear()

    def _turn(self) -> None:
        now_s = self._loop.time()
        now = int(now_s / TICK_S)
        due = [item for tick in range(self._last + 1, now + 1) for item in self._ticks.pop(tick, ())]
        self._last = now
        for item in due:
            item.tick = 0
        for item in due:
            if not item.tick:  # nobody before it put it back
                item.due(now_s)
        self._handle = self._loop.call_later(TICK_S, self._turn) if self._ticks else None
