"""Servers to fetch from: hostile ones in a few lines of asyncio, and a fetcher that may reach the loopback."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from eudaemon.payload.fetch.policy import FetchSettings
from eudaemon.payload.fetch.service import Fetcher, FetchResult
from eudaemon.payload.fetch.transfer import MemorySink
from eudaemon.world.outside import Download
from eudaemon.world.seed import Seed

ATTACKER = "198.51.100.7"
SIZES = (0, 1, 4095, 4096, 4097, 65536, 1_500_000, 10_000_000)
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def content(size: int) -> bytes:
    """Return bytes of every value in no short period, the same for the same size."""
    return hashlib.shake_128(b"%d" % size).digest(size)


class Lab:
    """A fetcher whose lab is 127.0.0.0/8 and ::1, and what it kept."""

    def __init__(self, resolve: Callable[[str], Awaitable[Sequence[str]]] | None = None, **settings: Any) -> None:
        defaults: dict[str, Any] = {"lab_networks": ("127.0.0.0/8", "::1/128"), "idle_s_max": 5.0}
        self.kept: dict[str, bytes] = {}
        self.fetcher = Fetcher(
            FetchSettings(**{**defaults, **settings}), lambda: MemorySink(self.kept), Seed(b"lab"), resolve=resolve
        )

    async def fetch(self, url: str, tool: str = "wget", attacker: str = ATTACKER) -> FetchResult:
        return await self.fetcher.fetch(Download(url, tool), attacker)

    async def content(self, url: str, tool: str = "wget", attacker: str = ATTACKER) -> bytes:
        """Fetch, and return what was kept. It must have ended well, and the result must say the truth about it."""
        result = await self.fetch(url, tool, attacker)
        assert (result.outcome, result.reason) == ("ok", ""), result
        data = self.kept[result.sha256]
        assert result.size == len(data)
        assert result.head == data[: 256 * 1024]
        assert hashlib.sha256(data).hexdigest() == result.sha256
        return data


@contextlib.asynccontextmanager
async def serving(talk: Talk, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Serve TCP with `talk`; yield the port."""

    async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            await talk(reader, writer)
        writer.close()

    server = await asyncio.start_server(guarded, host, 0, ssl=tls)
    async with server:
        yield server.sockets[0].getsockname()[1]


def saying(answer: bytes, *, then: str = "close") -> Talk:
    """Return a server that hears a request's head, says `answer`, and then closes, resets or hangs."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        if then == "hang":
            await reader.read()
        elif then == "reset":
            writer.transport.abort()

    return talk


def tool(name: str, package: str) -> str:
    """Return the path of a program that a test needs; without it the test is skipped."""
    path = shutil.which(name, path=os.defpath + ":/usr/sbin:/sbin")
    if path is None:
        import pytest  # here, for one test looks at which modules get loaded

        pytest.skip(f"needs {name}: apt-get install {package}")
    return path


def certificate(folder: Path) -> tuple[Path, Path]:
    """Make a key and a certificate that nobody should trust; return their files."""
    key, cert = folder / "key", folder / "cert"
    subprocess.run(
        [tool("openssl", "openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
         "-days", "1", "-subj", "/CN=elsewhere.example", "-keyout", key, "-out", cert],
        check=True, capture_output=True,
    )  # fmt: skip
    return key, cert


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """Return a port of the loopback that nobody listens on now."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def until_it_accepts(port: int) -> None:
    """Wait until somebody listens there."""
    for _ in range(200):
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        await asyncio.sleep(0.05)
    raise TimeoutError(f"nobody listens on {port}")
