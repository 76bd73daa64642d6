"""A shellcode for ARM, of which no signature knows: the farm runs it, and the sensor calls its sender back."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from eudaemon.payload.fetch.policy import FetchSettings
from eudaemon.payload.shellcode.apart import Bench
from eudaemon.sensor.settings import Uplink
from farm import farms
from payload.servers import serving
from payload.shellcode.assembling import assemble
from payload.shellcode.shellcodes import CONNECT_ARM, HOST, PORT
from sensor.harness import events, running

LAB = FetchSettings(lab_networks=("127.0.0.0/8",), ports=())


@pytest.mark.soak
async def test_the_farm_runs_what_the_sensor_then_calls_back(tmp_path: Path) -> None:
    called: asyncio.Queue[bytes] = asyncio.Queue()

    async def taken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"echo $((6*7))\n")
        await called.put(await reader.readline())
        writer.close()

    async with serving(taken) as port, farms.running(tmp_path / "farm", bench=Bench()) as farm:
        uplink = Uplink(url=farm.intake_url, secret=farm.fleet.enrol("sensor"), fingerprint=farm.fingerprint)
        here = bytes(map(int, HOST.split("."))), bytes((127, 0, 0, 1))
        code = assemble("arm", CONNECT_ARM).replace(*here).replace(PORT.to_bytes(2, "big"), port.to_bytes(2, "big"))
        (tmp_path / "sensor").mkdir()
        async with running(tmp_path / "sensor", "catchall", fetch=LAB, uplink=uplink) as sensor:
            await sensor.say(code)
            async with asyncio.timeout(60):
                assert await called.get() == b"42\n"
    assert not events(tmp_path / "sensor", "sensor.faulted")
