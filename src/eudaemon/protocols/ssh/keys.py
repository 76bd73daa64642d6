"""The host's keys, drawn from its seed, and what they sign. RFC 4253 6.6, RFC 5656 3, RFC 8332, RFC 8709.

The same installation always has the same keys, and no two have one in common. An RSA key takes a third of a second, and
is made when the first client wants one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, lru_cache

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, x25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from eudaemon.protocols.ssh.fields import integer, string
from eudaemon.world.host import Host
from eudaemon.world.seed import Seed

RSA_BITS = 2048
_EXPONENT = 65537
_ROUNDS = 5  # of Miller and Rabin's test: enough for numbers of this size that nobody has chosen (FIPS 186-4, C.3)
_SIEVED = 8192  # numbers that are looked through at once
# The curves of RFC 5656, and the hash that each is signed with.
_CURVES: dict[str, tuple[type[ec.EllipticCurve], type[hashes.HashAlgorithm]]] = {
    "nistp256": (ec.SECP256R1, hashes.SHA256),
    "nistp384": (ec.SECP384R1, hashes.SHA384),
    "nistp521": (ec.SECP521R1, hashes.SHA512),
}
_RSA_HASHES: dict[str, Callable[[], hashes.HashAlgorithm]] = {
    "ssh-rsa": hashes.SHA1, "rsa-sha2-256": hashes.SHA256, "rsa-sha2-512": hashes.SHA512,
}  # fmt: skip


class HostKeys:
    """All keys of one host. `algorithm` is a name as in the list of host key algorithms."""

    def __init__(self, seed: Seed) -> None:
        self._seed = seed
        self._ecdsa: dict[str, ec.EllipticCurvePrivateKey] = {}

    def public(self, algorithm: str) -> bytes:
        """Return the public key, as SSH writes it."""
        if algorithm in _RSA_HASHES:
            numbers = self._rsa.public_key().public_numbers()
            return string(b"ssh-rsa") + integer(numbers.e) + integer(numbers.n)
        if algorithm == "ssh-ed25519":
            return string(b"ssh-ed25519") + string(raw_public(self._ed25519))
        curve = algorithm.rpartition("-")[2]
        point = self._curve_key(curve).public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return string(algorithm.encode()) + string(curve.encode()) + string(point)

    def sign(self, algorithm: str, data: bytes) -> bytes:
        """Return the signature, as SSH writes it. The same data gets the same, where the library can."""
        if algorithm in _RSA_HASHES:
            blob = self._rsa.sign(data, padding.PKCS1v15(), _RSA_HASHES[algorithm]())
        elif algorithm == "ssh-ed25519":
            blob = self._ed25519.sign(data)
        else:
            curve = algorithm.rpartition("-")[2]
            r, s = decode_dss_signature(self._curve_key(curve).sign(data, _ecdsa(_CURVES[curve][1]())))
            blob = integer(r) + integer(s)
        return string(algorithm.encode()) + string(blob)

    @cached_property
    def _ed25519(self) -> ed25519.Ed25519PrivateKey:
        return ed25519.Ed25519PrivateKey.from_private_bytes(self._seed.bytes("ed25519", 32))

    def _curve_key(self, curve: str) -> ec.EllipticCurvePrivateKey:
        if curve not in self._ecdsa:
            self._ecdsa[curve] = curve_key(curve, self._seed.bytes(curve, 80))
        return self._ecdsa[curve]

    @cached_property
    def _rsa(self) -> rsa.RSAPrivateKey:
        p, q = (_prime(self._seed.child(f"rsa {name}"), RSA_BITS // 2) for name in "pq")
        d = pow(_EXPONENT, -1, (p - 1) * (q - 1))
        numbers = rsa.RSAPrivateNumbers(
            p, q, d, d % (p - 1), d % (q - 1), rsa.rsa_crt_iqmp(p, q), rsa.RSAPublicNumbers(_EXPONENT, p * q)
        )
        return numbers.private_key()


def raw_public(key: ed25519.Ed25519PrivateKey | x25519.X25519PrivateKey) -> bytes:
    """Return the 32 bytes of a public key."""
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def _ecdsa(algorithm: hashes.HashAlgorithm) -> ec.ECDSA:
    """Return how to sign: with RFC 6979's nonce, where the library is new enough for it."""
    try:
        return ec.ECDSA(algorithm, deterministic_signing=True)
    except (TypeError, UnsupportedAlgorithm):
        return ec.ECDSA(algorithm)


@lru_cache(maxsize=8)
def host_keys(host: Host) -> HostKeys:
    """Return the keys of this host."""
    return HostKeys(host.seed.child("ssh host keys"))


def curve_key(curve: str, drawn: bytes) -> ec.EllipticCurvePrivateKey:
    """Return the private key that is drawn by these bytes; a quarter of a curve's keys can be drawn."""
    kind = curve_of(curve)
    return ec.derive_private_key(1 + int.from_bytes(drawn, "big") % 2 ** (kind.key_size - 2), kind)


def curve_of(curve: str) -> ec.EllipticCurve:
    """Return the curve of that name: `nistp256`."""
    return _CURVES[curve][0]()


def _prime(seed: Seed, bits: int) -> int:
    """Return the first prime from a drawn number on; its two highest bits are set, and 65537 does not divide p - 1."""
    start = int.from_bytes(seed.bytes("start", bits // 8), "big") | 3 << (bits - 2)
    while True:
        sieve = bytearray(b"\1") * _SIEVED
        for small in _small_primes(_SIEVED):
            first = -start % small
            sieve[first::small] = bytes(len(range(first, _SIEVED, small)))
        for step in range(_SIEVED):
            if sieve[step] and (start + step - 1) % _EXPONENT and _is_prime(start + step, seed):
                return start + step
        start += _SIEVED


def _small_primes(below: int) -> list[int]:
    sieve = bytearray(b"\1") * below
    for number in range(2, int(below**0.5) + 1):
        if sieve[number]:
            sieve[number * number :: number] = bytes(len(range(number * number, below, number)))
    return [number for number in range(2, below) if sieve[number]]


def _is_prime(candidate: int, seed: Seed) -> bool:
    """Miller and Rabin's test, with drawn bases."""
    odd, twos = candidate - 1, 0
    while odd % 2 == 0:
        odd //= 2
        twos += 1
    bases = (2 + seed.number(f"base {number}", candidate - 3) for number in range(_ROUNDS))
    for base in bases:
        value = pow(base, odd, candidate)
        if value in (1, candidate - 1):
            continue
        for _ in range(twos - 1):
            value = value * value % candidate
            if value == candidate - 1:
                break
        else:
            return False
    return True
