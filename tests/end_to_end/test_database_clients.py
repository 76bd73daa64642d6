"""The real clients of databases at a whole sensor: one rich conversation each."""

from __future__ import annotations

import asyncio
import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eudaemon.protocols.mysql.server import server_of
from eudaemon.world.host import Host
from eudaemon.world.seed import Seed
from payload.servers import content, tool
from sensor.harness import Running, events, running

LIBRARY = b"\x7fELF" + content(40_000)


async def client(*command: str, given: bytes = b"", env: dict[str, str] | None = None) -> str:
    """Return what a client prints, on either channel."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=env,
    )
    async with asyncio.timeout(30):
        return (await process.communicate(given))[0].decode("utf-8", "backslashreplace")


async def in_thread(work: Callable[[], Any]) -> Any:
    """Return what a client that blocks gives."""
    return await asyncio.get_running_loop().run_in_executor(None, work)


def facts(home: Path, kind: str) -> list[Any]:
    return [event.fact for event in events(home, kind)]


def kept(home: Path, name: str) -> bytes:
    """Return the one artefact of this name."""
    (fact,) = (fact for fact in facts(home, "artefact.kept") if fact.name == name)
    data: bytes = (home / "artefacts" / fact.sha256).read_bytes()
    assert hashlib.sha256(data).hexdigest() == fact.sha256
    return data


MYSQL_LINES = b"""
show databases; select version(), @@plugin_dir; use mysql; show tables; select user, host from user;
create database work; use work; create table t (id int, piece longblob);
insert into t values (1, 0x%s); update t set piece = concat(piece, 0x%s) where id = 1;
select id, length(piece) from t; describe t; show create table t;
select piece from t where id = 1 into dumpfile '/usr/lib/mysql/plugin/udf.so';
create function sys_eval returns string soname 'udf.so';
select sys_eval('whoami; echo $((6*7))');
load data local infile '/etc/hostname' into table t;
""" % (LIBRARY[:20_000].hex().encode(), LIBRARY[20_000:].hex().encode())


async def test_mysql_with_mariadbs_client_and_pymysql(tmp_path: Path) -> None:
    program = tool("mysql", "mariadb-client")

    def python(net: Running) -> tuple[Any, ...]:
        import pymysql

        with (
            pymysql.connect(host="127.0.0.1", port=net.port, user="root", password="") as link,
            link.cursor() as cursor,
        ):
            cursor.execute("select 1 + 1, %s", ("a'b",))
            row: tuple[Any, ...] = cursor.fetchone() or ()
        return row

    async with running(tmp_path, "mysql") as net:
        said = await client(program, "--force", "-t", "-h127.0.0.1", f"-P{net.port}", "-uroot", given=MYSQL_LINES)
        assert await in_thread(functools.partial(python, net)) == (2, "a'b")
        refused = await client(program, "-h127.0.0.1", f"-P{net.port}", "-unobody", "-px", "-e", "select 1")
    assert "| information_schema |" in said
    assert f"|    1 |         {len(LIBRARY)} |".replace(" ", "") in said.replace(" ", "")
    assert "| mysql\n42\n" in said
    assert "ERROR 1148 (42000) at line 9" in said
    assert "ERROR 1045 (28000): Access denied for user 'nobody'@'127.0.0.1' (using password: YES)" in refused
    assert kept(tmp_path, "/usr/lib/mysql/plugin/udf.so") == LIBRARY
    assert [(f.user, f.password, f.accepted) for f in facts(tmp_path, "login.tried")][:2] == [
        ("root", "", True), ("root", "", True)]  # fmt: skip
    assert not events(tmp_path, "sensor.faulted", "peer.faulted")


@pytest.mark.parametrize("series", ["5.7", "8.0"])
async def test_mysql_with_oracles_connector(series: str, tmp_path: Path) -> None:
    """Statements that are prepared, with a library as a value; in TLS, where the server offers it."""

    def python(net: Running) -> list[Any]:
        from mysql import connector

        where = {"host": "127.0.0.1", "port": net.port, "user": "root", "password": "123456", "use_pure": True}
        with connector.connect(**where) as link, link.cursor(prepared=True) as cursor:
            cursor.execute("create database work")
            cursor.execute("create table work.t (id int, name text, piece longblob, price double)")
            cursor.execute("insert into work.t values (?, ?, ?, ?)", (1, "it's", LIBRARY, 1.5))
            cursor.execute("insert into work.t values (?, ?, ?, ?)", (-2, None, None, 0.25))
            cursor.execute("select id, name, length(piece), price from work.t where id < ? order by id", (9,))
            rows = cursor.fetchall()
            cursor.execute("select piece from work.t where id = ? into dumpfile '/tmp/x.so'", (1,))
            cursor.execute("show databases")
            return [*rows, len(cursor.fetchall()) > 4]

    def fits(host: Host) -> bool:
        return server_of(host).series == series

    seed = next(seed for seed in (bytes((n,)) * 32 for n in range(256)) if fits(Host.from_seed(Seed(seed))))
    async with running(tmp_path, "mysql", seed=seed) as net:
        rows = await in_thread(functools.partial(python, net))
    assert rows == [(-2, None, None, 0.25), (1, "it's", len(LIBRARY), 1.5), True]
    assert kept(tmp_path, "/tmp/x.so") == LIBRARY
    entered = [fact.line for fact in facts(tmp_path, "command.entered")]
    assert "select piece from work.t where id = 1 into dumpfile '/tmp/x.so'" in entered
    assert len(events(tmp_path, "tls.accepted")) == 1
    assert not events(tmp_path, "sensor.faulted", "peer.faulted")


POSTGRES_LINES = rb"""
\l
\du
create table cmd_exec(cmd_output text);
copy cmd_exec from program 'id -un; echo $((6*7))';
select * from cmd_exec;
\d cmd_exec
\dt
\copy cmd_exec from '/etc/hostname'
create function f(text) returns text as '/tmp/none.so', 'f' language c;
"""


async def test_postgres_with_psql_and_psycopg2(tmp_path: Path) -> None:
    program = tool("psql", "postgresql-client")

    def python(net: Running) -> Any:
        import psycopg2

        where = {"host": "127.0.0.1", "port": net.port, "user": "postgres"}
        link = psycopg2.connect(password="postgres", dbname="postgres", **where)
        with link, link.cursor() as cursor:
            cursor.execute("select lo_from_bytea(99, %s)", (psycopg2.Binary(LIBRARY),))
            cursor.execute("select lo_export(99, '/tmp/lib.so'), %s + 1", (41,))
            row = cursor.fetchone()
        link.close()
        return row

    async with running(tmp_path, "postgres") as net:
        env = {"PGPASSWORD": "postgres", "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
        said = await client(program, "-h127.0.0.1", f"-p{net.port}", "-Upostgres", given=POSTGRES_LINES, env=env)
        assert await in_thread(functools.partial(python, net)) == (1, 42)
        refused = await client(program, "-h127.0.0.1", f"-p{net.port}", "-Ujoe", "-c", "select 1", env=env)
    assert "\n template0 " in said
    assert " postgres | Superuser, Create role, Create DB, Replication, Bypass RLS | " in " ".join(said.split())
    assert "\n postgres\n 42\n(2 rows)" in said
    assert 'Table "public.cmd_exec"' in said
    assert " public | cmd_exec | table | postgres" in said
    assert "COPY 1" in said
    assert 'ERROR:  could not access file "/tmp/none.so": No such file or directory' in said
    assert 'FATAL:  password authentication failed for user "joe"' in refused
    assert kept(tmp_path, "/tmp/lib.so") == LIBRARY
    assert not events(tmp_path, "sensor.faulted", "peer.faulted")


async def test_mssql_with_tsql_and_pymssql(tmp_path: Path) -> None:
    program = tool("tsql", "freetds-bin")

    def python(net: Running) -> list[Any]:
        import pymssql

        link = pymssql.connect(server="127.0.0.1", port=str(net.port), user="sa", password="123456", autocommit=True)
        with link, link.cursor() as cursor:
            cursor.execute("exec sp_configure 'show advanced options', 1 reconfigure")
            cursor.execute("exec sp_configure 'xp_cmdshell', 1 reconfigure")
            cursor.execute("exec xp_cmdshell %s", ("echo it's %OS%",))
            shown = cursor.fetchall()
            cursor.execute("create assembly Extra from 0x" + LIBRARY.hex() + " with permission_set = unsafe")
            cursor.execute("select 1 + 1, 'a' + %s, cast(null as int), 0x4d5a", ("b",))
            return [shown, cursor.fetchall()]

    async with running(tmp_path, "mssql") as net:
        shown, row = await in_thread(functools.partial(python, net))
        said = await client(program, "-H", "127.0.0.1", "-p", str(net.port), "-U", "sa", "-P", "123456",
                            given=b"select name from sys.databases\ngo\nexec xp_cmdshell 'whoami'\ngo\n")  # fmt: skip
        refused = await client(program, "-H", "127.0.0.1", "-p", str(net.port), "-U", "joe", "-P", "x", given=b"exit\n")
    assert shown == [("it's Windows_NT",), (None,)]
    assert row == [(2, "ab", None, b"MZ")]
    assert "master\ntempdb\nmodel\nmsdb\n" in said
    assert "nt service\\mssqlserver\n" in said
    assert "Login failed for user 'joe'." in refused
    assert kept(tmp_path, "Extra") == LIBRARY
    assert [(f.user, f.password, f.accepted) for f in facts(tmp_path, "login.tried")][:2] == [
        ("sa", "123456", True), ("sa", "123456", True)]  # fmt: skip
    assert not events(tmp_path, "sensor.faulted", "peer.faulted")


async def test_mongodb_with_pymongo(tmp_path: Path) -> None:
    def python(net: Running) -> tuple[Any, ...]:
        import gridfs
        import pymongo
        from pymongo.errors import OperationFailure

        where = {"host": "127.0.0.1", "port": net.port, "serverSelectionTimeoutMS": 10_000}
        with pymongo.MongoClient(**where) as link:
            version = link.server_info()["version"]
            names = [name for name in link.list_database_names() if name not in ("admin", "config", "local")]
            dumped = sum(
                len(list(link[name][one].find())) for name in names for one in link[name].list_collection_names()
            )
            for name in names:
                link.drop_database(name)
            link["README"]["readme"].insert_one({"content": "Pay 0.02 BTC, or your data is gone"})
            gridfs.GridFS(link["files"]).put(LIBRARY, filename="bot.elf")
            left = sorted(link.list_database_names())
        with pymongo.MongoClient(**where, username="root", password="toor") as link:
            try:
                link["admin"].command("ping")
            except OperationFailure as failure:
                return version, dumped, left, failure.code
        return ()

    async with running(tmp_path, "mongodb") as net:
        version, dumped, left, code = await in_thread(functools.partial(python, net))
    assert version[0] in "456"
    assert dumped >= 36
    assert left == ["README", "admin", "config", "files", "local"]
    assert code == 18
    assert kept(tmp_path, "README.readme") == b"Pay 0.02 BTC, or your data is gone"
    assert kept(tmp_path, "bot.elf") == LIBRARY
    assert [(f.user, f.accepted) for f in facts(tmp_path, "login.tried")] == [("root", False)]
    assert [f.name for f in facts(tmp_path, "exploit.recognised")] == ["mongodb-ransom"]
    assert not events(tmp_path, "sensor.faulted", "peer.faulted")
