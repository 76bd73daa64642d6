"""What the stored procedures do that attackers call. Each takes the session and its arguments.

`xp_cmdshell`, OLE automation and the CLR are off until sp_configure switches them on, as SQL Server ships.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from eudaemon.events.catalogue import ExploitRecognised
from eudaemon.protocols._base import Saw
from eudaemon.protocols._sql.query import Result
from eudaemon.protocols._sql.tokens import SqlError
from eudaemon.protocols._sql.values import Value, text, whole
from eudaemon.protocols.mssql.answers import Said
from eudaemon.protocols.mssql.server import CONFIGURATION, shown_option
from eudaemon.protocols.mssql.session import MADE_MAX, Session
from eudaemon.wire import printable

OUTPUT_CHARS = 255  # of a line of xp_cmdshell's output
_FACT_CHARS_MAX = 2048
_OLE = b"Ole Automation Procedures"


@dataclass(slots=True)
class Arguments:
    """What a procedure is called with: values in order, and by name; `outputs` are variables that get values back."""

    values: list[Value] = field(default_factory=list)
    named: dict[bytes, Value] = field(default_factory=dict)
    outputs: dict[int, bytes] = field(default_factory=dict)  # position: variable

    def get(self, at: int, *names: bytes) -> Value:
        """Return an argument by its position or one of its names, None if it is not given."""
        for name in names:
            if name in self.named:
                return self.named[name]
        return self.values[at] if at < len(self.values) else None


@dataclass(slots=True)
class Outcome:
    """What a procedure gave: rows, messages, a status, and values for its output arguments by position."""

    results: list[Result] = field(default_factory=list)
    messages: list[Said] = field(default_factory=list)
    status: int = 0
    outputs: dict[int, Value] = field(default_factory=dict)


Procedure: TypeAlias = "Callable[[Session, Arguments], Generator[Any, Any, Outcome]]"


def _rows(columns: str, rows: list[list[Value]]) -> Result:
    return Result("EXEC", [column.encode() for column in columns.split("|")], rows, len(rows))


def _permitted(session: Session, procedure: bytes, option: bytes, shown: bytes) -> None:
    if not session.option(option):
        raise SqlError("blocked", procedure, shown)


def _xp_cmdshell(session: Session, given: Arguments) -> Generator[Any, Any, Outcome]:
    _permitted(session, b"xp_cmdshell", b"xp_cmdshell", b"xp_cmdshell")
    line = text(given.get(0, b"@command_string"))
    yield Saw(ExploitRecognised("mssql-xp-cmdshell", "", printable(line, _FACT_CHARS_MAX)))
    printed = yield from session.run(line)
    status = 1 if session.worker.status else 0
    if text(given.get(1, b"@no_output")).lower() == b"no_output":
        return Outcome(status=status)
    lines: list[list[Value]] = [[one.rstrip(b"\r")[:OUTPUT_CHARS] or None] for one in printed.split(b"\n")]
    return Outcome([_rows("output", lines)], status=status)


def _sp_configure(session: Session, given: Arguments) -> Generator[Any, Any, Outcome]:
    yield from ()
    name = text(given.get(0, b"@configname")).lower()
    value = given.get(1, b"@configvalue")
    if not name:
        shown = [_configured(session, one) for one in sorted(CONFIGURATION) if session.option(b"show advanced options")
                 or one in (b"show advanced options", b"clr enabled", b"remote access")]  # fmt: skip
        return Outcome([_rows("name|minimum|maximum|config_value|run_value", shown)])
    known = [one for one in CONFIGURATION if one == name] or [one for one in CONFIGURATION if one.startswith(name)]
    if len(known) != 1:
        raise SqlError("option", text(given.get(0, b"@configname")))
    if value is None:
        return Outcome([_rows("name|minimum|maximum|config_value|run_value", [_configured(session, known[0])])])
    before = session.option(known[0])
    session.set_option(known[0], min(max(whole(value), CONFIGURATION[known[0]][1]), CONFIGURATION[known[0]][2]))
    name_shown = shown_option(known[0]).decode()
    return Outcome(messages=[Said(15457, f"Configuration option '{name_shown}' changed from {before} to "
                                  f"{session.option(known[0])}. Run the RECONFIGURE statement to install.",
                                  0)])  # fmt: skip


def _configured(session: Session, name: bytes) -> list[Value]:
    value = session.option(name)
    return [shown_option(name), CONFIGURATION[name][1], CONFIGURATION[name][2], value, value]


# --- OLE automation --------------------------------------------------------------------------------------


def _oa_create(session: Session, given: Arguments) -> Generator[Any, Any, Outcome]:
    _permitted(session, b"sp_OACreate", b"ole automation procedures", _OLE)
    yield from ()
    status, token = session.objects.make(text(given.get(0)))
    return Outcome(status=status, outputs={1: token})


def _oa_method(session: Session, given: Arguments) -> Generator[Any, Any, Outcome]:
    _permitted(session, b"sp_OAMethod", b"ole automation procedures", _OLE)
    values = [*given.values[3:], *given.named.values()]
    status, value = yield from session.objects.call(given.get(0), text(given.get(1)), values)
    if 2 in given.outputs:
        return Outcome(status=status, outputs={2: value})
    rows = [_rows("Column1", [[value]])] if value is not None and len(given.values) < 3 else []
    return Outcome(rows, status=status)


def _oa_get(session: Session, given: Arguments) -> Generator[Any, Any, Outcome]:
    _permitted(session, b"sp_OAGetProperty", b"ole automation procedures", _OLE)
    status, value = yield from session.objects.call(given.get(0), text(given.get(1)), given.values[3:])
    return Outcome([] if 2 in given.outputs else [_rows("Column1", [[value]])], status=status, outputs={2: value})


def _oa_set(session: Session, given: Arguments) -> Generator[Any, Any, Outcome]:
    _permitted(session, b"sp_OASetProperty", b"ole automation procedures", _OLE)
    yield from ()
    return Outcome(status=session.objects.set(given.get(0), text(given.get(1)), given.get(2)))


def _oa_destroy(session: Session, given: Arguments) -> Generator[Any, Any, Outcome]:
    yield from ()
    return Outcome(status=session.objects.drop(given.get(0)))


# --- others ------------------------------------------------------------------------------------------------


def _job_step(session: Session, given: Arguments) -> Generator[Any, Any, Outcome]:
    """A step of a job: a command for cmd.exe, or one for PowerShell, runs as if its job had been started."""
    subsystem = text(given.named.get(b"@subsystem")).lower()
    line = text(given.named.get(b"@command"))
    yield Saw(ExploitRecognised("mssql-agent-job", "", printable(subsystem + b" " + line, _FACT_CHARS_MAX)))
    if subsystem == b"powershell":
        line = b"powershell -command " + line
    if subsystem in (b"cmdexec", b"powershell"):
        yield from session.run(line)
    return Outcome()


def _registry(session: Session, given: Arguments) -> Generator[Any, Any, Outcome]:  # noqa: ARG001
    yield Saw(ExploitRecognised("mssql-registry", "", printable(b"\\".join(map(text, given.values)), _FACT_CHARS_MAX)))
    return Outcome()


def _file_exists(session: Session, given: Arguments) -> Generator[Any, Any, Outcome]:  # noqa: ARG001
    yield from ()
    return Outcome([_rows("File Exists|File is a Directory|Parent Directory Exists", [[0, 0, 1]])])


def _directory(session: Session, given: Arguments) -> Generator[Any, Any, Outcome]:
    printed = yield from session.run(b'dir /b "%s"' % text(given.get(0)).replace(b'"', b""))
    names = [line.strip() for line in printed.split(b"\n") if line.strip()]
    return Outcome([_rows("subdirectory|depth", [[name, 1] for name in names])])


def _add_login(session: Session, given: Arguments) -> Generator[Any, Any, Outcome]:
    yield from ()
    if len(session.logins) < MADE_MAX:
        session.logins.append(text(given.get(0, b"@loginame"))[:128])
    return Outcome()


def _databases(session: Session, given: Arguments) -> Generator[Any, Any, Outcome]:  # noqa: ARG001
    yield from ()
    return Outcome(
        [_rows("DATABASE_NAME|DATABASE_SIZE|REMARKS", [[name, 8192, None] for name in session.tables.databases])]
    )


def _tables(session: Session, given: Arguments) -> Generator[Any, Any, Outcome]:  # noqa: ARG001
    yield from ()
    own = session.tables.databases.get(session.database, {})
    return Outcome([_rows("TABLE_QUALIFIER|TABLE_OWNER|TABLE_NAME|TABLE_TYPE|REMARKS",
                          [[session.database, b"dbo", name, b"TABLE", None] for name in own])])  # fmt: skip


def _ver(session: Session, given: Arguments) -> Generator[Any, Any, Outcome]:  # noqa: ARG001
    yield from ()
    windows, server = session.server.windows, session.server
    return Outcome([_rows("Index|Name|Internal_Value|Character_Value", [
        [1, b"ProductName", None, b"Microsoft SQL Server"], [2, b"ProductVersion", None, server.number.encode()],
        [15, b"WindowsVersion", None, windows.release.version.encode()], [16, b"ProcessorCount", 4, b"4"],
        [19, b"PhysicalMemory", windows.memory_mb, b"%d" % windows.memory_mb]])])  # fmt: skip


def _who(session: Session, given: Arguments) -> Generator[Any, Any, Outcome]:  # noqa: ARG001
    yield from ()
    return Outcome([_rows("spid|ecid|status|loginame|hostname|blk|dbname|cmd|request_id",
                          [[session.spid, 0, b"runnable", session.user, session.client.encode(), b"0", session.database,
                            b"SELECT", 0]])])  # fmt: skip


def _fine(session: Session, given: Arguments) -> Generator[Any, Any, Outcome]:  # noqa: ARG001
    """What only succeeds."""
    yield from ()
    return Outcome()


_SUCCEEDING = (
    b"sp_addsrvrolemember sp_password sp_addextendedproc sp_dropextendedproc sp_addrolemember sp_adduser "
    b"sp_grantdbaccess "
    b"sp_dropsrvrolemember sp_droplogin sp_add_job sp_add_jobserver sp_start_job sp_delete_job sp_update_job "
    b"sp_add_jobschedule "
    b"sp_add_schedule sp_attach_schedule sp_procoption sp_addlinkedserver sp_serveroption sp_addlinkedsrvlogin "
    b"sp_dboption "
    b"sp_changedbowner sp_defaultdb sp_set_session_context sp_reset_connection sp_unprepare sp_cursorclose sp_oastop "
    b"sp_helptext sp_detach_db sp_attach_db sp_renamedb sp_updatestats xp_servicecontrol xp_logevent "
    b"sp_add_trusted_assembly "
    b"sp_describe_parameter_encryption sp_datatype_info sp_datatype_info_100 xp_loginconfig sp_dropserver "
    b"sp_delete_jobstep"
)
PROCEDURES: dict[bytes, Procedure] = {
    b"xp_cmdshell": _xp_cmdshell, b"sp_configure": _sp_configure, b"sp_oacreate": _oa_create,
    b"sp_oamethod": _oa_method,
    b"sp_oagetproperty": _oa_get, b"sp_oasetproperty": _oa_set, b"sp_oadestroy": _oa_destroy,
    b"sp_oageterrorinfo": _fine, b"sp_add_jobstep": _job_step, b"xp_regwrite": _registry, b"xp_regread": _registry,
    b"xp_regdeletekey": _registry, b"xp_regdeletevalue": _registry, b"xp_instance_regwrite": _registry,
    b"xp_instance_regread": _registry, b"xp_regenumvalues": _registry, b"xp_fileexist": _file_exists,
    b"xp_dirtree": _directory, b"xp_subdirs": _directory, b"sp_addlogin": _add_login, b"sp_databases": _databases,
    b"sp_helpdb": _databases, b"sp_tables": _tables, b"xp_msver": _ver, b"sp_who": _who, b"sp_who2": _who,
    **dict.fromkeys(_SUCCEEDING.split(), _fine),
}  # fmt: skip
