"""Logins: the digests that two plugins make of a password, and the key with which the newer one has it sent.

mysql_native_password     SHA1(password) xor SHA1(salt + SHA1(SHA1(password)))
caching_sha2_password     SHA256(password) xor SHA256(SHA256(SHA256(password)) + salt); whoever is not in the server's
                          cache sends (password + NUL) xor salt, enciphered with RSA (OAEP, SHA-1): so it is read

The key has 1024 bits where MySQL's has 2048: it is made in pure Python, once, while other peers wait.
"""

from __future__ import annotations

import base64
import hashlib

from eudaemon.world.seed import Seed

_PRIME_BITS = 512
_EXPONENT = 65_537
_SMALL = (3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97)
_WITNESSES = 12  # of Miller and Rabin: more than enough for a key that protects nobody
_SHA1_BYTES = 20


def _sha1(data: bytes) -> bytes:
    return hashlib.sha1(data, usedforsecurity=False).digest()


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=False))


def native_proof(password: bytes, salt: bytes) -> bytes:
    """Return what mysql_native_password sends for a password; nothing for none."""
    if not password:
        return b""
    once = _sha1(password)
    return _xor(once, _sha1(salt + _sha1(once)))


def caching_proof(password: bytes, salt: bytes) -> bytes:
    """Return what caching_sha2_password sends for a password; nothing for none."""
    if not password:
        return b""
    once = _sha256(password)
    return _xor(once, _sha256(_sha256(once) + salt))


class Key:
    """One sensor's RSA key."""

    __slots__ = ("_private", "modulus")

    def __init__(self, seed: Seed) -> None:
        p, q = (_prime(seed.child(name)) for name in ("p", "q"))
        self.modulus = p * q
        self._private = pow(_EXPONENT, -1, (p - 1) * (q - 1))

    @property
    def pem(self) -> bytes:
        """The public half, as SubjectPublicKeyInfo (RFC 5280 section 4.1)."""
        numbers = _der(0x30, _integer(self.modulus) + _integer(_EXPONENT))
        algorithm = bytes.fromhex("300d06092a864886f70d0101010500")  # rsaEncryption
        body = base64.b64encode(_der(0x30, algorithm + _der(0x03, b"\0" + numbers)))
        lines = b"".join(body[at : at + 64] + b"\n" for at in range(0, len(body), 64))
        return b"-----BEGIN PUBLIC KEY-----\n" + lines + b"-----END PUBLIC KEY-----\n"

    def decipher(self, data: bytes) -> bytes | None:
        """Return what was enciphered with OAEP (RFC 8017 section 7.1.2), None if it was not."""
        size = (self.modulus.bit_length() + 7) // 8
        if len(data) != size:
            return None
        block = pow(int.from_bytes(data, "big"), self._private, self.modulus).to_bytes(size, "big")
        masked_seed, masked = block[1 : 1 + _SHA1_BYTES], block[1 + _SHA1_BYTES :]
        seed = _xor(masked_seed, _mask(masked, _SHA1_BYTES))
        plain = _xor(masked, _mask(seed, len(masked)))
        head, mark, message = plain[_SHA1_BYTES:].partition(b"\x01")
        return message if plain[:_SHA1_BYTES] == _sha1(b"") and mark and not head.strip(b"\0") else None


def sent_password(key: Key, data: bytes, salt: bytes) -> bytes | None:
    """Return the password that was sent enciphered, None if it cannot be read."""
    plain = key.decipher(data)
    if plain is None:
        return None
    return _xor(plain, salt * (len(plain) // len(salt) + 1)).removesuffix(b"\0")


def _mask(seed: bytes, size: int) -> bytes:
    out = b""
    for count in range(size // _SHA1_BYTES + 1):
        out += _sha1(seed + count.to_bytes(4, "big"))
    return out[:size]


def _prime(seed: Seed) -> int:
    number = int.from_bytes(seed.bytes("prime", _PRIME_BITS // 8), "big") | 3 << (_PRIME_BITS - 2) | 1
    while not _is_prime(number, seed):
        number += 2
    return number


def _is_prime(number: int, seed: Seed) -> bool:
    """Miller and Rabin's test, after small divisors."""
    if any(number % small == 0 for small in _SMALL) or number % _EXPONENT == 1:
        return False
    odd, twos = number - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    return all(_passes(2 + seed.number(f"witness {count}", 1 << 64), number, odd, twos) for count in range(_WITNESSES))


def _passes(witness: int, number: int, odd: int, twos: int) -> bool:
    power = pow(witness, odd, number)
    if power in (1, number - 1):
        return True
    for _ in range(twos - 1):
        power = power * power % number
        if power == number - 1:
            return True
    return False


def _der(tag: int, body: bytes) -> bytes:
    size = len(body)
    length = bytes((size,)) if size < 0x80 else (lambda raw: bytes((0x80 | len(raw),)) + raw)(
        size.to_bytes((size.bit_length() + 7) // 8, "big"))  # fmt: skip
    return bytes((tag,)) + length + body


def _integer(value: int) -> bytes:
    return _der(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))
