"""The farm as one process: what it is made of, and its life from `preload` to the end of `run`.

intake (TLS) ─▶ store ─▶ page
          │       └─▶ outputs
          └──▶ samples ─▶ identifier ─▶ store
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eudaemon import __version__
from eudaemon.farm.accounts import Accounts
from eudaemon.farm.certificate import Certificate, certificate
from eudaemon.farm.fleet import Fleet
from eudaemon.farm.outputs.settings import Bucket
from eudaemon.farm.settings import FarmSettings

if TYPE_CHECKING:
    from eudaemon.payload.shellcode.apart import Bench

log = logging.getLogger("eudaemon.farm")

FLUSH_S = 5.0
HOUSEKEEPING_S = 600.0


class Farm:
    """The farm in the directory `home`. Making one opens only what the command line may share with a running farm.

    `bench` examines shellcodes, and is closed when `run` ends; without one they are not emulated. `outputs` are the
    settings of those by their names.
    """

    def __init__(
        self, settings: FarmSettings, home: Path, bench: Bench | None = None, outputs: Mapping[str, Any] | None = None
    ) -> None:  # fmt: skip
        self.settings, self._home, self._bench, self._told = settings, home, bench, outputs or {}
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.fleet = Fleet(home / "fleet.sqlite", settings.fleet)
        self.accounts = Accounts(home / "accounts.sqlite")
        self._ports = {"page": settings.page.port, "intake": settings.intake.port}
        self._serving: list[Any] = []

    def prepare(self) -> str | None:
        """Make ready what is made once. Returns the first user's password as long as nobody has logged in with it."""
        self.certificate  # noqa: B018 - made when it is first asked for
        return self.accounts.first_start()

    def admit(self, sensor: str, secret: str) -> None:
        """Admit a sensor whose secret is known to it, such as the one on this machine."""
        if not self.fleet.is_admitted(sensor, secret):
            self.fleet.admit(sensor, secret)

    @cached_property
    def certificate(self) -> Certificate:
        """Return the certificate of intake and page."""
        return certificate(self._home)

    @property
    def fingerprint(self) -> str:
        """Return the certificate's SHA-256, which sensors pin."""
        return self.certificate.fingerprint

    @property
    def page_is_secure(self) -> bool:
        """Say whether the page is served over TLS: always, unless only this machine can reach it."""
        return not ipaddress.ip_address(self.settings.page.address).is_loopback

    @property
    def page_url(self) -> str:
        """Return where the page is, as seen from this machine."""
        from eudaemon.farm.serving import reachable, where

        scheme = "https" if self.page_is_secure else "http"
        return f"{scheme}://{where(reachable(self.settings.page.address), self._ports['page'])}/"

    @property
    def intake_url(self) -> str:
        """Return where sensors on this machine deliver."""
        from eudaemon.farm.serving import reachable, where

        return f"https://{where(reachable(self.settings.intake.addresses[0]), self._ports['intake'])}"

    def preload(self) -> None:
        """Import whatever running will need, and load the tables: afterwards the files may be out of reach."""
        from eudaemon.farm import preloading

        s3 = bool(self.settings.samples.url) or any(isinstance(output, Bucket) for output in self._told.values())
        preloading.load(s3=s3)
        self._build()

    def _build(self) -> None:
        from eudaemon.farm.api import Parts, create_app
        from eudaemon.farm.geo import Locator
        from eudaemon.farm.hub import Hub
        from eudaemon.farm.intake import Intake, Taker
        from eudaemon.farm.outputs.outputs import Outputs
        from eudaemon.farm.own import OwnFacts
        from eudaemon.farm.samples import SampleStore
        from eudaemon.farm.samples.identifier import Identifier
        from eudaemon.farm.samples.shells import Board
        from eudaemon.farm.store import Store

        settings = self.settings
        self.hub = Hub()
        self.outputs = Outputs(self._told, self._home, settings.store)
        self.store = Store(self._home / "store", settings.store, loaded=self.outputs.take)
        self.samples = SampleStore(
            self._home / "samples", settings.samples, disk_free_bytes_min=settings.store.disk_free_bytes_min
        )
        self.own = OwnFacts(self.store, self.hub)
        board = Board()
        self.identifier = Identifier(self.own, self.samples, self._bench, board)
        taker = Taker(self.store, self.samples, self.fleet, self.hub, Locator().locate, self.identifier.wake, board)
        self._intake = Intake(taker, settings.intake)
        parts = Parts(
            store=self.store, samples=self.samples, live=self.hub, accounts=self.accounts, fleet=self.shown,
            version=__version__, secure=self.page_is_secure,
        )  # fmt: skip
        self._page = create_app(parts, hosts=settings.page.hosts)

    def bind(self) -> Sequence[str]:
        """Open the sockets; return what listens where. Raises `ServingError`."""
        from eudaemon.farm.serving import WebServer, listen, where

        if not hasattr(self, "store"):
            self.preload()
        page, intake = self.settings.page, self.settings.intake
        listening = []
        for name, app, addresses, port, tls in (
            ("page", self._page, (page.address,), page.port, self.page_is_secure),
            ("intake", self._intake, intake.addresses, intake.port, True),
        ):
            sockets = listen(addresses, port)
            self._ports[name] = sockets[0].getsockname()[1]
            self._serving.append(WebServer(app, sockets, self.certificate if tls else None))
            scheme = "https" if tls else "http"
            listening += [f"{name} {scheme} {where(*bound.getsockname()[:2])}" for bound in sockets]
        return listening

    async def run(self, stop: asyncio.Event, up: Callable[[], None] = lambda: None) -> None:
        """Serve until `stop` is set; then take no more, finish what is under way, and close everything.

        `up` is called when the store is open and requests are answered.
        """
        await asyncio.to_thread(self.samples.open)
        await asyncio.to_thread(self.outputs.open)
        async with self.store:
            background = [asyncio.create_task(self.identifier.run()), asyncio.create_task(self._keep_house())]
            background += self.outputs.run(self.store, self.samples, self.own)
            serving = [asyncio.create_task(server.run_until_stopped()) for server in self._serving]
            stopping = asyncio.create_task(stop.wait())
            try:
                up()
                # Whatever ends before it was told to is a fault, and ends the farm.
                await asyncio.wait([stopping, *background, *serving], return_when=asyncio.FIRST_COMPLETED)
            finally:
                for server in self._serving:
                    server.stop()
                outcomes = await asyncio.gather(*serving, return_exceptions=True)
                outcomes += await _cancelled([*background, stopping])
            self.fleet.flush()
        self.outputs.close()  # the last events that the store moves are entered, and told at the next start
        self.samples.close()
        if self._bench is not None:
            self._bench.close()
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome

    async def _keep_house(self) -> None:
        """Write down contacts, and remove what is too old or too much."""
        next_s = 0.0
        while True:
            await asyncio.sleep(FLUSH_S)
            await asyncio.to_thread(self.fleet.flush)
            if time.monotonic() >= next_s:
                next_s = time.monotonic() + HOUSEKEEPING_S
                await self.remove_old(time.time())

    async def remove_old(self, now_s: float) -> None:
        """Remove events and conversations that are too old or too many."""
        if weeks := await self.store.trim(now_s):
            log.info("store: removed the events of the weeks from %s", ", ".join(weeks))
        if gone := await self.samples.forget_conversations(now_s):
            log.info("samples: removed %d recorded conversations", gone)

    async def shown(self) -> dict[str, Any]:
        """Return sensors, warnings and figures of the farm as the page shows them."""
        from eudaemon.farm.outputs.outputs import complaints

        sensors = await asyncio.to_thread(self.fleet.sensors)
        outputs = await asyncio.to_thread(self.outputs.states)
        health = self.store.health()
        artefacts, size, samples = await asyncio.to_thread(self.samples.catalogue.totals)
        figures = {
            "version": __version__, **health, "events_bytes": await self.store.bytes_on_disk(),
            "artefacts": artefacts, "artefacts_bytes": size, "samples": samples,
            "fingerprint": self.fingerprint, "intake": self.intake_url, "outputs": [asdict(state) for state in outputs],
        }  # fmt: skip
        warnings = [{"severity": "serious", "text": text} for text in _complaints(health)]
        warnings += [{"severity": "warning", "text": text} for text in complaints(outputs)]
        return {"sensors": [self.fleet.shown(sensor) for sensor in sensors], "warnings": warnings, "farm": figures}


def _complaints(health: dict[str, Any]) -> list[str]:
    """Return what about the store somebody should look at."""
    found = []
    if health["disk_free_bytes"] < health["disk_free_bytes_min"]:
        found.append(
            f"The disk is full: {health['disk_free_bytes'] / 2**20:,.0f} MB are left. Nothing is taken in until there"
            " is room; sensors keep what they see. Make room, or lower `days_max` of the store."
        )
    if health["engine_fault"]:
        found.append(f"The store's engine takes no events; they wait in the queue. It says: {health['engine_fault']}")
    if health["queued_bytes"] > health["queue_bytes_max"] / 2:
        found.append("The queue before the store is more than half full. Sensors will be told to wait when it is full.")
    return found


async def _cancelled(tasks: Sequence[asyncio.Task[Any]]) -> list[Any]:
    for task in tasks:
        task.cancel()
    outcomes: list[Any] = await asyncio.gather(*tasks, return_exceptions=True)
    return outcomes
