"""Servers that lie and hang, one for each way of fetching, and what they may do to their content.

serve(reader, writer, body)      speaks its protocol up to the content, announces `body.announced` bytes of it
  └─ body.send(writer, frame)    hands the content over as its fault wants it: whole, late, cut, reset, endless, …
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import random
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from payload.servers import Talk, content
from payload.test_fetch_jndi import BOUND, DONE, GREETED, RETURNED, entry

CONTENT = content(60_000)
HALF = len(CONTENT) // 2
NONSENSE = b"\xff\xfe\0nonsense\r\n" * 9
DRIP_S = 0.01
LOCAL = "127.0.0.1"
KEY = base64.b64encode(b"\xd6\x37\x06\x19").decode()
Frame = Callable[[bytes], bytes]
FAULTS = (
    "none", "mute", "reset at once", "nonsense", "hangs before the first byte", "hangs after the first byte", "drips",
    "cut", "reset", "less than announced", "more than announced", "endless",
)  # fmt: skip


@dataclass(frozen=True)
class Body:
    """A server's content, and what is wrong with how it comes."""

    whole: bytes
    fault: str

    @property
    def announced(self) -> int:
        """How many bytes the server says that there are."""
        lies = {"less than announced": 2 * len(self.whole), "more than announced": HALF, "endless": 1 << 40}
        return lies.get(self.fault, len(self.whole))

    async def send(self, writer: asyncio.StreamWriter, frame: Frame = bytes) -> bool:
        """Hand it over; return whether the server goes on afterwards as if nothing were wrong."""
        match self.fault:
            case "hangs before the first byte":
                await asyncio.sleep(30)
            case "hangs after the first byte":
                await _write(writer, frame(self.whole[:1]))
                await asyncio.sleep(30)
            case "drips":
                for at in range(len(self.whole)):
                    await _write(writer, frame(self.whole[at : at + 1]))
                    await asyncio.sleep(DRIP_S)
            case "cut" | "reset":
                await _write(writer, frame(self.whole[:HALF]))
                await asyncio.sleep(0.05)  # it has read that
                if self.fault == "reset":
                    reset(writer)
                return False
            case "endless":
                while True:
                    await _write(writer, frame(self.whole))
            case _:
                await _write(writer, frame(self.whole))
        return self.fault != "less than announced"


async def _write(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    await writer.drain()


def reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter, Body], Awaitable[None]]


def faulty(serve: Serve, body: Body) -> Talk:
    """Return a server with this fault, also of those that come before any protocol."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        match body.fault:
            case "mute":
                await asyncio.sleep(30)
            case "reset at once":
                reset(writer)
            case "nonsense":
                await _write(writer, NONSENSE)
            case _:
                await serve(reader, writer, body)

    return talk


# --- one for each way ------------------------------------------------------------------------------------


def http(head: bytes, frame: Frame = bytes, end: bytes = b"") -> Serve:
    """Over HTTP; `head` may announce the size."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: Body) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n" + (head % body.announced if b"%d" in head else head) + b"\r\n")
        if await body.send(writer, frame):
            writer.write(end)

    return serve


async def raw(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: Body) -> None:
    """What `nc`, /dev/tcp and csend's worm do."""
    await body.send(writer)


async def link(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: Body) -> None:
    """A greeting, a key, the file."""
    writer.write(b"who?")
    await reader.readexactly(4)
    await body.send(writer)


async def rcp(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: Body) -> None:
    """rshd and rcp."""
    for _ in range(4):
        await reader.readuntil(b"\0")
    writer.write(b"\0")
    await reader.readexactly(1)
    writer.write(b"C0644 %d x\n" % body.announced)
    await reader.readexactly(1)
    if await body.send(writer):
        writer.write(b"\0")
        await reader.read(1)


def redis(*, marked: bool) -> Serve:
    """A rogue master; with `marked` the module ends with a mark instead of having a length."""
    mark = b"z" * 40

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: Body) -> None:
        while b"PSYNC" not in (said := await reader.readuntil(b"\r\n")):
            if b"PING" in said:
                writer.write(b"+PONG\r\n")
            elif b"REPLCONF" in said:
                writer.write(b"+OK\r\n")
        size = b"$EOF:" + mark if marked else b"$%d" % body.announced
        writer.write(b"+FULLRESYNC " + b"a" * 40 + b" 1\r\n" + size + b"\r\n")
        if await body.send(writer) and marked:
            writer.write(mark)

    return serve


def ftp(*, active: bool) -> Serve:
    """A control connection, and a second one for the file."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: Body) -> None:
        done = asyncio.Event()

        async def give(_: asyncio.StreamReader, data: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError):
                await body.send(data)
            data.close()
            done.set()

        server = await asyncio.start_server(give, LOCAL, 0)
        port, where = server.sockets[0].getsockname()[1], ("", 0)
        plain = {b"USER": b"331 go on", b"PASS": b"230 in", b"TYPE": b"200 ok", b"SIZE": b"213 %d" % body.announced}
        writer.write(b"220 hello\r\n")
        async with server:
            while line := await reader.readline():
                verb, _, rest = line.strip().partition(b" ")
                if verb == b"EPSV" and not active:
                    writer.write(b"229 go on (|||%d|)\r\n" % port)
                elif verb == b"PORT" and active:
                    *ip, high, low = rest.decode().split(",")
                    where = ".".join(ip), int(high) * 256 + int(low)
                    writer.write(b"200 ok\r\n")
                elif verb == b"RETR":
                    writer.write(b"150 here\r\n")
                    if active:
                        await give(*(await asyncio.open_connection(*where)))
                    await done.wait()
                    writer.write(b"226 done\r\n")
                else:
                    writer.write(plain.get(verb, b"500 no") + b"\r\n")

    return serve


def asked(*answers: bytes) -> Serve:
    """Over LDAP and RMI: an answer to each message; the last of them is the content, and counts as a whole."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: Body) -> None:
        for answer in answers:
            await reader.read(65_536)
            writer.write(answer)
        await reader.read(65_536)
        if await body.send(writer):
            writer.write_eof()
            await reader.read()  # all that it says: to close before would be a reset

    return serve


@dataclass(frozen=True)
class Server:
    """A row. `announces` is whether it says how much there is; `calls` whether it is the one that connects."""

    name: str
    url: str  # with PORT in it
    serve: Serve
    announces: bool = True
    calls: bool = False
    tls: bool = False
    encoded: Frame | None = None  # how the message is made in which it comes
    in_parts: bool = False  # whether that may come in part; otherwise all of it comes or nothing

    @property
    def content(self) -> bytes:
        """What comes over the connection."""
        return self.encoded(CONTENT) if self.encoded else CONTENT

    @property
    def kept(self) -> bytes:
        """What is kept of it, when all is well: of a registry's answer all, for a class may be anywhere in it."""
        return self.content[1:] if self.name == "rmi" else CONTENT

    def __str__(self) -> str:
        return self.name


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _ldap(data: bytes) -> bytes:
    return entry((b"javaClassName", b"x"), (b"javaSerializedData;binary", data)) + DONE


def _rmi(data: bytes) -> bytes:
    return RETURNED + data


LENGTH = b"Content-Length: %d\r\n"
SERVERS = (
    Server("http, Content-Length", "http://127.0.0.1:PORT/x", http(LENGTH)),
    Server("http, chunked", "http://127.0.0.1:PORT/x", http(b"Transfer-Encoding: chunked\r\n", _chunk, b"0\r\n\r\n")),
    Server("http, to the end", "http://127.0.0.1:PORT/x", http(b"Connection: close\r\n"), announces=False),
    Server("https", "https://127.0.0.1:PORT/x", http(LENGTH), tls=True),
    Server("ftp, passive", "ftp://127.0.0.1:PORT/x", ftp(active=False)),
    Server("ftp, active", "ftp://127.0.0.1:PORT/x", ftp(active=True)),
    Server("nc", "nc://127.0.0.1:PORT/", raw, announces=False),
    Server("/dev/tcp", "tcp://127.0.0.1:PORT/", raw, announces=False),
    Server("csend", "csend://127.0.0.1:PORT/4", raw, announces=False),
    Server("link", f"link://127.0.0.1:PORT/{KEY}", link, announces=False),
    Server("blink", f"blink://127.0.0.1:PORT/{KEY}", link, announces=False, calls=True),
    Server("creceive", "creceive://127.0.0.1:PORT/", raw, announces=False, calls=True),
    Server("rcp", "rcp://joe@127.0.0.1:PORT/x", rcp),
    Server("redis, a length", "redis://127.0.0.1:PORT/", redis(marked=False)),
    Server("redis, a mark", "redis://127.0.0.1:PORT/", redis(marked=True)),
    Server("ldap", "ldap://127.0.0.1:PORT/o", asked(BOUND), encoded=_ldap),
    Server("ldaps", "ldaps://127.0.0.1:PORT/o", asked(BOUND), encoded=_ldap, tls=True),
    Server(
        "rmi",
        "rmi://127.0.0.1:PORT/o",
        asked(GREETED),
        announces=False,
        encoded=lambda data: RETURNED + data,
        in_parts=True,
    ),
)


def port_to_call() -> int:
    """Return a port that nobody listens on, and that no connection of another test gets by chance."""
    while True:
        with socket.socket() as probe, contextlib.suppress(OSError):
            port = random.randrange(20_000, 32_000)
            probe.bind((LOCAL, port))
            return port


async def calling(port: int, talk: Talk) -> None:
    """Connect as soon as somebody listens there, and be the server."""
    for _ in range(200):
        try:
            reader, writer = await asyncio.open_connection(LOCAL, port)
            break
        except OSError:
            await asyncio.sleep(0.01)
    with contextlib.suppress(ConnectionError):
        await talk(reader, writer)
    writer.close()


class Proxy:
    """Stands before a real server, and does to what it says what a bad network would: after so many bytes."""

    def __init__(self, port: int, fault: str, after_bytes: int) -> None:
        self.port, self.fault, self.left = port, fault, after_bytes

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client."""
        theirs, ours = await asyncio.open_connection(LOCAL, self.port)
        asking = asyncio.create_task(self._pass(reader, ours))
        try:
            async for data in self._cut(theirs):
                await _write(writer, data)
            if self.fault == "hangs":
                await asyncio.sleep(30)
            elif self.fault == "drips":
                while data := await theirs.read(1):
                    await _write(writer, data)
                    await asyncio.sleep(DRIP_S)
            elif self.fault == "reset":
                reset(writer)
        finally:
            asking.cancel()
            ours.close()

    async def _cut(self, theirs: asyncio.StreamReader) -> AsyncIterator[bytes]:
        while self.left and (data := await theirs.read(min(self.left, 65_536))):
            self.left -= len(data)
            yield data

    async def _pass(self, reader: asyncio.StreamReader, ours: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                await _write(ours, data)
