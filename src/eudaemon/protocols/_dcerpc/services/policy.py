"""The security authority (MS-LSAD, MS-LSAT), as far as attackers ask it: the machine's own domain, and whose a SID is.

Who enumerates accounts by counting (`lookupsid`, `rid-brute`) opens the policy, asks for the domain's SID, and then has
thousands of SIDs below it looked up at once.
"""

from __future__ import annotations

import struct
from collections.abc import Generator

from eudaemon.protocols._base import Order
from eudaemon.protocols._dcerpc.host import Handler, RpcHost
from eudaemon.protocols._dcerpc.ndr import Reader, Writer
from eudaemon.protocols._dcerpc.services.accounts import numbered, sid_of
from eudaemon.wire import PeerError

SIDS_MAX = 20_480  # MS-LSAT 2.2.11
_PRIMARY_DOMAIN, _ACCOUNT_DOMAIN = 3, 5  # what can be asked of a policy
_USER, _GROUP, _UNKNOWN = 1, 2, 8  # what a SID stands for (MS-LSAT 2.2.13)
_INVALID_PARAMETER, _SOME_NOT_MAPPED, _NONE_MAPPED = 0xC000_000D, 0x107, 0xC000_0073
_NOBODYS = 0xFFFF_FFFF  # the domain of a SID that nobody has
_GROUPS = {513: "None"}


def _open(host: RpcHost, read: Reader, at_s: float) -> bytes:  # noqa: ARG001
    return host.open("policy") + Writer().long(0).data


def _close(host: RpcHost, read: Reader, at_s: float) -> Generator[Order, None, bytes]:  # noqa: ARG001
    yield from host.close(read.handle())
    return bytes(20) + Writer().long(0).data


def _information(host: RpcHost, read: Reader, at_s: float) -> bytes:  # noqa: ARG001
    host.get(read.handle(), "policy")
    level = read.short()
    if level not in (_PRIMARY_DOMAIN, _ACCOUNT_DOMAIN):
        return Writer().long(0, _INVALID_PARAMETER).data
    is_own = level == _ACCOUNT_DOMAIN
    name = host.windows.name if is_own else host.windows.workgroup
    write = Writer().pointer().short(level).align()
    _head(write, name).pointer(is_there=is_own)  # a workgroup has no SID
    _text(write, name)
    if is_own:
        _sid(write, host.windows.machine.sid)
    return write.long(0).data


def _look_up(host: RpcHost, read: Reader, at_s: float) -> bytes:  # noqa: ARG001
    host.get(read.handle(), "policy")
    asked = _asked(read)
    own = host.windows.machine.sid
    names = {number: (name, _USER) for number, name in numbered(host)}
    names |= {number: (name, _GROUP) for number, name in _GROUPS.items()}
    found = [names.get(number) if domain == own else None for domain, number in asked]
    count = sum(row is not None for row in found)
    write = Writer().pointer()
    write.long(1 if count else 0).pointer(is_there=bool(count)).long(32)
    if count:
        write.long(1)
        _head(write, host.windows.name).pointer()
        _text(write, host.windows.name)
        _sid(write, own)
    write.long(len(found)).pointer(is_there=bool(found))
    if found:
        write.long(len(found))
        for row in found:
            name, kind = row or ("", _UNKNOWN)
            write.short(kind).align()
            _head(write, name).long(0 if row else _NOBODYS)
        for row in found:
            if row:
                _text(write, row[0])
    return write.long(count, 0 if count == len(found) else _SOME_NOT_MAPPED if count else _NONE_MAPPED).data


def _asked(read: Reader) -> list[tuple[str, int]]:
    """Return the SIDs that are to be looked up, each as the domain's and the last number."""
    count = read.long()
    if count > SIDS_MAX:
        raise PeerError(f"more than {SIDS_MAX} SIDs")
    if not read.pointer():
        return []
    read.long()
    there = sum(read.pointer() for _ in range(count))
    found = []
    for _ in range(there):
        number = read.long()
        head = read.take(8)
        parts = [read.long() for _ in range(min(number, 15))]
        domain = "-".join(map(str, ("S", head[0], int.from_bytes(head[2:], "big"), *parts[:-1])))
        found.append((domain, parts[-1] if parts else 0))
    return found


def _head(write: Writer, text: str) -> Writer:
    size = 2 * len(text)
    return write.short(size, size).pointer(is_there=bool(text))


def _text(write: Writer, text: str) -> None:
    write.long(len(text), 0, len(text)).put(text.encode("utf-16-le")).align()


def _sid(write: Writer, sid: str) -> None:
    whole = sid_of(sid)
    write.long(struct.unpack_from("B", whole, 1)[0]).put(whole)


HANDLERS: dict[str, Handler] = {
    "LsarOpenPolicy": _open,
    "LsarOpenPolicy2": _open,
    "LsarClose": _close,
    "LsarQueryInformationPolicy": _information,
    "LsarQueryInformationPolicy2": _information,
    "LsarLookupSids": _look_up,
}
