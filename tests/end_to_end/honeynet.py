"""A whole honeynet as a user starts it, for tests: `eudaemon up` in a process of its own, on free ports.

    async with running(place) as net: ...      place: a folder that other users may pass through

It is asked through its page's API, as a script would ask.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx

START_S_MAX = 90.0
LOG_CHARS_SHOWN = 20_000


@contextmanager
def public_folder() -> Iterator[Path]:
    """A temporary folder through which the parts' own users can pass (pytest's are closed to others)."""
    with tempfile.TemporaryDirectory(prefix="eudaemon-test-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def free_ports(count: int) -> list[int]:
    """Return ports that were free a moment ago."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


class Honeynet:
    """A running `eudaemon up`."""

    def __init__(self, process: asyncio.subprocess.Process, place: Path, ports: dict[str, int]) -> None:
        self.process = process
        self.place = place
        self.ports = ports
        self.said = ""
        self.page = ""
        self._client: httpx.AsyncClient | None = None

    @property
    def data(self) -> Path:
        return self.place / "data"

    @property
    def log(self) -> str:
        """What the parts have logged so far."""
        return (self.place / "log").read_text()

    def part(self, name: str) -> int | None:
        """Return the process id of `farm` or `sensor`, None while it is down."""
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    words = (entry / "cmdline").read_bytes().split(b"\0")
                    parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                except (OSError, ValueError, IndexError):
                    continue
                if parent == self.process.pid and name.encode() in words[3:4]:
                    return int(entry.name)
        return None

    def kill(self, name: str) -> bool:
        """kill -9 a part; False if it is down already."""
        pid = self.part(name)
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
        return pid is not None

    async def client(self) -> httpx.AsyncClient:
        """Return an HTTP client that is logged in."""
        if self._client is None:
            found = re.search(r"password (\S+)", self.said)
            assert found, self.said
            self._client = httpx.AsyncClient(base_url=self.page, timeout=20)
            answer = await self._client.post("/api/login", json={"user": "admin", "password": found[1]})
            assert answer.status_code == 200, answer.text
        return self._client

    async def get(self, path: str, **parameters: Any) -> Any:
        """Ask the API; return the answer's JSON."""
        answer = await (await self.client()).get(path, params=parameters)
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text}"
        return answer.json()

    async def raw(self, path: str) -> bytes:
        """Ask the API; return the answer's bytes."""
        answer = await (await self.client()).get(path)
        assert answer.status_code == 200, f"{path}: {answer.status_code}"
        return answer.content

    async def until(self, path: str, holds: Any, seconds: float = 30.0, **parameters: Any) -> Any:
        """Ask until `holds(answer)` is true; return that answer. Fails with the last answer."""
        answer: Any = None
        for _ in range(int(seconds / 0.2)):
            try:
                answer = await self.get(path, **parameters)
            except httpx.TransportError as error:
                answer = error
            else:
                if holds(answer):
                    return answer
            await asyncio.sleep(0.2)
        raise AssertionError(f"{path} never held; the last answer: {str(answer)[:2000]}")


@asynccontextmanager
async def running(place: Path, *, sensor: str = "", more: str = "") -> AsyncIterator[Honeynet]:
    """Run a honeynet on loopback, stop it at the end, and check that it stopped in good order.

    It is started from a folder that only its owner can enter, as root's home is. `sensor` are lines for [sensor],
    `more` whole sections.
    """
    closed = place / "closed"
    closed.mkdir(mode=0o700, exist_ok=True)
    names = ("telnet", "http", "catchall", "page", "intake")
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    if "[fetch]" not in more:
        more += "\n[fetch]\npolicy = 'off'\n"  # no test asks anything of the world outside
    config = place / "eudaemon.toml"
    listen = [f"telnet tcp {ports['telnet']}", f"http tcp {ports['http']}", f"catchall tcp {ports['catchall']}",
              f"catchall udp {ports['catchall']}"]  # fmt: skip
    config.write_text(
        f"[sensor]\naddresses = ['127.0.0.1']\nlisten = {listen}\n{sensor}\n"
        f"[farm.page]\naddress = '127.0.0.1'\nport = {ports['page']}\n"
        f"[farm.intake]\naddresses = ['127.0.0.1']\nport = {ports['intake']}\n{more}\n"
    )
    moved = [] if "port_offset" in sensor else ["--port-offset", "0"]
    with (place / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "eudaemon", "up", "--config", str(config), "--data", str(place / "data"),
            *moved, cwd=closed, stdout=asyncio.subprocess.PIPE, stderr=log,
        )  # fmt: skip
    net = Honeynet(process, place, ports)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_S_MAX):
            while "stop      Ctrl-C" not in net.said:
                line = await process.stdout.readline()
                assert line, f"it did not start:\n{net.said}"
                net.said += line.decode()
        found = re.search(r"page\s+(\S+)", net.said)
        assert found
        net.page = found[1]
        yield net
        killed = process.returncode is not None  # by the test
        if not killed:
            process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(60):
            rest = await process.stdout.read()  # ends when the parts have ended, too
            assert killed or await process.wait() == 0, rest.decode()
    finally:
        if net._client is not None:
            await net._client.aclose()
        print(net.log[-LOG_CHARS_SHOWN:], file=sys.stderr)  # pytest shows it of a test that failed
        if process.returncode is None:
            process.kill()
            await process.wait()
