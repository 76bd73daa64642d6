"""Moves blocks from the queue into the engine, one after the other, in a thread of its own.

A block that the engine refuses stays first in the queue: nothing is skipped, the reason stands in the farm's health,
and the next attempt comes after a pause that doubles up to `PAUSE_S_MAX`.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable

from eudaemon.farm.store.engine import Engine, EngineError
from eudaemon.farm.store.queue import Block, DiskFullError, Queue

log = logging.getLogger("eudaemon.farm.store")

PAUSE_S_MAX = 30.0


class Loader:
    """Feeds `engine` from `queue` until it is stopped. `loaded` is told each block, again if the block comes again."""

    def __init__(
        self, queue: Queue, engine: Engine, *, every_s: float, events_max: int, loaded: Callable[[Block], None]
    ) -> None:
        self._queue, self._engine, self._loaded = queue, engine, loaded
        self._every_s, self._events_max = every_s, events_max
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="store-loader", daemon=True)
        self.fault = ""  # why the engine refuses, or empty
        self.loaded = 0  # events, since the start

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Move what is waiting, as far as the engine takes it, and end."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        pause_s = self._every_s
        while True:
            last = self._stop.wait(pause_s)
            began_s = time.monotonic()
            try:
                while self.move():
                    pass
            except (EngineError, DiskFullError, sqlite3.Error) as error:
                if str(error) != self.fault:
                    log.error("store: the engine does not take events: %s", error)
                self.fault = str(error)
                pause_s = min(PAUSE_S_MAX, max(pause_s, self._every_s) * 2)
            else:
                if self.fault:
                    log.info("store: the engine takes events again")
                self.fault = ""
                pause_s = max(0.0, self._every_s - (time.monotonic() - began_s))
            if last:
                return

    def move(self) -> bool:
        """Move one block. Returns whether there was one. Raises `EngineError`, `DiskFullError`."""
        block = self._queue.seal(self._events_max)
        if block is None:
            return False
        self._engine.insert(block.number, block.lines, again=block.again)
        self._loaded(block)  # whoever hears of these events finds them in the engine
        self._queue.forget(block)
        self.loaded += len(block.lines)
        return True
