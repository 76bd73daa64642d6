"""From a payload's downloads on to what the fetched scripts would fetch in turn: so deep, so many, so much, no more."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

from eudaemon.payload.extract import extract
from eudaemon.payload.fetch.policy import FetchSettings
from eudaemon.payload.fetch.service import FetchResult
from eudaemon.payload.url import parse
from eudaemon.world.host import Host
from eudaemon.world.outside import Download

_BINARY = (b"\x7fELF", b"MZ", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe", b"PK\x03\x04", b"dex\n")
_CLASS_MAJOR_MIN = 45  # Java Virtual Machine Specification, table 4.1-A; a Mach-O for so many machines there is none


class Trail:
    """What is still to be fetched, breadth first. Pure: it is told what arrived, and says what is next."""

    __slots__ = ("_bytes", "_hosts", "_seen", "_settings", "_waiting")

    def __init__(self, downloads: Iterable[Download], settings: FetchSettings) -> None:
        self._settings = settings
        self._waiting: list[tuple[int, Download]] = []
        self._seen: set[str] = set()
        self._hosts: set[str] = set()
        self._bytes = 0
        self._add(downloads, 0)

    def next(self) -> tuple[int, Download] | None:
        """Return the next download and how deep it lies, or None when the trail ends."""
        if not self._waiting or self._bytes > self._settings.bytes_max:
            return None
        return self._waiting.pop(0)

    def arrived(self, result: FetchResult, depth: int, host: Host, attacker_ip: str) -> None:
        """Take in what a download brought: what a script in it would fetch is next, one deeper."""
        self._bytes += result.size
        if result.head and depth < self._settings.depth_max and not _is_program(result.head):
            self._add(extract(result.head, host, attacker_ip=attacker_ip).downloads, depth + 1)

    def _add(self, downloads: Iterable[Download], depth: int) -> None:
        for download in downloads:
            if download.url in self._seen or len(self._seen) >= self._settings.urls_max:
                continue
            try:
                name = parse(download.url).host
            except ValueError:
                continue
            if name not in self._hosts and len(self._hosts) >= self._settings.hosts_max:
                continue
            self._hosts.add(name)
            self._seen.add(download.url)
            self._waiting.append((depth, download))


def _is_program(head: bytes) -> bool:
    """Say whether the bytes are machine code; a Java class holds the commands that it runs as text."""
    is_class = head[:4] == b"\xca\xfe\xba\xbe" and int.from_bytes(head[4:8], "big") & 0xFFFF >= _CLASS_MAJOR_MIN
    return head.startswith(_BINARY) and not is_class


async def follow(
    downloads: Iterable[Download],
    fetch: Callable[[Download], Awaitable[FetchResult]],
    settings: FetchSettings,
    host: Host,
    attacker_ip: str,
) -> AsyncIterator[tuple[Download, FetchResult]]:
    """Fetch the downloads and what follows from them, one after the other; yield each with what came of it.

    `bytes_max` of the settings holds for all that one trail brings together, give or take its last download.
    """
    trail = Trail(downloads, settings)
    while (step := trail.next()) is not None:
        depth, download = step
        result = await fetch(download)
        yield download, result
        trail.arrived(result, depth, host, attacker_ip)
