"""Real clients of memcached at a whole sensor: libmemcached's tools, a Python client, and datagrams."""

from __future__ import annotations

import asyncio
import hashlib
import socket
from pathlib import Path

from pymemcache.client.base import Client

from payload.servers import content, tool
from sensor.harness import events, running


async def test_a_person_with_the_tools(tmp_path: Path) -> None:
    memcstat, memccp, memccat = (tool(name, "libmemcached-tools") for name in ("memcstat", "memccp", "memccat"))
    (tmp_path / "bot").write_bytes(content(100_000))
    async with running(tmp_path, "memcached") as net:

        async def said(*command: str) -> bytes:
            process = await asyncio.create_subprocess_exec(
                *command, f"--servers=127.0.0.1:{net.port}", stdout=asyncio.subprocess.PIPE, cwd=tmp_path
            )
            async with asyncio.timeout(20):
                return (await process.communicate())[0]

        assert b"\tpid: " in await said(memcstat)
        await said(memccp, "bot")
        await said(memccp, "--binary", "bot")
        assert await said(memccat, "nothing") == b""
    kept = {(event.fact.name, event.fact.sha256) for event in events(tmp_path, "artefact.kept")}  # type: ignore[attr-defined]
    assert kept == {("bot", hashlib.sha256(content(100_000)).hexdigest())}
    assert not events(tmp_path, "sensor.faulted", "peer.faulted")


def a_program(port: int) -> None:
    client = Client(("127.0.0.1", port), timeout=10)
    assert client.version().startswith(b"1.")
    assert client.set("a", b"x" * 1000, noreply=False)
    assert client.get("a") == b"x" * 1000
    assert client.delete("a", noreply=False)
    assert client.stats()[b"version"].startswith(b"1.")
    client.quit()


async def test_a_program(tmp_path: Path) -> None:
    async with running(tmp_path, "memcached") as net:
        await asyncio.get_running_loop().run_in_executor(None, a_program, net.port)
    assert not events(tmp_path, "sensor.faulted", "peer.faulted")


async def test_nobody_is_flooded_through_it(tmp_path: Path) -> None:
    async with running(tmp_path, "memcached", transport="udp") as net:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as victim:
            victim.setblocking(False)
            loop = asyncio.get_running_loop()
            for _ in range(50):
                await loop.sock_sendto(victim, b"\0\1\0\0\0\1\0\0stats\r\n", ("127.0.0.1", net.port))
            await loop.sock_sendto(victim, b"\0\2\0\0\0\1\0\0get nothing\r\n", ("127.0.0.1", net.port))
            async with asyncio.timeout(10):
                assert await loop.sock_recv(victim, 65_536) == b"\0\2\0\0\0\1\0\0END\r\n"
    (closed,) = (event.fact for event in events(tmp_path, "session.closed"))
    assert closed.bytes_out == 13 < closed.bytes_in  # type: ignore[attr-defined]
    names = {event.fact.name for event in events(tmp_path, "exploit.recognised")}  # type: ignore[attr-defined]
    assert names == {"memcached-amplification"}
