"""The MQTT broker: who is let in, what lies there, and that what is published is kept."""

from __future__ import annotations

import pytest

from eudaemon.events.catalogue import CommandEntered, LoginTried
from eudaemon.protocols._base import Claim
from eudaemon.protocols.mqtt import Mqtt
from eudaemon.protocols.mqtt.household import household_of
from eudaemon.protocols.mqtt.packets import (
    CONNECT,
    PACKET_BYTES_MAX,
    PROPERTIES_MAX,
    PUBLISH,
    SUBSCRIBE,
    matches,
    packet,
    text,
)
from eudaemon.protocols.mqtt.room import (
    FILTERS_MAX,
    KEPT_BYTES_MIN,
    KEPT_MAX,
    PACKETS_MAX,
    RETAINED_MAX,
    SUBSCRIPTIONS_MAX,
)
from eudaemon.testing.script import Table, play, visit
from eudaemon.wire import Purse
from eudaemon.world.host import Host
from eudaemon.world.seed import Seed

HOST = Host.from_seed(Seed(b"test"))
SCRIPT = r"""
> \x10\x10\x00\x04MQTT\x04\x02\x00\x1e\x00\x04nmap
< \x20\x02\x00\x00
! command.entered line='CONNECT 3.1.1 nmap'
> \x82\x08\x00\x01\x00\x03a/+\x01
< \x90\x03\x00\x01\x01
> \x32\x0a\x00\x03a/b\x00\x07hey
< \x40\x02\x00\x07\x30\x08\x00\x03a/bhey
! command.entered line='PUBLISH a/b hey'
> \x34\x05\x00\x01x\x00\x08\x62\x02\x00\x08\xc0\x00
< \x50\x02\x00\x08\x70\x02\x00\x08\xd0\x00
> \xa2\x07\x00\x02\x00\x03a/+
< \xb0\x02\x00\x02
> \x30\x06\x00\x03a/b!\xe0\x00
/ over
"""


def connect(level: int = 4, user: bytes | None = None, password: bytes = b"", more: bytes = b"") -> bytes:
    flags = 2 | (0xC0 if user is not None else 0)
    login = text(user) + text(password) if user is not None else b""
    properties = bytes((len(more),)) + more if level == 5 else b""
    return packet(CONNECT, text(b"MQTT") + bytes((level, flags, 0, 60)) + properties + text(b"") + login)


def publish(topic: bytes, message: bytes, flags: int = 0) -> bytes:
    return packet(PUBLISH, text(topic) + message, flags)


def subscribe(topic: bytes) -> bytes:
    return packet(SUBSCRIBE, b"\0\1" + text(topic) + b"\0", 2)


def talk(level: int = 4, bytes_max: int = 32 << 20) -> Table:
    table = Table(Mqtt(visit(host=HOST, port=1883, purse=Purse(bytes_max)))).open()
    table.say(connect(level))
    assert not table.fault
    return table


@pytest.mark.parametrize("split", [0, 1])
def test_what_a_client_sees(split: int) -> None:
    play(Mqtt, SCRIPT, split=split, given=visit(host=HOST))


@pytest.mark.parametrize(("level", "refused"), [(4, b"\x20\x02\0\x05"), (5, b"\x20\x03\0\x86\0")])
def test_who_is_let_in(level: int, refused: bytes) -> None:
    table = Table(Mqtt(visit(host=HOST))).open()
    assert table.say(connect(level, b"nobody", b"nothing")) == refused
    assert table.over
    assert LoginTried("nobody", "nothing", accepted=False) in table.facts
    table = Table(Mqtt(visit(host=HOST))).open()
    assert table.say(connect(level, b"root", b"xc3511"))[:1] == b"\x20"
    assert LoginTried("root", "xc3511", accepted=True) in table.facts
    assert not table.over


def test_what_lies_there() -> None:
    table = talk()
    everything = table.say(subscribe(b"#"))
    home = household_of(HOST)
    assert f"zigbee2mqtt/{home.sensors[0][0]}".encode() in everything
    assert b"$SYS" not in everything
    assert b"mosquitto version " in table.say(subscribe(b"$SYS/#"))
    before = len(table.sent)
    table.wait(60)
    assert b"zigbee2mqtt/" in table.sent[before:], "a home lives"


def test_version_5() -> None:
    table = talk(5)
    body = b"\0\1" + b"\x02\x0b\x07" + text(b"a") + b"\0"
    assert table.say(packet(SUBSCRIBE, body, 2)) == b"\x90\x04\0\1\0\0"
    assert table.say(packet(PUBLISH, text(b"a") + b"\x00hey")) == b"\x30\x09\0\1a\x02\x0b\x07hey"
    table = talk(5)
    pair = b"\x26" + text(b"a") + text(b"b")
    table.say(packet(PUBLISH, text(b"a") + b"\x07" + pair + b"x"))
    assert CommandEntered("PUBLISH a x") in table.facts


def test_what_is_published_is_kept() -> None:
    table = talk()
    message = b"\x7fELF" + bytes(KEPT_BYTES_MIN)
    table.say(publish(b"files/bot", message) + publish(b"small", b"x"))
    assert [(keep.name, keep.data) for keep in table.kept] == [("files/bot", message)]
    table.say(publish(b"cmnd/lamp/OtaUrl", b"http://192.0.2.9/fw.bin"))
    assert [wish.download.url for wish in table.wishes] == ["http://192.0.2.9/fw.bin"]


def test_what_is_retained_is_found_again_until_it_is_emptied() -> None:
    table = talk()
    table.say(publish(b"owned", b"yes", 1))
    assert table.say(subscribe(b"owned")) == b"\x90\x03\0\1\0\x31\x0a\0\x05ownedyes"
    table.say(publish(b"owned", b"", 1))
    assert table.say(subscribe(b"owned")) == b"\x90\x03\0\1\0"


@pytest.mark.parametrize(
    ("topic", "wanted", "meant"),
    [
        (b"a/b", b"a/b", True), (b"a/b", b"a/+", True), (b"a/b", b"#", True), (b"a", b"a/#", True),
        (b"a/b", b"+", False),
        (b"a/b/c", b"a/+", False), (b"$SYS/x", b"#", False), (b"$SYS/x", b"+/x", False), (b"$SYS/x", b"$SYS/#", True),
        (b"a/", b"a/+", True), (b"a", b"b", False),
    ],
)  # fmt: skip
def test_which_topics_a_filter_means(topic: bytes, wanted: bytes, meant: bool) -> None:
    assert matches(topic, wanted) is meant


@pytest.mark.parametrize(
    "data", [b"\x10\x0a\0\4HTTP\4\2\0\0", b"\x30\x03\0\1a", b"\x10\x02\0\x09", b"\x10\xff\xff\xff\xff", connect(9)]
)
def test_what_is_no_client(data: bytes) -> None:
    table = Table(Mqtt(visit(host=HOST))).open()
    table.say(data)
    assert table.fault


def test_limits() -> None:
    for past in (0, 1):
        table = talk()
        table.say(b"\x30" + packet(PUBLISH, bytes(PACKET_BYTES_MAX + past))[1:5])
        assert bool(table.fault) == bool(past)
        table = talk()
        table.say(b"\xc0\0" * (PACKETS_MAX - 1 + past))
        assert bool(table.fault) == bool(past)
        table = talk()
        table.say(subscribe(b"none") * (FILTERS_MAX + past))
        assert bool(table.fault) == bool(past)
        table = talk()
        for number in range(SUBSCRIPTIONS_MAX + past):
            table.say(subscribe(b"s%d" % number))
        assert bool(table.fault) == bool(past)
        table = Table(Mqtt(visit(host=HOST))).open()
        table.say(connect(5, more=b"\x17\1" * (PROPERTIES_MAX + past)))
        assert bool(table.fault) == bool(past)
    table = talk()
    for number in range(KEPT_MAX + 1):
        table.say(publish(b"a", bytes(KEPT_BYTES_MIN)))
        table.say(publish(b"r%d" % number, b"x", 1))
    assert len(table.kept) == KEPT_MAX
    for number in range(RETAINED_MAX + 1):
        table.say(publish(b"r%d" % number, b"x", 1))
    assert table.say(subscribe(b"r0")).endswith(b"r0x")
    assert table.say(subscribe(b"r%d" % RETAINED_MAX)) == b"\x90\x03\0\1\0"
    table.say(subscribe(b"big"))
    for _ in range(3):
        table.say(publish(b"big", bytes(PACKET_BYTES_MAX // 2)))
    assert "reads over" in table.fault


def test_no_two_homes_are_alike() -> None:
    homes = [household_of(Host.from_seed(Seed(b"%d" % number))) for number in range(24)]
    assert len({str(list(home.retained(0.0))) for home in homes}) == 24


def test_whose_conversation_it_is() -> None:
    for first, claim in ((b"\x10", Claim.UNSURE), (connect(), Claim.YES), (b"GET / HTTP/1.0", Claim.NO)):
        assert Mqtt.claim(first) is claim, first
