"""Peers of outputs for tests: real ones where there are any, and a web server that says what it is told to."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
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
        until_s = time.monotonic() + 30
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
        for port in (found.tcp, found.tls):
            _wait(process, port, home / "said")
        yield found
    finally:
        process.kill()
        process.wait()
        said.close()


@dataclass
class Taxii:
    """A running TAXII server."""

    collection: str
    read_only: str

    def objects(self) -> list[dict[str, Any]]:
        """Return what is in the collection."""
        accept = {"Accept": "application/taxii+json;version=2.1"}
        answer = httpx.get(f"{self.collection}objects/", headers=accept, auth=("eudaemon", "s3cret"), timeout=30)
        answer.raise_for_status()
        found: list[dict[str, Any]] = answer.json()["objects"]
        return found


@contextmanager
def taxii_server(home: Path) -> Iterator[Taxii]:
    """Run medallion, OASIS' own server, with an empty collection and one that may only be read."""
    title = {"title": "t", "description": "d"}
    named = [("91a7b528-80eb-42ed-a74d-c6fbd5a26116", True), ("52892447-4d7e-4f70-b94d-d7f22742ff63", False)]
    collections = [
        {"id": id_, **title, "can_read": True, "can_write": may, "media_types": ["application/stix+json;version=2.1"],
         "objects": [], "manifest": []}
        for id_, may in named
    ]  # fmt: skip
    port = free_port()
    root = f"http://127.0.0.1:{port}/api1/"
    api = {"information": {**title, "versions": ["application/taxii+json;version=2.1"],
                           "max_content_length": 9_765_625},
           "status": [], "collections": collections}  # fmt: skip
    (home / "data.json").write_text(json.dumps({"/discovery": {**title, "api_roots": [root]}, "api1": api}))
    backend = {"module": "medallion.backends.memory_backend", "module_class": "MemoryBackend"}
    config = {
        "backend": {**backend, "filename": str(home / "data.json")}, "users": {"eudaemon": "s3cret"},
        "taxii": {"max_page_size": 100},
    }  # fmt: skip
    (home / "config.json").write_text(json.dumps(config))
    command = [sys.executable, "-m", "medallion.scripts.run", "--port", str(port), str(home / "config.json")]
    with _running(command, port, home / "said"):
        yield Taxii(*(f"{root}collections/{id_}/" for id_, _ in named))


def _wait(process: subprocess.Popen[bytes], port: int, said: Path) -> None:
    """Wait until a server answers at its port."""
    until_s = time.monotonic() + 30
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        assert process.poll() is None, said.read_text()
        assert time.monotonic() < until_s, f"{process.args} does not answer"
        time.sleep(0.02)


@contextmanager
def _running(command: Sequence[str | Path], port: int, said: Path) -> Iterator[None]:
    """Run a server until the end of the block, from when it answers at its port."""
    with said.open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            _wait(process, port, said)
            yield
        finally:
            process.kill()
            process.wait()


@dataclass
class Redis:
    """A running Redis, and a client of it."""

    port: int
    client: Any

    @contextmanager
    def subscribed(self, channel: str) -> Iterator[Callable[[], bytes]]:
        """Subscribe to a channel; what is yielded returns the next message."""
        subscriber = self.client.pubsub()
        subscriber.subscribe(channel)
        assert subscriber.get_message(timeout=10)["type"] == "subscribe"
        yield lambda: subscriber.get_message(timeout=10)["data"]
        subscriber.close()


@contextmanager
def redis(home: Path, password: str) -> Iterator[Redis]:
    """Run redis-server."""
    from redis import Redis as Client

    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("needs redis-server: apt-get install redis-server")
    port = free_port()
    command = [
        program,
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--dir",
        home,
        "--save",
        "",
        "--requirepass",
        password,
    ]
    with _running(command, port, home / "said"):
        client = Client(port=port, password=password)
        yield Redis(port, client)
        client.close()


class Mails:
    """What a mail server was given, and what it answers instead of taking it, by the command."""

    def __init__(self) -> None:
        self.port = 0
        self.given: list[Any] = []
        self.answers: dict[str, str] = {}

    async def handle_RCPT(self, _: Any, __: Any, envelope: Any, address: str, ___: Any) -> str:  # noqa: N802
        if "RCPT" in self.answers:
            return self.answers["RCPT"]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _: Any, __: Any, envelope: Any) -> str:  # noqa: N802
        if "DATA" in self.answers:
            return self.answers["DATA"]
        self.given.append(envelope)
        return "250 OK"


@contextmanager
def mail_server(context: ssl.SSLContext | None, *, implicit: bool) -> Iterator[Mails]:
    """Run aiosmtpd; with TLS it wants the login `eudaemon`, `s3cret`."""
    from aiosmtpd.controller import Controller
    from aiosmtpd.smtp import AuthResult

    def known(_: Any, __: Any, ___: Any, ____: Any, data: Any) -> Any:
        return AuthResult(success=(data.login, data.password) == (b"eudaemon", b"s3cret"), handled=False)

    mails = Mails()
    wanted: dict[str, Any] = {}
    if context is not None:
        wanted = {"auth_required": not implicit, "authenticator": known, "auth_require_tls": not implicit}
        wanted |= {"ssl_context": context} if implicit else {"tls_context": context, "require_starttls": True}
    mails.port = free_port()
    controller = Controller(mails, "127.0.0.1", mails.port, **wanted)
    controller.start()
    try:
        yield mails
    finally:
        controller.stop()
