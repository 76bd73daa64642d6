"""What is seen: a desktop with a few icons, a clock, and the box into which Windows takes a command.

A picture is a background and a list of solid rectangles, later ones over earlier ones; text is such rectangles, too.
So it costs little to hold, and in RRE (RFC 6143 section 7.7.3) little to send.
"""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from eudaemon.world.host import Host
from eudaemon.world.seed import Seed

Rectangle = tuple[int, int, int, int, int]  # x, y, width, height, colour 0xRRGGBB
SIZES = ((800, 600), (1024, 768), (1280, 800))
TEXT_CHARS_MAX = 60  # of what is typed, that are shown
_BACKGROUNDS = (0x3A6EA5, 0x004E98, 0x008080, 0x1D5F7A, 0x245EDC, 0x0A246A)
_ICONS = ("My Computer", "My Documents", "Recycle Bin", "My Network", "Internet", "Outlook", "backup", "Invoices",
          "TeamViewer", "Reports", "POS", "Scan")  # fmt: skip
_GREY, _WHITE, _DARK, _BLACK, _TITLE = 0xD4D0C8, 0xFFFFFF, 0x808080, 0x000000, 0x0A246A
_BAR = 28  # height of the bar at the bottom
_GLYPH_WIDTH, _GLYPH_HEIGHT = 6, 10
# 95 glyphs from the blank on, ten rows of six bits: "fixed" 6x10 of the X Window System, which is in the public domain.
_FONT = (
    "eNpVU9GKxCAMFJFFjnKI+FAWWSSUUqQPRzmWeyj+/2ddJknLXXYp6Zg448Q6d0dEuMhZKcWwUgb/8BbrVj8qVnMvsfSFs7RtqS9P7bWOEFNKMW"
    "A1hsBvAIk3ISMZd6lzky674f7IAIn33NkaXgsRFbTEeWMalFbyU2rIhg+TpwreqSwjgHe0/VCMi/ZDMq6DMOkl/CVbnz7MF6fwylNUQUAM3uSp"
    "QAB6okrBvOJd+t6qKR2EY54515xPWW2tCRtjWbHR2tlUvWTN6lapI9kEu1QZCLBPNjIsUErL9rUtWG0SQzreXTuIjr5qLyGEl+jm4OjVK6a7MG"
    "9Vr0bU+YsC64XzpRjW+1s5Cg5qmXYMmZZMJiGq6INb8K9CfTCH3L8YTm7KFdW/6CW9PLZjV4zUP++fKw/MsCGOTzmdKekVehG9cBLpFX3Rzeaf"
    "dw/vfc4Tr9LyIyefb3ed++69q7KrV92qF3bs4qAokDPth3rKdWwgppoghRmcumVKYWC0rHf9qsRAw3g7dZ8NhH+PGOYQH9fXKO4CiHJPs3x1HL"
    "/hvDo9"
)


@dataclass(frozen=True, slots=True)
class Pixels:
    """A client's pixel format (section 7.4)."""

    bits: int = 32
    is_big: bool = False
    is_true: bool = True
    maxima: tuple[int, int, int] = (255, 255, 255)
    shifts: tuple[int, int, int] = (16, 8, 0)

    @classmethod
    def read(cls, data: bytes) -> Pixels | None:
        """Read sixteen bytes, None if there is no such format."""
        bits, _, big, true, red, green, blue, *shifts = struct.unpack(">BBBBHHHBBBxxx", data)
        if bits not in (8, 16, 32) or any(shift >= bits for shift in shifts):
            return None
        return cls(bits, bool(big), bool(true), (red, green, blue), (shifts[0], shifts[1], shifts[2]))

    def pack(self) -> bytes:
        """Return the sixteen bytes."""
        depth = min(24, self.bits)
        return struct.pack(">BBBBHHHBBBxxx", self.bits, depth, self.is_big, self.is_true, *self.maxima, *self.shifts)

    def pixel(self, colour: int) -> bytes:
        """Return a colour as one pixel; without true colour, one of the eight that palettes begin with."""
        parts = (colour >> 16, colour >> 8 & 255, colour & 255)
        if self.is_true:
            value = sum(
                part * top // 255 << shift for part, top, shift in zip(parts, self.maxima, self.shifts, strict=True)
            )
        else:
            value = sum(int(part > 127) << at for at, part in enumerate(parts))
        value &= (1 << self.bits) - 1
        return value.to_bytes(self.bits // 8, "big" if self.is_big else "little")


class Screen:
    """One installation's desktop."""

    __slots__ = ("_drawn", "background", "height", "name", "seed", "width")

    def __init__(self, host: Host) -> None:
        self._drawn: tuple[Rectangle, ...] = ()
        self.seed: Seed = host.seed.child("vnc")
        self.width, self.height = self.seed.choice("size", SIZES)
        self.background: int = self.seed.choice("background", _BACKGROUNDS)
        letters = self.seed.bytes("name", 8)
        computer = "".join("ABCDEFGHJKLMNPQRSTUVWXYZ23456789"[byte % 32] for byte in letters[:7])
        names = (f"WIN-{computer}", computer.lower(), f"PC{computer[:3]}", f"office-pc{letters[7] % 20}")
        self.name: str = self.seed.choice("title", names)

    def rectangles(self, at_s: float, *, typed: str | None) -> list[Rectangle]:
        """Return what lies on the background at that time; `typed` is what stands in the box, None if it is closed."""
        found = list(self._lasting())
        bar = self.height - _BAR
        found += text(datetime.fromtimestamp(at_s, UTC).strftime("%H:%M"), self.width - 44, bar + 9, _BLACK)
        if typed is not None:
            found += self._box(typed)
        return found

    def _lasting(self) -> tuple[Rectangle, ...]:
        """What is there at any time: drawn once, when it is first seen."""
        if self._drawn:
            return self._drawn
        found: list[Rectangle] = []
        count = 4 + self.seed.number("icons", 4)
        icons = sorted(_ICONS, key=lambda icon: self.seed.bytes(f"icon {icon}", 4))[:count]
        for at, icon in enumerate(icons):
            x, y = 24, 20 + 76 * at
            found += [
                (x + 12, y, 32, 26, _GREY),
                (x + 15, y + 3, 26, 18, 0x5A8AC6 + 0x1100 * at),
                (x + 20, y + 27, 16, 4, _DARK),
            ]
            found += text(icon, x + 28 - 3 * len(icon), y + 36, _WHITE)
        bar = self.height - _BAR
        found += [(0, bar, self.width, _BAR, _GREY), (0, bar + 1, self.width, 1, _WHITE), (4, bar + 4, 56, 20, _DARK)]
        found += [(4, bar + 4, 55, 19, _WHITE), (5, bar + 5, 54, 18, _GREY), (9, bar + 9, 10, 10, 0x2A7A2A)]
        found += text("Start", 24, bar + 9, _BLACK)
        self._drawn = tuple(found)
        return self._drawn

    def _box(self, typed: str) -> Iterator[Rectangle]:
        x, y = 10, self.height - _BAR - 150
        yield from ((x, y, 400, 140, _GREY), (x + 2, y + 2, 396, 18, _TITLE), (x + 60, y + 70, 320, 18, _WHITE))
        yield from text("Run", x + 8, y + 6, _WHITE)
        yield from text("Type the name of a program, folder or document.", x + 60, y + 36, _BLACK)
        yield from text("Open:", x + 16, y + 74, _BLACK)
        shown = typed[-50:]
        yield from text(shown, x + 64, y + 74, _BLACK)
        yield (x + 66 + _GLYPH_WIDTH * len(shown), y + 72, 1, 14, _BLACK)
        for at, word in enumerate(("OK", "Cancel", "Browse...")):
            yield (x + 140 + 84 * at, y + 106, 76, 22, _DARK)
            yield (x + 140 + 84 * at, y + 106, 75, 21, _WHITE)
            yield (x + 141 + 84 * at, y + 107, 74, 20, _GREY)
            yield from text(word, x + 178 + 84 * at - 3 * len(word), y + 112, _BLACK)


@lru_cache(maxsize=8)
def screen_of(host: Host) -> Screen:
    """Return the desktop of this host."""
    return Screen(host)


def text(words: str, x: int, y: int, colour: int) -> Iterator[Rectangle]:
    """Yield the rectangles of a line of text: one a run of dots."""
    font = _glyphs()
    for place, character in enumerate(words[:TEXT_CHARS_MAX]):
        glyph = (ord(character) - 32) * _GLYPH_HEIGHT if 32 <= ord(character) < 127 else 0
        for row in range(_GLYPH_HEIGHT):
            bits, start = f"{font[glyph + row]:06b}0", -1
            for column, bit in enumerate(bits):
                if bit == "1" and start < 0:
                    start = column
                elif bit == "0" and start >= 0:
                    yield (x + place * _GLYPH_WIDTH + start, y + row, column - start, 1, colour)
                    start = -1


def rre(screen: Screen, rectangles: list[Rectangle], pixels: Pixels) -> bytes:
    """Return the whole screen as one rectangle in RRE: a background and what lies on it."""
    seen = list(_clipped(rectangles, screen.width, screen.height))
    out = bytearray(struct.pack(">I", len(seen)) + pixels.pixel(screen.background))
    inks = {colour: pixels.pixel(colour) for colour in {one[4] for one in seen}}
    for x, y, width, height, colour in seen:
        out += inks[colour] + struct.pack(">HHHH", x, y, width, height)
    return bytes(out)


def raw(screen: Screen, rectangles: list[Rectangle], pixels: Pixels, first: int, count: int) -> bytes:
    """Return `count` rows from `first` on, pixel by pixel."""
    size = pixels.bits // 8
    rows = [bytearray(pixels.pixel(screen.background) * screen.width) for _ in range(count)]
    inks = {colour: pixels.pixel(colour) for colour in {one[4] for one in rectangles}}
    for x, y, width, height, colour in rectangles:
        if y + height <= first or y >= first + count or x >= screen.width:
            continue
        width = min(width, screen.width - x)
        for row in range(max(y, first), min(y + height, first + count)):
            rows[row - first][x * size : (x + width) * size] = inks[colour] * width
    return b"".join(rows)


def _clipped(rectangles: list[Rectangle], width: int, height: int) -> Iterator[Rectangle]:
    for x, y, wide, high, colour in rectangles:
        if 0 <= x < width and 0 <= y < height:
            yield x, y, min(wide, width - x), min(high, height - y), colour


@lru_cache(maxsize=1)
def _glyphs() -> bytes:
    return zlib.decompress(base64.b64decode("".join(_FONT)))
