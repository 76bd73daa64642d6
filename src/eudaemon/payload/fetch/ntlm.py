"""NTLM as a client (MS-NLMP): NTLMv2 with a name and a password, or anonymously."""

from __future__ import annotations

import hmac
import struct

from eudaemon.wire.md4 import md4

_FLAGS = 0x00088207 | 0x20000000  # Unicode, OEM, target, NTLM, always sign, extended security; 128 bits
_ANONYMOUS = 0x00000800
_SIGNATURE = b"NTLMSSP\0"


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
