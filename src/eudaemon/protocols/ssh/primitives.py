"""How a packet is enciphered and authenticated, by the library `cryptography`. Import it where SSH is spoken.

A suite is one direction's: cipher and MAC, or both in one. It knows how many bytes tell a packet's length, seals and
opens. RFC 4253 section 6, RFC 4344 (CTR), RFC 5647 (GCM), OpenSSH's PROTOCOL (encrypt-then-MAC) and
PROTOCOL.chacha20poly1305.

    +--------+---------+---------+---------+-----+
    | length | padding | payload | padding | MAC |
    | u32    | u8      |         |         |     |
    +--------+---------+---------+---------+-----+
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.poly1305 import Poly1305

from eudaemon.protocols.ssh.umac import Umac
from eudaemon.wire import PeerError

PACKET_BYTES_MAX = 35_000  # RFC 4253, 6.1: what all must take, and what Dropbear takes

Derive = Callable[[bytes, int], bytes]  # letter and count to key material, RFC 4253, 7.2
Tag = Callable[[int, bytes], bytes]  # sequence number and data to the tag


class Suite(Protocol):
    """One direction's cipher and MAC. `clear_head` bytes of a packet are not counted when it is padded to `block`."""

    block: int
    clear_head: int
    head_bytes: int

    def seal(self, sequence: int, packet: bytes) -> bytes:
        """Return what is sent for a whole padded packet."""

    def size(self, sequence: int, head: bytes) -> int:
        """Return how many bytes the packet is on the wire; told once a packet. Raises `PeerError`."""

    def open(self, sequence: int, sealed: bytes) -> bytes:
        """Return a packet without its length. Raises `PeerError`."""


def checked(length: int) -> int:
    """Return a packet's length as its sender says it. Raises `PeerError`."""
    if not 5 <= length <= PACKET_BYTES_MAX:
        raise PeerError(f"an SSH packet with a length that is not between 5 and {PACKET_BYTES_MAX}")
    return length


def _forged() -> PeerError:
    return PeerError("an SSH packet that was changed on its way")


class Clear:
    """Before there are keys."""

    block, clear_head, head_bytes = 8, 0, 4

    def seal(self, sequence: int, packet: bytes) -> bytes:  # noqa: ARG002
        """See `Suite`."""
        return packet

    def size(self, sequence: int, head: bytes) -> int:  # noqa: ARG002
        """See `Suite`."""
        return 4 + checked(int.from_bytes(head, "big"))

    def open(self, sequence: int, sealed: bytes) -> bytes:  # noqa: ARG002
        """See `Suite`."""
        return sealed[4:]


class _MacOfClear:
    """A MAC of the packet as it is before it is enciphered."""

    __slots__ = ("_head", "_tag", "_tag_bytes", "_update", "block", "head_bytes")

    clear_head = 0

    def __init__(self, update: Callable[[bytes], bytes], block: int, tag: Tag, tag_bytes: int) -> None:
        self._update = update
        self.block = self.head_bytes = block
        self._tag = tag
        self._tag_bytes = tag_bytes
        self._head = b""

    def seal(self, sequence: int, packet: bytes) -> bytes:
        return self._update(packet) + self._tag(sequence, packet)

    def size(self, sequence: int, head: bytes) -> int:  # noqa: ARG002
        self._head = self._update(head)
        length = checked(int.from_bytes(self._head[:4], "big"))
        if (4 + length) % self.block:
            raise PeerError("an SSH packet that is not padded to its cipher's blocks")
        return 4 + length + self._tag_bytes

    def open(self, sequence: int, sealed: bytes) -> bytes:
        end = len(sealed) - self._tag_bytes
        packet = self._head + self._update(sealed[self.block : end])
        if self._tag(sequence, packet) != sealed[end:]:
            raise _forged()
        return packet[4:]


class _MacOfSealed:
    """OpenSSH's encrypt-then-MAC: the length stays clear, and the MAC is of what is sent."""

    __slots__ = ("_tag", "_tag_bytes", "_update", "block")

    clear_head = head_bytes = 4

    def __init__(self, update: Callable[[bytes], bytes], block: int, tag: Tag, tag_bytes: int) -> None:
        self._update = update
        self.block = block
        self._tag = tag
        self._tag_bytes = tag_bytes

    def seal(self, sequence: int, packet: bytes) -> bytes:
        sealed = packet[:4] + self._update(packet[4:])
        return sealed + self._tag(sequence, sealed)

    def size(self, sequence: int, head: bytes) -> int:  # noqa: ARG002
        length = checked(int.from_bytes(head, "big"))
        if length % self.block:
            raise PeerError("an SSH packet that is not padded to its cipher's blocks")
        return 4 + length + self._tag_bytes

    def open(self, sequence: int, sealed: bytes) -> bytes:
        end = len(sealed) - self._tag_bytes
        if self._tag(sequence, sealed[:end]) != sealed[end:]:
            raise _forged()
        return self._update(sealed[4:end])


class _Gcm:
    """AES-GCM: the length is authenticated and clear; the invocation counter is the IV's last eight bytes."""

    __slots__ = ("_counter", "_fixed", "_gcm")

    block, clear_head, head_bytes = 16, 4, 4

    def __init__(self, key: bytes, iv: bytes) -> None:
        self._gcm = AESGCM(key)
        self._fixed = iv[:4]
        self._counter = int.from_bytes(iv[4:], "big")

    def _nonce(self) -> bytes:
        nonce = self._fixed + self._counter.to_bytes(8, "big")
        self._counter = (self._counter + 1) % 2**64
        return nonce

    def seal(self, sequence: int, packet: bytes) -> bytes:  # noqa: ARG002
        return packet[:4] + self._gcm.encrypt(self._nonce(), packet[4:], packet[:4])

    def size(self, sequence: int, head: bytes) -> int:  # noqa: ARG002
        length = checked(int.from_bytes(head, "big"))
        if length % self.block:
            raise PeerError("an SSH packet that is not padded to its cipher's blocks")
        return 4 + length + 16

    def open(self, sequence: int, sealed: bytes) -> bytes:  # noqa: ARG002
        try:
            return self._gcm.decrypt(self._nonce(), sealed[4:], sealed[:4])
        except InvalidTag:
            raise _forged() from None


class _ChaChaPoly:
    """chacha20-poly1305@openssh.com: the length has a key of its own, the sequence number is the nonce."""

    __slots__ = ("_head", "_main")

    block, clear_head, head_bytes = 8, 4, 4

    def __init__(self, key: bytes) -> None:
        self._main, self._head = key[:32], key[32:]

    @staticmethod
    def _stream(key: bytes, sequence: int, data: bytes, block: int = 0) -> bytes:
        nonce = block.to_bytes(8, "little") + sequence.to_bytes(8, "big")
        return Cipher(algorithms.ChaCha20(key, nonce), None).encryptor().update(data)

    def _tag(self, sequence: int, sealed: bytes) -> bytes:
        return Poly1305.generate_tag(self._stream(self._main, sequence, bytes(32)), sealed)

    def seal(self, sequence: int, packet: bytes) -> bytes:
        sealed = self._stream(self._head, sequence, packet[:4]) + self._stream(self._main, sequence, packet[4:], 1)
        return sealed + self._tag(sequence, sealed)

    def size(self, sequence: int, head: bytes) -> int:
        length = checked(int.from_bytes(self._stream(self._head, sequence, head), "big"))
        if length % self.block:
            raise PeerError("an SSH packet that is not padded to its cipher's blocks")
        return 4 + length + 16

    def open(self, sequence: int, sealed: bytes) -> bytes:
        end = len(sealed) - 16
        if self._tag(sequence, sealed[:end]) != sealed[end:]:
            raise _forged()
        return self._stream(self._main, sequence, sealed[4:end], 1)


# --- by name ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _CipherRow:
    key_bytes: int
    block: int
    make: Callable[[bytes, bytes], Cipher[modes.CTR] | Cipher[modes.CBC]]


def _ctr(key_bytes: int) -> _CipherRow:
    return _CipherRow(key_bytes, 16, lambda key, iv: Cipher(algorithms.AES(key), modes.CTR(iv)))


def _cbc(key_bytes: int) -> _CipherRow:
    return _CipherRow(key_bytes, 16, lambda key, iv: Cipher(algorithms.AES(key), modes.CBC(iv)))


def _triple_des(key: bytes, iv: bytes) -> Cipher[modes.CBC]:
    with warnings.catch_warnings():  # old, and therefore spoken
        warnings.simplefilter("ignore")
        try:
            from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
        except ImportError:  # a library from before it was old
            from cryptography.hazmat.primitives.ciphers.algorithms import TripleDES

        return Cipher(TripleDES(key), modes.CBC(iv))


_CIPHERS = {
    "aes128-ctr": _ctr(16), "aes192-ctr": _ctr(24), "aes256-ctr": _ctr(32),
    "aes128-cbc": _cbc(16), "aes256-cbc": _cbc(32), "3des-cbc": _CipherRow(24, 8, _triple_des),
}  # fmt: skip
_GCM_KEY_BYTES = {"aes128-gcm@openssh.com": 16, "aes256-gcm@openssh.com": 32}
_CHACHA = "chacha20-poly1305@openssh.com"
ALONE = frozenset((_CHACHA, *_GCM_KEY_BYTES))  # ciphers that need no MAC


def _hmac(make: Callable[[bytes], hashlib._Hash], tag_bytes: int) -> Callable[[bytes], Tag]:
    """RFC 2104, with what the key alone makes done once. The library's own takes more memory, for each session held."""

    def keyed(key: bytes) -> Tag:
        padded = key.ljust(make(b"").block_size, b"\0")
        inner, outer = make(padded.translate(_INNER)), make(padded.translate(_OUTER))

        def tag(sequence: int, data: bytes) -> bytes:
            first, second = inner.copy(), outer.copy()
            first.update(sequence.to_bytes(4, "big") + data)
            second.update(first.digest())
            return second.digest()[:tag_bytes]

        return tag

    return keyed


_INNER, _OUTER = (bytes(byte ^ mask for byte in range(256)) for mask in (0x36, 0x5C))
# Name: how a key makes a tag, bytes of the key, bytes of the tag. Each is also there as `…-etm@openssh.com`.
_MACS: dict[str, tuple[Callable[[bytes], Tag], int, int]] = {
    "hmac-md5": (_hmac(hashlib.md5, 16), 16, 16),
    "hmac-sha1": (_hmac(hashlib.sha1, 20), 20, 20),
    "hmac-sha1-96": (_hmac(hashlib.sha1, 12), 20, 12),
    "hmac-sha2-256": (_hmac(hashlib.sha256, 32), 32, 32),
    "hmac-sha2-512": (_hmac(hashlib.sha512, 64), 64, 64),
    "umac-64": (lambda key: Umac(key, 8).tag, 16, 8),
    "umac-128": (lambda key: Umac(key, 16).tag, 16, 16),
}
_ETM = "-etm@openssh.com"


def make_suite(cipher: str, mac: str, derive: Derive, letters: bytes, *, sending: bool) -> Suite:
    """Return the suite of these names. `letters` are those of IV, key and MAC key (RFC 4253, 7.2).

    Raises `PeerError` for a cipher that the product has and the library has not: Twofish, and 3DES in CTR.
    """
    iv, key, mac_key = letters[:1], letters[1:2], letters[2:]
    if cipher == _CHACHA:
        return _ChaChaPoly(derive(key, 64))
    if cipher in _GCM_KEY_BYTES:
        return _Gcm(derive(key, _GCM_KEY_BYTES[cipher]), derive(iv, 12))
    row = _CIPHERS.get(cipher)
    if row is None:
        raise PeerError(f"wants the cipher {cipher}, which is not carried out")
    made = row.make(derive(key, row.key_bytes), derive(iv, row.block))
    keyed, key_bytes, tag_bytes = _MACS[mac.removesuffix(_ETM).removesuffix("@openssh.com")]
    kind = _MacOfSealed if mac.endswith(_ETM) else _MacOfClear
    update = made.encryptor().update if sending else made.decryptor().update
    return kind(update, row.block, keyed(derive(mac_key, key_bytes)), tag_bytes)
