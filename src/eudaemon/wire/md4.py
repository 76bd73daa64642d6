"""MD4 (RFC 1320), which NTLM is built on and OpenSSL has dropped."""

from __future__ import annotations

import struct


def md4(data: bytes) -> bytes:
    """Return MD4 (RFC 1320), which OpenSSL does not give any more."""
    mask = 0xFFFF_FFFF
    state = [0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476]
    padded = data + b"\x80" + bytes((55 - len(data)) % 64) + (8 * len(data)).to_bytes(8, "little")
    for block in range(0, len(padded), 64):
        words = struct.unpack_from("<16I", padded, block)
        a, b, c, d = state
        for order, shifts, constant, mix in _MD4_ROUNDS:
            for step, index in enumerate(order):
                mixed = ((b & c) | (~b & d), (b & c) | (b & d) | (c & d), b ^ c ^ d)[mix]
                value = (a + mixed + words[index] + constant) & mask
                turn = shifts[step % 4]
                a, b, c, d = d, (value << turn | value >> (32 - turn)) & mask, b, c
        state = [(old + new) & mask for old, new in zip(state, (a, b, c, d), strict=True)]
    return struct.pack("<4I", *state)


_MD4_ROUNDS = (
    (tuple(range(16)), (3, 7, 11, 19), 0, 0),
    ((0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), (3, 5, 9, 13), 0x5A827999, 1),
    ((0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15), (3, 9, 11, 15), 0x6ED9EBA1, 2),
)
