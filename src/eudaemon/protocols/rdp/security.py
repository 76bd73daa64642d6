"""Remote Desktop's own encryption, which clients have that can no TLS, and BlueKeep's scanners (MS-RDPBCGR 5.3).

    ours:    Connect Response     the method, 32 random bytes, a certificate with an RSA key
    theirs:  Security Exchange    32 random bytes of the client's, under that key
    both:    every packet         a signature of eight bytes, and what it says under RC4, each way with a key of its own

From both randoms come three keys: what signs, what the server closes with, what the client closes with. They are cut to
40 or 56 bits where the client can no more, and each is renewed after 4,096 packets.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

from eudaemon.protocols._ntlm import Rc4
from eudaemon.protocols.rdp import rsa
from eudaemon.wire import PeerError
from eudaemon.world.seed import Seed

NONE, BITS_40, BITS_128, BITS_56 = 0, 1, 2, 8  # 2.2.1.4.3: of these a client offers some
BITS = {NONE: 0, BITS_40: 40, BITS_56: 56, BITS_128: 128}
EXCHANGE, ENCRYPTED, INFO, CHECKED = 0x01, 0x08, 0x40, 0x0800  # 2.2.8.1.1.2.1: flags of a packet's security header
RENEWED_PACKETS = 4096  # 5.3.7
OPENED_BYTES_MAX = 8 * 1024 * 1024  # of one session: here RC4 is slow, and nobody types so much
LEVEL = 2  # as strong as the client can, both ways
_RANDOM_BYTES = 32
_PAD_1, _PAD_2 = b"\x36" * 40, b"\x5c" * 48
# 5.3.5.1: what stands for the first bytes of a key of which only so many bits are to be unknown.
_SALTS = {BITS_40: b"\xd1\x26\x9e", BITS_56: b"\xd1", BITS_128: b""}


def chosen(offered: int) -> int:
    """Return the strongest method of those that a client offers; NONE if it offers none that we have."""
    return next((method for method in (BITS_128, BITS_56, BITS_40) if offered & method), NONE)


@dataclass(frozen=True, slots=True)
class Keys:
    """What comes of two randoms: the key that signs, and the first ones of both ways."""

    signs: bytes
    server: bytes
    client: bytes


def keys_of(client: bytes, server: bytes, method: int) -> Keys:
    """Return the keys of a session (5.3.5.1)."""

    def salted(secret: bytes, salt: bytes) -> bytes:
        return _md5(secret + _sha(salt + secret + client + server))

    secret = client[:24] + server[:24]
    master = b"".join(salted(secret, salt) for salt in (b"A", b"BB", b"CCC"))
    blob = b"".join(salted(master, salt) for salt in (b"X", b"YY", b"ZZZ"))
    whole = (blob[:16], *(_md5(blob[at : at + 16] + client + server) for at in (16, 32)))
    return Keys(*(_cut(key, method) for key in whole))


class Way:
    """The packets of one direction."""

    __slots__ = ("_first", "_key", "_method", "_packets", "_signs", "_stream", "_total")

    def __init__(self, key: bytes, signs: bytes, method: int) -> None:
        self._first = self._key = key
        self._signs = signs
        self._method = method
        self._stream = Rc4(key)
        self._packets = self._total = 0  # under this key, and in all

    def opened(self, data: bytes, signature: bytes, *, checked: bool = False) -> bytes:
        """Return what a packet of the client's says. Raises `PeerError` where its signature is wrong."""
        said = self._next(data)
        if signature != self._signature(said, checked=checked):
            raise PeerError("a packet whose signature is wrong")
        self._total += 1
        return said

    def closed(self, data: bytes) -> bytes:
        """Return a packet of ours with its security header (2.2.8.1.1.2.2)."""
        signature = self._signature(data, checked=False)
        self._total += 1
        return struct.pack("<HH", ENCRYPTED, 0) + signature + self._next(data)

    def _next(self, data: bytes) -> bytes:
        if self._packets == RENEWED_PACKETS:
            self._renew()
        self._packets += 1
        return self._stream.under(data)

    def _renew(self) -> None:
        inner = _sha(self._first + _PAD_1 + self._key)
        fresh = _md5(self._first + _PAD_2 + inner)[: len(self._key)]
        self._key = _cut(Rc4(fresh).under(fresh), self._method)
        self._stream, self._packets = Rc4(self._key), 0

    def _signature(self, said: bytes, *, checked: bool) -> bytes:
        """5.3.6.1 and 5.3.6.1.1: the second form counts packets, too."""
        number = self._total.to_bytes(4, "little") if checked else b""
        inner = _sha(self._signs + _PAD_1 + len(said).to_bytes(4, "little") + said + number)
        return _md5(self._signs + _PAD_2 + inner)[:8]


class Security:
    """One session's encryption. `ready` once the client's random has come."""

    __slots__ = ("_key", "_method", "_opened", "_random", "_ways")

    def __init__(self, host: Seed, session: Seed, method: int) -> None:
        self._key = rsa.key_of(host)
        self._method = method
        self._random = session.bytes("rdp random", _RANDOM_BYTES)
        self._opened = 0  # bytes
        self._ways: tuple[Way, Way] | None = None  # the client's, ours

    @property
    def ready(self) -> bool:
        """Whether packets are encrypted from now on."""
        return self._ways is not None

    def block(self) -> bytes:
        """Return the server's security data (2.2.1.4.3), without the header of a block."""
        certificate = rsa.certificate(self._key)
        sizes = struct.pack("<IIII", self._method, LEVEL, _RANDOM_BYTES, len(certificate))
        return sizes + self._random + certificate

    def exchange(self, packet: bytes) -> None:
        """Take the client's random out of a Security Exchange PDU (2.2.1.10). Raises `PeerError`."""
        closed = packet[8 : 8 + rsa.KEY_BYTES]
        if len(closed) < rsa.KEY_BYTES or self._ways is not None:
            raise PeerError("no random in a Security Exchange PDU, or one more")
        keys = keys_of(self._key.opened(closed)[:_RANDOM_BYTES], self._random, self._method)
        self._ways = (Way(keys.client, keys.signs, self._method), Way(keys.server, keys.signs, self._method))

    def opened(self, data: bytes, signature: bytes, *, checked: bool) -> bytes:
        """Return what the client has closed. Raises `PeerError`."""
        if self._ways is None:
            raise PeerError("an encrypted packet before the keys")
        self._opened += len(data)
        if self._opened > OPENED_BYTES_MAX:
            raise PeerError(f"over {OPENED_BYTES_MAX} bytes under Remote Desktop's own encryption")
        return self._ways[0].opened(data, signature, checked=checked)

    def closed(self, data: bytes) -> bytes:
        """Return a packet of ours, closed, with its security header."""
        if self._ways is None:
            raise RuntimeError("there are no keys yet")
        return self._ways[1].closed(data)


def _cut(key: bytes, method: int) -> bytes:
    salt = _SALTS[method]
    return salt + key[len(salt) : 8] if salt else key


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()


def _sha(data: bytes) -> bytes:
    return hashlib.sha1(data, usedforsecurity=False).digest()
