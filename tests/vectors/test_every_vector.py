"""Whatever brings a file brings it whole: byte for byte, of every size, wherever the network cuts what is said.

`make test` tries the small sizes, each cut in its own way. All sizes in all cuts take some minutes:

    pytest -m soak tests/vectors
"""

from __future__ import annotations

import hashlib

import pytest

from eudaemon.protocols import ROOMS
from tidy.tree import SOURCE
from vectors.table import PAGE, VECTORS, WITHOUT, page
from vectors.vector import BROKEN, MOST, SMALL, Attack, BrokenOffError, Cuts, Vector

WHOLE = Cuts("whole")
# How each size is cut in `make test`; how all are in a soak.
QUICKLY = {
    0: Cuts("odd", 7, 1),
    1: Cuts("each byte", 1),
    4095: Cuts("odd", 61, 2),
    4096: WHOLE,
    4097: Cuts("odd", 1021, 3),
}
SLOWLY = {  # and up to which size: who cuts megabytes into bytes tries the patience, not the room
    WHOLE: MOST,
    Cuts("each byte", 1): 4097,
    Cuts("up to 13", 13, 4): 65_536,
    Cuts("up to 4,097", 4097, 5): 1_500_000,
    Cuts("up to 60,000", 60_000, 6): MOST,
}


def captured(row: Vector, size: int, cuts: Cuts) -> None:
    data, attack = row.content(size), Attack(cuts)
    row.bring(attack, data)
    attack.end()
    assert not attack.faults
    wanted = hashlib.sha256(row.form(data)).hexdigest()
    found = [(keep.partial, hashlib.sha256(keep.data).hexdigest()) for keep in attack.kept]
    whole = [keep for keep in attack.kept if row.holds(keep, data)]
    assert whole, f"no artefact is {wanted}, of {found}"
    assert all(keep.partial is row.never_whole for keep in whole)


@pytest.mark.parametrize("row", VECTORS, ids=str)
def test_small_files_are_captured_byte_for_byte(row: Vector) -> None:
    for size in row.sizes(SMALL):
        captured(row, size, QUICKLY[size])


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("row", VECTORS, ids=str)
@pytest.mark.parametrize("cuts", SLOWLY, ids=lambda cuts: cuts.name)
def test_files_of_every_size_are_captured_byte_for_byte(row: Vector, cuts: Cuts) -> None:
    for size in row.sizes():
        if size <= SLOWLY[cuts]:
            captured(row, size, cuts)


@pytest.mark.parametrize("row", VECTORS, ids=str)
def test_what_is_broken_off_is_kept_as_far_as_it_came(row: Vector) -> None:
    data, whole = row.content(min(row.broken_bytes, row.bytes_max)), Attack(WHOLE)
    row.bring(whole, data)
    attack = Attack(WHOLE, bytes_max=whole.said_bytes * 3 // 5)
    with pytest.raises(BrokenOffError):
        row.bring(attack, data)
    attack.end()
    parts = [keep for keep in attack.kept if keep.data and keep.data in row.form(data)]
    match row.broken:
        case "partial":
            assert any(keep.partial for keep in parts)
        case "as it is":
            assert parts
        case "with gaps":
            assert any(keep.partial and keep.origin in ("payload", "upload") for keep in attack.kept)
        case "encoded":
            assert any(len(keep.data) > len(data) // 4 for keep in attack.kept)
        case _:
            assert not attack.kept


def test_every_room_that_keeps_something_has_a_row() -> None:
    assert {row.room for row in VECTORS} | WITHOUT.keys() == ROOMS.keys()
    assert not {row.room for row in VECTORS} & WITHOUT.keys()
    for name in WITHOUT:
        place = SOURCE / "protocols" / name
        texts = [file.read_text() for file in (place.rglob("*.py") if place.is_dir() else [place.with_suffix(".py")])]
        assert not any("Keep(" in text for text in texts), f"{name} keeps what no row brings"


def test_what_a_row_cannot_carry_it_says_why() -> None:
    assert len({str(row) for row in VECTORS}) == len(VECTORS)
    for row in VECTORS:
        assert row.broken in BROKEN, row
        least = 64 if row.text_ends else 1
        assert row.why or (row.bytes_max == MOST and row.bytes_min <= least), row


def test_the_page_says_what_the_rows_say() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text == page(text), "PYTHONPATH=src:tests python -m vectors.table"
    for how, what in BROKEN.items():
        assert f"- *{how}*: {what}." in text
