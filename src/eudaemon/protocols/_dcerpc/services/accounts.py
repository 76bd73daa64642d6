"""The account manager (MS-SAMR), as far as worms ask it: which accounts there are, whose passwords they then try."""

from __future__ import annotations

import struct
from collections.abc import Generator, Sequence

from eudaemon.protocols._base import Order
from eudaemon.protocols._dcerpc.host import Handler, RpcHost
from eudaemon.protocols._dcerpc.ndr import Reader, Writer

_BUILTIN = "Builtin"
_NO_SUCH_DOMAIN = 0xC000_00DF
_NUMBERS = {"Administrator": 500, "Guest": 501}  # of the accounts that every Windows has
_FIRST_NUMBER = 1000


def _connect(host: RpcHost, read: Reader, at_s: float) -> bytes:  # noqa: ARG001
    return host.open("accounts") + Writer().long(0).data


def _connect_lately(host: RpcHost, read: Reader, at_s: float) -> bytes:  # noqa: ARG001
    return Writer().long(1, 1, 3, 0).put(host.open("accounts")).long(0).data


def _close(host: RpcHost, read: Reader, at_s: float) -> Generator[Order, None, bytes]:  # noqa: ARG001
    yield from host.close(read.handle())
    return bytes(20) + Writer().long(0).data


def _domains(host: RpcHost, read: Reader, at_s: float) -> bytes:  # noqa: ARG001
    host.get(read.handle(), "accounts")
    return _listed([(0, host.windows.name), (0, _BUILTIN)], read.long())


def _users(host: RpcHost, read: Reader, at_s: float) -> bytes:  # noqa: ARG001
    domain = host.get(read.handle(), "domain").name
    names = host.windows.machine.users if domain != _BUILTIN else ()
    return _listed([(_NUMBERS.get(name, _FIRST_NUMBER + at), name) for at, name in enumerate(names)], read.long())


def _listed(rows: Sequence[tuple[int, str]], told: int) -> bytes:
    """Return the rows that were not told yet: a number and a name each."""
    rows = rows[told:]
    write = Writer().long(told + len(rows)).pointer().long(len(rows)).pointer().long(len(rows))
    for number, name in rows:
        write.long(number).short(2 * len(name), 2 * len(name)).pointer()
    for _, name in rows:
        write.long(len(name), 0, len(name)).put(name.encode("utf-16-le"))
    return write.long(len(rows), 0).data


def _look_up(host: RpcHost, read: Reader, at_s: float) -> bytes:  # noqa: ARG001
    host.get(read.handle(), "accounts")
    read.short()
    read.short()
    name = read.maybe_wide().lower()
    if name not in (host.windows.name.lower(), _BUILTIN.lower()):
        return Writer().long(0, _NO_SUCH_DOMAIN).data
    sid = "S-1-5-32" if name == _BUILTIN.lower() else host.windows.machine.sid
    parts = [int(part) for part in sid.split("-")[3:]]
    whole = struct.pack(f"<BB6s{len(parts)}I", 1, len(parts), b"\0\0\0\0\0\5", *parts)
    return Writer().pointer().long(len(parts)).put(whole).long(0).data


def _open(host: RpcHost, read: Reader, at_s: float) -> bytes:  # noqa: ARG001
    host.get(read.handle(), "accounts")
    read.long()
    count = read.long()
    is_builtin = count == 1 and read.take(8)[1] == 1
    return host.open("domain", _BUILTIN if is_builtin else host.windows.name) + Writer().long(0).data


HANDLERS: dict[str, Handler] = {
    "SamrConnect": _connect,
    "SamrConnect2": _connect,
    "SamrConnect4": _connect,
    "SamrConnect5": _connect_lately,
    "SamrCloseHandle": _close,
    "SamrEnumerateDomainsInSamServer": _domains,
    "SamrLookupDomainInSamServer": _look_up,
    "SamrOpenDomain": _open,
    "SamrEnumerateUsersInDomain": _users,
}
