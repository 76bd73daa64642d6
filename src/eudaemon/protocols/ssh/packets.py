"""The binary packet protocol, RFC 4253 section 6: payloads to packets and back, in any pieces."""

from __future__ import annotations

import zlib

from eudaemon.protocols.ssh.primitives import PACKET_BYTES_MAX, Clear, Suite
from eudaemon.wire import PeerError

_PADDING_BYTES_MIN = 4
_SEQUENCES = 2**32
PADDING_BYTES = 32  # how many are drawn for a connection: more than any packet has


class Sealer:
    """What we send. `padding` are drawn bytes; only the peer could see that they repeat."""

    __slots__ = ("_padding", "_suite", "_zlib", "clear_padding", "sequence")

    def __init__(self, padding: bytes, *, clear_padding: bool) -> None:
        self._suite: Suite = Clear()
        self._padding = padding
        self._zlib: zlib._Compress | None = None
        self.clear_padding = clear_padding
        self.sequence = 0

    def seal(self, payload: bytes) -> bytes:
        """Return the packet."""
        suite = self._suite
        if self._zlib is not None:
            payload = self._zlib.compress(payload) + self._zlib.flush(zlib.Z_PARTIAL_FLUSH)
        count = suite.block - (5 - suite.clear_head + len(payload)) % suite.block
        if count < _PADDING_BYTES_MIN:
            count += suite.block
        padding = bytes(count) if self.clear_padding else self._padding[:count]
        packet = (1 + len(payload) + count).to_bytes(4, "big") + bytes((count,)) + payload + padding
        sealed = suite.seal(self.sequence, packet)
        self.sequence = (self.sequence + 1) % _SEQUENCES
        return sealed

    def change(self, suite: Suite, *, anew: bool) -> None:
        """Go on with other keys; with `anew` the sequence numbers begin anew."""
        self._suite = suite
        self.clear_padding = False
        if anew:
            self.sequence = 0

    def compress(self) -> None:
        """Compress from now on."""
        self._zlib = zlib.compressobj(1)


class Opener:
    """What the peer sends."""

    __slots__ = ("_at", "_buffer", "_size", "_suite", "_zlib", "sequence")

    def __init__(self) -> None:
        self._suite: Suite = Clear()
        self._buffer = bytearray()
        self._at = 0
        self._size = 0  # of the next packet, once its head is there
        self._zlib: zlib._Decompress | None = None
        self.sequence = 0

    @property
    def held_bytes(self) -> int:
        """How many bytes wait to become a packet."""
        return len(self._buffer) - self._at

    def feed(self, data: bytes) -> None:
        """Add bytes."""
        del self._buffer[: self._at]
        self._at = 0
        self._buffer += data

    def next(self) -> bytes | None:
        """Return the next payload, None while it is not whole. Raises `PeerError`."""
        suite, at = self._suite, self._at
        if not self._size:
            head = bytes(self._buffer[at : at + suite.head_bytes])
            if len(head) < suite.head_bytes:
                return None
            self._size = suite.size(self.sequence, head)
        if len(self._buffer) - at < self._size:
            return None
        packet = suite.open(self.sequence, bytes(self._buffer[at : at + self._size]))
        self._at += self._size
        self._size = 0
        self.sequence = (self.sequence + 1) % _SEQUENCES
        end = len(packet) - packet[0]
        if packet[0] < _PADDING_BYTES_MIN or end < 2:
            raise PeerError("an SSH packet that is padding alone, or has none")
        return self._inflated(packet[1:end]) if self._zlib is not None else packet[1:end]

    def change(self, suite: Suite, *, anew: bool) -> None:
        """Go on with other keys; with `anew` the sequence numbers begin anew."""
        self._suite = suite
        if anew:
            self.sequence = 0

    def decompress(self) -> None:
        """Decompress from now on."""
        self._zlib = zlib.decompressobj()

    def _inflated(self, payload: bytes) -> bytes:
        if self._zlib is None:
            return payload
        try:
            plain = self._zlib.decompress(payload, PACKET_BYTES_MAX)
        except zlib.error:
            raise PeerError("an SSH packet that cannot be decompressed") from None
        if self._zlib.unconsumed_tail or not plain:
            raise PeerError(f"an SSH packet that grows beyond {PACKET_BYTES_MAX} bytes, or is empty")
        return plain
