"""The store as the farm sees it: append events, ask questions.

    intake ──append──▶ queue (SQLite, durable) ──loader──▶ engine ◀──query── page

Appends of many sensors are committed together: while one commit is on its way to the disk, the next ones gather.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from eudaemon.farm.settings import StoreSettings
from eudaemon.farm.store.chdb import READERS_MAX, Chdb
from eudaemon.farm.store.engine import Engine
from eudaemon.farm.store.loader import Loader
from eudaemon.farm.store.queue import Accepted, Batch, Block, DiskFullError, Queue, QueueFullError
from eudaemon.farm.store.schema import Row

log = logging.getLogger("eudaemon.farm.store")

GATHERED_MAX = 256  # batches in one commit


class Store:
    """Events below the directory `home`. Use it as `async with`, or `start` and `close` it."""

    def __init__(
        self, home: Path, settings: StoreSettings | None = None, *, engine: Engine | None = None,
        loaded: Callable[[Block], None] = lambda _: None,
    ) -> None:  # fmt: skip
        """`loaded` hears of each block that is in the engine, from a thread of the store's, before it is let go of."""
        self.settings = settings or StoreSettings()
        self._loaded = loaded
        self._home = home
        self._engine: Engine = engine or Chdb(home / "engine", self.settings)
        self._waiting: SimpleQueue[tuple[Batch, Future[Accepted]] | None] = SimpleQueue()

    async def start(self) -> None:
        """Open queue and engine; go on where the last process stopped. Raises `EngineError`."""
        await asyncio.to_thread(self._open)

    def _open(self) -> None:
        settings = self.settings
        self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._queue = Queue(self._home / "queue.sqlite", settings.queue_bytes_max)
        self._engine.create()
        self._loader = Loader(
            self._queue, self._engine, every_s=settings.load_every_s, events_max=settings.block_events_max,
            loaded=self._loaded,
        )  # fmt: skip
        self._loader.start()
        self._committer = threading.Thread(target=self._commit_all, name="store-queue", daemon=True)
        self._committer.start()
        self._askers = ThreadPoolExecutor(READERS_MAX, thread_name_prefix="store-query")

    async def close(self) -> None:
        """Commit and move what is waiting, then close."""
        await asyncio.to_thread(self._shut)

    def _shut(self) -> None:
        self._waiting.put(None)
        self._committer.join()
        self._loader.stop()
        self._askers.shutdown()
        self._engine.close()
        self._queue.close()

    async def __aenter__(self) -> Store:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def append(self, sensor: str, spool: str, first: int, rows: Sequence[Row]) -> Accepted:
        """Make rows durable; when this returns, they are.

        They are numbers `first`, `first + 1`, … of the sensor's spool; what of them was taken before is skipped. Raises
        `QueueFullError` (wait and try again) and `DiskFullError`; then nothing was taken.
        """
        if rows:
            self._refuse_when_full()
        lines = [row.line() for row in rows] if len(rows) < 100 else await asyncio.to_thread(_lines, rows)
        done: Future[Accepted] = Future()
        self._waiting.put((Batch(sensor, spool, first, lines), done))
        return await asyncio.wrap_future(done)

    async def mark(self, sensor: str, spool: str) -> int:
        """Return the number of the next event that is wanted of a spool."""
        return await asyncio.to_thread(self._queue.mark, sensor, spool)

    async def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Return the rows of a SELECT with `{name:Type}` parameters, within the limits of the settings.

        Raises `EngineError`, and `QueryTooLargeError` if a limit was reached.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._askers, self._engine.query, sql, parameters or {})

    async def settle(self) -> None:
        """Wait until whatever was appended so far can be asked for."""
        while self._queue.waiting[0]:  # noqa: ASYNC110 - another thread's work, and only tests and the end wait for it
            await asyncio.sleep(0.01)

    async def trim(self, now_s: float) -> list[str]:
        """Drop the weeks that are too old or too many; return them."""
        before_s = now_s - self.settings.days_max * 86_400
        return await asyncio.to_thread(self._engine.trim, before_s=before_s, bytes_max=self.settings.bytes_max)

    async def bytes_on_disk(self) -> int:
        """Return what the events in the engine take on disk."""
        return await asyncio.to_thread(self._engine.bytes_on_disk)

    def health(self) -> dict[str, Any]:
        """Return how the store does: what waits, what was loaded, what is wrong (empty if nothing is), free disk."""
        events, size = self._queue.waiting
        return {
            "queued_events": events, "queued_bytes": size, "queue_bytes_max": self.settings.queue_bytes_max,
            "loaded_events": self._loader.loaded, "engine_fault": self._loader.fault,
            "disk_free_bytes": shutil.disk_usage(self._home).free,
            "disk_free_bytes_min": self.settings.disk_free_bytes_min,
        }  # fmt: skip

    def _refuse_when_full(self) -> None:
        free = shutil.disk_usage(self._home).free
        if free < self.settings.disk_free_bytes_min:
            raise DiskFullError(f"{free} bytes are free, {self.settings.disk_free_bytes_min} must stay")

    def _commit_all(self) -> None:
        while True:
            gathered = [self._waiting.get()]
            while len(gathered) < GATHERED_MAX and not self._waiting.empty():
                gathered.append(self._waiting.get())
            self._commit([entry for entry in gathered if entry is not None])
            if None in gathered:
                return

    def _commit(self, entries: list[tuple[Batch, Future[Accepted]]]) -> None:
        if not entries:
            return
        try:
            accepted = self._queue.append([batch for batch, _ in entries])
        except QueueFullError as error:
            if len(entries) > 1:  # some of them may still fit
                for entry in entries:
                    self._commit([entry])
                return
            _fail(entries, error)
        except (DiskFullError, sqlite3.Error) as error:
            _fail(entries, error)
        else:
            for (_, done), outcome in zip(entries, accepted, strict=True):
                if not done.cancelled():
                    done.set_result(outcome)


def _lines(rows: Sequence[Row]) -> list[bytes]:
    return [row.line() for row in rows]


def _fail(entries: list[tuple[Batch, Future[Accepted]]], error: Exception) -> None:
    for _, done in entries:
        if not done.cancelled():
            done.set_exception(error)
