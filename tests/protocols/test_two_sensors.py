"""No two sensors are alike: whoever knows one cannot tell by its answers that another is one too.

Sensors of the same persona are asked the same, each in a session of its own. Their answers differ, no value that is
drawn is the same in two of them, and none is kept from one session to the next that should be drawn anew.
"""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import combinations

import pytest

from eudaemon.protocols import ROOMS, load
from eudaemon.protocols.rdp.pdus import ts_request
from eudaemon.testing.script import Table, visit
from eudaemon.world.host import Host
from eudaemon.world.seed import Seed
from protocols import rdp_client
from protocols.smb_client import hello
from protocols.test_every_room import OPENINGS
from protocols.test_ldap import bind, search
from protocols.test_ntp import QUESTION
from protocols.test_s7 import CONNECT, LIST

SENSORS = 8
# What is asked besides the opening, of rooms whose opening is answered with the protocol's own words alone.
ASKED = {
    "distcc": (b"DIST00000001ARGC00000003ARGV00000002shARGV00000002-cARGV00000012cat /proc/cpuinfo;DOTI00000000",),
    "elasticsearch": (b"GET /_nodes HTTP/1.1\r\nHost: a\r\n\r\n",),
    "git": (b"0018git-upload-pack /app\0",),
    "ipp": (b"POST / HTTP/1.1\r\nContent-Type: application/ipp\r\nContent-Length: 9\r\n\r\n\1\1\0\x0b\0\0\0\1\3",),
    "sh": (b"cat /etc/shadow /proc/cpuinfo /proc/version; uname -a; hostname\n",),
    "java": (b"\0" * 11,),
    "jdwp": (b"\0\0\0\x0b\0\0\0\1\0\1\1",),
    "jenkins": (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",),
    "ldap": (bind(), search("", 0, names=(b"+",))),
    "memcached": (b"stats\r\n",),
    "modbus": (b"\0\1\0\0\0\2\1\x11", b"\0\1\0\0\0\6\1\3\0\0\0\x40"),
    "netbios": (b"\0\7\0\0\0\1\0\0\0\0\0\0\x20CK" + b"A" * 30 + b"\0\0\x21\0\1",) * 4,
    "ntp": (QUESTION,),
    "pptp": (b"\0\x9c\0\1\x1a\x2b\x3c\x4d\0\1\0\0" + bytes(144),),
    "proxy": (b"GET / HTTP/1.0\r\n\r\n",),
    "redis": (b"INFO\r\n",),
    "s7": (CONNECT, bytes.fromhex(LIST.format(0x1C))),
    "snmp": (b"\x30\x25\2\1\1\4\6public\xa5\x18\2\1\1\2\1\0\2\1\x7f\x30\x0d\x30\x0b\6\7\x2b\6\1\2\1\1\1\5\0",),
    "socks": (b"\5\2\0\2", b"\1\4root\4root"),
    "tftp": (b"\0\1/etc/hostname\0octet\0",),
    "rdp": (rdp_client.request(b"mstshash=x"), ts_request(6, token=hello())),
    "docker": (b"GET /info HTTP/1.1\r\nHost: a\r\n\r\n",),
}
UDP = ("netbios", "ntp", "tftp")
# Rooms that answer alike everywhere, and why.
CONSTANT = {
    "catchall": "it says nothing of its own",
    "smartinstall": "it says that it is there, and no more",
}
# What is drawn for each installation, and for each session, as it stands in an answer.
HOSTS_OWN = {
    "ldap": rb"namingContexts1.\x04.([^0]+)",
    "mongodb": rb"processId\0(.{12})",
    "redis": rb"run_id:(\w{40})",
}
SESSIONS_OWN = {
    "mysql": rb"\n[5-8]\.[^\0]+\0.{4}(.{8})\0",
    "postgres": rb"K\0\0\0\x0c(.{8})",
    "sip": rb'nonce="([^"]+)"',
    "smb": rb"NTLMSSP\0\x02\0\0\0.{12}(.{8})",
    "ssh": rb"\x14(.{16})",
}
# What looks drawn: long numbers in hex or base64, and UUIDs.
LOOKS_DRAWN = re.compile(
    rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{16,}|[0-9A-F]{16,}|[0-9A-Za-z+]{27,}={0,2}"
)
# And is not: the second replication id of a Redis that never was a replica; distcc's parts, which stand without gaps.
FIXED = re.compile(rb"0{40}|(?:DOTO00000000)?DONE00000001STAT\w{20}SOUT\w+=?|DOTO00000000")


def answers(name: str, sensor: int, session: int = 0) -> bytes:
    """Return all that a sensor says to a session that asks everything."""
    seed = Seed(b"sensor %d" % sensor)
    transport = "udp" if name in UDP else "tcp"
    given = visit(host=Host.from_seed(seed, persona="gateway"), transport=transport, tls=name == "kubelet",
                  can_tls=name == "rdp")  # fmt: skip
    said = b""
    for questions in (OPENINGS.get(name, ()), ASKED.get(name, ())):
        table = Table(load(name)(replace(given, seed=seed.child(f"session {session}")))).open()
        for question in questions:
            table.say(question)
        table.wait(30)
        said += table.sent
    return said


@pytest.fixture(scope="module", params=ROOMS)
def room(request: pytest.FixtureRequest) -> tuple[str, list[bytes]]:
    return request.param, [answers(request.param, sensor) for sensor in range(SENSORS)]


def test_their_answers_differ(room: tuple[str, list[bytes]]) -> None:
    name, said = room
    assert (len(set(said)) == 1) == (name in CONSTANT), said[0]


def test_nothing_that_looks_drawn_is_shared(room: tuple[str, list[bytes]]) -> None:
    name, said = room
    asked = b"".join((*OPENINGS.get(name, ()), *ASKED.get(name, ())))
    found = [
        {value for value in LOOKS_DRAWN.findall(each) if value not in asked and re.search(rb"\d", value)}
        for each in said
    ]
    shared = {value for one, other in combinations(found, 2) for value in one & other}
    assert not {value for value in shared if not FIXED.fullmatch(value)}


@pytest.mark.parametrize("name", [*HOSTS_OWN, *SESSIONS_OWN])
def test_what_is_drawn_is_never_the_same(name: str) -> None:
    pattern = re.compile(HOSTS_OWN.get(name) or SESSIONS_OWN[name], re.DOTALL)

    def drawn(sensor: int, session: int) -> bytes:
        found = pattern.search(answers(name, sensor, session))
        assert found, name
        return found[1]

    assert len({drawn(sensor, 0) for sensor in range(SENSORS)}) == SENSORS
    assert (drawn(0, 0) == drawn(0, 1)) == (name in HOSTS_OWN)
