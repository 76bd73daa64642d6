"""Fetching as a Redis replica does (redis.io, replication.c): ask the master for its database, take the one it sends.

    PING   REPLCONF listening-port, capa   PSYNC ? -1
    +FULLRESYNC id offset    and then     $length bytes     or     $EOF:mark bytes mark

A rogue master sends a module in its place. What it replies to the first commands does not matter: some of them reply
nonsense. Only the attacker's own address is asked (`policy.ATTACKER_ONLY`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from eudaemon.payload.fetch.outcome import Failed
from eudaemon.payload.fetch.target import Request, connect, hang_up
from eudaemon.payload.fetch.transfer import READ_BYTES, Transfer

LINE_BYTES_MAX = 1024
_EMPTY_LINES_MAX = 4096  # a master that is still saving sends one a second
_MARK_BYTES = 40  # replication.c: CONFIG_RUN_ID_SIZE
_DIGITS_MAX = 15
# As Redis 4 and 5 ask; the port is where we would listen for replicas of our own.
_HANDSHAKE: tuple[Sequence[bytes], ...] = (
    (b"PING",),
    (b"REPLCONF", b"listening-port", b"6379"),
    (b"REPLCONF", b"capa", b"eof", b"capa", b"psync2"),
)


async def fetch(request: Request, transfer: Transfer) -> None:
    """Get the master's database. Raises `NotFetched`, `OSError`, or `NoRoomError` from the sink."""
    target = await request.aim(request.url)
    reader, writer, transfer.peer = await connect(target, transfer.settings)
    try:
        for words in _HANDSHAKE:
            writer.write(_encoded(words))
            await _line(reader, transfer)
        writer.write(_encoded((b"PSYNC", b"?", b"-1")))
        reply = await _line(reader, transfer)
        if not reply.startswith(b"$"):  # some leave FULLRESYNC out
            if reply[:1] != b"+" or reply.startswith(b"+CONTINUE"):
                raise Failed("no full resynchronisation")
            reply = await _line(reader, transfer)
        if reply.startswith(b"$EOF:"):
            await _to_the_mark(reader, transfer, reply[5:])
        elif reply[:1] == b"$" and reply[1:].isdigit() and len(reply) <= _DIGITS_MAX:
            await transfer.take_exactly(reader, int(reply[1:]))
        else:
            raise Failed("no length of a database")
    finally:
        hang_up(writer)


async def _line(reader: asyncio.StreamReader, transfer: Transfer) -> bytes:
    """Return the next line that is not empty, without its end."""
    for _ in range(_EMPTY_LINES_MAX):
        line = await transfer.heard(reader.readuntil(b"\n"))
        if len(line) > LINE_BYTES_MAX:
            raise Failed(f"reply over {LINE_BYTES_MAX} bytes")
        if line := line.strip():
            return line
    raise Failed("nothing but empty lines")


async def _to_the_mark(reader: asyncio.StreamReader, transfer: Transfer, mark: bytes) -> None:
    """Take what comes up to the mark, which itself is no part of it; what may be its beginning is taken last."""
    if len(mark) != _MARK_BYTES:
        raise Failed("no mark for the end")
    held = b""
    try:
        while data := await transfer.heard(reader.read(READ_BYTES)):
            held += data
            end = held.find(mark)
            if end >= 0:
                held = held[:end]
                return
            sure, held = held[: 1 - _MARK_BYTES], held[1 - _MARK_BYTES :]
            transfer.take(sure)
        raise Failed("closed before the mark")
    finally:
        if held:
            transfer.take(held)


def _encoded(words: Sequence[bytes]) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)
