"""The reader of SQL that three rooms share: literals in three dialects, and whatever words are put together."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eudaemon.protocols import load
from eudaemon.protocols._sql.functions import FUNCTIONS
from eudaemon.protocols._sql.tables import drawn
from eudaemon.protocols._sql.tokens import (
    BINARY,
    MYSQL,
    NAME,
    POSTGRES,
    TEXT,
    TSQL,
    VARIABLE,
    WORD,
    Dialect,
    SqlError,
    tokens,
)
from eudaemon.protocols._sql.values import like, matches
from eudaemon.protocols.mssql.procedures import PROCEDURES
from eudaemon.protocols.mssql.session import _OWN_FUNCTIONS as TSQL_FUNCTIONS
from eudaemon.protocols.mysql.server import server_of
from eudaemon.protocols.mysql.session import _OWN_FUNCTIONS as MYSQL_FUNCTIONS
from eudaemon.protocols.postgres.functions import OWN_FUNCTIONS as POSTGRES_FUNCTIONS
from eudaemon.testing.script import Table, visit
from eudaemon.wire import Purse
from eudaemon.world.host import Host
from eudaemon.world.seed import Seed
from protocols import mssql_client, mysql_client, postgres_client

HOST = Host.from_seed(Seed(b"test"))


@pytest.mark.parametrize(
    ("dialect", "written", "kind", "meant"),
    [
        (MYSQL, b"0x4d5A", BINARY, b"MZ"), (MYSQL, b"0x4", BINARY, b"\4"), (MYSQL, b"X'4d5a'", BINARY, b"MZ"),
        (MYSQL, b"_binary 0x4d", BINARY, b"M"), (MYSQL, rb"'a\'b''c\0\Z\%'", TEXT, b"a'b'c\0\x1a\\%"),
        (MYSQL, b'"a""b\'"', TEXT, b"a\"b'"), (MYSQL, b"`a``b`", NAME, b"a`b"),
        (MYSQL, b"@@global.x", VARIABLE, b"@@global.x"),
        (MYSQL, b"/*!50000 select*/", WORD, b"select"), (MYSQL, b"/* a */ x -- b", WORD, b"x"),
        (MYSQL, b"x # b", WORD, b"x"),
        (POSTGRES, rb"E'\x4d\132\''", TEXT, b"MZ'"), (POSTGRES, rb"'\x4d'", TEXT, rb"\x4d"),
        (POSTGRES, b"$$a'b$$", TEXT, b"a'b"),
        (POSTGRES, b"$x$a$$b$x$", TEXT, b"a$$b"), (POSTGRES, b'"A""b"', NAME, b'A"b'),
        (POSTGRES, b"$1", VARIABLE, b"$1"),
        (TSQL, b"[a]]b]", NAME, b"a]b"), (TSQL, b"N'it''s'", TEXT, b"it's"), (TSQL, b"#t", WORD, b"#t"),
        (TSQL, b"0x", BINARY, b""),
    ],
)  # fmt: skip
def test_what_a_literal_means(dialect: Dialect, written: bytes, kind: str, meant: bytes) -> None:
    first, end = tokens(written, dialect)
    assert (first.kind, first.text, end.kind) == (kind, meant, "end")


def test_what_is_no_token_is_told_with_its_place() -> None:
    for written in (b"select 'a", b"select \x00", b"select `a", b"select 1 ?! \x01"):
        with pytest.raises(SqlError) as caught:
            tokens(written, MYSQL)
        assert caught.value.near


def test_patterns() -> None:
    for text, pattern, fits in (
        (b"abc", b"a%", True), (b"abc", b"%C", True), (b"abc", b"a_c", True), (b"abc", b"a_", False), (b"", b"%", True),
        (b"abc", b"%b%", True), (b"a%c", rb"a\%c", True), (b"abc", rb"a\%c", False), (b"abcabc", b"%bc", True),
        (b"abc", b"", False),
        (b"a" * 1000, b"%a" * 31 + b"%b", False),
    ):  # fmt: skip
        assert like(text, pattern) is fits, (text, pattern)
    for text, pattern, fits in (
        (b"abc", b"^(abc)$", True),
        (b"pg_x", b"^pg_", True),
        (b"xpg_", b"^pg_", False),
        (b"a", b"(a+)+$", False),
    ):
        assert matches(text, pattern) is fits, (text, pattern)


NAMES = sorted({*FUNCTIONS, *MYSQL_FUNCTIONS, *POSTGRES_FUNCTIONS, *TSQL_FUNCTIONS})
VALUES = st.sampled_from([b"1", b"-1", b"null", b"'a'", b"0x4d", b"1.5", b"''", b"'9999999999999999999999'", b"9e99",
b"1e400",
                          b"*", b"a", b"@a", b"(select 1)", b"true", b"(1,2)", b"'%_'", b"$1"])  # fmt: skip
EXPRESSIONS = st.recursive(
    VALUES,
    lambda inner: st.builds(lambda name, given: name + b"(" + b",".join(given) + b")", st.sampled_from(NAMES),
    st.lists(inner, max_size=3))
    | st.builds(lambda left, sign, right: b" ".join((left, sign, right)), inner, st.sampled_from(
        b"+ - * / % || & = < like in( between is and or :: ^ ~ div".split()), inner)
    | st.builds(lambda a, b: b"case when %s then %s end" % (a, b), inner, inner),
    max_leaves=8,
)  # fmt: skip
WORDS = st.lists(st.sampled_from(
    b"select insert into update delete from create drop alter table set exec declare if else begin end while "
    b"break copy do load truncate show use values ( ) , ; * = @a t a 'x' 0x4d 1 union join on left where group "
    b"by order limit as out int function returns soname assembly procedure external name to program with "
    b"database print waitfor delay recursive all cursor for open fetch next close deallocate prepare execute using "
    b"$1 ? limit".split()),
    max_size=14).map(b" ".join)  # fmt: skip
STATEMENTS = (
    EXPRESSIONS.map(lambda tree: b"select " + tree)
    | st.builds(lambda tree, more: b"select %s from t where %s order by %s limit 2" % (tree, more, tree), EXPRESSIONS,
    EXPRESSIONS)
    | st.builds(lambda tree, more: b"with recursive r(a) as (select %s union all select %s from r) select * from r" % (
        tree, more), EXPRESSIONS, EXPRESSIONS)
    | EXPRESSIONS.map(lambda tree: b"prepare p from 'select ?'; prepare p as select $1; execute p(%s)" % tree)
    | EXPRESSIONS.map(lambda tree: b"declare c cursor for select %s open c fetch next from c close c" % tree)
    | EXPRESSIONS.map(lambda tree: b"insert into t values (" + tree + b", 1)")
    | EXPRESSIONS.map(lambda tree: b"update t set a = " + tree)
    | EXPRESSIONS.map(lambda tree: b"declare @a int set @a = " + tree)
    | st.builds(lambda name, given: b"exec " + name + b" " + b", ".join(given), st.sampled_from(sorted(PROCEDURES)),
                st.lists(VALUES | st.just(b"@a out") | st.just(b"@command = 'x'"), max_size=4))
    | WORDS
)  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(statements=st.lists(STATEMENTS, max_size=4))
def test_whatever_is_put_together_is_no_fault_of_ours(statements: list[bytes]) -> None:
    clients = {"mysql": mysql_client.Client, "postgres": postgres_client.Client, "mssql": mssql_client.Client}
    for name, client in clients.items():
        table = Table(load(name)(visit(host=HOST, purse=Purse(1 << 20)))).open()
        talker = client(table)
        talker.do(mssql_client.SWITCHED_ON if name == "mssql" else b"create database d; use d")
        talker.do(b"create table t(a int, b text); insert into t values (1, 'x'), (2, null)")
        for statement in statements:
            talker.do(statement)
            table.wait(40)
        table.end()
        table.room.visit.purse.close()


@pytest.mark.parametrize("what", ["drop", "truncate", "delete", "drop database"])
def test_what_one_session_empties_is_there_for_the_next(what: str) -> None:
    """The host's rows are shared by all sessions, and what one attacker held to ransom the next would find gone."""
    host = Host.from_seed(Seed(b"emptied"))
    database, tables = next((name, tables) for name, tables in drawn(server_of(host).host).items() if tables)
    name, rows = next((name, len(table.rows)) for name, table in tables.items() if table.rows)
    client = mysql_client.Client(Table(load("mysql")(visit(host=host))).open())
    place = b"%s.%s" % (database, name)
    asked = {"drop": b"drop table " + place, "truncate": b"truncate table " + place, "delete": b"delete from " + place,
             "drop database": b"drop database " + database}[what]  # fmt: skip
    assert mysql_client.payloads(client.do(asked))[0][:1] == b"\0"
    other = mysql_client.Client(Table(load("mysql")(visit(host=host))).open())
    assert other.rows(b"select count(*) from " + place) == [[b"%d" % rows]]
