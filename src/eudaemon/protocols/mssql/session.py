"""What one client's batches work on: variables, settings, what was made, the files and shell of the pretended Windows.

What an address has switched on by sp_configure is remembered for its next connection.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import nullcontext, suppress
from datetime import UTC, datetime
from typing import Any

from eudaemon.events.catalogue import ExploitRecognised
from eudaemon.protocols._base import Keep, Saw, Visit
from eudaemon.protocols._command_prompt import CapturedPrompt, files_of, left_in
from eudaemon.protocols._sql.cursors import CURSORS_MAX, Cursors
from eudaemon.protocols._sql.engine import Engine
from eudaemon.protocols._sql.functions import FUNCTIONS
from eudaemon.protocols._sql.parser import Select
from eudaemon.protocols._sql.tables import Table, Tables
from eudaemon.protocols._sql.tokens import TSQL, Binary, SqlError
from eudaemon.protocols._sql.values import Value, text, whole
from eudaemon.protocols._work import Run, Worker
from eudaemon.protocols.mssql.automation import Objects
from eudaemon.protocols.mssql.server import CONFIGURATION, OWN, Server, catalogue, oid_of
from eudaemon.wire import printable
from eudaemon.world.files import FileError, Files
from eudaemon.world.windows.paths import Drives, words_of

VARIABLES_MAX = 512  # of one session
MADE_MAX = 64  # procedures, assemblies, logins
SERVICE = "nt service\\mssqlserver"
_VARIABLE_BYTES = 128


class Session(Engine):
    """One client's. `at_s` is the time of the batch at hand."""

    __slots__ = (
        "_declared", "_files", "assemblies", "at_s", "client", "cursors", "fetch_status",
        "logins", "made", "objects", "program", "rowcount", "server", "spid",
        "user", "visit", "worker",
    )  # fmt: skip

    def __init__(self, visit: Visit, server: Server, user: bytes, at_s: float) -> None:
        super().__init__(TSQL, Tables(visit.host, visit.purse, OWN), b"master")
        self.functions = _OWN_FUNCTIONS
        self.visit = visit
        self.server = server
        self.user = user
        self.at_s = at_s
        self.spid = 51 + visit.seed.number("spid", 40)
        self.client = self.program = ""
        self.rowcount = 0
        self.made: dict[bytes, bytes] = {}  # procedures, by their assemblies
        self.assemblies: list[bytes] = []
        self.logins: list[bytes] = []
        self.objects = Objects(self)
        self.cursors = Cursors(visit.purse)
        self.fetch_status = 0
        self._declared: dict[bytes, Select] = {}  # cursors, open or not
        self._files: Files | None = None
        self.worker = Worker(self._shell)

    @property
    def files(self) -> Files:
        """What the session sees of the files of that Windows."""
        if self._files is None:
            self._files = files_of(self.visit)
        return self._files

    def _shell(self) -> CapturedPrompt:
        return CapturedPrompt(self.visit, SERVICE, files=self.files)

    def left(self) -> Iterator[Keep]:
        """Yield what was brought and is kept nowhere yet."""
        yield from self.tables.left()
        yield from self.objects.left()
        if self._files is not None:
            yield from left_in(self._files, self.visit)

    def write(self, path: bytes, data: bytes) -> Generator[Any, Any, str]:
        """Write a file, and keep what it is; return what Windows says against it, empty if nothing."""
        yield Saw(ExploitRecognised("mssql-file", "", printable(path, 1024)))
        yield Keep(bytes(data), "upload", printable(path, 1024))
        try:
            resolved = Drives(self.files).locate(path.decode("latin-1"), b"/C/Windows/System32")
            file = self.files.create(resolved, self.at_s)
            self.files.truncate(file)
            self.files.append(file, bytes(data), self.at_s)
        except FileError as error:
            return words_of(error)
        file.kept = True
        return ""

    def run(self, line: bytes) -> Generator[Any, Any, bytes]:
        """Run a line in the shell of that Windows; return what it printed."""
        printed = yield Run(line)
        return bytes(printed)

    # --- settings --------------------------------------------------------------------------------------

    def option(self, name: bytes) -> int:
        """Return a setting's value."""
        for line in self.visit.memory.recall("mssql", self.visit.attacker.ip).split(b"\n"):
            known, _, value = line.partition(b"=")
            if known == name and value.isdigit():
                return int(value)
        return CONFIGURATION[name][3]

    def set_option(self, name: bytes, value: int) -> None:
        """Change a setting, for this address."""
        known = self.visit.memory.recall("mssql", self.visit.attacker.ip).split(b"\n")
        lines = [line for line in known if line and not line.startswith(name + b"=")]
        self.visit.memory.remember("mssql", self.visit.attacker.ip, b"\n".join([*lines, b"%s=%d" % (name, value)]))

    # --- what expressions reach --------------------------------------------------------------------------

    def variable(self, name: bytes) -> Value:
        """See `Scope`: `@@` is the server's own."""
        if name.startswith(b"@@"):
            make = _GLOBALS.get(name[2:])
            if make is None:
                raise SqlError("variable", name)
            return make(self)
        if name not in self.variables:
            raise SqlError("variable", name)
        return self.variables[name]

    def keep_variable(self, name: bytes, value: Value) -> None:
        """See `Scope`."""
        before = self.variables.get(name)
        held = _VARIABLE_BYTES + len(before) if isinstance(before, bytes) else _VARIABLE_BYTES
        size = _VARIABLE_BYTES + len(value) if isinstance(value, bytes) else _VARIABLE_BYTES
        if name in self.variables:
            self.visit.purse.give_back(held)
            del self.variables[name]
        if len(self.variables) >= VARIABLES_MAX or not self.visit.purse.take(size):
            raise SqlError("full")
        self.variables[name] = value

    def forget_variables(self) -> None:
        """A batch is over: what it declared is gone."""
        for value in self.variables.values():
            self.visit.purse.give_back(_VARIABLE_BYTES + (len(value) if isinstance(value, bytes) else 0))
        self.variables.clear()

    def declare_cursor(self, name: bytes, select: Select) -> None:
        """Declare a cursor. Raises `SqlError`."""
        if name in self._declared:
            raise SqlError("declared", name)
        if len(self._declared) >= CURSORS_MAX:
            raise SqlError("full")
        self._declared[name] = select

    def cursor(self, name: bytes) -> Select:
        """Return the select of a cursor that was declared. Raises `SqlError`."""
        select = self._declared.get(name)
        if select is None:
            raise SqlError("no cursor", name)
        return select

    def close_cursor(self, name: bytes, *, forgets: bool) -> None:
        """Close a cursor, or `forgets` it, open or not. Raises `SqlError`."""
        self.cursor(name)
        if forgets:
            del self._declared[name]
        with suppress(SqlError) if forgets else nullcontext():
            self.cursors.close(name)

    def place(self, name: tuple[bytes, ...]) -> tuple[bytes, bytes]:
        """See `Query`: `database.schema.table`, the schema often left out; `#t` and `@t` are in tempdb."""
        if name[-1][:1] in (b"#", b"@"):
            return b"tempdb", name[-1]
        return (name[-3] if len(name) > 2 and name[-3] else self.database), name[-1]

    def catalogue(self, name: tuple[bytes, ...]) -> Table | None:
        """See `Query`."""
        return catalogue(self, name)

    def use(self, database: bytes) -> bytes:
        """Use a database from now on; return the one before. Raises `SqlError`."""
        for known in self.tables.databases:
            if known.lower() == database.lower():
                before, self.database = self.database, known
                return before
        raise SqlError("database", database)


def _property(session: Session, values: list[Value]) -> Value:
    name = text(values[0] if values else None).lower()
    server = session.server
    known: dict[bytes, Value] = {
        b"productversion": server.number.encode(), b"edition": server.edition.encode(), b"instancename": None,
        b"productlevel": b"SP2" if "SP2" in server.title else b"SP1" if "SP1" in server.title else b"RTM",
        b"servername": server.name.encode(), b"machinename": server.name.encode(),
        b"computernamephysicalnetbios": server.name.encode(), b"isintegratedsecurityonly": 0, b"isclustered": 0,
        b"engineedition": 4 if "Express" in server.edition else 2, b"collation": b"SQL_Latin1_General_CP1_CI_AS",
        b"processid": 1504, b"issingleuser": 0, b"productmajorversion": b"%d" % server.version[0],
        b"instancedefaultdatapath": b"C:\\Program Files\\Microsoft SQL Server\\MSSQL\\DATA\\",
    }  # fmt: skip
    return known.get(name)


def _object_id(session: Session, values: list[Value]) -> Value:
    name = text(values[0] if values else None).replace(b"[", b"").replace(b"]", b"")
    parts = name.split(b".")
    database = parts[0] if len(parts) > 2 and parts[0] else b"tempdb" if parts[-1][:1] == b"#" else session.database
    there = session.tables.find(database, parts[-1]) is not None or parts[-1].lower() in session.made
    system = parts[-1].lower().startswith((b"xp_", b"sp_"))
    return oid_of(parts[-1]) if there or system else None


def _db_name(session: Session, values: list[Value]) -> Value:
    if not values or values[0] is None:
        return session.database
    names = list(session.tables.databases)
    number = whole(values[0])
    return names[number - 1] if 0 < number <= len(names) else None


def _now(session: Session) -> bytes:
    return datetime.fromtimestamp(session.at_s, UTC).strftime("%Y-%m-%d %H:%M:%S.%f").encode()[:23]


_USER = b"system_user suser_name suser_sname original_login session_user"
_OWN_FUNCTIONS: dict[bytes, Any] = {
    **FUNCTIONS,
    b"serverproperty": _property, b"object_id": _object_id, b"db_name": _db_name, b"db_id": lambda _, __: 1,
    b"is_srvrolemember": lambda _, __: 1, b"is_member": lambda _, __: 1, b"has_dbaccess": lambda _, __: 1,
    b"has_perms_by_name": lambda _, __: 1, b"host_name": lambda session, _: session.client.encode(),
    b"app_name": lambda session, _: session.program.encode(), b"user_name": lambda _, __: b"dbo", b"user": lambda _,
    __: b"dbo",
    b"current_user": lambda _, __: b"dbo", b"schema_name": lambda _, __: b"dbo",
    **{name: (lambda session, _: session.user) for name in _USER.split()},
    **{name: (lambda session, _: _now(session)) for name in (b"getdate", b"getutcdate", b"sysdatetime",
    b"current_timestamp")},
    b"newid": lambda session, _: session.visit.seed.bytes("guid", 16).hex().upper().encode(),
    b"isnumeric": lambda _, values: int(text(values[0]).strip().isdigit()),
    b"charindex": lambda _, values: text(values[1]).lower().find(text(values[0]).lower()) + 1,
    b"connectionproperty": lambda session, values: (
        b"TCP" if text(values[0]) == b"net_transport" else session.visit.attacker.ip.encode()),
    b"object_name": lambda _, __: None, b"error_message": lambda _, __: None, b"error_number": lambda _, __: None,
    b"rand": lambda _, __: 0.7136, b"str": lambda _, values: text(values[0]), b"space": lambda _,
    values: b" " * whole(values[0], low=0, high=8000),
    b"pwdcompare": lambda _, __: 0, b"hashbytes": lambda _, values: Binary(text(values[-1])[:20]),
    b"openrowset": lambda _, __: None, b"columnproperty": lambda _, __: None, b"databasepropertyex": lambda _,
    __: b"ONLINE",
}  # fmt: skip
_GLOBALS: dict[bytes, Callable[[Session], Value]] = {
    b"version": lambda session: session.server.banner, b"servername": lambda session: session.server.name.encode(),
    b"servicename": lambda _: b"MSSQLSERVER", b"spid": lambda session: session.spid,
    b"rowcount": lambda session: session.rowcount,
    b"language": lambda _: b"us_english", b"error": lambda _: 0, b"trancount": lambda _: 0, b"identity": lambda _: None,
    b"microsoftversion": lambda session: session.server.version[0] << 24 | session.server.version[2],
    b"max_connections": lambda _: 32_767, b"max_precision": lambda _: 38, b"textsize": lambda _: 2_147_483_647,
    b"options": lambda _: 5432, b"fetch_status": lambda session: session.fetch_status,
    b"nestlevel": lambda _: 0, b"procid": lambda _: 0,
    b"connections": lambda session: 4000 + session.spid, b"cpu_busy": lambda _: 1731, b"langid": lambda _: 0,
    b"lock_timeout": lambda _: -1, b"datefirst": lambda _: 7, b"dbts": lambda _: Binary(bytes(6) + b"\x07\xd0"),
}  # fmt: skip
