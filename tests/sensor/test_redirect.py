"""A port redirected by nftables, in a network namespace of its own: events state the port that was really asked for."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

RULES = """
table inet eudaemon_test {
  chain out { type nat hook output priority -105; tcp dport 2-65000 tcp dport != 12345 redirect to :12345; }
}
"""
INSIDE = """
import asyncio, socket, sys
from dataclasses import replace
from pathlib import Path
from eudaemon.payload.fetch.policy import FetchSettings
from eudaemon.sensor.runtime import Sensor
from eudaemon.sensor.settings import SensorSettings

async def main():
    settings = SensorSettings(listen=("http tcp 12345",), addresses=("0.0.0.0", "::"), redirected=True)
    sensor = Sensor(settings, FetchSettings(policy="off"), b"seed", Path(sys.argv[1]))
    sensor.preload()
    sensor.bind()
    stop = asyncio.Event()
    task = asyncio.create_task(sensor.run(stop))
    await asyncio.sleep(0)
    for host, port in (("127.0.0.1", 8081), ("::1", 37215), ("127.0.0.1", 12345)):
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(b"GET / HTTP/1.0\\r\\n\\r\\n")
        assert await reader.read()
        writer.close()
    stop.set()
    await task

asyncio.run(main())
"""


def test_the_port_that_was_asked_for(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, for a network namespace")
    for tool, package in (("ip", "iproute2"), ("nft", "nftables")):
        if shutil.which(tool) is None:
            pytest.skip(f"needs {tool}: apt-get install {package}")
    from sensor.harness import events

    name = f"eud-{uuid.uuid4().hex[:8]}"
    inside = ["ip", "netns", "exec", name]
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        subprocess.run([*inside, "ip", "link", "set", "lo", "up"], check=True)
        loaded = subprocess.run([*inside, "nft", "-f", "-"], input=RULES, text=True, capture_output=True)
        if loaded.returncode:
            pytest.skip(f"needs a kernel with nftables' redirect: {loaded.stderr}")
        subprocess.run([*inside, sys.executable, "-c", INSIDE, str(tmp_path)], check=True, timeout=60)
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)
    asked = [(e.local.ip, e.local.port) for e in events(tmp_path, "session.opened") if e.local]
    assert asked == [("127.0.0.1", 8081), ("::1", 37215), ("127.0.0.1", 12345)]
