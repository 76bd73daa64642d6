"""TFTP: files of every size are kept, nothing said is longer than what was heard, and lost packets cost nothing."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eudaemon.events.catalogue import FileRequested
from eudaemon.protocols._base import Claim
from eudaemon.protocols.tftp import RETRIES_MAX, RETRY_S, TRANSFERS_MAX, Tftp
from eudaemon.testing.script import Table, visit
from eudaemon.wire import Purse
from eudaemon.world.host import Host
from eudaemon.world.seed import Seed
from payload.servers import SIZES, content

HOST = Host.from_seed(Seed(b"test"))
WRITE = b"\0\2bot\0octet\0"


def talk(bytes_max: int = 32 << 20) -> Table:
    return Table(Tftp(visit(host=HOST, transport="udp", port=69, purse=Purse(bytes_max)))).open()


def data(number: int, block: bytes) -> bytes:
    return struct.pack("!HH", 3, number & 0xFFFF) + block


def ack(number: int) -> bytes:
    return struct.pack("!HH", 4, number & 0xFFFF)


def upload(table: Table, whole: bytes, block_bytes: int = 512) -> None:
    for at in range(0, len(whole) + 1, block_bytes):
        number = at // block_bytes + 1
        assert table.say(data(number, whole[at : at + block_bytes])) == ack(number)


@pytest.mark.parametrize("size", SIZES)
def test_a_file_of_any_size_is_kept_byte_for_byte(size: int) -> None:
    block_bytes = 512 if size < 100_000 else 1428
    table = talk()
    if block_bytes == 512:
        assert table.say(WRITE) == ack(0)
    else:
        said = table.say(WRITE + b"blksize\x001428\0tsize\x00%d\0timeout\x003\0windowsize\x004\0" % size)
        assert said == b"\0\6blksize\x001428\0tsize\x00%d\0timeout\x003\0" % size
    upload(table, content(size), block_bytes)
    assert [(keep.data, keep.origin, keep.name, keep.partial) for keep in table.kept] == [
        (content(size), "upload", "bot", False)
    ]
    assert table.facts == [FileRequested("write", "bot")]
    assert table.room.visit.purse.bytes_taken == 0


def test_block_numbers_wrap_around() -> None:
    table = talk()
    table.say(WRITE + b"blksize\x008\0")
    upload(table, content(8 * 66_000), 8)
    assert [keep.data for keep in table.kept] == [content(8 * 66_000)]


def test_what_is_lost_is_said_again() -> None:
    table = talk()
    assert table.say(WRITE) == table.say(WRITE) == ack(0)
    assert table.say(data(1, b"x" * 512)) == table.say(data(1, b"x" * 512)) == ack(1)
    assert table.say(data(5, b"out of turn")) == b""
    assert table.say(data(2, b"x" * 513)) == b""  # larger than agreed on
    table.sent = b""
    table.wait(RETRY_S * (RETRIES_MAX + 3))
    assert table.sent == ack(1) * RETRIES_MAX
    assert table.say(data(2, b"end")) == table.say(data(2, b"end")) == ack(2)
    assert [keep.data for keep in table.kept] == [b"x" * 512 + b"end"]
    table.end()
    assert len(table.kept) == 1


def test_a_file_that_breaks_off_is_kept_as_a_part() -> None:
    for end in (b"\0\5\0\0no\0", b"\0\2other\0octet\0", b""):
        table = talk()
        table.say(WRITE)
        table.say(data(1, b"x" * 512))
        if end:
            table.say(end)
        table.end()
        assert [(len(keep.data), keep.partial) for keep in table.kept] == [(512, True)]


def test_small_files_are_given_and_others_refused() -> None:
    table = talk()
    name = f"{HOST.name}\n".encode()
    assert table.say(b"\0\1/etc/hostname\0octet\0") == data(1, name)
    assert talk().say(b"\0\1/etc/passwd\0octet\0") == b"\0\5\0\2Access violatio\0"
    assert talk().say(b"\0\1/nowhere/at/all\0octet\0") == b"\0\5\0\1File not found\0"
    assert talk().say(b"\0\1x\0octet\0") == b"\0\5\0\1File \0"
    assert talk().say(b"\0\1x\0strange\0") == b"\0\5\0\4Illegal\0"
    assert talk().say(b"\0\7\0\0") == b""


REQUESTS = [WRITE, WRITE + b"blksize\x0016\0", b"\0\1/etc/hostname\0octet\0", b"\0\1x\0octet\0", b"\0\4\0\0",
            b"\0\5\0\0\0", data(1, b"x" * 16), data(2, b"x"), data(1, b"x" * 512)]  # fmt: skip


@given(st.lists(st.binary(max_size=60) | st.sampled_from(REQUESTS), max_size=12))
def test_never_more_is_said_than_was_heard(packets: list[bytes]) -> None:
    table, heard = talk(), 0
    for packet in packets:
        heard += len(packet)
        table.say(packet)
        table.wait(RETRY_S)
        assert len(table.sent) <= heard


def test_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eudaemon.protocols.tftp.FILE_BYTES_MAX", 1024)
    table = talk()
    table.say(WRITE)
    assert table.say(data(1, b"x" * 512)) + table.say(data(2, b"x" * 512)) == ack(1) + ack(2)
    assert table.say(data(3, b"x")) == b"\0\5\0\3Disk full\0"
    assert [(len(keep.data), keep.partial) for keep in table.kept] == [(1024, True)]
    table = talk(bytes_max=600)
    table.say(WRITE)
    table.say(data(1, b"x" * 512))
    table.say(data(2, b"x" * 512))
    assert [(len(keep.data), keep.partial) for keep in table.kept] == [(512, True)]
    table = talk()
    for _ in range(TRANSFERS_MAX):
        assert table.say(b"\0\2a\0octet\0") == ack(0)
        assert table.say(data(1, b"x")) == ack(1)
    assert table.say(b"\0\2a\0octet\0") == b""


def test_claims() -> None:
    assert Tftp.claim(WRITE) is Claim.YES
    assert Tftp.claim(b"\0") is Claim.UNSURE
    assert Tftp.claim(b"\0\1\0\0") is Claim.YES
    assert Tftp.claim(b"GET /") is Claim.NO
