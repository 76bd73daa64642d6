"""The Tabular Data Stream (MS-TDS): packets that make messages, PRELOGIN.

    type (1)  status (1)  length (2, with these eight)  SPID (2)  number (1)  window (1)        big-endian

PRELOGIN (2.2.6.5) says what is enciphered: the login, as by default, or everything. TLS's handshake stands in packets
of PRELOGIN's type; afterwards packets stand in TLS, or bare again behind the login.
"""

from __future__ import annotations

import codecs
import struct

from eudaemon.wire import PeerError, Purse

BATCH, OLD_LOGIN, RPC, ATTENTION, LOGIN7, SSPI, PRELOGIN = 1, 2, 3, 6, 0x10, 0x11, 0x12
ANSWER = 4
MESSAGE_BYTES_MAX = 22 * 1024 * 1024  # that are held: a binary of 10 MB in hexadecimal, and a little
PACKET_BYTES = 4096
TDS_72 = 0x72090002
_HEAD = struct.Struct(">BBHHBB")
OFF, ON, NOT_SUPPORTED, REQUIRED = 0, 1, 2, 3  # of encryption: OFF enciphers the login alone
_VERSION, _ENCRYPTION, _INSTANCE, _THREAD, _MARS, _END = 0, 1, 2, 3, 4, 0xFF


class MessageReader:
    """Takes bytes in any pieces, gives messages as type and body. What it holds, it takes from the purse.

    The text of a batch is held as UTF-8, which is half of what comes. `has_headers` is whether a batch begins with
    ALL_HEADERS, as from TDS 7.2 on.
    """

    __slots__ = ("_body", "_decoder", "_head", "_kind", "_last", "_left", "_purse", "_skip", "has_headers")

    def __init__(self, purse: Purse) -> None:
        self._purse = purse
        self.has_headers = True
        self._head = b""
        self._left = 0
        self._last = False
        self._begin()

    def _begin(self) -> None:
        self._body = bytearray()
        self._kind = -1
        self._decoder: codecs.IncrementalDecoder | None = None
        self._skip = -1  # bytes of ALL_HEADERS that are passed over; -1 while their length is not known

    @property
    def held(self) -> bytearray:
        """What came of a message that is not whole."""
        return self._body

    def feed(self, data: bytes) -> tuple[tuple[int, bytes], bytes] | None:
        """Add bytes; return type and body, and what is left of the bytes, or None while no message is whole."""
        while data:
            if not self._left:
                part = data[: _HEAD.size - len(self._head)]
                self._head += part
                data = data[len(part) :]
                if len(self._head) < _HEAD.size:
                    return None
                kind, status, length, _, _, _ = _HEAD.unpack(self._head)
                if length < _HEAD.size or (self._kind >= 0 and kind != self._kind):
                    raise PeerError("a packet that is none")
                self._kind, self._last, self._left = kind, bool(status & 1), length - _HEAD.size
                self._head = b""
            part = data[: self._left]
            data = data[len(part) :]
            self._left -= len(part)
            self._add(part)
            if not self._left and self._last:
                kind, body = self._kind, bytes(self._body)
                self._purse.give_back(len(body))
                self._begin()
                return (kind, body), data
        return None

    def _add(self, part: bytes) -> None:
        if self._kind == BATCH:
            part = self._text(part)
        if len(self._body) + len(part) > MESSAGE_BYTES_MAX:
            raise PeerError(f"message over {MESSAGE_BYTES_MAX} bytes")
        if not self._purse.take(len(part)):
            raise PeerError("the session holds too many bytes")
        self._body += part

    def _text(self, part: bytes) -> bytes:
        """Return what a part of a batch is as UTF-8, without the headers before it."""
        if self._skip < 0:
            if not self.has_headers:
                self._skip = 0
            else:
                known = bytes(self._body) + part
                if len(known) < 4:
                    return part
                self._purse.give_back(len(self._body))
                self._body = bytearray()
                self._skip = int.from_bytes(known[:4], "little")
                part = known
        passed = min(self._skip, len(part))
        self._skip -= passed
        if self._decoder is None:
            self._decoder = codecs.getincrementaldecoder("utf-16-le")("replace")
        text: str = self._decoder.decode(part[passed:])
        return text.encode("utf-8", "replace")


def packets(body: bytes, spid: int, kind: int = ANSWER) -> bytes:
    """Return a message of the server's as packets."""
    out = bytearray()
    room = PACKET_BYTES - _HEAD.size
    for number, at in enumerate(range(0, max(1, len(body)), room), 1):
        part = body[at : at + room]
        last = at + room >= len(body)
        out += _HEAD.pack(kind, int(last), _HEAD.size + len(part), spid & 0xFFFF, number & 0xFF, 0) + part
    return bytes(out)


class Handshake:
    """The `Envelope` of TLS's handshake: packets of PRELOGIN's type."""

    __slots__ = ("_head", "_left")

    def __init__(self) -> None:
        self._head = b""
        self._left = 0

    def opened(self, data: bytes) -> tuple[bytes, bytes]:
        """See `Envelope`."""
        if not self._left:
            part = data[: _HEAD.size - len(self._head)]
            self._head, data = self._head + part, data[len(part) :]
            if len(self._head) < _HEAD.size:
                return b"", b""
            kind, _, length, _, _, _ = _HEAD.unpack(self._head)
            if kind != PRELOGIN or length < _HEAD.size:
                raise PeerError(f"a packet of type {kind} where TLS was agreed on")
            self._head, self._left = b"", length - _HEAD.size
        inside = data[: self._left]
        self._left -= len(inside)
        return inside, data[len(inside) :]

    def sealed(self, data: bytes) -> bytes:
        """See `Envelope`."""
        return packets(data, 0, PRELOGIN)


def agreed(asked: bytes, *, can: bool, forces: bool) -> tuple[int, bool]:
    """Return what is answered to a client's wish for encryption, and whether TLS begins behind it (2.2.6.5).

    `forces` is the server's setting.
    """
    wish = (_options(asked).get(_ENCRYPTION) or b"\2")[0]
    if not can:
        return NOT_SUPPORTED, False
    if wish == NOT_SUPPORTED:
        return REQUIRED if forces else NOT_SUPPORTED, False
    return ON if wish in (ON, REQUIRED) else REQUIRED if forces else OFF, True


def prelogin(asked: bytes, version: tuple[int, int, int], encryption: int) -> bytes:
    """Return the answer to a PRELOGIN: our version, what is enciphered; MARS off for those that ask for it."""
    major, minor, build = version
    options = [(_VERSION, struct.pack(">BBHH", major, minor, build, 0)), (_ENCRYPTION, bytes((encryption,))),
               (_INSTANCE, b"\0"), (_THREAD, b"")]  # fmt: skip
    if _MARS in _options(asked):
        options.append((_MARS, b"\0"))
    at = 5 * len(options) + 1
    head, data = b"", b""
    for option, value in options:
        head += struct.pack(">BHH", option, at + len(data), len(value))
        data += value
    return head + bytes((_END,)) + data


def _options(asked: bytes) -> dict[int, bytes]:
    found = {}
    for at in range(0, len(asked) - 4, 5):
        if asked[at] == _END:
            break
        offset, length = struct.unpack_from(">HH", asked, at + 1)
        found[asked[at]] = asked[offset : offset + length]
    return found
