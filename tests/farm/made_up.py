"""A store full of made-up attacks, and the parts that the API is made of. For tests."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from eudaemon.farm.accounts import Accounts
from eudaemon.farm.api import Parts, create_app
from eudaemon.farm.geo import Place
from eudaemon.farm.settings import StoreSettings
from eudaemon.farm.store import Store, row_of
from eudaemon.testing.synthetic import SAMPLES_MAX, Seen, Synthetic

END_S = 1_795_487_000.0
PASSWORD = "correct horse battery"


def stored(seen: Seen, received_s: float = END_S + 10) -> Any:
    """Return the row of a made-up event."""
    who = seen.attacker
    return row_of(seen.event, received_s, Place(who.country, who.asn, who.as_name) if who else Place())


async def fill(store: Store, events: Iterable[Seen], *, spool: str = "ab" * 16, received_s: float = END_S + 10) -> None:
    """Put events into a store and wait until they can be asked for."""
    rows = [stored(seen, received_s) for seen in events]
    await store.append("made-up", spool, 0, rows)
    await store.settle()


class Kept:
    """A sample store in memory."""

    def __init__(self) -> None:
        self.data: dict[str, bytes] = {}

    def keep(self, data: bytes) -> str:
        """Keep bytes; return their SHA-256."""
        sha256 = hashlib.sha256(data).hexdigest()
        self.data[sha256] = data
        return sha256

    async def size(self, sha256: str) -> int | None:
        """See `Bytes.size`."""
        return len(self.data[sha256]) if sha256 in self.data else None

    async def read(self, sha256: str, offset: int, length: int) -> bytes:
        """See `Bytes.read`."""
        return self.data[sha256][offset : offset + length]


class Hub:
    """Hands rows to whoever listens."""

    def __init__(self) -> None:
        self.queues: set[asyncio.Queue[dict[str, Any]]] = set()

    @contextlib.contextmanager
    def subscribe(self) -> Iterator[asyncio.Queue[dict[str, Any]]]:
        """See `Live.subscribe`."""
        queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.queues.add(queue)
        try:
            yield queue
        finally:
            self.queues.discard(queue)


def bytes_of_sample(number: int) -> bytes:
    """Return harmless bytes that look like something."""
    texts = b"/bin/busybox MIRAI\0POST /cdn-cgi/ HTTP/1.1\0<script>alert(1)</script>\0w\0i\0d\0e\0 \0t\0e\0x\0t\0\0\0"
    return b"\x7fELF\x01\x01\x01" + bytes(9) + b"\x02\0\x28\0" + texts + hashlib.shake_256(b"%d" % number).digest(4000)


class World:
    """The parts of an API over `count` made-up events, and what went in."""

    def __init__(self, home: Path, *, count: int, end_s: float = END_S, days: float = 3.0) -> None:
        self.kept, self.hub = Kept(), Hub()
        for number in range(SAMPLES_MAX):
            self.kept.data[hashlib.sha256(b"synthetic sample %d" % number).hexdigest()] = bytes_of_sample(number)
        made = Synthetic(end_s=end_s, days=days, keep=self.kept.keep)
        self.seen = [*made.events(count), *made.identified(end_s - 60)]
        self.store = Store(home / "store", StoreSettings(load_every_s=0.01))
        self.accounts = Accounts(home / "accounts.sqlite")
        self.accounts.set_password("admin", PASSWORD)
        self.fleet: dict[str, Any] = {"sensors": [], "warnings": [], "farm": {}}
        self.parts = Parts(
            store=self.store, samples=self.kept, live=self.hub, accounts=self.accounts, fleet=self._fleet, version="0"
        )
        self.app = create_app(self.parts, hosts=("farm.example",))

    async def _fleet(self) -> dict[str, Any]:
        return self.fleet

    async def start(self) -> None:
        """Open the store and fill it."""
        await self.store.start()
        await fill(self.store, self.seen)

    async def close(self) -> None:
        """Close everything."""
        await self.store.close()
        self.accounts.close()


@contextlib.contextmanager
def world(home: Path, *, count: int, **more: Any) -> Iterator[World]:
    """Enter a world; for fixtures that outlive one event loop."""
    made = World(home, count=count, **more)
    asyncio.run(made.start())
    try:
        yield made
    finally:
        asyncio.run(made.close())
