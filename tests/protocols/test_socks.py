"""SOCKS 4, 4a and 5: whom it is to reach, logins, and answers that say no."""

from __future__ import annotations

import pytest

from eudaemon.events.catalogue import LoginTried, ProxyAsked
from eudaemon.protocols.socks import NAME_BYTES_MAX, Socks
from eudaemon.testing.script import Table, play, visit
from eudaemon.world.host import Host
from eudaemon.world.seed import Seed

HOSTS = [Host.from_seed(Seed(b"%d" % number)) for number in range(24)]
OPEN, CLOSED = (next(host for host in HOSTS if host.seed.child("socks").number("login", 2) == asks) for asks in (0, 1))
TO = b"\xcb\0\x71\x09"  # 203.0.113.9


def talk(host: Host = OPEN) -> Table:
    return Table(Socks(visit(host=host, port=1080))).open()


@pytest.mark.parametrize("split", [0, 1])
def test_five(split: int) -> None:
    play(Socks, r"""
        > \x05\x01\x00
        < \x05\x00
        > \x05\x01\x00\x03\x0bexample.net\x01\xbb
        < \x05\x04\x00\x01\x00\x00\x00\x00\x00\x00
        ! proxy.asked protocol='socks5' action='connect' host='example.net' port=443
        / over
    """, split=split, given=visit(host=OPEN))  # fmt: skip


@pytest.mark.parametrize(
    ("request_", "fact", "code"),
    [
        (b"\5\1\0\1" + TO + b"\0\x19", ProxyAsked("socks5", "connect", "203.0.113.9", 25), 5),
        (b"\5\1\0\4\x20\1\x0d\xb8" + bytes(11) + b"\1\0\x50", ProxyAsked("socks5", "connect", "2001:db8::1", 80), 5),
        (b"\5\3\0\1" + TO + b"\0\x35", ProxyAsked("socks5", "associate", "203.0.113.9", 53), 7),
        (b"\5\2\0\1" + TO + b"\0\x35", ProxyAsked("socks5", "bind", "203.0.113.9", 53), 7),
        (b"\5\1\0\x09" + TO + b"\0\x35", None, 8),
    ],
)
def test_what_five_is_asked(request_: bytes, fact: ProxyAsked | None, code: int) -> None:
    table = talk()
    table.say(b"\5\2\0\2")
    assert table.say(request_)[:2] == bytes((5, code))
    assert [one for one in table.facts if isinstance(one, ProxyAsked)] == ([fact] if fact else [])
    assert table.over


def test_logins() -> None:
    table = talk(CLOSED)
    assert table.say(b"\5\2\0\2") == b"\5\2"
    assert table.say(b"\1\6nobody\6at all") == b"\1\1"
    assert table.over
    assert LoginTried("nobody", "at all", accepted=False) in table.facts
    table, user = talk(CLOSED), CLOSED.users[0]
    password = next(one for one in (b"root", b"admin", b"12345", b"xc3511", b"password", b"1234", b"")
                    if CLOSED.accepts(user, one))  # fmt: skip
    login = b"\1" + bytes((len(user),)) + user + bytes((len(password),)) + password
    assert table.say(b"\5\1\2" + login) == b"\5\2\1\0"
    assert table.say(b"\5\1\0\1" + TO + b"\0\x50")[:2] == b"\5\5"
    assert talk(CLOSED).say(b"\5\1\0") == b"\5\xff"
    assert talk(OPEN).say(b"\5\1\2") == b"\5\2", "who offers nothing else may say who he is"
    assert talk(OPEN).say(b"\5\1\1") == b"\5\xff"


@pytest.mark.parametrize("split", [0, 1])
def test_four(split: int) -> None:
    table = talk()
    assert table.say(b"\4\1\0\x50" + TO + b"mallory\0", split) == b"\0\x5b\0\x50" + TO
    assert table.over
    table.end()
    assert table.facts == [
        LoginTried("mallory", None, accepted=True), ProxyAsked("socks4", "connect", "203.0.113.9", 80),
    ]  # fmt: skip
    table = talk()
    table.say(b"\4\1\1\xbb\0\0\0\1\0example.net\0", split)
    assert table.facts == [ProxyAsked("socks4a", "connect", "example.net", 443)]


def test_limits_and_rubbish() -> None:
    for begins in (b"\4\1\0\x50" + TO, b"\4\1\0\x50\0\0\0\1\0"):
        table = talk()
        table.say(begins + b"x" * NAME_BYTES_MAX)
        assert not table.over
        table.say(b"x")
        assert "over 255 bytes" in table.fault
    table = talk()
    table.say(b"GET /")
    assert table.fault
