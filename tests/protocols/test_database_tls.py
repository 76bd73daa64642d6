"""TLS within the protocols of three databases: who offers it, where it begins, and where SQL Server's ends."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from eudaemon.events.catalogue import LoginTried
from eudaemon.protocols._base import Room, Visit
from eudaemon.protocols.mssql import MsSql, tds
from eudaemon.protocols.mssql.server import server_of as mssql_of
from eudaemon.protocols.mysql import MySql
from eudaemon.protocols.mysql.packets import TLS, packets
from eudaemon.protocols.mysql.server import server_of as mysql_of
from eudaemon.protocols.postgres import Postgres
from eudaemon.protocols.postgres.server import server_of as postgres_of
from eudaemon.testing.script import Table, visit
from eudaemon.wire import PeerError
from eudaemon.world.host import Host
from eudaemon.world.seed import Seed
from protocols import mssql_client, mysql_client, postgres_client

SSL_REQUEST = postgres_client.started(80_877_103, b"")
MYSQL_REQUEST = packets([struct.pack("<IIB", mysql_client.CAPABILITIES | TLS, 1 << 24, 33) + bytes(23)], 1)
splits = pytest.mark.parametrize("split", [0, 1])


def host_where(fits: Callable[[Host], bool]) -> Host:
    return next(host for host in (Host.from_seed(Seed(b"%d" % n)) for n in range(999)) if fits(host))


def talk(room: Callable[[Visit], Room], host: Host, *, can_tls: bool = True, tls: bool = False) -> Table:
    return Table(room(visit(host=host, can_tls=can_tls, tls=tls))).open()


def logins(table: Table) -> list[LoginTried]:
    return [fact for fact in table.facts if isinstance(fact, LoginTried)]


# --- MySQL -------------------------------------------------------------------------------------------


def offered(table: Table) -> bool:
    at = table.sent.index(b"\0", 5) + 1 + 4 + 8 + 1
    return bool(int.from_bytes(table.sent[at : at + 2], "little") & TLS)


@splits
def test_mysql_begins_behind_the_request_and_goes_on_in_it(split: int) -> None:
    table = talk(MySql, host_where(lambda host: mysql_of(host).has_tls))
    assert offered(table)
    greeting = table.sent
    answer = table.say(MYSQL_REQUEST + mysql_client.login(greeting), split)
    assert table.secured
    assert mysql_client.payloads(answer)[0][:1] == b"\0"
    assert logins(table) == [LoginTried("root", "root", accepted=True)]


@pytest.mark.parametrize(("can_tls", "tls"), [(False, False), (False, True), (True, False)])
def test_mysql_refuses_what_it_does_not_offer(can_tls: bool, tls: bool) -> None:
    table = talk(MySql, host_where(lambda host: mysql_of(host).has_tls != can_tls), can_tls=can_tls, tls=tls)
    assert not offered(table)
    assert mysql_client.payloads(table.say(MYSQL_REQUEST))[0] == b"\xff\x13\x04#08S01Bad handshake"
    assert (table.over, table.secured, table.fault) == (True, False, "")


def test_mysqls_newest_is_sent_passwords_bare_in_tls() -> None:
    table = talk(MySql, host_where(lambda host: mysql_of(host).series == "8.0"))
    table.say(MYSQL_REQUEST)
    body = mysql_client.CAPABILITIES.to_bytes(4, "little") + bytes(4) + b"\xff" + bytes(23) + b"root\0"
    asked = table.say(packets([body + bytes((32,)) + b"x" * 32 + b"caching_sha2_password\0"], 2))
    assert mysql_client.payloads(asked) == [b"\x01\x04"]
    table.say(packets([b"correct horse 12\0"], 4))
    assert [fact.password for fact in logins(table)] == ["correct horse 12"]


# --- PostgreSQL --------------------------------------------------------------------------------------


@splits
def test_postgres_begins_it_where_its_settings_have_it(split: int) -> None:
    table = talk(Postgres, host_where(lambda host: postgres_of(host).has_tls))
    assert table.say(SSL_REQUEST, split) == b"S"
    assert table.secured
    assert table.say(SSL_REQUEST) == b"N", "once"
    assert table.say(postgres_client.login(), split).endswith(postgres_client.message(b"Z", b"I"))


def test_postgres_forgets_what_came_in_plain_behind_the_request() -> None:
    table = talk(Postgres, host_where(lambda host: postgres_of(host).has_tls))
    assert table.say(SSL_REQUEST + postgres_client.login()) == b"S"
    assert not logins(table)


@pytest.mark.parametrize("can_tls", [False, True])
def test_postgres_refuses_it_where_they_have_not(can_tls: bool) -> None:
    table = talk(Postgres, host_where(lambda host: postgres_of(host).has_tls != can_tls), can_tls=can_tls)
    assert table.say(SSL_REQUEST) == b"N"
    assert not table.secured


# --- SQL Server --------------------------------------------------------------------------------------


def prelogin(wish: int) -> bytes:
    """Return a PRELOGIN with this wish for encryption."""
    head = struct.pack(">BHHBHHB", 0, 11, 6, 1, 17, 1, 0xFF)
    return mssql_client.packets(0x12, head + bytes(6) + bytes((wish,)))


def answered(table: Table, wish: int) -> int:
    body = mssql_client.body_of(table.say(prelogin(wish)))
    return body[int.from_bytes(body[6:8], "big")]


@pytest.mark.parametrize(
    ("forces", "wish", "answer", "begins"),
    [
        (False, tds.OFF, tds.OFF, True), (False, tds.ON, tds.ON, True), (False, tds.REQUIRED, tds.ON, True),
        (False, tds.NOT_SUPPORTED, tds.NOT_SUPPORTED, False), (True, tds.OFF, tds.REQUIRED, True),
        (True, tds.ON, tds.ON, True), (True, tds.NOT_SUPPORTED, tds.REQUIRED, False),
    ],
)  # fmt: skip
def test_what_sql_server_makes_of_a_wish_for_encryption(forces: bool, wish: int, answer: int, begins: bool) -> None:
    table = talk(MsSql, host_where(lambda host: mssql_of(host).forces_tls == forces))
    assert answered(table, wish) == answer
    assert table.secured == begins
    said = table.say(mssql_client.login())
    assert table.ended_tls == (answer == tds.OFF), "it ends behind the login, where that alone was to be enciphered"
    let_in = not (forces and not begins)
    assert logins(table) == [LoginTried("sa", "sa", accepted=let_in)]
    assert bool(said) == let_in
    assert table.over != let_in


def test_a_sensor_without_tls_supports_no_encryption() -> None:
    for tls in (False, True):
        table = talk(MsSql, host_where(lambda host: mssql_of(host).forces_tls), can_tls=False, tls=tls)
        assert answered(table, tds.ON) == tds.NOT_SUPPORTED
        assert b"\xad" in mssql_client.body_of(table.say(mssql_client.login()))


@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_a_handshake_goes_in_packets_of_its_own_kind(step: int) -> None:
    envelope = tds.Handshake()
    hello, behind = b"hello" * 2000, b"\x17\3\3bare"
    data, inside = envelope.sealed(hello), b""
    assert {data[at] for at in range(0, len(data), 4096)} == {tds.PRELOGIN}
    data += behind
    while len(inside) < len(hello):
        piece, rest = envelope.opened(data[:step])
        inside += piece
        data = rest + data[step:]
    assert (inside, data) == (hello, behind)
    with pytest.raises(PeerError, match="a packet of type 23 where TLS was agreed on"):
        envelope.opened(behind + bytes(8))
