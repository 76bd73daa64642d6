"""What a client of Remote Desktop says, as FreeRDP says it, without its options. Section numbers are MS-RDPBCGR's."""

from __future__ import annotations

import struct

from eudaemon.protocols.rdp.pdus import data, tpkt


def request(cookie: bytes = b"", protocols: int | None = 3) -> bytes:
    """The X.224 connection request, 2.2.1.1."""
    rest = b"Cookie: %s\r\n" % cookie if cookie else b""
    rest += struct.pack("<BBHI", 1, 0, 8, protocols) if protocols is not None else b""
    return tpkt(bytes((6 + len(rest), 0xE0, 0, 0, 0, 0, 0)) + rest)


def connect(*channels: str, name: str = "KALI") -> bytes:
    """MCS Connect Initial, 2.2.1.3, shortened to what servers read."""
    core = struct.pack("<IHHHHII", 0x80004, 1024, 768, 0xCA01, 0xAA03, 0x407, 2600)
    core += name.encode("utf-16-le").ljust(32, b"\0")[:32] + bytes(80)
    net = struct.pack("<I", len(channels)) + b"".join(one.encode().ljust(8, b"\0") + bytes(4) for one in channels)
    blocks = struct.pack("<HH", 0xC001, len(core) + 4) + core + struct.pack("<HH", 0xC003, len(net) + 4) + net
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
