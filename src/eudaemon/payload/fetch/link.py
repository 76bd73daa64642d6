"""Fetching from the worms whose shellcode calls back with a key (Nepenthes' `link` and `blink`), and `creceive`.

    link://host:port/KEY     we connect, hear the other side's greeting, say KEY (four bytes, base64), take what follows
    blink://host:port/KEY    the same, but the attacker connects to us, on that port
    creceive://host:port/    the attacker connects to us, and sends

We listen only above 1023, only for the attacker's own address, and only if the settings let us.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import socket

from eudaemon.payload.fetch.outcome import Failed, Refused
from eudaemon.payload.fetch.target import Request, connect, hang_up
from eudaemon.payload.fetch.transfer import READ_BYTES, Transfer
from eudaemon.payload.url import unquoted

KEY_BYTES = 4
LISTEN_PORT_MIN = 1024
STRANGERS_MAX = 16  # that are turned away before we give up
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def fetch(request: Request, transfer: Transfer) -> None:
    """Get the file that stands behind the key. Raises `NotFetched`, `OSError`, or `NoRoomError` from the sink."""
    key = _key(request.url.path)
    reader, writer, transfer.peer = await connect(await request.aim(request.url), transfer.settings)
    await _take(reader, writer, transfer, key)


async def fetch_listening(request: Request, transfer: Transfer) -> None:
    """Get what the attacker brings. Raises `NotFetched`, `OSError`, or `NoRoomError` from the sink."""
    key = _key(request.url.path) if request.url.scheme == "blink" else b""
    reader, writer = await _awaited(request, transfer)
    await _take(reader, writer, transfer, key)


async def _take(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, transfer: Transfer, key: bytes
) -> None:  # fmt: skip
    try:
        if key:
            if not await transfer.heard(reader.read(READ_BYTES)):
                raise Failed("closed without a greeting")
            writer.write(key)
        await transfer.take_to_the_end(reader)
    finally:
        hang_up(writer)


async def _awaited(request: Request, transfer: Transfer) -> Streams:
    if not transfer.settings.listen:
        raise Refused("policy: listening")
    if request.url.port < LISTEN_PORT_MIN:
        raise Refused(f"listening below {LISTEN_PORT_MIN}")
    target = await request.aim(request.url)
    transfer.peer = target.addresses[0]
    loop = asyncio.get_running_loop()
    family = socket.AF_INET6 if ":" in transfer.peer else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("", request.url.port))
        listener.listen(1)
        for _ in range(STRANGERS_MAX):
            accepted, address = await transfer.heard(loop.sock_accept(listener))
            if address[0] == transfer.peer:
                return await asyncio.open_connection(sock=accepted)
            accepted.close()
    raise Failed("strangers at the port")


def _key(path: str) -> bytes:
    try:
        key = base64.b64decode(unquoted(path.removeprefix("/")), validate=True)
    except (binascii.Error, ValueError):
        raise Failed("no key") from None
    if len(key) != KEY_BYTES:
        raise Failed(f"key of {len(key)} bytes")
    return key
