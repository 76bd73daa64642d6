"""The sensor's real spool and uplink against the real farm: what the one made durable the other has, once.

And the farm's outputs have it, too, each sample once.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from end_to_end.farm_child import child, farm
from end_to_end.honeynet import free_ports
from eudaemon.events import Endpoint, Event, Fact, IdSource, to_json
from eudaemon.events import catalogue as facts
from eudaemon.sensor.artefacts import ArtefactStore
from eudaemon.sensor.settings import Capture, SensorSettings, SpoolSettings, Uplink
from eudaemon.sensor.spool import Spool
from eudaemon.sensor.uplink import Uplink as Delivery

ROUNDS = 8
PEER, LOCAL = Endpoint("203.0.113.9", 40226), Endpoint("192.0.2.1", 23)


class Lab:
    """A sensor without doors: events and artefacts go into its real spool, its real uplink delivers them."""

    def __init__(self, home: Path, uplink: Uplink) -> None:
        home.mkdir()
        settings = SensorSettings(name="lab", uplink=uplink)
        self.spool = Spool(home / "spool", SpoolSettings(), os.urandom)
        self.spool.open()
        self.artefacts = ArtefactStore(home / "artefacts", Capture(), lambda fact: None)
        self.artefacts.open()
        self.delivery = Delivery(settings, self.spool, self.artefacts, lambda: {"capture": "ok"})
        self.ids = IdSource(os.urandom)
        self.events = 0
        self.samples: dict[str, bytes] = {}

    def state(self, *said: Fact) -> None:
        """Make facts durable here."""
        for fact in said:
            now_s = time.time()
            event = Event(self.ids.new(now_s), now_s, "lab", fact, self.ids.new(now_s), PEER, LOCAL)
            self.spool.append(to_json(event).encode())
        self.spool.written(self.spool.write(self.spool.take_pending()))
        self.events += len(said)
        self.delivery.durable()

    def capture(self, data: bytes) -> None:
        """Keep a sample, and state that it was kept."""
        sha256 = self.artefacts.keep(data)
        parts = self.artefacts.take_pending()
        self.artefacts.settled(self.artefacts.settle(parts))
        self.samples[sha256] = data
        self.state(facts.ArtefactKept(sha256, len(data), "upload"))

    async def delivered(self) -> None:
        """Wait until the farm has acknowledged everything."""
        async with asyncio.timeout(60):
            while self.spool.acknowledged < self.events or self.spool.waiting_events:
                await asyncio.sleep(0.02)


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[tuple[Lab, Path, int]]:
    port = free_ports(1)[0]
    opened = farm(tmp_path / "farm", port)
    opened.prepare()
    uplink = Uplink(
        url=f"https://127.0.0.1:{port}", secret=opened.fleet.enrol("lab"), fingerprint=opened.fingerprint,
        wait_s_max=0.0, heartbeat_s=0.2, backoff_s_max=0.3,
    )  # fmt: skip
    made = Lab(tmp_path / "sensor", uplink)
    delivering = asyncio.create_task(made.delivery.run())
    try:
        yield made, tmp_path / "farm", port
    finally:
        delivering.cancel()
        await asyncio.gather(delivering, return_exceptions=True)
        made.spool.close()


async def held_against(lab: Lab, home: Path, port: int) -> None:
    """Compare what the farm has with what the sensor stated."""
    opened = farm(home, port)
    opened.bind()
    stop = asyncio.Event()
    running = asyncio.create_task(opened.run(stop))
    while not all(server.started for server in opened._serving):
        assert not running.done(), running.exception()
        await asyncio.sleep(0.01)
    await opened.store.settle()
    counted = await opened.store.query(
        "SELECT count() AS n, uniqExact(id) AS u, uniqExact(sha256) AS s FROM events WHERE sensor = 'lab'"
    )
    assert counted[0]["n"] == counted[0]["u"] == lab.events
    for sha256, data in lab.samples.items():
        assert hashlib.sha256(await opened.samples.read(sha256, 0, 2**30)).digest() == hashlib.sha256(data).digest()
    async with asyncio.timeout(30):
        while any(state.waiting for state in opened.outputs.states()):
            await asyncio.sleep(0.02)
    stop.set()
    await running
    told = [json.loads(line) for path in (home / "outputs" / "events").iterdir() for line in path.open()]
    assert len({event["id"] for event in told if event["sensor"] == "lab"}) == lab.events, "outputs lack some"
    handed_on = {path.name: path.read_bytes() for path in (home / "outputs" / "samples").iterdir()}
    assert handed_on == lab.samples


async def test_events_and_samples_arrive_and_leave_the_sensor(lab: tuple[Lab, Path, int]) -> None:
    sensor, home, port = lab
    async with child(home, port) as process:
        sensor.state(*(facts.CommandEntered(f"{n}") for n in range(2500)))
        sensor.capture(os.urandom(200_000))
        sensor.capture(os.urandom(10))
        await sensor.delivered()
        assert list(sensor.artefacts.folder.iterdir()) == []
        process.terminate()
        assert process.stdout is not None
        assert await process.stdout.readline() == b"down\n"
    await held_against(sensor, home, port)


async def test_a_farm_that_is_killed_again_and_again_loses_nothing_and_counts_nothing_twice(
    lab: tuple[Lab, Path, int],
) -> None:
    sensor, home, port = lab
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    for _ in range(ROUNDS):
        async with child(home, port):
            until_s = time.monotonic() + dice.random() * 1.0
            while time.monotonic() < until_s:
                sensor.state(*(facts.LoginTried("root", f"{n}", accepted=False) for n in range(dice.randrange(1, 60))))
                if dice.random() < 0.3:
                    sensor.capture(dice.randbytes(dice.randrange(1, 300_000)))
                await asyncio.sleep(0.005)
    async with child(home, port) as process:
        await sensor.delivered()
        process.kill()
        await process.wait()
    assert sensor.samples
    await held_against(sensor, home, port)


async def test_an_event_that_the_farm_refuses_holds_up_no_other(lab: tuple[Lab, Path, int]) -> None:
    sensor, home, port = lab
    async with child(home, port):
        good = [facts.CommandEntered(f"{n}") for n in range(40)]
        sensor.state(*good[:20])
        foreign = Event(sensor.ids.new(time.time()), time.time(), "other", facts.CommandEntered("x"))
        for line in (to_json(foreign).encode(), b'{"v":1,"no":"event"}'):
            sensor.spool.append(line)
        sensor.state(*good[20:])
        sensor.events += 2  # the two have numbers too
        await sensor.delivered()
    sensor.events -= 2
    assert len(list(sensor.spool.folder.rglob("rejected*"))) > 0
    await held_against(sensor, home, port)


async def test_another_certificate_is_not_spoken_to(lab: tuple[Lab, Path, int], tmp_path: Path) -> None:
    sensor, home, port = lab
    impostor = farm(tmp_path / "impostor", port)
    impostor.prepare()
    async with child(tmp_path / "impostor", port):
        sensor.state(facts.CommandEntered("secret"))
        await asyncio.sleep(1.0)
        assert sensor.spool.acknowledged == 0
    assert impostor.fleet.sensors() == []
    async with child(home, port):
        await sensor.delivered()
    await held_against(sensor, home, port)
