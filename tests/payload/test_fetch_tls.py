"""TLS put on over streams, against servers of Python's own TLS and against such as speak none."""

from __future__ import annotations

import asyncio
import hashlib
import os
import ssl
from pathlib import Path

import pytest

from eudaemon.payload.fetch import tls
from payload.servers import Talk, certificate, saying, serving


def server_context(folder: Path) -> ssl.SSLContext:
    key, cert = certificate(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context


async def connected(port: int, **wanted: bytes) -> tuple[asyncio.StreamReader, tls.Writer]:
    _, below = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(10):
        return await tls.put_on(below, tls.unjudging(), limit=1000, **wanted)


async def test_everything_that_is_written_arrives_and_comes_back(tmp_path: Path) -> None:
    names: list[str | None] = []
    context = server_context(tmp_path)
    context.sni_callback = lambda _, name, __: names.append(name)  # type: ignore[assignment]

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()

    long = bytes(range(256)) * 8_000
    async with serving(echo, tls=context) as port:
        reader, writer = await connected(port, server_name=b"cdn.example")
        writer.writelines([b"one ", b"and ", b"two\n"])
        assert await reader.readline() == b"one and two\n"
        back = asyncio.create_task(reader.readexactly(len(long)))
        for at in range(0, len(long), 50_000):
            writer.write(long[at : at + 50_000])
            await writer.drain()
        assert await back == long  # through a reader that holds a thousand bytes
        der = ssl.PEM_cert_to_DER_cert((tmp_path / "cert").read_text())
        assert hashlib.sha256(writer.certificate).digest() == hashlib.sha256(der).digest()
        writer.transport.abort()
    assert names == ["cdn.example"]


async def test_a_goodbye_is_the_end_although_the_connection_stays(tmp_path: Path) -> None:
    """Python's servers say goodbye, then wait half a minute for ours."""
    async with serving(saying(b"all of it"), tls=server_context(tmp_path)) as port:
        reader, writer = await connected(port)
        writer.write(b"\r\n\r\n")
        async with asyncio.timeout(5):
            assert await reader.read() == b"all of it"
        writer.transport.abort()


async def _close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)


async def _reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.transport.abort()


async def _speak_plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")


@pytest.mark.parametrize(
    ("talk", "why"), [(_close, "TLS handshake: closed"), (_reset, "reset|closed"), (_speak_plain, "version")]
)
async def test_a_server_without_tls_is_told_apart_from_silence(talk: Talk, why: str) -> None:
    async with serving(talk) as port:
        with pytest.raises(ConnectionError, match=why):
            await connected(port)


async def test_tls_that_breaks_later_is_an_error_for_the_reader(tmp_path: Path) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        os.write(writer.get_extra_info("socket").fileno(), b"plain bytes in the middle of it")
        await reader.read()

    async with serving(talk, tls=server_context(tmp_path)) as port:
        reader, writer = await connected(port)
        writer.write(b"\n")
        with pytest.raises(tls.TlsError, match=r"^TLS: "):
            await reader.read()
        assert writer.transport.is_closing()


async def test_who_gives_up_waiting_leaves_no_connection() -> None:
    gone = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100_000)
        while await reader.read(1):
            pass
        gone.set()

    async with serving(talk) as port:
        _, below = await asyncio.open_connection("127.0.0.1", port)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await tls.put_on(below, tls.unjudging(), limit=1000)
        async with asyncio.timeout(10):
            await gone.wait()
