"""Peers of outputs for tests: real ones where there are any, and a web server that says what it is told to."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from eudaemon.farm.certificate import Certificate


@dataclass
class Asked:
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Answers:
    """A web server's requests, and what it answers: (status, headers, body), the last one for ever."""

    url: str
    asked: list[Asked] = field(default_factory=list)
    answers: list[tuple[int, dict[str, str], str]] = field(default_factory=lambda: [(200, {}, "{}")])

    def next(self) -> tuple[int, dict[str, str], str]:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@contextmanager
def web(certificate: Certificate | None = None) -> Iterator[Answers]:
    """Run a web server."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            found.asked.append(Asked(self.command, self.path, headers, body))
            status, more, text = found.next()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(text.encode())), **more}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_POST = answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    scheme, host = ("https", "localhost") if certificate else ("http", "127.0.0.1")
    if certificate:
        server.socket = certificate.context().wrap_socket(server.socket, server_side=True)
    found = Answers(f"{scheme}://{host}:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()


@dataclass
class Broker:
    """hpfeeds' own broker, and what a subscriber of it read."""

    port: int
    read: asyncio.Queue[tuple[str, str, bytes]]

    async def next(self) -> tuple[str, bytes]:
        """Return channel and payload of the next message."""
        _, channel, payload = await asyncio.wait_for(self.read.get(), 10)
        return channel, bytes(payload)


@asynccontextmanager
async def broker(channels: list[str], *, port: int = 0) -> AsyncIterator[Broker]:
    """Run hpfeeds' broker with the publisher `eudaemon`, secret `s3cret`, and a subscriber."""
    from hpfeeds.asyncio import ClientSession
    from hpfeeds.broker.auth.memory import Authenticator
    from hpfeeds.broker.server import Server

    who = {"secret": "s3cret", "pubchans": channels, "subchans": channels, "owner": "tests"}
    server = Server(Authenticator({"eudaemon": who, "reader": who}))
    server.exporter = None  # it would serve figures on port 8080 of all addresses
    bound = socket.create_server(("127.0.0.1", port))
    port = bound.getsockname()[1]
    server.add_endpoint_test(bound)
    serving = asyncio.create_task(server.serve_forever())
    await server.when_started
    reader = ClientSession("127.0.0.1", port, "reader", "s3cret")
    for channel in channels:
        reader.subscribe(channel)
    await reader.when_connected
    while len(server.subscriptions) < len(channels):
        await asyncio.sleep(0.01)
    try:
        yield Broker(port, reader.read_queue)
    finally:
        await reader.close()
        for connection in list(server.connections):
            connection.transport.close()
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving


@asynccontextmanager
async def in_front(port: int, context: ssl.SSLContext) -> AsyncIterator[int]:
    """Speak TLS in front of a port, as stunnel does; yield the port. The broker's own TLS fails since Python 3.11."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(_carry(reader, behind[1]), _carry(behind[0], writer))

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


def free_port() -> int:
    """Return a port that was free a moment ago, for TCP and UDP."""
    with socket.create_server(("127.0.0.1", 0)) as chosen:
        port: int = chosen.getsockname()[1]
    return port


@dataclass
class Rsyslog:
    """A running rsyslogd."""

    tcp: int
    tls: int
    udp: int
    log: Path

    def lines(self, count: int) -> list[str]:
        """Return its log when it has so many lines."""
        until_s = time.monotonic() + 10
        while time.monotonic() < until_s:
            lines = self.log.read_text().splitlines() if self.log.exists() else []
            if len(lines) >= count:
                return lines
            time.sleep(0.02)
        raise AssertionError(f"rsyslogd has {lines}")


@contextmanager
def rsyslog(home: Path, certificate: Certificate) -> Iterator[Rsyslog]:
    """Run rsyslogd: what it makes of a message's parts stands in its log, a line each."""
    program = shutil.which("rsyslogd")
    if program is None:
        pytest.skip("needs rsyslogd: apt-get install rsyslog rsyslog-openssl")
    found = Rsyslog(free_port(), free_port(), free_port(), home / "log")
    config = home / "rsyslog.conf"
    config.write_text(f"""
global(workDirectory="{home}" maxMessageSize="64k" DefaultNetstreamDriverCAFile="{certificate.path}"
       DefaultNetstreamDriverCertFile="{certificate.path}" DefaultNetstreamDriverKeyFile="{certificate.key_path}")
module(load="imudp") module(load="imtcp")
template(name="parts" type="string" string="%pri% %protocol-version% %app-name% %msgid% %timereported:::date-rfc3339% %msg%\\n")
input(type="imudp" address="127.0.0.1" port="{found.udp}")
input(type="imtcp" address="127.0.0.1" port="{found.tcp}")
input(type="imtcp" address="127.0.0.1" port="{found.tls}" streamDriver.name="ossl" streamDriver.mode="1"
      streamDriver.authMode="anon")
action(type="omfile" file="{found.log}" template="parts" flushOnTXEnd="on")
""")  # noqa: E501
    said = (home / "said").open("wb")
    process = subprocess.Popen([program, "-n", "-f", config, "-i", home / "pid"], stdout=said, stderr=said)
    try:
        until_s = time.monotonic() + 10
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", found.tls), 1):
                break
            assert process.poll() is None, (home / "said").read_text()
            assert time.monotonic() < until_s, "rsyslogd does not answer"
            time.sleep(0.02)
        yield found
    finally:
        process.kill()
        process.wait()
        said.close()
