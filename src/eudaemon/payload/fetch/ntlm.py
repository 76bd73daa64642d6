"""NTLM as a client (MS-NLMP): NTLMv2 with a name and a password, or anonymously.

MD4 is here because OpenSSL has dropped it.
"""

from __future__ import annotations

import hmac
import struct
from collections.abc import Callable

_FLAGS = 0x00088207 | 0x20000000  # Unicode, OEM, target, NTLM, always sign, extended security; 128 bits
_ANONYMOUS = 0x00000800
_SIGNATURE = b"NTLMSSP\0"
_LONG = 0xFFFFFFFF


def negotiate() -> bytes:
    """Return the first message."""
    return _SIGNATURE + struct.pack("<II", 1, _FLAGS) + bytes(16)


def authenticate(challenge: bytes, user: str, password: str, domain: str, nonce: bytes) -> tuple[bytes, bytes]:
    """Return the answer to a challenge, and the session's key (empty if anonymous). Raises `ValueError`.

    `nonce`: eight bytes of ours.
    """
    if not challenge.startswith(_SIGNATURE + b"\2\0\0\0") or len(challenge) < 48:
        raise ValueError("no challenge")
    server = challenge[24:32]
    size, _, at = struct.unpack_from("<HHI", challenge, 40)
    info = challenge[at : at + size]
    key, answer, flags = b"", b"", _FLAGS
    if user:
        owner = _wide(user.upper()) + _wide(domain)
        secret = _hmac(md4(_wide(password)), owner)
        blob = b"\1\1" + bytes(6) + _time_of(info) + nonce + bytes(4) + info + bytes(4)
        proof = _hmac(secret, server + blob)
        key, answer = _hmac(secret, proof), proof + blob
    else:
        flags |= _ANONYMOUS
    parts = (bytes(24) if user else b"\0", answer, _wide(domain), _wide(user), b"", b"")
    head, body, at = b"", b"", 64
    for part in parts:
        head += struct.pack("<HHI", len(part), len(part), at + len(body))
        body += part
    return _SIGNATURE + struct.pack("<I", 3) + head + struct.pack("<I", flags) + body, key


def _time_of(info: bytes) -> bytes:
    """Return the server's time, as it says it among its attributes: so we need no clock of our own."""
    at = 0
    while at + 4 <= len(info):
        kind, size = struct.unpack_from("<HH", info, at)
        if kind == 7 and size == 8:
            return info[at + 4 : at + 12].ljust(8, b"\0")
        if not kind:
            break
        at += 4 + size
    return bytes(8)


def _wide(text: str) -> bytes:
    return text.encode("utf-16-le", "replace")


def _hmac(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "md5")


def md4(data: bytes) -> bytes:
    """Return the hash (RFC 1320)."""
    state = [0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476]
    padded = data + b"\x80" + bytes((55 - len(data)) % 64) + struct.pack("<Q", 8 * len(data))
    for at in range(0, len(padded), 64):
        words = struct.unpack_from("<16I", padded, at)
        a, b, c, d = state
        for order, shifts, constant, mix in _ROUNDS:
            for step, index in enumerate(order):
                total = (a + mix(b, c, d) + words[index] + constant) & _LONG
                shift = shifts[step % 4]
                a, b, c, d = d, (total << shift | total >> (32 - shift)) & _LONG, b, c
        state = [(old + new) & _LONG for old, new in zip(state, (a, b, c, d), strict=True)]
    return struct.pack("<4I", *state)


_Round = tuple[tuple[int, ...], tuple[int, ...], int, Callable[[int, int, int], int]]
_ROUNDS: tuple[_Round, ...] = (
    (tuple(range(16)), (3, 7, 11, 19), 0, lambda b, c, d: (b & c) | (~b & _LONG & d)),
    ((0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), (3, 5, 9, 13), 0x5A827999,
     lambda b, c, d: (b & c) | (b & d) | (c & d)),
    ((0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15), (3, 9, 11, 15), 0x6ED9EBA1, lambda b, c, d: b ^ c ^ d),
)  # fmt: skip
