"""The endpoint mapper and DCOM's object exporter (C706 appendix O, MS-DCOM): where what is to be had, and who is
there."""

from __future__ import annotations

import struct

from eudaemon.protocols._dcerpc.host import Handler, RpcHost
from eudaemon.protocols._dcerpc.interfaces import interface
from eudaemon.protocols._dcerpc.ndr import Reader, Writer

ENTRIES_MAX = 64  # in one answer
_NOT_REGISTERED = 0x16C9_A0D6
_NDR = bytes.fromhex("045d888aeb1cc9119fe808002b104860")
_TCP, _IP, _PIPE, _NETBIOS, _RPC = 0x07, 0x09, 0x0F, 0x11, 0x0B
# What a Windows registers: UUID, version, annotation, the pipe, or the number of the dynamic port.
_REGISTERED: tuple[tuple[str, int, str, str | int], ...] = (
    ("d95afe70-a6d5-4259-822e-2c84da1ddb0d", 1, "", 0),
    ("f6beaff7-1e19-4fbb-9f8f-b89e2018337c", 1, "Event log TCPIP", 1),
    ("30adc50c-5cbc-46ce-9a0e-91914789e23c", 1, "NRP server endpoint", 1),
    ("3c4728c5-f0ab-448b-bda1-6ce01eb0a6d5", 1, "DHCP Client LRPC Endpoint", 1),
    ("86d35949-83c9-4044-b424-db363231fd0c", 1, "", 2),
    ("86d35949-83c9-4044-b424-db363231fd0c", 1, "", "\\PIPE\\atsvc"),
    ("1ff70682-0a51-30e8-076d-740be8cee98b", 1, "", "\\PIPE\\atsvc"),
    ("a398e520-d59a-4bdd-aa7a-3c1e0303a511", 1, "IKE/Authip API", 2),
    ("12345778-1234-abcd-ef00-0123456789ac", 1, "", 3),
    ("12345778-1234-abcd-ef00-0123456789ac", 1, "", "\\PIPE\\protected_storage"),
    ("12345778-1234-abcd-ef00-0123456789ac", 1, "", "\\pipe\\lsass"),
    ("367abb81-9844-35f1-ad32-98f038001003", 2, "", 4),
    ("76f03f96-cdfd-44fc-a22c-64950a001209", 1, "", 5),
    ("12345678-1234-abcd-ef00-0123456789ab", 1, "", 5),
    ("12345678-1234-abcd-ef00-0123456789ab", 1, "Spooler function endpoint", "\\pipe\\spoolss"),
)
_FIRST_DYNAMIC = 49152


def _lookup(host: RpcHost, read: Reader, at_s: float) -> bytes:  # noqa: ARG001
    read.long()
    if read.pointer():
        read.take(16)
    if read.pointer():
        read.take(20)
    read.long()
    handle, most = read.handle(), read.long()
    told = int.from_bytes(handle[4:8], "little")  # how many were told before
    entries = _REGISTERED[told : told + min(most, ENTRIES_MAX)]
    left = told + len(entries) < len(_REGISTERED)
    given = bytes(4) + (told + len(entries)).to_bytes(4, "little") + host.visit.seed.bytes("lookup", 12)
    write = Writer().put(given if left else bytes(20)).long(len(entries), most, 0, len(entries))
    for _, _, annotation, _ in entries:
        text = annotation.encode("ascii") + b"\0"
        write.align().put(bytes(16)).pointer().long(0, len(text)).put(text)
    for uuid, version, _, where in entries:
        tower = _tower(host, uuid, version, where)
        write.long(len(tower), len(tower)).put(tower)
    return write.long(0 if entries else _NOT_REGISTERED).data


def _map(host: RpcHost, read: Reader, at_s: float) -> bytes:  # noqa: ARG001
    if read.pointer():
        read.take(16)
    tower = b""
    if read.pointer():
        read.long()
        tower = read.take(read.long())
    uuid = _uuid_in(tower)
    rows = [row for row in _REGISTERED if row[0] == uuid and isinstance(row[3], str) is (bytes((1, 0, _PIPE)) in tower)]
    if not rows:
        found = interface(uuid, 1) or interface(uuid, 2) or interface(uuid, 0)
        if found is not None and found.pipes and bytes((1, 0, _PIPE)) in tower:
            rows = [(uuid, int(found.version[0]), "", f"\\PIPE\\{found.pipes[0]}")]
    write = Writer().put(bytes(20)).long(len(rows[:1]), 4, 0, len(rows[:1]))
    for _ in rows[:1]:
        write.pointer()
    for uuid, version, _, where in rows[:1]:
        answer = _tower(host, uuid, version, where)
        write.long(len(answer), len(answer)).put(answer)
    return write.long(0 if rows else _NOT_REGISTERED).data


def _free(host: RpcHost, read: Reader, at_s: float) -> bytes:  # noqa: ARG001
    return bytes(20) + Writer().long(0).data


def _alive(host: RpcHost, read: Reader, at_s: float) -> bytes:  # noqa: ARG001
    return Writer().long(0).data


def _alive_and_where(host: RpcHost, read: Reader, at_s: float) -> bytes:  # noqa: ARG001
    """ServerAlive2 tells the name and the addresses: the cheapest way to ask for them (MS-DCOM 3.1.2.5.1.6)."""
    names = (host.windows.name, host.windows.machine.address)
    bindings = b"".join(struct.pack("<H", 7) + (name + "\0").encode("utf-16-le") for name in names) + b"\0\0"
    security = struct.pack("<HHH", 0x0A, 0xFFFF, 0) + struct.pack("<HHH", 0x09, 0xFFFF, 0) + b"\0\0"
    whole, where = (bindings + security), len(bindings) // 2
    write = Writer().short(5, 7).pointer().long(len(whole) // 2).short(len(whole) // 2, where).put(whole)
    return write.long(0, 0).data


def _tower(host: RpcHost, uuid: str, version: int, where: str | int) -> bytes:
    floors = [
        _floor(b"\x0d" + _uuid_bytes(uuid) + struct.pack("<H", version), b"\0\0"),
        _floor(b"\x0d" + _NDR + struct.pack("<H", 2), b"\0\0"),
        _floor(bytes((_RPC,)), b"\0\0"),
    ]
    if isinstance(where, str):
        floors.append(_floor(bytes((_PIPE,)), where.encode("ascii") + b"\0"))
        floors.append(_floor(bytes((_NETBIOS,)), b"\\\\" + host.windows.name.encode("ascii") + b"\0"))
    else:
        address = bytes(int(part) for part in host.windows.machine.address.split("."))
        port = _FIRST_DYNAMIC + where + where * host.windows.seed.number("dynamic ports", 2)
        floors.append(_floor(bytes((_TCP,)), struct.pack(">H", port)))
        floors.append(_floor(bytes((_IP,)), address))
    return struct.pack("<H", len(floors)) + b"".join(floors)


def _floor(left: bytes, right: bytes) -> bytes:
    return struct.pack("<H", len(left)) + left + struct.pack("<H", len(right)) + right


def _uuid_bytes(uuid: str) -> bytes:
    first, second, third, *rest = uuid.split("-")
    return struct.pack("<IHH", int(first, 16), int(second, 16), int(third, 16)) + bytes.fromhex("".join(rest))


def _uuid_in(tower: bytes) -> str:
    if len(tower) < 23:
        return ""
    first, second, third = struct.unpack_from("<IHH", tower, 5)
    return f"{first:08x}-{second:04x}-{third:04x}-{tower[13:15].hex()}-{tower[15:21].hex()}"


HANDLERS: dict[str, Handler] = {
    "ept_lookup": _lookup,
    "ept_map": _map,
    "ept_lookup_handle_free": _free,
    "ServerAlive": _alive,
    "ServerAlive2": _alive_and_where,
}
