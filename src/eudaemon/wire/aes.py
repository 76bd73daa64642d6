"""AES with keys of 128 bits, one way (FIPS 197), and CMAC under it (RFC 4493): what SMB 3 signs with.

The standard library has no AES, and a router no package that has one. Four tables do a round's substitution, rotation
and mixing at once, as software without the processor's own instructions does it; they are made when first needed.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import TypeAlias

BLOCK_BYTES = 16
KEY_BYTES = 16
_ROUNDS = 10
_Tables: TypeAlias = "tuple[tuple[int, ...], ...]"


class Aes:
    """AES under one key."""

    __slots__ = ("_box", "_keys", "_tables")

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a key of {len(key)} bytes")
        self._box, self._tables = _made()
        self._keys = _expanded(key, self._box)

    def encrypt(self, block: int) -> int:
        """Return a block enciphered; both are numbers of 128 bits, the first byte the most significant."""
        first, second, third, fourth = self._tables
        first_key, *keys, last_key = self._keys
        block ^= first_key[4]
        a, b, c, d = block >> 96, block >> 64 & 0xFFFF_FFFF, block >> 32 & 0xFFFF_FFFF, block & 0xFFFF_FFFF
        for w, x, y, z, _ in keys:
            a, b, c, d = (
                first[a >> 24] ^ second[b >> 16 & 255] ^ third[c >> 8 & 255] ^ fourth[d & 255] ^ w,
                first[b >> 24] ^ second[c >> 16 & 255] ^ third[d >> 8 & 255] ^ fourth[a & 255] ^ x,
                first[c >> 24] ^ second[d >> 16 & 255] ^ third[a >> 8 & 255] ^ fourth[b & 255] ^ y,
                first[d >> 24] ^ second[a >> 16 & 255] ^ third[b >> 8 & 255] ^ fourth[c & 255] ^ z,
            )
        box, out = self._box, 0
        for w, x, y, z in ((a, b, c, d), (b, c, d, a), (c, d, a, b), (d, a, b, c)):  # the last round mixes nothing
            word = box[w >> 24] << 24 | box[x >> 16 & 255] << 16 | box[y >> 8 & 255] << 8 | box[z & 255]
            out = out << 32 | word
        return out ^ last_key[4]


class Cmac:
    """CMAC under one key."""

    __slots__ = ("_aes", "_partial", "_whole")

    def __init__(self, key: bytes) -> None:
        self._aes = Aes(key)
        self._whole = _doubled(self._aes.encrypt(0))
        self._partial = _doubled(self._whole)

    def of(self, message: bytes) -> bytes:
        """Return the code of a message: sixteen bytes."""
        encrypt, state = self._aes.encrypt, 0
        last = max(0, (len(message) - 1) // BLOCK_BYTES * BLOCK_BYTES)
        for high, low in struct.iter_unpack(">QQ", memoryview(message)[:last]):
            state = encrypt(state ^ (high << 64 | low))
        rest = message[last:]
        if len(rest) == BLOCK_BYTES:
            state ^= int.from_bytes(rest, "big") ^ self._whole
        else:
            state ^= int.from_bytes((rest + b"\x80").ljust(BLOCK_BYTES, b"\0"), "big") ^ self._partial
        return encrypt(state).to_bytes(BLOCK_BYTES, "big")


def _doubled(value: int) -> int:
    """Return twice a value in the field of 2^128 elements."""
    value <<= 1
    return value ^ (1 << 128 | 0x87) if value >> 128 else value


def _expanded(key: bytes, box: tuple[int, ...]) -> tuple[tuple[int, int, int, int, int], ...]:
    """Return the keys of the rounds, each as its four words and whole."""
    words = list(struct.unpack(">4I", key))
    constant = 1
    for at in range(4, 4 * (_ROUNDS + 1)):
        word = words[-1]
        if at % 4 == 0:
            word = box[word >> 16 & 255] << 24 | box[word >> 8 & 255] << 16 | box[word & 255] << 8 | box[word >> 24]
            word ^= constant << 24
            constant = constant << 1 ^ (0x11B if constant & 0x80 else 0)
        words.append(words[at - 4] ^ word)
    rounds = (words[at : at + 4] for at in range(0, len(words), 4))
    return tuple((w, x, y, z, w << 96 | x << 64 | y << 32 | z) for w, x, y, z in rounds)


@lru_cache(maxsize=1)
def _made() -> tuple[tuple[int, ...], _Tables]:
    """Return the box of substitutions, and the tables: of a byte, its column of the mixing, at each of its places."""
    powers, logarithms, value = [0] * 255, [0] * 256, 1
    for exponent in range(255):  # 3 generates all elements but zero
        powers[exponent], logarithms[value] = value, exponent
        value ^= value << 1 ^ (0x11B if value & 0x80 else 0)
    box = []
    for byte in range(256):
        inverse = powers[-logarithms[byte] % 255] if byte else 0
        # It, and it turned by one to four bits, added up without carries.
        spread = inverse ^ inverse << 1 ^ inverse << 2 ^ inverse << 3 ^ inverse << 4
        box.append((spread ^ spread >> 8) & 255 ^ 0x63)
    columns = []
    for byte in box:
        twice = byte << 1 ^ (0x11B if byte & 0x80 else 0)
        columns.append(twice << 24 | byte << 16 | byte << 8 | (twice ^ byte))
    turned = (tuple(word >> 8 * by | (word << 32 - 8 * by) & 0xFFFF_FFFF for word in columns) for by in range(4))
    return tuple(box), tuple(turned)
