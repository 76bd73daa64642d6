"""SHOW and DESCRIBE: what a server lists of itself and of what is in it."""

from __future__ import annotations

from collections.abc import Callable

from eudaemon.protocols._sql.parser import Parser
from eudaemon.protocols._sql.query import Result
from eudaemon.protocols._sql.tables import Table
from eudaemon.protocols._sql.tokens import SqlError
from eudaemon.protocols._sql.values import Value, like, text
from eudaemon.protocols.mysql.server import kind_of
from eudaemon.protocols.mysql.session import Session

Rows = list[list[Value]]
_ENGINES = (("InnoDB", "DEFAULT", "Supports transactions, row-level locking, and foreign keys", "YES"),
            ("MRG_MYISAM", "YES", "Collection of identical MyISAM tables", "NO"),
            ("MEMORY", "YES", "Hash based, stored in memory, useful for temporary tables", "NO"),
            ("MyISAM", "YES", "MyISAM storage engine", "NO"), ("CSV", "YES", "CSV storage engine", "NO"),
            ("ARCHIVE", "YES", "Archive storage engine", "NO"))  # fmt: skip


def _result(columns: str, rows: Rows) -> Result:
    return Result("SHOW", [column.encode() for column in columns.split("|")], rows, len(rows))


def _databases(session: Session, parser: Parser) -> Result:  # noqa: ARG001
    return _result("Database", [[name] for name in sorted(session.tables.databases)])


def _from(session: Session, parser: Parser) -> bytes:
    database = parser.name() if parser.word(b"from") or parser.word(b"in") else session.database
    if not database:
        raise SqlError("no database")
    if database not in session.tables.databases:
        raise SqlError("database", database)
    return database


def _tables(session: Session, parser: Parser) -> Result:
    database = _from(session, parser)
    return _result(f"Tables_in_{database.decode('latin-1')}",
                   [[name] for name in sorted(session.tables.databases[database])])  # fmt: skip


def _full_tables(session: Session, parser: Parser) -> Result:
    found = _tables(session, parser)
    return Result("SHOW", [*(found.columns or []), b"Table_type"], [[*row, b"BASE TABLE"] for row in found.rows])


def _table_status(session: Session, parser: Parser) -> Result:
    database = _from(session, parser)
    return _result("Name|Engine|Version|Row_format|Rows|Data_length|Collation",
                   [[name, b"InnoDB", 10, b"Dynamic", len(table.rows), 16_384 + 96 * len(table.rows),
                     b"utf8_general_ci"] for name, table in session.tables.databases[database].items()])  # fmt: skip


def _variables(session: Session, parser: Parser) -> Result:  # noqa: ARG001
    known = {**session.server.variables, **session.settings}
    rows: Rows = [[name, _shown(value)] for name, value in sorted(known.items())]
    return _result("Variable_name|Value", rows)


def _shown(value: Value) -> bytes:
    return text(value)


def _status(session: Session, parser: Parser) -> Result:  # noqa: ARG001
    host, draw = session.server.host, session.server.seed.number
    uptime = int(host.uptime_s(session.at_s))
    questions = uptime // 3 + draw("questions", 9000)
    rows = (("Aborted_clients", draw("aborted", 40)), ("Aborted_connects", uptime // 900),
            ("Bytes_received", questions * 217),
            ("Bytes_sent", questions * 1931), ("Com_select", questions // 2), ("Connections", session.connection),
            ("Open_tables", 60 + draw("open", 140)), ("Queries", questions + 12), ("Questions", questions),
            ("Slow_queries", 0), ("Threads_connected", 1 + draw("threads", 4)), ("Threads_running", 1),
            ("Uptime", uptime))  # fmt: skip
    return _result("Variable_name|Value", [[name.encode(), b"%d" % value] for name, value in rows])


def _processes(session: Session, parser: Parser) -> Result:  # noqa: ARG001
    peer = f"{session.visit.attacker.ip}:{session.visit.attacker.port}".encode()
    return _result("Id|User|Host|db|Command|Time|State|Info",
                   [[session.connection, session.user, peer, session.database or None, b"Query", 0,
                     b"starting", b"SHOW PROCESSLIST"]])  # fmt: skip


def _grants(session: Session, parser: Parser) -> Result:  # noqa: ARG001
    who = session.user.decode("latin-1")
    return _result(f"Grants for {who}@%", [[f"GRANT ALL PRIVILEGES ON *.* TO '{who}'@'%' WITH GRANT OPTION".encode()]])


def _engines(session: Session, parser: Parser) -> Result:  # noqa: ARG001
    return _result("Engine|Support|Comment|Transactions|XA|Savepoints",
                   [[*(word.encode() for word in row), b"NO", b"NO"] for row in _ENGINES])  # fmt: skip


def _plugins(session: Session, parser: Parser) -> Result:  # noqa: ARG001
    names = (b"binlog", b"mysql_native_password", b"sha256_password", b"CSV", b"MEMORY", b"InnoDB", b"MyISAM")
    kinds = {True: b"STORAGE ENGINE", False: b"AUTHENTICATION"}
    return _result("Name|Status|Type|Library|License",
                   [[name, b"ACTIVE", kinds[name[:1].isupper()], None, b"GPL"] for name in names])  # fmt: skip


def _columns(session: Session, parser: Parser) -> Result:
    if not (parser.word(b"from") or parser.word(b"in")):
        raise parser.error()
    name = parser.dotted()
    if parser.word(b"from") or parser.word(b"in"):
        name = (parser.name(), *name)
    return described(session.table(name))


def described(table: Table) -> Result:
    """Return what DESCRIBE says of a table."""
    rows: Rows = [[column, _with_length(kind_of(table, at)), b"NO" if at == 0 else b"YES", b"PRI" if at == 0 else b"",
                   None, b""] for at, column in enumerate(table.columns)]  # fmt: skip
    return _result("Field|Type|Null|Key|Default|Extra", rows)


def _with_length(kind: bytes) -> bytes:
    return {b"int": b"int(11)", b"varchar": b"varchar(255)", b"decimal": b"decimal(10,2)"}.get(kind, kind)


def _create(session: Session, parser: Parser) -> Result:
    if parser.word(b"database") or parser.word(b"schema"):
        name = parser.name()
        return _result("Database|Create Database",
                       [[name, b"CREATE DATABASE `%s` /*!40100 DEFAULT CHARACTER SET utf8 */" % name]])  # fmt: skip
    parser.word(b"table")
    names = parser.dotted()
    table = session.table(names)
    columns = b",\n".join(b"  `%s` %s" % (column, _with_length(kind_of(table, at)))
                          for at, column in enumerate(table.columns))  # fmt: skip
    made = b"CREATE TABLE `%s` (\n%s\n) ENGINE=InnoDB DEFAULT CHARSET=utf8" % (names[-1], columns)
    return _result("Table|Create Table", [[names[-1], made]])


def _nothing(columns: str) -> Callable[[Session, Parser], Result]:
    return lambda _session, _parser: _result(columns, [])


_SHOWS: tuple[tuple[tuple[bytes, ...], Callable[[Session, Parser], Result]], ...] = (
    ((b"databases",), _databases), ((b"schemas",), _databases), ((b"tables",), _tables),
    ((b"full", b"tables"), _full_tables), ((b"table", b"status"), _table_status),
    ((b"columns",), _columns), ((b"fields",), _columns), ((b"full", b"columns"), _columns),
    ((b"full", b"fields"), _columns), ((b"variables",), _variables), ((b"global", b"variables"), _variables),
    ((b"session", b"variables"), _variables), ((b"status",), _status), ((b"global", b"status"), _status),
    ((b"session", b"status"), _status), ((b"processlist",), _processes), ((b"full", b"processlist"), _processes),
    ((b"grants",), _grants), ((b"engines",), _engines), ((b"storage", b"engines"), _engines), ((b"plugins",), _plugins),
    ((b"create",), _create), ((b"warnings",), _nothing("Level|Code|Message")),
    ((b"errors",), _nothing("Level|Code|Message")),
    ((b"master", b"status"), _nothing("File|Position|Binlog_Do_DB|Binlog_Ignore_DB|Executed_Gtid_Set")),
    ((b"slave", b"status"), _nothing("Slave_IO_State|Master_Host|Master_User|Master_Port")),
    ((b"triggers",), _nothing("Trigger|Event|Table|Statement|Timing")), ((b"events",), _nothing("Db|Name|Definer")),
    ((b"index",), _nothing("Table|Non_unique|Key_name|Seq_in_index|Column_name")),
    ((b"keys",), _nothing("Table|Non_unique|Key_name|Seq_in_index|Column_name")),
    ((b"function", b"status"), _nothing("Db|Name|Type|Definer")), ((b"procedure", b"status"), _nothing("Db|Name|Type")),
    ((b"collation",), _nothing("Collation|Charset|Id|Default|Compiled|Sortlen")),
    ((b"character", b"set"), _nothing("Charset|Description|Default collation|Maxlen")),
)  # fmt: skip


def show(session: Session, parser: Parser) -> Result:
    """Carry out a SHOW, of which the first word is read. Raises `SqlError`."""
    for words, make in _SHOWS:
        if parser.word(*words):
            found = make(session, parser)
            if parser.word(b"like"):
                pattern = parser.take().text
                found.rows = [row for row in found.rows if like(text(row[0]), pattern)]
            elif parser.word(b"where"):
                found.rows = _where(found, parser)
            parser.skip()
            return found
    raise parser.error()


def _where(found: Result, parser: Parser) -> Rows:
    """`WHERE Variable_name = 'a'`, `… LIKE 'a'`, `… IN ('a', 'b')`: whatever text stands there will do."""
    wanted = []
    while not parser.over and parser.next.text != b";":
        token = parser.take()
        if token.kind == "text":
            wanted.append(token.text)
    return [row for row in found.rows if any(like(text(row[0]), pattern) for pattern in wanted)]
