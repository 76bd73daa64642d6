"""UMAC, RFC 4418, with AES-128, as OpenSSH uses it: OpenSSH's own client asks for it first wherever it wants a MAC.

tag = pad(nonce) xor hash(message);  hash: 1024-byte blocks through NH, their hashes through a polynomial, and that
through an inner product; two such streams for 64 bits of tag, four for 128
"""

from __future__ import annotations

import struct

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

_BLOCK_BYTES = 1024
_LONG_BYTES_MAX = 2**17  # of NH's output that poly64 alone takes; an SSH packet is far smaller
_P36 = 2**36 - 5
_P64 = 2**64 - 59
_MASK32, _MASK64 = 2**32 - 1, 2**64 - 1
_POLY_MASK = 0x01FFFFFF01FFFFFF
_MARKER, _LARGE = _P64 - 1, 2**64 - 2**32


class Umac:
    """One direction's key. The nonce is the packet's sequence number, eight bytes."""

    def __init__(self, key: bytes, tag_bytes: int) -> None:
        self._streams = tag_bytes // 4
        self._tag_bytes = tag_bytes
        self._key = key
        more = 16 * (self._streams - 1)
        first = self._derived(1, _BLOCK_BYTES + more)
        # NH's keys, one slide of four words further for each stream.
        self._nh = [
            struct.unpack(">256I", first[16 * stream : 16 * stream + _BLOCK_BYTES]) for stream in range(self._streams)
        ]
        second = self._derived(2, 24 * self._streams)
        self._poly = [
            int.from_bytes(second[24 * stream : 24 * stream + 8], "big") & _POLY_MASK for stream in range(self._streams)
        ]
        third = self._derived(3, 64 * self._streams)
        self._inner = [
            [value % _P36 for value in struct.unpack(">8Q", third[64 * stream : 64 * stream + 64])]
            for stream in range(self._streams)
        ]
        fourth = self._derived(4, 4 * self._streams)
        self._last = struct.unpack(f">{self._streams}I", fourth)
        self._pads = Cipher(algorithms.AES(self._derived(0, 16)), modes.ECB()).encryptor()  # noqa: S305 - the RFC's own

    def tag(self, sequence: int, data: bytes) -> bytes:
        """Return the tag of a packet."""
        return (int.from_bytes(self._pad(sequence), "big") ^ self._hash(data)).to_bytes(self._tag_bytes, "big")

    def _derived(self, index: int, count: int) -> bytes:
        """Return key material. RFC 4418, 3.2.1."""
        cipher = Cipher(algorithms.AES(self._key), modes.ECB()).encryptor()  # noqa: S305
        blocks = b"".join(index.to_bytes(8, "big") + at.to_bytes(8, "big") for at in range(1, (count + 15) // 16 + 1))
        return cipher.update(blocks)[:count]

    def _pad(self, sequence: int) -> bytes:
        """RFC 4418, 3.3.1: of a short tag two share a block of the cipher."""
        if self._tag_bytes == 16:
            return self._pads.update(sequence.to_bytes(8, "big") + bytes(8))
        which = sequence & 1
        block = self._pads.update((sequence ^ which).to_bytes(8, "big") + bytes(8))
        return block[8 * which : 8 * which + 8]

    def _hash(self, data: bytes) -> int:
        count = max(1, -(-len(data) // _BLOCK_BYTES))
        blocks = []
        for at in range(count):
            block = data[at * _BLOCK_BYTES : (at + 1) * _BLOCK_BYTES]
            padded = block + bytes(-len(block) % 32 if block else 32)
            blocks.append((struct.unpack(f"<{len(padded) // 4}I", padded), 8 * len(block)))
        found = 0
        for stream in range(self._streams):
            key = self._nh[stream]
            hashes = [(_nh(key, words) + bits) & _MASK64 for words, bits in blocks]
            value = hashes[0] if count == 1 else _polynomial(self._poly[stream], hashes)
            inner = sum(
                (value >> shift & 0xFFFF) * factor
                for shift, factor in zip((48, 32, 16, 0), self._inner[stream][4:], strict=True)
            )
            found = found << 32 | (inner % _P36 & _MASK32) ^ self._last[stream]
        return found


def _nh(key: tuple[int, ...], words: tuple[int, ...]) -> int:
    """RFC 4418, 5.2.2: eight words at a time, each with the one that stands four later."""
    total = 0
    for at in range(0, len(words), 8):
        for one in range(at, at + 4):
            total += ((words[one] + key[one]) & _MASK32) * ((words[one + 4] + key[one + 4]) & _MASK32)
    return total & _MASK64


def _polynomial(key: int, values: list[int]) -> int:
    """RFC 4418, 5.3.2, for the lengths that occur here: poly64 alone."""
    total = 1
    for value in values:
        if value >= _LARGE:
            total = (key * total + _MARKER) % _P64
            total = (key * total + value - 59) % _P64
        else:
            total = (key * total + value) % _P64
    return total
