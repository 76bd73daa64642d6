"""Functions that only PostgreSQL has: of the server, of bytes, of large objects and of files."""

from __future__ import annotations

import base64
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from eudaemon.protocols._sql.functions import FUNCTIONS
from eudaemon.protocols._sql.tokens import Binary, SqlError
from eudaemon.protocols._sql.values import Value, bounded, cast, number, text, unhexed, whole
from eudaemon.protocols._work import Rest
from eudaemon.protocols.postgres.catalogue import TYPES
from eudaemon.wire import decode
from eudaemon.world.files import FileError

if TYPE_CHECKING:
    from eudaemon.protocols.postgres.session import Session

Values = list[Value]
SLEEP_S_MAX = 30.0
SERIES_MAX = 10_000


def _given(values: Values, at: int, default: Value = None) -> Value:
    return values[at] if at < len(values) else default


def _decode(session: Session, values: Values) -> Value:  # noqa: ARG001
    data, form = text(_given(values, 0)), text(_given(values, 1, b"hex")).lower()
    if form == b"base64":
        found = decode.base64_text(data)
    elif form == b"hex":
        found = unhexed(data)
    else:
        found = decode.backslashes(data)
    if found is None:
        raise SqlError("syntax", data[:40])
    return Binary(found)


def _encode(session: Session, values: Values) -> Value:  # noqa: ARG001
    data, form = text(_given(values, 0)), text(_given(values, 1, b"hex")).lower()
    if form == b"base64":
        whole_text = base64.b64encode(data)
        return b"\n".join(whole_text[at : at + 76] for at in range(0, len(whole_text), 76))
    return bounded(data.hex().encode()) if form == b"hex" else bytes(data)


def _sleep(session: Session, values: Values) -> Generator[Any, Any, Value]:  # noqa: ARG001
    yield Rest(min(SLEEP_S_MAX, max(0.0, float(number(_given(values, 0))))))
    return b""


def _setting(session: Session, values: Values) -> Value:
    return session.setting(text(_given(values, 0)))


def _set_config(session: Session, values: Values) -> Value:
    session.set(text(_given(values, 0)), text(_given(values, 1)))
    return text(_given(values, 1))


def _read_file(session: Session, values: Values) -> Value:
    path = text(_given(values, 0))
    data = session.machine.read(path, session.at_s)
    if data is None:
        raise SqlError("read", path)
    return bytes(data)


def _list(session: Session, values: Values) -> Value:
    path = text(_given(values, 0))
    files = session.machine.files
    try:
        names = files.names(files.resolve(path, session.machine.starts_in))
    except FileError:
        raise SqlError("read", path) from None
    session.set_of = [[name] for name in names]
    return names[0] if names else None


def _series(session: Session, values: Values) -> Value:
    low, high, step = whole(_given(values, 0)), whole(_given(values, 1)), whole(_given(values, 2, 1)) or 1
    numbers = range(low, high + (1 if step > 0 else -1), step)[:SERIES_MAX]
    session.set_of = [[one] for one in numbers]
    return low


def _split(session: Session, values: Values) -> Value:
    parts = text(_given(values, 0)).strip(b"{}").split(text(_given(values, 1, b",")) or b",")[:SERIES_MAX]
    session.set_of = [[part] for part in parts]
    return text(_given(values, 0))


def _format_type(session: Session, values: Values) -> Value:  # noqa: ARG001
    return next((name for oid, name in TYPES.values() if oid == whole(_given(values, 0))), b"text")


# --- large objects ------------------------------------------------------------------------------------


def _lo_create(session: Session, values: Values) -> Value:
    return session.large.create(whole(_given(values, 0, 0), high=0xFFFFFFFF))


def _lo_from_bytea(session: Session, values: Values) -> Value:
    made = session.large.create(whole(_given(values, 0, 0), high=0xFFFFFFFF))
    session.large.write(made, 0, _bytes(_given(values, 1)))
    return made


def _lo_put(session: Session, values: Values) -> Value:
    session.large.write(whole(_given(values, 0)), whole(_given(values, 1)), _bytes(_given(values, 2)))
    return b""


def _lo_get(session: Session, values: Values) -> Value:
    data = session.large.read(whole(_given(values, 0)))
    if len(values) < 2:
        return data
    start = whole(values[1], low=0)
    return Binary(data[start:] if len(values) < 3 else data[start : start + whole(values[2], low=0)])


def _lo_import(session: Session, values: Values) -> Value:
    path = text(_given(values, 0))
    data = session.machine.read(path, session.at_s)
    if data is None:
        raise SqlError("read", path)
    made = session.large.create(whole(_given(values, 1, 0), high=0xFFFFFFFF))
    session.large.write(made, 0, data)
    return made


def _lo_export(session: Session, values: Values) -> Generator[Any, Any, Value]:
    number_of = whole(_given(values, 0))
    data = session.large.read(number_of)
    session.large.exported.add(number_of)
    yield from session.write(text(_given(values, 1)), data)
    return 1


def _lo_unlink(session: Session, values: Values) -> Value:
    session.large.remove(whole(_given(values, 0)))
    return 1


def _lo_open(session: Session, values: Values) -> Value:
    made = whole(_given(values, 0))
    if not session.large.has(made):
        raise SqlError("large", b"%d" % made)
    session.opened = (made, 0)
    return 0


def _lo_write(session: Session, values: Values) -> Value:
    if session.opened is None:
        raise SqlError("large", b"0")
    made, at = session.opened
    data = _bytes(_given(values, 1))
    session.large.write(made, at, data)
    session.opened = made, at + len(data)
    return len(data)


def _bytes(value: Value) -> bytes:
    """Return a bytea, also where it is written as text."""
    return value if isinstance(value, Binary) else text(cast(value, b"bytea"))


def _constant(value: Value) -> Callable[[Session, Values], Value]:
    return lambda _session, _values: value


_ALL_TRUE = (b"pg_table_is_visible pg_type_is_visible pg_function_is_visible "
             b"has_database_privilege has_table_privilege has_schema_privilege has_function_privilege pg_has_role "
             b"pg_reload_conf pg_terminate_backend pg_cancel_backend pg_rotate_logfile")  # fmt: skip
_NOTHING = (b"obj_description shobj_description col_description pg_get_expr pg_get_indexdef pg_get_constraintdef "
            b"array_to_string pg_get_viewdef pg_get_function_result pg_get_function_arguments pg_get_partkeydef "
            b"pg_get_ruledef lo_close lo_truncate lo_lseek")  # fmt: skip
OWN_FUNCTIONS: dict[bytes, Any] = {
    **FUNCTIONS,
    b"version": lambda session, _: session.server.banner,
    b"current_database": lambda session, _: session.database, b"current_catalog": lambda session, _: session.database,
    **{name: (lambda session, _: session.user) for name in (b"current_user", b"session_user", b"user",
    b"current_role")},
    b"current_schema": _constant(b"public"), b"current_schemas": _constant(b"{pg_catalog,public}"),
    b"inet_server_addr": lambda session, _: session.server.host.address.encode(), b"inet_server_port": _constant(5432),
    b"inet_client_addr": lambda session, _: session.visit.attacker.ip.encode(),
    b"inet_client_port": lambda session, _: session.visit.attacker.port,
    b"pg_backend_pid": lambda session, _: session.pid, b"pg_is_in_recovery": _constant(False),
    b"pg_postmaster_start_time": lambda session, _: session.started(), b"txid_current": _constant(571),
    **{name: (lambda session, _: session.now()) for name in (b"now", b"current_timestamp", b"clock_timestamp",
    b"localtimestamp")},
    b"current_date": lambda session, _: session.now()[:10],
    b"current_setting": _setting, b"set_config": _set_config, b"pg_sleep": _sleep, b"decode": _decode,
    b"encode": _encode,
    b"convert_from": lambda _, values: bytes(text(_given(values, 0))),
    b"convert_to": lambda _, values: Binary(text(_given(values, 0))),
    b"pg_read_file": _read_file, b"pg_read_binary_file": lambda session,
    values: Binary(text(_read_file(session, values))),
    b"pg_ls_dir": _list, b"generate_series": _series, b"regexp_split_to_table": _split, b"unnest": _split,
    b"string_to_array": lambda _, values: b"{" + text(_given(values, 0)) + b"}", b"format_type": _format_type,
    b"pg_get_userbyid": _constant(b"postgres"), b"pg_encoding_to_char": _constant(b"UTF8"),
    b"pg_client_encoding": _constant(b"UTF8"), b"pg_size_pretty": lambda _,
    values: b"%d kB" % (whole(_given(values, 0)) >> 10),
    b"pg_database_size": _constant(8_102_767), b"pg_relation_size": _constant(16_384),
    b"pg_total_relation_size": _constant(16_384),
    b"pg_stat_file": _constant(b"(0,,,,,f)"), b"random": _constant(0.417), b"to_regclass": lambda _, values: values[0],
    b"element": lambda _, values: values[0], b"any": lambda _, values: values[0], b"quote_nullable": lambda _,
    values: values[0],
    b"lo_create": _lo_create, b"lo_creat": lambda session, _: session.large.create(0), b"lo_from_bytea": _lo_from_bytea,
    b"lo_put": _lo_put, b"lo_get": _lo_get, b"lo_import": _lo_import, b"lo_export": _lo_export,
    b"lo_unlink": _lo_unlink,
    b"lo_open": _lo_open, b"lowrite": _lo_write,
    **{name: _constant(True) for name in _ALL_TRUE.split()}, **{name: _constant(None) for name in _NOTHING.split()},
}  # fmt: skip
