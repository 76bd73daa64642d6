"""Bytes as people read them: hexadecimal and characters, some of them marked."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from eudaemon.evidence.model import Window

ROW_BYTES = 16


@dataclass(frozen=True, slots=True)
class Row:
    """Up to 16 bytes in one line. `marks` has a character for each: ` ` none, or what kind of mark it is."""

    address: int
    data: bytes
    marks: str

    def text(self) -> str:
        """Return it with the marked bytes in brackets: `41[42 43]44`."""
        cells = []
        before = " "
        for byte, mark in zip(self.data, self.marks, strict=True):
            cells.append(
                ("[" if mark != " " and before == " " else "]" if mark == " " != before else " ") + f"{byte:02x}"
            )
            before = mark
        cells.append("]" if before != " " else " ")
        return f"{''.join(cells):<{3 * ROW_BYTES + 1}}  {characters(self.data)}"


def rows(window: Window, marked: Collection[int] = ()) -> Iterator[Row]:
    """Yield the lines of a window. Marked are bytes with a tag (`t`), and those at these addresses (`c`)."""
    begin = window.address - window.address % ROW_BYTES
    for at in range(begin, window.end, ROW_BYTES):
        first, last = max(at, window.address), min(at + ROW_BYTES, window.end)
        marks = "".join("c" if one in marked else "t" if _has_tag(window, one) else " " for one in range(first, last))
        yield Row(first, window.data[first - window.address : last - window.address], marks)


def characters(data: bytes) -> str:
    """Return bytes as characters, those that are no plain ASCII as dots."""
    return "".join(chr(byte) if 32 <= byte < 127 else "." for byte in data)


def plain(text: str) -> str:
    """Return text from outside as one line that no terminal obeys."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape", "replace").decode() for one in text)


def _has_tag(window: Window, address: int) -> bool:
    at = address - window.address
    return at < len(window.tags) and window.tags[at] != 0
