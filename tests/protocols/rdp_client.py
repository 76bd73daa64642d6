"""What a client of Remote Desktop says, as FreeRDP says it, without its options. Section numbers are MS-RDPBCGR's."""

from __future__ import annotations

import hashlib
import struct

from cryptography.hazmat.decrepit.ciphers.algorithms import ARC4
from cryptography.hazmat.primitives.ciphers import Cipher

from eudaemon.protocols.rdp.pdus import data, tpkt


def request(cookie: bytes = b"", protocols: int | None = 3) -> bytes:
    """The X.224 connection request, 2.2.1.1."""
    rest = b"Cookie: %s\r\n" % cookie if cookie else b""
    rest += struct.pack("<BBHI", 1, 0, 8, protocols) if protocols is not None else b""
    return tpkt(bytes((6 + len(rest), 0xE0, 0, 0, 0, 0, 0)) + rest)


def connect(*channels: str, name: str = "KALI", encryption: int = 0) -> bytes:
    """MCS Connect Initial, 2.2.1.3, shortened to what servers read."""
    core = struct.pack("<IHHHHII", 0x80004, 1024, 768, 0xCA01, 0xAA03, 0x407, 2600)
    core += name.encode("utf-16-le").ljust(32, b"\0")[:32] + bytes(80)
    net = struct.pack("<I", len(channels)) + b"".join(one.encode().ljust(8, b"\0") + bytes(4) for one in channels)
    blocks = struct.pack("<HH", 0xC001, len(core) + 4) + core
    if encryption:
        blocks += struct.pack("<HHII", 0xC002, 12, encryption, 0)
    blocks += struct.pack("<HH", 0xC003, len(net) + 4) + net
    gcc = b"\0\5\0\x14\x7c\0\1\x81\x48\0\x08\0\x10\0\1\xc0\0Duca" + struct.pack(">H", 0x8000 | len(blocks)) + blocks
    body = b"\x04\1\1\x04\1\1\1\1\xff\x04\x82" + struct.pack(">H", len(gcc)) + gcc
    return data(b"\x7f\x65\x82" + struct.pack(">H", len(body)) + body)


ERECT, ATTACH = data(b"\x04\1\0\1\0"), data(b"\x28")


def join(channel: int) -> bytes:
    """MCS Channel Join Request, 2.2.1.8."""
    return data(struct.pack(">BHH", 0x38, 44, channel))


def send(channel: int, body: bytes) -> bytes:
    """MCS Send Data Request, T.125 11.32."""
    return data(struct.pack(">BHHBH", 0x64, 44, channel, 0x70, 0x8000 | len(body)) + body)


def info(domain: str, user: str, password: str, shell: str = "", *, wide: bool = True) -> bytes:
    """The Client Info PDU, 2.2.1.11, with its security header."""
    fields = [one.encode("utf-16-le" if wide else "latin-1") for one in (domain, user, password, shell, "")]
    head = struct.pack("<HHIIHHHHH", 0x40, 0, 0, 0x10 * wide | 0x23, *map(len, fields))
    return head + b"".join(field + (b"\0\0" if wide else b"\0") for field in fields)


class Encryption:
    """The client's side of Remote Desktop's own encryption, from the words of 5.3.5 to 5.3.7."""

    def __init__(self, response: bytes, random: bytes) -> None:
        """Read the server's security data, 2.2.1.4.3, out of MCS Connect Response."""
        at = response.index(b"\x02\x0c", response.index(b"McDn"))
        size, self.method, self.level, randoms, certificate = struct.unpack_from("<HIIII", response, at + 2)
        assert size == 20 + randoms + certificate
        self.server_random = response[at + 20 : at + 20 + randoms]
        self.certificate = response[at + 20 + randoms : at + size]
        self.random = random
        bits = struct.unpack_from("<I", self.certificate, 24)[0]
        self.exponent, modulus = struct.unpack_from("<I64s", self.certificate, 32)
        assert (self.certificate[16:20], bits) == (b"RSA1", 512)
        self.modulus = int.from_bytes(modulus, "little")
        self._derive()

    def exchange(self) -> bytes:
        """The Security Exchange PDU, 2.2.1.10."""
        closed = pow(int.from_bytes(self.random, "little"), self.exponent, self.modulus).to_bytes(72, "little")
        return struct.pack("<HHI", 1, 0, len(closed)) + closed

    def _derive(self) -> None:
        def salted(secret: bytes, text: str) -> bytes:
            sha = hashlib.sha1(text.encode() + secret + self.random + self.server_random).digest()
            return hashlib.md5(secret + sha).digest()

        premaster = self.random[:24] + self.server_random[:24]
        master = salted(premaster, "A") + salted(premaster, "BB") + salted(premaster, "CCC")
        blob = salted(master, "X") + salted(master, "YY") + salted(master, "ZZZ")
        final = [hashlib.md5(blob[at : at + 16] + self.random + self.server_random).digest() for at in (16, 32)]
        self.mac = self._reduced(blob[:16])
        self.theirs = self.theirs_now = self._reduced(final[0])
        self.ours = self.ours_now = self._reduced(final[1])
        self.said = self.heard = 0
        self.ours_stream, self.theirs_stream = (Cipher(ARC4(key), None).encryptor() for key in (self.ours, self.theirs))

    def _reduced(self, key: bytes) -> bytes:
        if self.method == 1:
            return b"\xd1\x26\x9e" + key[3:8]
        return b"\xd1" + key[1:8] if self.method == 8 else key

    def signature(self, data: bytes, count: int | None = None) -> bytes:
        salt = b"" if count is None else struct.pack("<I", count)
        sha = hashlib.sha1(self.mac + b"\x36" * 40 + struct.pack("<I", len(data)) + data + salt).digest()
        return hashlib.md5(self.mac + b"\x5c" * 48 + sha).digest()[:8]

    def _updated(self, first: bytes, now: bytes) -> bytes:
        sha = hashlib.sha1(first + b"\x36" * 40 + now).digest()
        temporary = hashlib.md5(first + b"\x5c" * 48 + sha).digest()[: len(now)]
        return self._reduced(Cipher(ARC4(temporary), None).encryptor().update(temporary))

    def closed(self, data: bytes, flags: int = 0, *, checked: bool = False) -> bytes:
        """A packet with a security header; `checked` with the signature that counts."""
        signature = self.signature(data, self.said if checked else None)
        return struct.pack("<HH", flags | 8 | 0x800 * checked, 0) + signature + self._under(data)

    def fast(self, *events: bytes) -> bytes:
        """A fast-path PDU, 2.2.8.1.2, whose number of events stands in its head."""
        body = b"".join(events)
        signature = self.signature(body)
        return bytes((0x80 | len(events) << 2, 10 + len(body))) + signature + self._under(body)

    def _under(self, data: bytes) -> bytes:
        if self.said and self.said % 4096 == 0:
            self.ours_now = self._updated(self.ours, self.ours_now)
            self.ours_stream = Cipher(ARC4(self.ours_now), None).encryptor()
        self.said += 1
        return self.ours_stream.update(data)

    def opened(self, packet: bytes) -> bytes:
        """What the server says in Send Data Indication. Its signature must be right."""
        body = packet[15 if packet[13] & 0x80 else 14 :]
        assert struct.unpack_from("<H", body)[0] & 8
        if self.heard and self.heard % 4096 == 0:
            self.theirs_now = self._updated(self.theirs, self.theirs_now)
            self.theirs_stream = Cipher(ARC4(self.theirs_now), None).encryptor()
        self.heard += 1
        data = self.theirs_stream.update(body[12:])
        assert body[4:12] == self.signature(data)
        return data
