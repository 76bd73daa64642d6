"""A farm on loopback for tests, and a sensor's side of the intake, written against the contract and not our code."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from eudaemon.events import Endpoint, Event, Fact, IdSource, to_json
from eudaemon.farm.server import Farm
from eudaemon.farm.settings import FarmSettings, Intake, Page, StoreSettings
from eudaemon.payload.shellcode.apart import Bench

SPOOL = "0f" * 16
NOW_S = 1_795_487_000.0
IDS = IdSource(lambda n: b"\x05" * n)


def settings(**changes: Any) -> FarmSettings:
    """Return settings for loopback; `intake`, `store`, … are given as dicts of changes."""
    intake = {"addresses": ("127.0.0.1",), "port": 0} | changes.pop("intake", {})
    page = {"port": 0} | changes.pop("page", {})
    store = {"load_every_s": 0.05} | changes.pop("store", {})
    return FarmSettings(page=Page(**page), intake=Intake(**intake), store=StoreSettings(**store), **changes)


@asynccontextmanager
async def running(
    home: Path, wanted: FarmSettings | None = None, bench: Bench | None = None, outputs: dict[str, Any] | None = None
) -> AsyncIterator[Farm]:  # fmt: skip
    """Run a farm."""
    farm = Farm(wanted or settings(), home, bench, outputs)
    farm.prepare()
    farm.bind()
    stop = asyncio.Event()
    task = asyncio.create_task(farm.run(stop))
    while not all(server.started for server in farm._serving):
        assert not task.done(), task.exception()
        await asyncio.sleep(0.01)
    try:
        yield farm
    finally:
        stop.set()
        await task


def event(fact: Fact, *, sensor: str = "lab", session: str = "", at_s: float = NOW_S) -> Event:
    """Return an event as a sensor would state it."""
    return Event(IDS.new(NOW_S), at_s, sensor, fact, session, Endpoint("203.0.113.9", 40226), Endpoint("192.0.2.1", 23))


def body(events: Sequence[Event | str], first: int = 0, *, spool: str = SPOOL, **header: Any) -> bytes:
    """Return a batch."""
    lines = [e if isinstance(e, str) else to_json(e) for e in events]
    head = {"spool": spool, "first": first, "count": len(lines), "health": {"spool_events": 0}} | header
    return "\n".join([json.dumps(head), *lines, ""]).encode()


def sha256(data: bytes) -> str:
    """Return the name of an artefact."""
    return hashlib.sha256(data).hexdigest()


class Uplink:
    """A sensor's connection to a farm's intake."""

    def __init__(self, farm: Farm, name: str = "lab", secret: str | None = None) -> None:
        secret = farm.fleet.enrol(name) if secret is None else secret
        self.client = httpx.AsyncClient(
            base_url=farm.intake_url,
            headers={"Authorization": f"Bearer {name}:{secret}"},
            verify=_trusting(farm),
            timeout=20,
        )

    async def __aenter__(self) -> Uplink:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.aclose()

    async def send(self, events: Sequence[Event | str], first: int = 0, **header: Any) -> httpx.Response:
        """Send a batch."""
        return await self.post(body(events, first, **header))

    async def post(self, content: bytes | AsyncIterator[bytes]) -> httpx.Response:
        """Send bytes as a batch."""
        return await self.client.post(
            "/intake/v1/batch", content=content, headers={"Content-Type": "application/x-ndjson"}
        )

    async def put(self, data: bytes, name: str | None = None) -> httpx.Response:
        """Upload an artefact."""
        return await self.client.put(f"/intake/v1/artefacts/{name or sha256(data)}", content=data)


def _trusting(farm: Farm) -> Any:
    import ssl

    context = ssl.create_default_context(cafile=str(farm.certificate.path))
    context.check_hostname = False
    return context


__all__ = ["NOW_S", "Uplink", "body", "event", "running", "settings", "sha256"]
