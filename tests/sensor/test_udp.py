"""UDP: sessions by peer, answers from the address that was asked, and never more bytes than came."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from eudaemon.events import Endpoint
from eudaemon.events import catalogue as facts
from sensor.harness import events, running


def client(host: str = "127.0.0.1") -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(5)
    sock.setblocking(False)
    return sock


async def receive(sock: socket.socket) -> tuple[bytes, str]:
    async with asyncio.timeout(5):
        data, address = await asyncio.get_running_loop().sock_recvfrom(sock, 70_000)
    return data, address[0]


@pytest.mark.parametrize(
    ("addresses", "asked"),
    [(("0.0.0.0",), "127.0.0.1"), (("0.0.0.0",), "127.0.0.77"), (("::",), "::1"), (("::",), "127.0.0.77"),
     (("0.0.0.0", "::"), "::1")],
)  # fmt: skip
async def test_the_answer_comes_from_the_address_that_was_asked(
    tmp_path: Path, addresses: tuple[str, ...], asked: str
) -> None:
    async with running(tmp_path, transport="udp", addresses=addresses) as sensor:
        with client(asked) as sock:
            for text in (b"one", b"two"):
                sock.sendto(text, (asked, sensor.port))
                assert await receive(sock) == (text, asked)
            peer = sock.getsockname()[1]
    (opened,) = events(tmp_path, "session.opened")
    assert opened.local == Endpoint(asked, sensor.port)
    assert opened.attacker == Endpoint("::1" if asked == "::1" else "127.0.0.1", peer)
    assert opened.fact == facts.SessionOpened("udp", "echo")
    (closed,) = events(tmp_path, "session.closed")
    assert isinstance(closed.fact, facts.SessionClosed)
    assert (closed.fact.bytes_in, closed.fact.bytes_out, closed.fact.reason) == (6, 6, "stop")


async def test_nobody_is_flooded_through_us(tmp_path: Path) -> None:
    """A room that answers a datagram with 64 KiB is not heard: the address may be forged."""
    async with running(tmp_path, "talker", transport="udp") as sensor:
        with client() as sock:
            sock.sendto(b"xxx", ("127.0.0.1", sensor.port))
            await sensor.until("session.opened")
            await asyncio.sleep(0.1)
            with pytest.raises(BlockingIOError):
                sock.recv(10)
    (closed,) = events(tmp_path, "session.closed")
    assert isinstance(closed.fact, facts.SessionClosed)
    assert (closed.fact.bytes_in, closed.fact.bytes_out) == (3, 0)


async def test_silence_ends_a_session_and_the_next_datagram_begins_another(tmp_path: Path) -> None:
    async with running(tmp_path, transport="udp", limits_udp_idle_s_max=0.2) as sensor:
        with client() as sock:
            sock.sendto(b"one", ("127.0.0.1", sensor.port))
            await sensor.until("session.closed")
            sock.sendto(b"two", ("127.0.0.1", sensor.port))
            await sensor.until("session.closed", count=2)
    assert [e.fact.reason for e in events(tmp_path, "session.closed")] == ["idle", "idle"]  # type: ignore[attr-defined]


async def test_the_table_of_peers_is_bounded(tmp_path: Path) -> None:
    async with running(tmp_path, transport="udp", limits_udp_sessions_max=3) as sensor:
        socks = [client() for _ in range(4)]
        for sock in socks:
            sock.sendto(b"x", ("127.0.0.1", sensor.port))
        await sensor.until("session.opened", count=3)
        await asyncio.sleep(0.1)
        for sock in socks:
            sock.close()
    assert len(events(tmp_path, "session.opened")) == 3


async def test_a_datagram_of_every_size(tmp_path: Path) -> None:
    async with running(tmp_path, transport="udp") as sensor:
        with client() as sock:
            for size in (1, 1472, 1473, 65_507):
                sock.sendto(b"x" * size, ("127.0.0.1", sensor.port))
                assert await receive(sock) == (b"x" * size, "127.0.0.1")
            sock.sendto(b"", ("127.0.0.1", sensor.port))
            sock.sendto(b"end", ("127.0.0.1", sensor.port))
            assert await receive(sock) == (b"end", "127.0.0.1")
