"""AES and CMAC against the examples of FIPS 197 and RFC 4493, and against OpenSSL."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC
from hypothesis import given, settings
from hypothesis import strategies as st

from eudaemon.wire.aes import Aes, Cmac

KEY = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")
MESSAGE = bytes.fromhex(
    "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
    "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
)


def test_the_example_of_the_standard() -> None:
    made = Aes(bytes(range(16)))
    assert f"{made.encrypt(0x00112233445566778899AABBCCDDEEFF):032x}" == "69c4e0d86a7b0430d8cdb78070b4c55a"
    with pytest.raises(ValueError, match="15 bytes"):
        Aes(bytes(15))


@pytest.mark.parametrize(
    ("size", "code"),
    [(0, "bb1d6929e95937287fa37d129b756746"), (16, "070a16b46b4d4144f79bdd9dd04a287c"),
     (40, "dfa66747de9ae63030ca32611497c827"), (64, "51f0bebf7e3b9d92fc49741779363cfe")],
)  # fmt: skip
def test_the_examples_of_the_rfc(size: int, code: str) -> None:
    assert Cmac(KEY).of(MESSAGE[:size]).hex() == code


@settings(max_examples=200, deadline=None)
@given(st.binary(min_size=16, max_size=16), st.binary(max_size=200))
def test_openssl_says_the_same(key: bytes, message: bytes) -> None:
    judge = CMAC(AES(key))
    judge.update(message)
    assert Cmac(key).of(message) == judge.finalize()
