"""The remote registry (MS-RRP): read as the machine's own, written for the session; what a value would run is run."""

from __future__ import annotations

from collections.abc import Callable, Generator

from eudaemon.events.catalogue import CommandEntered
from eudaemon.protocols._base import Order, Saw
from eudaemon.protocols._dcerpc.host import ACCESS_DENIED, NOT_ENOUGH_MEMORY, Handler, RpcHost, shown
from eudaemon.protocols._dcerpc.ndr import Reader, Writer
from eudaemon.world.windows.registry import (
    CLASSES,
    DENIED,
    EXPAND_SZ,
    LOCAL_MACHINE,
    NAME_CHARS_MAX,
    RUN_AT,
    SZ,
    TYPES,
    USERS,
)
from eudaemon.world.windows.registry import shown as shown_value

KEPT_BYTES_MIN = 512  # a value that is longer is kept: programs are hidden there
_DONE, _NOT_FOUND, _MORE_DATA, _NO_MORE, _NO_PRIVILEGE = 0, 2, 234, 259, 1314  # MS-ERREF 2.2
_NOBODY = bytes(20)


def _text(read: Reader) -> str:
    """Read an RPC_UNICODE_STRING."""
    read.short()
    read.short()
    return read.maybe_wide()


def _skip_text(read: Reader) -> None:
    """Read one that is a buffer for the answer: its characters, if any, say nothing."""
    read.short()
    read.short()
    if read.pointer():
        read.wide()


def _put_text(write: Writer, text: str) -> None:
    size = 2 * (len(text) + 1)
    write.short(size, size).pointer().wide(text)


def _number(read: Reader) -> int | None:
    return read.long() if read.pointer() else None


def _data(read: Reader) -> bool:
    """Read a buffer for the answer's data; say whether there is one."""
    if not read.pointer():
        return False
    read.long()
    read.long()
    read.take(read.long())
    return True


def _hive(name: str) -> Handler:
    def open_hive(host: RpcHost, read: Reader, at_s: float) -> bytes:  # noqa: ARG001
        if not host.identity.administers:
            return _NOBODY + Writer().long(ACCESS_DENIED).data
        return host.open("key", name) + Writer().long(_DONE).data

    return open_hive


def _own_hive(host: RpcHost, read: Reader, at_s: float) -> bytes:
    answer = _hive(f"{USERS}\\{host.windows.machine.sid}-500")(host, read, at_s)
    return answer if isinstance(answer, bytes) else b""


def _close(host: RpcHost, read: Reader, at_s: float) -> Generator[Order, None, bytes]:  # noqa: ARG001
    yield from host.close(read.handle())
    return _NOBODY + Writer().long(_DONE).data


def _below(host: RpcHost, read: Reader) -> str:
    """Return the name of the key that a handle and a name under it mean."""
    key = host.get(read.handle(), "key").name
    name = _text(read).strip("\\")
    return f"{key}\\{name}" if name else key


def _open(host: RpcHost, read: Reader, at_s: float) -> bytes:  # noqa: ARG001
    key = host.registry.find(_below(host, read))
    if key is None:
        return _NOBODY + Writer().long(_NOT_FOUND).data
    if key.lower().startswith(DENIED):
        return _NOBODY + Writer().long(ACCESS_DENIED).data
    return host.open("key", key) + Writer().long(_DONE).data


def _create(host: RpcHost, read: Reader, at_s: float) -> Generator[Order, None, bytes]:  # noqa: ARG001
    wanted = _below(host, read)
    is_new = host.registry.find(wanted) is None
    if is_new:
        yield Saw(CommandEntered(shown(f'reg add "{wanted}"')))
    parts = wanted.split("\\")
    if any(len(part) > NAME_CHARS_MAX for part in parts) or not host.registry.create(wanted):
        return _NOBODY + Writer().long(0, NOT_ENOUGH_MEMORY).data
    opened = host.open("key", host.registry.find(wanted) or wanted)
    return opened + Writer().pointer().long(1 if is_new else 2, _DONE).data


def _delete_key(host: RpcHost, read: Reader, at_s: float) -> Generator[Order, None, bytes]:  # noqa: ARG001
    key = _below(host, read)
    yield Saw(CommandEntered(shown(f'reg delete "{key}"')))
    if host.registry.find(key) is None:
        return Writer().long(_NOT_FOUND).data
    return Writer().long(_DONE if host.registry.remove(key) else ACCESS_DENIED).data


def _delete_value(host: RpcHost, read: Reader, at_s: float) -> Generator[Order, None, bytes]:  # noqa: ARG001
    key = host.get(read.handle(), "key").name
    name = _text(read)
    yield Saw(CommandEntered(shown(f'reg delete "{key}" /v "{name}"')))
    host.forget_value(key, name)
    return Writer().long(_DONE if host.registry.remove_value(key, name) else _NOT_FOUND).data


def _keys(host: RpcHost, read: Reader, at_s: float) -> bytes:  # noqa: ARG001
    key, number = host.get(read.handle(), "key").name, read.long()
    _skip_text(read)
    has_class = read.pointer()
    if has_class:
        _skip_text(read)
    has_time = read.pointer()
    names = host.registry.keys(key)
    is_there = number < len(names)
    write = Writer()
    _put_text(write, names[number] if is_there else "")
    write.align().pointer(is_there=has_class)
    if has_class:
        write.short(0, 0).pointer(is_there=False)
    write.pointer(is_there=has_time)
    if has_time:
        write.long(0, 0)
    return write.long(_DONE if is_there else _NO_MORE).data


def _answered(write: Writer, kind: int, data: bytes, *, wants: bool, room: int | None) -> bytes:
    """Write a value's type, data and sizes, as far as the client has room for them."""
    fits = not wants or (room is not None and len(data) <= room)
    told = data if wants and fits else b""
    write.align().pointer().long(kind).pointer(is_there=wants)
    if wants:
        write.long(len(told), 0, len(told)).put(told).align()
    write.pointer().long(len(data)).pointer().long(len(told))
    return write.long(_DONE if fits else _MORE_DATA).data


def _values(host: RpcHost, read: Reader, at_s: float) -> bytes:  # noqa: ARG001
    key, number = host.get(read.handle(), "key").name, read.long()
    _skip_text(read)
    _number(read)
    wants = _data(read)
    room = _number(read)
    rows = list(host.registry.values(key).items())
    write = Writer()
    if number >= len(rows):
        _put_text(write, "")
        write.align()
        for _ in range(4):
            write.pointer(is_there=False)
        return write.long(_NO_MORE).data
    name, (kind, data) = rows[number]
    _put_text(write, name)
    return _answered(write, kind, data, wants=wants, room=room)


def _value(host: RpcHost, read: Reader, at_s: float) -> bytes:  # noqa: ARG001
    key = host.get(read.handle(), "key").name
    held = host.registry.value(key, _text(read))
    if held is None:
        write = Writer()
        for _ in range(4):
            write.pointer(is_there=False)
        return write.long(_NOT_FOUND).data
    _number(read)
    wants = _data(read)
    return _answered(Writer(), *held, wants=wants, room=_number(read))


def _set_value(host: RpcHost, read: Reader, at_s: float) -> Generator[Order, None, bytes]:
    key = host.get(read.handle(), "key").name
    name, kind, data = _text(read), read.long(), read.array()
    told = shown_value((kind, data))
    yield Saw(CommandEntered(shown(f'reg add "{key}" /v "{name}" /t {TYPES.get(kind, str(kind))} /d {told}')))
    if len(data) >= KEPT_BYTES_MIN:
        yield from host.keep(data, f"{key}\\{name}")
    if kind in (SZ, EXPAND_SZ) and any(place in key.lower() for place in RUN_AT):
        yield from host.run(told, at_s)
    if len(name) > NAME_CHARS_MAX or not host.write_value(key, name, (kind, data)):
        return Writer().long(NOT_ENOUGH_MEMORY).data
    return Writer().long(_DONE).data


def _about(host: RpcHost, read: Reader, at_s: float) -> bytes:  # noqa: ARG001
    key = host.get(read.handle(), "key").name
    keys, values = host.registry.keys(key), host.registry.values(key)
    sizes: Callable[[list[int]], int] = lambda found: max(found, default=0)  # noqa: E731
    write = Writer()
    _put_text(write, host.registry.class_of(key))
    write.align().long(len(keys), sizes([2 * len(name) for name in keys]), 0, len(values))
    write.long(sizes([2 * len(name) for name in values]), sizes([len(data) for _, data in values.values()]), 120)
    return write.long(0, 0, _DONE).data


def _version(host: RpcHost, read: Reader, at_s: float) -> bytes:  # noqa: ARG001
    host.get(read.handle(), "key")
    return Writer().long(6, _DONE).data


def _flush(host: RpcHost, read: Reader, at_s: float) -> bytes:  # noqa: ARG001
    host.get(read.handle(), "key")
    return Writer().long(_DONE).data


def _save(host: RpcHost, read: Reader, at_s: float) -> Generator[Order, None, bytes]:  # noqa: ARG001
    key = host.get(read.handle(), "key").name
    yield Saw(CommandEntered(shown(f'reg save "{key}" "{_text(read)}"')))
    return Writer().long(_NO_PRIVILEGE).data


HANDLERS: dict[str, Handler] = {
    "OpenClassesRoot": _hive(CLASSES),
    "OpenCurrentUser": _own_hive,
    "OpenLocalMachine": _hive(LOCAL_MACHINE),
    "OpenUsers": _hive(USERS),
    "BaseRegCloseKey": _close,
    "BaseRegCreateKey": _create,
    "BaseRegDeleteKey": _delete_key,
    "BaseRegDeleteKeyEx": _delete_key,
    "BaseRegDeleteValue": _delete_value,
    "BaseRegEnumKey": _keys,
    "BaseRegEnumValue": _values,
    "BaseRegFlushKey": _flush,
    "BaseRegGetVersion": _version,
    "BaseRegOpenKey": _open,
    "BaseRegQueryInfoKey": _about,
    "BaseRegQueryValue": _value,
    "BaseRegSaveKey": _save,
    "BaseRegSaveKeyEx": _save,
    "BaseRegSetValue": _set_value,
}
