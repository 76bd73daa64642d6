"""S7: the way of nmap's s7-info, jobs, and what is no S7."""

from __future__ import annotations

import pytest

from eudaemon.events.catalogue import CommandEntered, ExploitRecognised
from eudaemon.protocols import s7
from eudaemon.protocols._base import Claim
from eudaemon.protocols.s7 import S7, module_of
from eudaemon.testing.script import Table, visit
from eudaemon.world.host import Host
from eudaemon.world.seed import Seed
from protocols import rdp_client

CONNECT = bytes.fromhex("0300001611e00000001400c1020100c2020102c0010a")
SETUP = bytes.fromhex("0300001902f08032010000000000080000f0000001000101e0")
LIST = "0300002102f080320700000000000800080001120411440100ff090004{:04x}0001"
HOST = Host.from_seed(Seed(b"test"))


def talk(*, connected: bool = True) -> Table:
    table = Table(S7(visit(host=HOST, port=102))).open()
    if connected:
        table.say(CONNECT)
        table.say(SETUP)
    return table


def job(parameters: str, data: str = "") -> bytes:
    one, two = bytes.fromhex(parameters), bytes.fromhex(data)
    pdu = b"\x32\1\0\0\0\7" + len(one).to_bytes(2, "big") + len(two).to_bytes(2, "big") + one + two
    return b"\3\0" + (7 + len(pdu)).to_bytes(2, "big") + b"\2\xf0\x80" + pdu


@pytest.mark.parametrize("split", [0, 1])
def test_who_it_is(split: int) -> None:
    table, module = talk(connected=False), module_of(HOST)
    assert table.say(CONNECT, split).hex() == "0300001611d00014000100c1020100c2020102c0010a"
    assert table.say(SETUP, split).hex() == "0300001b02f080320300000000000800000000f0000001000100f0"
    what = table.say(bytes.fromhex(LIST.format(0x11)), split)
    assert (len(what), what[43:63].decode(), tuple(what[122:125])) == (125, module.order, module.version)
    names = table.say(bytes.fromhex(LIST.format(0x1C)), split)
    shown = [names[at : at + 32].rstrip(b"\0").decode() for at in (43, 77, 111, 145, 179)]
    assert shown == [module.system, module.name, "", "Original Siemens Equipment", module.serial]
    assert talk().say(bytes.fromhex(LIST.format(0x99)))[29] == 0x0A
    assert CommandEntered("list 0x0011/1") in table.facts
    hosts = (Host.from_seed(Seed(b"%d" % number)) for number in range(24))
    assert len({module_of(host).serial for host in hosts}) == 24


def test_who_stops_it_is_stated() -> None:
    table = talk()
    for parameters, name in (("29000000000009505f50524f4752414d", "s7-stop"), ("28000000000000fd000009", "s7-control")):
        assert table.say(job(parameters))[-1:].hex() == parameters[:2]
        assert ExploitRecognised(name, "T0858", parameters) in table.facts


def test_jobs() -> None:
    table = talk()
    assert table.say(job("0401120a10020001000184000000"))[-6:].hex() == "04010a000000"
    assert table.say(job("0501120a10020001000184000000", "00040008ff"))[-3:].hex() == "0501ff"
    assert CommandEntered("write 01120a10020001000184000000 = 00040008ff") in table.facts
    assert table.say(job("1d00"))[17:20].hex() == "81041d"
    assert table.say(b"\3\0\0\x0b\6\x80\0\0\0\0\0") == b""
    assert table.over
    assert not table.fault


@pytest.mark.parametrize(
    "said", [SETUP, b"\3\0\0\7\2\xf0\x80", b"\3\0\0\6\2\xf0", b"\3\0\xff\xff", b"\4\0\0\7", b"\3\0\0\7\2\xd0\x80"]
)
def test_what_does_not_belong(said: bytes) -> None:
    table = talk(connected=said != SETUP)
    table.say(said)
    assert table.fault


def test_packets_up_to_a_limit() -> None:
    table = talk()
    for _ in range(s7.PACKETS_MAX - 2):
        table.say(SETUP)
    assert not table.fault
    table.say(SETUP)
    assert "packets" in table.fault


def test_whose_conversation_it_is() -> None:
    claims = [S7.claim(CONNECT[:size]) for size in range(1, len(CONNECT))]
    assert claims == sorted(claims)
    assert claims[-1] == Claim.YES
    assert S7.claim(rdp_client.request(b"mstshash=a", 3)) == Claim.NO
