"""memcached: what its clients see over TCP and in datagrams, and that nobody is flooded through it."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eudaemon.events.catalogue import CommandEntered, ExploitRecognised
from eudaemon.protocols._base import Claim
from eudaemon.protocols.memcached import Memcached
from eudaemon.protocols.memcached.cache import ITEM_BYTES_MAX, ITEMS_MAX, server_of
from eudaemon.protocols.memcached.room import (
    BINARY,
    DATAGRAMS_MAX,
    KEPT_BYTES_MIN,
    KEPT_MAX,
    KEY_BYTES_MAX,
    LINE_BYTES_MAX,
    REQUESTS_MAX,
    VALUE_BYTES_MAX,
)
from eudaemon.testing.script import Table, play, visit
from eudaemon.wire import Purse
from eudaemon.world.host import Host
from eudaemon.world.seed import Seed
from payload.servers import SIZES, content

HOST = Host.from_seed(Seed(b"test"))

# As memcached 1.6.18 answers the same.
PLAIN = r"""
> set a 0 0 3\r\nabc\r\nget a b\r\ngets a\r\n
< STORED\r\nVALUE a 0 3\r\nabc\r\nEND\r\nVALUE a 0 3 1\r\nabc\r\nEND\r\n
! command.entered line='set a 0 0 3'
> set a 0 0 3\r\nabcd\r\nget a\r\n
< CLIENT_ERROR bad data chunk\r\nERROR\r\nVALUE a 0 3\r\nabc\r\nEND\r\n
> nonsense\r\n\r\nget\r\nset a\r\nset a 0 0 x\r\nset a 0 0 -1\r\n
< ERROR\r\nERROR\r\nERROR\r\nERROR\r\nCLIENT_ERROR bad command line format\r\nCLIENT_ERROR bad command line format\r\n
> incr a 1\r\ndelete a\r\ndelete a\r\nflush_all\r\nverbosity 1\r\nadd b 5 0 1\r\n1\r\nincr b 5\r\n
< CLIENT_ERROR cannot increment or decrement non-numeric value\r\nDELETED\r\nNOT_FOUND\r\nOK\r\nOK\r\nSTORED\r\n6\r\n
> replace c 0 0 1\r\n1\r\n
< NOT_STORED\r\n
> append b 0 0 1\r\n2\r\nprepend b 0 0 1\r\n0\r\nget b\r\ntouch b 3\r\ntouch c 3\r\nadd b 0 0 1\r\n1\r\ndecr b 100\r\n
< STORED\r\nSTORED\r\nVALUE b 5 3\r\n062\r\nEND\r\nTOUCHED\r\nNOT_FOUND\r\nNOT_STORED\r\n0\r\n
> set n 0 0 1 noreply\r\n1\r\nincr n 1 noreply\r\nget n\r\ngets n\r\n
< VALUE n 0 1\r\n2\r\nEND\r\nVALUE n 0 1 8\r\n2\r\nEND\r\n
> cas n 0 0 1 1\r\n9\r\ncas n 0 0 1 8\r\n9\r\ncas z 0 0 1 1\r\n9\r\n
< EXISTS\r\nSTORED\r\nNOT_FOUND\r\n
> stats cachedump 1 1\r\nstats items\r\nstats slabs\r\nstats reset\r\nstats sizes\r\n
< ITEM b [1 b; 0 s]\r\nEND\r\nSTAT items:1:number 2\r\nSTAT items:1:age 1\r\nSTAT items:1:evicted 0\r\nEND\r\n
< STAT active_slabs 1\r\nSTAT total_malloced 1048576\r\nEND\r\nRESET\r\nEND\r\n
> quit\r\n
/ over
"""


def talk(*, transport: str = "tcp", bytes_max: int = 32 << 20) -> Table:
    return Table(Memcached(visit(host=HOST, transport=transport, port=11211, purse=Purse(bytes_max)))).open()


def datagram(line: bytes, number: int = 0, count: int = 1) -> bytes:
    return struct.pack(">HHHH", 7, number, count, 0) + line


@pytest.mark.parametrize("split", [0, 1])
def test_what_a_client_sees(split: int) -> None:
    play(Memcached, PLAIN, split=split, given=visit(host=HOST))


def test_what_it_says_of_itself_agrees() -> None:
    table = talk()
    version = server_of(HOST).version.encode()
    assert table.say(b"version\r\n") == b"VERSION " + version + b"\r\n"
    stats = table.say(b"stats\r\n")
    assert stats.startswith(b"STAT pid ")
    assert b"\r\nSTAT version " + version + b"\r\n" in stats
    assert b"\r\nSTAT curr_items 0\r\n" in stats
    assert b"\r\nSTAT udpport 11211\r\n" in table.say(b"stats settings\r\n")


def test_no_two_installations_are_alike() -> None:
    servers = [server_of(Host.from_seed(Seed(b"%d" % n))) for n in range(24)]
    assert len({str(server.stats(0.0, 0)) for server in servers}) == 24
    assert len({server.version for server in servers}) > 4


@pytest.mark.parametrize("size", SIZES)
def test_a_value_of_any_size_is_kept_byte_for_byte(size: int) -> None:
    table = talk()
    data = b"set bot 0 0 %d\r\n%s\r\n" % (size, content(size))
    for at in range(0, len(data), 65_537):
        table.say(data[at : at + 65_537])
    fits = size <= ITEM_BYTES_MAX
    assert table.sent == (b"STORED\r\n" if fits else b"SERVER_ERROR object too large for cache\r\n")
    kept = [(keep.origin, keep.name, keep.data, keep.partial) for keep in table.kept]
    assert kept == [("upload", "bot", content(size), False)] * (size >= KEPT_BYTES_MIN)
    if fits:
        assert table.say(b"get bot\r\n") == b"VALUE bot 0 %d\r\n%s\r\nEND\r\n" % (size, content(size))


def test_a_value_that_breaks_off_is_kept_as_a_part() -> None:
    table = talk()
    table.say(b"set bot 0 0 1000\r\n" + content(500))
    table.end()
    assert [(keep.data, keep.partial) for keep in table.kept] == [(content(500), True)]


def test_a_datagram_is_answered_if_the_answer_is_no_larger() -> None:
    table = talk(transport="udp")
    assert table.say(datagram(b"set a 0 0 3\r\nabc\r\n")) == datagram(b"STORED\r\n")
    assert table.say(datagram(b"get no\r\n")) == datagram(b"END\r\n")
    assert table.say(datagram(b"stats\r\n")) == b""
    assert table.say(datagram(b"get a\r\n")) == b""
    assert table.say(datagram(b"version\r\n")) == b""
    assert table.say(datagram(b"get a\r\n", 1, 2)) == b""
    assert table.say(b"stats\r\n") == b""
    found = [fact for fact in table.facts if isinstance(fact, ExploitRecognised)]
    assert [(fact.name, fact.reference, fact.command) for fact in found] == [
        ("memcached-amplification", "CVE-2018-1000115", line) for line in ("get no", "stats", "get a")
    ]


def test_a_flood_of_datagrams_is_looked_at_only_so_often() -> None:
    table = talk(transport="udp")
    for _ in range(DATAGRAMS_MAX - 1):
        table.say(datagram(b"stats\r\n"))
    assert table.say(datagram(b"get no\r\n")) == datagram(b"END\r\n")
    assert table.say(datagram(b"get no\r\n")) == b""
    assert len([fact for fact in table.facts if isinstance(fact, ExploitRecognised)]) == DATAGRAMS_MAX


BODIES = [b"stats\r\n", b"get a a a a\r\n", b"set a 0 0 9\r\n123456789\r\n", b"gets a\r\n", b"\x80\x0b" + bytes(22)]


@given(st.lists(st.binary(max_size=60) | st.sampled_from(BODIES), max_size=12))
def test_no_datagram_is_answered_with_a_larger_one(bodies: list[bytes]) -> None:
    table = talk(transport="udp")
    for body in bodies:
        for question in (body, datagram(body)):
            assert len(table.say(question)) <= len(question)


def binary(code: int, key: bytes = b"", value: bytes = b"", extra: bytes = b"") -> bytes:
    size = len(extra) + len(key) + len(value)
    return BINARY.pack(0x80, code, len(key), len(extra), 0, 0, size, 42, 0) + extra + key + value


@pytest.mark.parametrize("split", [0, 1])
def test_the_binary_protocol(split: int) -> None:
    table = talk()

    def ask(message: bytes) -> tuple[int, bytes]:
        answer = table.say(message, split)
        magic, _, _, extras, _, status, size, opaque, _ = BINARY.unpack_from(answer)
        assert (magic, opaque, size) == (0x81, 42, len(answer) - 24)
        return status, answer[24 + extras :]

    assert ask(binary(0x0B)) == (0, server_of(HOST).version.encode())
    assert ask(binary(0x00, b"a")) == (1, b"Not found")
    assert ask(binary(0x01, b"a", content(200), bytes(8))) == (0, b"")
    assert ask(binary(0x00, b"a")) == (0, content(200))
    assert ask(binary(0x02, b"a", b"x", bytes(8)))[0] == 3
    assert ask(binary(0x04, b"a")) == (0, b"")
    assert ask(binary(0x04, b"a"))[0] == 1
    assert ask(binary(0x08)) == ask(binary(0x0A)) == (0, b"")
    assert ask(binary(0x20)) == (0x81, b"Unknown command")
    assert [keep.data for keep in table.kept] == [content(200)]
    assert CommandEntered("set a") in table.facts
    assert ask(binary(0x07)) == (0, b"")
    assert table.over


def test_limits() -> None:
    for past in (0, 1):
        table = talk()
        table.say(b"x" * (LINE_BYTES_MAX + past))
        assert bool(table.fault) == bool(past)
        table = talk()
        table.say(b"set a 0 0 %d\r\n" % (VALUE_BYTES_MAX + past))
        assert bool(table.fault) == bool(past)
        table = talk()
        table.say(BINARY.pack(0x80, 1, 0, 0, 0, 0, VALUE_BYTES_MAX + past, 0, 0))
        assert bool(table.fault) == bool(past)
        table = talk()
        assert table.say(b"set %s 0 0 1\r\n1\r\n" % (b"k" * (KEY_BYTES_MAX + past)))[:6] == (
            b"CLIENT" if past else b"STORED"
        )
    table = talk()
    for number in range(KEPT_MAX + 2):
        table.say(b"set k%d 0 0 64\r\n%064d\r\n" % (number, number))
    assert len(table.kept) == KEPT_MAX
    table = talk()
    for number in range(ITEMS_MAX):
        table.say(b"set k%d 0 0 1 noreply\r\n1\r\n" % number)
    assert table.say(b"set k0 0 0 1\r\n1\r\nset one-more 0 0 1\r\n1\r\n").startswith(
        b"STORED\r\nSERVER_ERROR out of memory"
    )
    for _ in range(REQUESTS_MAX - ITEMS_MAX - 2):
        table.say(b"verbosity 1 noreply\r\n")
    assert not table.fault
    table.say(b"verbosity 1\r\n")
    assert table.fault
    table = talk()
    table.say(b"set a 0 0 %d\r\n%s\r\n" % (ITEM_BYTES_MAX, bytes(ITEM_BYTES_MAX)))
    table.say(b"get" + b" a" * 16 + b"\r\n")
    assert table.fault
    table = talk(bytes_max=1000)
    table.say(b"set a 0 0 900\r\n" + bytes(900) + b"\r\n")
    assert table.fault or table.sent.startswith(b"SERVER_ERROR")


def test_whose_conversation_it_is() -> None:
    for first, claim in ((b"st", Claim.UNSURE), (b"stats\r\n", Claim.YES), (b"set a 0 0 1\r\n", Claim.YES),
                         (b"touch /tmp/a\n", Claim.UNSURE),
                         (b"\x80", Claim.YES), (b"\x80\xff", Claim.NO), (b"GET / HTTP/1.0", Claim.NO)):  # fmt: skip
        assert Memcached.claim(first) is claim, first
