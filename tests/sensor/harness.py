"""A sensor in the test's own loop, on loopback, and its events read back from its spool as the uplink would."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from eudaemon.events import Event, from_json
from eudaemon.payload.fetch.policy import FetchSettings
from eudaemon.sensor import segments
from eudaemon.sensor.runtime import Sensor
from eudaemon.sensor.settings import Capture, Limits, SensorSettings, SpoolSettings, Uplink

SEED = b"a seed for tests" * 2


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def records(home: Path) -> Iterator[segments.Record]:
    for path in sorted((home / "spool").glob(f"*{segments.SUFFIX}")):
        with contextlib.suppress(FileNotFoundError):  # acknowledged and deleted meanwhile
            yield from segments.read(path)


def events(home: Path, *kinds: str) -> list[Event]:
    found = [from_json(record.payload) for record in records(home) if record.kind == segments.EVENT]
    return [event for event in found if not kinds or event.fact.kind in kinds]


def blobs(home: Path) -> list[bytes]:
    return [record.payload for record in records(home) if record.kind == segments.BLOB]


class Running:
    """A sensor that runs; `port` is where its one listener is."""

    def __init__(self, sensor: Sensor, home: Path, port: int) -> None:
        self.sensor, self.home, self.port = sensor, home, port

    async def connect(self, host: str = "127.0.0.1") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(host, self.port)

    async def say(self, data: bytes, *, host: str = "127.0.0.1") -> bytes:
        """Say it, close our side, return all that comes back."""
        reader, writer = await self.connect(host)
        writer.write(data)
        writer.write_eof()
        answer = await reader.read()
        writer.close()
        return answer

    async def until(self, *kinds: str, count: int = 1) -> list[Event]:
        """Wait until so many such events are durable."""
        async with asyncio.timeout(8):
            while len(found := events(self.home, *kinds)) < count:
                await asyncio.sleep(0.01)
        return found


@asynccontextmanager
async def running(
    home: Path,
    rooms: str = "echo",
    *,
    transport: str = "tcp",
    addresses: tuple[str, ...] = ("127.0.0.1",),
    seed: bytes = SEED,
    port: int = 0,
    **more: Any,
) -> AsyncIterator[Running]:
    """Run a sensor with one listener. `more`: fields of the settings or of their sections, wherever they belong."""
    port = port or free_port(socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM)
    settings = SensorSettings(listen=(f"{rooms} {transport} {port}",), addresses=addresses)
    fetch = more.pop("fetch", FetchSettings(policy="off"))
    sections = {"limits": Limits(), "capture": Capture(), "spool": SpoolSettings(fsync_ms=5), "uplink": Uplink()}
    for name, value in more.items():
        for key, section in sections.items():
            if name == key:
                sections[key] = value
                break
            if name.startswith(f"{key}_"):
                sections[key] = replace(section, **{name.removeprefix(f"{key}_"): value})
                break
        else:
            settings = replace(settings, **{name: value})
    sensor = Sensor(replace(settings, **sections), fetch, seed, home)
    sensor.preload()
    sensor.bind()
    stop = asyncio.Event()
    task = asyncio.create_task(sensor.run(stop))
    await asyncio.sleep(0)
    try:
        yield Running(sensor, home, port)
    finally:
        stop.set()
        async with asyncio.timeout(30):
            await task


@contextmanager
def rooms_for_tests() -> Iterator[None]:
    """Put the rooms of `sensor.rooms` into the table."""
    from eudaemon.protocols import ROOMS
    from eudaemon.protocols._door import Door

    names = {
        name: Door(name, f"sensor.rooms:{name.title()}", speaks_first=name == "talker")
        for name in ("echo", "talker", "breaker", "wisher", "sleeper", "deaf", "turner", "sider")
    }
    ROOMS.update(names)
    try:
        yield
    finally:
        for name in names:
            del ROOMS[name]
