"""Where code may begin, and for which CPU."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eudaemon.payload.shellcode import scan
from payload.shellcode.assembling import under_dword_xor, under_xor
from payload.shellcode.shellcodes import SHELLCODES, connect_back_cmd

FILLING = b"\x01\xcc" * 64  # no code that asks where it is


@pytest.mark.parametrize("name", SHELLCODES)
def test_the_cpu_is_among_the_guesses_and_first_where_its_words_tell(name: str) -> None:
    cpu, make, _ = SHELLCODES[name]
    guesses = scan.architectures(make())
    assert cpu in guesses
    if not cpu.startswith("x86"):
        assert guesses[0] == cpu


@pytest.mark.parametrize("encode", [lambda code: under_xor(code, 9), lambda code: under_dword_xor(code, b"abcd")])
def test_the_start_of_a_decoder_is_among_the_starts(encode) -> None:  # type: ignore[no-untyped-def]
    assert len(FILLING) in list(scan.starts(FILLING + encode(connect_back_cmd()), "x86"))


@pytest.mark.parametrize("name", [name for name, (cpu, *_) in SHELLCODES.items() if not cpu.startswith("x86")])
def test_the_start_of_words_is_among_the_starts(name: str) -> None:
    cpu, make, _ = SHELLCODES[name]
    for before in (0, 4, 7, 250):
        assert before in list(scan.starts(bytes(before) + make(), cpu))


def test_the_end_of_a_sled_is_a_start() -> None:
    data = FILLING + b"\x90" * 100 + b"\x05code"
    assert len(FILLING) + 100 - 8 in list(scan.starts(data, "x86"))


@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=3000))
def test_starts_lie_in_the_bytes_and_none_twice(data: bytes) -> None:
    for name in scan.architectures(data):
        starts = list(scan.starts(data, name))
        assert len(set(starts)) == len(starts)
        assert all(0 <= start < len(data) for start in starts)


def test_only_so_much_is_scanned(monkeypatch: pytest.MonkeyPatch) -> None:
    code = connect_back_cmd()
    monkeypatch.setattr(scan, "SCANNED_BYTES_MAX", 4096)
    assert max(scan.starts(bytes(4090) + code, "x86")) < 4096
    assert list(scan.starts(bytes(4096) + code, "x86")) == [0]


def test_sites_are_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    data = b"\xd9\x74\x24\xf4\xcc" * 8
    monkeypatch.setattr(scan, "_BACK_BYTES_MAX", 0)
    monkeypatch.setattr(scan, "SITES_MAX", 8)
    assert list(scan.starts(data, "x86")) == [0, 5, 10, 15]  # half of them, for those that are surest
    monkeypatch.setattr(scan, "SITES_MAX", 10)
    assert list(scan.starts(data, "x86")) == [0, 5, 10, 15, 20]


def test_what_calls_the_kernel_in_the_new_way_alone_is_of_64_bits() -> None:
    filling = b"\x01\xcc" * 100
    assert scan.architectures(filling + b"\x48\x31\xc0\x0f\x05")[:2] == ("x86-64", "x86")
    assert scan.architectures(filling + b"\x48\x31\xc0\x0f\x05\xcd\x80")[0] == "x86"
    assert scan.architectures(filling * 6 + b"\x48\x31\xc0\x0f\x05")[0] == "x86"  # so long that it is chance
