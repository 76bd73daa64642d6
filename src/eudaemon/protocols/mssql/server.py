"""Who answers: version, names, errors and catalogues, all drawn from the installation's seed."""

from __future__ import annotations

import zlib
from functools import lru_cache
from typing import TYPE_CHECKING

from eudaemon.protocols._sql.tables import Table
from eudaemon.protocols._sql.tokens import SqlError
from eudaemon.protocols._sql.values import Value
from eudaemon.protocols.mssql.answers import Said
from eudaemon.world.host import Host
from eudaemon.world.windows.machine import windows_of

if TYPE_CHECKING:
    from eudaemon.protocols.mssql.session import Session

# Major, minor and build; year with service pack and update; when it was made.
VERSIONS = (
    ((10, 50, 1600), "2008 R2 (RTM)", "Apr  2 2010 15:48:46"),
    ((10, 50, 4000), "2008 R2 (SP2)", "Jun 28 2012 08:36:30"),
    ((11, 0, 2100), "2012 - 11.0.2100.60 (X64)", "Feb 10 2012 19:39:15"),
    ((11, 0, 3000), "2012 (SP1)", "Oct 19 2012 13:38:57"),
    ((12, 0, 2000), "2014 - 12.0.2000.8 (X64)", "Feb 20 2014 20:04:26"), ((12, 0, 5000), "2014 (SP2) (KB3171021)",
    "Jun 17 2016 19:14:09"), ((13, 0, 4001), "2016 (SP1) (KB3182545)", "Oct 28 2016 18:17:30"),
    ((13, 0, 5026), "2016 (SP2) (KB4052908)", "Mar 18 2018 09:11:49"),
)  # fmt: skip
EDITIONS = (
    "Standard Edition (64-bit)",
    "Express Edition (64-bit)",
    "Enterprise Edition (64-bit)",
    "Web Edition (64-bit)",
)
ADMINISTRATORS = (b"sa",)
OWN = (b"master", b"tempdb", b"model", b"msdb")
# Settings of sp_configure: number, least, most, and what is in force at first.
CONFIGURATION: dict[bytes, tuple[int, int, int, int]] = {
    b"show advanced options": (518, 0, 1, 0), b"xp_cmdshell": (16390, 0, 1, 0),
    b"ole automation procedures": (16388, 0, 1, 0), b"clr enabled": (1562, 0, 1, 0),
    b"ad hoc distributed queries": (16391, 0, 1, 0), b"agent xps": (16384, 0, 1, 1),
    b"remote access": (117, 0, 1, 1), b"clr strict security": (1587, 0, 1, 0), b"database mail xps": (16386, 0, 1, 0),
    b"max server memory (mb)": (1544, 128, 2_147_483_647, 2_147_483_647), b"remote admin connections": (1576, 0, 1, 0),
}  # fmt: skip
_NAMES = {b"ole automation procedures": b"Ole Automation Procedures", b"ad hoc distributed queries":
          b"Ad Hoc Distributed Queries", b"agent xps": b"Agent XPs", b"database mail xps": b"Database Mail XPs",
          b"max server memory (mb)": b"max server memory (MB)"}  # fmt: skip
# Number and text of what an `SqlError` says; `{}` is what it is about (sys.messages).
ERRORS: dict[str, tuple[int, int, str]] = {
    "syntax": (102, 15, "Incorrect syntax near '{}'."),
    "depth": (191, 15, "Some part of your SQL statement is nested too "
    "deeply. Rewrite the query or break it up into smaller queries."),
    "column": (207, 16, "Invalid column name '{}'."), "table": (208, 16, "Invalid object name '{}'."),
    "unknown table": (3701, 11, "Cannot drop the table '{}', because it does not exist or you do not have permission."),
    "exists": (2714, 16, "There is already an object named '{}' in the database."),
    "database exists": (1801, 16, "Database '{}' already exists. Choose a different database name."),
    "unknown database": (3701, 11,
    "Cannot drop the database '{}', because it does not exist or you do not have permission."),
    "database": (911, 16, "Database '{}' does not exist. Make sure that the name is entered correctly."),
    "function": (195, 15, "'{}' is not a recognized built-in function name."),
    "arguments": (174, 15, "The function requires more arguments."),
    "union": (205, 16, "All queries combined using a UNION, INTERSECT or EXCEPT operator must have an equal number of "
              "expressions in their target lists."),
    "values": (213, 16, "Column name or number of supplied values does not match table definition."),
    "variable": (137, 15, 'Must declare the scalar variable "{}".'),
    "procedure": (2812, 16, "Could not find stored procedure '{}'."),
    "declared": (16915, 16, "A cursor with the name '{}' already exists."),
    "no cursor": (16916, 16, "A cursor with the name '{}' does not exist."),
    "cursor": (16917, 16, "Cursor is not open."), "cursor exists": (16905, 16, "The cursor is already open."),
    "fetch": (16924, 16, "Cursorfetch: The number of variables declared in the INTO list must match that of selected "
              "columns."),
    "recursion": (530, 16, "The statement terminated. The maximum recursion 100 has been exhausted before statement "
                  "completion."),
    "too large": (8152, 16, "String or binary data would be truncated."),
    "too much": (8623, 16, "The query processor ran out of internal resources and could not produce a query plan."),
    "too many columns": (1702, 16, "CREATE TABLE failed because the table exceeds the maximum of 1024 columns."),
    "out of range": (8115, 16, "Arithmetic overflow error converting expression to data type int."),
    "full": (1105, 17, "Could not allocate space for an object in database because the 'PRIMARY' filegroup is full."),
    "option": (15123, 16, "The configuration option '{}' does not exist, or it may be an advanced option."),
    "blocked": (15281, 16, "SQL Server blocked access to procedure 'sys.{}' of component '{}' because this component "
                           "is "
    "turned off as part of the security configuration for this server. A system administrator can enable the use of "
    "'{}' "
    "by using sp_configure. For more information about enabling '{}', search for '{}' in SQL Server Books Online."),
    "assembly": (6501, 16, "CREATE ASSEMBLY failed because it could not open the physical file '{}': 3(The system "
                           "cannot "
    "find the path specified.)."),
    "no assembly": (6528, 16, "Assembly '{}' was not found in the SQL catalog of database 'master'."),
}  # fmt: skip


class Server:
    """One sensor's SQL Server."""

    def __init__(self, host: Host) -> None:
        self.windows = windows_of(host)
        self.seed = host.seed.child("mssql")
        newest = 11 if self.windows.release.version.startswith("6.1") else 99
        known = [row for row in VERSIONS if row[0][0] <= newest]
        self.version, self.title, self.made = self.seed.choice("version", known)
        self.edition: str = self.seed.choice("edition", EDITIONS)
        self.host = host
        self.forces_tls = self.seed.number("forces encryption", 8) == 0  # whether all must be enciphered

    @property
    def name(self) -> str:
        """The server's name."""
        return self.windows.name

    @property
    def number(self) -> str:
        """The version with four parts."""
        major, minor, build = self.version
        tail = {1600: 1, 2100: 60, 2000: 8}.get(build, 0)
        return f"{major}.{minor}.{build}.{tail}"

    @property
    def tds(self) -> int:
        """The newest protocol that it speaks."""
        return 0x74000004 if self.version[0] >= 11 else 0x730B0003

    @property
    def banner(self) -> bytes:
        """What @@VERSION gives."""
        title = self.title if " - " in self.title else f"{self.title} - {self.number} (X64)"
        system, build = self._system()
        return (f"Microsoft SQL Server {title} \n\t{self.made} \n\tCopyright (c) Microsoft "
                f"Corporation\n\t{self.edition} "
                f"on {system} <X64> (Build {build}: {self.windows.release.service_pack})\n").encode()  # fmt: skip

    def _system(self) -> tuple[str, str]:
        """Return the Windows that the server believes to be on, and its build.

        One older than a Windows is told by it of the newest that the server knows: 2008 R2 has 6.2 and build 9200 of
        whatever came later, 2012 and 2014 have 6.3 and the build as it is.
        """
        release = self.windows.release
        kernel = ".".join(release.version.split(".")[:2])
        if kernel == "6.1":
            return "Windows NT 6.1", release.build
        if self.version[0] == 10:
            return "Windows NT 6.2", "9200"
        if self.version[0] < 13 or kernel == "6.3":
            return "Windows NT 6.3", release.build
        return f"{release.name} {kernel}", release.build


def oid_of(name: bytes) -> int:
    """Return the number of an object: the same as long as it has its name."""
    return 245_575_913 + zlib.crc32(name.lower()) % 1_800_000_000


def shown_option(name: bytes) -> bytes:
    """Return a setting's name as it is listed."""
    return _NAMES.get(name, name)


def said_of(error: SqlError) -> Said:
    """Return how an error is told."""
    number, severity, text = ERRORS.get(str(error), ERRORS["syntax"])
    near = error.near[:80].decode("utf-8", "replace")
    if number == 102:
        near = near.split(None, 1)[0] if near.split() else near
    if isinstance(error.code, bytes):  # the component, where the procedure is named too
        component = error.code.decode()
        return Said(number, text.replace("{}", near, 1).replace("{}", component), severity)
    return Said(number, text.replace("{}", near), severity)


# --- catalogues -----------------------------------------------------------------------------------------


def _table(columns: str, rows: list[list[Value]]) -> Table:
    return Table([column.encode() for column in columns.split()], rows)


def _databases(session: Session) -> Table:
    return _table("name database_id dbid state state_desc recovery_model_desc compatibility_level cmptlevel filename "
                  "sid owner_sid",
                  [[name, at, at, 0, b"ONLINE", b"SIMPLE", 100, 100,
                    b"C:\\Program Files\\Microsoft SQL Server\\MSSQL\\DATA\\%s.mdf" % name, b"\1", b"\1"]
                   for at, name in enumerate(session.tables.databases, 1)])  # fmt: skip


def _objects(session: Session) -> Table:
    own = session.tables.databases.get(session.database, {})
    rows: list[list[Value]] = [[name, oid_of(name), oid_of(name), 1, 1, b"U ", b"U ", b"USER_TABLE"] for name in own]
    rows += [[name, oid_of(name), oid_of(name), 1, 1, b"PC", b"PC", b"CLR_STORED_PROCEDURE"] for name in session.made]
    return _table("name id object_id schema_id uid type xtype type_desc", rows)


def _columns(session: Session) -> Table:
    return _table("name id object_id column_id colid table_catalog table_schema table_name column_name data_type "
                  "xtype length",
                  [[column, oid_of(name), oid_of(name), at + 1, at + 1, session.database, b"dbo", name, column,
                  b"nvarchar", 231, 510]
                   for name, table in session.tables.databases.get(session.database, {}).items()
                   for at, column in enumerate(table.columns)])  # fmt: skip


def _listed(session: Session) -> Table:
    return _table("table_catalog table_schema table_name table_type",
                  [[session.database, b"dbo", name, b"BASE TABLE"]
                   for name in session.tables.databases.get(session.database, {})])  # fmt: skip


def _logins(session: Session) -> Table:
    machine = session.server.name.encode()
    names = [
        b"sa",
        b"##MS_PolicyEventProcessingLogin##",
        b"NT AUTHORITY\\SYSTEM",
        machine + b"\\Administrator",
        *session.logins,
    ]
    return _table("name loginname principal_id sid type type_desc is_disabled sysadmin hasaccess denylogin isntname "
                  "password_hash",
                  [[name, name, at, bytes((at,)), b"U" if b"\\" in name else b"S",
                    b"WINDOWS_LOGIN" if b"\\" in name else b"SQL_LOGIN", False, 1, 1, 0, int(b"\\" in name), None]
                   for at, name in enumerate(names, 1)])  # fmt: skip


def _configurations(session: Session) -> Table:
    return _table("configuration_id name value minimum maximum value_in_use description",
                  [[number, shown_option(name), session.option(name), low, high, session.option(name),
                  shown_option(name)]
                   for name, (number, low, high, _) in CONFIGURATION.items()])  # fmt: skip


def _sessions(session: Session) -> Table:
    return _table("session_id spid login_name loginame host_name hostname program_name status client_net_address dbid",
                  [[session.spid, session.spid, session.user, session.user, session.client.encode(),
                  session.client.encode(),
                    session.program.encode(), b"running", session.visit.attacker.ip.encode(), 1]])  # fmt: skip


def _assemblies(session: Session) -> Table:
    return _table("name assembly_id permission_set permission_set_desc",
                  [[name, 65_536 + at, 3, b"UNSAFE_ACCESS"] for at, name in enumerate(session.assemblies)])  # fmt: skip


_CATALOGUES = {
    b"databases": _databases, b"sysdatabases": _databases, b"objects": _objects, b"sysobjects": _objects,
    b"all_objects": _objects, b"procedures": _objects, b"columns": _columns, b"syscolumns": _columns,
    b"syslogins": _logins, b"server_principals": _logins, b"sql_logins": _logins, b"sysxlogins": _logins,
    b"configurations": _configurations, b"sysconfigures": _configurations, b"sysprocesses": _sessions,
    b"dm_exec_sessions": _sessions, b"dm_exec_connections": _sessions, b"assemblies": _assemblies,
}  # fmt: skip


def catalogue(session: Session, name: tuple[bytes, ...]) -> Table | None:
    """Return a catalogue of the server's own, None if there is none of that name."""
    table, schema = name[-1].lower(), name[-2].lower() if len(name) > 1 else b""
    if schema == b"information_schema":
        return _columns(session) if table == b"columns" else _listed(session) if table == b"tables" else Table([])
    if schema == b"sys" and table == b"tables":
        return Table(*_only_tables(session))
    make = _CATALOGUES.get(table)
    return make(session) if make is not None and (schema == b"sys" or table.startswith(b"sys")) else None


def _only_tables(session: Session) -> tuple[list[bytes], list[list[Value]]]:
    found = _objects(session)
    return found.columns, [row for row in found.rows if row[5] == b"U "]


@lru_cache(maxsize=8)
def server_of(host: Host) -> Server:
    """Return the SQL Server of this host."""
    return Server(host)
