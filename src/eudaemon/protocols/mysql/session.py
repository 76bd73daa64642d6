"""What one client's statements work on: its variables, its functions, the files it writes. Orders come out of it.

A function that the attacker made out of a library runs what it is given, as the libraries of that name do:
`sys_exec` gives 0, `sys_eval` what the command printed, and one that is given a URL fetches it.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from datetime import UTC, datetime
from typing import Any

from eudaemon.events.catalogue import ExploitRecognised
from eudaemon.protocols._base import Fetch, Keep, Saw, Visit
from eudaemon.protocols._machine import Machine
from eudaemon.protocols._remembered import Remembered
from eudaemon.protocols._sql import MYSQL, SqlError
from eudaemon.protocols._sql_engine import Engine
from eudaemon.protocols._sql_functions import FUNCTIONS
from eudaemon.protocols._sql_parser import Select
from eudaemon.protocols._sql_query import Result, Work
from eudaemon.protocols._sql_tables import Table, Tables
from eudaemon.protocols._sql_values import Value, number, text
from eudaemon.protocols._work import Rest, Run
from eudaemon.protocols.mysql.server import OWN, PLACES, PLUGINS, SYSTEM_TABLES, Server
from eudaemon.wire import printable
from eudaemon.world.outside import Download

FUNCTIONS_MAX = 64  # that a session may make
VARIABLES_MAX = 512  # of one session
SLEEP_S_MAX = 30.0
_FACT_CHARS_MAX = 2048
_URL = re.compile(rb"(?:https?|ftp)://[\x21-\x7e]{4,1024}", re.IGNORECASE)
_WEB = re.compile(rb"/(?:www|html|htdocs|wwwroot|webapps|public_html)|\.(?:php|jsp|aspx?)$", re.IGNORECASE)
_CRON = re.compile(rb"cron|/\.ssh/|^/etc/|/\.bash", re.IGNORECASE)

_SYSTEM = {name: Table([], shared=True) for name in SYSTEM_TABLES}


def exploit_of(path: bytes) -> str:
    """Return the name of what a file at this path is written for."""
    name = path.lower()
    if name.endswith((b".so", b".dll")) or b"plugin" in name:
        return "mysql-udf"
    if _WEB.search(path):
        return "mysql-web-shell"
    return "mysql-startup-file" if _CRON.search(path) or name.endswith((b".mof", b".vbs", b".bat")) else "mysql-file"


class Session(Engine):
    """One client's. `at_s` is the time of the statement at hand."""

    __slots__ = ("_machine", "at_s", "changed", "connection", "files_written", "made", "remembered", "server",
        "settings",
                 "user", "visit")  # fmt: skip

    def __init__(self, visit: Visit, server: Server, at_s: float) -> None:
        own = (*OWN, b"sys" if server.series >= "5.7" else b"test")
        super().__init__(MYSQL, Tables(server.host, visit.purse, own), b"")
        self.tables.databases[b"mysql"] = dict(_SYSTEM)
        self.visit = visit
        self.server = server
        self.at_s = at_s
        self.functions = _OWN_FUNCTIONS
        self.connection = server.thread(at_s)
        self.user = b"root"
        self.made: dict[bytes, bytes] = {}  # functions, by their libraries
        self.settings: dict[bytes, Value] = {}
        self.files_written: set[bytes] = set()
        self.changed = 0
        self._machine: Machine | None = None
        self.remembered = Remembered(visit, "mysql")
        self.files_written |= {path for (path,) in self.remembered.each(b"file")}
        self.made |= dict(self.remembered.each(b"function"))

    @property
    def machine(self) -> Machine:
        """The server's machine."""
        if self._machine is None:
            self._machine = Machine(self.visit, self.server.host, PLACES, self.at_s)
        return self._machine

    def now(self) -> bytes:
        """Return the time of the statement as SQL writes it."""
        return datetime.fromtimestamp(self.at_s, UTC).strftime("%Y-%m-%d %H:%M:%S").encode()

    def use(self, database: bytes) -> None:
        """Use a database from now on. Raises `SqlError`."""
        if database not in self.tables.databases:
            raise SqlError("database", database)
        self.database = database

    def keep_variable(self, name: bytes, value: Value) -> None:
        """Set a variable of the client's own. Raises `SqlError`."""
        before = self.variables.get(name)
        size = 128 + (len(value) if isinstance(value, bytes) else 0)
        if not self.visit.purse.take(size) or len(self.variables) >= VARIABLES_MAX:
            raise SqlError("full")
        if name in self.variables:
            self.visit.purse.give_back(128 + (len(before) if isinstance(before, bytes) else 0))
        self.variables[name] = value

    def left(self) -> Iterator[Keep]:
        """Yield what was brought and is kept nowhere yet."""
        yield from self.tables.left()
        if self._machine is not None:
            yield from self._machine.left()

    # --- what expressions reach ----------------------------------------------------------------------

    def variable(self, name: bytes) -> Value:
        """See `Scope`: `@@` and a scope before a system variable."""
        if not name.startswith(b"@@"):
            return self.variables.get(name)
        plain = name[2:].removeprefix(b"global.").removeprefix(b"session.").removeprefix(b"local.")
        if plain in self.settings:
            return self.settings[plain]
        if plain not in self.server.variables:
            raise SqlError("variable", plain)
        return self.server.variables[plain]

    def place(self, name: tuple[bytes, ...]) -> tuple[bytes, bytes]:
        """See `Query`."""
        database = name[-2] if len(name) > 1 else self.database
        if not database:
            raise SqlError("no database")
        return database, name[-1]

    def catalogue(self, name: tuple[bytes, ...]) -> Table | None:
        """See `Query`."""
        database = (name[-2] if len(name) > 1 else self.database).lower()
        table = name[-1].lower()
        if database == b"mysql" and table == b"func":
            rows: list[list[Value]] = [[made, 0, library, b"function"] for made, library in self.made.items()]
            return Table([b"name", b"ret", b"dl", b"type"], rows)
        if name == (b"dual",) or name == (b"DUAL",):
            return Table([], [[]])
        return self.server.catalogue(database, table, self.tables)

    def table(self, name: tuple[bytes, ...]) -> Table:
        """See `Query`: the error names the database as well."""
        try:
            return super().table(name)
        except SqlError as error:
            if str(error) == "table" and len(name) == 1:
                raise SqlError("table", self.database + b"." + name[0]) from None
            raise

    def call(self, name: bytes, values: list[Value]) -> Any:
        """See `Scope`: functions made out of libraries come first."""
        if name in self.made:
            return self._made(name, values)
        if name not in self.functions:
            raise SqlError("function", (self.database + b"." if self.database else b"") + name)
        return super().call(name, values)

    def _made(self, name: bytes, values: list[Value]) -> Generator[Any, Any, Value]:
        line = text(values[0]) if values else b""
        shown = printable(b" ".join(map(text, values)), _FACT_CHARS_MAX)
        yield Saw(ExploitRecognised("mysql-udf-command", "", f"{printable(name, 64)} {shown}"))
        url = next((found[0] for value in values if (found := _URL.match(text(value).strip()))), None)
        if url is not None:
            target = text(values[1]) if len(values) > 1 else url.rpartition(b"/")[2]
            yield Fetch(Download(url.decode("ascii"), printable(name, 64), printable(target, 256)))
            return 0
        printed = yield Run(line)
        return 0 if b"exec" in name and b"shell" not in name else bytes(printed)

    # --- SELECT … INTO -----------------------------------------------------------------------------------

    def chosen(self, select: Select) -> Work:
        """Carry out a SELECT, and write what it gives where it says."""
        result = yield from self.select(select)
        if select.into is None:
            return result
        what, target = select.into
        if what == "variable":
            self.keep_variable(target, result.rows[0][0] if result.rows else None)
            return Result("SELECT", changed=len(result.rows))
        if what == "table":
            raise SqlError("syntax", target)
        if what == "dumpfile" and len(result.rows) != 1:
            raise SqlError("rows")
        if what == "dumpfile":
            data = b"".join(map(text, result.rows[0]))
        else:
            data = b"".join(b"\t".join(map(_escaped, row)) + b"\n" for row in result.rows)
        for row in result.rows:
            for value in row:
                if isinstance(value, bytes):
                    self.tables.export(value)
        yield from self.write(target, data)
        return Result("SELECT", changed=len(result.rows))

    def write(self, path: bytes, data: bytes) -> Generator[Any, Any, None]:
        """Write a file as the server does, which overwrites none. Raises `SqlError`."""
        path = path.replace(b"//", b"/")
        if path not in self.files_written and self.machine.read(path, self.at_s) is not None:
            raise SqlError("file exists", path)
        shown = printable(path, 1024)
        yield Saw(ExploitRecognised(exploit_of(path), "", shown))
        yield Keep(data, "script" if _WEB.search(path) or _CRON.search(path) else "upload", shown)
        if path in self.files_written:
            raise SqlError("file exists", path)
        wrong = self.machine.write(path, data, self.at_s)
        windows = path[1:3] in (b":\\", b":/")
        if wrong and not windows:
            raise SqlError("write", path)
        if len(self.files_written) < FUNCTIONS_MAX:
            self.files_written.add(path)
            self.remembered.add(b"file", path)

    def library(self, name: bytes) -> bool:
        """Say whether there is such a library: this session wrote it somewhere."""
        return any(path.replace(b"\\", b"/").rpartition(b"/")[2] == name for path in self.files_written) or (
            self.machine.read(PLUGINS + name, self.at_s) is not None)  # fmt: skip


def _escaped(value: Value) -> bytes:
    """Return a value as OUTFILE writes it."""
    if value is None:
        return b"\\N"
    return text(value).replace(b"\\", b"\\\\").replace(b"\t", b"\\\t").replace(b"\n", b"\\\n").replace(b"\0", b"\\0")


def _load_file(session: Session, values: list[Value]) -> Value:
    return session.machine.read(text(values[0]), session.at_s) if values else None


def _sleep(session: Session, values: list[Value]) -> Generator[Any, Any, Value]:  # noqa: ARG001
    yield Rest(min(SLEEP_S_MAX, max(0.0, float(number(values[0] if values else 0)))))
    return 0


def _benchmark(session: Session, values: list[Value]) -> Value:  # noqa: ARG001
    return 0


_OWN_FUNCTIONS: dict[bytes, Any] = FUNCTIONS | {
    b"load_file": _load_file, b"sleep": _sleep, b"benchmark": _benchmark,
    b"version": lambda session, _: session.server.version.encode(),
    b"database": lambda session, _: session.database or None, b"schema": lambda session, _: session.database or None,
    b"connection_id": lambda session, _: session.connection, b"last_insert_id": lambda _, __: 0,
    b"row_count": lambda session, _: session.changed, b"found_rows": lambda session, _: session.changed,
    b"current_role": lambda _, __: b"NONE", b"uuid": lambda session, _: session.server.variables[b"server_uuid"],
    b"extractvalue": lambda _, __: None, b"updatexml": lambda _, __: None,
    **{name: (lambda session, _: session.user + b"@" + session.visit.attacker.ip.encode())
       for name in (b"user", b"session_user", b"system_user")},
    b"current_user": lambda session, _: session.user + b"@%",
    **{name: (lambda session, _: session.now()) for name in (b"now", b"current_timestamp", b"sysdate")},
    b"unix_timestamp": lambda session, _: int(session.at_s),
    b"password": lambda _, __: b"*0000000000000000000000000000000000000000",
}  # fmt: skip
