"""The methods of key exchange, the server's side: the client's public value in, ours and the shared secret out.

RFC 8731 (Curve25519), RFC 5656 (the NIST curves), RFC 4253 8 and RFC 8268 (fixed groups), RFC 4419 (group exchange).
What is secret is drawn from the session's seed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from eudaemon.protocols.ssh.fields import integer, string
from eudaemon.protocols.ssh.keys import curve_key, curve_of, raw_public
from eudaemon.wire import PeerError
from eudaemon.world.seed import Seed

_EXPONENT_BYTES = 16  # of a finite group's secret: the work grows with it, and there is nothing to keep secret


@dataclass(frozen=True, slots=True)
class Agreed:
    """What a method has come to. `ours` and `theirs` are encoded as the exchange hash has them."""

    theirs: bytes
    ours: bytes
    secret: bytes  # an mpint


Agree = Callable[[bytes, Seed], Agreed]


@dataclass(frozen=True, slots=True)
class Method:
    """One method: its hash, and how a client's public value (a string's content) is answered; None: group exchange."""

    hash: Callable[[bytes], hashlib._Hash]
    agree: Agree | None


def _curve25519(theirs: bytes, seed: Seed) -> Agreed:
    own = x25519.X25519PrivateKey.from_private_bytes(seed.bytes("x25519", 32))
    try:
        secret = own.exchange(x25519.X25519PublicKey.from_public_bytes(theirs))
    except ValueError:
        raise PeerError("a public value that is none on Curve25519") from None
    ours = raw_public(own)
    return Agreed(string(theirs), string(ours), integer(int.from_bytes(secret, "big")))


def _nist(curve: str) -> Agree:
    def agree(theirs: bytes, seed: Seed) -> Agreed:
        own = curve_key(curve, seed.bytes(curve, 80))
        try:
            point = ec.EllipticCurvePublicKey.from_encoded_point(curve_of(curve), theirs)
            secret = own.exchange(ec.ECDH(), point)
        except ValueError:
            raise PeerError(f"a public value that is none on {curve}") from None
        ours = own.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return Agreed(string(theirs), string(ours), integer(int.from_bytes(secret, "big")))

    return agree


def in_group(theirs: bytes, prime: int, seed: Seed) -> Agreed:
    """Agree in the group of the quadratic residues of a safe prime, whose generator is 2."""
    value = int.from_bytes(theirs, "big", signed=True)
    if not 1 < value < prime - 1:
        raise PeerError("a public value that is outside of its group")
    own = int.from_bytes(seed.bytes("exponent", _EXPONENT_BYTES), "big") | 1 << (8 * _EXPONENT_BYTES - 1)
    return Agreed(string(theirs), integer(pow(2, own, prime)), integer(pow(value, own, prime)))


def _oakley(bits: int, addend: int) -> int:
    """Return the prime of RFC 2409 and RFC 3526 of that size: 2^n - 2^(n-64) - 1 + 2^64 * ([2^(n-130) pi] + addend)."""
    return (1 << bits) - (1 << (bits - 64)) - 1 + (_pi_times(bits - 130) + addend << 64)


def _pi_times(bits: int) -> int:
    """Return the integer part of pi times 2 to the power of `bits`, by Machin's formula."""
    unit = 1 << (bits + 64)

    def arctangent(inverse: int) -> int:
        power = total = unit // inverse
        square, at, sign = inverse * inverse, 3, -1
        while power:
            power //= square
            total += sign * (power // at)
            at, sign = at + 2, -sign
        return total

    return 4 * (4 * arctangent(5) - arctangent(239)) >> 64


# Bits of a group to its addend. RFC 2409, 6.2; RFC 3526, 3 to 7.
_ADDENDS = {1024: 129_093, 2048: 124_476, 4096: 240_904, 8192: 4_743_158}
_GROUPS: dict[int, int] = {}


def group(bits: int) -> int:
    """Return the prime of 1024, 2048, 4096 or 8192 bits, made when it is first asked for."""
    if bits not in _GROUPS:
        _GROUPS[bits] = _oakley(bits, _ADDENDS[bits])
    return _GROUPS[bits]


def group_for(least: int, wanted: int, most: int) -> int:
    """Return the prime for a group exchange, as OpenSSH chooses where it has no file of them. Raises `PeerError`."""
    if not least <= wanted <= most or most < 2048:
        raise PeerError("wants a group of a size that is none")
    for bits in (2048, 4096, 8192):
        if wanted <= bits <= most:
            return group(bits)
    return group(2048 if most < 4096 else 4096 if most < 8192 else 8192)


def _fixed(bits: int) -> Agree:
    return lambda theirs, seed: in_group(theirs, group(bits), seed)


METHODS = {
    "curve25519-sha256": Method(hashlib.sha256, _curve25519),
    "curve25519-sha256@libssh.org": Method(hashlib.sha256, _curve25519),
    "ecdh-sha2-nistp256": Method(hashlib.sha256, _nist("nistp256")),
    "ecdh-sha2-nistp384": Method(hashlib.sha384, _nist("nistp384")),
    "ecdh-sha2-nistp521": Method(hashlib.sha512, _nist("nistp521")),
    "diffie-hellman-group1-sha1": Method(hashlib.sha1, _fixed(1024)),
    "diffie-hellman-group14-sha1": Method(hashlib.sha1, _fixed(2048)),
    "diffie-hellman-group14-sha256": Method(hashlib.sha256, _fixed(2048)),
    "diffie-hellman-group16-sha512": Method(hashlib.sha512, _fixed(4096)),
    "diffie-hellman-group18-sha512": Method(hashlib.sha512, _fixed(8192)),
    "diffie-hellman-group-exchange-sha256": Method(hashlib.sha256, None),
}
