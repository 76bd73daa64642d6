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
