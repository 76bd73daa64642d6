"""Listen: a possessed process and the children that it forks are asked for alerts, and each is answered.

Asking costs one small read a process. The thread that raised an alert waits until it has its verdict; so the scene is
copied first, then it is answered, then thought about.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace

from eudaemon.evidence.model import Evidence
from eudaemon.possession.abi import Abi
from eudaemon.possession.alerts import RawAlert, answer, read_alerts
from eudaemon.possession.errors import PossessionError
from eudaemon.possession.forensics import disassembly, unwind
from eudaemon.possession.forensics.examine import examine
from eudaemon.possession.forensics.scene import Scene, take
from eudaemon.possession.mailbox import Mailbox, candidates, find_mailbox
from eudaemon.possession.maps import read_maps
from eudaemon.possession.memory import Memory
from eudaemon.possession.ptrace import Kernel
from eudaemon.possession.taint import Files, Taint, verdict_constant, write_files

POLL_S = 0.005  # between two looks at the mailboxes
CHILDREN_S = 0.02  # ... at the children of those that are known
CHILDREN_BYTES_MAX = 65536
FAMILY_S = 0.5  # ... at all processes, for children whose parent has ended; and at the files that are sources
CHILD_LOOKS_MAX = 10  # at a child in which nothing of ours is found: it may have been about to come, or to go
COLLECTED_MAX = 256  # reports of one process: its mailbox lies in its own memory, and says what it likes
CLOCK_NS_MAX = 3600 * 10**9  # by which a process's time may differ from ours
SEEN_MAX = 4096  # alerts that are remembered, for a child's mailbox has its parent's in it


@dataclass
class _Member:
    """One process that is listened to."""

    pid: int
    memory: Memory
    mailbox: Mailbox
    heard: int = 0  # serial up to which all alerts have been collected
    missed: int = 0  # that found no place in the mailbox
    collected: int = 0
    files: list[tuple[int, int]] = field(default_factory=list)


class Listener:
    """Alerts of one possessed process and its children. Use it as a context manager, or `close` it."""

    def __init__(self, pid: int, abi: Abi, policy: Taint | None = None) -> None:
        """Begin. Raises `Vanished` if the process has ended, `PossessionError` if it is not possessed."""
        self.pid = pid
        self.remarks: list[str] = []
        self._abi = abi
        self._members: dict[int, _Member] = {}
        self._seen: dict[tuple[int, int, int], None] = {}
        self._others: dict[int, int] = {}  # processes that are none of the family, and how often they were looked at
        self._join(pid)
        if pid not in self._members:
            raise PossessionError(f"process {pid} is not possessed", "`eudaemon status` says which are")
        self.policy = policy or Taint.in_mailbox(self._members[pid].mailbox)
        self._verdict = abi[verdict_constant(self.policy.on_alert)]
        self._files = Files(self.policy.globs)
        parent, self._since_ns = self._members[pid].mailbox.get("parent", "possessed_at_ns")
        self._is_whole = not parent
        self._children_s = self._family_s = 0.0
        disassembly.is_there()  # nothing is to be imported while a thread waits
        unwind.is_there()
        self._look_around()

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the processes' memory."""
        for pid in list(self._members):
            self._leave(pid)

    @property
    def is_alone(self) -> bool:
        """Whether nobody is left to listen to."""
        return not self._members

    def poll(self) -> Iterator[Evidence]:
        """Yield what has happened since the last time; each is answered before it is yielded."""
        self._look_around()
        for member in list(self._members.values()):
            if member.pid not in self._members:
                continue
            try:
                count, missed = member.mailbox.get("alert_count", "alerts_missed")
                alerts = self._new(member, count) if count > member.heard else []
            except PossessionError:  # it has ended, executed another program, or been released
                self._leave(member.pid)
                continue
            if missed > member.missed:
                self.remarks.append(f"process {member.pid}: {missed - member.missed} alerts found no place any more")
                member.missed = missed
            for alert in alerts:
                if member.pid not in self._members:  # who hears of it may have closed us meanwhile
                    break
                if evidence := self._collect(member, alert):
                    yield evidence

    def _new(self, member: _Member, count: int) -> list[RawAlert]:
        alerts = read_alerts(member.mailbox)
        there = {alert.serial for alert in alerts}
        # A serial is written last: one that has been counted may not be there yet, while a later one is.
        if all(serial in there for serial in range(max(member.heard, count - self._abi["ALERTS_MAX"]) + 1, count + 1)):
            member.heard = count
        return [alert for alert in alerts if alert.is_same not in self._seen]

    def _collect(self, member: _Member, alert: RawAlert) -> Evidence | None:
        self._seen[alert.is_same] = None
        if len(self._seen) > SEEN_MAX:
            del self._seen[next(iter(self._seen))]
        member.collected += 1
        if member.collected > COLLECTED_MAX:
            if member.collected == COLLECTED_MAX + 1:
                self.remarks.append(f"process {member.pid}: of more than {COLLECTED_MAX} alerts no reports are made")
            with suppress(PossessionError):
                answer(member.mailbox, alert, self._verdict)
            return None
        scene: Scene | None = None
        in_time = False
        try:
            scene = take(member.pid, member.mailbox, _timed(alert))
        except (PossessionError, OSError) as error:
            self.remarks.append(f"process {member.pid}: an alert could not be looked into: {error}")
            return None
        finally:  # whatever it looked like: nobody is left standing
            with suppress(PossessionError):
                in_time = answer(member.mailbox, alert, self._verdict)
        try:
            return examine(scene, self.policy.on_alert, in_time=in_time)
        finally:
            scene.close()

    def _look_around(self) -> None:
        now_s = time.monotonic()
        if now_s >= self._children_s:
            self._children_s = now_s + CHILDREN_S
            for pid in list(self._members):
                for child in _children(pid):
                    self._join(child, is_child=True)
        if now_s >= self._family_s:
            self._family_s = now_s + FAMILY_S
            self._look_at_new()
            if self.policy.globs:
                for member in self._members.values():
                    self._renew_files(member)

    def _look_at_new(self) -> None:
        """Look at the processes that have come since the last time: one of ours may have forked it and ended."""
        there = {int(name) for name in os.listdir("/proc") if name.isdecimal()}  # noqa: PTH208
        # A number that is free may be one of ours next time.
        self._others = {pid: looks for pid, looks in self._others.items() if pid in there}
        for pid in there - self._others.keys():
            self._join(pid)

    def _renew_files(self, member: _Member) -> None:
        were_too_many = self._files.are_too_many
        files = self._files.find(member.pid, self._abi["FILES_MAX"])
        if self._files.are_too_many and not were_too_many:
            self.remarks.append(f"only {self._abi['FILES_MAX']} of the files are followed that the patterns name")
        if files != member.files:
            with suppress(PossessionError):
                write_files(member.mailbox, files)
                member.files = files

    def _join(self, pid: int, *, is_child: bool = False) -> None:
        """Listen to a process, if it is the one or of its family."""
        looks = self._others.get(pid, 0)
        if pid in self._members or looks >= (CHILD_LOOKS_MAX if is_child else 1):
            return
        self._others[pid] = looks + 1
        memory: Memory | None = None
        try:
            areas = list(candidates(read_maps(pid)))
            if not areas:
                return
            memory = Memory(Kernel(), pid)
            address = find_mailbox(areas, memory, self._abi)
            mailbox = None if address is None else Mailbox(memory, self._abi, address)
            if mailbox is not None and (pid == self.pid or self._is_kin(mailbox, is_child=is_child)):
                del self._others[pid]
                self._members[pid] = _Member(pid, memory, mailbox)
                memory = None
        except PermissionError:
            pass
        except PossessionError:
            if pid == self.pid:
                raise
        finally:
            if memory is not None:
                memory.close()

    def _is_kin(self, mailbox: Mailbox, *, is_child: bool) -> bool:
        """Whether a mailbox is a copy of ours: a fork copies the moment of the possession, too.

        Who was forked before that was noted has none. Where the one itself is a child, only its own children are kin.
        """
        parent, since_ns = mailbox.get("parent", "possessed_at_ns")
        is_copy = since_ns == self._since_ns or bool(parent and not since_ns)
        return is_copy and (is_child or self._is_whole)

    def _leave(self, pid: int) -> None:
        self._members.pop(pid).memory.close()


def _timed(alert: RawAlert) -> RawAlert:
    """Return an alert with a time that can be: ours, where the engine told none or an impossible one."""
    now_ns = time.time_ns()
    return alert if abs(now_ns - alert.at_ns) < CLOCK_NS_MAX else replace(alert, at_ns=now_ns)


def _children(pid: int) -> list[int]:
    """Return the processes that a process has forked and that live, as far as the kernel tells."""
    found: list[int] = []
    folder = f"/proc/{pid}/task"
    with suppress(OSError):
        for task in os.listdir(folder):  # noqa: PTH208  # fifty times a second: no objects are made for it
            with suppress(OSError):
                file = os.open(f"{folder}/{task}/children", os.O_RDONLY | os.O_CLOEXEC)
                try:
                    found += [int(word) for word in os.read(file, CHILDREN_BYTES_MAX).split()]
                finally:
                    os.close(file)
    return found
