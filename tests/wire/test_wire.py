"""Readers, purse, text and recordings: any pieces, every limit and one past it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eudaemon.wire import ByteReader, LineReader, PeerError, Purse, conversation, printable
from eudaemon.wire.purse import LITTLE


@given(st.lists(st.binary(max_size=12), max_size=20))
def test_a_byte_reader_gives_back_what_it_was_fed(pieces: list[bytes]) -> None:
    reader, got = ByteReader(1000), b""
    for piece in pieces:
        reader.feed(piece)
        got += reader.take(2) or b""
    assert got + reader.take_all() == b"".join(pieces)


def test_a_byte_reader_takes_its_limit_and_not_one_more() -> None:
    reader = ByteReader(4)
    reader.feed(b"abcd")
    with pytest.raises(PeerError):
        reader.feed(b"e")
    assert reader.take_through(b"c") == b"abc"
    assert reader.take_through(b"x") is None
    assert reader.take(2) is None


@given(st.binary(max_size=60).map(lambda b: bytes(b"ab\r\n\0"[x % 5] for x in b)), st.integers(1, 7))
def test_lines_do_not_depend_on_the_pieces(data: bytes, size: int) -> None:
    whole, pieces = LineReader(100), LineReader(100)
    expected = list(whole.feed(data))
    got = [line for i in range(0, len(data), size) for line in pieces.feed(data[i : i + size])]
    assert (got, pieces.unfinished()) == (expected, whole.unfinished())


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r\0", b"\r"])
def test_every_line_end(end: bytes) -> None:
    assert list(LineReader(10).feed(b"one" + end + b"two" + end)) == [b"one", b"two"]


def test_a_line_takes_its_limit_and_not_one_more() -> None:
    reader = LineReader(4)
    assert list(reader.feed(b"abcd\nabcd")) == [b"abcd"]
    assert list(reader.feed(b"\n")) == [b"abcd"]
    with pytest.raises(PeerError):
        list(reader.feed(b"abcde"))
    lines = LineReader(4).feed(b"ab\nabcde")
    assert next(lines) == b"ab", "what came before it is not lost"
    with pytest.raises(PeerError):
        next(lines)


def test_a_purse_gives_what_it_has_and_takes_all_back() -> None:
    parent = Purse(10 * LITTLE)
    one, two = Purse(8, parent), Purse(8, parent)
    assert one.take(8)
    assert not one.take(1)
    assert two.take(3)
    assert parent.take(10 * LITTLE - 11)
    assert not two.take(1)
    one.close()
    assert two.take(5)
    two.close()
    parent.close()
    assert parent.bytes_taken == 0
    with pytest.raises(ValueError, match="returned"):
        parent.give_back(1)


def test_who_holds_much_leaves_half_to_those_who_hold_little() -> None:
    parent = Purse(64 * LITTLE)
    greedy = [Purse(64 * LITTLE, parent) for _ in range(5)]
    while sum(purse.take(1) for purse in greedy):
        pass
    assert parent.bytes_taken == 32 * LITTLE
    modest = [Purse(64 * LITTLE, parent) for _ in range(LITTLE // 2)]
    assert all(purse.take(64) for purse in modest)
    assert parent.bytes_taken == 64 * LITTLE
    assert not Purse(1, parent).take(1)
    for purse in (*greedy, *modest):
        purse.close()
    assert parent.bytes_taken == 0


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"plain", "plain"),
        ("käse".encode(), "käse"),
        (b"\xff\x00\x1b[2J", "\\xff\\x00\\x1b[2J"),
        ("\u202eevil".encode(), "\\u202eevil"),
        (b"a\tb\nc", "a\tb\nc"),
        (b"abcdef", "abc…"),
    ],
)
def test_printable(data: bytes, text: str) -> None:
    assert printable(data, 4 if data == b"abcdef" else 100) == text


@given(st.lists(st.tuples(st.sampled_from([0, 1]), st.integers(0, 2**32 - 1), st.binary(min_size=1, max_size=99))))
def test_a_recording_reads_as_it_was_written_and_up_to_any_cut(pieces: list[tuple[int, int, bytes]]) -> None:
    recording = conversation.MAGIC + b"".join(conversation.encode(*piece) for piece in pieces)
    read = [(u.side, u.ms, u.data) for u in conversation.decode(recording)]
    assert read == pieces
    for cut in range(len(conversation.MAGIC), len(recording), 7):
        part = [(u.side, u.ms, u.data) for u in conversation.decode(recording[:cut])]
        assert part == pieces[: len(part)]


def test_a_long_piece_becomes_several_records() -> None:
    data = bytes(range(256)) * 1000
    recording = conversation.MAGIC + conversation.encode(1, 5, data)
    assert b"".join(u.data for u in conversation.decode(recording)) == data


def test_what_is_no_recording_is_refused() -> None:
    with pytest.raises(ValueError, match="EUDCONV1"):
        list(conversation.decode(b"GIF89a"))
    with pytest.raises(ValueError, match="side 7"):
        list(conversation.decode(conversation.MAGIC + b"\x07" + bytes(9)))
