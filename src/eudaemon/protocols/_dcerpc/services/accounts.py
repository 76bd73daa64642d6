"""The account manager (MS-SAMR), as far as it is asked: which accounts there are, whose passwords are then tried."""

from __future__ import annotations

import struct
from collections.abc import Generator, Sequence

from eudaemon.protocols._base import Order
from eudaemon.protocols._dcerpc.host import Handler, RpcHost
from eudaemon.protocols._dcerpc.ndr import Reader, Writer

_BUILTIN = "Builtin"
_NO_SUCH_DOMAIN, _NO_SUCH_USER, _INVALID_INFO_CLASS = 0xC000_00DF, 0xC000_0064, 0xC000_0003
_ALL_OF_A_USER = 21  # UserAllInformation
_NEVER = 0x7FFF_FFFF_FFFF_FFFF
_COMMENTS = {"Administrator": "Built-in account for administering the computer/domain",
             "Guest": "Built-in account for guest access to the computer/domain"}  # fmt: skip
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
    return _listed(numbered(host) if domain != _BUILTIN else [], read.long())


def numbered(host: RpcHost) -> list[tuple[int, str]]:
    """Return the accounts, each with its number below the machine's SID."""
    return [(_NUMBERS.get(name, _FIRST_NUMBER + at), name) for at, name in enumerate(host.windows.machine.users)]


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
    whole = sid_of(sid)
    return Writer().pointer().long(whole[1]).put(whole).long(0).data


def sid_of(text: str) -> bytes:
    """Return a SID of Windows' own (S-1-5-…) as it is sent (MS-DTYP 2.4.2)."""
    parts = [int(part) for part in text.split("-")[3:]]
    return struct.pack(f"<BB6s{len(parts)}I", 1, len(parts), b"\0\0\0\0\0\5", *parts)


def _open(host: RpcHost, read: Reader, at_s: float) -> bytes:  # noqa: ARG001
    host.get(read.handle(), "accounts")
    read.long()
    count = read.long()
    is_builtin = count == 1 and read.take(8)[1] == 1
    return host.open("domain", _BUILTIN if is_builtin else host.windows.name) + Writer().long(0).data


def _open_user(host: RpcHost, read: Reader, at_s: float) -> bytes:  # noqa: ARG001
    is_builtin = host.get(read.handle(), "domain").name == _BUILTIN
    read.long()
    number = read.long()
    if is_builtin or number not in dict(numbered(host)):
        return bytes(20) + Writer().long(_NO_SUCH_USER).data
    return host.open("user", str(number)) + Writer().long(0).data


def _user(host: RpcHost, read: Reader, at_s: float) -> bytes:  # noqa: ARG001
    """Answer what everything is that is known of a user: SAMPR_USER_ALL_INFORMATION, MS-SAMR 2.2.6.6."""
    number = int(host.get(read.handle(), "user").name)
    level = read.short()
    if level != _ALL_OF_A_USER:
        return Writer().long(0, _INVALID_INFO_CLASS).data
    name = dict(numbered(host))[number]
    seed = host.windows.seed.child(f"account {number}")
    logons = seed.number("logons", 200) if name != "Guest" else 0
    set_at = 131_000_000_000_000_000 + seed.number("password set", 1 << 50)  # FILETIME: 2016 to 2019
    last = set_at + seed.number("logon", 1 << 49) if logons else 0
    disabled = 1 if name == "Guest" else 0
    write = Writer().pointer().short(level).align()
    for moment in (last, 0, set_at, _NEVER, set_at, _NEVER):
        write.long(moment & 0xFFFF_FFFF, moment >> 32)
    texts = (name, "", "", "", "", "", _COMMENTS.get(name, ""), "", "", "")
    for text in (*texts, "", "", ""):  # behind the texts two digests, which nobody is told, and private data
        write.short(2 * len(text), 2 * len(text)).pointer()
    write.long(0).pointer(is_there=False)  # the security descriptor
    write.long(number, 513, 0x210 | disabled, 0x00FF_FFFF).short(168).align().pointer()
    write.short(0, logons, 0, 0).put(bytes(4))
    for text in (*texts, "", "", ""):
        write.long(len(text), 0, len(text)).put(text.encode("utf-16-le"))
    return write.long(1260, 0, 21).put(b"\xff" * 21).align().long(0).data  # it may log on at each hour of the week


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
    "SamrOpenUser": _open_user,
    "SamrQueryInformationUser": _user,
    "SamrQueryInformationUser2": _user,
}
