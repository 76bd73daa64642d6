"""The one door to the outside: `Fetcher.fetch` takes a wish and says what came of it, whatever the peer does.

Owns turns, rates and sharing: the same URL asked for by a thousand bots is one download, and its answer serves
them all. A download that somebody waits for goes on when that session ends: it is the binary that we want.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from importlib import import_module

from eudaemon.payload.fetch import ftp, http, raw, redis, tftp
from eudaemon.payload.fetch.agents import agent_of
from eudaemon.payload.fetch.memory import Memory, Rates
from eudaemon.payload.fetch.outcome import Failed, NotFetched, Refused
from eudaemon.payload.fetch.policy import ATTACKER_ONLY, FetchSettings, forbidden, is_private
from eudaemon.payload.fetch.target import Request, Resolve, SystemResolver, Target, aim, words
from eudaemon.payload.fetch.transfer import NoRoomError, Sink, Transfer
from eudaemon.payload.url import Url, parse
from eudaemon.world.outside import Download, Downloaded
from eudaemon.world.seed import Seed

log = logging.getLogger("eudaemon.fetch")


def _later(module: str, name: str = "fetch") -> Callable[[Request, Transfer], Awaitable[None]]:
    """Return what fetches by a module that is loaded when it is first asked for: few attacks name these schemes."""

    async def fetch(request: Request, transfer: Transfer) -> None:
        try:
            loaded = import_module(f"eudaemon.payload.fetch.{module}")
        except ImportError as error:
            missing = (error.name or "").partition(".")[0]
            raise Failed(f"{request.url.scheme}: {missing} is not on this machine") from None
        await getattr(loaded, name)(request, transfer)

    return fetch


SCHEMES: dict[str, Callable[[Request, Transfer], Awaitable[None]]] = {
    "http": http.fetch,
    "https": http.fetch,
    "ftp": ftp.fetch,
    "tftp": tftp.fetch,
    "redis": redis.fetch,
    "scp": _later("ssh"),
    "sftp": _later("ssh"),
    "smb": _later("smb"),
    "rcp": _later("rcp"),
    "creceive": _later("link", "fetch_listening"),
    "blink": _later("link", "fetch_listening"),
    "link": _later("link"),
    "csend": raw.fetch,
    "nc": raw.fetch,
    "tcp": raw.fetch,
}


@dataclass(frozen=True, slots=True)
class FetchResult:
    """What came of a download: as in `Downloaded`, and who answered, and how long it took."""

    url: str
    outcome: str
    reason: str = ""
    head: bytes = b""
    size: int = 0
    sha256: str = ""
    peer: str = ""
    duration_s: float = 0.0

    @property
    def downloaded(self) -> Downloaded:
        """The answer as a room is told it."""
        return Downloaded(self.url, self.outcome, self.reason, self.head, self.size, self.sha256)


class Fetcher:
    """Fetches within the settings. `new_sink` gives one new sink for each download; `resolve` defaults to the system's.

    To be made and used within a running loop.
    """

    def __init__(
        self, settings: FetchSettings, new_sink: Callable[[], Sink], seed: Seed, *, resolve: Resolve | None = None
    ) -> None:
        self.settings = settings
        self._new_sink = new_sink
        self._seed = seed
        self._resolve = resolve or SystemResolver()
        self._turns = asyncio.Semaphore(settings.concurrent_max)
        self._under_way: dict[tuple[str, str, str], asyncio.Task[FetchResult]] = {}
        self._memory = Memory(settings)
        self._rates = Rates()

    async def fetch(self, download: Download, attacker_ip: str) -> FetchResult:
        """Carry out a wish of a session with this attacker, or say why not. Cancelling the caller leaves it going."""
        try:
            url = parse(download.url)
        except ValueError as error:
            return FetchResult(download.url, "refused", str(error))
        if url.scheme not in SCHEMES:
            return FetchResult(download.url, "refused", f"scheme {url.scheme}")
        if self.settings.policy == "off":
            return FetchResult(download.url, "refused", "policy")
        # What an attacker may reach depends on who it is only where its own address matters.
        matters = self.settings.policy == "attacker" or url.scheme in ATTACKER_ONLY or is_private(url.host)
        whose = attacker_ip if matters else ""
        key = (whose, agent_of(download.tool), str(url))
        loop = asyncio.get_running_loop()
        known = self._memory.recall(key, loop.time())
        if known is not None:
            return replace(known, url=download.url, duration_s=0.0)
        task = self._under_way.get(key)
        if task is None:
            if len(self._under_way) >= self.settings.concurrent_max + self.settings.waiting_max:
                return FetchResult(download.url, "refused", "too many downloads waiting")
            if not self._rates.may_start("", loop.time(), self.settings.starts_per_minute_max):
                return FetchResult(download.url, "refused", "too many downloads in a minute")
            task = asyncio.create_task(self._carry_out(key, url, download, attacker_ip))
            self._under_way[key] = task
        result = await asyncio.shield(task)
        return replace(result, url=download.url)

    def may_call(self, attacker_ip: str) -> str:
        """Return why no connection may go to an attacker's own address, in words; empty, and counted, if one may.

        For what is no download, and yet goes out: a room's side connection.
        """
        why = forbidden(attacker_ip, attacker_ip, self.settings)
        if not why and not self._may_start_at(attacker_ip):
            why = "too many connections to this address in a minute"
        return why

    async def close(self) -> None:
        """Give up all that is under way."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _carry_out(self, key: tuple[str, str, str], url: Url, wish: Download, attacker_ip: str) -> FetchResult:
        loop = asyncio.get_running_loop()
        try:
            async with self._turns:
                began_s = loop.time()
                result = await self._into_sink(url, wish, attacker_ip)
                result = replace(result, duration_s=loop.time() - began_s)
            if result.outcome != "refused":
                self._memory.remember(key, result, loop.time())
            log.info("%s: %s %s (%d bytes)", url, result.outcome, result.reason, result.size)
            return result
        finally:
            del self._under_way[key]

    async def _into_sink(self, url: Url, wish: Download, attacker_ip: str) -> FetchResult:
        sink = self._new_sink()
        transfer = Transfer(self.settings, sink)
        outcome, reason, settled = "ok", "", False
        try:
            try:
                async with asyncio.timeout(self.settings.total_s_max) as clock:
                    request = Request(url, wish.tool, lambda url: self._aim(url, attacker_ip), self._seed)
                    await SCHEMES[url.scheme](request, transfer)
            except NotFetched as error:
                outcome, reason = error.outcome, str(error)
            except OSError as error:
                timed_out = isinstance(error, TimeoutError) and clock.expired()
                outcome = "failed"
                reason = f"over {self.settings.total_s_max:g} s" if timed_out else words(error)
            sha256 = ""
            if transfer.size or outcome == "ok":
                outcome = "ok" if outcome == "ok" else "partial"
                sha256, _ = sink.commit()
                settled = True
        except NoRoomError as error:
            return FetchResult(wish.url, "failed", str(error) or "no room to keep it", peer=transfer.peer)
        finally:
            if not settled:
                sink.abort()
        return FetchResult(wish.url, outcome, reason, bytes(transfer.head), transfer.size, sha256, transfer.peer)

    async def _aim(self, url: Url, attacker_ip: str) -> Target:
        target = await aim(url, attacker_ip, self.settings, self._resolve)
        if not self._may_start_at(target.addresses[0]):
            raise Refused("too many downloads from this address in a minute")
        return target

    def _may_start_at(self, ip: str) -> bool:
        now_s, count_max = asyncio.get_running_loop().time(), self.settings.starts_per_host_minute_max
        return self._rates.may_start(ip, now_s, count_max)
