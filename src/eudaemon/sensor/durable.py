"""Making things durable in groups: artefacts first, then the events that name them. One thread, one group at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from eudaemon.events.catalogue import SpoolDropped
from eudaemon.sensor.artefacts import ArtefactStore
from eudaemon.sensor.driver import Driver
from eudaemon.sensor.spool import Spool, Written

log = logging.getLogger("eudaemon.sensor")


class Committer:
    """Commits what waits, every `fsync_ms`. `durable` is called after events became durable."""

    def __init__(self, driver: Driver, durable: Callable[[], None]) -> None:
        self._driver = driver
        self._spool: Spool = driver.spool
        self._artefacts: ArtefactStore = driver.artefacts
        self._durable = durable
        self._thread = ThreadPoolExecutor(1, "commit")
        self._under_way: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Commit until cancelled."""
        pause_s = self._spool.settings.fsync_ms / 1000
        while True:
            await asyncio.sleep(pause_s)
            self._artefacts.look()
            await self.commit()

    async def commit(self) -> None:
        """Make durable what waits now."""
        if self._under_way is not None and not self._under_way.done():
            await asyncio.wait([self._under_way])
        self._under_way = asyncio.get_running_loop().create_task(self._commit())
        await asyncio.shield(self._under_way)  # once begun it is carried through, whoever is cancelled

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown()

    async def _commit(self) -> None:
        dropped = self._spool.take_dropped() if not self._spool.trouble else None
        if dropped and (dropped.events or dropped.bytes):
            log.warning("spool: %d events (%d bytes) were dropped", dropped.events, dropped.bytes)
            self._driver.state(SpoolDropped(dropped.events, dropped.bytes))
        parts = self._artefacts.take_pending()
        records = self._spool.take_pending()
        if not parts and not records:
            return
        failed, outcome = await asyncio.get_running_loop().run_in_executor(self._thread, self._work, parts, records)
        self._artefacts.settled(failed)
        if isinstance(outcome, OSError):
            self._spool.written(None)
            self._spool.put_back(records)
            if not self._spool.trouble:
                log.error("spool: the disk takes nothing (%s); events are held in memory", outcome)
            self._spool.trouble = str(outcome.strerror or outcome).lower()
            return
        if self._spool.trouble:
            log.warning("spool: the disk takes events again")
            self._spool.trouble = ""
        self._spool.written(outcome)
        self._durable()

    def _work(self, parts: dict[str, Path], records: list[tuple[int, bytes]]) -> tuple[list[str], Written | OSError]:
        failed = self._artefacts.settle(parts)
        if not records:
            return failed, Written(0, 0)
        try:
            return failed, self._spool.write(records)
        except OSError as error:
            return failed, error
