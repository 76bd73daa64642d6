"""Which bytes of which connection: the longest match wins, and how sure it is."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from eudaemon.evidence.model import Window
from eudaemon.evidence.provenance import PLACES_MAX, Kept, culprit

MEMORY = b"....HEADER value TRAILER...."
CORE = MEMORY.index(b"value")


def test_the_longest_match_wins_over_later_and_shorter_ones() -> None:
    early = Kept(0, 1000, b"xx HEADER value TRAILER and then value again")
    late = Kept(3, 0, b"value")
    found = culprit("value", Window(0x7000, MEMORY), CORE, 5, [early, late])
    assert found is not None
    assert (found.label, found.offset, found.data) == (0, 1003, b"HEADER value TRAILER")
    assert (found.address, found.core_at, found.core_size) == (0x7004, 7, 5)
    assert found.is_certain
    assert found.around.address == 1000


def test_places_that_match_as_well_are_counted_and_the_latest_is_named() -> None:
    found = culprit("value", Window(0, b"\x41" * 8), 0, 8, [Kept(1, 50, b"A" * 20)])
    assert found is not None
    assert (found.offset, found.address, found.is_certain) == (62, 0, False)
    assert "12 more places" in found.certainty


def test_few_bytes_may_be_chance() -> None:
    found = culprit("value", Window(0x10, b"\x07\x01\x02\x03\x09"), 1, 3, [Kept(0, 0, b"\xff\x01\x02\x03\xff")])
    assert found is not None
    assert not found.is_certain
    assert "may be chance" in found.certainty


def test_what_was_changed_on_its_way_is_not_found() -> None:
    assert culprit("value", Window(0, b"VALUE"), 0, 5, [Kept(0, 0, b"value" * 9)]) is None
    assert culprit("value", Window(0, b"VALUE"), 0, 0, [Kept(0, 0, b"VALUE")]) is None


def slow(memory: bytes, at: int, size: int, data: bytes) -> int:
    """Return the length of the longest match, byte by byte."""
    best = 0
    for place in range(len(data) - size + 1):
        if data[place : place + size] != memory[at : at + size]:
            continue
        left = 0
        while left < min(at, place) and memory[at - left - 1] == data[place - left - 1]:
            left += 1
        right = size
        while at + right < len(memory) and place + right < len(data) and memory[at + right] == data[place + right]:
            right += 1
        best = max(best, left + right)
    return best


@settings(max_examples=300)
@given(st.binary(max_size=40), st.binary(min_size=1, max_size=60), st.data())
def test_it_agrees_with_a_slow_search(data: bytes, memory: bytes, drawn: st.DataObject) -> None:
    alphabet = bytes(byte % 3 for byte in data), bytes(byte % 3 for byte in memory)
    at = drawn.draw(st.integers(0, len(memory) - 1))
    size = drawn.draw(st.integers(1, len(memory) - at))
    found = culprit("value", Window(1, alphabet[1]), at, size, [Kept(0, 0, alphabet[0])])
    assert (len(found.data) if found else 0) == slow(alphabet[1], at, size, alphabet[0])
    if found:
        assert alphabet[0][found.offset : found.offset + len(found.data)] == found.data
        assert alphabet[1][found.address - 1 :][: len(found.data)] == found.data


def test_input_that_matches_everywhere_is_looked_at_so_often_and_no_more() -> None:
    memory = Window(0x1000, b"A" * 65536)
    found = culprit("value", memory, 32768, 8, [Kept(0, 0, b"A" * 65536)])
    assert found is not None
    assert len(found.data) == 32768 + 8 + PLACES_MAX - 1  # farther places would match more
    one = b"\0ABCDEFG\0"
    many = Kept(0, 0, b"x" + one + b"ABCDEFGH" * (PLACES_MAX + 1))  # the best place is one too far back
    found = culprit("value", Window(0, one), 1, 7, [many])
    assert found is not None
    assert len(found.data) == 7
    many = Kept(0, 0, b"x" + one + b"ABCDEFGH" * (PLACES_MAX - 1))
    found = culprit("value", Window(0, one), 1, 7, [many])
    assert found is not None
    assert len(found.data) == 9
