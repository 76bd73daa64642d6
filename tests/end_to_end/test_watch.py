"""A native process is possessed when a policy says so, and let go when the reason is gone."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from cli.test_attackers import meet
from demo.test_victim import URL, Served, needs_victim, run, served
from eudaemon.demo import victim
from eudaemon.possession.engine import BUILT, load_engine
from eudaemon.possession.status import status_of
from eudaemon.sensor.settings import SpoolSettings
from eudaemon.sensor.spool import Spool

__all__ = ["served"]  # a fixture
WAIT_S = 60

needs_engine = pytest.mark.skipif(
    os.geteuid() != 0 or not (BUILT / "seal.image").exists(), reason="needs root and the engine: make engine"
)


def policy(place: Path, port: int, **more: object) -> Path:
    """Write a settings file with a policy for the victim on this port alone; other tests may run another."""
    words = {"name": "guest book", "exe": "*/built/victim", "command": f"victim {port}", "linger_s": 2.0, **more}
    lines = [f"{name} = {json.dumps(value)}" for name, value in words.items()]
    path = place / "watch.toml"
    path.write_text("\n".join(["[[watch.policies]]", *lines]) + "\n")
    return path


class Watching:
    """`eudaemon watch --json`, and what it says."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    @staticmethod
    async def begin(config: Path, data: Path) -> Watching:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "eudaemon", "watch", "--json", "--config", str(config), "--data", str(data),
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        watching = Watching(process)
        await watching.until("watching")
        return watching

    async def until(self, did: str) -> dict[str, Any]:
        assert self.process.stdout is not None
        async with asyncio.timeout(WAIT_S):
            while line := await self.process.stdout.readline():
                fact: dict[str, Any] = json.loads(line)
                if fact["did"] == did:
                    return fact
        raise AssertionError(f"it ended, and had not {did}")

    async def end(self) -> int:
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        await self.process.communicate()
        return await self.process.wait()


@needs_victim
@needs_engine
@pytest.mark.parametrize(("more", "is_possessed"), [
    ({"when": "always"}, True),
    ({"when": "idle", "idle_load": 1000.0}, True),
    ({"when": "idle", "idle_load": 0.01}, False),
    ({"when": "connection", "addresses": ["127.0.0.0/8"]}, True),
    ({"when": "connection", "addresses": ["192.0.2.0/24"]}, False),
    ({"when": "connection", "every": 1000}, False),
    ({"when": "always", "user": "root"}, False),
    ({"when": "always", "user": "65534"}, True),
])  # fmt: skip
async def test_when(served: Served, tmp_path: Path, more: dict[str, object], is_possessed: bool) -> None:
    watching = await Watching.begin(policy(tmp_path, served.port, **more), tmp_path)
    try:
        for _ in range(5):
            await asyncio.to_thread(served.sign, b"Ada")
            await asyncio.sleep(0.1)
        assert (status_of(served.pid, load_engine().abi) is not None) == is_possessed
    finally:
        assert await watching.end() == 0
    assert status_of(served.pid, load_engine().abi) is None  # everybody is released at the end
    assert b"Thank you, Ada.\n" in await asyncio.to_thread(served.sign, b"Ada")


@needs_victim
@needs_engine
async def test_after_an_alert_it_is_left_alone(served: Served, tmp_path: Path) -> None:
    watching = await Watching.begin(policy(tmp_path, served.port, pause_s=3600.0), tmp_path)
    try:
        assert (await asyncio.to_thread(run, "attack", "--port", str(served.port), "--url", URL)).returncode == 1
        await watching.until("released")
        assert (await asyncio.to_thread(run, "attack", "--port", str(served.port), "--url", URL)).returncode == 0
    finally:
        assert await watching.end() == 4


@needs_victim
@needs_engine
@pytest.mark.parametrize("limit", ["possessed_max", "possessions_minute_max"])
async def test_limits(served: Served, tmp_path: Path, limit: str) -> None:
    """One may be possessed: the second process that is meant stays native."""
    path = policy(tmp_path, served.port, when="always")
    path.write_text(path.read_text() + f'[[watch.policies]]\nexe = "*/sleep"\nwhen = "always"\n[watch]\n{limit} = 1\n')
    sleeper = await asyncio.create_subprocess_exec("/bin/sleep", "1000")
    watching = await Watching.begin(path, tmp_path)
    try:
        await watching.until("possessed")
        await asyncio.sleep(1)
        abi = load_engine().abi
        assert [status_of(pid, abi) is not None for pid in (served.pid, sleeper.pid)] == [True, False]
    finally:
        sleeper.kill()
        await sleeper.wait()
        assert await watching.end() == 0


def suricata(log: Path, here: tuple[str, int], there: tuple[str, int], signature: str, severity: int) -> None:
    """Append an alert as Suricata does, among other events."""
    flow = {"src_ip": there[0], "src_port": there[1], "dest_ip": here[0], "dest_port": here[1], "proto": "TCP"}
    about = {"gid": 1, "signature_id": 2100498, "rev": 7, "signature": signature, "severity": severity}
    with log.open("a") as file:
        for event in ({"event_type": "flow", **flow}, {"event_type": "alert", **flow, "alert": about}):
            file.write(json.dumps({"timestamp": "2026-11-26T10:30:00.000001+0000", **event}) + "\n")


@needs_victim
@needs_engine
async def test_an_alert_of_suricata_possesses_the_process_whose_flow_it_is(served: Served, tmp_path: Path) -> None:
    """The one child that serves the peer is possessed, in time for what it sends next; else who serves the port."""
    log = tmp_path / "eve.json"
    path = policy(tmp_path, served.port, when="suricata", signature="ET EXPLOIT *", severity_max=1, linger_s=0.0)
    path.write_text(f'[watch]\neve = "{log}"\n' + path.read_text())
    watching = await Watching.begin(path, tmp_path)
    try:
        name = victim.payload(victim.shellcode("http://127.0.0.1:9/file"), *victim.look("127.0.0.1", served.port))
        with socket.create_connection(("127.0.0.1", served.port), 20) as peer:
            log.write_text("")  # Suricata has begun; it was not there before
            ends = ("127.0.0.1", served.port), peer.getsockname()
            suricata(log, *ends, "ET SCAN a thing", 1)
            suricata(log, *ends, "ET EXPLOIT a thing", 2)
            suricata(log, ends[0], ("127.0.0.1", 9), "ET EXPLOIT \ud83d", 255)
            await asyncio.sleep(0.3)
            assert status_of(served.pid, load_engine().abi) is None
            log.rename(tmp_path / "eve.json.1")
            suricata(log, *ends, "ET EXPLOIT a thing", 1)
            child = (await watching.until("possessed"))["pid"]
            stat = Path(f"/proc/{child}/stat").read_text()
            assert int(stat.rpartition(")")[2].split()[1]) == served.pid
            peer.sendall(b"POST /sign HTTP/1.0\r\nContent-Length: %d\r\n\r\n" % len(name) + name)
            assert (await watching.until("alert"))["kind"] == "return"
        await watching.until("gone")  # it has ended, contained
        suricata(log, *ends, "ET EXPLOIT a thing", 1)  # the flow is over: who serves the port
        assert (await watching.until("possessed"))["pid"] == served.pid
        assert (await watching.until("released"))["pid"] == served.pid
    finally:
        assert await watching.end() == 4


@needs_victim
@needs_engine
async def test_how_long_it_stays(served: Served, tmp_path: Path) -> None:
    """Long enough is long enough; after a pause the same reason counts again, without one it does not."""
    for pause_s in (0.0, 0.3):
        watching = await Watching.begin(
            policy(tmp_path, served.port, when="always", stay_s_max=0.3, pause_s=pause_s), tmp_path
        )
        try:
            await watching.until("released")
            assert status_of(served.pid, load_engine().abi) is None
            if pause_s:
                await watching.until("possessed")
            else:
                await asyncio.sleep(0.7)
                assert status_of(served.pid, load_engine().abi) is None
        finally:
            assert await watching.end() == 0


@needs_victim
@needs_engine
async def test_who_was_met_by_the_sensor(served: Served, tmp_path: Path) -> None:
    """An address that has spoken to the sensor of this machine is possessed for; before that it is not."""
    path = policy(tmp_path, served.port, seen_hours=1.0)
    (tmp_path / "sensor").mkdir()
    spool = Spool(tmp_path / "sensor" / "spool", SpoolSettings(), os.urandom)
    spool.open()
    watching = await Watching.begin(path, tmp_path)
    try:
        for hours_ago, is_possessed in ((None, False), (1.1, False), (0.9, True)):
            if hours_ago is not None:
                meet(spool, "127.0.0.1", time.time() - hours_ago * 3600)
                await asyncio.sleep(0.3)
            await asyncio.to_thread(served.sign, b"Ada")
            await asyncio.sleep(0.1)
            assert (status_of(served.pid, load_engine().abi) is not None) == is_possessed, hours_ago
    finally:
        assert await watching.end() == 0
        spool.close()


@needs_victim
@needs_engine
async def test_a_unit(served: Served, tmp_path: Path) -> None:
    group = Path("/sys/fs/cgroup/systemd" if Path("/sys/fs/cgroup/systemd").is_dir() else "/sys/fs/cgroup")
    unit = group / f"eudaemon-test-{os.getpid()}.service"
    try:
        unit.mkdir()
        (unit / "cgroup.procs").write_text(str(served.pid))
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error.strerror}")
    try:
        for name, is_possessed in ((unit.name, True), (f"*/{unit.name}", True), ("other.service", False)):
            watching = await Watching.begin(policy(tmp_path, served.port, when="always", unit=name), tmp_path)
            await asyncio.sleep(0.2)
            assert (status_of(served.pid, load_engine().abi) is not None) == is_possessed, name
            assert await watching.end() == 0
    finally:
        (group / "cgroup.procs").write_text(str(served.pid))
        unit.rmdir()
