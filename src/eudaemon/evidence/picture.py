"""A picture of bytes as inline SVG: a cell for each, those with a tag and the culprits lit, on light paper and dark."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from html import escape

from eudaemon.evidence.dump import ROW_BYTES, Row, characters, rows
from eudaemon.evidence.model import Window

_CELL_X, _CELL_Y = 26, 20
_LEFT, _TEXT_X = 150, 150 + ROW_BYTES * _CELL_X + 14
_WIDTH = _TEXT_X + ROW_BYTES * 9 + 8


def picture(window: Window, title: str, marked: Collection[int] = (), pointer: int | None = None) -> str:
    """Return the SVG of a window; `pointer` is an address whose row has an arrow."""
    lines = list(rows(window, marked))
    height = _CELL_Y * len(lines) + 6
    out = [
        f'<svg class="bytes" role="img" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}">',
        f"<title>{escape(title)}</title>",
    ]
    for number, row in enumerate(lines):
        out += _row(row, number * _CELL_Y + 3, pointer)
    out.append("</svg>")
    return "\n".join(out)


def _row(row: Row, y: int, pointer: int | None) -> Iterator[str]:
    base = y + 14
    is_there = pointer is not None and row.address <= pointer < row.address + len(row.data)
    yield f'<text x="{_LEFT - 12}" y="{base}" class="at">{"▸ " if is_there else ""}{row.address:#x}</text>'
    skipped = row.address % ROW_BYTES
    for at, (byte, mark) in enumerate(zip(row.data, row.marks, strict=True), skipped):
        x = _LEFT + at * _CELL_X
        kind = {"c": " culprit", "t": " tagged"}.get(mark, "")
        yield f'<rect x="{x}" y="{y}" width="{_CELL_X - 2}" height="{_CELL_Y - 2}" class="cell{kind}"/>'
        yield f'<text x="{x + (_CELL_X - 2) / 2:g}" y="{base}" class="byte{kind}">{byte:02x}</text>'
    shown = escape(characters(row.data)).replace(" ", " ")
    yield f'<text x="{_TEXT_X + skipped * 7.8:g}" y="{base}" class="said">{shown}</text>'
