"""pg_catalog and information_schema, as far as clients and attackers ask: psql's own questions get real answers."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from eudaemon.protocols._sql.tables import Table
from eudaemon.protocols._sql.values import Value

if TYPE_CHECKING:
    from eudaemon.protocols.postgres.session import Session

Rows = list[list[Value]]
OWNER, CATALOG, PUBLIC, TOAST, SCHEMA = 10, 11, 2200, 99, 13_000
_NAMESPACES = ((b"pg_toast", TOAST), (b"pg_catalog", CATALOG), (b"public", PUBLIC), (b"information_schema", SCHEMA))
TYPES = {b"int": (23, b"integer"), b"int4": (23, b"integer"), b"integer": (23, b"integer"), b"serial": (23, b"integer"),
         b"float": (1700, b"numeric(10,2)"), b"text": (25, b"text"), b"bytea": (17, b"bytea"),
         b"varchar": (1043, b"character varying(255)"), b"date": (1114, b"timestamp without time zone"),
         b"bool": (16, b"boolean"), b"boolean": (16, b"boolean"), b"bigint": (20, b"bigint"), b"json": (114, b"json"),
         b"oid": (26, b"oid"), b"int8": (20, b"bigint")}  # fmt: skip


def oid_of(name: bytes) -> int:
    """Return the number of a table: the same as long as it has its name."""
    return 16_384 + zlib.crc32(name) % 40_000


def _type(table: Table, at: int) -> tuple[int, bytes]:
    kind = table.kinds[at] if at < len(table.kinds) else b"text"
    return TYPES.get(kind, (25, kind))


def _table(columns: str, rows: Rows) -> Table:
    return Table([column.encode() for column in columns.split()], rows)


def _own(session: Session) -> dict[bytes, Table]:
    return session.tables.databases.get(session.database, {})


def _databases(session: Session) -> Table:
    names = [name for name in session.tables.databases if name != b"template0"] + [b"template0"]
    rows: Rows = []
    for at, name in enumerate(names):
        template = name.startswith(b"template")
        rights = b"{=c/postgres,postgres=CTc/postgres}" if template else None
        rows.append([12_000 + at, name, OWNER, 6, b"en_US.utf8", b"en_US.utf8", template, name != b"template0", -1,
        12_000,
                     1663, rights, None, b"c"])  # fmt: skip
    return _table("oid datname datdba encoding datcollate datctype datistemplate datallowconn datconnlimit "
                  "datlastsysoid dattablespace datacl daticulocale datlocprovider", rows)  # fmt: skip


def _roles(session: Session) -> Table:
    digest = b"md5" + session.server.seed.bytes("digest", 16).hex().encode()
    rows: Rows = []
    for at, name in enumerate([b"postgres", *session.roles]):
        oid, password = OWNER + 6 * at, digest if at == 0 else None
        rows.append([oid, name, True, True, True, True, True, True, True, -1, password, None, name, oid, True, True,
                     password, None, True, True, None, None])  # fmt: skip
    return _table("oid rolname rolsuper rolinherit rolcreaterole rolcreatedb rolcanlogin rolreplication rolbypassrls "
                  "rolconnlimit rolpassword rolvaliduntil usename usesysid usecreatedb usesuper passwd valuntil "
                  "userepl usebypassrls useconfig rolconfig", rows)  # fmt: skip


def _classes(session: Session) -> Table:
    rows: Rows = []
    for name, table in _own(session).items():
        rows.append([oid_of(name), name, PUBLIC, b"r", OWNER, 2, len(table.rows), len(table.columns), 0, *[False] * 8,
                     None, b"p", b"d", 0, 0, 0, False, 1 + len(table.rows) // 40, None, None])  # fmt: skip
    return _table("oid relname relnamespace relkind relowner relam reltuples relnatts relchecks relhasindex "
                  "relhasrules relhastriggers relrowsecurity relforcerowsecurity relhasoids relispartition relisshared "
                  "reloptions relpersistence relreplident reltablespace reltoastrelid reloftype relhassubclass "
                  "relpages relacl relpartbound", rows)  # fmt: skip


def _attributes(session: Session) -> Table:
    return _table("attrelid attname atttypid atttypmod attnum attnotnull attisdropped attlen atthasdef attidentity "
                  "attgenerated attcollation attstorage attcompression attstattarget attacl typname",
                  [[oid_of(name), column, _type(table, at)[0], -1, at + 1, False, False, -1, False, b"", b"", 0, b"x",
                  b"",
                    -1, None, _type(table, at)[1]]
                   for name, table in _own(session).items() for at, column in enumerate(table.columns)])  # fmt: skip


def _tables(session: Session) -> Table:
    return _table("schemaname tablename tableowner tablespace hasindexes hasrules hastriggers rowsecurity",
                  [[b"public", name, b"postgres", None, False, False, False, False]
                  for name in _own(session)])  # fmt: skip


def _listed_tables(session: Session) -> Table:
    return _table("table_catalog table_schema table_name table_type",
                  [[session.database, b"public", name, b"BASE TABLE"] for name in _own(session)])  # fmt: skip


def _listed_columns(session: Session) -> Table:
    return _table("table_catalog table_schema table_name column_name ordinal_position data_type is_nullable",
                  [[session.database, b"public", name, column, at + 1, _type(table, at)[1], b"YES"]
                   for name, table in _own(session).items() for at, column in enumerate(table.columns)])  # fmt: skip


def _schemata(session: Session) -> Table:
    return _table("catalog_name schema_name schema_owner",
                  [[session.database, name, b"postgres"] for name, _ in _NAMESPACES])  # fmt: skip


def _settings(session: Session) -> Table:
    known = {**session.server.settings, **session.settings}
    return _table("name setting unit category short_desc context vartype source sourcefile",
                  [[name, value, None, b"", b"", b"user", b"string", b"default", None]
                   for name, value in sorted(known.items())])  # fmt: skip


def _activity(session: Session) -> Table:
    peer = session.visit.attacker
    return _table("datid datname pid usesysid usename application_name client_addr client_port backend_start state "
                  "query",
                  [[12_000, session.database, session.pid, OWNER, session.user, b"", peer.ip.encode(), peer.port,
                    session.now(), b"active", b""]])  # fmt: skip


def _functions(session: Session) -> Table:
    return _table("oid proname pronamespace proowner prolang prosrc probin prokind proisagg prorettype",
                  [[oid_of(name), name, PUBLIC, OWNER, 13, name, library, b"f", False, 25]
                   for name, library in session.made.items()])  # fmt: skip


def _languages(session: Session) -> Table:  # noqa: ARG001
    return _table("oid lanname lanowner lanispl lanpltrusted",
                  [[12, b"internal", OWNER, False, False], [13, b"c", OWNER, False, False],
                   [14, b"sql", OWNER, False, True], [13_500, b"plpgsql", OWNER, True, True]])  # fmt: skip


def _extensions(session: Session) -> Table:  # noqa: ARG001
    return _table("oid extname extowner extnamespace extversion extrelocatable",
                  [[13_499, b"plpgsql", OWNER, CATALOG, b"1.0", False]])  # fmt: skip


def _large(session: Session) -> Table:
    return _table("oid lomowner lomacl", [[number, OWNER, None] for number in session.large.numbers()])


def _namespaces(session: Session) -> Table:  # noqa: ARG001
    return _table("oid nspname nspowner nspacl", [[oid, name, OWNER, None] for name, oid in _NAMESPACES])


def _types(session: Session) -> Table:  # noqa: ARG001
    known = dict(TYPES.values())
    return _table("oid typname typnamespace typtype typrelid typelem typcollation typbasetype",
                  [[oid, name, CATALOG, b"b", 0, 0, 0, 0] for oid, name in known.items()])  # fmt: skip


_CATALOGUES: dict[bytes, Callable[[Session], Table]] = {
    b"pg_database": _databases, b"pg_roles": _roles, b"pg_authid": _roles, b"pg_user": _roles, b"pg_shadow": _roles,
    b"pg_class": _classes, b"pg_attribute": _attributes, b"pg_tables": _tables, b"pg_settings": _settings,
    b"pg_stat_activity": _activity, b"pg_proc": _functions, b"pg_language": _languages, b"pg_extension": _extensions,
    b"pg_largeobject_metadata": _large, b"pg_namespace": _namespaces, b"pg_type": _types,
    b"pg_am": lambda _: _table("oid amname", [[2, b"heap"], [403, b"btree"]]),
    b"pg_stat_user_tables": lambda session: _table(
        "relid schemaname relname n_live_tup",
        [[oid_of(name), b"public", name, len(table.rows)] for name, table in _own(session).items()]),
}  # fmt: skip
_INFORMATION: dict[bytes, Callable[[Session], Table]] = {
    b"tables": _listed_tables, b"columns": _listed_columns, b"schemata": _schemata,
}  # fmt: skip


def catalogue(session: Session, name: tuple[bytes, ...]) -> Table | None:
    """Return a table of the catalogues; one of pg_catalog that is not known here is empty."""
    schema = name[-2].lower() if len(name) > 1 else b""
    table = name[-1].lower()
    if schema == b"information_schema":
        make = _INFORMATION.get(table)
        return make(session) if make is not None else Table([])
    if schema in (b"", b"pg_catalog"):
        make = _CATALOGUES.get(table)
        if make is not None:
            return make(session)
        if table == b"pg_largeobject":
            return session.large.table
        if table.startswith(b"pg_") and session.tables.find(session.database, table) is None:
            return Table([])
    return None
