"""A disk that gets full, really: sensor and farm on file systems of their own, filled, and cleared again."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from end_to_end.honeynet import Honeynet, public_folder, running
from end_to_end.ledger import Witness, farm_ledger
from eudaemon.demo.loader import attack
from eudaemon.demo.sample import harmless_for

MIB = 1024**2
UPLINK = "[sensor.uplink]\nheartbeat_s = 0.5\nbackoff_s_max = 0.5\n"


class Disk:
    """A small file system, and what fills it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ballast = path / "ballast"

    def fill(self, free: int) -> None:
        """Leave so many bytes free, as nearly as blocks allow."""
        with self._ballast.open("ab") as file:
            while (left := self.free() - free) > 0:
                try:
                    file.write(bytes(min(left, MIB)))
                    file.flush()
                except OSError:
                    return

    def clear(self) -> None:
        """Make room again."""
        self._ballast.unlink()

    def free(self) -> int:
        found = os.statvfs(self.path)
        return found.f_bfree * found.f_frsize


@contextlib.contextmanager
def disk(path: Path, size: int) -> Iterator[Disk]:
    """Mount one there until the end."""
    if os.geteuid() != 0:
        pytest.skip("run the tests as root: a small file system is mounted")
    path.mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "eudaemon-test", path], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"run the tests where file systems may be mounted: {mounted.stderr.strip()}")
    try:
        yield Disk(path)
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)


async def brought(net: Honeynet, note: str) -> str:
    """Attack, successfully; return the SHA-256 of what was brought."""
    outcome = await attack(
        "127.0.0.1", net.ports["telnet"], payload=lambda arch: harmless_for(arch, note=note), method="echo"
    )
    assert outcome.succeeded, (note, outcome.stage, outcome.text()[-500:])
    return hashlib.sha256(outcome.payload).hexdigest()


async def arrived(net: Honeynet, sha256: str) -> None:
    await net.until("/api/samples", lambda found: sha256 in [s["sha256"] for s in found["samples"]], limit=100)
    assert hashlib.sha256(await net.raw(f"/api/samples/{sha256}/download")).hexdigest() == sha256


async def logged(net: Honeynet, words: str) -> None:
    """Wait until the log says so."""
    for _ in range(600):
        if words in net.log:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"the log never said {words!r}")


def warns(words: str) -> Any:
    """Return a question to the API's fleet: does the sensor's entry warn of this?"""
    return lambda fleet: any(words in warning["text"] for warning in fleet["sensors"][0]["warnings"])


async def test_a_full_sensor_serves_on_keeps_what_it_has_and_goes_on_when_there_is_room() -> None:
    capture = f"[sensor.capture]\ndisk_free_bytes_min = {8 * MIB}\nkeep_artefacts = true\n"
    with public_folder() as place, disk(place / "data" / "sensor", 24 * MIB) as sensors:
        artefacts, spool = sensors.path / "artefacts", sensors.path / "spool"
        witness = Witness(spool, sensors.path / "kept")  # links lie on the same file system
        more = f"{capture}{UPLINK}wait_s_max = 2.0\n"
        async with witness.watching(), running(place, more=more) as net:
            first = await brought(net, "with room")
            await arrived(net, first)
            before = {path.name: path.read_bytes() for path in artefacts.iterdir()}
            assert first in before

            # Below what must stay free: captures stop, and everybody hears of it.
            sensors.fill(4 * MIB)
            missed = await brought(net, "without room")
            await logged(net, "captures stop: less than 8388608 bytes are free on the disk")
            await net.until("/api/sensors", warns("It keeps no samples any more: less than 8388608 bytes"))

            # Not a byte left, while events wait to be acknowledged: they are, and later ones are held in memory.
            waiting = witness.next_number()
            await brought(net, "before the last byte")
            async with asyncio.timeout(10):
                while witness.next_number() <= waiting:
                    await asyncio.sleep(0.01)
            sensors.fill(0)
            await brought(net, "without a byte")
            await logged(net, "spool: the disk takes nothing")
            health = await net.until(
                "/api/sensors", lambda fleet: fleet["sensors"][0]["health"].get("spool") == "no space left on device"
            )
            assert health["sensors"][0]["health"]["capture"] != "ok"
            assert {path.name: path.read_bytes() for path in artefacts.iterdir()} == before

            sensors.clear()
            await logged(net, "spool: the disk takes events again")
            await logged(net, "captures go on; ")
            last = await brought(net, "with room again")
            await arrived(net, last)
            await net.until("/api/sensors", lambda fleet: fleet["sensors"][0]["health"]["capture"] == "ok")
            assert {name: (artefacts / name).read_bytes() for name in before} == before
            assert net.log.count("sensor: up after") == 1
        ledger = await farm_ledger(place / "data" / "farm")
        stored, spooled = ledger.of("local"), {event["id"]: 1 for event in witness.events()}
        assert stored == spooled
        kinds = [row["kind"] for row in ledger.rows]
        assert kinds.count("capture.stopped") == kinds.count("capture.resumed") == 1
        assert kinds.count("login.tried") == 5  # of those that came when there was no byte left, too
        assert not {"sensor.faulted", "spool.dropped"} & set(kinds)
        assert missed not in ledger.artefacts
        ledger.check_artefacts()


async def test_a_full_farm_takes_nothing_shows_it_and_gets_everything_later() -> None:
    store = f"[farm.store]\ndisk_free_bytes_min = {32 * MIB}\nload_every_s = 0.1\n[farm.fleet]\nsilent_s = 5.0\n"
    with public_folder() as place, disk(place / "data" / "farm", 160 * MIB) as farms:
        witness = Witness(place / "data" / "sensor" / "spool", place / "kept")
        async with witness.watching(), running(place, more=store + UPLINK) as net:
            brought_by = [await brought(net, "with room")]
            await arrived(net, brought_by[0])

            farms.fill(16 * MIB)
            brought_by.append(await brought(net, "without room"))
            await logged(net, "the farm takes nothing: HTTP status 507")
            await net.until(
                "/api/sensors", lambda fleet: any("The disk is full" in w["text"] for w in fleet["warnings"])
            )

            farms.fill(0)
            brought_by.append(await brought(net, "without a byte"))
            for _ in range(30):  # longer than who says nothing counts as silent, and than notes wait to be written down
                farms.fill(0)
                fleet = await net.get("/api/sensors")
                assert fleet["sensors"][0]["status"] in ("well", "warning")
                assert (await net.get("/api/overview"))["totals"]["attacks"] >= 1
                await asyncio.sleep(0.2)
            sha256 = brought_by[0]
            assert hashlib.sha256(await net.raw(f"/api/samples/{sha256}/download")).hexdigest() == sha256

            farms.clear()
            await logged(net, "the farm takes events again")
            for sha256 in brought_by:
                await arrived(net, sha256)
            await net.until("/api/sensors", lambda fleet: not fleet["warnings"])
            assert net.log.count("farm: up after") == 1
        ledger = await farm_ledger(place / "data" / "farm")
        assert ledger.of("local") == {event["id"]: 1 for event in witness.events()}
        ledger.check_artefacts()
