"""The git daemon: who clones and pushes what, packs in any pieces, and what is neither."""

from __future__ import annotations

import hashlib
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eudaemon.events.catalogue import CommandEntered, FileRequested
from eudaemon.protocols.git import Git, pack, room
from eudaemon.protocols.git.pack import BLOB, COMMIT, PackEnd, made, named
from eudaemon.protocols.git.repository import NAMES, repository_of
from eudaemon.testing.script import Table, visit
from eudaemon.wire import PeerError
from eudaemon.world.host import Host
from eudaemon.world.seed import Seed

HOST = Host.from_seed(Seed(b"test"))
THERE = next(name for name in NAMES if repository_of(HOST, name))
MISSING = next(name for name in NAMES if not repository_of(HOST, name))
REPOSITORY = repository_of(HOST, THERE)
assert REPOSITORY
HEAD = REPOSITORY.head
CONTENTS = [(BLOB, b""), (BLOB, b"#!/bin/sh\n" * 999), (COMMIT, b"tree x\n")]
NEW = "1" * 40


def line(text: str) -> bytes:
    return b"%04x%s" % (len(text) + 4, text.encode())


def talk() -> Table:
    return Table(Git(visit(host=HOST, port=9418))).open()


def begin(service: str, name: str = THERE, *, split: int = 0) -> tuple[Table, bytes]:
    table = talk()
    return table, table.say(line(f"git-{service} /srv/{name}.git\0host=192.0.2.1\0"), split)


@pytest.mark.parametrize("split", [0, 1])
def test_a_clone(split: int) -> None:
    table, references = begin("upload-pack", split=split)
    assert references.startswith(
        f"{len(references.split(b'0000')[0].split(chr(10).encode())[0]) + 1:04x}{HEAD} HEAD".encode()
    )
    assert references.endswith(line(f"{HEAD} refs/heads/master\n") + b"0000")
    assert table.say(line("deepen 1\n") + b"0000", split) == b"0000"
    sent = table.say(line(f"want {HEAD} ofs-delta\n") + b"0000" + line("done\n"), split)
    assert sent.startswith(b"0008NAK\nPACK\0\0\0\2\0\0\0\4")
    assert sent[-20:] == hashlib.sha1(sent[8:-20], usedforsecurity=False).digest()
    assert table.over
    assert table.facts == [
        CommandEntered(f"git-upload-pack /srv/{THERE}.git host=192.0.2.1"), FileRequested("read", f"/srv/{THERE}.git"),
    ]  # fmt: skip


@pytest.mark.parametrize("split", [0, 1, 7])
def test_a_pack_in_any_pieces(split: int) -> None:
    table, references = begin("receive-pack")
    assert b"report-status" in references
    whole = made(CONTENTS)
    update = line(f"{HEAD} {NEW} refs/heads/master\0 report-status")
    told = table.say(update + b"0000" + whole, split)
    assert told == b"000eunpack ok\n" + line("ok refs/heads/master\n") + b"0000"
    assert [(keep.data, keep.origin, keep.name, keep.partial) for keep in table.kept] == [
        (whole, "upload", f"/srv/{THERE}.git.pack", False)
    ]
    assert FileRequested("write", f"/srv/{THERE}.git") in table.facts
    table.end()
    assert table.room.visit.purse.bytes_taken == 0


def test_what_breaks_off_is_kept_as_a_part() -> None:
    table, _ = begin("receive-pack")
    half = made(CONTENTS)[:-30]
    table.say(line(f"{HEAD} {NEW} refs/heads/master\0 report-status") + b"0000" + half)
    table.end()
    assert [(keep.data, keep.partial) for keep in table.kept] == [(half, True)]
    assert table.room.visit.purse.bytes_taken == 0


def test_what_is_deleted_brings_no_pack() -> None:
    table, _ = begin("receive-pack")
    update = line(f"{HEAD} {'0' * 40} refs/heads/master\0 report-status side-band-64k")
    assert table.say(update + b"0000").endswith(b"\x01000eunpack ok\n" + line("ok refs/heads/master\n") + b"00000000")
    table, _ = begin("receive-pack")
    assert table.say(b"0000") == b""
    assert table.over


@pytest.mark.parametrize(
    ("service", "name", "says"),
    [("upload-pack", MISSING, "access denied"), ("receive-pack", "x", "access denied"),
     ("upload-archive", THERE, "service not enabled")],
)  # fmt: skip
def test_what_is_refused(service: str, name: str, says: str) -> None:
    table, said = begin(service, name)
    assert f"ERR {says}".encode() in said
    assert table.over
    assert [fact.done for fact in table.facts if isinstance(fact, FileRequested)] == [False]


@given(st.lists(st.tuples(st.sampled_from([BLOB, COMMIT]), st.binary(max_size=300)), max_size=5), st.integers(1, 50))
def test_where_a_pack_ends(objects: list[tuple[int, bytes]], size: int) -> None:
    whole = made(objects) + b"rest"
    end = PackEnd()
    for at in range(0, len(whole), size):
        rest = end.feed(whole[at : at + size])
        if rest is not None:
            assert len(whole[: at + size]) - len(rest) == len(whole) - len(b"rest")
            return
    raise AssertionError("it has no end")


def test_deltas_and_names() -> None:
    assert named(BLOB, b"hello\n").hex() == "ce013625030ba8dba906f756967f9e9ca394464a"  # as `git hash-object` says
    content = zlib.compress(b"delta")
    body = b"PACK\0\0\0\2\0\0\0\2" + b"\x65\x81\2" + content + b"\x75" + bytes(20) + content
    assert PackEnd().feed(body + bytes(20) + b"x") == b"x"
    assert PackEnd().feed(b"PACK\0\0\0\2\0\0\0\0" + bytes(20)) == b""


@pytest.mark.parametrize(
    "body",
    [b"PACX\0\0\0\2\0\0\0\1", b"PACK\0\0\0\4\0\0\0\1", b"PACK\0\0\0\2\0\0\0\1\x30abcdefgh",
     b"PACK\0\0\0\2\0\0\0\1" + b"\xb0" * 10, b"PACK\0\0\0\2" + struct.pack(">I", pack.OBJECTS_MAX + 1)],
)  # fmt: skip
def test_what_is_no_pack(body: bytes) -> None:
    with pytest.raises(PeerError):
        PackEnd().feed(body)


def test_a_pack_that_inflates_without_end() -> None:
    zeros = zlib.compress(bytes(pack.INFLATED_BYTES_MAX // 2))
    head = b"PACK\0\0\0\2\0\0\0\3"
    assert PackEnd().feed(head + (b"\x30" + zeros) * 2) is None
    with pytest.raises(PeerError):
        PackEnd().feed(head + (b"\x30" + zeros) * 2 + b"\x30" + zlib.compress(b"x"))


def test_limits() -> None:
    table, _ = begin("upload-pack")
    for _ in range(room.LINES_MAX - 1):
        table.say(line("have 1"))
    assert not table.fault
    table.say(line("have 1"))
    assert "lines" in table.fault
    table, _ = begin("receive-pack")
    for number in range(room.UPDATES_MAX):
        table.say(line(f"{HEAD} {NEW} refs/heads/{number}"))
    assert not table.fault
    table.say(line(f"{HEAD} {NEW} refs/heads/x"))
    assert "references" in table.fault
    table, _ = begin("receive-pack")
    table.say(line(f"{HEAD} {NEW} refs/heads/x") + b"0000" + b"PACK\0\0\0\2\0\0\0\1\x30")
    stored = zlib.compressobj(0)
    data = stored.compress(bytes(room.PACK_BYTES_MAX)) + stored.flush()
    for at in range(0, len(data), 65_536):
        table.say(data[at : at + 65_536])
    assert "pack over" in table.fault
    for rubbish in (b"GET /", b"0001", b"0004", b"fffff"):
        table = talk()
        table.say(rubbish)
        assert table.fault, rubbish


def test_no_two_installations_are_alike() -> None:
    heads = [one.head for number in range(24) for name in NAMES
             if (one := repository_of(Host.from_seed(Seed(b"%d" % number)), name))]  # fmt: skip
    assert len(set(heads)) == len(heads) > 100
    claims = [Git.claim(line("git-upload-pack /x\0")[:size]) for size in range(1, 12)]
    assert claims == sorted(claims)
