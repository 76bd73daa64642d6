"""Everything that peers do to be a nuisance, at once, to a whole sensor: it stays small, blames who it was, serves on.

Each nuisance comes from an address of its own in 127.7.0.0/16, the loaders that must succeed meanwhile from 127.0.0.1.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from end_to_end.honeynet import Honeynet, public_folder, running
from end_to_end.ledger import Witness, farm_ledger
from eudaemon.demo.loader import attack
from eudaemon.demo.sample import harmless_for
from payload.servers import tool

KIB, MIB, GIB = 1024, 1024**2, 1024**3
HELD_BYTES_MAX = 64 * MIB
SESSION_BYTES = (
    24 * KIB
)  # of a held session, kernel's memory aside: generous, for what is measured is the whole process
# What may come on top of what peers may hold: the spool's and the fetcher's memory, extraction, the allocator's slack.
SLACK_BYTES = 40 * MIB
SLOW_PEERS, IDLE_PEERS, PER_ADDRESS = 300, 300, 75
NUISANCE_S_MAX = 45.0
LIMITS = f"""
[sensor.limits]
held_bytes_max = {HELD_BYTES_MAX}
received_bytes_max = {64 * MIB}
[sensor.uplink]
backoff_s_max = 0.5
"""
LOGIN = b"root\r\nxc3511\r\n"
NESTED = (
    b"echo " + b"$(" * 10_000 + b"x" + b")" * 10_000,
    b"(" * 10_000 + b"echo x" + b")" * 10_000,
    b"echo " + b'"$(echo ' * 5_000 + b"x" + b')"' * 5_000,
    b"echo " + b"'\"" * 10_000,
    b"echo " + b"${a:-" * 10_000 + b"}" * 10_000,
    b"echo $((" + b"(" * 10_000 + b"1" + b")" * 10_000 + b"))",
    b"{ " * 10_000 + b"echo x; " + b"} " * 10_000,
    b"if true; then " * 4_000 + b"fi;" * 4_000,
    b"eval " * 10_000 + b"echo x",
    b"`\\" * 10_000,
)


class Peers:
    """Connections to a sensor from addresses of our choice."""

    def __init__(self, net: Honeynet) -> None:
        self.net = net
        self._number = 0

    def address(self) -> str:
        """Return a new address."""
        self._number += 1
        return f"127.7.{self._number // 250}.{self._number % 250 + 1}"

    @contextlib.asynccontextmanager
    async def connected(
        self, service: str, address: str = ""
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        local = (address or self.address(), 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", self.net.ports[service], local_addr=local)
        try:
            yield reader, writer
        finally:
            writer.transport.abort()

    async def pour(self, service: str, before: bytes, piece: bytes, size: int) -> int:
        """Send up to so many bytes, reading whatever comes back, until the sensor has had enough; return how many."""
        sent = 0
        async with self.connected(service) as (reader, writer):
            eating = asyncio.create_task(_eat(reader))
            with contextlib.suppress(ConnectionError):
                writer.write(before)
                while sent < size and not eating.done():
                    writer.write(piece)
                    await writer.drain()
                    sent += len(piece)
            await eating
        return sent

    async def say(self, service: str, *pieces: bytes) -> bytes:
        """Say it piece by piece, close our side, return what comes back."""
        async with self.connected(service) as (reader, writer):
            said = asyncio.create_task(_all(reader))
            with contextlib.suppress(ConnectionError):
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
                writer.write_eof()
            return await said


async def _eat(reader: asyncio.StreamReader) -> None:
    with contextlib.suppress(ConnectionError):
        while await reader.read(64 * KIB):
            pass


async def _all(reader: asyncio.StreamReader) -> bytes:
    heard = b""
    with contextlib.suppress(ConnectionError):
        while piece := await reader.read(64 * KIB):
            heard += piece
    return heard


# --- nuisances ----------------------------------------------------------------------------------------


async def a_gigabyte_without_a_line_end(peers: Peers) -> None:
    piece = b"A" * (256 * KIB)
    async with asyncio.TaskGroup() as group:
        poured = {
            group.create_task(peers.pour(service, before, piece, GIB)): service
            for service, before in (("telnet", b""), ("telnet", LOGIN), ("http", b""), ("http", b"GET /"),
                                    ("http", b"POST / HTTP/1.1\r\nContent-Length: 1073741824\r\n\r\n"),
                                    ("catchall", b""))
        }  # fmt: skip
    for task, service in poured.items():
        assert task.result() < GIB, service


async def random_bytes_everywhere(peers: Peers) -> None:
    dice = random.Random(5)
    for _ in range(10):
        for service in ("telnet", "http", "catchall"):
            await peers.say(service, dice.randbytes(dice.randrange(1, 20_000)))
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(
        asyncio.DatagramProtocol,
        remote_addr=("127.0.0.1", peers.net.ports["catchall"]), local_addr=(peers.address(), 0),
    )  # fmt: skip
    for _ in range(200):
        transport.sendto(dice.randbytes(dice.randrange(1, 9_000)))
        await asyncio.sleep(0.002)
    transport.close()


async def one_byte_at_a_time(peers: Peers) -> None:
    pieces = tuple(bytes((byte,)) for byte in LOGIN + b"echo $((40+2)) bytes\r\nexit\r\n")
    assert b"\n42 bytes\r\n" in await peers.say("telnet", *pieces)
    pieces = tuple(bytes((byte,)) for byte in b"GET /shell?echo+bytewise HTTP/1.0\r\nA: b\r\n\r\n")
    assert b"bytewise" in await peers.say("http", *pieces)


async def commands_of_telnet(peers: Peers) -> None:
    for storm in (b"\xff\xfd\x01\xff\xfb\x18", b"\xff\xf1", b"\xff\xfa" + b"\x18" * 62, b"\xff" * 64,
                  b"\xff\xf6\xff\xf6", b"\xff\xfa\x18\x01\xff\xf0"):  # fmt: skip
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(10):
                await peers.say("telnet", *(storm * 1024 for _ in range(8)))


async def commands_of_telnet_and_no_ear(peers: Peers) -> None:
    """Ask for ever, and never read an answer."""
    async with peers.connected("telnet") as (_, writer):
        with contextlib.suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(10):
                while True:
                    writer.write(b"\xff\xfd\x63\xff\xfb\x62\xff\xf6" * 4096)
                    await writer.drain()


async def bombs(peers: Peers) -> None:
    bomb = gzip.compress(bytes(64 * MIB), 9)
    for data in (bomb, gzip.compress(bomb, 9), b"\n".join([bomb] * 20)):
        head = f"POST /upload HTTP/1.1\r\nContent-Encoding: gzip\r\nContent-Length: {len(data)}\r\n\r\n".encode()
        await peers.say("http", head + data)
        await peers.say("catchall", data)


async def nested(peers: Peers) -> None:
    for line in NESTED:
        answer = await peers.say("telnet", LOGIN, line + b"\r\n", b"echo ali$((1+0))ve\r\nexit\r\nexit\r\n")
        assert b"Password:" in answer
        await peers.say("http", b"GET /shell?" + line.replace(b" ", b"+")[:8000] + b" HTTP/1.0\r\n\r\n")


@contextlib.asynccontextmanager
async def a_crowd(peers: Peers) -> AsyncIterator[None]:
    """Hold sessions: some say nothing, some a byte now and then."""
    async with contextlib.AsyncExitStack() as stack:
        slow = []
        for number in range(SLOW_PEERS + IDLE_PEERS):
            if number % PER_ADDRESS == 0:
                address = peers.address()
            service = ("http", "telnet", "catchall")[number % 3]
            _, writer = await stack.enter_async_context(peers.connected(service, address))
            if number < SLOW_PEERS:
                writer.write(b"GET / HTTP/1.1\r\nX-a: " if service == "http" else b"a")
                slow.append(writer)

        async def drip() -> None:
            while True:
                for writer in slow:
                    writer.write(b"a")
                await asyncio.sleep(1)

        dripping = asyncio.create_task(drip())
        try:
            yield
        finally:
            dripping.cancel()


# --- all of them --------------------------------------------------------------------------------------

NUISANCES: tuple[Callable[[Peers], Awaitable[None]], ...] = (
    a_gigabyte_without_a_line_end, random_bytes_everywhere, one_byte_at_a_time, commands_of_telnet,
    commands_of_telnet_and_no_ear, bombs, nested,
)  # fmt: skip


def memory(pid: int) -> dict[str, int]:
    """Return what a process has, and has had at most, in bytes."""
    lines = (Path("/proc") / str(pid) / "status").read_text().splitlines()
    return {line.split(":")[0]: int(line.split()[1]) * KIB for line in lines if line.startswith(("VmRSS", "VmHWM"))}


async def loaders(net: Honeynet, over: asyncio.Event) -> int:
    """Attack one time after the other until it is over; each attack must succeed. Return how many did."""
    count = 0
    while not over.is_set() or not count:
        outcome = await attack(
            "127.0.0.1", net.ports["telnet"], payload=partial(harmless_for, note=f"{count}"), method="echo",
            timeout_s=60,
        )  # fmt: skip
        assert outcome.succeeded, (count, outcome.stage, outcome.text()[-300:])
        count += 1
        await asyncio.sleep(0.2)
    return count


async def test_nuisances_all_at_once_cost_their_limits_and_no_more() -> None:
    with public_folder() as place:
        witness = Witness(place / "data" / "sensor" / "spool", place / "kept")
        async with witness.watching(), running(place, more=LIMITS) as net:
            outcome = await attack("127.0.0.1", net.ports["telnet"], payload=harmless_for, method="echo")
            assert outcome.succeeded
            pid = net.part("sensor")
            assert pid is not None
            before = memory(pid)["VmRSS"]
            over = asyncio.Event()
            peers = Peers(net)
            attacking = asyncio.create_task(loaders(net, over))
            async with a_crowd(peers), asyncio.timeout(NUISANCE_S_MAX):
                async with asyncio.TaskGroup() as group:
                    for nuisance in NUISANCES:
                        group.create_task(nuisance(peers), name=nuisance.__name__)
                over.set()
                attacks = await attacking
            assert net.part("sensor") == pid, "it died"
            grown = memory(pid)["VmHWM"] - before
            print(f"{before / MIB:.1f} MiB before, at most {grown / MIB:.1f} MiB more; {attacks} loaders meanwhile")
            assert grown < HELD_BYTES_MAX + (SLOW_PEERS + IDLE_PEERS) * SESSION_BYTES + SLACK_BYTES
            async with asyncio.timeout(30):
                while witness.acknowledged() < witness.next_number():
                    await asyncio.sleep(0.1)
        check(witness.events(), attacks)
        ledger = await farm_ledger(place / "data" / "farm")
        assert ledger.of("local") == {event["id"]: 1 for event in witness.events()}
        ledger.check_artefacts()


def check(events: list[dict[str, Any]], attacks: int) -> None:
    """Fail unless every session is told of whole, and each fault once, as the peer's whose it was."""
    kinds = Counter(event["kind"] for event in events)
    assert not kinds["sensor.faulted"], [event for event in events if event["kind"] == "sensor.faulted"][:3]
    assert kinds["session.opened"] == kinds["session.closed"]
    faulted = Counter(event["session"] for event in events if event["kind"] == "peer.faulted")
    assert faulted
    assert set(faulted.values()) == {1}
    closed = {event["session"]: event["reason"] for event in events if event["kind"] == "session.closed"}
    assert "bytes" in closed.values()
    assert {session for session, reason in closed.items() if reason == "peer fault"} == set(faulted)
    blamed = {event["attacker"]["ip"] for event in events if event["kind"] == "peer.faulted"}
    assert "127.0.0.1" not in blamed
    succeeded = {event["session"] for event in events if event["kind"] == "artefact.kept"
                 and event["attacker"]["ip"] == "127.0.0.1"}  # fmt: skip
    assert len(succeeded) == attacks + 1


# --- half-open connections ----------------------------------------------------------------------------

CHILD = Path(__file__).with_name("half_open_child.py")


@contextlib.contextmanager
def two_networks() -> Iterator[tuple[str, str]]:
    """Make two network namespaces with a cable between them, 10.77.0.1 in the first and 10.77.0.2 in the second."""
    ip = tool("ip", "iproute2")
    if os.geteuid() != 0:
        pytest.skip("run the tests as root: network namespaces are made")
    here, there = f"eudaemon-{os.getpid()}-a", f"eudaemon-{os.getpid()}-b"
    try:
        for line in (
            f"netns add {here}", f"netns add {there}",
            f"-n {here} link add cable type veth peer name cable netns {there}",
            f"-n {here} addr add 10.77.0.1/16 dev cable", f"-n {there} addr add 10.77.0.2/16 dev cable",
            f"-n {here} link set cable up", f"-n {there} link set cable up", f"-n {here} link set lo up",
        ):  # fmt: skip
            made = subprocess.run([ip, *line.split()], capture_output=True, text=True)
            if made.returncode:
                pytest.skip(f"run the tests where network namespaces may be made: {made.stderr.strip()}")
        yield here, there
    finally:
        for name in (here, there):
            subprocess.run([ip, "netns", "delete", name], capture_output=True)


async def test_half_open_connections_keep_nobody_out() -> None:
    with public_folder() as place, two_networks() as (here, there):
        config = place / "sensor.toml"
        config.write_text("[sensor]\naddresses = ['10.77.0.1']\nlisten = ['telnet tcp 23']\n")
        witness = Witness(place / "data" / "sensor" / "spool", place / "kept")
        sensor = subprocess.Popen(
            ["ip", "netns", "exec", here, sys.executable, "-m", "eudaemon", "sensor", "--config", config,
             "--data", place / "data"]
        )  # fmt: skip
        try:
            async with witness.watching():
                child = await asyncio.create_subprocess_exec(
                    "ip", "netns", "exec", there, sys.executable, CHILD, "10.77.0.1", "23",
                    stdout=asyncio.subprocess.PIPE,
                )  # fmt: skip
                assert child.stdout is not None
                async with asyncio.timeout(60):
                    await child.stdout.readline()  # the flood is on
                    table = subprocess.run(
                        ["ip", "netns", "exec", here, "cat", "/proc/net/tcp"], capture_output=True, text=True
                    ).stdout
                    half_open = sum(line.split()[3] == "03" for line in table.splitlines()[1:])
                    said = json.loads(await child.stdout.readline())
                    await child.wait()
        finally:
            sensor.terminate()
            assert sensor.wait(30) == 0
        print(f"{said}, {half_open} half open in between")
        assert half_open > 100
        assert said["failed"] == []
        witness.look()
        opened = [event for event in witness.events() if event["kind"] == "session.opened"]
        assert [event["attacker"]["ip"] for event in opened] == ["10.77.0.2"] * said["connections"]
