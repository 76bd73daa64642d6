"""NTP: the time in as many bytes as it was asked for, and nobody flooded."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eudaemon.events.catalogue import CommandEntered, ExploitRecognised
from eudaemon.protocols.ntp import DATAGRAMS_MAX, PACKET, Ntp
from eudaemon.testing.script import START_S, Table, visit
from eudaemon.world.host import Host
from eudaemon.world.seed import Seed

QUESTION = b"\xe3\x00\x04\xfa" + bytes(36) + b"\xc5\x4f\x23\x4b\x71\xb1\x52\xf3"  # nmap's NTPRequest


def talk(seed: bytes = b"test") -> Table:
    return Table(Ntp(visit(host=Host.from_seed(Seed(seed)), transport="udp", port=123))).open()


def test_a_client_is_told_the_time() -> None:
    answer = talk().say(QUESTION)
    head, stratum, poll, precision, _, _, _, reference, originate, receive, transmit = PACKET.unpack(answer)
    assert (head, poll, originate) == (0x24, 4, 0xC54F234B71B152F3)
    assert 2 <= stratum <= 3
    assert -24 < precision < -17
    assert abs((receive >> 32) - 2_208_988_800 - START_S) <= 1
    assert reference < receive <= transmit
    assert talk().say(b"\x1b" + QUESTION[1:])[0] == 0x1C  # version 3
    assert talk().say(b"\xe1" + QUESTION[1:])[0] == 0x22  # a symmetric peer


def test_what_floods_is_stated_and_answered_with_less() -> None:
    table = talk()
    monlist = b"\x17\x00\x03\x2a" + bytes(4)
    assert table.say(monlist) == b"\x97\x00\x03\x2a\x40\x00\x00\x00"
    assert table.say(b"\x16\x02\x00\x01" + bytes(8)) == b"\x16\xc2\x00\x01\x01\x00" + bytes(6)
    assert [fact for fact in table.facts if isinstance(fact, ExploitRecognised)] == [
        ExploitRecognised("ntp-amplification", "CVE-2013-5211", "monlist"),
        ExploitRecognised("ntp-amplification", "", "readvar"),
    ]
    assert CommandEntered("private monlist") in table.facts


@given(st.lists(st.binary(max_size=80) | st.sampled_from([QUESTION, b"\x17\x00\x03\x2a" + bytes(4)]), max_size=9))
def test_no_datagram_is_answered_with_a_larger_one(datagrams: list[bytes]) -> None:
    table = talk()
    for data in datagrams:
        assert len(table.say(data)) <= len(data)


@pytest.mark.parametrize("data", [b"", b"\xe3", QUESTION[:-1], b"\x00" * 48, b"\x24" + bytes(47), b"\x17\x00"])
def test_what_is_no_question_is_not_answered(data: bytes) -> None:
    assert talk().say(data) == b""


def test_limits() -> None:
    table = talk()
    for _ in range(DATAGRAMS_MAX):
        assert len(table.say(QUESTION)) == struct.calcsize(">48s")
    assert table.say(QUESTION) == b""


def test_no_two_installations_are_alike() -> None:
    assert len({talk(b"%d" % number).say(QUESTION)[:24] for number in range(24)}) == 24
