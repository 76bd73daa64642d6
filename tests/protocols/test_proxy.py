"""Requests for a proxy: whom they are to reach is stated, and an upstream that cannot be reached is told of."""

from __future__ import annotations

import base64

import pytest

from eudaemon.events.catalogue import ExploitRecognised, LoginTried, ProxyAsked
from eudaemon.protocols._base import Claim
from eudaemon.protocols.http import Http
from eudaemon.protocols.proxy import Proxy, _squid_of
from eudaemon.testing.script import Table, visit
from eudaemon.world.host import Host
from eudaemon.world.seed import Seed

HOSTS = [Host.from_seed(Seed(b"%d" % number)) for number in range(60)]
OPEN = next(host for host in HOSTS if not _squid_of(host).realm)
CLOSED = next(host for host in HOSTS if _squid_of(host).realm)


def talk(host: Host = OPEN) -> Table:
    return Table(Proxy(visit(host=host, port=3128))).open()


def asked(table: Table) -> list[ProxyAsked]:
    return [fact for fact in table.facts if isinstance(fact, ProxyAsked)]


@pytest.mark.parametrize(
    ("line", "fact", "error"),
    [
        ("CONNECT 203.0.113.9:25", ProxyAsked("http", "CONNECT", "203.0.113.9", 25), "ERR_CONNECT_FAIL 11"),
        ("CONNECT example.net:443", ProxyAsked("http", "CONNECT", "example.net", 443), "ERR_DNS_FAIL 0"),
        ("CONNECT [2001:db8::1]:22", ProxyAsked("http", "CONNECT", "2001:db8::1", 22), "ERR_CONNECT_FAIL 11"),
        ("CONNECT example.net", ProxyAsked("http", "CONNECT", "example.net", 443), "ERR_DNS_FAIL 0"),
        ("GET http://203.0.113.9/a?b=http://c/", ProxyAsked("http", "GET", "203.0.113.9", 80), "ERR_CONNECT_FAIL 11"),
        ("GET https://u:p@example.net:8443/", ProxyAsked("http", "GET", "example.net", 8443), "ERR_DNS_FAIL 0"),
        ("GET ftp://example.net", ProxyAsked("http", "GET", "example.net", 21), "ERR_DNS_FAIL 0"),
        ("GET http://a_b</", ProxyAsked("http", "GET", "a_b<", 80), "ERR_INVALID_URL 0"),
    ],
)
def test_whom_it_is_to_reach(line: str, fact: ProxyAsked, error: str) -> None:
    table = talk()
    sent = table.say(f"{line} HTTP/1.1\r\nHost: example.net\r\n\r\n".encode())
    assert asked(table) == [fact]
    assert sent.startswith(b"HTTP/1.1 503 Service Unavailable\r\nServer: squid/")
    assert f"\r\nX-Squid-Error: {error}".encode() in sent
    assert b"a_b<" not in sent
    assert table.over == line.startswith("CONNECT")
    assert (b"\r\nVia: 1.1 " in sent) == (not (line.startswith("CONNECT")))


def test_a_login() -> None:
    table = talk(CLOSED)
    ask = "GET http://203.0.113.9/ HTTP/1.1\r\nHost: a\r\n{}\r\n"
    sent = table.say(ask.format("").encode())
    assert sent.startswith(b"HTTP/1.1 407 ")
    assert b'\r\nProxy-Authenticate: Basic realm="' in sent
    user = CLOSED.users[0]
    password = next(one for one in (b"root", b"admin", b"12345", b"xc3511", b"password", b"1234", b"")
                    if CLOSED.accepts(user, one))  # fmt: skip
    for login, status in ((b"nobody:at all", b"407"), (user + b":" + password, b"503")):
        header = f"Proxy-Authorization: Basic {base64.b64encode(login).decode()}\r\n"
        assert table.say(ask.format(header).encode()).split(b" ")[1] == status
    tried = [(fact.user, fact.accepted) for fact in table.facts if isinstance(fact, LoginTried)]
    assert tried == [("nobody", False), (user.decode(), True)]
    assert len(asked(table)) == 3


def test_what_is_brought_along_is_kept() -> None:
    table = talk()
    table.say(b"POST http://169.254.169.254/latest HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
    assert [(keep.data, keep.origin) for keep in table.kept] == [(b"abc", "payload")]
    assert ExploitRecognised("proxy-to-metadata", "T1552.005", "http://169.254.169.254/latest") in table.facts


def test_what_is_for_no_proxy() -> None:
    sent = talk().say(b"GET / HTTP/1.0\r\n\r\n")
    assert sent.startswith(b"HTTP/1.1 400 Bad Request\r\nServer: squid/")
    assert b"\r\nX-Squid-Error: ERR_INVALID_URL 0\r\n" in sent
    sent = talk().say(b"rubbish\r\n\r\n")
    assert sent.startswith(b"HTTP/1.1 400 ")
    assert b"<!-- ERR_" in sent
    assert len({talk(host).say(b"GET / HTTP/1.0\r\n\r\n") for host in HOSTS}) == len(HOSTS)


def test_whose_conversation_it_is() -> None:
    for said in (
        b"GET http://example.net/ HTTP/1.1",
        b"CONNECT example.net:443 HTTP/1.1",
        b"POST HTTPS://example.net/",
    ):
        claims = [Proxy.claim(said[:size]) for size in range(1, len(said))]
        assert claims == sorted(claims), said
        assert claims[-1] == Claim.YES
    assert Proxy.claim(b"GET x\r\n") == Claim.NO


def test_the_web_server_as_a_proxy() -> None:
    table = Table(Http(visit(port=80))).open()
    table.say(b"GET http://192.0.2.1/ HTTP/1.1\r\nHost: 192.0.2.1\r\n\r\n")
    assert not asked(table), "an absolute URL of its own is for itself"
    table = Table(Http(visit(port=80))).open()
    table.say(b"GET http://example.net/ HTTP/1.1\r\nHost: example.net\r\n\r\n")
    assert asked(table) == [ProxyAsked("http", "GET", "example.net", 80)]
    table = Table(Http(visit(port=80))).open()
    assert table.say(b"CONNECT example.net:443 HTTP/1.1\r\nHost: example.net\r\n\r\n").split(b" ")[1] == b"501"
    assert asked(table) == [ProxyAsked("http", "CONNECT", "example.net", 443)]
