"""One output at work: entry by entry out of the journal, through its format, to its peer.

    next entry ──► items ──► some of them ──► peer takes them ──► counted, keys remembered ──► … ──► mark moves on
                                   │ later: the same again after a pause that doubles, or as long as the peer says
                                   └ refused: counted, and on

Each output has a thread of its own, so that one that waits holds up no other, nor the farm. What goes wrong in a format
is a fault of ours: it is told, counted, and costs that entry, because what comes behind must not wait for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import sqlite3
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from time import monotonic
from typing import Any, Protocol

from eudaemon.events import Fact
from eudaemon.farm.outputs.batch import KEPT_S_MAX, Batch, Format, Item
from eudaemon.farm.outputs.journal import Entry, Journal
from eudaemon.farm.outputs.peers import LaterError, Peer, RefusedError, Teacher, TooLargeError, without
from eudaemon.farm.queries.attacks import whole_sessions
from eudaemon.farm.store import DiskFullError, QueueFullError
from eudaemon.farm.store.engine import EngineError, QueryTooLargeError

log = logging.getLogger("eudaemon.farm.outputs")

EVERY_S = 1.0  # how often the journal is looked into
SETTLE_S = 60.0  # after its end a session's downloads still arrive, and samples are identified
PAUSE_S_MIN, PAUSE_S_MAX = 1.0, 300.0  # between attempts
STOP_S_MAX = 5.0
ASK_S_MAX = 60.0
SESSIONS_AT_A_TIME = 50
SAMPLE_BYTES_MAX = 64 * 1024 * 1024  # a larger one is not handed on


class Events(Protocol):
    """What is needed of the store."""

    async def query(self, sql: str, parameters: Mapping[str, Any]) -> Sequence[dict[str, Any]]:
        """Return the rows that a query selects."""


class Bytes(Protocol):
    """What is needed of the sample store."""

    async def size(self, sha256: str) -> int | None:
        """Return how many bytes an artefact has, or `None` if it is not here."""

    async def read(self, sha256: str, offset: int, length: int) -> bytes:
        """Return at most `length` bytes from `offset`."""


class Own(Protocol):
    """What is needed of who states the farm's own facts."""

    async def state(self, fact: Fact) -> None:
        """Make a fact durable. Raises `QueueFullError`, `DiskFullError`."""


class Feeder:
    """Feeds the peer of the output `name` while `run` runs."""

    def __init__(
        self, name: str, format_: Format, peer: Peer, journal: Journal, store: Events, samples: Bytes, own: Own,
        secrets: Collection[str] = (),
    ) -> None:  # fmt: skip
        self.name, self._format, self._peer, self._journal = name, format_, peer, journal
        self._secrets = secrets  # what must not be logged, whoever says it
        self._due_s = 0.0  # of the monotonic clock: when the next may be gathered
        self._store, self._samples, self._own = store, samples, own
        self._entry: Entry | None = None
        self._chunks: Iterator[list[Item]] = iter(())
        self._chunk: list[Item] = []  # what the peer has yet to take, in whole
        self._pause_s = PAUSE_S_MIN
        self._trouble = ""
        self._stopped = False

    async def run(self) -> None:
        """Tell what there is to tell, for ever."""
        self._loop = asyncio.get_running_loop()
        thread = ThreadPoolExecutor(1, thread_name_prefix=f"output-{self.name}")
        try:
            while True:
                step = self._loop.run_in_executor(thread, self._step)
                (outcome,) = await asyncio.gather(step, return_exceptions=True)
                if isinstance(outcome, BaseException):
                    giving_up = self._loop.run_in_executor(thread, self._failed, outcome)
                    (pause_s,) = await asyncio.gather(giving_up, return_exceptions=True)
                    if isinstance(pause_s, BaseException):
                        log.error("output %s: waits: its journal cannot be written: %s", self.name, pause_s)
                        pause_s = PAUSE_S_MAX
                    await asyncio.sleep(pause_s)
                elif outcome:
                    await asyncio.sleep(outcome)
        finally:
            self._stopped = True
            self._peer.close()  # whatever is waited for ends now
            thread.shutdown(wait=False)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_S_MAX):
                    await asyncio.to_thread(thread.shutdown)

    def _step(self) -> float:
        """Hand over one chunk, or look for one; return for how long to pause, seconds."""
        if not self._chunk and not self._next_chunk():
            return EVERY_S
        try:
            said = self._peer.send(self._chunk)
            for fact in self._peer.learnt() if isinstance(self._peer, Teacher) else ():
                self._ask(self._own.state(fact))
        except LaterError as error:
            return self._later(error)
        except RefusedError as error:
            if parts := self._parts(error):
                self._chunks, self._chunk = itertools.chain(parts, self._chunks), []
                return self._peer.pause_s
            log.warning("output %s: refused for good: %s", self.name, without(str(error), self._secrets))
            refused = len(self._chunk) if error.items is None else error.items
            if taken := len(self._chunk) - refused:
                self._journal.told(self.name, taken)
            self._journal.told(self.name, refused, refused=True)
        else:
            log.debug("output %s: %s", self.name, without(said, self._secrets))
            keys = [key for item in self._chunk for key in (item.key, *item.also) if key]
            self._journal.told(self.name, len(self._chunk), keys)
            if self._trouble:
                log.info("output %s: its peer takes events again", self.name)
        self._chunk, self._pause_s, self._trouble = [], PAUSE_S_MIN, ""
        return self._peer.pause_s

    def _parts(self, error: RefusedError) -> list[list[Item]]:
        """Return what was refused in the parts in which it may be taken; nothing if it cannot."""
        count = len(self._chunk)
        if count > 1 and isinstance(error, TooLargeError):
            return [self._chunk[: count // 2], self._chunk[count // 2 :]]
        if count > 1 and not self._format.lines:  # one of them is to blame, and the others are not
            return [[item] for item in self._chunk]
        return []

    def _next_chunk(self) -> bool:
        """Find the next items that the peer is to have; return whether there are any."""
        while not self._stopped:
            if self._entry is None:
                settled_s = time.time() - (SETTLE_S if self._format.whole else 0.0)
                gather_s = self._format.gather_s
                if monotonic() < self._due_s:
                    return False
                self._entry = self._journal.next(self.name, before_s=settled_s, together=bool(gather_s))
                if self._entry is None:
                    return False
                self._due_s = monotonic() + gather_s
                batch = Batch.of_lines(self._entry.lines, self)
                self._chunks = _in_chunks(self._format.make(batch), self._peer.items_max)
            for chunk in self._chunks:
                if wanted := list(self._wanted(chunk)):
                    self._chunk = wanted
                    return True
            self._journal.done(self.name, self._entry.number)
            self._entry = None
        return False

    def _wanted(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield, with their bytes, the items that are new to the peer and not too large for it."""
        keys: set[str] = set()
        for item in items:
            if item.key and (item.key in keys or self.was_told(item.key, item.kept_s)):
                continue
            if item.sample:
                data = self.sample(item.sample, SAMPLE_BYTES_MAX)
                if data is None:
                    continue  # the sensor could not deliver it, or it is gone
                item = replace(item, data=data)
            if not self._peer.fits(item):
                log.warning("output %s: %d bytes are more than its peer takes", self.name, len(item.data))
                self._journal.told(self.name, 1, [item.key] if item.key else [], refused=True)
                continue
            keys.add(item.key)
            yield item

    def _later(self, error: LaterError) -> float:
        """Note that the peer took nothing; return when to try again."""
        why = without(str(error), self._secrets)
        if why != self._trouble and not self._stopped:
            log.warning("output %s: waits: %s", self.name, why)
            self._trouble = why
            self._journal.trouble(self.name, self._trouble)
        if self._entry is not None and not self._journal.holds(self._entry.number):
            # So much came meanwhile that this was dropped, as the oldest.
            self._entry, self._chunk, self._chunks = None, [], iter(())
        pause_s, self._pause_s = self._pause_s, min(PAUSE_S_MAX, self._pause_s * 2)
        return pause_s if error.after_s is None else error.after_s

    def _failed(self, error: BaseException) -> float:
        """Give up an entry for which a fault of ours is to blame, keep it if only disk or engine did not do.

        Return when to go on.
        """
        self._chunk, self._chunks = [], iter(())
        entry, self._entry = self._entry, None
        if isinstance(error, sqlite3.Error | EngineError | QueueFullError | DiskFullError | TimeoutError):
            return self._later(LaterError(f"{type(error).__name__}: {error}"))
        log.error("output %s: a fault of ours; please report it", self.name, exc_info=error)
        if entry is not None:
            self._journal.done(self.name, entry.number, fault=True)
        return PAUSE_S_MIN

    # --- what formats ask, from this output's thread ---------------------------------------------

    def sessions(self, ids: Sequence[str]) -> list[Mapping[str, Any]]:
        """See `Source`."""
        found: list[Mapping[str, Any]] = []
        for some in _in_chunks(ids, SESSIONS_AT_A_TIME):
            try:
                found += self._ask(whole_sessions(self._store, some))
            except QueryTooLargeError:
                for one in some:
                    found += self._session(one)
        return found

    def _session(self, one: str) -> list[Mapping[str, Any]]:
        """Return one session; nothing of one that no answer has room for, or this output would wait for it for ever."""
        try:
            rows: list[Mapping[str, Any]] = self._ask(whole_sessions(self._store, [one]))
        except QueryTooLargeError:
            log.warning("output %s: session %s is too large to be told whole, and is left out", self.name, one)
            return []
        return rows

    def sample(self, sha256: str, bytes_max: int) -> bytes | None:
        """See `Source`."""
        size = self._ask(self._samples.size(sha256))
        if size is None or size > bytes_max:
            return None
        data: bytes = self._ask(self._samples.read(sha256, 0, size))
        return data

    def was_told(self, key: str, within_s: float = KEPT_S_MAX) -> bool:
        """See `Source`."""
        since_s = 0.0 if within_s == KEPT_S_MAX else time.time() - within_s
        return self._journal.was_told(self.name, key, since_s=since_s)

    def _ask(self, question: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(question, self._loop).result(ASK_S_MAX)


def _in_chunks(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    rest = iter(items)
    while chunk := list(itertools.islice(rest, size)):
        yield chunk
