"""Modbus: what a controller is, what is read and written, and exceptions where they belong."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eudaemon.events.catalogue import CommandEntered
from eudaemon.protocols import modbus
from eudaemon.protocols.modbus import HEAD, Modbus, device_of
from eudaemon.testing.script import Table, visit
from eudaemon.world.host import Host
from eudaemon.world.seed import Seed


def talk(host: Host | None = None) -> Table:
    return Table(Modbus(visit(host=host, port=502))).open()


def request(function: int, data: bytes = b"", unit: int = 1) -> bytes:
    return HEAD.pack(7, 0, 2 + len(data), unit) + bytes((function,)) + data


def ask(table: Table, function: int, *words: int, more: bytes = b"", split: int = 0) -> bytes:
    """Return an answer's function and data."""
    sent = table.say(request(function, struct.pack(f">{len(words)}H", *words) + more), split)
    assert HEAD.unpack_from(sent) == (7, 0, len(sent) - 6, 1)
    return sent[7:]


@pytest.mark.parametrize("split", [0, 1])
def test_what_is_written_is_read(split: int) -> None:
    table = talk()
    before = ask(table, 3, 0, 10, split=split)
    assert (before[:2], len(before)) == (b"\3\x14", 22)
    assert ask(table, 3, 0, 10, split=split) == before
    assert ask(table, 6, 4, 0xBEEF, split=split) == b"\6\0\4\xbe\xef"
    assert ask(table, 16, 6, 2, more=b"\4\0\1\0\2", split=split) == b"\x10\0\6\0\2"
    assert ask(table, 3, 4, 4, split=split)[2:4] == b"\xbe\xef"
    assert ask(table, 3, 6, 2, split=split)[2:] == b"\0\1\0\2"
    assert ask(table, 5, 9, 0xFF00, split=split) == b"\5\0\x09\xff\0"
    assert ask(table, 15, 0, 9, more=b"\2\xff\1", split=split) == b"\x0f\0\0\0\x09"
    assert ask(table, 1, 0, 10, split=split) == b"\1\2\xff\3"
    said = [fact.line for fact in table.facts if isinstance(fact, CommandEntered)]
    assert said[2:4] == ["unit 1: write register 4 = 48879", "unit 1: write registers 6+2 = 00010002"]
    assert said[0] == "unit 1: read holding registers 0+10"


def test_what_it_is() -> None:
    vendor, product, revision, _ = device_of(Host.from_seed(Seed(b"test")))
    assert f"{vendor} {product} {revision}".encode() in ask(talk(), 17)
    told = ask(talk(), 43, more=b"\x0e\1\0")
    assert told[:3] == b"\x2b\x0e\1"
    assert told[6] == 3
    assert told[9:].startswith(vendor.encode())
    assert vendor.encode() in ask(talk(), 43, more=b"\x0e\4\0")
    hosts = (Host.from_seed(Seed(b"%d" % number)) for number in range(60))
    assert len({ask(talk(host), 17) for host in hosts}) == sum(len(one[2]) for one in modbus._DEVICES)


@pytest.mark.parametrize(
    ("function", "data", "code"),
    [
        (99, b"", 1), (43, b"\x0d\0\0", 1), (43, b"\x0e\x09\0", 3), (43, b"\x0e\4\x63", 2), (3, b"", 3),
        (3, b"\0\0\0\x7e", 3), (3, b"\0\0\0\0", 3), (3, b"\xff\xff\0\2", 2), (1, b"\0\0\x07\xd1", 3),
        (1, b"\xff\xff\0\2", 2), (6, b"\0", 3), (15, b"\0\0\0\x09\1\xff", 3), (16, b"\0\0\0\2\4\0\0", 3), (15, b"", 3),
        (16, b"", 3), (2, b"", 3),
    ],
)  # fmt: skip
def test_exceptions(function: int, data: bytes, code: int) -> None:
    table = talk()
    assert table.say(request(function, data))[7:] == bytes((function | 0x80, code))
    assert not table.over


def test_limits() -> None:
    table = talk()
    for address in range(modbus.WRITTEN_MAX):
        assert ask(table, 6, address, 1)[0] == 6
    assert ask(table, 6, modbus.WRITTEN_MAX, 1) == b"\x86\2"
    assert ask(table, 6, 0, 2)[0] == 6, "what is written already may be written again"
    table = talk()
    for _ in range(modbus.REQUESTS_MAX):
        table.say(request(3, b"\0\0\0\1"))
    assert not table.fault
    assert len(table.facts) == modbus.SAID_MAX
    table.say(request(3, b"\0\0\0\1"))
    assert "requests" in table.fault


@pytest.mark.parametrize("split", [0, 1])
@pytest.mark.parametrize(
    ("said", "answer"),
    [(b"\0\0\0\1\0\6\1\3", b"\0\0\0\0\0\3\1\x83\1"), (b"\0\0\0\0\0\1\1\3", b"\0\0\0\0\0\3\1\x83\1"),
     (b"\0\0\0\0\1\0\1\3", b"\0\0\0\0\0\3\1\x83\1"), (b"GET / HTTP/1.0\r\n\r\n", b"GE\0\0\0\3H\xd4\1"),
     (b"\x16\3\1\0\xc4\1\0", b"")],
)  # fmt: skip
def test_what_is_no_request_is_refused(said: bytes, answer: bytes, split: int) -> None:
    table = talk()
    assert table.say(said, split) == answer
    assert bool(table.fault) == bool(answer)


@given(st.integers(0, 255), st.binary(max_size=60))
def test_whatever_is_asked_is_answered(function: int, data: bytes) -> None:
    sent = talk().say(request(function, data))
    assert sent[7] & 0x7F == function & 0x7F
