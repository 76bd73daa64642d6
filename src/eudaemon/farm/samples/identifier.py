"""Looks at every new sample and says what it is: format, rules that match, fuzzy hash, and what it does if it is a
shellcode. In the background, one by one.

What is found is a fact of the farm's own, and goes the way of all facts: through the queue, to the store and the page.
A sample whose look was cut off by a crash is looked at again.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from eudaemon.events.catalogue import SampleIdentified
from eudaemon.farm.own import OwnFacts
from eudaemon.farm.samples.samples import SampleStore
from eudaemon.farm.samples.shells import Board
from eudaemon.farm.store import DiskFullError, QueueFullError
from eudaemon.payload.fuzzy import fuzzy_hash
from eudaemon.payload.identify import identify
from eudaemon.payload.shellcode.apart import ApartError, Bench
from eudaemon.payload.shellcode.examine import FORMATS
from eudaemon.payload.yara import Yara
from eudaemon.wire import clipped

log = logging.getLogger("eudaemon.farm.identifier")

LOOKED_AT_BYTES_MAX = 32 * 1024 * 1024  # of a larger sample only so much is looked at
AT_A_TIME = 50
SENTENCES_MAX, SENTENCE_CHARS_MAX = 32, 400  # of what a shellcode does
PAUSE_S = 30.0  # before what could not be stored is tried again


class Identifier:
    """Identifies the samples of `samples` while `run` runs."""

    def __init__(
        self, own: OwnFacts, samples: SampleStore, bench: Bench | None = None, board: Board | None = None
    ) -> None:  # fmt: skip
        self._own, self._samples, self._bench = own, samples, bench
        self._board = board or Board()
        self._yara = Yara()
        self._there_are = asyncio.Event()
        self.faults = 0

    def wake(self) -> None:
        """Say that there are samples to look at."""
        self._there_are.set()

    async def run(self) -> None:
        """Look at samples for ever."""
        self._there_are.set()  # an earlier process may have left some
        while True:
            await self._there_are.wait()
            self._there_are.clear()
            try:
                while await self.identify_some():
                    pass
            except (QueueFullError, DiskFullError) as error:
                log.warning("identifier: waits: %s", error)
                await asyncio.sleep(PAUSE_S)
                self._there_are.set()

    async def identify_some(self) -> int:
        """Look at some samples; return how many. Raises `QueueFullError`, `DiskFullError`."""
        waiting = await asyncio.to_thread(self._samples.catalogue.unidentified, AT_A_TIME)
        for sha256 in waiting:
            await self._identify(sha256)
        return len(waiting)

    async def _identify(self, sha256: str) -> None:
        size = await self._samples.size(sha256) or 0
        data = await self._samples.read(sha256, 0, min(size, LOOKED_AT_BYTES_MAX))
        # Somebody made these bytes to be looked at: a fault of ours in doing so is told and counted, and ends nothing.
        looked = await asyncio.gather(asyncio.to_thread(self._look, sha256, size, data), return_exceptions=True)
        if isinstance(found := looked[0], BaseException):
            log.error("identifier: sample %s could not be looked at; please report it", sha256, exc_info=found)
            self.faults += 1
            found = SampleIdentified(sha256, size, "data", "could not be looked at: a fault of ours"), []
        fact, shells = found
        self._board.found(sha256, shells)
        await self._own.state(fact)
        await asyncio.to_thread(
            self._samples.catalogue.identified, sha256, fact.format, fact.description, fact.rules, fact.fuzzy
        )

    def _look(self, sha256: str, size: int, data: bytes) -> tuple[SampleIdentified, list[dict[str, Any]]]:
        identity = identify(data)
        fuzzy = fuzzy_hash(data) if len(data) == size else ""
        does, shells = self._does(sha256, data) if identity.format in FORMATS else ((), [])
        rules = self._yara.matches(data)
        return SampleIdentified(sha256, size, identity.format, identity.description, rules, fuzzy, does), shells

    def _does(self, sha256: str, data: bytes) -> tuple[tuple[str, ...], list[dict[str, Any]]]:
        """Return what a sample does as machine code, and its shells; nothing where the examination comes to no end."""
        if self._bench is None:
            return (), []
        try:
            found = self._bench.examine(data)
        except ApartError as error:
            log.warning("identifier: sample %s could not be examined for a shellcode: %s", sha256, error)
            return (), []
        says = tuple(clipped(sentence, SENTENCE_CHARS_MAX) for sentence in found["says"][:SENTENCES_MAX])
        return says, found["shells"]
