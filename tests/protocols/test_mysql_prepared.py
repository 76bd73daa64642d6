"""MySQL's prepared statements: values of every type, in pieces, again without their types; rows in binary; limits."""

from __future__ import annotations

import struct

import pytest

from eudaemon.events.catalogue import CommandEntered
from eudaemon.protocols._sql.parameters import PARAMETERS_MAX
from eudaemon.protocols._sql.values import VALUE_BYTES_MAX
from eudaemon.protocols.mysql import MySql
from eudaemon.protocols.mysql.prepared import PREPARED_MAX
from eudaemon.testing.script import Table, visit
from eudaemon.wire import Purse
from eudaemon.world.host import Host
from eudaemon.world.seed import Seed
from protocols.mysql_client import Client, command, payloads

TINY, SHORT, LONG, FLOAT, DOUBLE, NULL, TIMESTAMP, LONGLONG, TIME, BLOB, TEXT = 1, 2, 3, 4, 5, 6, 7, 8, 11, 252, 253
UNSIGNED = 0x80


def client(bytes_max: int = 24 << 20) -> Client:
    host = Host.from_seed(Seed(b"test"))
    return Client(Table(MySql(visit(host=host, purse=Purse(bytes_max)))).open())


def send(c: Client, kind: int, body: bytes, split: int = 0) -> list[bytes]:
    return payloads(c.table.say(command(bytes((kind,)) + body), split))


def prepare(c: Client, sql: bytes) -> int:
    """Prepare a statement and return its number."""
    answer = send(c, 22, sql)
    assert answer[0][:1] == b"\0", answer
    return int.from_bytes(answer[0][1:5], "little")


def execution(number: int, *values: tuple[int, bytes | None]) -> bytes:
    """Return the body of an execution, of values as type (with 0x8000 for unsigned) and bytes."""
    nulls = sum(1 << at for at, (_, data) in enumerate(values) if data is None)
    head = struct.pack("<IBI", number, 0, 1)
    if not values:
        return head
    kinds = b"".join(struct.pack("<H", kind) for kind, _ in values)
    return (head + nulls.to_bytes((len(values) + 7) // 8, "little") + b"\1" + kinds
            + b"".join(data or b"" for _, data in values))  # fmt: skip


def lines(c: Client) -> list[str]:
    return [fact.line for fact in c.table.facts if isinstance(fact, CommandEntered)]


def last_row(answer: list[bytes]) -> bytes:
    return answer[-2]


@pytest.mark.parametrize("split", [0, 1])
def test_a_statement_is_told_what_it_takes_and_gives(split: int) -> None:
    c = client()
    answer = send(c, 22, b"select ? as a, 2 as b from mysql.user where user = ?", split)
    assert answer[0] == b"\0" + struct.pack("<IHHBH", 1, 2, 2, 0, 0)
    assert [payload[:1] for payload in answer[1:]] == [b"\3", b"\3", b"\xfe", b"\3", b"\3", b"\xfe"]
    assert b"\x01a\0\x0c" in answer[4]
    assert send(c, 22, b"insert into t values (1)")[0] == b"\0" + struct.pack("<IHHBH", 2, 0, 0, 0, 0)
    assert lines(c)[0] == "select ? as a, 2 as b from mysql.user where user = ?"


@pytest.mark.parametrize(
    ("kind", "data", "written"),
    [
        (TINY, b"\xff", b"-1"), (TINY | UNSIGNED << 8, b"\xff", b"255"), (SHORT, b"\xff\x7f", b"32767"),
        (LONG, b"\0\0\0\x80", b"-2147483648"), (LONG | UNSIGNED << 8, b"\0\0\0\x80", b"2147483648"),
        (LONGLONG, b"\1" + bytes(7), b"1"), (FLOAT, struct.pack("<f", 0.5), b"0.5"),
        (DOUBLE, struct.pack("<d", -2.25), b"-2.25"), (TEXT, b"\4it's", b"'it''s'"),
        (TEXT, b"\xfc\2\1" + b"x" * 258, b"'" + b"x" * 258 + b"'"), (BLOB, b"\2MZ", b"0x4d5a"),
        (TEXT, None, b"NULL"), (NULL, b"", b"NULL"), (TIMESTAMP, b"\0", b"'0000-00-00'"),
        (TIMESTAMP, b"\4\xea\7\x0b\x1a", b"'2026-11-26'"),
        (TIMESTAMP, b"\7\xea\7\x0b\x1a\1\2\3", b"'2026-11-26 01:02:03'"),
        (TIMESTAMP, b"\x0b\xea\7\x0b\x1a\1\2\3\1\0\0\0", b"'2026-11-26 01:02:03.000001'"),
        (TIME, b"\x08\1\1\0\0\0\2\3\4", b"'-26:03:04'"), (TIME, b"\0", b"'00:00:00'"),
    ],
)  # fmt: skip
def test_a_value_of_every_type(kind: int, data: bytes | None, written: bytes) -> None:
    c = client()
    number = prepare(c, b"select concat('<', coalesce(?, 'null'), '>')")
    answer = send(c, 23, execution(number, (kind, data)))
    assert lines(c)[-1] == f"select concat('<', coalesce({written.decode()}, 'null'), '>')"
    plain = b"MZ" if kind == BLOB else written.strip(b"'").replace(b"''", b"'").replace(b"NULL", b"null")
    assert plain + b">" in last_row(answer)


def test_rows_come_in_binary() -> None:
    c = client()
    number = prepare(c, b"select 7, -1, 1.5, 'a', null, 0x4d5a union all select 8, 2, 2, null, null, 'MZ'")
    answer = send(c, 23, execution(number))
    first, second = answer[-3:-1]
    assert first == b"\0" + b"\x40" + struct.pack("<qqd", 7, -1, 1.5) + b"\1a" + b"\2MZ"
    assert second == b"\0" + b"\x60" + struct.pack("<qqd", 8, 2, 2.0) + b"\2MZ"


def test_types_are_remembered_and_statements_forgotten() -> None:
    c = client()
    number = prepare(c, b"select ?")
    assert last_row(send(c, 23, execution(number, (LONG, b"\7\0\0\0")))) == b"\0\0" + struct.pack("<q", 7)
    again = struct.pack("<IBI", number, 0, 1) + b"\0\0" + b"\x09\0\0\0"
    assert last_row(send(c, 23, again)) == b"\0\0" + struct.pack("<q", 9)
    assert send(c, 25, number.to_bytes(4, "little")) == []
    assert send(c, 23, again)[0][9:] == b"Unknown prepared statement handler (1) given to EXECUTE"
    number = prepare(c, b"select 1")
    assert send(c, 31, b"")[0][:1] == b"\0"
    assert send(c, 23, execution(number))[0][:1] == b"\xff"
    number = prepare(c, b"select ?")
    for wrong in (b"", b"\0\0", b"\0\1", b"\0\1\x03\0\1", b"\0\1\xfd\0\5ab"):
        assert send(c, 23, struct.pack("<IBI", number, 0, 1) + wrong)[0][3:] == (
            b"#HY000Incorrect arguments to mysqld_stmt_execute"), wrong  # fmt: skip
    assert not c.table.fault


def test_a_library_in_pieces_of_one_parameter() -> None:
    c = client()
    data = b"\x7fELF" + bytes(range(256)) * 4000
    c.do(b"create database d; use d; create table t(a blob)")
    number = prepare(c, b"insert into t values (?)")
    for at in range(0, len(data), 65_536):
        assert send(c, 24, struct.pack("<IH", number, 0) + data[at : at + 65_536]) == []
    assert send(c, 24, struct.pack("<IH", number, 1) + b"no such parameter") == []
    assert send(c, 23, execution(number, (BLOB, b"")))[0][:1] == b"\0"
    assert c.rows(b"select length(a) from t") == [[b"%d" % len(data)]]
    assert send(c, 24, struct.pack("<IH", number, 0) + b"x") == []
    assert send(c, 26, number.to_bytes(4, "little"))[0][:1] == b"\0"
    assert send(c, 23, execution(number, (TEXT, b"\1y")))[0][:1] == b"\0"
    c.do(b"select a from t where length(a) > 1 into dumpfile '/usr/lib/mysql/plugin/x.so'")
    assert c.table.kept[-1].data == data


def test_limits() -> None:
    c = client()
    for _ in range(PREPARED_MAX):
        prepare(c, b"select 1")
    assert send(c, 22, b"select 1")[0][9:].startswith(b"Can't create more than max_prepared_stmt_count statements")
    send(c, 25, b"\1\0\0\0")
    number = prepare(c, b"select " + b",".join([b"?"] * PARAMETERS_MAX))
    assert last_row(send(c, 23, execution(number, *[(TINY, b"\1")] * PARAMETERS_MAX)))[-8:] == b"\1" + bytes(7)
    send(c, 25, number.to_bytes(4, "little"))
    said = send(c, 22, b"select " + b",".join([b"?"] * (PARAMETERS_MAX + 1)))
    assert said[0][9:] == b"Prepared statement contains too many placeholders"
    number = prepare(c, b"select length(?)")
    for _ in range(VALUE_BYTES_MAX >> 20):
        send(c, 24, struct.pack("<IH", number, 0) + bytes(1 << 20))
    assert last_row(send(c, 23, execution(number, (BLOB, b""))))[2:] == struct.pack("<q", VALUE_BYTES_MAX)
    for _ in range(VALUE_BYTES_MAX >> 20):
        send(c, 24, struct.pack("<IH", number, 0) + bytes(1 << 20))
    assert not c.table.fault
    send(c, 24, struct.pack("<IH", number, 0) + b"\0")
    assert c.table.fault == f"a parameter over {VALUE_BYTES_MAX} bytes, or more than may be held"
    c.table.end()
    c = client(bytes_max=60_000)
    assert send(c, 22, b"select '" + b"x" * 40_000 + b"'")[0][:1] == b"\0"
    send(c, 22, b"select '" + b"x" * 20_001 + b"'")
    assert c.table.fault == "the session holds too many bytes"
    c.table.end()
