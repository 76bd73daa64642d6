"""VNC's answer to a challenge: DES under the password, whose bytes have their bits reversed."""

from __future__ import annotations

from eudaemon.wire.des import encrypt


def vnc_key(password: bytes) -> bytes:
    """Return the key that VNC makes of a password: eight bytes, each with its bits in reverse."""
    return bytes(int(f"{byte:08b}"[::-1], 2) for byte in password[:8].ljust(8, b"\0"))


def answer(password: bytes, challenge: bytes) -> bytes:
    """Return the response to a challenge of sixteen bytes."""
    key = vnc_key(password)
    return encrypt(key, challenge[:8]) + encrypt(key, challenge[8:16])
