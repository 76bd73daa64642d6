"""What the farm itself states goes the way of all facts: through the queue, to the store and the page."""

from __future__ import annotations

import asyncio
import os
import time

from eudaemon.events import Event, Fact, IdSource
from eudaemon.farm.fleet import FARM
from eudaemon.farm.hub import Hub
from eudaemon.farm.store import Store, row_of

SPOOL = "0" * 32  # the farm's own


class OwnFacts:
    """States facts as the farm's. Several may at once: the spool's numbers are given one after the other."""

    def __init__(self, store: Store, hub: Hub) -> None:
        self._store, self._hub = store, hub
        self._ids = IdSource(os.urandom)
        self._lock = asyncio.Lock()

    async def state(self, fact: Fact) -> None:
        """Make a fact durable. Raises `QueueFullError`, `DiskFullError`."""
        now_s = time.time()
        row = row_of(Event(self._ids.new(now_s), now_s, FARM, fact), now_s)
        async with self._lock:
            await self._store.append(FARM, SPOOL, await self._store.mark(FARM, SPOOL), [row])
        self._hub.publish([row])
