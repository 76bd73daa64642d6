"""A whole sensor: its parts put together, started in order, stopped in order.

preload -> bind (may be root) -> run(stop): spool, artefacts, listeners, uplink ... -> sessions end -> spool flushed
"""

from __future__ import annotations

import asyncio
import codecs
import gc
import logging
import os
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eudaemon import __version__
from eudaemon.events import IdSource
from eudaemon.events.catalogue import SensorStarted, SensorStopped, SessionsRefused
from eudaemon.events.envelope import rfc3339
from eudaemon.payload.fetch.policy import FetchSettings
from eudaemon.protocols import ROOMS
from eudaemon.protocols._front import Front
from eudaemon.sensor import binding, certificate
from eudaemon.sensor.artefacts import ArtefactStore, free_bytes
from eudaemon.sensor.contract import Service, TlsLayer
from eudaemon.sensor.driver import Driver
from eudaemon.sensor.durable import Committer
from eudaemon.sensor.fetching import Fetching
from eudaemon.sensor.grace import Grace
from eudaemon.sensor.inbox import Inbox
from eudaemon.sensor.limits import Doorkeeper
from eudaemon.sensor.settings import Listener, SensorSettings
from eudaemon.sensor.shells import Shells
from eudaemon.sensor.side import Sides
from eudaemon.sensor.spool import Spool
from eudaemon.sensor.tcp import Spare, TcpListener
from eudaemon.sensor.udp import UdpListener
from eudaemon.sensor.wheel import Wheel
from eudaemon.world.host import Host
from eudaemon.world.personas import Persona
from eudaemon.world.seed import Seed

if TYPE_CHECKING:
    import ssl

    from eudaemon.sensor.uplink import Uplink

log = logging.getLogger("eudaemon.sensor")

REFUSED_EVERY_S = 10.0
LISTED_MAX = 256  # of what listens, in facts and health
LAST_DELIVERY_S_MAX = 5.0


class Sensor:
    """`seed` is the installation's, `home` a folder that is the sensor's alone. `persona` is one of somebody's own."""

    def __init__(
        self, settings: SensorSettings, fetch: FetchSettings, seed: bytes, home: Path, persona: Persona | None = None
    ) -> None:
        self.settings = settings
        self._persona = persona
        self.listening: tuple[str, ...] = ()
        self._fetch = fetch
        self._seed = Seed(seed)
        self._home = home
        self._sockets: list[tuple[socket.socket, Listener]] = []
        self._started_s = time.time()
        self._began_s = time.monotonic()
        self._driver: Driver | None = None
        self._tls_contexts: dict[bool, ssl.SSLContext] = {}  # by whether they end with TLS 1.2

    # --- starting -----------------------------------------------------------------------------------

    def preload(self) -> None:
        """Import what running will need, except for the rooms and TLS, which nobody may ask for: see `app.later`."""
        self.settings = without_unable(self.settings)
        if self.settings.uplink.url:
            import_module("eudaemon.sensor.uplink")
        if self.settings.tls and find_spec("_ssl") is None:  # a router without python3-openssl
            log.warning("this machine's Python has no TLS: peers that open with it are not answered")
            self.settings = replace(self.settings, tls=False)
        for codec in ("ascii", "latin-1", "utf-16-le"):
            codecs.lookup(codec)  # encoding with it would not do: short cuts import nothing

    def bind(self) -> Sequence[str]:
        """Open the sockets; return what listens where. Raises `binding.BindError`."""
        self._sockets = binding.bind(self.settings)
        self.listening = tuple(binding.described(*entry) for entry in self._sockets)
        return self.listening

    async def run(self, stop: asyncio.Event, up: Callable[[], None] = lambda: None) -> None:
        """Serve until `stop` is set, then end in good order. `up` is called when peers are answered."""
        loop = asyncio.get_running_loop()
        spool = Spool(self._home / "spool", self.settings.spool, os.urandom)
        spool.open()
        downloads = self.settings.downloads
        if self._persona is not None:
            host = Host.of(self._seed, self._persona, downloads=downloads)
        else:
            host = Host.from_seed(self._seed, downloads=downloads, persona=self.settings.persona)
        wheel = Wheel(loop)
        driver = Driver(self.settings, host, self._seed.child("sessions"), spool, wheel=wheel,
                        ids=IdSource(os.urandom), clock=time.time, ticks=loop.time)  # fmt: skip
        driver.artefacts = ArtefactStore(self._home / "artefacts", self.settings.capture, driver.state)
        driver.artefacts.open()
        fetching = Fetching(driver, self._fetch, self._seed.child("fetch"), driver.artefacts)
        driver.outside = fetching
        driver.grace = Grace(loop, self.settings.tls_grace_ms)
        driver.new_tls = self._new_tls
        driver.sides = Sides(driver, self.settings.side_ports)
        self._driver = driver
        if self.settings.tls:
            self._certificate()  # now, while there is room for it
        uplink = self._uplink(driver, fetching)
        committer = Committer(driver, uplink.durable if uplink else lambda: None)
        doors = (Doorkeeper(self.settings.limits), Doorkeeper(self.settings.limits, "udp_sessions_max"))
        spare = Spare()
        driver.shells = Shells(driver, self._fetch, doors[0], spare)
        driver.ports = frozenset(s.getsockname()[1] for s, entry in self._sockets if entry.transport == "tcp")
        gc.collect()
        gc.freeze()  # what is there now stays: it need not be looked through again
        driver.state(SensorStarted(__version__, self.listening[:LISTED_MAX]))
        listeners = [self._listen(sock, listener, driver, doors, spare) for sock, listener in self._sockets]
        inbox = Inbox(self._home / "inbox", self.settings.name, spool.append, driver.artefacts.keep, committer.commit,
                      fetching.wish, fetching.look_into)  # fmt: skip
        inbox.open()
        tasks = [loop.create_task(one) for one in (committer.run(), _state_refused(driver, doors), inbox.run())]
        if uplink:
            tasks.append(loop.create_task(uplink.run()))
        try:
            up()
            await _until(stop, tasks)
        finally:
            for listener in listeners:
                listener.close()
            driver.shells.close()
            driver.stop()
            await fetching.close()
            driver.state(SensorStopped(round(time.monotonic() - self._began_s, 3)))
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await committer.commit()
            if uplink:
                await _last_delivery(uplink)
            committer.close()
            spool.close()
            spare.close()
            driver.grace.close()
            wheel.close()

    def _listen(
        self,
        sock: socket.socket,
        listener: Listener,
        driver: Driver,
        doors: tuple[Doorkeeper, Doorkeeper],
        spare: Spare,
    ) -> TcpListener | UdpListener:
        service = _service(listener)
        if listener.transport == "udp":
            return UdpListener(sock, service, driver, doors[1])
        return TcpListener(sock, service, driver, doors[0], spare)

    def _uplink(self, driver: Driver, fetching: Fetching) -> Uplink | None:
        if not self.settings.uplink.url:
            return None
        from eudaemon.sensor.uplink import Uplink

        return Uplink(self.settings, driver.spool, driver.artefacts, self.health, fetching.learned)

    def _new_tls(self, old: bool) -> TlsLayer | None:
        from eudaemon.sensor.tls import Tls, server_context

        if old not in self._tls_contexts:
            path = self._certificate()
            if path is None:
                return None
            self._tls_contexts[old] = server_context(path, old=old)
        return Tls(self._tls_contexts[old])

    def _certificate(self) -> Path | None:
        """Return the file with the device's certificate, made if it is not there; None while it cannot be made."""
        name = self._driver.host.name if self._driver else ""
        try:
            return certificate.kept(self._home / "device.pem", self._seed.child("certificate"), name)
        except OSError as error:
            log.error("no certificate: %s; peers that open with TLS are answered in plain", error)
            return None

    # --- health -------------------------------------------------------------------------------------

    def health(self) -> dict[str, Any]:
        """Return how the sensor does, as the farm is told it."""
        if self._driver is None:
            raise RuntimeError("the sensor does not run")
        driver, spool = self._driver, self._driver.spool
        return {
            "version": __version__,
            "clock_s": round(time.time(), 3),
            "started_at": rfc3339(self._started_s),
            "uptime_s": round(time.monotonic() - self._began_s, 1),
            "rss_bytes": rss_bytes(),
            "sessions": len(driver.sessions),
            "sessions_total": driver.sessions_total,
            "events_total": driver.events_total,
            "spool_events": spool.waiting_events,
            "spool_bytes": spool.bytes_on_disk,
            "spool_bytes_max": self.settings.spool.bytes_max,
            "spool": spool.trouble or "ok",
            "dropped_events": spool.dropped_events,
            "capture": driver.artefacts.stopped or "ok",
            "disk_free_bytes": free_bytes(self._home),
            "listening": list(self.listening[:LISTED_MAX]),
            "faults": driver.faults,
        }


def without_unable(settings: SensorSettings) -> SensorSettings:
    """Return the settings without the rooms that lack a package here; the log says what to install."""
    left = []
    for listener in settings.listeners:
        rooms = [name for name in listener.rooms if not ROOMS[name].lacking]
        if rooms:
            left.append(f"{'+'.join(rooms)} {listener.transport} {','.join(map(str, listener.ports))}")
    for name in dict.fromkeys(name for listener in settings.listeners for name in listener.rooms):
        if lacking := ROOMS[name].lacking:
            log.error("the room %s is not opened: it needs %s, which is not installed (pip install %s)",
                      name, " and ".join(lacking), " ".join(lacking))  # fmt: skip
    return replace(settings, listen=tuple(left))


def rss_bytes() -> int:
    """Return the memory that this process has in use, bytes; 0 where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _service(listener: Listener) -> Service:
    """Return what answers there."""
    name, rooms = "+".join(listener.rooms), [ROOMS[name] for name in listener.rooms]
    plain = all(room.plain for room in rooms)
    if len(rooms) == 1:
        return Service(name, rooms[0], rooms[0].speaks_first, plain=plain)
    otherwise = ROOMS["catchall"]
    return Service(name, lambda visit: Front(visit, rooms, otherwise), Front.speaks_first, plain=plain)


async def _last_delivery(uplink: Uplink) -> None:
    try:
        async with asyncio.timeout(LAST_DELIVERY_S_MAX):
            left = await uplink.deliver_last()
    except TimeoutError:
        left = "no time"
    if left:
        log.warning("what is left for the farm waits for the next start: %s", left)


async def _state_refused(driver: Driver, doors: Sequence[Doorkeeper]) -> None:
    while True:
        await asyncio.sleep(REFUSED_EVERY_S)
        for door in doors:
            for limit, count in door.take_refused().items():
                driver.state(SessionsRefused(limit, count))


async def _until(stop: asyncio.Event, tasks: Sequence[asyncio.Task[None]]) -> None:
    """Wait for `stop`; raise what ends one of the tasks before, for none of them ends by itself."""
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait((stopping, *tasks), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    for task in tasks:
        if task.done():
            task.result()
