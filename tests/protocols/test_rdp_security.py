"""Remote Desktop's own encryption, against a client that was written from the same words by other means."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eudaemon.events.catalogue import CommandEntered, LoginTried, RdpClientIdentified
from eudaemon.protocols.rdp import rsa, security
from eudaemon.protocols.rdp.pdus import FIRST_CHANNEL
from eudaemon.protocols.rdp.security import RENEWED_PACKETS, chosen
from eudaemon.testing.script import Table
from eudaemon.world.seed import Seed
from protocols.rdp_client import ATTACH, ERECT, Encryption, connect, info, join, request, send
from protocols.test_rdp import ENTER, HOSTS, PLAIN, STRICT, WINDOWS_R, channels, talk, tap

RANDOM = bytes(range(1, 33))
METHODS = {1: 40, 8: 56, 2: 128}


def encrypted(method: int = 2, *names: str, split: int = 0) -> tuple[Table, Encryption]:
    """Go on to where the client says who it is."""
    table = talk()
    table.say(request(protocols=0), split)
    client = Encryption(table.say(connect(*names, encryption=method), split), RANDOM)
    assert (client.method, client.level) == (method, 2)
    table.say(ERECT + ATTACH, split)
    for number in range(len(names) + 2):
        table.say(join(FIRST_CHANNEL + number), split)
    assert table.say(send(FIRST_CHANNEL, client.exchange()), split) == b""
    return table, client


@pytest.mark.parametrize("split", [0, 1])
@pytest.mark.parametrize("checked", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_user_and_password_come_under_it(method: int, checked: bool, split: int) -> None:
    table, client = encrypted(method, "rdpdr", split=split)
    packet = info("CORP", "bob", "s3cret", "cmd.exe")
    table.say(send(FIRST_CHANNEL, client.closed(packet[4:], 0x40, checked=checked)), split)
    assert LoginTried("CORP\\bob", "s3cret", accepted=False) in table.facts
    assert CommandEntered("cmd.exe") in table.facts
    (known,) = (fact for fact in table.facts if isinstance(fact, RdpClientIdentified))
    assert known.encryption_bits == METHODS[method]
    assert table.over
    assert not table.fault


def test_the_strongest_is_chosen() -> None:
    assert [chosen(offered) for offered in (0, 1, 2, 3, 8, 9, 0x1B, 0x10)] == [0, 1, 2, 2, 8, 8, 2, 0]


@pytest.mark.parametrize("method", [1, 2])
def test_who_is_let_in_types_and_keys_are_renewed(method: int) -> None:
    table, client = encrypted(method)
    said = table.say(send(FIRST_CHANNEL, client.closed(info("", "Administrator", "123456")[4:], 0x40)))
    licence = int.from_bytes(said[2:4], "big")
    assert client.opened(said[licence:])[2:4] == b"\x11\0", "it is demanded to be active"
    synchronise = struct.pack("<HHHIBBHBBHHH", 22, 0x17, 44, 0x103EA, 0, 1, 22, 0x1F, 0, 0, 1, 1002)
    for _ in range(RENEWED_PACKETS + 3):
        said = table.say(send(FIRST_CHANNEL, client.closed(synchronise)))
        assert client.opened(said)[14] == 0x1F
    for packet in _packets(WINDOWS_R + tap(0x2E) + tap(0x32) + tap(0x20) + ENTER):
        table.say(client.fast(*packet))
    assert [fact.line for fact in table.facts if isinstance(fact, CommandEntered)][1:] == ["cmd"]
    assert not table.fault


def _packets(pdus: bytes) -> list[list[bytes]]:
    found = []
    while pdus:
        body, pdus = pdus[2 : pdus[1]], pdus[pdus[1] :]
        found.append([body[at : at + 2] for at in range(0, len(body), 2)])
    return found


def test_bluekeep_comes_under_it() -> None:
    table, client = encrypted(2, "rdpdr", "MS_T120")
    said = table.say(send(FIRST_CHANNEL, client.closed(info("", "", "")[4:], 0x40)))
    client.opened(said[int.from_bytes(said[2:4], "big") :])
    check = struct.pack("<II", 0x1C, 3) + b"\0\0\0\0" + b"\2".ljust(16, b"\0")
    assert table.say(send(1005, client.closed(check))) == b"\3\0\0\x09\2\xf0\x80\x21\x80"
    table.end()
    assert [keep.data for keep in table.kept] == [check]


def test_its_key_is_signed_and_a_hosts_own() -> None:
    keys = set()
    for host in HOSTS[:3]:
        key = rsa.key_of(host.seed.child("rdp"))
        assert key is rsa.key_of(host.seed.child("rdp"))
        keys.add(key.modulus)
        said = rsa.certificate(key)
        body, signature = said[:-76], int.from_bytes(said[-72:], "little")
        assert said[-76:-72] == b"\x08\0\x48\0"
        assert pow(signature, rsa.SIGNED_WITH, rsa._SIGNS) == rsa.signed_number(body)
    assert len(keys) == 3
    assert all(key.bit_length() == 512 for key in keys)


@pytest.mark.parametrize("number", range(4))
def test_a_key_closes_what_it_opens(number: int) -> None:
    key = rsa.key_of(Seed(b"key %d" % number))
    for message in (b"\0" * 32, b"\xff" * 32, RANDOM):
        closed = pow(int.from_bytes(message, "little"), rsa.EXPONENT, key.modulus).to_bytes(64, "little")
        assert key.opened(closed)[:32] == message


@pytest.mark.parametrize("known", [2**127 - 1, 2**255 - 19, 65537, 97])
def test_primes_are_told(known: int) -> None:
    assert rsa._is_prime(known, Seed(b"x"))
    assert not rsa._is_prime(known * (2**89 - 1), Seed(b"x"))
    assert not rsa._is_prime(561 * 41 * 73, Seed(b"x"))


def test_what_is_not_under_the_keys_is_the_peers_fault() -> None:
    table, client = encrypted()
    wrong = bytearray(client.closed(info("", "a", "b")[4:], 0x40))
    wrong[5] ^= 1
    table.say(send(FIRST_CHANNEL, bytes(wrong)))
    assert table.fault == "a packet whose signature is wrong"
    table, client = encrypted()
    table.say(send(FIRST_CHANNEL, client.exchange()))
    assert not table.fault, "a second random is a packet like others"
    table = talk()
    table.say(request(protocols=0))
    table.say(connect(encryption=2) + ERECT + ATTACH + send(FIRST_CHANNEL, struct.pack("<HHI", 1, 0, 72) + bytes(63)))
    assert table.fault == "no random in a Security Exchange PDU, or one more"
    table = talk()
    table.say(request(protocols=0))
    table.say(connect(encryption=2) + b"\x84\x0c" + bytes(10))
    assert table.fault == "an encrypted packet before the keys"


def test_where_tls_was_begun_there_is_none() -> None:
    for host, protocols in ((PLAIN, 1), (STRICT, 3)):
        table = talk(host)
        table.say(request(protocols=protocols))
        channels(table) if host is PLAIN else None
        assert not [fact for fact in table.facts if isinstance(fact, RdpClientIdentified) and fact.encryption_bits]


@pytest.mark.parametrize("past", [False, True])
def test_how_much_may_come_under_it(past: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    table, client = encrypted(2, "MS_T120")
    said = table.say(send(FIRST_CHANNEL, client.closed(info("", "", "")[4:], 0x40)))
    client.opened(said[int.from_bytes(said[2:4], "big") :])
    monkeypatch.setattr(security, "OPENED_BYTES_MAX", len(info("", "", "")) - 4 + 1000)
    table.say(send(1004, client.closed(bytes(1000 + past))))
    assert bool(table.fault) is past


@given(
    st.lists(
        st.binary(max_size=60) | st.sampled_from([b"\x08\0\0\0", b"\x48\x08\0\0" + bytes(8), b"\1\0\0\0"]), max_size=4
    )
)
@settings(max_examples=60, deadline=None)
def test_whatever_comes_for_it_is_no_fault_of_ours(bodies: list[bytes]) -> None:
    for ready in (False, True):
        table = encrypted()[0] if ready else talk()
        if not ready:
            table.say(request(protocols=0) + connect(encryption=0x1B) + ERECT + ATTACH)
        for body in bodies:
            table.say(send(FIRST_CHANNEL, body))
            table.say(bytes((0x84, len(body) + 2)) + body)
        table.end()
