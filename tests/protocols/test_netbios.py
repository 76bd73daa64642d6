"""NetBIOS' and LLMNR's names: what is asked is stated, and answered once it is paid for."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eudaemon.events.catalogue import CommandEntered
from eudaemon.protocols._windows import server_of
from eudaemon.protocols.netbios import DATAGRAMS_MAX, HEAD, NetBios
from eudaemon.testing.script import Table, visit
from eudaemon.world.host import Host
from eudaemon.world.seed import Seed

HOST = Host.from_seed(Seed(b"test"))
WINDOWS = server_of(HOST)


def talk(port: int = 137, transport: str = "udp", host: Host = HOST) -> Table:
    return Table(NetBios(visit(host=host, transport=transport, port=port))).open()


def folded(name: str, suffix: int = 0, pad: bytes = b" ") -> bytes:
    whole = name.encode().ljust(15, pad) + bytes((suffix,))
    return b"".join(bytes((65 + (byte >> 4), 65 + (byte & 15))) for byte in whole)


def question(label: bytes, kind: int, flags: int = 0) -> bytes:
    return HEAD.pack(7, flags, 1, 0, 0, 0) + bytes((len(label),)) + label + b"\0" + struct.pack(">HH", kind, 1)


ALL = question(folded("*", 0, b"\0"), 0x21)  # as nbtscan, nmap and Windows ask for the status


def test_all_its_names() -> None:
    table = talk()
    answers = [table.say(ALL) for _ in range(4)]
    assert [bool(answer) for answer in answers] == [False, False, False, True]
    told = answers[3]
    assert HEAD.unpack_from(told) == (7, 0x8400, 0, 1, 0, 0)
    assert told[56] == 3
    names = [(told[at : at + 15].decode().rstrip(), told[at + 15]) for at in (57, 75, 93)]
    assert names == [(WINDOWS.name.upper(), 0), (WINDOWS.workgroup.upper(), 0), (WINDOWS.name.upper(), 0x20)]
    assert told[111:117].hex("-").upper() == WINDOWS.machine.mac
    assert CommandEntered("NBSTAT *<00>") in table.facts


def test_its_own_name_and_others() -> None:
    table = talk()
    asked = question(folded(WINDOWS.name.upper(), 0x20), 0x20, 0x0110)
    table.say(asked)
    assert table.say(asked).endswith(bytes(map(int, WINDOWS.machine.address.split("."))))
    assert talk().say(question(folded("WPAD"), 0x20) * 1) == b""
    table = talk()
    for _ in range(9):
        table.say(question(folded("WPAD"), 0x20))
    assert table.sent == b""
    table.say(question(folded("EVIL"), 0x20, 0x2910))
    assert [fact for fact in table.facts if isinstance(fact, CommandEntered)][-1] == CommandEntered("register EVIL<00>")


def test_llmnr() -> None:
    table = talk(5355)
    asked = question(WINDOWS.name.lower().encode(), 1)
    assert table.say(asked) == b""
    told = table.say(asked)
    assert HEAD.unpack_from(told) == (7, 0x8000, 1, 1, 0, 0)
    assert told.endswith(bytes(map(int, WINDOWS.machine.address.split("."))))
    for other in (question(b"wpad", 1), question(WINDOWS.name.encode(), 28)):
        assert talk(5355).say(other) == b""
    assert CommandEntered(f"A {WINDOWS.name.lower()}") in table.facts


@pytest.mark.parametrize("data", [b"", b"\0" * 12, ALL[:-1], ALL[:2] + b"\x84" + ALL[3:], question(b"", 1),
                                  question(b"x" * 64, 1)])  # fmt: skip
def test_what_is_no_question(data: bytes) -> None:
    table = talk()
    table.say(data)
    assert not table.facts
    assert not table.sent


@given(st.lists(st.binary(max_size=80) | st.sampled_from([ALL, question(WINDOWS.name.encode(), 1)]), max_size=12))
def test_no_datagram_is_answered_with_a_larger_one(datagrams: list[bytes]) -> None:
    table = talk(5355)
    for at, data in enumerate(datagrams, start=1):
        table.say(data)
        assert len(table.sent) <= sum(map(len, datagrams[:at]))


def test_limits() -> None:
    table = talk()
    for _ in range(DATAGRAMS_MAX + 1):
        table.say(ALL)
    assert len(table.facts) == DATAGRAMS_MAX
    table = talk(transport="tcp")
    table.say(ALL)
    assert table.fault
