"""What one client's statements work on: its variables, its settings, the files it writes. Orders come out of it."""

from __future__ import annotations

import re
from collections.abc import Generator
from datetime import UTC, datetime
from typing import Any, ClassVar

from eudaemon.events.catalogue import ExploitRecognised
from eudaemon.protocols._base import Keep, Saw, Visit
from eudaemon.protocols._sql.functions import FUNCTIONS
from eudaemon.protocols._sql.parser import Select
from eudaemon.protocols._sql.query import Result, Work
from eudaemon.protocols._sql.session import MachineSession
from eudaemon.protocols._sql.tables import Table
from eudaemon.protocols._sql.tokens import MYSQL, SqlError
from eudaemon.protocols._sql.values import Value, number, text
from eudaemon.protocols._work import Rest
from eudaemon.protocols.mysql.server import OWN, PLACES, PLUGINS, SYSTEM_TABLES, Server
from eudaemon.wire import printable

VARIABLES_MAX = 512  # of one session
SLEEP_S_MAX = 30.0
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


class Session(MachineSession):
    """One client's. See `MachineSession`."""

    __slots__ = ("changed", "connection", "server", "settings", "user")
    product: ClassVar[str] = "mysql"

    def __init__(self, visit: Visit, server: Server, at_s: float) -> None:
        own = (*OWN, b"sys" if server.series >= "5.7" else b"test")
        super().__init__(visit, server.host, MYSQL, own, PLACES, at_s)
        self.tables.databases[b"mysql"] = dict(_SYSTEM)
        self.server = server
        self.functions = _OWN_FUNCTIONS
        self.connection = server.thread(at_s)
        self.user = b"root"
        self.settings: dict[bytes, Value] = {}
        self.changed = 0

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

    # --- what expressions reach ----------------------------------------------------------------------

    def variable(self, name: bytes) -> Value:
        """See `Scope`: `@@` and a scope before a system variable."""
        if not name.startswith(b"@@"):
            return super().variable(name)
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
        """See `Scope`: the error names the database as well."""
        if name not in self.made and name not in self.functions:
            raise SqlError("function", (self.database + b"." if self.database else b"") + name)
        return super().call(name, values)

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
        self.note_file(path)

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
