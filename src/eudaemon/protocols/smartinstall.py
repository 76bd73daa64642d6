"""Cisco's Smart Install client on TCP 4786: a switch that does what anybody who calls himself its director says.

    from | version | kind | size | data            each of the first four a word of 32 bits, big-endian

Kind 4 asks whether it is there. Kinds 2, 3 and 8 bring an image, a configuration, or commands, as texts that end in
zeros (Talos, "Cisco Smart Install Protocol Misuse", 2017); an overlong kind 7 is CVE-2018-0171. What would be copied
from elsewhere is fetched, what would be copied to elsewhere is stated.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import ClassVar

from eudaemon.events.catalogue import CommandEntered, ExploitRecognised
from eudaemon.protocols._base import (
    Answered,
    Claim,
    Fetch,
    HalfClosed,
    HangUp,
    Keep,
    Occasion,
    Order,
    Received,
    Room,
    Saw,
    Send,
    Visit,
)  # fmt: skip
from eudaemon.wire import ByteReader, PeerError, printable
from eudaemon.world.outside import Download

HEAD = struct.Struct(">IIII")
DATA_BYTES_MAX = 64 * 1024
MESSAGES_MAX = 64
TEXTS_MAX = 16  # of one message
_HELLO, _IMAGE, _CONFIGURATION, _COMMANDS, _INITIALISE = 4, 2, 3, 8, 7
_THERE = HEAD.pack(4, 0, 3, 8) + struct.pack(">II", 1, 0)
_TEXT = re.compile(rb"[\x20-\x7e]{4,1024}(?=\0|$)")
_URL = re.compile(rb"(?:tftp|ftp|https?|scp)://[^\s\0]{4,512}")
_INITIALISE_BYTES = 1024  # a real one has fewer


class SmartInstall(Room):
    """One director's connection."""

    name: ClassVar[str] = "smartinstall"

    __slots__ = ("_messages", "_reader")

    def __init__(self, visit: Visit) -> None:
        super().__init__(visit)
        self._reader = ByteReader(DATA_BYTES_MAX + HEAD.size + 65_536)
        self._messages = 0

    @classmethod
    def claim(cls, first: bytes) -> Claim:
        """From a director, in version 1."""
        whole = struct.pack(">II", 1, 1)
        if not whole.startswith(first[:8]):
            return Claim.NO
        return Claim.YES if len(first) >= 8 else Claim.UNSURE

    def tell(self, occasion: Occasion) -> Iterator[Order]:
        """Take one occasion and yield the orders that follow from it."""
        match occasion:
            case Received(_, data):
                self._reader.feed(data)
                while (message := self._next()) is not None:
                    self._messages += 1
                    if self._messages > MESSAGES_MAX:
                        raise PeerError(f"more than {MESSAGES_MAX} messages in one session")
                    yield from self._message(*message)
            case HalfClosed():
                yield HangUp()
            case Answered():
                return

    def _next(self) -> tuple[int, bytes] | None:
        head = self._reader.peek()[: HEAD.size]
        if len(head) < HEAD.size:
            return None
        _, _, kind, size = HEAD.unpack(head)
        if size > DATA_BYTES_MAX:
            raise PeerError(f"message over {DATA_BYTES_MAX} bytes")
        message = self._reader.take(HEAD.size + size)
        return (kind, message[HEAD.size :]) if message is not None else None

    def _message(self, kind: int, data: bytes) -> Iterator[Order]:
        if kind == _HELLO:
            yield Saw(CommandEntered("smart install: are you there"))
            yield Send(_THERE)
        elif kind == _INITIALISE and len(data) > _INITIALISE_BYTES:
            yield Saw(ExploitRecognised("smart-install-overflow", "CVE-2018-0171", f"{len(data)} bytes"))
            yield Keep(data, "payload")
        elif kind in (_IMAGE, _CONFIGURATION, _COMMANDS):
            texts = [found[0] for found in _TEXT.finditer(data)][:TEXTS_MAX]
            yield Saw(ExploitRecognised("smart-install", "T1601", printable(b"; ".join(texts), 2048)))
            for text in texts:
                yield Saw(CommandEntered(printable(text, 1024)))
                yield from self._copied(text)

    def _copied(self, text: bytes) -> Iterator[Order]:
        """`copy A B`: what is copied from elsewhere is fetched; so is an address that stands by itself."""
        words = text.split()
        source = words[1] if words[:1] == [b"copy"] and len(words) > 2 else text
        if found := _URL.match(source.strip()):
            yield Fetch(Download(found[0].decode("ascii", "replace"), "cisco copy"))
