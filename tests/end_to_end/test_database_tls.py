"""TLS within the protocols of databases, with their real clients."""

from __future__ import annotations

import functools
import re
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from end_to_end.test_database_clients import client, facts, in_thread
from eudaemon.protocols.mssql.server import server_of as mssql_of
from eudaemon.protocols.mysql.server import server_of as mysql_of
from eudaemon.protocols.postgres.server import server_of as postgres_of
from eudaemon.world.host import Host
from eudaemon.world.seed import Seed
from payload.servers import tool
from sensor.harness import Running, events, running


def seed_where(fits: Callable[[Host], bool]) -> bytes:
    """Return the seed of a sensor whose server is as the test needs it."""
    return next(seed for seed in (bytes((n,)) * 32 for n in range(256)) if fits(Host.from_seed(Seed(seed))))


@functools.cache
def mysql_seed(series: str, *, tls: bool = True) -> bytes:
    return seed_where(lambda host: mysql_of(host).series == series and mysql_of(host).has_tls == tls)


@pytest.mark.parametrize("series", ["5.7", "8.0"])
async def test_mysql(series: str, tmp_path: Path) -> None:
    program = tool("mysql", "mariadb-client")

    def python(net: Running, password: str) -> Any:
        import pymysql

        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        where = {"host": "127.0.0.1", "port": net.port, "user": "root", "password": password, "ssl": context}
        with pymysql.connect(**where) as link, link.cursor() as cursor:
            cursor.execute("select 40 + 2")
            return cursor.fetchone()

    async with running(tmp_path, "mysql", seed=mysql_seed(series)) as net:
        assert await in_thread(functools.partial(python, net, "123456")) == (42,)
        said = await client(program, "-h127.0.0.1", f"-P{net.port}", "-uroot", "-p123456", "--ssl",
                            "--skip-ssl-verify-server-cert", "-e", r"\s")  # fmt: skip
        with pytest.raises(Exception, match="Access denied"):
            await in_thread(functools.partial(python, net, "one of its own, 8.0 is told"))
    assert re.search("Cipher in use is (TLS|ECDHE)", said)
    assert len(events(tmp_path, "tls.accepted")) == 3
    tried = [(f.user, f.password, f.accepted) for f in facts(tmp_path, "login.tried")]
    assert tried[:2] == [("root", "123456", True), ("root", "123456", True)]
    assert (tried[2][1] == "one of its own, 8.0 is told") == (series == "8.0")
    assert not events(tmp_path, "sensor.faulted", "peer.faulted")


async def test_a_mysql_without_tls(tmp_path: Path) -> None:
    program = tool("mysql", "mariadb-client")
    where = ("-h127.0.0.1", "-uroot", "-proot", "--ssl", "-e", "select @@have_ssl")
    async with running(tmp_path, "mysql", seed=mysql_seed("5.5", tls=False)) as net:
        said = await client(program, f"-P{net.port}", *where)
    assert "DISABLED" in said
    assert not events(tmp_path, "tls.accepted")


@pytest.mark.parametrize("tls", [True, False])
async def test_postgres(tls: bool, tmp_path: Path) -> None:
    program = tool("psql", "postgresql-client")
    env = {"PGPASSWORD": "postgres", "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
    async with running(tmp_path, "postgres", seed=seed_where(lambda host: postgres_of(host).has_tls == tls)) as net:
        where = f"host=127.0.0.1 port={net.port} user=postgres dbname=postgres"
        required = await client(program, f"{where} sslmode=require", "-c", r"\conninfo", "-c", "show ssl", env=env)
        preferred = await client(program, f"{where} sslmode=prefer", "-c", "show ssl", env=env)
    assert ("\n on\n" if tls else "\n off\n") in preferred
    if tls:
        assert "TLSv1." in required
        assert "\n on\n" in required
    else:
        assert "server does not support SSL, but SSL was required" in required
    assert len(events(tmp_path, "tls.accepted")) == 2 * tls
    assert not events(tmp_path, "sensor.faulted", "peer.faulted")


@pytest.mark.parametrize("encryption", ["off", "request", "require"])
async def test_mssql_with_pymssql_and_tsql(encryption: str, tmp_path: Path) -> None:
    """`off` is no TLS at all, `request` the login alone, `require` everything."""
    program = tool("tsql", "freetds-bin")

    def python(net: Running) -> Any:
        import pymssql

        where = {"server": "127.0.0.1", "port": str(net.port), "user": "sa", "encryption": encryption}
        with pymssql.connect(password="123456", **where) as link, link.cursor() as cursor:
            cursor.execute("select 40 + 2, replicate('x', 5000)")
            return cursor.fetchone()

    async with running(tmp_path, "mssql", seed=seed_where(lambda host: not mssql_of(host).forces_tls)) as net:
        assert await in_thread(functools.partial(python, net)) == (42, "x" * 5000)
        settings = tmp_path / "freetds.conf"
        settings.write_text(f"[it]\nhost = 127.0.0.1\nport = {net.port}\nencryption = {encryption}\n")
        said = await client(program, "-S", "it", "-U", "sa", "-P", "123456", given=b"select 'a' + 'b'\ngo\n",
                            env={"FREETDSCONF": str(settings), "PATH": "/usr/bin:/bin"})  # fmt: skip
    assert "\nab\n" in said
    assert len(events(tmp_path, "tls.accepted")) == (0 if encryption == "off" else 2)
    tried = [(f.user, f.password, f.accepted) for f in facts(tmp_path, "login.tried")]
    assert tried == [("sa", "123456", True), ("sa", "123456", True)]
    assert not events(tmp_path, "sensor.faulted", "peer.faulted")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the way in which impacket asks for TLS
@pytest.mark.parametrize("forces", [False, True])
async def test_mssql_with_impacket(forces: bool, tmp_path: Path) -> None:
    """The attackers' own client enciphers what the server asks for: the login, or everything."""

    def python(net: Running) -> tuple[bool, Any]:
        from impacket import tds

        link = tds.MSSQL("127.0.0.1", net.port)
        link.connect()
        assert link.login(None, "sa", "123456")
        rows = link.sql_query("select 40 + 2 as x, replicate('y', 3) as y")
        in_tls = link.tlsSocket is not None
        link.disconnect()
        return in_tls, rows

    async with running(tmp_path, "mssql", seed=seed_where(lambda host: mssql_of(host).forces_tls == forces)) as net:
        assert await in_thread(functools.partial(python, net)) == (forces, [{"x": 42, "y": "yyy"}])
        (closed,) = await net.until("session.closed")
    assert closed.fact.reason == "peer"  # type: ignore[attr-defined]
    assert len(events(tmp_path, "tls.accepted")) == 1
