"""NTLM against the worked examples of MS-NLMP and of RFC 1320: what is found, what is evidence, who gets in."""

from __future__ import annotations

import hmac
import struct

import pytest

from eudaemon.events.catalogue import LoginTried, NtlmResponseGiven
from eudaemon.protocols._base import Saw
from eudaemon.protocols._ntlm import TOKEN_BYTES_MAX, Answer, Authentication, Rc4, Seal
from eudaemon.protocols._ntlm_v1 import challenge_of, kind_of, lm_hash, nt_hash, response, session_key
from eudaemon.protocols._spnego import complete, mechanisms_in, offer, wants_check
from eudaemon.protocols._windows import PASSWORDS, server_of
from eudaemon.testing.script import visit
from eudaemon.wire import PeerError
from eudaemon.wire.md4 import md4
from eudaemon.world.host import Host
from eudaemon.world.seed import Seed
from protocols.smb_client import hello, proof


def dialogue(token: bytes, made: Authentication | None = None) -> tuple[Answer, list[object]]:
    """Return the answer to a token, and the facts."""
    given = visit()
    running = (made or Authentication(given, server_of(given.host))).answer(token, 1_700_000_000.0)
    facts: list[object] = []
    while True:
        try:
            order = next(running)
        except StopIteration as stop:
            return stop.value, facts
        assert isinstance(order, Saw)
        facts.append(order.fact)


@pytest.mark.parametrize(
    ("data", "digest"),
    [(b"", "31d6cfe0d16ae931b73c59d7e0c089c0"), (b"abc", "a448017aaf21d8525fc10ae87aa6729d"),
     (b"1234567890" * 8, "e33b4ddc9c38f2199c3e7b164fcc0536")],
)  # fmt: skip
def test_md4_as_in_its_rfc(data: bytes, digest: str) -> None:
    assert md4(data).hex() == digest


def test_the_worked_example_of_the_second_version() -> None:
    """MS-NLMP 4.2.4: user `User`, domain `Domain`, password `Password`."""
    key = hmac.digest(nt_hash("Password"), "USERDomain".encode("utf-16-le"), "md5")
    assert nt_hash("Password").hex() == "a4f49c406510bdcab6824ee7c30fd852"
    assert key.hex() == "0c868a403bfd7a93a3001ef22ef02e3f"
    sealing = Seal(b"\x55" * 16, 0xE28A_8233, "client-to-server")
    assert sealing.under("Plaintext".encode("utf-16-le")).hex() == "54e50165bf1936dc996020c1811b0f06fb5f"
    plain = "Plaintext".encode("utf-16-le")
    assert sealing.signature(plain).hex() == "010000007fb38ec5c55d497600000000"
    assert Rc4(b"Key").under(b"Plaintext").hex() == "bbf316e8d940af0ad3"


CHALLENGE = bytes.fromhex("0123456789abcdef")


def test_the_worked_examples_of_the_first_version() -> None:
    """MS-NLMP 4.2.2 and 4.2.3: user `User`, password `Password`, the client's challenge eight times aa."""
    assert lm_hash("Password").hex() == "e52cac67419a9a224a3b108f3fa6cb6d"
    lm = response(lm_hash("Password"), CHALLENGE)
    assert lm.hex() == "98def7b87f88aa5dafe2df779688a172def11c7d5ccdef13"
    nt = response(nt_hash("Password"), CHALLENGE)
    assert nt.hex() == "67c43011f30298a2ad35ece64f16331c44bdbed927841f94"
    assert session_key("NTLMv1", "Password", CHALLENGE, lm, 0) == bytes.fromhex("d87262b0cde4b1cb7499becccdf10784")
    assert (kind_of(lm, nt), kind_of(lm, b""), kind_of(b"", b"")) == ("NTLMv1", "LM", "")
    extended = b"\xaa" * 8 + bytes(16)
    assert kind_of(extended, nt) == "NTLMv1-SSP"
    assert kind_of(bytes(24), nt) == "NTLMv1"  # as hydra's and medusa's modules for SMB answer
    nt = response(nt_hash("Password"), challenge_of("NTLMv1-SSP", CHALLENGE, extended))
    assert nt.hex() == "7537f803ae367128ca458204bde7caf81e97ed2683267232"
    key = session_key("NTLMv1-SSP", "Password", CHALLENGE, extended, 0x8_0000)
    assert key == bytes.fromhex("eb93429a8bd952f8b89c55b87f475edc")
    assert session_key("LM", "Password", CHALLENGE, lm, 0) is None


@pytest.mark.parametrize("kind", ["LM", "NTLMv1", "NTLMv1-SSP"])
def test_the_first_versions_are_read_as_well(kind: str) -> None:
    given = visit()
    for password, found in (("1qaz2wsx", "1qaz2wsx"), ("not in any list", None)):
        made = Authentication(given, server_of(given.host))
        lm, nt = response(lm_hash(password), made.challenge), response(nt_hash(password), made.challenge)
        if kind == "LM":
            nt = b""
        elif kind == "NTLMv1-SSP":
            lm = b"abcdefgh" + bytes(16)
            nt = response(nt_hash(password), challenge_of(kind, made.challenge, lm))
        facts = [order.fact for order in made.raw("Administrator", "LAB", lm, nt) if isinstance(order, Saw)]
        text = f"Administrator::LAB:{lm.hex()}:{nt.hex()}:{made.challenge.hex()}"
        assert facts == [
            NtlmResponseGiven("Administrator", "LAB", "", text, kind),
            LoginTried("Administrator", found, accepted=bool(found)),
        ]


def test_the_second_versions_answer_in_lan_managers_place_is_read() -> None:
    """Medusa's module for SMB gives it alone, with a challenge that is always the same."""
    given, mine = visit(), bytes.fromhex("1122334455667788")
    made = Authentication(given, server_of(given.host))
    for password, found in (("1qaz2wsx", "1qaz2wsx"), ("not in any list", None)):
        key = hmac.digest(nt_hash(password), "ADMINISTRATORLAB".encode("utf-16-le"), "md5")
        lm = hmac.digest(key, made.challenge + mine, "md5") + mine
        facts = [order.fact for order in made.raw("Administrator", "LAB", lm, b"") if isinstance(order, Saw)]
        assert facts[1:] == [LoginTried("Administrator", found, accepted=bool(found))]


def test_a_password_of_the_list_is_found_and_any_other_is_evidence() -> None:
    given = visit()
    server = server_of(given.host)
    for password, found in (("123456", "123456"), ("not in any list", None)):
        made = Authentication(given, server)
        challenge, nothing = dialogue(hello(), made)
        assert not nothing
        assert challenge.identity is None
        assert challenge.token[24:32] == made.challenge
        answer, facts = dialogue(proof(made.challenge, "Administrator", password), made)
        given_by, login = facts
        assert isinstance(given_by, NtlmResponseGiven)
        assert (given_by.user, given_by.domain, given_by.workstation) == ("Administrator", "LAB", "BOX")
        assert given_by.version == "NTLMv2"
        user, empty, domain, challenged, proven, blob = given_by.response.split(":")
        assert (user, empty, domain, challenged) == ("Administrator", "", "LAB", made.challenge.hex())
        key = hmac.digest(nt_hash(password), "ADMINISTRATORLAB".encode("utf-16-le"), "md5")  # as hashcat checks it
        assert hmac.digest(key, made.challenge + bytes.fromhex(blob), "md5").hex() == proven
        assert login == LoginTried("Administrator", found, accepted=bool(found))
        assert answer.identity is not None
        assert answer.identity.accepted is bool(found)
        assert (answer.identity.key is not None) is bool(found)


def test_who_gets_in_is_a_rule_that_does_not_change() -> None:
    servers = [server_of(Host.from_seed(Seed(b"%d" % number))) for number in range(12)]
    for server in servers:
        assert server.accepts("Administrator", "123456")
        assert server.accepts("guest", "")
        assert not server.accepts("guest", "x")
        assert not server.accepts("Administrator", "")
        assert not server.accepts("nobody-here", "123456")
        assert not server.accepts("Administrator", "what nobody would try")
        rest = sum(server.accepts("administrator", password) for password in PASSWORDS)
        assert 15 <= rest <= 60
        assert server.build == 7601
    assert len({server.name for server in servers}) == 12
    assert len({server.share for server in servers}) > 3


def test_an_account_gives_in_to_who_tries_very_many_passwords() -> None:
    given = visit()
    server = server_of(given.host)
    tried = 0
    while True:
        made = Authentication(given, server)
        answer, facts = dialogue(proof(made.challenge, "Administrator", f"guess {tried}"), made)
        assert answer.identity is not None
        if answer.identity.accepted:
            break
        tried += 1
    assert tried == server.gives_in_after
    assert facts[-1] == LoginTried("Administrator", None, accepted=True)
    assert answer.identity.administers
    assert answer.identity.is_guest, "nobody can sign with a password that is not known"
    made = Authentication(given, server)
    answer, _ = dialogue(proof(made.challenge, "nobody", "guess"), made)
    assert answer.identity is not None
    assert not answer.identity.accepted


def test_tokens_in_spnego_are_answered_in_spnego() -> None:
    assert b"NTLMSSP" not in offer()
    answer, _ = dialogue(b"\x60\x48\x06\x06+\x06\x01\x05\x05\x02" + hello())
    assert answer.token[:1] == b"\xa1"
    assert b"NTLMSSP\0\2" in answer.token
    answer, _ = dialogue(b"\x60\x10 kerberos, please")
    assert answer.token[:1] == b"\xa1"
    assert b"NTLMSSP" not in answer.token


def test_what_is_no_token_of_spnego_has_no_list_and_wants_no_check() -> None:
    assert mechanisms_in(offer()) == bytes.fromhex("300c060a2b06010401823702020a")
    assert wants_check(complete(bytes(16)))
    assert not wants_check(complete(b""))
    for end in range(len(offer())):
        assert mechanisms_in(offer()[:end]) == b""
    for end in range(len(complete(bytes(16)))):
        assert not wants_check(complete(bytes(16))[:end])


@pytest.mark.parametrize(
    "token",
    [b"", b"NTLMSSP\0", b"NTLMSSP\0\7\0\0\0", b"NTLMSSP\0\3\0\0\0" + bytes(20), b"x" * (TOKEN_BYTES_MAX + 1),
     b"NTLMSSP\0\3\0\0\0" + struct.pack("<HHI", 99, 99, 9999) + bytes(60)],
)  # fmt: skip
def test_what_is_no_token_is_the_peers_fault(token: bytes) -> None:
    with pytest.raises(PeerError):
        dialogue(token)


def test_the_largest_token_is_taken() -> None:
    assert dialogue(hello().ljust(TOKEN_BYTES_MAX, b"\0"))[0].token
