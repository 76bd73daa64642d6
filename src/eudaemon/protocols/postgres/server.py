"""Who answers: version, settings and errors, all drawn from the installation's seed."""

from __future__ import annotations

from functools import cached_property, lru_cache

from eudaemon.protocols._sql.tokens import SqlError
from eudaemon.protocols.postgres.messages import Fault
from eudaemon.world.container import container_of
from eudaemon.world.host import Host

# Version, the GCC of the Alpine that its image is made of, and the line of postmaster.c that refuses a protocol.
VERSIONS = (
    ("9.6.12", "6.4.0", 2030), ("9.6.16", "8.3.0", 2031), ("10.5", "6.4.0", 2064), ("10.10", "8.3.0", 2065),
    ("10.17", "10.3.1", 2086), ("11.2", "8.2.0", 2015), ("11.8", "9.3.0", 2016), ("11.12", "10.3.1", 2037),
    ("12.4", "9.3.0", 2071), ("12.7", "10.3.1", 2095), ("13.3", "10.3.1", 2109), ("13.6", "10.3.1", 2133),
)  # fmt: skip
DATA = b"/var/lib/postgresql/data"
PLACES = (DATA, b"/usr/local/lib/postgresql", b"/var/www/html")
ADMINISTRATORS = (b"postgres", b"pgsql", b"admin", b"root")

# SQLSTATE and text of what an `SqlError` says; `{}` is what it is about (src/backend/utils/errcodes.txt).
ERRORS: dict[str, tuple[str, bytes]] = {
    "syntax": ("42601", b'syntax error at or near "{}"'),
    "depth": ("54001", b"stack depth limit exceeded"),
    "column": ("42703", b'column "{}" does not exist'),
    "table": ("42P01", b'relation "{}" does not exist'),
    "unknown table": ("42P01", b'table "{}" does not exist'),
    "exists": ("42P07", b'relation "{}" already exists'),
    "database exists": ("42P04", b'database "{}" already exists'),
    "unknown database": ("3D000", b'database "{}" does not exist'),
    "open database": ("55006", b"cannot drop the currently open database"),
    "function": ("42883", b"function {}() does not exist"),
    "arguments": ("42883", b"function does not exist"),
    "union": ("42601", b"each UNION query must have the same number of columns"),
    "values": ("42601", b"INSERT has more expressions than target columns"),
    "variable": ("42704", b'unrecognized configuration parameter "{}"'),
    "too large": ("54000", b"requested length too large"),
    "too much": ("54001", b"statement too complex"),
    "too many columns": ("54011", b"tables can have at most 1600 columns"),
    "out of range": ("22003", b"integer out of range"),
    "full": ("53100", b"could not extend file: No space left on device"),
    "write": ("58P01", b'could not open file "{}" for writing: No such file or directory'),
    "read": ("58P01", b'could not open file "{}" for reading: No such file or directory'),
    "library": ("58P01", b'could not access file "{}": No such file or directory'),
    "language": ("42704", b'language "{}" does not exist'),
    "program": ("38000", b'program "{}" failed'),
    "large": ("42704", b"large object {} does not exist"),
    "large exists": ("42710", b"large object {} already exists"),
    "aborted": ("25P02", b"current transaction is aborted, commands ignored until end of transaction block"),
    "prepared": ("26000", b'prepared statement "{}" does not exist'),
    "prepared exists": ("42P05", b'prepared statement "{}" already exists'),
    "cursor": ("34000", b'cursor "{}" does not exist'),
    "cursor exists": ("42P03", b'cursor "{}" already exists'),
    "recursion": ("54001", b"stack depth limit exceeded"),
    "portal": ("34000", b'portal "{}" does not exist'),
    "role": ("42704", b'role "{}" does not exist'),
}  # fmt: skip


class Server:
    """One sensor's PostgreSQL."""

    def __init__(self, host: Host) -> None:
        self.host = container_of(host, "postgres", "postgres", "uid=70(postgres) gid=70(postgres) groups=70(postgres)")
        self.seed = host.seed.child("postgres")
        self.version, self.compiler, self.line = self.seed.choice("version", VERSIONS)
        self.has_tls = self.seed.number("tls", 4) == 0  # which the image does not switch on by itself

    @property
    def number(self) -> int:
        """The version as one number: 120004 for 12.4, 90612 for 9.6.12."""
        parts = [int(part) for part in self.version.split(".")]
        return parts[0] * 10_000 + parts[1] * (100 if len(parts) == 3 else 1) + (parts[2] if len(parts) == 3 else 0)

    @property
    def banner(self) -> bytes:
        """What version() gives."""
        return (f"PostgreSQL {self.version} on x86_64-pc-linux-musl, compiled by gcc (Alpine {self.compiler}) "
                f"{self.compiler}, 64-bit").encode()  # fmt: skip

    def pid(self, at_s: float) -> int:
        """Return the process that answers a connection which begins now."""
        return self.host.pid_at(at_s)

    @cached_property
    def settings(self) -> dict[bytes, bytes]:
        """The settings before anybody sets one."""
        return {
            b"server_version": self.version.encode(), b"server_version_num": b"%d" % self.number,
            b"server_encoding": b"UTF8", b"client_encoding": b"UTF8", b"application_name": b"", b"is_superuser": b"on",
            b"session_authorization": b"postgres", b"DateStyle": b"ISO, MDY", b"IntervalStyle": b"postgres",
            b"TimeZone": b"UTC", b"integer_datetimes": b"on", b"standard_conforming_strings": b"on",
            b"data_directory": DATA, b"config_file": DATA + b"/postgresql.conf", b"hba_file": DATA + b"/pg_hba.conf",
            b"ident_file": DATA + b"/pg_ident.conf", b"external_pid_file": b"", b"listen_addresses": b"*",
            b"port": b"5432", b"max_connections": b"100", b"superuser_reserved_connections": b"3",
            b"unix_socket_directories": b"/var/run/postgresql",
            b"ssl": b"on" if self.has_tls else b"off", b"password_encryption": b"md5",
            b"shared_buffers": b"128MB", b"work_mem": b"4MB", b"maintenance_work_mem": b"64MB", b"fsync": b"on",
            b"dynamic_library_path": b"$libdir", b"shared_preload_libraries": b"", b"local_preload_libraries": b"",
            b"session_preload_libraries": b"", b"search_path": b'"$user", public', b"log_destination": b"stderr",
            b"logging_collector": b"off", b"log_directory": b"log", b"archive_mode": b"off",
            b"archive_command": b"(disabled)",
            b"wal_level": b"replica", b"transaction_isolation": b"read committed", b"lc_collate": b"en_US.utf8",
            b"lc_ctype": b"en_US.utf8", b"bytea_output": b"hex", b"default_transaction_read_only": b"off",
            b"in_hot_standby": b"off", b"row_security": b"on", b"statement_timeout": b"0",
            b"max_locks_per_transaction": b"64",
        }  # fmt: skip

    def told(self) -> list[bytes]:
        """Return the names of the settings that a client is told at its login."""
        return [b"application_name", b"client_encoding", b"DateStyle", b"integer_datetimes", b"IntervalStyle",
                b"is_superuser", b"server_encoding", b"server_version", b"session_authorization",
                b"standard_conforming_strings", b"TimeZone"]  # fmt: skip


def fault_of(error: SqlError, sql: bytes) -> Fault:
    """Return how an error is told. Of what is no SQL the first word is named that is not understood."""
    code, text = ERRORS.get(str(error), ERRORS["syntax"])
    near = error.near[:80]
    if "{}" not in text.decode() or code != "42601":
        detail = b""
        if str(error) == "program":
            detail = b"child process exited with exit code %d" % (error.code if isinstance(error.code, int) else 1)
        return Fault(code, text.replace(b"{}", near), detail=detail)
    word = near.split(None, 1)[0] if near.split() else b""
    if not word:
        return Fault(code, b"syntax error at end of input", position=len(sql) + 1)
    end = next((at for at, byte in enumerate(word) if at and byte in b"(),;'\""), len(word))
    return Fault(code, text.replace(b"{}", word[:end]), position=max(0, sql.find(near)) + 1)


@lru_cache(maxsize=8)
def server_of(host: Host) -> Server:
    """Return the PostgreSQL of this host."""
    return Server(host)
