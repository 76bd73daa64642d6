"""DNS: what a stranger is told, what is refused, and that nobody is flooded through it."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eudaemon.events.catalogue import CommandEntered, ExploitRecognised
from eudaemon.protocols._base import Claim
from eudaemon.protocols.dns import DATAGRAMS_MAX, HEAD, MESSAGE_BYTES_MAX, MESSAGES_MAX, NAME_BYTES_MAX, Dns, texts
from eudaemon.testing.script import Table, visit
from eudaemon.world.host import Host
from eudaemon.world.seed import Seed

HOST = Host.from_seed(Seed(b"test"))
EDNS = b"\0\0\x29\x10\0\0\0\0\0\0\x0c\0\x0a\0\x08abcdefgh"  # as dig asks


def query(name: str, kind: int, group: int = 1, more: bytes = b"") -> bytes:
    labels = b"".join(bytes((len(label),)) + label.encode() for label in name.split(".") if label)
    return HEAD.pack(7, 0x0120, 1, 0, 0, int(bool(more))) + labels + b"\0" + struct.pack(">HH", kind, group) + more


def talk(transport: str = "udp") -> Table:
    return Table(Dns(visit(host=HOST, transport=transport, port=53))).open()


def ask(table: Table, data: bytes, split: int = 0) -> tuple[int, int, bytes]:
    """Return the flags, the number of answers and what follows the question."""
    if table.room.visit.transport == "tcp":
        said = table.say(len(data).to_bytes(2, "big") + data, split)
        assert int.from_bytes(said[:2], "big") == len(said) - 2
        said = said[2:]
    else:
        said = table.say(data)
        assert len(said) <= len(data)
    number, flags, _, answers, _, _ = HEAD.unpack_from(said)
    assert number == 7
    return flags, answers, said[len(query("version.bind", 16)) :]


@pytest.mark.parametrize("split", [0, 1])
def test_over_tcp_it_says_what_it_is(split: int) -> None:
    version = texts(HOST)[b"version.bind"].encode()
    flags, answers, record = ask(talk("tcp"), query("version.bind", 16, 3), split)
    assert (flags, answers) == (0x8580, 1)
    assert record.endswith(bytes((len(version),)) + version)


def test_over_udp_what_is_larger_than_its_question_is_cut() -> None:
    flags, answers, rest = ask(talk(), query("version.bind", 16, 3))
    assert (flags & 0x0200, answers, rest) == (0x0200, 0, b"")
    flags, answers, rest = ask(talk(), query("localhost", 1, more=EDNS + bytes(30)))
    assert (flags & 0x0200, answers) == (0, 1)
    assert b"\x7f\0\0\1" in rest or rest == b""


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_it_asks_nobody(transport: str) -> None:
    table = talk(transport)
    assert ask(table, query("example.com", 1))[:2] == (0x8185, 0)
    assert ask(table, query("nothing.lan", 1))[:2] == (0x8183, 0)
    assert ask(table, query("example.com", 255))[:2] == ((0x8380, 0) if transport == "udp" else (0x8185, 0))
    amplified = ExploitRecognised("dns-amplification", "", "ANY example.com")
    assert (amplified in table.facts) is (transport == "udp")
    assert CommandEntered("example.com IN A") in table.facts
    assert not table.wishes


def test_its_own_names() -> None:
    table = talk("tcp")
    address = bytes(map(int, HOST.address.split(".")))
    assert ask(table, query(f"{HOST.name}.lan", 1))[:2] == (0x8580, 1)
    assert table.sent.endswith(address)
    ask(table, query(".".join(reversed(HOST.address.split("."))) + ".in-addr.arpa", 12))
    assert table.sent.endswith(bytes((len(HOST.name),)) + HOST.name.lower().encode() + b"\0")


def test_what_is_no_question() -> None:
    table = talk()
    assert table.say(HEAD.pack(7, 0x8180, 0, 0, 0, 0)) == b""  # an answer
    assert table.say(HEAD.pack(7, 0x1000, 0, 0, 0, 0)) == HEAD.pack(7, 0x9084, 0, 0, 0, 0)  # a status request
    assert table.say(HEAD.pack(7, 0x0100, 1, 0, 0, 0) + b"\xc0\x0c\0\1\0\1") == HEAD.pack(7, 0x8181, 0, 0, 0, 0)
    assert table.say(b"x") == b""
    ask(table, query("a.b", 249))
    assert ExploitRecognised("bind-tkey", "CVE-2015-5477", "TKEY a.b") in table.facts


NAMES = [query(name, kind, 1, more) for name in ("a.b", "localhost") for kind in (1, 255) for more in (b"", EDNS)]


@given(st.lists(st.binary(max_size=60) | st.sampled_from([*NAMES, query("version.bind", 16, 3)]), max_size=9))
def test_no_datagram_is_answered_with_a_larger_one(datagrams: list[bytes]) -> None:
    table = talk()
    for data in datagrams:
        assert len(table.say(data)) <= len(data)


def test_limits() -> None:
    for past in (0, 1):
        table = talk("tcp")
        table.say((MESSAGE_BYTES_MAX + past).to_bytes(2, "big"))
        assert bool(table.fault) == bool(past)
        table = talk("tcp")
        for _ in range(MESSAGES_MAX + past):
            table.say(b"\0\x0c" + HEAD.pack(7, 0x1000, 0, 0, 0, 0))
        assert bool(table.fault) == bool(past)
        name = "a." * (NAME_BYTES_MAX // 2) + "a" * past
        assert ask(talk(), query(name, 1))[0] & 15 == (1 if past else 5)
    table = talk()
    for _ in range(DATAGRAMS_MAX):
        ask(table, query("a.b", 1))
    assert table.say(query("a.b", 1)) == b""


def test_no_two_installations_are_alike() -> None:
    assert len({texts(Host.from_seed(Seed(b"%d" % number)))[b"version.bind"] for number in range(60)}) > 8


def test_whose_conversation_it_is() -> None:
    asked = query("a.b", 1)
    for first, claim in ((b"\0", Claim.UNSURE), (len(asked).to_bytes(2, "big") + asked, Claim.YES),
                         (b"GET / HTTP/1.0", Claim.NO), (b"\0\x0c\0\0\x10\0\0\0\0", Claim.YES)):  # fmt: skip
        assert Dns.claim(first) is claim, first
