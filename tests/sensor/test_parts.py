"""The small parts by themselves: listeners' text, addresses, the doorkeeper, the wheel."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from eudaemon.sensor.limits import Doorkeeper, plain_ip, subscriber
from eudaemon.sensor.runtime import without_unable
from eudaemon.sensor.settings import PORTS_MAX, Limits, Listener, SensorSettings, _listeners
from eudaemon.sensor.wheel import TICK_S, Wheel


def test_a_listener_is_read() -> None:
    assert Listener.parse("telnet tcp 23") == Listener(("telnet",), "tcp", (23,))
    assert Listener.parse(" telnet+http  tcp  7547,80-82,81 ") == Listener(
        ("telnet", "http"), "tcp", (7547, 80, 81, 82)
    )
    assert SensorSettings().listeners[0].rooms == ("telnet",)


def test_a_room_that_lacks_its_library_is_left_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    listen = ("ssh tcp 22", "ssh+http tcp 80,443", "telnet tcp 23")
    assert without_unable(SensorSettings(listen=listen)).listen == listen
    monkeypatch.setattr("eudaemon.protocols._door.find_spec", lambda name: None)
    assert without_unable(SensorSettings(listen=listen)).listen == ("http tcp 80,443", "telnet tcp 23")
    assert caplog.messages == [
        "the room ssh is not opened: it needs cryptography, which is not installed (pip install cryptography)"
    ]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("telnet 23", "not of the form"),
        ("tea tcp 23", "no room 'tea'"),
        ("telnet sctp 23", "neither tcp nor udp"),
        ("telnet+http udp 23", "share TCP ports only"),
        ("telnet tcp 0", "neither a port nor a range"),
        ("telnet tcp 65536", "neither a port nor a range"),
        ("telnet tcp 5-4", "neither a port nor a range"),
        ("telnet tcp 23,,24", "neither a port nor a range"),
        (f"telnet tcp 1-{PORTS_MAX + 1}", f"more than {PORTS_MAX} ports"),
    ],
)
def test_a_listener_that_cannot_be_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint.replace("+", r"\+")):
        Listener.parse(text)


def test_a_port_belongs_to_one_listener() -> None:
    _listeners(("telnet tcp 23", "catchall udp 23", "http tcp 80"))
    with pytest.raises(ValueError, match="tcp port 23 is taken by 'telnet tcp 20-25'"):
        _listeners(("telnet tcp 20-25", "http tcp 23"))
    with pytest.raises(ValueError, match=f"more than {PORTS_MAX} ports"):
        _listeners((f"telnet tcp 1-{PORTS_MAX}", "http tcp 5000"))


def test_addresses() -> None:
    assert plain_ip("::ffff:192.0.2.1") == "192.0.2.1"
    assert plain_ip("fe80::1%eth0") == "fe80::1"
    assert plain_ip("::ffff:0:1") == "::ffff:0:1"  # not a mapped address in the text that the kernel gives
    assert subscriber("192.0.2.1") != subscriber("192.0.2.2")
    assert subscriber("2001:db8:1:2::1") == subscriber("2001:db8:1:2:ffff::9")
    assert subscriber("2001:db8:1:2::1") != subscriber("2001:db8:1:3::1")


LIMITS = Limits(sessions_max=5, sessions_per_address_max=3, starts_per_address_minute_max=60, addresses_max=16)


def test_starts_are_allowed_again_at_an_even_pace() -> None:
    door = Doorkeeper(replace(LIMITS, sessions_max=1000, sessions_per_address_max=1000))
    assert sum(door.enter(b"a", 0.0) for _ in range(100)) == 60
    assert sum(door.enter(b"a", 10.0) for _ in range(100)) == 10
    assert sum(door.enter(b"a", 1000.0) for _ in range(100)) == 60
    assert door.take_refused() == {"starts_per_address_minute_max": 170}
    assert door.take_refused() == {}


def test_who_left_makes_room() -> None:
    door = Doorkeeper(LIMITS)
    assert [door.enter(b"a", 0.0) for _ in range(4)] == [True, True, True, False]
    assert [door.enter(b"b", 0.0) for _ in range(3)] == [True, True, False]
    door.leave(b"a")
    assert door.enter(b"b", 0.0)
    assert door.sessions == 5
    assert door.take_refused() == {"sessions_per_address_max": 1, "sessions_max": 1}


def test_addresses_without_sessions_are_forgotten_first() -> None:
    door = Doorkeeper(replace(LIMITS, sessions_max=100))
    for number in range(1000):
        key = number.to_bytes(4, "big")
        assert door.enter(key, 0.0)
        if number >= 10:
            door.leave(key)
    assert len(door._accounts) <= 16
    assert door.sessions == 10
    for number in range(1000, 1006):
        assert door.enter(number.to_bytes(4, "big"), 0.0)
    assert not door.enter(b"one more", 0.0)
    assert door.take_refused() == {"addresses_max": 1}


class Item:
    def __init__(self) -> None:
        self.tick = 0
        self.called: list[float] = []

    def due(self, now_s: float) -> None:
        self.called.append(now_s)


async def test_the_wheel_calls_when_it_is_time_and_never_before() -> None:
    loop = asyncio.get_running_loop()
    wheel = Wheel(loop)
    soon, later, dropped, moved = Item(), Item(), Item(), Item()
    begin_s = loop.time()
    for item, after_s in ((soon, 0.1), (later, 0.6), (dropped, 0.1), (moved, 0.1)):
        wheel.put(item, begin_s + after_s)
    wheel.drop(dropped)
    wheel.put(moved, begin_s + 0.6)
    while not (later.called and moved.called):
        await asyncio.sleep(0.05)
    assert len(soon.called) == len(later.called) == len(moved.called) == 1
    assert dropped.called == []
    assert soon.called[0] - begin_s >= 0.1
    assert later.called[0] - begin_s >= 0.6
    assert later.called[0] - soon.called[0] >= TICK_S
    assert soon.tick == 0
    wheel.put(soon, 0.0)  # what lies in the past is due at the next turn
    while len(soon.called) < 2:
        await asyncio.sleep(0.05)
    wheel.close()
