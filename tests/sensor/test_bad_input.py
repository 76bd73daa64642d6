"""What peers do to be a nuisance: each limit is reached and gone past, memory stays bounded, the others are served."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
import tracemalloc
from pathlib import Path

import pytest

from eudaemon.events import catalogue as facts
from eudaemon.protocols.catchall import PAYLOAD_BYTES_MAX
from eudaemon.sensor import runtime
from sensor.harness import Running, events, running

MIB = 1024 * 1024


def reasons(home: Path) -> list[str]:
    return [e.fact.reason for e in events(home, "session.closed") if isinstance(e.fact, facts.SessionClosed)]


def faults(home: Path) -> list[str]:
    return [e.fact.reason for e in events(home, "peer.faulted") if isinstance(e.fact, facts.PeerFaulted)]


async def held(sensor: Running, count: int) -> list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    found = []
    for _ in range(count):
        reader, writer = await sensor.connect()
        writer.write(b"x")
        assert await reader.read(1) == b"x"
        found.append((reader, writer))
    return found


@pytest.mark.parametrize("limit", ["sessions_max", "sessions_per_address_max", "starts_per_address_minute_max"])
async def test_one_session_past_a_limit_is_closed_and_counted(
    limit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "REFUSED_EVERY_S", 0.05)
    async with running(tmp_path, **{f"limits_{limit}": 3}) as sensor:
        sessions = await held(sensor, 3)
        for _ in range(2):
            reader, writer = await sensor.connect()
            assert await reader.read() == b""
            writer.close()
        refused = await sensor.until("session.refused")
        assert sum(e.fact.count for e in refused) == 2  # type: ignore[attr-defined]
        assert {e.fact.limit for e in refused} == {limit}  # type: ignore[attr-defined]
        for _, writer in sessions:
            writer.close()
        await sensor.until("session.closed", count=3)
        if limit != "starts_per_address_minute_max":
            assert await sensor.say(b"again") == b"again"


async def test_bytes_in_a_session(tmp_path: Path) -> None:
    async with running(tmp_path, limits_received_bytes_max=1000) as sensor:
        assert await sensor.say(b"x" * 1000) == b"x" * 1000
        _, writer = await sensor.connect()
        writer.write(b"x" * 1001)
        await sensor.until("session.closed", count=2)
        writer.close()
    assert reasons(tmp_path) == ["peer", "bytes"]


async def test_silence_and_slow_talk(tmp_path: Path) -> None:
    """Idle time ends the silent; who says a byte now and then is ended by the total time."""
    async with running(tmp_path, limits_idle_s_max=0.5, limits_total_s_max=1.5) as sensor:
        silent_reader, silent = await sensor.connect()
        _, slow = await sensor.connect()
        for _ in range(40):
            slow.write(b"x")
            await asyncio.sleep(0.1)
            if len(events(tmp_path, "session.closed")) == 2:
                break
        await sensor.until("session.closed", count=2)
        assert await silent_reader.read() == b""
        silent.close()
        slow.close()
    assert reasons(tmp_path) == ["idle", "time"]


async def test_a_crowd_that_says_nothing_keeps_nobody_out(tmp_path: Path) -> None:
    """Half-open sessions in hundreds: they cost little, and time out, while others are served."""
    async with running(
        tmp_path, limits_idle_s_max=1.0, limits_sessions_per_address_max=1000, limits_starts_per_address_minute_max=9999
    ) as sensor:
        crowd = [await sensor.connect() for _ in range(400)]
        assert await sensor.say(b"served") == b"served"
        await sensor.until("session.closed", count=401)
        for _, writer in crowd:
            writer.close()
        assert sensor.sensor.health()["sessions"] == 0
    assert sorted(set(reasons(tmp_path))) == ["idle", "peer"]


@pytest.mark.parametrize(
    ("rooms", "held_bytes"),
    # What neither telnet nor HTTP claims is the catch-all's.
    [("telnet", 0), ("http", 0), *((rooms, 2 * PAYLOAD_BYTES_MAX) for rooms in ("catchall", "telnet+http"))],
)
async def test_a_stream_without_a_line_end_stays_within_memory(rooms: str, held_bytes: int, tmp_path: Path) -> None:
    """64 MB that never end a line cost one event and not the memory, at any time: what is kept, and its copy."""
    async with running(tmp_path, rooms, limits_received_bytes_max=48 * MIB) as sensor:
        reader, writer = await sensor.connect()
        drain = asyncio.ensure_future(reader.read())
        piece = b"A" * MIB
        tracemalloc.start()
        try:
            with contextlib.suppress(ConnectionError):
                for _ in range(64):
                    writer.write(piece)
                    await writer.drain()
            await sensor.until("session.closed")
            most = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        writer.close()
        await asyncio.gather(drain, return_exceptions=True)
        assert most < held_bytes + 8 * MIB
    assert len(events(tmp_path, "session.closed")) == 1
    assert len(events(tmp_path, "peer.faulted")) <= 1


async def test_a_peer_that_never_reads(tmp_path: Path) -> None:
    """What waits for it has a limit; what is under that ends when it has been silent for long enough."""
    async with running(tmp_path, "talker", limits_unsent_bytes_max=300_000, limits_idle_s_max=1.0) as sensor:
        for pieces in (2, 100):
            with socket.create_connection(("127.0.0.1", sensor.port)) as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                for _ in range(3 if pieces == 2 else 1):
                    sock.sendall(b"x" * pieces)
                await sensor.until("session.closed", count=1 if pieces == 2 else 2)
        assert sensor.sensor._driver is not None
        async with asyncio.timeout(5):
            while sensor.sensor._driver.purse.bytes_taken:  # given back when the connection is really gone
                await asyncio.sleep(0.05)
    assert faults(tmp_path) == ["does not read: 300000 bytes unsent"]
    assert reasons(tmp_path) == ["idle", "peer fault"]


async def test_a_peer_that_does_not_read_is_not_read_from(tmp_path: Path) -> None:
    async with running(tmp_path, limits_unsent_bytes_max=64 * MIB) as sensor:
        with socket.create_connection(("127.0.0.1", sensor.port)) as sock:
            sock.setblocking(False)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(2):
                    await asyncio.get_running_loop().sock_sendall(sock, b"x" * (48 * MIB))
            assert await sensor.say(b"others") == b"others"
    assert not faults(tmp_path)


async def test_what_is_held_for_peers_has_a_limit_for_one_and_for_all(tmp_path: Path) -> None:
    async with running(tmp_path, "catchall", limits_session_held_bytes_max=MIB) as sensor:
        await sensor.say(b"\x01" * MIB)
        reader, writer = await sensor.connect()
        writer.write(b"\x01" * (MIB + 1))
        await reader.read()
        writer.close()
        await sensor.until("session.closed", count=2)
        assert sensor.sensor._driver is not None
        assert sensor.sensor._driver.purse.bytes_taken == 0
    assert reasons(tmp_path) == ["peer", "peer fault"]


async def test_no_file_descriptors_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who comes then is closed at once and counted; who is there is served on; afterwards all is well."""
    monkeypatch.setattr(runtime, "REFUSED_EVERY_S", 0.05)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with running(tmp_path, spool_fsync_ms=200) as sensor:
        ((reader, writer),) = await held(sensor, 1)
        await asyncio.sleep(0.5)
        clients = [socket.socket() for _ in range(5)]
        top = max(int(entry.name) for entry in Path("/proc/self/fd").iterdir())
        resource.setrlimit(resource.RLIMIT_NOFILE, (top, before[1]))
        fillers = []
        try:
            while True:
                fillers.append(socket.socket())
        except OSError:
            pass
        try:
            for client in clients:
                client.connect(("127.0.0.1", sensor.port))
            writer.write(b"y")
            assert await reader.read(1) == b"y"
            await asyncio.sleep(0.3)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
            for sock in (*clients, *fillers):
                sock.close()
        refused = await sensor.until("session.refused")
        assert refused[0].fact == facts.SessionsRefused("open files", 5)
        assert await sensor.say(b"again") == b"again"
        writer.close()
