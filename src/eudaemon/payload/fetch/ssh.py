"""Fetching over SSH, as `scp` and `sftp` do (RFC 4253, 4252, 4254): a client that does no more than to get one file.

    versions   KEXINIT   key exchange   NEWKEYS   service   none, password   channel   `scp -f file`, or SFTP

Whom we talk to is not checked: whoever serves malware needs no honest key, and nothing that we say is secret. It needs
the package `cryptography`; one cipher and one MAC, which all servers have, are enough.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from eudaemon.payload.fetch import rcp
from eudaemon.payload.fetch.outcome import Failed, Missing
from eudaemon.payload.fetch.target import Request, Target, connect, hang_up
from eudaemon.payload.fetch.transfer import Transfer
from eudaemon.payload.url import unquoted
from eudaemon.world.seed import Seed

PACKET_BYTES_MAX = 256 * 1024
VERSION_LINES_MAX = 64
IDLE_PACKETS_MAX = 4096  # that bring nothing, one after the other
_READ_BYTES = 32 * 1024
_WINDOW = 0x7FFF_FFFF  # more than a download may have
_VERSIONS = ("SSH-2.0-dropbear_2016.74", "SSH-2.0-dropbear_2018.76", "SSH-2.0-dropbear_2019.78", "SSH-2.0-OpenSSH_7.4",
             "SSH-2.0-OpenSSH_7.9p1 Debian-10+deb10u2")  # fmt: skip
_GROUP_14 = int(  # RFC 3526 section 3
    "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B"
    "302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7EDEE386BFB5A899FA5AE9F24117C4B1FE6"
    "49286651ECE45B3DC2007CB8A163BF0598DA48361C55D39A69163FA8FD24CF5F83655D23DCA3AD961C62F356208552BB9ED529077096966D"
    "670C354E4ABC9804F1746C08CA18217C32905E462E36CE3BE39E772C180E86039B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF695581718"
    "3995497CEA956AE515D2261898FA051015728E5A8AACAA68FFFFFFFFFFFFFFFF",
    16,
)
_EXCHANGES = (b"curve25519-sha256", b"curve25519-sha256@libssh.org", b"diffie-hellman-group14-sha256",
              b"diffie-hellman-group14-sha1")  # fmt: skip
_HOST_KEYS = (b"ssh-ed25519,rsa-sha2-512,rsa-sha2-256,ssh-rsa,ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,"
              b"ecdsa-sha2-nistp521,ssh-dss")  # fmt: skip
_CIPHER, _MACS = b"aes128-ctr", {b"hmac-sha2-256": (hashlib.sha256, 32), b"hmac-sha1": (hashlib.sha1, 20)}


def _string(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def _number(value: int) -> bytes:
    return value.to_bytes(4, "big")


def _mpint(value: int) -> bytes:
    return _string(value.to_bytes(value.bit_length() // 8 + 1, "big"))


class _Fields:
    """Reads a message's fields. Raises `Failed` where it ends too early."""

    def __init__(self, data: bytes, at: int = 1) -> None:
        self._data, self._at = data, at

    def take(self, count: int) -> bytes:
        if self._at + count > len(self._data):
            raise Failed("SSH: a message that is too short")
        self._at += count
        return self._data[self._at - count : self._at]

    def number(self) -> int:
        return int.from_bytes(self.take(4), "big")

    def string(self) -> bytes:
        return self.take(self.number())


@dataclass(slots=True)
class _Line:
    """The packets of one connection, either way, and the one channel in them, which is read like a stream."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    transfer: Transfer
    seed: Seed
    sent: int = 0
    heard: int = 0
    seal: Callable[[bytes], bytes] | None = None
    open: Callable[[bytes], bytes] | None = None
    seal_tag: Callable[[bytes], bytes] = bytes
    open_tag: Callable[[bytes], bytes] = bytes
    tag_bytes: int = 0
    held: bytearray = field(default_factory=bytearray)
    channel: int = 0  # the server's number
    ended: bool = False

    # --- packets -------------------------------------------------------------------------------------

    def say(self, message: bytes) -> None:
        """Send a message."""
        block = 16 if self.seal else 8
        count = block - (5 + len(message)) % block
        count += block if count < 4 else 0
        padding = self.seed.bytes(f"padding {self.sent}", count)
        packet = _number(1 + len(message) + count) + bytes((count,)) + message + padding
        tag = self.seal_tag(_number(self.sent) + packet) if self.seal else b""
        self.writer.write((self.seal(packet) if self.seal else packet) + tag)
        self.sent = (self.sent + 1) & 0xFFFFFFFF

    async def hear(self) -> bytes:
        """Return the next message that is not for the transport alone."""
        for _ in range(IDLE_PACKETS_MAX):
            message = await self._message()
            if message[0] == 1:
                raise Failed("SSH: the server hung up")
            if message[0] not in (2, 3, 4, 7, 80):  # ignore, unimplemented, debug, extensions, global requests
                return message
        raise Failed("SSH: nothing but noise")

    async def _message(self) -> bytes:
        block = 16 if self.open else 8
        head = await self.transfer.heard(self.reader.readexactly(block))
        head = self.open(head) if self.open else head
        size = int.from_bytes(head[:4], "big")
        if not 2 <= size <= PACKET_BYTES_MAX or (4 + size) % block:
            raise Failed("SSH: a packet of no size")
        rest = await self.transfer.heard(self.reader.readexactly(4 + size - block + self.tag_bytes))
        body, tag = rest[: 4 + size - block], rest[4 + size - block :]
        packet = head + (self.open(body) if self.open else body)
        if self.open and not hmac.compare_digest(tag, self.open_tag(_number(self.heard) + packet)):
            raise Failed("SSH: a packet that was changed")
        self.heard = (self.heard + 1) & 0xFFFFFFFF
        message = packet[5 : 4 + size - packet[4]]
        if not message:
            raise Failed("SSH: an empty packet")
        return message

    # --- the channel, as rcp and SFTP read it --------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send over the channel."""
        self.say(b"\x5e" + _number(self.channel) + _string(data))

    async def read(self, count: int) -> bytes:
        """Return what there is, at most `count` bytes; nothing at the end."""
        idle = 0
        while not self.held and not self.ended:
            idle += 1
            if idle > IDLE_PACKETS_MAX:
                raise Failed("SSH: nothing but noise")
            message = await self.hear()
            if message[0] == 94:
                self.held += _Fields(message, 5).string()
            elif message[0] in (96, 97):
                self.ended = True
        data = bytes(self.held[:count])
        del self.held[:count]
        return data

    async def readexactly(self, count: int) -> bytes:
        """Return so many bytes. Raises `Failed` at the end."""
        data = b""
        while len(data) < count:
            more = await self.read(count - len(data))
            if not more:
                raise Failed("closed early")
            data += more
        return data

    async def readuntil(self, separator: bytes = b"\n") -> bytes:
        """Return the bytes up to a mark of one byte."""
        data = b""
        while not data.endswith(separator):
            data += await self.readexactly(1)
            if len(data) > rcp.LINE_BYTES_MAX:
                raise Failed("line too long")
        return data


async def fetch(request: Request, transfer: Transfer) -> None:
    """Get the URL's file. Raises `NotFetched`, `OSError`, or `NoRoomError` from the sink."""
    target = await request.aim(request.url)
    path = unquoted(target.url.path.removeprefix("/"))
    if not path or "\0" in path:
        raise Failed("no file name")
    reader, writer, transfer.peer = await connect(target, transfer.settings)
    try:
        line = _Line(reader, writer, transfer, request.seed.child(f"ssh {target.url}"))
        await _agree(line, request.seed.choice("fetch.ssh", _VERSIONS).encode())
        await _log_in(line, target)
        if target.url.scheme == "sftp":
            await _open(line, b"subsystem", b"sftp")
            await _over_sftp(line, path.encode("latin-1", "replace"), transfer)
        else:
            await _open(line, b"exec", f"scp -f {shlex.quote(path)}".encode("latin-1", "replace"))
            await rcp.copied(line, line, transfer)
    finally:
        hang_up(writer)


async def _agree(line: _Line, ours: bytes) -> None:
    """Exchange versions and keys."""
    line.writer.write(ours + b"\r\n")
    theirs = b""
    for _ in range(VERSION_LINES_MAX):
        theirs = (await line.transfer.heard(line.reader.readuntil(b"\n"))).rstrip(b"\r\n")
        if theirs.startswith(b"SSH-"):
            break
    if not theirs.startswith((b"SSH-2.0-", b"SSH-1.99-")):
        raise Failed("no SSH")
    lists = (b",".join(_EXCHANGES), _HOST_KEYS, _CIPHER, _CIPHER, b",".join(_MACS), b",".join(_MACS), b"none", b"none",
             b"", b"")  # fmt: skip
    offer = b"\x14" + line.seed.bytes("cookie", 16) + b"".join(map(_string, lists)) + bytes(5)
    line.say(offer)
    answer = await line.hear()
    if answer[0] != 20:
        raise Failed("SSH: no offer")
    read = _Fields(answer, 17)
    known = [read.string().split(b",") for _ in range(8)]
    exchange = next((name for name in _EXCHANGES if name in known[0]), b"")
    macs = [next((name for name in _MACS if name in known[at]), b"") for at in (4, 5)]
    if not exchange or not all(macs) or _CIPHER not in known[2] or _CIPHER not in known[3]:
        raise Failed("SSH: nothing in common")
    make = hashlib.sha1 if exchange.endswith(b"sha1") else hashlib.sha256
    before = b"".join(map(_string, (ours, theirs, offer, answer)))
    secret, digest = await (_by_curve if exchange.startswith(b"curve") else _by_group)(line, before, make)

    def derive(letter: bytes, count: int) -> bytes:
        """RFC 4253 section 7.2."""
        key = make(secret + digest + letter + digest).digest()
        while len(key) < count:
            key += make(secret + digest + key).digest()
        return key[:count]

    line.say(b"\x15")
    out = Cipher(algorithms.AES(derive(b"C", 16)), modes.CTR(derive(b"A", 16))).encryptor()
    line.seal, line.seal_tag = out.update, _tagged(macs[0], derive(b"E", _MACS[macs[0]][1]))
    if (await line.hear())[0] != 21:
        raise Failed("SSH: no new keys")
    back = Cipher(algorithms.AES(derive(b"D", 16)), modes.CTR(derive(b"B", 16))).decryptor()
    line.open, line.open_tag = back.update, _tagged(macs[1], derive(b"F", _MACS[macs[1]][1]))
    line.tag_bytes = _MACS[macs[1]][1]


def _tagged(mac: bytes, key: bytes) -> Callable[[bytes], bytes]:
    return lambda data: hmac.digest(key, data, _MACS[mac][0]().name)


async def _by_curve(line: _Line, before: bytes, make: Callable[[bytes], hashlib._Hash]) -> tuple[bytes, bytes]:
    """RFC 8731. Return the secret, as it is hashed, and the exchange's hash."""
    mine = X25519PrivateKey.from_private_bytes(line.seed.bytes("x25519", 32))
    public = mine.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    line.say(b"\x1e" + _string(public))
    key, theirs = await _reply(line)
    try:
        secret = _mpint(int.from_bytes(mine.exchange(X25519PublicKey.from_public_bytes(theirs)), "big"))
    except ValueError:
        raise Failed("SSH: no key of this curve") from None
    return secret, make(before + _string(key) + _string(public) + _string(theirs) + secret).digest()


async def _by_group(line: _Line, before: bytes, make: Callable[[bytes], hashlib._Hash]) -> tuple[bytes, bytes]:
    """RFC 4253 section 8, with the group of 2048 bits."""
    mine = int.from_bytes(line.seed.bytes("group", 40), "big")
    public = _mpint(pow(2, mine, _GROUP_14))
    line.say(b"\x1e" + public)
    key, theirs = await _reply(line)
    value = int.from_bytes(theirs, "big")
    if not 1 < value < _GROUP_14 - 1:
        raise Failed("SSH: no key of this group")
    secret = _mpint(pow(value, mine, _GROUP_14))
    return secret, make(before + _string(key) + public + _string(theirs) + secret).digest()


async def _reply(line: _Line) -> tuple[bytes, bytes]:
    answer = await line.hear()
    if answer[0] != 31:
        raise Failed("SSH: no key exchange")
    read = _Fields(answer)
    return read.string(), read.string()


async def _log_in(line: _Line, target: Target) -> None:
    line.say(b"\x05" + _string(b"ssh-userauth"))
    if (await line.hear())[0] != 6:
        raise Failed("SSH: no logins")
    user = (target.url.user or "root").encode("latin-1", "replace")
    start = b"\x32" + _string(user) + _string(b"ssh-connection")
    password = b"\0" + _string(target.url.password.encode("latin-1", "replace"))
    for method, more in ((b"none", b""), (b"password", password)):
        line.say(start + _string(method) + more)
        answer = await line.hear()
        while answer[0] == 53:  # a banner
            answer = await line.hear()
        if answer[0] == 52:
            return
    raise Failed("SSH login failed")


async def _open(line: _Line, kind: bytes, what: bytes) -> None:
    line.say(b"\x5a" + _string(b"session") + _number(0) + _number(_WINDOW) + _number(_READ_BYTES))
    answer = await line.hear()
    if answer[0] != 91:
        raise Failed("SSH: no channel")
    line.channel = _Fields(answer, 5).number()
    line.say(b"\x62" + _number(line.channel) + _string(kind) + b"\1" + _string(what))
    answer = await line.hear()
    while answer[0] == 93:  # its window
        answer = await line.hear()
    if answer[0] != 99:
        raise Failed(f"SSH: no {kind.decode()}")


async def _over_sftp(line: _Line, path: bytes, transfer: Transfer) -> None:
    """draft-ietf-secsh-filexfer-02."""
    await _asked(line, b"\1" + _number(3))
    answer = await _asked(line, b"\3" + _number(1) + _string(path) + _number(1) + _number(0))
    if answer[0] != 102:
        raise Missing("no such file") if _Fields(answer, 5).number() == 2 else Failed("SFTP: it cannot be opened")
    handle, at = _Fields(answer, 5).string(), 0
    while True:
        place = at.to_bytes(8, "big") + _number(_READ_BYTES)
        answer = await _asked(line, b"\5" + _number(2) + _string(handle) + place)
        if answer[0] != 103:
            break
        data = _Fields(answer, 5).string()
        if not data:
            raise Failed("SFTP: an empty answer")
        transfer.take(data)
        at += len(data)
    if answer[0] != 101 or _Fields(answer, 5).number() != 1:
        raise Failed("SFTP: it cannot be read to its end")


async def _asked(line: _Line, message: bytes) -> bytes:
    line.write(_string(message))
    size = int.from_bytes(await line.readexactly(4), "big")
    if not 0 < size <= PACKET_BYTES_MAX:
        raise Failed("SFTP: a message of no size")
    return await line.readexactly(size)
