"""Listen: what a possessed process's mailbox says, read without stopping or disturbing it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from eudaemon.possession.abi import Abi
from eudaemon.possession.errors import PossessionError, Vanished
from eudaemon.possession.mailbox import Mailbox, candidates, find_mailbox
from eudaemon.possession.maps import Area, read_maps
from eudaemon.possession.memory import Memory
from eudaemon.possession.plant import inner_pid
from eudaemon.possession.ptrace import Kernel
from eudaemon.possession.refuse import BARE_ROOT, Door
from eudaemon.possession.tags import doubled_bytes

COUNTERS = (
    "fragments", "instructions", "cache_bytes", "dispatches", "flushes", "calls", "signals", "tagged_reads",
    "tracked",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Status:
    """One possessed process. Counters are sums over its threads."""

    pid: int
    name: str
    state: str  # `possessed`, or `planted` where a controller died on its way
    mode: str
    parent: int  # possessed as the child of this process; 0: by a controller
    trouble: str
    threads: dict[str, int]  # how many are in which state
    possessed_at_ns: int  # since 1970
    frozen_ns: int
    heap_bytes: int
    fragments: int
    instructions: int
    cache_bytes: int
    dispatches: int
    flushes: int
    calls: int
    signals: int
    tagged_reads: int
    tracked: int
    alerts: int
    doubled_bytes: int  # of memory that shares its tags with other memory, a multiple of 4 GiB apart


class Hidden(PossessionError):  # noqa: N818  # a lack of rights, not a fault
    """The process may not be looked into by us."""

    def __init__(self, pid: int) -> None:
        super().__init__(f"process {pid} may not be looked into", rights())


def rights() -> str:
    """Return how one comes to see more."""
    if os.geteuid():
        return "run as root: sudo eudaemon …"
    return BARE_ROOT


def status_of(pid: int, abi: Abi) -> Status | None:
    """Return the status of a process; None if it is not possessed.

    Raises `Vanished` if there is no such process, `Hidden` if we may not know.
    """
    try:
        mapped = read_maps(pid)
        if not mapped and Door(pid).has_ended:
            raise Vanished(f"process {pid} has ended")
        areas = list(candidates(mapped))
        if not areas:
            return None
        memory = Memory(Kernel(), pid)
    except PermissionError:
        raise Hidden(pid) from None
    except Vanished:
        raise
    except PossessionError:
        raise Hidden(pid) from None
    try:
        address = find_mailbox(areas, memory, abi)
        return None if address is None else _status(pid, mapped, Mailbox(memory, abi, address))
    finally:
        memory.close()


def possessed(abi: Abi, hidden: list[int] | None = None) -> Iterator[Status]:
    """Yield the status of every possessed process, by pid. Those that may not be looked into are added to `hidden`."""
    pids = sorted(int(place.name) for place in Path("/proc").iterdir() if place.name.isdecimal())
    for pid in pids:
        try:
            found = status_of(pid, abi)
        except Hidden:
            if hidden is not None:
                hidden.append(pid)
        except (PossessionError, OSError):
            pass  # it has ended, or is changing just now
        else:
            if found is not None:
                yield found


@dataclass(frozen=True, slots=True)
class Family:
    """The processes that a possessed one has forked, and theirs: a fork copies the engine and all.

    They are told by the moment of the possession, which a fork copies too, so that those are found as well whose parent
    has ended.
    """

    since_ns: int
    own_pid: int  # as the process itself sees it
    is_whole: bool  # a controller has possessed it: all of that moment are its own

    def living(self, abi: Abi) -> list[Status]:
        """Return those that are possessed."""
        # One that was forked before the moment was noted has none.
        kin = [status for status in possessed(abi) if status.parent and status.possessed_at_ns in (self.since_ns, 0)]
        found = [status for status in kin if self.is_whole and status.possessed_at_ns]
        ancestors = {self.own_pid, *(_own_pid(status.pid) for status in found)}
        while new := [status for status in kin if status.parent in ancestors and status not in found]:
            found += new
            ancestors |= {_own_pid(status.pid) for status in new}
        return found


def family_of(status: Status) -> Family:
    """Return the family of a possessed process."""
    return Family(status.possessed_at_ns, _own_pid(status.pid), not status.parent)


@dataclass(frozen=True, slots=True)
class Program:
    """What tells that a process runs the same program as before: when it started, its file, and where its stack is."""

    started: int
    file: str
    stack: int


def program_of(pid: int) -> Program:
    """Return what a process runs. Raises `Vanished` if it has ended."""
    door = Door(pid)
    if door.has_ended:
        raise Vanished(f"process {pid} has ended")
    try:
        file = str((door.folder / "exe").readlink())
    except OSError:
        file = ""
    return Program(int(door.stat[19]), file, int(door.stat[25]))


def fate_of(pid: int, before: Program) -> str:
    """Return how it came that a process is not possessed any more: `ended`, `executed` or `released`."""
    try:
        now = program_of(pid)
    except PossessionError:
        return "ended"
    if now.started != before.started:
        return "ended"
    return "released" if now == before else "executed"


def _own_pid(pid: int) -> int:
    try:
        return inner_pid(pid)
    except Vanished:
        return 0


def name_of(pid: int) -> str:
    """Return a process's name, or a question mark."""
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return "?"


def _status(pid: int, mapped_now: list[Area], mailbox: Mailbox) -> Status:
    abi = mailbox.abi
    awake, mode, parent, trouble, heap, frozen, since = mailbox.get(
        "awake", "mode", "parent", "trouble", "heap_used", "frozen_ns", "possessed_at_ns"
    )
    alerts = mailbox.one("alert_count")
    own = [(mapped.address, mapped.address + mapped.size) for mapped in mailbox.mappings()]
    doubled = doubled_bytes(mapped_now, own) if mailbox.one("shadow_offset") else 0
    threads: dict[str, int] = {}
    sums = dict.fromkeys(COUNTERS, 0)
    for context in mailbox.contexts():
        state, *counters = context.get("state", *COUNTERS)
        if state != abi["state::FREE"]:
            name = abi.name_of("state", state)
            threads[name] = threads.get(name, 0) + 1
        for counter, value in zip(COUNTERS, counters, strict=True):
            sums[counter] += value
    return Status(
        pid=pid, name=name_of(pid), state="possessed" if awake else "planted", mode=abi.name_of("mode", mode),
        parent=parent, trouble=abi.name_of("trouble", trouble), threads=threads, possessed_at_ns=since,
        frozen_ns=frozen, heap_bytes=heap, alerts=alerts, doubled_bytes=doubled, **sums,
    )  # fmt: skip
