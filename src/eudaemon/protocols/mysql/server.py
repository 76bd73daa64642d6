"""Who answers: version, variables and catalogues, all drawn from the installation's seed."""

from __future__ import annotations

from functools import cached_property, lru_cache

from eudaemon.protocols._sql.tables import Table, Tables
from eudaemon.protocols._sql.tokens import SqlError
from eudaemon.protocols._sql.values import Value
from eudaemon.protocols.mysql.packets import CACHING, NATIVE
from eudaemon.protocols.mysql.secrets import Key
from eudaemon.world.container import container_of
from eudaemon.world.host import Host

VERSIONS = (
    "5.5.54",
    "5.5.62",
    "5.6.38",
    "5.6.46",
    "5.7.21",
    "5.7.26",
    "5.7.33",
    "5.7.38",
    "8.0.19",
    "8.0.22",
    "8.0.28",
)
PLUGINS, DATA = b"/usr/lib/mysql/plugin/", b"/var/lib/mysql/"
PLACES = (DATA.rstrip(b"/"), PLUGINS.rstrip(b"/"), b"/var/www/html", b"/var/lib/mysql-files")
ADMINISTRATORS = (b"root", b"mysql", b"admin")
# What each series says it can, without TLS and compression.
_CAPABILITIES = {"5.5": 0x800FF7DF, "5.6": 0x807FF7DF, "5.7": 0x81FFF7DF, "8.0": 0x81FFF7DF}
OWN = (b"information_schema", b"mysql", b"performance_schema")
SYSTEM_TABLES = tuple(
    b"columns_priv db event func general_log help_topic innodb_index_stats innodb_table_stats plugin proc procs_priv "
    b"proxies_priv servers slow_log tables_priv time_zone user".split()
)

# Number, SQLSTATE and text of what an `SqlError` says; `{}` is what it is about (mysqld's errmsg-utf8.txt).
ERRORS: dict[str, tuple[int, str, bytes]] = {
    "syntax": (1064, "42000", b"You have an error in your SQL syntax; check the manual that corresponds to your MySQL "
               b"server version for the right syntax to use near '{}' at line 1"),
    "depth": (1064, "42000", b"memory exhausted near '{}' at line 1"),
    "column": (1054, "42S22", b"Unknown column '{}' in 'field list'"),
    "table": (1146, "42S02", b"Table '{}' doesn't exist"),
    "unknown table": (1051, "42S02", b"Unknown table '{}'"),
    "exists": (1050, "42S01", b"Table '{}' already exists"),
    "database exists": (1007, "HY000", b"Can't create database '{}'; database exists"),
    "unknown database": (1008, "HY000", b"Can't drop database '{}'; database doesn't exist"),
    "database": (1049, "42000", b"Unknown database '{}'"),
    "no database": (1046, "3D000", b"No database selected"),
    "function": (1305, "42000", b"FUNCTION {} does not exist"),
    "arguments": (1582, "42000", b"Incorrect parameter count in the call to native function"),
    "union": (1222, "21000", b"The used SELECT statements have a different number of columns"),
    "values": (1136, "21S01", b"Column count doesn't match value count at row 1"),
    "variable": (1193, "HY000", b"Unknown system variable '{}'"),
    "too large": (1301, "HY000", b"Result of {} was larger than max_allowed_packet (16777216) - truncated"),
    "too much": (1104, "42000", b"The SELECT would examine more than MAX_JOIN_SIZE rows; check your WHERE and use SET "
                 b"SQL_BIG_SELECTS=1 or SET MAX_JOIN_SIZE=# if the SELECT is okay"),
    "too many columns": (1117, "HY000", b"Too many columns"),
    "out of range": (1690, "22003", b"BIGINT value is out of range"),
    "full": (1114, "HY000", b"The table is full"),
    "file exists": (1086, "HY000", b"File '{}' already exists"),
    "write": (1, "HY000", b"Can't create/write to file '{}'"),
    "rows": (1172, "42000", b"Result consisted of more than one row"),
    "library": (1126, "HY000", b"Can't open shared library '{}' (errno: 0 cannot open shared object file: No such file "
                b"or directory)"),
    "function exists": (1125, "HY000", b"Function '{}' already exists"),
    "local": (1148, "42000", b"The used command is not allowed with this MySQL version"),
    "prepared": (1295, "HY000", b"This command is not supported in the prepared statement protocol yet"),
    "no prepared": (1243, "HY000", b"Unknown prepared statement handler ({}) given to EXECUTE"),
    "too many prepared": (1461, "42000", b"Can't create more than max_prepared_stmt_count statements (current value: "
                          b"16382)"),
    "too many parameters": (1390, "HY000", b"Prepared statement contains too many placeholders"),
    "malformed": (1210, "HY000", b"Incorrect arguments to mysqld_stmt_execute"),
    "execute": (1210, "HY000", b"Incorrect arguments to EXECUTE"),
    "recursion": (3636, "HY000", b"Recursive query aborted after 1001 iterations. Try increasing "
                  b"@@cte_max_recursion_depth to a larger value."),
    "unknown": (1047, "08S01", b"Unknown command"),
}  # fmt: skip


class Server:
    """One sensor's MySQL."""

    def __init__(self, host: Host) -> None:
        self.host = container_of(host, "mysql", "mysqld", "uid=999(mysql) gid=999(mysql) groups=999(mysql)")
        self.seed = host.seed.child("mysql")
        self.version: str = self.seed.choice("version", VERSIONS)
        self.series = self.version[:3]
        self.capabilities = _CAPABILITIES[self.series]
        self.plugin = CACHING if self.series == "8.0" else NATIVE
        # From 5.7 on a server makes itself a certificate; before, its administrator had to.
        self.has_tls = self.series >= "5.7" or self.seed.number("tls", 4) == 0
        self.charset = 255 if self.series == "8.0" else 8
        self.uuid = self.seed.bytes("uuid", 16).hex()

    @cached_property
    def key(self) -> Key:
        """The key with which passwords are sent."""
        return Key(self.seed.child("key"))

    def thread(self, at_s: float) -> int:
        """Return the number of a connection that begins now."""
        return 8 + int(self.host.uptime_s(at_s) // 7) % 1_000_000

    @cached_property
    def variables(self) -> dict[bytes, Value]:
        """The system variables before anybody sets one."""
        eight, collation = self.series == "8.0", b"utf8mb4_0900_ai_ci"
        charset = b"utf8mb4" if eight else b"latin1"
        if not eight:
            collation = b"latin1_swedish_ci"
        own: dict[bytes, Value] = {
            b"version": self.version.encode(), b"version_comment": b"MySQL Community Server (GPL)",
            b"version_compile_os": b"Linux" if self.series >= "5.7" else b"linux-glibc2.12",
            b"version_compile_machine": b"x86_64", b"hostname": self.host.name.encode(), b"port": 3306,
            b"basedir": b"/usr/", b"datadir": DATA, b"plugin_dir": PLUGINS, b"tmpdir": b"/tmp",
            b"socket": b"/var/run/mysqld/mysqld.sock", b"pid_file": b"/var/run/mysqld/mysqld.pid",
            b"secure_file_priv": b"", b"secure_auth": b"ON", b"have_ssl": b"DISABLED", b"have_openssl": b"DISABLED",
            b"have_dynamic_loading": b"YES", b"max_allowed_packet": 16_777_216, b"max_connections": 151,
            b"net_buffer_length": 16_384, b"net_write_timeout": 60, b"net_read_timeout": 30, b"wait_timeout": 28_800,
            b"interactive_timeout": 28_800, b"autocommit": 1, b"auto_increment_increment": 1,
            b"lower_case_table_names": 0,
            b"license": b"GPL", b"log_bin": b"ON" if eight else b"OFF", b"general_log": b"OFF",
            b"general_log_file": DATA + self.host.name.encode() + b".log", b"slow_query_log": b"OFF",
            b"slow_query_log_file": DATA + self.host.name.encode() + b"-slow.log", b"log_output": b"FILE",
            b"init_connect": b"",
            b"sql_mode": b"STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION" if self.series >= "5.7" else b"",
            b"system_time_zone": b"UTC", b"time_zone": b"SYSTEM", b"server_id": 1, b"read_only": 0, b"local_infile": 1,
            b"character_set_client": b"utf8", b"character_set_connection": b"utf8", b"character_set_results": b"utf8",
            b"character_set_database": charset, b"character_set_server": charset, b"character_set_system": b"utf8",
            b"character_set_filesystem": b"binary", b"character_sets_dir": b"/usr/share/mysql/charsets/",
            b"collation_connection": b"utf8_general_ci", b"collation_database": collation,
            b"collation_server": collation, b"query_cache_size": 1_048_576, b"query_cache_type": b"OFF",
            b"innodb_version": self.version.encode(), b"storage_engine": b"InnoDB",
            b"default_storage_engine": b"InnoDB",
            b"protocol_version": 10, b"performance_schema": b"ON", b"profiling": 0, b"lc_time_names": b"en_US",
            b"foreign_key_checks": 1, b"unique_checks": 1, b"sql_safe_updates": 0, b"old_passwords": 0,
        }  # fmt: skip
        if self.has_tls:
            own |= {b"have_ssl": b"YES", b"have_openssl": b"YES"}
        for name, file in ((b"ssl_ca", b"ca.pem"), (b"ssl_cert", b"server-cert.pem"), (b"ssl_key", b"server-key.pem")):
            own[name] = file if self.has_tls else b""
        own[b"transaction_isolation" if eight else b"tx_isolation"] = b"REPEATABLE-READ"
        if self.series >= "5.6":
            u = self.uuid
            own[b"server_uuid"] = f"{u[:8]}-{u[8:12]}-11{u[14:16]}-{u[16:20]}-{u[20:]}".encode()
        if eight:
            for name in (b"query_cache_size", b"query_cache_type", b"secure_auth", b"storage_engine"):
                own.pop(name)
        return own

    def catalogue(self, database: bytes, name: bytes, tables: Tables) -> Table | None:
        """Return a table of `information_schema` or `mysql`, None if there is none of that name."""
        if database == b"information_schema":
            make = _SCHEMA.get(name)
            return make(tables) if make else None
        if database == b"mysql" and name == b"user":
            column = b"authentication_string" if self.series >= "5.7" else b"Password"
            digest = b"*" + self.seed.bytes("digest", 20).hex().upper().encode()
            rows: list[list[Value]] = [[host, b"root", digest, b"Y", b"Y", b"Y", b"mysql_native_password"]
                                       for host in (b"localhost", b"%")]  # fmt: skip
            return Table([b"Host", b"User", column, b"Select_priv", b"File_priv", b"Super_priv", b"plugin"], rows)
        if database == b"mysql" and name == b"plugin":
            return Table([b"name", b"dl"])
        return None


def _schemata(tables: Tables) -> Table:
    rows: list[list[Value]] = [[b"def", name, b"utf8", b"utf8_general_ci", None] for name in sorted(tables.databases)]
    return Table([b"CATALOG_NAME", b"SCHEMA_NAME", b"DEFAULT_CHARACTER_SET_NAME", b"DEFAULT_COLLATION_NAME",
                  b"SQL_PATH"], rows)  # fmt: skip


def _tables(tables: Tables) -> Table:
    rows: list[list[Value]] = [
        [b"def", database, name, b"BASE TABLE", b"InnoDB", len(table.rows), 16_384 + 96 * len(table.rows)]
        for database, those in tables.databases.items() for name, table in those.items()
    ]  # fmt: skip
    return Table([b"TABLE_CATALOG", b"TABLE_SCHEMA", b"TABLE_NAME", b"TABLE_TYPE", b"ENGINE", b"TABLE_ROWS",
                  b"DATA_LENGTH"], rows)  # fmt: skip


def _columns(tables: Tables) -> Table:
    rows: list[list[Value]] = [
        [b"def", database, name, column, at + 1, kind_of(table, at)]
        for database, those in tables.databases.items() for name, table in those.items()
        for at, column in enumerate(table.columns)
    ]  # fmt: skip
    return Table([b"TABLE_CATALOG", b"TABLE_SCHEMA", b"TABLE_NAME", b"COLUMN_NAME", b"ORDINAL_POSITION", b"DATA_TYPE"],
                 rows)  # fmt: skip


_SCHEMA = {b"schemata": _schemata, b"tables": _tables, b"columns": _columns}
_KINDS = {b"int": b"int", b"float": b"decimal", b"text": b"varchar", b"date": b"datetime"}


def kind_of(table: Table, at: int) -> bytes:
    """Return the type of a table's column."""
    kind = table.kinds[at] if at < len(table.kinds) else b"text"
    return _KINDS.get(kind, kind) if table.shared else kind


def message_of(error: SqlError) -> tuple[int, str, bytes]:
    """Return number, SQLSTATE and text of an error."""
    code, state, message = ERRORS.get(str(error), ERRORS["syntax"])
    return code, state, message.replace(b"{}", error.near[:80])


@lru_cache(maxsize=8)
def server_of(host: Host) -> Server:
    """Return the MySQL of this host."""
    return Server(host)
