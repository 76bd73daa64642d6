"""Fetching over FTP (RFC 959, RFC 2428): passive, with active mode as a fallback that a setting must allow.

The data connection goes to the address of the control connection, whatever a PASV answer names, and in active mode
only that address is let in: a server cannot point us at a third party (the bounce attack of RFC 2577).
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from dataclasses import dataclass

from eudaemon.payload.fetch import agents
from eudaemon.payload.fetch.outcome import Failed, Missing
from eudaemon.payload.fetch.target import Request, Target, connect, hang_up
from eudaemon.payload.fetch.transfer import Transfer
from eudaemon.payload.url import unquoted

REPLY_LINES_MAX = 200  # banners can be long
_EPSV = re.compile(rb"\(([!-~])\1\1(\d{1,5})\1\)")
_PASV = re.compile(rb"(\d{1,3}),(\d{1,3}),(\d{1,3}),(\d{1,3}),(\d{1,3}),(\d{1,3})")
_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(slots=True)
class _Control:
    """The control connection: commands out, replies in."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    transfer: Transfer

    async def ask(self, command: str) -> tuple[int, bytes]:
        """Send a command (none if empty); return the code of the reply and its last line."""
        if command:
            if any(mark in command for mark in "\r\n\0"):
                raise Failed("line end in a name")  # or the URL could give commands of its own
            self.writer.write(command.encode("latin-1", "replace") + b"\r\n")
        return await self.reply()

    async def reply(self) -> tuple[int, bytes]:
        """Return the next reply: its code and its last line (RFC 959 section 4.2)."""
        first = b""
        for _ in range(REPLY_LINES_MAX):
            line = await self.transfer.heard(self.reader.readuntil(b"\n"))
            first = first or line[:3]
            if line[:3] == first and line[3:4] != b"-":
                if not first.isdigit():
                    break
                return int(first), line
        raise Failed("no FTP reply")


async def fetch(request: Request, transfer: Transfer) -> None:
    """Get the URL's file. Raises `NotFetched`, `OSError`, or `NoRoomError` from the sink."""
    target = await request.aim(request.url)
    reader, writer, transfer.peer = await connect(target, transfer.settings)
    control = _Control(reader, writer, transfer)
    try:
        await _log_in(control, target, agents.mail_address(request.seed, request.tool))
        await control.ask("TYPE I")
        path = unquoted(target.url.path.removeprefix("/").partition(";type=")[0])  # RFC 1738 section 3.2.2
        code, line = await control.ask(f"SIZE {path}")
        words = line[4:].split()
        size = int(words[0]) if code == 213 and words and words[0].isdigit() and len(words[0]) <= 18 else None
        data = await _passive(control, target, path)
        if data is None and transfer.settings.ftp_active:
            data = await _active(control, path)
        if data is None:
            raise Failed("no passive mode")
        try:
            await transfer.take_to_the_end(data[0])
        finally:
            hang_up(data[1])
        await _check_end(control, size)
    finally:
        hang_up(writer)


async def _log_in(control: _Control, target: Target, mail_address: str) -> None:
    code, _ = await control.ask("")
    if code == 120:  # ready in n minutes
        code, _ = await control.reply()
    if code == 220:
        code, _ = await control.ask(f"USER {target.url.user or 'anonymous'}")
    if code == 331:
        code, _ = await control.ask(f"PASS {target.url.password if target.url.user else mail_address}")
    if code not in (230, 202):
        raise Failed(f"FTP login: {code}")


async def _passive(control: _Control, target: Target, path: str) -> _Streams | None:
    """Connect to where the server listens and start the retrieval. None if it knows no passive mode."""
    port = 0
    code, line = await control.ask("EPSV")
    if code == 229 and (found := _EPSV.search(line)):
        port = int(found[2])
    elif ":" not in control.transfer.peer:
        code, line = await control.ask("PASV")
        if code == 227 and (found := _PASV.search(line)):
            port = int(found[5]) * 256 + int(found[6])
    if not 0 < port <= 65535:
        return None
    pinned = Target(target.url, (control.transfer.peer,))
    reader, writer, _ = await connect(pinned, control.transfer.settings, port=port)
    with contextlib.ExitStack() as undo:
        undo.callback(hang_up, writer)
        await _retrieve(control, path)
        undo.pop_all()
    return reader, writer


async def _active(control: _Control, path: str) -> _Streams | None:
    """Listen, start the retrieval, and let the server's own address connect. None if it will not."""
    peer, own = control.transfer.peer, str(control.writer.get_extra_info("sockname")[0])
    family = socket.AF_INET6 if ":" in own else socket.AF_INET
    loop = asyncio.get_running_loop()
    with socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as listener:
        listener.bind((own, 0))
        listener.listen(1)
        port = listener.getsockname()[1]
        if family == socket.AF_INET6:
            command = f"EPRT |2|{own}|{port}|"
        else:
            command = f"PORT {own.replace('.', ',')},{port >> 8},{port & 255}"
        code, _ = await control.ask(command)
        if code != 200:
            return None
        await _retrieve(control, path)
        for _ in range(4):
            accepted, address = await control.transfer.heard(loop.sock_accept(listener))
            if address[0] == peer:
                return await asyncio.open_connection(sock=accepted)
            accepted.close()
    raise Failed("strangers at the data port")


async def _retrieve(control: _Control, path: str) -> None:
    code, _ = await control.ask(f"RETR {path}")
    if code == 550:
        raise Missing("FTP 550")
    if code not in (125, 150):
        raise Failed(f"FTP {code}")


async def _check_end(control: _Control, size: int | None) -> None:
    """The end of the data says nothing about whether it is all; the size and the closing reply do."""
    took = control.transfer.size
    if size is not None and took != size:
        raise Failed(f"{took} bytes of the {size} announced")
    try:
        code, _ = await control.reply()
    except (OSError, Failed):
        return  # many servers close both connections at once
    if code not in (226, 250):
        raise Failed(f"FTP {code}")
