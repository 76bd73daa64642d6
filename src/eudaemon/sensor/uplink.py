"""Delivering to the farm what is durable here: artefacts first, then the events that name them, until it has them.

    read a batch -> HEAD, PUT its artefacts -> POST the batch -> 200: acknowledged | 400 403 413: halved down to the
    one event that is refused, which is set aside | anything else: kept, and tried again later

Nothing is given up because the farm is away; what the spool cannot hold, the spool drops.

With an answer the farm may tell what shellcodes would open, which it has run. Where a batch had payloads, heartbeats
follow soon: whoever sent one waits for its shell.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from eudaemon.payload.shellcode.shells import SHELLS_MAX, Shell
from eudaemon.sensor.artefacts import ArtefactStore
from eudaemon.sensor.client import Answer, Client, NoAnswerError, Request
from eudaemon.sensor.settings import SensorSettings
from eudaemon.sensor.spool import Batch, Spool

log = logging.getLogger("eudaemon.uplink")

BATCH_PATH = "/intake/v1/batch"
ARTEFACT_PATH = "/intake/v1/artefacts/"
FULL_EVENTS = 100  # a batch of so many does not wait for more
PIPELINED_MAX = 32
PIPELINED_BYTES_MAX = 512 * 1024
KNOWN_MAX = 4096  # artefacts that are remembered to be at the farm
BACKOFF_S_MIN = 0.5
_REFUSED = (400, 403, 413)
_ASK_AFTER_S = (1.0, 1.0, 2.0, 4.0)  # after a batch with payloads, one after the other: what the farm found
_PAYLOAD = b'"origin":"payload"'
# A name in an event's JSON: within a value every `"` is escaped, so that no attacker's text looks like this.
_NAMED = re.compile(rb'"(?:sha256|conversation|report)":"([0-9a-f]{64})"')


class LaterError(Exception):
    """The farm takes nothing now. `after_s` is how long it asked to be left alone, 0 if it did not say.

    `answered` says whether it was the farm that said so.
    """

    def __init__(self, why: str, after_s: float = 0.0, *, answered: bool = False) -> None:
        super().__init__(why)
        self.after_s = after_s
        self.answered = answered


def _forget(sha256: str, shells: tuple[Shell, ...]) -> None:
    """Nobody wants to know it."""


class Uplink:
    """Delivers for as long as it runs. `health` is asked anew for each batch."""

    def __init__(
        self, settings: SensorSettings, spool: Spool, artefacts: ArtefactStore, health: Callable[[], dict[str, Any]],
        learned: Callable[[str, tuple[Shell, ...]], None] = _forget,
    ) -> None:  # fmt: skip
        self._settings = settings.uplink
        self._keep_artefacts = settings.capture.keep_artefacts
        self._spool = spool
        self._artefacts = artefacts
        self._health = health
        self._learned = learned
        self._pauses: list[float] = []  # before the next heartbeats, where they are shorter than usual
        uplink = settings.uplink
        credential = f"{settings.name}:{uplink.secret}"
        self._client = Client(uplink.url, uplink.fingerprint, credential, uplink.answer_s_max)
        self._durable = asyncio.Event()
        self._events_max = uplink.batch_events_max  # less while a refused event is searched for
        self._known: OrderedDict[str, None] = OrderedDict()
        self._failures = 0

    def durable(self) -> None:
        """There are new durable events."""
        self._durable.set()

    async def run(self) -> None:
        """Deliver until cancelled."""
        while True:
            try:
                await self._deliver_or_beat()
            except LaterError as later:
                await asyncio.sleep(self._failed(later))
            else:
                self._succeeded()

    async def deliver_last(self) -> str:
        """Deliver what is left, now that `run` has been cancelled; return why not all of it went, empty if it did."""
        self._client.close()  # it may have been interrupted in the middle of an answer
        try:
            await self.deliver_all()
        except LaterError as later:
            return str(later)
        finally:
            self._client.close()
        return ""

    async def deliver_all(self) -> None:
        """Deliver all that is durable now. Raises `LaterError`."""
        while (batch := self._spool.read(self._events_max, self._settings.batch_bytes_max)) is not None:
            await self._deliver(batch)

    async def _deliver_or_beat(self) -> None:
        try:
            pause_s = self._pauses.pop(0) if self._pauses else self._settings.heartbeat_s
            async with asyncio.timeout(min(pause_s, self._settings.heartbeat_s)):
                await self._durable.wait()
        except TimeoutError:
            await self._beat()
            return
        if self._spool.waiting_events < FULL_EVENTS:
            await asyncio.sleep(self._settings.wait_s_max)
        await self.deliver_all()
        self._durable.clear()  # nothing was awaited since the spool was seen empty

    async def _beat(self) -> None:
        """Say how we do, and no events."""
        await self._post(Batch(self._spool.acknowledged))

    async def _deliver(self, batch: Batch) -> None:
        try:
            await self._upload(batch)
        except LaterError as later:
            if later.answered:  # it has no room, but hears how we do: who has to wait is not silent
                await self._beat()
            raise
        answer = await self._post(batch)
        if answer.status == 200:
            self._spool.acknowledge(_next(answer), batch)
            self._events_max = min(self._events_max * 2, self._settings.batch_events_max)
            if any(_PAYLOAD in line for line in batch.lines):
                self._pauses = list(_ASK_AFTER_S)
        elif len(batch.lines) > 1:
            self._events_max = len(batch.lines) // 2
        else:
            if (await self._post(Batch(batch.first))).status != 200:
                raise LaterError(f"it refuses even an empty batch: {_error(answer)}")
            log.error("the farm refuses event %d, which is set aside: %s", batch.first, _error(answer))
            self._spool.set_aside(batch.lines[0])
            self._spool.acknowledge(batch.next, batch)

    async def _post(self, batch: Batch) -> Answer:
        """Send a batch; return the answer if it is 200 or a refusal of this very batch. Raises `LaterError`."""
        head = {"spool": self._spool.id, "first": batch.first, "count": len(batch.lines), "health": self._health()}
        body = b"\n".join((json.dumps(head).encode("ascii"), *batch.lines, b""))
        answer = (await self._ask([Request("POST", BATCH_PATH, body, "application/x-ndjson")]))[0]
        if answer.status != 200 and (answer.status not in _REFUSED or not batch.lines):
            raise _later(answer)
        if answer.status == 200:
            for sha256, shells in _shellcodes(answer):
                asyncio.get_running_loop().call_soon(
                    self._learned, sha256, shells
                )  # delivery goes on, whatever it does
        return answer

    # --- artefacts ----------------------------------------------------------------------------------

    async def _upload(self, batch: Batch) -> None:
        """Bring to the farm what the batch's events name."""
        named = dict.fromkeys(sha256.decode() for line in batch.lines for sha256 in _NAMED.findall(line))
        blobs = [(name, batch.blobs[name]) for name in named if name in batch.blobs and name not in self._known]
        for group in _groups(blobs):
            await self._put([Request("PUT", ARTEFACT_PATH + name, data) for name, data in group])
        files = [name for name in named if name not in batch.blobs and self._artefacts.path(name).exists()]
        unknown = [name for name in files if name not in self._known]
        for start in range(0, len(unknown), PIPELINED_MAX):
            part = unknown[start : start + PIPELINED_MAX]
            answers = await self._ask([Request("HEAD", ARTEFACT_PATH + name) for name in part])
            for name, answer in zip(part, answers, strict=False):
                if answer.status == 200:
                    self._know(name)
                elif answer.status != 404:
                    raise _later(answer)
        for name in files:
            if name not in self._known:
                await self._put([Request("PUT", ARTEFACT_PATH + name, self._artefacts.path(name))])
            if name in self._known and not self._keep_artefacts:
                self._artefacts.remove(name)

    async def _put(self, requests: list[Request]) -> None:
        answers = await self._ask(requests)
        for request, answer in zip(requests, answers, strict=False):
            name = request.path.removeprefix(ARTEFACT_PATH)
            if answer.status in (200, 201):
                self._know(name)
            elif answer.status in _REFUSED:
                log.error("the farm refuses artefact %s, which stays here: %s", name, _error(answer))
            else:
                raise _later(answer)
        if left := requests[len(answers) :]:  # it hung up behind an answer
            await self._put(left)

    def _know(self, name: str) -> None:
        self._known[name] = None
        if len(self._known) > KNOWN_MAX:
            self._known.popitem(last=False)

    # --- the farm's moods ---------------------------------------------------------------------------

    async def _ask(self, requests: list[Request]) -> list[Answer]:
        try:
            return await self._client.ask(requests)
        except NoAnswerError as error:
            raise LaterError(str(error)) from None

    def _failed(self, later: LaterError) -> float:
        """Return how long to wait: doubled each time up to the setting, and never the same for two sensors."""
        self._failures += 1
        most = self._settings.backoff_s_max
        pause_s = min(max(BACKOFF_S_MIN * 2.0 ** min(self._failures - 1, 16), later.after_s), most)
        if self._failures == 1:
            log.warning("the farm takes nothing: %s; events wait here", later)
        return pause_s * (0.75 + os.urandom(1)[0] / 1024)

    def _succeeded(self) -> None:
        if self._failures:
            log.warning("the farm takes events again")
        self._failures = 0


def _groups(blobs: Iterable[tuple[str, bytes]]) -> Iterable[list[tuple[str, bytes]]]:
    group: list[tuple[str, bytes]] = []
    size = 0
    for name, data in blobs:
        if group and (len(group) >= PIPELINED_MAX or size + len(data) > PIPELINED_BYTES_MAX):
            yield group
            group, size = [], 0
        group.append((name, data))
        size += len(data)
    if group:
        yield group


def _next(answer: Answer) -> int:
    try:
        number = json.loads(answer.body)["next"]
    except (ValueError, LookupError, TypeError):
        number = None
    if type(number) is not int or number < 0:
        raise LaterError("an answer that is none of a farm")
    return number


def _shellcodes(answer: Answer) -> Iterator[tuple[str, tuple[Shell, ...]]]:
    """Yield what the farm tells of shellcodes: which, and their shells. What reads as none is passed over."""
    try:
        words = json.loads(answer.body).get("shellcodes", ())
        for word in words:
            yield word["sha256"], tuple(Shell.from_json(one) for one in word["shells"][:SHELLS_MAX])
    except (ValueError, LookupError, TypeError, AttributeError):
        log.warning("the farm tells of a shellcode what this version does not understand")


def _later(answer: Answer) -> LaterError:
    after = answer.headers.get("retry-after", "")
    after_s = float(after) if after.isdecimal() else 0.0
    return LaterError(f"HTTP status {answer.status}: {_error(answer)}", after_s, answered=True)


def _error(answer: Answer) -> str:
    try:
        return str(json.loads(answer.body)["error"])[:200]
    except (ValueError, LookupError, TypeError):
        return "no reason given"
