"""What messages of SMB 2 and 3 are signed with (MS-SMB2 3.1.4.1), and what was said before a login (3.1.4.4).

    2.x     HMAC-SHA-256 under the session's key
    3.x     CMAC with AES-128, under a key that is derived from the session's
    3.1.1   the same, and into that key goes a hash of all that was said before: who changed it cannot sign

Whether what comes is signed rightly matters to nobody here.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from typing import TypeAlias

from eudaemon.wire.aes import KEY_BYTES, Cmac

Signer: TypeAlias = Callable[[bytes], bytes]
SIGNATURE = slice(48, 64)  # of a message, zero while it is signed
SMB_3, SMB_3_1_1 = 0x0300, 0x0311


class Said:
    """A hash of what was said before a login is through. 64 zeros before the first word."""

    __slots__ = ("value",)

    def __init__(self, value: bytes = bytes(64)) -> None:
        self.value = value

    def hear(self, message: bytes) -> None:
        """Add a message, of either side."""
        self.value = hashlib.sha512(self.value + message).digest()


def signer(dialect: int, key: bytes, said: bytes) -> Signer:
    """Return what signs a session's messages; `said` is the hash of what was said before, up to its last request."""
    if dialect < SMB_3:
        return lambda message: hmac.digest(key, message, "sha256")[:16]
    if dialect < SMB_3_1_1:
        return Cmac(derived(key, b"SMB2AESCMAC\0", b"SmbSign\0")).of
    return Cmac(derived(key, b"SMBSigningKey\0", said)).of


def derived(key: bytes, label: bytes, context: bytes) -> bytes:
    """Return the key that follows from another (SP 800-108 in counter mode, with HMAC-SHA-256)."""
    counted = b"\0\0\0\1" + label + b"\0" + context + (8 * KEY_BYTES).to_bytes(4)
    return hmac.digest(key, counted, "sha256")[:KEY_BYTES]
