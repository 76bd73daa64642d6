"""Keys as clients of Remote Desktop send them, in fast-path PDUs (MS-RDPBCGR 2.2.8.1.2) or slow ones (2.2.8.1.1.3).

They are scan codes of the PC's first set, read as on an American keyboard, or characters; they become X11's keysyms.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import TypeAlias

Press: TypeAlias = tuple[int, bool]  # keysym, and whether it went down
_PLAIN = {
    **{0x02 + at: ord(c) for at, c in enumerate("1234567890-=")},
    **{0x10 + at: ord(c) for at, c in enumerate("qwertyuiop[]")},
    **{0x1E + at: ord(c) for at, c in enumerate("asdfghjkl;'`")},
    **{0x2B + at: ord(c) for at, c in enumerate("\\zxcvbnm,./")},
    **{0x3B + at: 0xFFBE + at for at in range(10)},  # F1 to F10
    0x01: 0xFF1B, 0x0E: 0xFF08, 0x0F: 0xFF09, 0x1C: 0xFF0D, 0x1D: 0xFFE3, 0x37: ord("*"), 0x38: 0xFFE9, 0x39: ord(" "),
    0x2A: 0xFFE1, 0x36: 0xFFE2,
}  # fmt: skip
_EXTENDED = {0x1C: 0xFF0D, 0x1D: 0xFFE4, 0x35: ord("/"), 0x38: 0xFFEA, 0x47: 0xFF50, 0x48: 0xFF52, 0x4B: 0xFF51,
             0x4D: 0xFF53, 0x4F: 0xFF57, 0x50: 0xFF54, 0x53: 0xFFFF, 0x5B: 0xFFEB, 0x5C: 0xFFEC}  # fmt: skip
_SHIFTED = str.maketrans("1234567890-=[];'`\\,./", '!@#$%^&*()_+{}:"~|<>?')
_SHIFTS = (0xFFE1, 0xFFE2)
# How many bytes follow the head of a fast-path event, by its code: key, mouse, mouse, synchronise, character, relative.
_FAST_SIZES = {0: 1, 1: 6, 2: 6, 3: 0, 4: 2, 5: 6}


class Keys:
    """What one client presses; it remembers whether Shift is held."""

    __slots__ = ("_shift",)

    def __init__(self) -> None:
        self._shift = False

    def fast(self, pdu: bytes) -> Iterator[Press]:
        """Yield the keys of a fast-path PDU."""
        at, count = (3 if pdu[1] & 0x80 else 2), pdu[0] >> 2 & 15
        if not count and at < len(pdu):
            at, count = at + 1, pdu[at]
        for _ in range(count):
            size = _FAST_SIZES.get(pdu[at] >> 5) if at < len(pdu) else None
            if size is None or at + 1 + size > len(pdu):
                return
            code, flags, body = pdu[at] >> 5, pdu[at] & 0x1F, pdu[at + 1 : at + 1 + size]
            at += 1 + size
            if code == 0:
                yield from self._key(body[0], extended=bool(flags & 2), down=not flags & 1)
            elif code == 4:
                yield from _character(int.from_bytes(body, "little"), down=not flags & 1)

    def slow(self, said: bytes) -> Iterator[Press]:
        """Yield the keys of a client's data PDU, if it is one with input."""
        if len(said) < 22 or said[2] != 0x17 or said[14] != 28:
            return
        for at in range(22, min(len(said), 22 + 12 * int.from_bytes(said[18:20], "little")) - 11, 12):
            kind, flags, code = struct.unpack_from("<HHH", said, at + 4)
            if kind == 4:
                yield from self._key(code, extended=bool(flags & 0x0100), down=not flags & 0x8000)
            elif kind == 5:
                yield from _character(code, down=not flags & 0x8000)

    def _key(self, code: int, *, extended: bool, down: bool) -> Iterator[Press]:
        key = (_EXTENDED if extended else _PLAIN).get(code)
        if key is None:
            return
        if key in _SHIFTS:
            self._shift = down
        elif self._shift and key < 0x80:
            key = ord(chr(key).upper().translate(_SHIFTED))
        yield key, down


def _character(code: int, *, down: bool) -> Iterator[Press]:
    """A character beyond Latin 1 is a keysym with a mark of its own."""
    if code >= 0x20:
        yield (code if code < 0x100 else 0x0100_0000 | code), down
    elif code in (0x0A, 0x0D):
        yield 0xFF0D, down
