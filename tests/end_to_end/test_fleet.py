"""A farm and sensors apart, as docs/how-to/farm-and-sensors.md says; and that all of it ends when it is told to."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from end_to_end.honeynet import LOG_CHARS_SHOWN, START_S_MAX, free_ports, public_folder
from end_to_end.ledger import Witness, farm_ledger
from eudaemon.demo.loader import attack
from eudaemon.demo.sample import harmless_for

STOP_S_MAX = 60.0


class Command:
    """A running `eudaemon …`, and what it says."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self.process, self._log = process, log

    @property
    def said(self) -> str:
        return self._log.read_text()

    async def until(self, words: str, seconds: float = 30.0) -> None:
        """Wait until it has said this."""
        for _ in range(int(seconds / 0.05)):
            if words in self.said:
                return
            assert self.process.returncode is None, self.said
            await asyncio.sleep(0.05)
        raise AssertionError(f"it never said {words!r}:\n{self.said}")

    async def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal; return the exit code."""
        self.process.send_signal(number)
        async with asyncio.timeout(STOP_S_MAX):
            return await self.process.wait()


@asynccontextmanager
async def eudaemon(place: Path, name: str, *words: str | Path) -> AsyncIterator[Command]:
    """Run it; kill it at the end if it still runs."""
    log = place / f"{name}.log"
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "eudaemon", *words, stdout=file, stderr=file, stdin=asyncio.subprocess.DEVNULL
        )
    try:
        yield Command(process, log)
    finally:
        print(f"--- {name}\n{log.read_text()[-LOG_CHARS_SHOWN:]}")
        if process.returncode is None:
            process.kill()
            await process.wait()


async def told(*words: str | Path) -> str:
    """Run a command to its end; return what it printed. It must have gone well."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "eudaemon", *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(START_S_MAX):
        printed, complained = await process.communicate()
    assert process.returncode == 0, (printed, complained)
    return printed.decode()


class Fleet:
    """A farm's place and a sensor's, on one machine."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.telnet, page, intake = free_ports(3)
        self.config = place / "farm.toml"
        self.config.write_text(
            f"[farm.page]\nport = {page}\n[farm.intake]\naddresses = ['127.0.0.1']\nport = {intake}\n"
        )
        self.here = ("--config", self.config, "--data", place / "farm-data")
        self.garden = place / "garden.toml"
        self.witness = Witness(place / "garden-data" / "sensor" / "spool", place / "kept")

    async def enrol(self) -> None:
        """Enrol a sensor, and write what that prints into the sensor's settings as it is."""
        printed = await told("farm", "enrol", "garden", "--host", "127.0.0.1", *self.here)
        more = "\nbackoff_s_max = 0.5\nheartbeat_s = 0.5\n\n[sensor.limits]\nlinger_s_max = 1.0\n"
        text = printed[printed.index("[sensor]") :] + more
        listen = f"[sensor]\naddresses = ['127.0.0.1']\nlisten = ['telnet tcp {self.telnet}']\n"
        self.garden.write_text(text.replace("[sensor]\n", listen, 1))

    def sensor(self) -> list[str | Path]:
        return ["sensor", "--config", self.garden, "--data", self.place / "garden-data"]

    async def listed(self) -> str:
        """Return what the farm says of its sensors: a line about this one, or nothing."""
        return await told("farm", "sensors", *self.here)

    async def until_listed(self, word: str) -> str:
        for _ in range(60):
            if word in (line := await self.listed()):
                return line
            await asyncio.sleep(0.5)
        raise AssertionError(f"never {word!r}: {line}")

    async def attacked(self, note: str) -> None:
        """Attack the sensor, and wait until all that it saw is durable there."""
        outcome = await attack("127.0.0.1", self.telnet, payload=lambda a: harmless_for(a, note=note), method="echo")
        assert outcome.succeeded, (outcome.stage, outcome.text()[-500:])
        async with asyncio.timeout(20):
            while self.closed() < 1:
                await asyncio.sleep(0.05)

    def closed(self) -> int:
        self.witness.look()
        return sum(event["kind"] == "session.closed" for event in self.witness.events())

    async def drained(self) -> None:
        async with asyncio.timeout(30):
            while self.witness.acknowledged() < self.witness.next_number():
                await asyncio.sleep(0.05)


async def test_a_sensor_is_enrolled_delivers_is_revoked_and_keeps_what_it_sees() -> None:
    with public_folder() as place:
        fleet = Fleet(place)
        async with eudaemon(place, "farm", "farm", "run", *fleet.here) as farm:
            await farm.until("farm: up after")
            await fleet.enrol()
            assert "never heard of" in await fleet.listed()
            async with fleet.witness.watching(), eudaemon(place, "garden", *fleet.sensor()) as sensor:
                await sensor.until("sensor: up after")
                await fleet.attacked("admitted")
                await fleet.drained()
                assert (await fleet.until_listed(" well ")).startswith("garden ")

                await told("farm", "revoke", "garden", *fleet.here)
                assert "garden" not in await fleet.listed()
                before = fleet.witness.acknowledged()
                outcome = await attack("127.0.0.1", fleet.telnet, payload=harmless_for, method="echo")
                assert outcome.succeeded
                await sensor.until("the farm takes nothing: HTTP status 401")
                assert await sensor.stop() == 0
                assert "sensor: stopped" in sensor.said
                assert "waits for the next start: HTTP status 401" in sensor.said
                assert fleet.witness.next_number() > before == fleet.witness.acknowledged()

            # Admitted again, with the new secret, it delivers what it kept.
            await fleet.enrol()
            async with fleet.witness.watching(), eudaemon(place, "garden-again", *fleet.sensor()) as sensor:
                await sensor.until("sensor: up after")
                await fleet.drained()
                assert await sensor.stop(signal.SIGINT) == 0
            assert await farm.stop(signal.SIGINT) == 0
            assert "farm: stopped" in farm.said
        ledger = await farm_ledger(place / "farm-data" / "farm")
        assert ledger.of("garden") == {event["id"]: 1 for event in fleet.witness.events()}
        ledger.check_artefacts()


async def test_a_farm_with_another_certificate_is_told_nothing() -> None:
    with public_folder() as place:
        fleet = Fleet(place)
        async with eudaemon(place, "farm", "farm", "run", *fleet.here) as farm:
            await farm.until("farm: up after")
            await fleet.enrol()
            right = fleet.garden.read_text()
            before, _, after = right.partition('fingerprint = "')
            fleet.garden.write_text(f'{before}fingerprint = "{"0" * 64}{after[64:]}')
            async with fleet.witness.watching(), eudaemon(place, "garden", *fleet.sensor()) as sensor:
                await sensor.until("sensor: up after")
                await fleet.attacked("nobody is told")
                await sensor.until("the farm takes nothing: ")
                assert "certificate" in sensor.said or "fingerprint" in sensor.said
                assert fleet.witness.acknowledged() == 0
                assert await sensor.stop() == 0
            assert "never heard of" in await fleet.listed()
            assert await farm.stop() == 0


@asynccontextmanager
async def up(place: Path) -> AsyncIterator[tuple[Command, list[int]]]:
    """Run `eudaemon up`; yield it and its parts' process ids."""
    telnet, page, intake = free_ports(3)
    (place / "up.toml").write_text(
        f"[sensor]\naddresses = ['127.0.0.1']\nlisten = ['telnet tcp {telnet}']\n[farm.page]\nport = {page}\n"
        f"[farm.intake]\naddresses = ['127.0.0.1']\nport = {intake}\n"
    )
    words = ("up", "--config", place / "up.toml", "--data", place / "data", "--port-offset", "0")
    async with eudaemon(place, "up", *words) as command:
        await command.until("stop      Ctrl-C", START_S_MAX)
        pid = command.process.pid
        parts = [int(part) for part in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        assert len(alive(parts)) == 2
        yield command, parts


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_everything_in_good_order(number: int) -> None:
    with public_folder() as place:
        async with up(place) as (command, parts):
            assert await command.stop(number) == 0
            assert alive(parts) == []
            said = command.said
            assert said.index("sensor: stopped") < said.index("farm: stopped")


async def test_parts_end_when_their_supervisor_is_killed() -> None:
    with public_folder() as place:
        async with up(place) as (command, parts):
            assert await command.stop(signal.SIGKILL) == -signal.SIGKILL
            async with asyncio.timeout(STOP_S_MAX):
                while alive(parts):
                    await asyncio.sleep(0.05)
            assert command.said.count("stopped") == 2


def alive(parts: list[int]) -> list[int]:
    """Return which of these processes run still; one that nobody has waited for does not."""
    found = []
    for pid in parts:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            continue
        if state != "Z":
            found.append(pid)
    return found
