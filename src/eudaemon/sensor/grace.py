"""A short wait before rooms speak that speak first: a peer that wants TLS has begun with it by then.

Everybody waits equally long, so they are due in the order in which they came: one queue and one timer for all.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol

STEP_S = 0.005  # how far apart those are told whose time has come


class Waiting(Protocol):
    """Somebody who waits before he greets."""

    def greet(self) -> None:
        """The wait is over; it may have been over before, and the session too."""


class Grace:
    """Who waits, in the loop's time."""

    __slots__ = ("_handle", "_loop", "_queue", "_wait_s")

    def __init__(self, loop: asyncio.AbstractEventLoop, wait_ms: int) -> None:
        self._loop = loop
        self._wait_s = wait_ms / 1000
        self._queue: deque[tuple[float, Waiting]] = deque()
        self._handle: asyncio.TimerHandle | None = None

    def put(self, who: Waiting) -> bool:
        """Have `who.greet` called when the wait is over; false if there is none."""
        if not self._wait_s:
            return False
        self._queue.append((self._loop.time() + self._wait_s, who))
        if self._handle is None:
            self._handle = self._loop.call_later(self._wait_s, self._tell)
        return True

    def close(self) -> None:
        """Forget all."""
        self._queue.clear()
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _tell(self) -> None:
        now_s = self._loop.time()
        while self._queue and self._queue[0][0] <= now_s:
            self._queue.popleft()[1].greet()
        at_s = max(self._queue[0][0], now_s + STEP_S) if self._queue else 0.0
        self._handle = self._loop.call_at(at_s, self._tell) if at_s else None
