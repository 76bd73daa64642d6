"""One installation's objects: the groups system, interfaces and ip (RFC 1213), and what runs on it (RFC 2790).

A value is an element, or a function of the time that gives one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from functools import lru_cache
from typing import TypeAlias

from eudaemon.protocols.snmp.messages import ADDRESS, COUNTER, GAUGE, TICKS, Oid
from eudaemon.wire import ber
from eudaemon.world.host import Host

Value: TypeAlias = "bytes | Callable[[float], bytes]"
SYSTEM, INTERFACES, IP, RESOURCES = ((1, 3, 6, 1, 2, 1, number) for number in (1, 2, 4, 25))
_NET_SNMP_LINUX = (1, 3, 6, 1, 4, 1, 8072, 3, 2, 10)
_CONTACTS = ("root", "root@localhost", "admin", "support", "Me <me@example.org>", "noc")
_PLACES = ("Unknown", "Server Room", "Rack 2", "Sitting on the Dock of the Bay", "office", "unknown")
_PROCESSES_MAX = 24


class Mib:
    """Objects in their order."""

    __slots__ = ("_names", "_values", "engine")

    def __init__(self, values: dict[Oid, Value], engine: bytes) -> None:
        self._names = sorted(values)
        self._values = values
        self.engine = engine  # RFC 3411 section 5: who this is, to a client of version 3

    def get(self, name: Oid, at_s: float) -> bytes | None:
        """Return an object's value, None if there is none."""
        value = self._values.get(name)
        return value(at_s) if callable(value) else value

    def after(self, name: Oid) -> Oid | None:
        """Return the object that follows, None behind the last."""
        at = bisect_right(self._names, name)
        return self._names[at] if at < len(self._names) else None


def text(value: str | bytes) -> bytes:
    """Return a text as an element."""
    return ber.encoded(ber.OCTETS, value.encode() if isinstance(value, str) else value)


def address(value: str) -> bytes:
    """Return an IPv4 address as an element."""
    return ber.encoded(ADDRESS, bytes(map(int, value.split("."))))


@lru_cache(maxsize=8)
def mib_of(host: Host) -> Mib:
    """Return what this host says of itself."""
    seed = host.seed.child("snmp")

    def uptime(at_s: float) -> bytes:
        return ber.number(int(host.uptime_s(at_s) * 100) % 2**32, TICKS)

    def counted(purpose: str, per_s: int) -> Callable[[float], bytes]:
        first, rate = seed.number(purpose, 2**24), 1 + seed.number(f"{purpose} rate", per_s)
        return lambda at_s: ber.number((first + int(host.uptime_s(at_s) * rate)) % 2**32, COUNTER)

    described = f"Linux {host.name} {host.kernel} {host.build_line} {host.machine.uname}"
    values: dict[Oid, Value] = {
        (*SYSTEM, 1, 0): text(described), (*SYSTEM, 2, 0): ber.named(_NET_SNMP_LINUX), (*SYSTEM, 3, 0): uptime,
        (*SYSTEM, 4, 0): text(seed.choice("contact", _CONTACTS)), (*SYSTEM, 5, 0): text(host.name),
        (*SYSTEM, 6, 0): text(seed.choice("place", _PLACES)), (*SYSTEM, 7, 0): ber.number(72),
        (*INTERFACES, 1, 0): ber.number(2), (*IP, 1, 0): ber.number(1), (*IP, 2, 0): ber.number(64),
        (*RESOURCES, 1, 1, 0): uptime, (*RESOURCES, 1, 5, 0): ber.number(0, GAUGE),
        (*RESOURCES, 2, 2, 0): ber.number(host.memory_kb),
    }  # fmt: skip
    mac = bytes.fromhex(host.mac.replace(":", "").replace("-", ""))
    for row, (name, kind, mtu, speed, physical) in enumerate(
        (("lo", 24, 16_436, 10_000_000, b""), ("eth0", 6, 1500, 100_000_000, mac)), start=1
    ):
        columns: tuple[tuple[int, Value], ...] = (
            (1, ber.number(row)), (2, text(name)), (3, ber.number(kind)), (4, ber.number(mtu)),
            (5, ber.number(speed, GAUGE)), (6, text(physical)), (7, ber.number(1)), (8, ber.number(1)),
            (10, counted(f"in {name}", 9000)), (16, counted(f"out {name}", 5000)),
        )  # fmt: skip
        values |= {(*INTERFACES, 2, 1, column, row): value for column, value in columns}
    for ip, mask, row in (("127.0.0.1", "255.0.0.0", 1), (host.address, "255.255.255.0", 2)):
        index = tuple(map(int, ip.split(".")))
        entries = ((1, address(ip)), (2, ber.number(row)), (3, address(mask)))
        values |= {(*IP, 20, 1, column, *index): value for column, value in entries}
    lines = (host.first_process, *host.daemons)[:_PROCESSES_MAX]
    values[(*RESOURCES, 1, 6, 0)] = ber.number(len(lines), GAUGE)
    for number, line in enumerate(lines):
        pid = 1 if not number else 180 + 31 * number + seed.number(f"process {number}", 29)
        path, _, arguments = line.partition(" ")
        columns = ((1, ber.number(pid)), (2, text(path.rpartition("/")[2])), (4, text(path)), (5, text(arguments)))
        values |= {(*RESOURCES, 4, 2, 1, column, pid): value for column, value in columns}
    # RFC 3411 section 5: net-snmp's number, its own format 128, random bytes, and when it was first started.
    started = int(host.built_s + 86_400 * (1 + seed.number("first start", 300)))
    engine = b"\x80\0\x1f\x88\x80" + seed.bytes("engine", 4) + started.to_bytes(4, "little") + bytes(4)
    return Mib(values, engine)
