"""The frames of the debug bridge: a header of 24 bytes, and a payload.

    +---------+------+------+--------+-----------------+----------------------+---------+
    | command | arg0 | arg1 | length | sum of payload  | command ^ 0xffffffff | payload |
    +---------+------+------+--------+-----------------+----------------------+---------+      six u32, little-endian

The sum is not looked at: newer clients leave it out, and bots get it wrong.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from eudaemon.wire import PeerError, Purse

HEADER = struct.Struct("<4sIIIII")
PAYLOAD_BYTES_MAX = 1024 * 1024  # MAX_PAYLOAD, adb.h
_NOT = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Message:
    """One frame."""

    command: bytes
    arg0: int
    arg1: int
    payload: bytes = b""

    def encode(self, *, summed: bool) -> bytes:
        """Return the frame; `summed` is whether the other side wants the sum."""
        check = int.from_bytes(self.command, "little") ^ _NOT
        total = sum(self.payload) & _NOT if summed else 0
        return HEADER.pack(self.command, self.arg0, self.arg1, len(self.payload), total, check) + self.payload


class MessageReader:
    """Takes bytes in any pieces, gives whole frames. What it holds, it takes from the purse."""

    __slots__ = ("_buffer", "_purse")

    def __init__(self, purse: Purse) -> None:
        self._purse = purse
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """Add bytes. Raises `PeerError` if there is no room for them."""
        if not self._purse.take(len(data)):
            raise PeerError("the session holds too many bytes")
        self._buffer += data

    def cut_short(self) -> Message | None:
        """Return what came of a frame that is not whole, None if that is not even its head."""
        if len(self._buffer) < HEADER.size:
            return None
        command, arg0, arg1, *_ = HEADER.unpack_from(self._buffer)
        return Message(command, arg0, arg1, bytes(self._buffer[HEADER.size :]))

    def next(self) -> Message | None:
        """Return the next frame, None while it is not whole. Raises `PeerError` for what is none."""
        if len(self._buffer) < HEADER.size:
            return None
        command, arg0, arg1, length, _, check = HEADER.unpack_from(self._buffer)
        if int.from_bytes(command, "little") ^ _NOT != check:
            raise PeerError("no ADB message")
        if length > PAYLOAD_BYTES_MAX:
            raise PeerError(f"ADB message over {PAYLOAD_BYTES_MAX} bytes")
        whole = HEADER.size + length
        if len(self._buffer) < whole:
            return None
        payload = bytes(self._buffer[HEADER.size : whole])
        del self._buffer[:whole]
        self._purse.give_back(whole)
        return Message(command, arg0, arg1, payload)
