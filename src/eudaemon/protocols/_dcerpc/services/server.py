"""The server and workstation services (MS-SRVS, MS-WKST): shares, versions, the time, and paths that worms abuse."""

from __future__ import annotations

from datetime import UTC, datetime

from eudaemon.protocols._dcerpc.host import INVALID_LEVEL, Handler, RpcHost
from eudaemon.protocols._dcerpc.ndr import Reader, Writer

_DISK, _IPC, _HIDDEN = 0, 3, 0x8000_0000
_NO_SUCH_SHARE = 2310  # NERR_NetNameNotFound
_PLATFORM_NT = 500
_SERVER_KIND = 0x0000_9003  # workstation, server, NT
_SERVER_KIND_SERVER = 0x0000_9A03
_PATH_BYTES_MAX = 4096


def shares(host: RpcHost) -> tuple[tuple[str, int, str, str], ...]:
    """Return the shares: name, kind, remark, path."""
    share = host.windows.share
    return (
        ("ADMIN$", _DISK | _HIDDEN, "Remote Admin", "C:\\Windows"),
        ("C$", _DISK | _HIDDEN, "Default share", "C:\\"),
        ("IPC$", _IPC | _HIDDEN, "Remote IPC", ""),
        (share, _DISK, "", "C:\\" + host.windows.share_path.replace("/", "\\")),
    )


def _share_row(write: Writer, level: int, row: tuple[str, int, str, str]) -> None:
    name, kind, remark, path = row
    write.text(name)
    if level >= 1:
        write.long(kind).text(remark)
    if level >= 2:
        write.long(0, 0xFFFF_FFFF, 1).text(path).pointer(is_there=False)
    if level == 502:
        write.long(0).pointer(is_there=False)


def _enumerate(host: RpcHost, read: Reader, at_s: float) -> bytes:  # noqa: ARG001
    read.maybe_wide()
    level = read.long()
    write = Writer().long(level, level).pointer()
    if level not in (0, 1, 2, 502):
        return write.long(0, 0, 0, 0, INVALID_LEVEL).data
    rows = shares(host)
    write.long(len(rows)).pointer().long(len(rows))
    for row in rows:
        _share_row(write, level, row)
    return write.deferred().long(len(rows)).pointer(is_there=False).long(0).data


def _share(host: RpcHost, read: Reader, at_s: float) -> bytes:  # noqa: ARG001
    read.maybe_wide()
    name, level = read.wide(), read.long()
    row = next((row for row in shares(host) if row[0].lower() == name.lower()), None)
    if row is None or level not in (0, 1, 2, 502):
        return Writer().long(level, 0, _NO_SUCH_SHARE if row is None else INVALID_LEVEL).data
    write = Writer().long(level).pointer()
    _share_row(write, level, row)
    return write.deferred().long(0).data


def _server(host: RpcHost, read: Reader, at_s: float) -> bytes:  # noqa: ARG001
    name = read.maybe_wide().strip("\\") or host.windows.name
    level = read.long()
    if level not in (100, 101, 102):
        return Writer().long(level, 0, INVALID_LEVEL).data
    write = Writer().long(level).pointer().long(_PLATFORM_NT).text(name)
    if level >= 101:
        write.long(*host.windows.version, _SERVER_KIND_SERVER if host.windows.is_server else _SERVER_KIND).text("")
    if level == 102:  # users, idle minutes, whether hidden, announcements and their spread, licences, users' folder
        write.long(0xFFFF_FFFF, 15, 0, 240, 3000, 0).text("C:\\")
    return write.deferred().long(0).data


def _workstation(host: RpcHost, read: Reader, at_s: float) -> bytes:  # noqa: ARG001
    read.maybe_wide()
    level = read.long()
    if level != 100:
        return Writer().long(level, 0, INVALID_LEVEL).data
    windows = host.windows
    write = (
        Writer()
        .long(level)
        .pointer()
        .long(_PLATFORM_NT)
        .text(windows.name)
        .text(windows.workgroup)
        .long(*windows.version)
    )
    return write.deferred().long(0).data


def _time(host: RpcHost, read: Reader, at_s: float) -> bytes:  # noqa: ARG001
    now = datetime.fromtimestamp(at_s, UTC)
    up_ms = int(host.windows.machine.uptime_s(at_s) * 1000) & 0xFFFF_FFFF
    west = -60 * host.windows.machine.zone_hours & 0xFFFF_FFFF  # minutes
    write = Writer().pointer().long(int(at_s), up_ms, now.hour, now.minute, now.second, now.microsecond // 10_000)
    write.long(west, 310)  # a tick is 31 ms
    return write.long(now.day, now.month, now.year, now.isoweekday() % 7, 0).data


def _path_kind(host: RpcHost, read: Reader, at_s: float) -> bytes:  # noqa: ARG001
    return Writer().long(0x1001, 0).data  # a relative path (MS-SRVS 2.2.2.9)


def _canonical(host: RpcHost, read: Reader, at_s: float) -> bytes:  # noqa: ARG001
    read.maybe_wide()
    path, size, prefix = read.wide(), read.long(), read.wide()
    kind = read.long()
    parts: list[str] = []
    for part in f"{prefix}\\{path}".replace("/", "\\").split("\\"):
        if part == "..":
            parts[-1:] = []  # one dot-dot too many is no error to whom this once was done
        elif part not in ("", "."):
            parts.append(part)
    whole = ("\\" + "\\".join(parts) + "\0").encode("utf-16-le")[: min(size, _PATH_BYTES_MAX) & ~1]
    return Writer().long(len(whole)).put(whole).long(kind, 0).data


def _compare(host: RpcHost, read: Reader, at_s: float) -> bytes:  # noqa: ARG001
    read.maybe_wide()
    first, second = read.wide(), read.wide()
    return Writer().long(0 if first.lower() == second.lower() else 0xFFFF_FFFF if first < second else 1).data


HANDLERS: dict[str, Handler] = {
    "NetrShareEnum": _enumerate,
    "NetrShareEnumSticky": _enumerate,
    "NetrShareGetInfo": _share,
    "NetrServerGetInfo": _server,
    "NetrRemoteTOD": _time,
    "NetprPathType": _path_kind,
    "NetprPathCanonicalize": _canonical,
    "NetprPathCompare": _compare,
    "NetrWkstaGetInfo": _workstation,
}
