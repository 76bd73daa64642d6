"""kill -9 of a whole sensor, again and again, while it delivers: what was durable arrives, once, with what it names."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sys
from pathlib import Path

from eudaemon.sensor.settings import Uplink
from sensor.farm import farm
from sensor.harness import events, free_port

SENSOR = """
import asyncio, sys
from pathlib import Path
from eudaemon.payload.fetch.policy import FetchSettings
from eudaemon.sensor.runtime import Sensor
from eudaemon.sensor.settings import SensorSettings, SpoolSettings, Uplink

port, url, fingerprint, home = sys.argv[1:]
uplink = Uplink(url, "secret", fingerprint, wait_s_max=0.0, batch_events_max=3, backoff_s_max=0.2)
settings = SensorSettings(
    listen=(f"catchall tcp {port}",), addresses=("127.0.0.1",), uplink=uplink,
    spool=SpoolSettings(fsync_ms=5, segment_bytes_max=4096),
)
sensor = Sensor(settings, FetchSettings(policy="off"), b"seed", Path(home))
sensor.preload()
sensor.bind()
asyncio.run(sensor.run(asyncio.Event()))
"""
ROUNDS, SESSIONS = 8, 12


async def started(port: int, uplink: Uplink, home: Path) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SENSOR, str(port), uplink.url, uplink.fingerprint, str(home)
    )
    async with asyncio.timeout(20):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return process


async def attack(port: int, payload: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(payload)
    writer.write_eof()
    await reader.read()
    writer.close()


async def test_killed_again_and_again(tmp_path: Path) -> None:
    chance = random.Random(7)
    port = free_port()
    sizes: list[int] = []
    async with farm(tmp_path) as (it, uplink):

        def known() -> set[int]:
            """The sizes of the payloads whose artefact is stated, durably, here or at the farm."""
            here = {e.fact.size for e in events(tmp_path, "artefact.kept")}  # type: ignore[attr-defined]
            return here | {event["size"] for event in it.events("artefact.kept")}

        for round_ in range(ROUNDS):
            process = await started(port, uplink, tmp_path)
            for number in range(SESSIONS):
                size = 1000 * round_ + number + 1
                await attack(port, chance.randbytes(size))
                sizes.append(size)
            async with asyncio.timeout(20):
                while not set(sizes) <= known():
                    await asyncio.sleep(0.001)
            await asyncio.sleep(chance.random() * 0.05)
            process.send_signal(signal.SIGKILL)
            await process.wait()
        process = await started(port, uplink, tmp_path)
        async with asyncio.timeout(20):
            while len(it.events("artefact.kept")) < len(sizes):
                await asyncio.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        await process.wait()
    ids = [json.loads(line)["id"] for line in it.lines]
    assert len(ids) == len(set(ids))
    assert it.missing == []
    assert [event["size"] for event in it.events("artefact.kept")] == sizes
    assert {len(it.artefacts[event["sha256"]]) for event in it.events("artefact.kept")} == set(sizes)
    assert len(it.marks) == 1
