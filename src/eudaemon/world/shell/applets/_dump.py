"""`hexdump -e`: bytes in a form of one's own, by which loaders read a binary's head where `dd` and `cat` are missing.

    16/1 "%c"      so many times, of so many bytes each, this text; one unit after the other, and again from the first

What is left of a row when the bytes are over is blank. Owns the conversions %c, %_c, %_p, %_u, %d, %i, %o, %u, %x, %X.
"""

from __future__ import annotations

import re
from itertools import islice

from eudaemon.world.shell.words import unescape

UNITS_MAX = 64
TURNS_MAX = 100_000  # of all units together
SAID_BYTES_MAX = 1024 * 1024  # then nothing more is said
_UNIT = re.compile(rb'\s*(?:(\d{1,4})?/(\d{1,2})?|(\d{1,4}))?\s*"((?:[^"\\]|\\.)*)"')
_CONVERSION = re.compile(rb"%([-+ #0]*)(\d{0,3})(?:\.\d+)?(_[acpu]|[cdiouxX])")


def dumped(data: bytes, form: bytes) -> bytes:
    """Return the bytes in this form; nothing if it has no unit that uses any up."""
    units = [
        (int(unit[1] or unit[3] or b"1") or 1, int(unit[2] or b"0"), unescape(unit[4])[0])
        for unit in islice(_UNIT.finditer(form), UNITS_MAX)
    ]  # fmt: skip
    if not any(_CONVERSION.search(text) for _, _, text in units):
        return b""
    said, at, turns = bytearray(), 0, 0
    while at < len(data):
        for times, size, text in units:
            is_spaced = times > 1 and text != text.rstrip()
            for turn in range(times):
                turns += 1
                if turns > TURNS_MAX or len(said) >= SAID_BYTES_MAX:
                    return bytes(said[:SAID_BYTES_MAX])
                shown, at = _shown(data, at, size, text)
                said += shown.rstrip() if is_spaced and turn == times - 1 else shown
    return bytes(said)


def _shown(data: bytes, at: int, size: int, text: bytes) -> tuple[bytes, int]:
    """Return one turn of a unit, and where it ends in the data."""

    def shown(found: re.Match[bytes]) -> bytes:
        nonlocal at
        flags, width, kind = found[1], found[2], found[3]
        count = size or (1 if kind[-1:] in b"cpu" and kind != b"u" else 4)
        piece, at = data[at : at + count], at + count
        if not piece:
            return b" " * int(width or b"0")
        if kind == b"c":
            return piece[:1]
        if kind[:1] == b"_":
            return piece[:1] if 0x20 <= piece[0] < 0x7F else b"."
        return (b"%" + flags + width + kind.replace(b"i", b"d")) % int.from_bytes(piece, "little")

    return _CONVERSION.sub(shown, text), at
