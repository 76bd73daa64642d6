"""Whoever tries a list of passwords finds one, the same at all doors; another address may find another."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest

from eudaemon.events import Endpoint
from eudaemon.events.catalogue import LoginTried
from eudaemon.protocols._accounts import WINDOWS, admits, is_settled
from eudaemon.protocols._base import Visit
from eudaemon.protocols._remembered import ENTRIES_MAX
from eudaemon.protocols.ftp import Ftp
from eudaemon.protocols.http import Http
from eudaemon.protocols.pop3 import Pop3
from eudaemon.protocols.telnet import Telnet
from eudaemon.testing.script import Table, visit
from eudaemon.world.memory import Memory
from eudaemon.world.users import known_passwords

LIST = known_passwords(b"root")


def tried(room: type[Telnet | Ftp | Http | Pop3], who: Visit, password: bytes) -> bool:
    """Try one password for root in a connection of its own; say whether it was right."""
    table = Table(room(who))
    table.open()
    if room is Http:
        table.say(b"GET / HTTP/1.0\r\nAuthorization: Basic " + base64.b64encode(b"root:" + password) + b"\r\n\r\n")
    elif room is Telnet:
        table.say(b"root\r\n" + password + b"\r\n")
    else:
        table.say(b"USER root\r\nPASS " + password + b"\r\n")
    (fact,) = (fact for fact in table.facts if isinstance(fact, LoginTried))
    return fact.accepted


@pytest.mark.parametrize("order", [1, -1])
def test_of_a_list_one_is_right_and_the_same_at_each_door(order: int) -> None:
    memory, words = Memory(), LIST[::order]
    found = {room: [word for word in words if tried(room, visit(memory=memory), word)] for room in (Telnet, Ftp, Pop3)}
    assert found == dict.fromkeys(found, words[:1])
    assert not tried(Http, visit(memory=memory), words[1])
    assert tried(Http, visit(memory=memory), words[0])


def test_another_address_may_find_another_and_use_what_one_found() -> None:
    memory = Memory()
    assert tried(Telnet, visit(memory=memory), LIST[0])
    other = replace(visit(memory=memory), attacker=Endpoint("203.0.113.9", 4000))
    assert tried(Telnet, other, LIST[0])
    third = replace(visit(memory=memory), attacker=Endpoint("203.0.113.10", 4000))
    assert tried(Telnet, third, LIST[1])


def test_what_is_not_right_settles_nothing_and_each_has_accounts_of_its_own() -> None:
    who = visit()
    assert not admits(who, b"root", b"a", right=False)
    assert not is_settled(who, b"root")
    assert admits(who, b"root", b"", right=True)
    assert is_settled(who, b"root")
    assert not admits(who, b"root", b"a", right=True)
    assert admits(who, b"root", b"a", right=True, accounts=WINDOWS)
    assert admits(who, b"admin", b"a", right=True)
    assert admits(who, b"root", b"", right=True)


def test_so_many_users_are_remembered_and_no_more() -> None:
    who = visit()
    for number in range(ENTRIES_MAX + 1):
        assert admits(who, b"user%d" % number, b"a", right=True)
    assert not admits(who, b"user%d" % (ENTRIES_MAX - 1), b"b", right=True)
    assert admits(who, b"user%d" % ENTRIES_MAX, b"b", right=True)
