"""RSA as Remote Desktop's own encryption has it (MS-RDPBCGR 5.3.3, 5.3.4): a key of the host's own, from its seed.

A key of 512 bits, as Windows made them: it keeps nobody's secret, and a router finds one in a moment. What is said of
it is signed with the Terminal Services Signing Key, which the specification gives to everybody (5.3.3.1.2).
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from functools import lru_cache
from itertools import count

from eudaemon.world.seed import Seed

KEY_BYTES = 64
EXPONENT = 65537
PADDING = bytes(8)  # behind every number that has the key's size
_ROUNDS = 24  # of Miller and Rabin's test: one in 4^24 that pass is no prime
_SMALL = (3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97)
# 5.3.3.1.2: the signing key, which signs the keys of all servers. Numbers stand there with the lowest byte first.
_SIGNS = int.from_bytes(bytes.fromhex(
    "3d3a5ebd72433ec94dbbc11e4aba5fcb3e882087eff5c1e2d7b76b9af2524595"
    "ce63656b583afeef7ce7bffe3df65c7d6c5e06091af561bb2093095f056dea87"), "little")  # fmt: skip
_SIGNS_WITH = int.from_bytes(bytes.fromhex(
    "87a71932da118755580016162565"
    "68f8243ee6fae9674994cf92cc3399e80860179a129f24ddb12499c73ab80a7b0ddd350779170b519bb3c7100113e73ff35f"),
    "little")  # fmt: skip
SIGNED_WITH = 0xC0887B5B  # what opens such a signature


@dataclass(frozen=True, slots=True)
class Key:
    """A key: the modulus, and the exponent that opens what was closed with `EXPONENT`."""

    modulus: int
    private: int

    def opened(self, closed: bytes) -> bytes:
        """Return what was closed with the public key, as a number's bytes, the lowest first."""
        number = int.from_bytes(closed, "little")
        return pow(number, self.private, self.modulus).to_bytes(KEY_BYTES, "little")


@lru_cache(maxsize=4)
def _key_of(drawn: bytes) -> Key:
    seed = Seed(drawn)
    first = _prime(seed, "first")
    second = next(prime for prime in (_prime(seed, f"second {n}") for n in count()) if prime != first)
    return Key(first * second, pow(EXPONENT, -1, (first - 1) * (second - 1)))


def key_of(seed: Seed) -> Key:
    """Return a host's key, made when it is first asked for."""
    return _key_of(seed.bytes("rsa", 32))


def _prime(seed: Seed, purpose: str) -> int:
    """Return a prime of half the key's size whose two highest bits are set, so that the product has the whole size."""
    size = KEY_BYTES // 2
    start = int.from_bytes(seed.bytes(purpose, size), "big") | 3 << size * 8 - 2 | 1
    return next(n for n in count(start, 2) if (n - 1) % EXPONENT and _is_prime(n, seed))


def _is_prime(number: int, seed: Seed) -> bool:
    """Say whether an odd number is a prime, by Miller and Rabin's test."""
    if any(number % small == 0 for small in _SMALL):
        return number in _SMALL
    odd, twos = number - 1, 0
    while not odd & 1:
        odd, twos = odd >> 1, twos + 1
    for turn in range(_ROUNDS):
        base = 2 + int.from_bytes(seed.bytes(f"witness {turn}", KEY_BYTES), "big") % (number - 3)
        power = pow(base, odd, number)
        if power in (1, number - 1):
            continue
        for _ in range(twos - 1):
            power = power * power % number
            if power == number - 1:
                break
        else:
            return False
    return True


def certificate(key: Key) -> bytes:
    """Return the server's proprietary certificate (2.2.1.4.3.1.1): the public key, and its signature."""
    public = b"RSA1" + struct.pack("<IIII", KEY_BYTES + len(PADDING), KEY_BYTES * 8, KEY_BYTES - 1, EXPONENT)
    public += key.modulus.to_bytes(KEY_BYTES, "little") + PADDING
    said = struct.pack("<IIIHH", 1, 1, 1, 6, len(public)) + public
    signature = pow(signed_number(said), _SIGNS_WITH, _SIGNS).to_bytes(KEY_BYTES, "little") + PADDING
    return said + struct.pack("<HH", 8, len(signature)) + signature


def signed_number(said: bytes) -> int:
    """Return what is signed of a certificate (5.3.3.1.1): its MD5 hash, filled up."""
    filled = hashlib.md5(said, usedforsecurity=False).digest() + b"\0" + b"\xff" * 45 + b"\1"
    return int.from_bytes(filled, "little")
