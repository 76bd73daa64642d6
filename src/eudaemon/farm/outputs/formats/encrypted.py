"""ZIP archives with the password `infected`, in PKWARE's old encryption: how samples are handed about.

It hides nothing from anybody; it keeps scanners on the way from acting on a sample. The standard library reads such
archives and does not write them, and what writes them on PyPI is compiled or unkept; so here are the few lines, from
PKWARE's APPNOTE.TXT, sections 4.3 and 6.1. Slow: half a second for a megabyte of what is left after compression.
"""

from __future__ import annotations

import functools
import os
import struct
import zlib
from collections.abc import Mapping

PASSWORD = b"infected"
_LOCAL, _CENTRAL, _END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
_VERSION, _ENCRYPTED, _DEFLATED = 20, 1, 8
_DATE = 0x21  # 1980-01-01: the same files are the same archive but for its salt


def zipped(files: Mapping[str, bytes], password: bytes = PASSWORD) -> bytes:
    """Return an archive of files by their names, which are ASCII."""
    body, central = b"", b""
    for name, data in files.items():
        crc = zlib.crc32(data)
        stored = _encrypted(zlib.compress(data, wbits=-15), crc, password)
        about = struct.pack(
            "<HHHHHIIIHH", _VERSION, _ENCRYPTED, _DEFLATED, 0, _DATE, crc, len(stored), len(data), len(name), 0
        )
        central += _CENTRAL + struct.pack("<H", _VERSION) + about + struct.pack("<HHHII", 0, 0, 0, 0, len(body))
        central += name.encode("ascii")
        body += _LOCAL + about + name.encode("ascii") + stored
    count = len(files)
    return body + central + _END + struct.pack("<HHHHIIH", 0, 0, count, count, len(central), len(body), 0)


def _encrypted(data: bytes, crc: int, password: bytes) -> bytes:
    table = _table()
    one, two, three = 0x12345678, 0x23456789, 0x34567890
    for byte in password:
        one = one >> 8 ^ table[(one ^ byte) & 0xFF]
        two = (two + (one & 0xFF)) * 134775813 + 1 & 0xFFFFFFFF
        three = three >> 8 ^ table[(three ^ two >> 24) & 0xFF]
    out = bytearray()
    # Eleven bytes of salt, and the top of the checksum, by which a reader knows the password to be right.
    for byte in os.urandom(11) + bytes([crc >> 24]) + data:
        key = three | 2
        out.append(byte ^ (key * (key ^ 1) >> 8 & 0xFF))
        one = one >> 8 ^ table[(one ^ byte) & 0xFF]
        two = (two + (one & 0xFF)) * 134775813 + 1 & 0xFFFFFFFF
        three = three >> 8 ^ table[(three ^ two >> 24) & 0xFF]
    return bytes(out)


@functools.cache
def _table() -> tuple[int, ...]:
    """Return the table of CRC-32, polynomial 0xEDB88320."""

    def entry(number: int) -> int:
        for _ in range(8):
            number = number >> 1 ^ (0xEDB88320 if number & 1 else 0)
        return number

    return tuple(map(entry, range(256)))
