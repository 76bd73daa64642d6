r"""Fetching over SMB 2.0.2 and 2.1 (MS-SMB2): `\\host\share\file`, anonymously or with a name and a password.

    NEGOTIATE  SESSION_SETUP (twice)  TREE_CONNECT  CREATE  READ …

One request at a time. Requests of a session with a key are signed; what the server signs is not checked, for whoever
serves malware may say what it likes.
"""

from __future__ import annotations

import asyncio
import hmac
import struct
from dataclasses import dataclass

from eudaemon.payload.fetch import ntlm
from eudaemon.payload.fetch.outcome import Failed, Missing
from eudaemon.payload.fetch.target import Request, Target, connect, hang_up
from eudaemon.payload.fetch.transfer import Transfer
from eudaemon.payload.url import unquoted

FRAME_BYTES_MAX = 256 * 1024
INTERIM_MAX = 16  # answers that say only that there will be one
_READ_BYTES = 64 * 1024  # what one credit pays for
_HEADER = struct.Struct("<4sHHIHHIIQIIQ16s")
_NEGOTIATE, _SETUP, _TREE, _CREATE, _READ = 0, 1, 3, 5, 8
_SIGNED = 8
_PENDING, _MORE, _END = 0x103, 0xC0000016, 0xC0000011
_MISSING = {
    0xC000000F: "no such file",
    0xC0000034: "no such file",
    0xC000003A: "no such path",
    0xC00000CC: "no such share",
}
_DENIED = {0xC0000022: "access denied", 0xC000006D: "login failed", 0xC00000BA: "a directory"}


@dataclass(slots=True)
class _Session:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    transfer: Transfer
    key: bytes = b""
    session: int = 0
    tree: int = 0
    message: int = 0

    async def ask(self, command: int, body: bytes, *, allowed: tuple[int, ...] = ()) -> tuple[int, bytes]:
        """Send a request; return the status and the whole answer. Raises for a status that is neither 0 nor allowed."""
        flags = _SIGNED if self.key else 0
        number, self.message = self.message, self.message + 1
        head = (b"\xfeSMB", 64, int(command != _NEGOTIATE), 0, command, 32, flags, 0, number, 0xFEFF, self.tree)
        packet = _HEADER.pack(*head, self.session, bytes(16)) + body
        if self.key:
            packet = packet[:48] + hmac.digest(self.key, packet, "sha256")[:16] + packet[64:]
        self.writer.write(struct.pack(">I", len(packet)) + packet)
        for _ in range(INTERIM_MAX):
            answer = await self._frame()
            status = int.from_bytes(answer[8:12], "little")
            if status == _PENDING:
                continue
            if status and status not in allowed:
                if status in _MISSING:
                    raise Missing(f"SMB: {_MISSING[status]}")
                raise Failed(f"SMB: {_DENIED.get(status, f'status {status:#010x}')}")
            self.session = self.session or int.from_bytes(answer[40:48], "little")
            return status, answer
        raise Failed("SMB: interim answers without end")

    async def _frame(self) -> bytes:
        size = int.from_bytes(await self.transfer.heard(self.reader.readexactly(4)), "big")
        if not 64 <= size <= FRAME_BYTES_MAX:
            raise Failed(f"SMB: a message of {size} bytes")
        answer = await self.transfer.heard(self.reader.readexactly(size))
        if answer[:4] != b"\xfeSMB":
            raise Failed("no SMB 2")
        return answer


async def fetch(request: Request, transfer: Transfer) -> None:
    """Get the URL's file. Raises `NotFetched`, `OSError`, or `NoRoomError` from the sink."""
    target = await request.aim(request.url)
    share, _, path = unquoted(target.url.path.removeprefix("/")).partition("/")
    if not share or not path:
        raise Failed("no share or no file")
    reader, writer, transfer.peer = await connect(target, transfer.settings)
    try:
        session = _Session(reader, writer, transfer)
        await _log_in(session, target, request)
        where = f"\\\\{target.url.host}\\{share}".encode("utf-16-le")
        _, answer = await session.ask(_TREE, struct.pack("<HHHH", 9, 0, 72, len(where)) + where)
        session.tree = int.from_bytes(answer[36:40], "little")
        await _read(session, path.replace("/", "\\").encode("utf-16-le", "replace"))
    finally:
        hang_up(writer)


async def _log_in(session: _Session, target: Target, request: Request) -> None:
    identity = request.seed.bytes("fetch.smb", 16)
    body = struct.pack("<HHHHI", 36, 2, 1, 0, 0) + identity + bytes(8) + struct.pack("<HH", 0x0202, 0x0210)
    await session.ask(_NEGOTIATE, body)
    domain, _, user = target.url.user.rpartition(";")
    _, answer = await session.ask(_SETUP, _setup(ntlm.negotiate()), allowed=(_MORE,))
    at, size = _numbers("<HH", answer, 68)
    nonce = request.seed.bytes(f"fetch.smb {target.url}", 8)
    try:
        token, key = ntlm.authenticate(_ntlm_in(answer[at : at + size]), user, target.url.password, domain, nonce)
    except (ValueError, struct.error):
        raise Failed("SMB: no NTLM challenge") from None
    _, answer = await session.ask(_SETUP, _setup(token))
    (flags,) = _numbers("<H", answer, 66)
    session.key = b"" if flags & 3 else key  # guests and nobody have no key


async def _read(session: _Session, name: bytes) -> None:
    create = struct.pack("<HBBIQQIIIIIHHII", 57, 0, 0, 2, 0, 0, 0x00120089, 0, 7, 1, 0x40, 120, len(name), 0, 0)
    _, answer = await session.ask(_CREATE, create + name)
    (size,) = _numbers("<Q", answer, 64 + 48)
    file = answer[64 + 64 : 64 + 80]
    at = 0
    while at < size:
        body = struct.pack("<HBBIQ", 49, 0x50, 0, _READ_BYTES, at) + file + bytes(17)
        status, answer = await session.ask(_READ, body, allowed=(_END,))
        if status == _END:
            break
        start, count = answer[66] if len(answer) > 66 else 0, _numbers("<I", answer, 68)[0]
        data = answer[start : start + count]
        if not data or len(data) != count:
            raise Failed("SMB: an empty answer")
        session.transfer.take(data)
        at += len(data)
    if at != size:
        raise Failed(f"{at} bytes of the {size} announced")


def _setup(token: bytes) -> bytes:
    return struct.pack("<HBBIIHHQ", 25, 0, 1, 0, 0, 88, len(token), 0) + token


def _ntlm_in(token: bytes) -> bytes:
    """Return the challenge, bare or in SPNEGO."""
    at = token.find(b"NTLMSSP\0")
    return token[at:] if at >= 0 else b""


def _numbers(form: str, answer: bytes, at: int) -> tuple[int, ...]:
    try:
        return struct.unpack_from(form, answer, at)
    except struct.error:
        raise Failed("SMB: an answer that is too short") from None
