"""WebSocket, a server's side of it: the handshake's answer, and messages out of frames and into them. RFC 6455."""

from __future__ import annotations

import base64
import hashlib

from eudaemon.wire import PeerError, Purse

MESSAGE_BYTES_MAX = 256 * 1024  # one frame, and one message of several
_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # section 1.3
_CONTINUED, TEXT, BINARY, CLOSE, PING, _PONG = 0, 1, 2, 8, 9, 10


def accepted(key: bytes) -> bytes:
    """Return the value of Sec-WebSocket-Accept for a client's key."""
    return base64.b64encode(hashlib.sha1(key.strip() + _MAGIC, usedforsecurity=False).digest())


def encode(data: bytes, kind: int = BINARY) -> bytes:
    """Return a message in one frame."""
    head = bytes((0x80 | kind,))
    if len(data) < 126:
        return head + bytes((len(data),)) + data
    if len(data) < 1 << 16:
        return head + b"\x7e" + len(data).to_bytes(2, "big") + data
    return head + b"\x7f" + len(data).to_bytes(8, "big") + data


class MessageReader:
    """Takes bytes in any pieces, gives whole messages as kind and data. Pongs are passed over.

    What it holds, it takes from the purse.
    """

    __slots__ = ("_buffer", "_held", "_kind", "_parts", "_purse")

    def __init__(self, purse: Purse) -> None:
        self._purse = purse
        self._buffer = bytearray()
        self._parts = bytearray()
        self._kind = 0
        self._held = 0

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Return the messages that are now whole. Raises `PeerError` for what is no frame or too long."""
        self._buffer += data
        found: list[tuple[int, bytes]] = []
        while (frame := self._frame()) is not None:
            final, kind, payload = frame
            if kind >= CLOSE:
                if kind != _PONG:
                    found.append((kind, payload))
                continue
            self._kind = kind or self._kind
            self._parts += payload
            if len(self._parts) > MESSAGE_BYTES_MAX:
                raise PeerError(f"WebSocket message over {MESSAGE_BYTES_MAX} bytes")
            if final:
                found.append((self._kind, bytes(self._parts)))
                self._parts.clear()
        self._account()
        return found

    def cut_short(self) -> bytes:
        """Return what came of a message that is not whole."""
        buffer = self._buffer
        at = {126: 4, 127: 10}.get(buffer[1] & 0x7F, 2) if len(buffer) > 1 else 0
        mask, masked = buffer[at : at + 4], buffer[at + 4 :]
        return bytes(self._parts) + bytes(byte ^ mask[at % 4] for at, byte in enumerate(masked))

    def _frame(self) -> tuple[bool, int, bytes] | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        first, second = buffer[0], buffer[1]
        if not second & 0x80 or first & 0x70:  # section 5.1: a client's frames are masked
            raise PeerError("no WebSocket frame of a client")
        length, at = second & 0x7F, 2
        if length >= 126:
            at += 2 if length == 126 else 8
            length = int.from_bytes(buffer[2:at], "big")
        if len(buffer) < at:
            return None
        if length > MESSAGE_BYTES_MAX:
            raise PeerError(f"WebSocket frame over {MESSAGE_BYTES_MAX} bytes")
        if len(buffer) < at + 4 + length:
            return None
        mask = bytes(buffer[at : at + 4]) * (length // 4 + 1)
        masked = bytes(buffer[at + 4 : at + 4 + length])
        del buffer[: at + 4 + length]
        data = (int.from_bytes(masked, "big") ^ int.from_bytes(mask[:length], "big")).to_bytes(length, "big")
        return bool(first & 0x80), first & 0x0F, data

    def _account(self) -> None:
        holds = len(self._buffer) + len(self._parts)
        if holds > self._held and not self._purse.take(holds - self._held):
            raise PeerError("the session holds too many bytes")
        if holds < self._held:
            self._purse.give_back(self._held - holds)
        self._held = holds
