"""Real servers of samples, each in a process of its own, on a free port of the loopback."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from payload.servers import free_port, tool, until_it_accepts


@contextlib.asynccontextmanager
async def process(*command: str | Path, port: int = 0) -> AsyncIterator[None]:
    """Run a server until the end; with a TCP `port`, from when it accepts there."""
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        if port:
            await until_it_accepts(port)
        else:
            await asyncio.sleep(0.2)  # nothing of UDP says that it listens; a lost first packet is sent again anyway
        yield
    finally:
        running.terminate()
        running.wait(10)


@contextlib.asynccontextmanager
async def nginx(place: Path, www: Path) -> AsyncIterator[int]:
    """Serve a folder with nginx; yield the port."""
    program, port = tool("nginx", "nginx-light"), free_port()
    place.mkdir()
    temporary = " ".join(f"{what}_temp_path {place};" for what in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (place / "conf").write_text(f"""
        daemon off; pid {place}/pid; error_log {place}/error.log; worker_processes 1;
        events {{ worker_connections 64; }}
        http {{ access_log {place}/access.log; {temporary} server {{ listen 127.0.0.1:{port}; root {www}; }} }}""")
    async with process(program, "-c", place / "conf", "-p", place, port=port):
        yield port


@contextlib.asynccontextmanager
async def pythons(www: Path) -> AsyncIterator[int]:
    """Serve a folder with Python's http.server; yield the port."""
    port = free_port()
    async with process(
        sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "--directory", www, str(port), port=port
    ):
        yield port


@contextlib.asynccontextmanager
async def tftpd(www: Path) -> AsyncIterator[int]:
    """Serve a folder with tftpd-hpa; yield the port."""
    program, port = tool("in.tftpd", "tftpd-hpa"), free_port(socket.SOCK_DGRAM)
    async with process(
        program, "--foreground", "--listen", "--address", f"127.0.0.1:{port}", "--secure", "--user", "root", www
    ):
        yield port


@contextlib.asynccontextmanager
async def vsftpd(place: Path, www: Path) -> AsyncIterator[int]:
    """Serve a folder, which nobody may write to, with vsftpd; yield the port."""
    program, port = tool("vsftpd", "vsftpd"), free_port()
    (place / "empty").mkdir(parents=True)
    (place / "conf").write_text(
        f"listen=YES\nlisten_address=127.0.0.1\nlisten_port={port}\nanonymous_enable=YES\nanon_root={www}\n"
        f"background=NO\nsecure_chroot_dir={place}/empty\nseccomp_sandbox=NO\n"
    )
    async with process(program, place / "conf", port=port):
        yield port
