"""What rooms wish from outside, and what lies hidden in what was kept: carried out, stated, answered.

A download goes on when its session ends, and is stated under that session. Scripts that come in are looked into for
more, in a thread, within the limits of `payload.follow`.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict, deque
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from eudaemon.events.catalogue import ArtefactKept, DownloadFinished, DownloadWished
from eudaemon.payload.fetch.policy import FetchSettings
from eudaemon.payload.fetch.service import Fetcher, FetchResult
from eudaemon.sensor.artefacts import ArtefactStore, Sink
from eudaemon.sensor.contract import Talk
from eudaemon.sensor.driver import Driver
from eudaemon.wire import clipped
from eudaemon.world.outside import Download, Downloaded
from eudaemon.world.seed import Seed

if TYPE_CHECKING:
    from eudaemon.payload.extract import Extraction
    from eudaemon.payload.shellcode.shells import Shell
    from eudaemon.world.host import Host

URL_CHARS_MAX = 4096  # of a URL in a fact
WISHES_MAX = 256  # under way and waiting; more are refused at once
PAYLOADS_MAX = 64  # that wait to be looked into; more are not
LOOKED_BYTES_MAX = 256 * 1024  # of each: as many as `extract` looks at, and no more is held
REMEMBERED_MAX = 2048  # payloads that were looked into, and wishes of sessions
SHELLED_MAX = 256  # payloads whose shells are remembered: each of a worm's senders wants its own
WAITING_MAX = 256  # sessions whose payload the farm may tell of


def _hidden(data: bytes, host: Host, attacker_ip: str) -> Extraction:
    from eudaemon.payload.extract import extract  # see `Fetching._follow`

    return extract(data, host, attacker_ip=attacker_ip)


class Fetching:
    """See the module. Implements the driver's `Outside`."""

    def __init__(self, driver: Driver, settings: FetchSettings, seed: Seed, store: ArtefactStore) -> None:
        self._driver = driver
        self._settings = settings
        self._fetcher = Fetcher(settings, lambda: Sink(store), seed)
        self._thread = ThreadPoolExecutor(1, "extract")
        self._tasks: set[asyncio.Task[None]] = set()
        self._payloads: deque[tuple[Talk, str, bytes]] = deque()  # whose, SHA-256 of the whole, its beginning
        self._shelled: OrderedDict[str, tuple[Shell, ...]] = OrderedDict()  # by the payload's SHA-256
        self._waiting: deque[tuple[str, Talk, bool]] = deque(maxlen=WAITING_MAX)  # SHA-256 of a payload, whose, where
        self._looker: asyncio.Task[None] | None = None
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()

    def wish(self, session: Talk, download: Download, answer: Callable[[Downloaded], None]) -> None:
        """State and carry out a wish; `answer` is called once, later, also after the session."""
        self._state_wish(session, download)
        if len(self._tasks) >= WISHES_MAX:
            result = FetchResult(download.url, "refused", "too many downloads waiting")
            self._finished(session, download, result)
            asyncio.get_running_loop().call_soon(answer, result.downloaded)
            return
        self._start(self._follow(session, [download], answer), session)

    def look_into(self, session: Talk, data: bytes, *, here: bool = False) -> None:
        """See `Outside`. The same bytes are looked into once."""
        if not data or len(self._payloads) >= PAYLOADS_MAX:
            return
        sha256 = hashlib.sha256(data).hexdigest()
        is_new = self._is_new("", sha256)
        if (shells := self._shelled.get(sha256)) is not None:
            self._open_shells(session, shells, here=here)
        else:
            self._waiting.append((sha256, session, here))
        if not is_new:
            return
        self._payloads.append((session, sha256, data[:LOOKED_BYTES_MAX]))
        if self._looker is None or self._looker.done():
            self._looker = self._start(self._look(), session)

    def learned(self, sha256: str, shells: tuple[Shell, ...]) -> None:
        """Open a payload's shells, by its signatures or by the farm's word, for those who sent it; remember them."""
        self._shelled[sha256] = shells
        if len(self._shelled) > SHELLED_MAX:
            self._shelled.popitem(last=False)
        for waiting in [one for one in self._waiting if one[0] == sha256]:
            self._waiting.remove(waiting)
            self._open_shells(waiting[1], shells, here=waiting[2])

    def may_call(self, attacker_ip: str) -> str:
        """See `Outside`."""
        return self._fetcher.may_call(attacker_ip)

    async def close(self) -> None:
        """Give up what is under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._fetcher.close()
        self._thread.shutdown()

    async def _look(self) -> None:
        while self._payloads:
            session, sha256, data = self._payloads.popleft()
            found = await self._in_thread(_hidden, data, self._driver.host, session.attacker.ip)
            if found.shells:
                self.learned(sha256, found.shells)
            downloads = [download for download in found.downloads if self._is_new(session.id, download.url)]
            if downloads and len(self._tasks) < WISHES_MAX:
                for download in downloads:
                    self._state_wish(session, download)
                self._start(self._follow(session, downloads, None), session)

    def _open_shells(self, session: Talk, shells: tuple[Shell, ...], *, here: bool) -> None:
        """Open these for a session, each once: what was looked into as it came is looked into again when it is kept."""
        for shell in shells:
            if self._is_new(session.id, str(shell)):
                self._driver.shells.open(session, shell, here=here)

    async def _follow(
        self, session: Talk, downloads: list[Download], answer: Callable[[Downloaded], None] | None
    ) -> None:
        from eudaemon.payload.follow import Trail  # here, for its shells are much of a sensor that nobody attacks

        trail = Trail(downloads, self._settings)
        host, ip = self._driver.host, session.attacker.ip
        while (step := trail.next()) is not None:
            depth, download = step
            if depth:
                if not self._is_new(session.id, download.url):
                    continue
                self._state_wish(session, download)
            result = await self._fetcher.fetch(download, ip)
            self._finished(session, download, result)
            if answer is not None:
                answer(result.downloaded)
                answer = None
            await self._in_thread(trail.arrived, result, depth, host, ip)
        if answer is not None:  # a URL that nobody can read
            result = FetchResult(downloads[0].url, "refused", "no URL")
            self._finished(session, downloads[0], result)
            answer(result.downloaded)

    def _state_wish(self, session: Talk, download: Download) -> None:
        self._is_new(session.id, download.url)
        self._driver.state(DownloadWished(clipped(download.url, URL_CHARS_MAX), clipped(download.tool, 64)), session)

    def _finished(self, session: Talk, download: Download, result: FetchResult) -> None:
        url = clipped(download.url, URL_CHARS_MAX)
        if result.sha256:
            is_partial = result.outcome == "partial"
            name = clipped(download.name, 1024)
            self._driver.state(ArtefactKept(result.sha256, result.size, "download", name, url, is_partial), session)
        fact = DownloadFinished(url, result.outcome, clipped(result.reason, 300), result.sha256, result.size,
                                result.peer, round(result.duration_s, 3))  # fmt: skip
        self._driver.state(fact, session)

    def _is_new(self, session: str, what: str) -> bool:
        key = (session, what)
        is_new = key not in self._known
        self._known[key] = None
        self._known.move_to_end(key)
        if len(self._known) > REMEMBERED_MAX:
            self._known.popitem(last=False)
        return is_new

    async def _in_thread(self, work: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)

    def _start(self, work: Coroutine[Any, Any, None], session: Talk) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)

        def done(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            error = None if task.cancelled() else task.exception()
            if error is not None:
                self._driver.faulted("fetching", error, session)

        task.add_done_callback(done)
        return task
