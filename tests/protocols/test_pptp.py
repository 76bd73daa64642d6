"""PPTP: a call from its start to its end, and what is none."""

from __future__ import annotations

import struct

import pytest

from eudaemon.events.catalogue import CommandEntered
from eudaemon.protocols import pptp
from eudaemon.protocols._base import Claim
from eudaemon.protocols.pptp import COOKIE, HEAD, Pptp
from eudaemon.testing.script import Table, visit
from eudaemon.world.host import Host
from eudaemon.world.seed import Seed


def message(control: int, data: bytes, *, cookie: int = COOKIE) -> bytes:
    return HEAD.pack(HEAD.size + len(data), 1, cookie, control, 0) + data


START = message(1, struct.pack(">HHIIHH64s64s", 0x0100, 0, 1, 1, 0, 2600, b"evil", b"Microsoft Windows NT"))
CALL = message(7, struct.pack(">HHIIIIHHHH64s64s", 5, 1, 300, 100_000_000, 3, 3, 64, 0, 4, 0, b"0123", b""))


def talk(host: Host | None = None) -> Table:
    return Table(Pptp(visit(host=host, port=1723))).open()


@pytest.mark.parametrize("split", [0, 1])
def test_a_call(split: int) -> None:
    table, host = talk(), Host.from_seed(Seed(b"test"))
    answer = table.say(START, split)
    assert (len(answer), HEAD.unpack_from(answer)[3], answer[14]) == (156, 2, 1)
    assert answer[28:92].rstrip(b"\0") == host.name.encode()
    answer = table.say(CALL, split)
    assert (len(answer), HEAD.unpack_from(answer)[3]) == (32, 8)
    _, peers, result = struct.unpack_from(">HHB", answer, 12)
    assert (peers, result) == (5, 1)
    assert table.say(message(5, b"abcd"), split)[12:17] == b"abcd\1"
    assert len(table.say(message(12, b"\0\5\0\0"), split)) == 148
    assert table.say(message(3, b"\1\0\0\0"), split)[12:13] == b"\1"
    assert table.over
    assert not table.fault
    assert [fact for fact in table.facts if isinstance(fact, CommandEntered)] == [
        CommandEntered("start host=evil vendor=Microsoft Windows NT firmware=2600"), CommandEntered("call 0123"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "said", [message(1, b"", cookie=1), HEAD.pack(8, 1, COOKIE, 1, 0), HEAD.pack(2000, 1, COOKIE, 1, 0),
             HEAD.pack(12, 2, COOKIE, 1, 0)],
)  # fmt: skip
def test_what_is_no_message(said: bytes) -> None:
    table = talk()
    table.say(said)
    assert table.fault


def test_what_is_cut_is_not_answered() -> None:
    table = talk()
    for control in (1, 7, 99):
        assert table.say(message(control, b"")) == b""
    assert not table.fault


def test_messages_up_to_a_limit() -> None:
    table = talk()
    for _ in range(pptp.MESSAGES_MAX):
        table.say(CALL)
    assert not table.fault
    table.say(CALL)
    assert "messages" in table.fault


def test_whose_conversation_it_is() -> None:
    claims = [Pptp.claim(START[:size]) for size in range(1, 20)]
    assert claims == sorted(claims)
    assert claims[-1] == Claim.YES
    hosts = (Host.from_seed(Seed(b"%d" % number)) for number in range(24))
    assert len({talk(host).say(START) for host in hosts}) == 24
