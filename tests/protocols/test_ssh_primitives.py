"""What of SSH's cryptography is our own, against the vectors of its RFCs and against the standard library."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from eudaemon.protocols.ssh.agreement import group, group_for, in_group
from eudaemon.protocols.ssh.fields import Fields, integer
from eudaemon.protocols.ssh.keys import RSA_BITS, HostKeys
from eudaemon.protocols.ssh.primitives import _MACS
from eudaemon.protocols.ssh.umac import Umac
from eudaemon.wire import PeerError
from eudaemon.world.seed import Seed

# RFC 4418, appendix, with the errata that its authors confirmed: text, times, tags of 64 and of 128 bits.
VECTORS = [
    (b"", 1, "6E155FAD26900BE1", "32FEDB100C79AD58F07FF7643CC60465"),
    (b"a", 3, "44B5CB542F220104", "185E4FE905CBA7BD85E4C2DC3D117D8D"),
    (b"a", 2**10, "26BF2F5D60118BD9", "7A54ABE04AF82D60FB298C3CBD195BCB"),
    (b"a", 2**15, "27F8EF643B0D118D", "7B136BD911E4B734286EF2BE501F2C3C"),
    (b"abc", 1, "D4D7B9F6BD4FBFCF", "883C3D4B97A61976FFCF232308CBA5A5"),
    (b"abc", 500, "D4CF26DDEFD5C01A", "8824A260C53C66A36C9260A62CB83AA1"),
]


@pytest.mark.parametrize(("text", "times", "short", "long"), VECTORS)
def test_umac(text: bytes, times: int, short: str, long: str) -> None:
    nonce = int.from_bytes(b"bcdefghi", "big")
    for tag in (short, long):
        assert Umac(b"abcdefghijklmnop", len(tag) // 2).tag(nonce, text * times).hex().upper() == tag


@pytest.mark.parametrize("name", ["hmac-md5", "hmac-sha1", "hmac-sha1-96", "hmac-sha2-256", "hmac-sha2-512"])
def test_hmac(name: str) -> None:
    keyed, key_bytes, tag_bytes = _MACS[name]
    digest = {"md5": "md5", "sha1": "sha1", "sha2-256": "sha256", "sha2-512": "sha512"}[name[5:].removesuffix("-96")]
    key = bytes(range(key_bytes))
    for data in (b"", b"x" * 1000):
        assert keyed(key)(7, data) == hmac.digest(key, b"\0\0\0\7" + data, digest)[:tag_bytes]


@pytest.mark.parametrize("bits", [1024, 2048, 4096, 8192])
def test_the_groups_are_of_safe_primes(bits: int) -> None:
    prime = group(bits)
    assert prime.bit_length() == bits
    assert prime % 2**64 == 2**64 - 1
    if bits <= 2048:  # the others are judged by OpenSSH's client, in tests/end_to_end
        assert pow(2, (prime - 1) // 2, prime) == 1
        assert pow(3, (prime - 3) // 2, (prime - 1) // 2) == 1
    ours = in_group(integer(4)[4:], prime, Seed(b"x"))
    assert Fields(ours.secret).integer() == pow(Fields(ours.ours).integer(), 2, prime)


@pytest.mark.parametrize("value", [-1, 0, 1])
def test_public_values_that_are_none(value: int) -> None:
    prime = group(1024)
    for wrong in (value, prime - value):
        with pytest.raises(PeerError, match="outside of its group"):
            in_group(wrong.to_bytes(130, "big", signed=True), prime, Seed(b"x"))


@pytest.mark.parametrize(
    ("asked", "bits"), [((2048, 2048, 8192), 2048), ((1024, 3072, 8192), 4096), ((2048, 8192, 8192), 8192),
                        ((1024, 1024, 2048), 2048), ((2048, 3000, 3072), 2048)],
)  # fmt: skip
def test_a_group_of_the_size_that_is_asked_for(asked: tuple[int, int, int], bits: int) -> None:
    assert group_for(*asked) == group(bits)


@pytest.mark.parametrize("asked", [(2048, 1024, 8192), (1024, 1024, 1536), (4096, 8192, 4096)])
def test_sizes_that_are_none(asked: tuple[int, int, int]) -> None:
    with pytest.raises(PeerError, match="of a size that is none"):
        group_for(*asked)


def test_the_rsa_key_is_one() -> None:
    read = Fields(HostKeys(Seed(b"a seed")).public("rsa-sha2-256"))
    assert read.string() == b"ssh-rsa"
    exponent, modulus = read.integer(), read.integer()
    assert (exponent, modulus.bit_length()) == (65537, RSA_BITS)
    signed = Fields(HostKeys(Seed(b"a seed")).sign("rsa-sha2-256", b"text"))
    assert signed.string() == b"rsa-sha2-256"
    opened = pow(int.from_bytes(signed.string(), "big"), exponent, modulus).to_bytes(RSA_BITS // 8, "big")
    assert opened.startswith(b"\0\1\xff\xff")
    assert opened.endswith(hashlib.sha256(b"text").digest())
