"""A client of hpfeeds, as The Honeynet Project's brokers speak it.

    message = length (4, includes itself and the opcode) + opcode (1) + body; big-endian
    0 error: text     1 info: len8 broker, nonce     2 auth: len8 ident, SHA-1(nonce + secret)
    3 publish: len8 ident, len8 channel, payload

A message has at most a mebibyte: what is larger cannot be published. The broker says nothing to what it takes; to what
it does not take it says an error and hangs up, so after each batch there is a moment to hear it.
"""

from __future__ import annotations

import hashlib
import struct
import time
from collections.abc import Iterator, Sequence

from eudaemon.farm.outputs.batch import Item
from eudaemon.farm.outputs.peers import TIMEOUT_S, LaterError, clipped_answer
from eudaemon.farm.outputs.peers.stream import Stream, trusting
from eudaemon.farm.outputs.settings import Hpfeeds

ERROR, INFO, AUTH, PUBLISH = 0, 1, 2, 3
BODY_BYTES_MAX = 1024 * 1024  # MAXBUF of every implementation
HEARD_S = 0.2
_HEAD = struct.Struct("!iB")


class Broker:
    """A broker."""

    items_max, pause_s = 100, 0.0

    def __init__(self, settings: Hpfeeds) -> None:
        context = trusting(settings.ca_file) if settings.tls else None
        self._stream = Stream(settings.host, settings.port, context)
        self._ident, self._secret = settings.ident.encode(), settings.secret.encode()
        self._received = b""

    def fits(self, item: Item) -> bool:
        """See `Peer`."""
        return len(self._publish(item)) - _HEAD.size <= BODY_BYTES_MAX

    def send(self, items: Sequence[Item]) -> str:
        """See `Peer`."""
        try:
            if self._stream.is_open:
                self._hear(0.0)  # whether it hung up meanwhile
        except LaterError:
            self._received = b""
        if not self._stream.is_open:
            self._log_in()
        for item in items:
            self._stream.send(self._publish(item))
        self._hear(HEARD_S)
        return f"{len(items)} published, no error"

    def close(self) -> None:
        """See `Peer`."""
        self._stream.close()

    def _log_in(self) -> None:
        self._stream.open()
        self._received = b""
        until_s = time.monotonic() + TIMEOUT_S
        for opcode, body in self._messages(until_s):
            if opcode == INFO:
                nonce = body[1 + body[0] :] if body else b""
                # SHA-1 is what the protocol says.
                proof = hashlib.sha1(nonce + self._secret, usedforsecurity=False).digest()
                self._stream.send(_message(AUTH, _text8(self._ident) + proof))
                return
        self._stream.close()
        raise LaterError("the broker does not introduce itself")

    def _hear(self, wait_s: float) -> None:
        """Listen for an error. Raises `LaterError`."""
        for _ in self._messages(time.monotonic() + wait_s):
            pass

    def _messages(self, until_s: float) -> Iterator[tuple[int, bytes]]:
        while True:
            while len(self._received) >= _HEAD.size:
                length, opcode = _HEAD.unpack_from(self._received)
                if not _HEAD.size <= length <= _HEAD.size + BODY_BYTES_MAX:
                    self._stream.close()
                    raise LaterError("what answers there does not speak hpfeeds")
                if len(self._received) < length:
                    break
                body, self._received = self._received[_HEAD.size : length], self._received[length:]
                if opcode == ERROR:
                    self._stream.close()
                    raise LaterError(f"the broker says: {clipped_answer(body.decode('utf-8', 'replace'))}")
                yield opcode, body
            data = self._stream.receive(max(0.0, until_s - time.monotonic()))
            if not data:
                return
            self._received += data

    def _publish(self, item: Item) -> bytes:
        return _message(PUBLISH, _text8(self._ident) + _text8(item.name.encode()) + item.data)


def _message(opcode: int, body: bytes) -> bytes:
    return _HEAD.pack(_HEAD.size + len(body), opcode) + body


def _text8(text: bytes) -> bytes:
    return bytes([len(text)]) + text
