r"""Fetching as `rcp` does: a remote shell (BSD's rshd, port 514) that runs `rcp -f file`, and hands the file over.

    \0 our user \0 their user \0 command \0      \0 if it may
    \0      C0644 size name LF      \0      size bytes and \0      \0

Servers trust ports below 1024 alone; from one of them we ask, if we may have it.
"""

from __future__ import annotations

import shlex
from typing import Protocol

from eudaemon.payload.fetch.outcome import Failed, Missing
from eudaemon.payload.fetch.target import Request, connect, hang_up
from eudaemon.payload.fetch.transfer import Source, Transfer
from eudaemon.payload.url import unquoted

RECORDS_MAX = 8  # before the file itself
LINE_BYTES_MAX = 4096
_PRIVILEGED = range(1023, 511, -1)
_DIGITS_MAX = 15


class Writes(Protocol):
    """What our side of the conversation goes to."""

    def write(self, data: bytes, /) -> None:
        """Send."""


async def fetch(request: Request, transfer: Transfer) -> None:
    """Get the URL's file. Raises `NotFetched`, `OSError`, or `NoRoomError` from the sink."""
    target = await request.aim(request.url)
    path = unquoted(target.url.path.removeprefix("/"))
    user = target.url.user or "root"
    if not path or "\0" in path + user:
        raise Failed("no file name")
    reader, writer, transfer.peer = await connect(target, transfer.settings, own_ports=_PRIVILEGED)
    try:
        command = f"rcp -f {shlex.quote(path)}"
        writer.write(b"\0" + b"".join(word.encode("latin-1", "replace") + b"\0" for word in (user, user, command)))
        if await transfer.heard(reader.readexactly(1)) != b"\0":
            raise Failed(f"rsh: {await _words(reader, transfer)}")
        await copied(reader, writer, transfer)
    finally:
        hang_up(writer)


async def copied(reader: Source, writer: Writes, transfer: Transfer) -> None:
    """Take one file as rcp and scp hand it over."""
    writer.write(b"\0")
    for _ in range(RECORDS_MAX):
        kind = await transfer.heard(reader.readexactly(1))
        line = await _words(reader, transfer)
        if kind == b"T":  # when it was changed
            writer.write(b"\0")
        elif kind == b"C":
            words = line.split(" ", 2)
            if len(words) != 3 or not words[1].isdecimal() or len(words[1]) > _DIGITS_MAX:
                raise Failed("rcp: no size")
            writer.write(b"\0")
            await transfer.take_exactly(reader, int(words[1]))
            if await transfer.heard(reader.readexactly(1)) != b"\0":
                raise Failed("rcp: the file could not be read to its end")
            writer.write(b"\0")
            return
        elif kind in (b"\1", b"\2"):
            raise Missing(f"rcp: {line}") if "No such file" in line else Failed(f"rcp: {line}")
        else:
            raise Failed("rcp: nonsense")
    raise Failed("rcp: no file")


async def _words(reader: Source, transfer: Transfer) -> str:
    line = await transfer.heard(reader.readuntil(b"\n"))
    if len(line) > LINE_BYTES_MAX:
        raise Failed("line too long")
    return "".join(c for c in line.decode("latin-1") if c.isprintable())[:200]
