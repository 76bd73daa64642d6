"""BER: what is written reads back, and whatever is read is read or is the peer's fault."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eudaemon.wire import PeerError, ber


@pytest.mark.parametrize("size", [0, 1, 127, 128, 255, 256, 65535, 65536])
def test_lengths(size: int) -> None:
    whole = ber.encoded(ber.OCTETS, bytes(size))
    assert ber.size(whole[:8]) == len(whole)
    assert list(ber.elements(whole + whole)) == [(ber.OCTETS, bytes(size))] * 2


@given(st.integers(-(2**62), 2**62))
def test_numbers(value: int) -> None:
    ((tag, content),) = ber.elements(ber.number(value))
    assert (tag, ber.integer(content)) == (ber.INTEGER, value)


@given(st.binary(max_size=60))
def test_any_bytes(data: bytes) -> None:
    try:
        assert sum(len(ber.encoded(tag, content)) for tag, content in ber.elements(data)) <= len(data)
        assert data == b"" or ber.size(data) is not None
    except PeerError:
        pass


@pytest.mark.parametrize("data", [b"\x30\x80", b"\x30\x85\1\1\1\1\1"])
def test_lengths_that_are_none(data: bytes) -> None:
    with pytest.raises(PeerError):
        ber.size(data)


def test_elements_up_to_a_limit() -> None:
    assert len(list(ber.elements(b"\x05\0" * (ber.ELEMENTS_MAX - 1)))) == ber.ELEMENTS_MAX - 1
    with pytest.raises(PeerError):
        list(ber.elements(b"\x05\0" * (ber.ELEMENTS_MAX + 1)))
    for wrong in (b"", bytes(9)):
        with pytest.raises(PeerError):
            ber.integer(wrong)


@given(st.tuples(st.integers(0, 1), st.integers(0, 39)), st.lists(st.integers(0, 2**32 - 1), max_size=ber.ARCS_MAX - 2))
def test_object_identifiers(first: tuple[int, int], more: list[int]) -> None:
    arcs = (*first, *more)
    ((tag, content),) = ber.elements(ber.named(arcs))
    assert (tag, ber.object_identifier(content)) == (ber.OBJECT, arcs)


@pytest.mark.parametrize(
    "content", [b"", b"\x2b\x86", b"\x2b\x90\x80\x80\x80\0", bytes(ber.ARCS_MAX), b"\x2b" + b"\x80" * 640 + b"\1"]
)
def test_object_identifiers_that_are_none(content: bytes) -> None:
    with pytest.raises(PeerError):
        ber.object_identifier(content)
