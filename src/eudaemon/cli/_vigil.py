"""Who has possessed processes keeps vigil over them: hears of alerts, notices who is lost, releases all at the end."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

from eudaemon.cli import DONE, FAILED
from eudaemon.cli._alerts import Keeper
from eudaemon.cli._possession import fact, release_children, say, tell
from eudaemon.cli._stops import Stops
from eudaemon.evidence.model import Evidence
from eudaemon.possession import Possession, PossessionError, Taint, Vanished, adopt, possess
from eudaemon.possession.abi import Abi
from eudaemon.possession.listening import POLL_S, Listener
from eudaemon.possession.maps import read_maps
from eudaemon.possession.status import Family, Program, family_of, fate_of, program_of, status_of

_LOOK_S = 0.5  # how often it is looked whether they are possessed still
_FATES = {
    "ended": "has ended",
    "executed": "has executed another program",
    "released": "was released by somebody else",
}


@dataclass(frozen=True, slots=True)
class _Held:
    possession: Possession
    program: Program
    family: Family
    listener: Listener | None = None


class Vigil:
    """The processes that this command has possessed, until it has released them. Nothing in it is interrupted."""

    def __init__(self, abi: Abi, keeper: Keeper | None, *, as_json: bool) -> None:
        self.code = DONE
        self.is_heard = True
        self.alerted: set[int] = set()  # of those held, who have had an alert, they or their children
        self._keeper = keeper
        self._abi = abi
        self._as_json = as_json
        self._held: list[_Held] = []
        self._lost: list[_Held] = []  # gone from us, but their children may be possessed

    def possess(self, pid: int, mode: str, taint: Taint | None, *, is_to_stay: bool) -> str:
        """Possess a process; return what is to be said about it."""
        try:
            program = program_of(pid)
            possession = possess(pid, mode=mode, taint=taint)
            status = None if possession.is_gone else status_of(pid, self._abi)
            listener = possession.listener() if taint and status and not is_to_stay else None
        except PossessionError as error:
            tell(pid, error)
            self.code = FAILED
            return ""
        if status is None:
            return self._lost_line(pid, fate_of(pid, program))
        self._held.append(_Held(possession, program, family_of(status), listener))
        line = fact(pid, "possessed", possession.frozen_ns, possession.remarks, as_json=self._as_json)
        possession.remarks.clear()
        return line

    def say(self, line: str) -> None:
        """Say a line, if it is one, and note whether anybody hears it."""
        self.is_heard = (not line or say(line)) and self.is_heard

    def wait(self, stops: Stops, length_s: float | None) -> None:
        """Wait for the end: a signal, the time, that nobody is left or that nobody reads what we say."""
        until_s = math.inf if length_s is None else time.monotonic() + length_s
        pause_s = POLL_S if self._keeper else _LOOK_S
        look_s = 0.0
        while self._held and self.is_heard and (left_s := until_s - time.monotonic()) > 0:
            if stops.within(min(left_s, pause_s)):
                return
            self.listen()
            if time.monotonic() >= look_s:
                look_s = time.monotonic() + _LOOK_S
                self.look()

    @property
    def pids(self) -> set[int]:
        """The processes that are held."""
        return {held.possession.pid for held in self._held}

    def look(self) -> None:
        """Look whether all are possessed still, and say who is lost."""
        for held in [held for held in self._held if self._is_lost(held)]:
            self._lose(held)
            self.say(self._lost_line(held.possession.pid, fate_of(held.possession.pid, held.program)))

    def let_go(self, pid: int) -> None:
        """Release one process and its children, and say so. One that cannot be released yet stays held."""
        self.listen()
        for held in [held for held in self._held if held.possession.pid == pid]:
            lines = list(self._released(held))
            if not lines:
                continue  # said on standard error; it is tried again
            self._held.remove(held)
            if held.listener:
                held.listener.close()
            more, are_free = release_children(pid, held.family, self._abi, as_json=self._as_json)
            if not are_free:
                self._lost.append(held)
            for line in [*lines, *more]:
                self.say(line)

    def forget(self) -> None:
        """Release the children that the lost ones have left, and forget those of whom all are free."""
        for held in list(self._lost):
            lines, are_free = release_children(held.possession.pid, held.family, self._abi, as_json=self._as_json)
            if are_free:
                self._lost.remove(held)
                for line in lines:
                    self.say(line)

    def listen(self) -> None:
        """Hear of alerts, keep them, say so; and what has been found out of earlier ones."""
        for held in list(self._held):
            if held.listener is None:
                continue
            for evidence in held.listener.poll():
                self._alert(held, evidence)
            for remark in held.listener.remarks:
                self.say(json.dumps({"pid": held.possession.pid, "did": "remarked", "remarks": [remark]})
                         if self._as_json else f"{held.possession.pid}:\n  ! {remark}")  # fmt: skip
            held.listener.remarks.clear()
        if self._keeper is not None:
            for line in self._keeper.late(as_json=self._as_json):
                self.say(line)

    def _alert(self, held: _Held, evidence: Evidence) -> None:
        report, own = evidence.report, held.possession.pid
        self.alerted.add(own)
        self._keep(held, evidence)
        if report.verdict != "release":
            return
        if report.process.pid == own:
            self._lose(held)
            for line in self._released(held):
                self.say(line)
            return
        try:
            adopt(report.process.pid).release()
        except PossessionError as error:
            tell(report.process.pid, error)

    def _keep(self, held: _Held, evidence: Evidence) -> None:
        own = held.possession.pid
        if self._keeper is not None:
            child_of = 0 if evidence.report.process.pid == own else own
            self.say(self._keeper.keep(evidence, child_of=child_of, as_json=self._as_json))

    def _lose(self, held: _Held) -> None:
        if held in self._held:
            self._held.remove(held)
            self._lost.append(held)
        if held.listener:
            held.listener.close()

    def release(self) -> None:
        """Release all, and the children that were forked meanwhile; only then say so, for that may fail."""
        self.listen()
        lines: list[str] = []
        for held in list(self._held):
            lines += self._released(held)
        for held in [*self._held, *self._lost]:
            more, are_free = release_children(held.possession.pid, held.family, self._abi, as_json=self._as_json)
            lines += more
            if not are_free:
                self.code = FAILED
        for line in lines:
            self.say(line)
        if self._keeper is not None:
            for line in self._keeper.finish(as_json=self._as_json):
                self.say(line)

    def _released(self, held: _Held) -> Iterator[str]:
        possession = held.possession
        late: list[Evidence] = []  # what happened since we looked last
        if listener := held.listener:
            possession.last_look = lambda: late.extend(listener.poll())
        try:
            possession.release()
        except Vanished:
            possession.is_gone = True
        except PossessionError as error:
            tell(possession.pid, error)
            self.code = FAILED
            return
        for evidence in late:
            self._keep(held, evidence)
        if possession.is_gone:
            yield self._lost_line(possession.pid, fate_of(possession.pid, held.program))
        else:
            spent = possession.released_ns, possession.remarks
            yield fact(possession.pid, "released", *spent, as_json=self._as_json)

    def _is_lost(self, held: _Held) -> bool:
        pid = held.possession.pid
        try:
            status = status_of(pid, self._abi)
        except Vanished:
            return True
        except PossessionError:
            return False  # it is changing just now: the next look tells
        if status is not None:
            return status.possessed_at_ns != held.family.since_ns
        try:
            return program_of(pid) != held.program or bool(read_maps(pid))  # no memory: only its first thread has ended
        except Vanished:
            return True

    def _lost_line(self, pid: int, fate: str) -> str:
        self.code = FAILED
        if self._as_json:
            return fact(pid, "gone", 0, [], as_json=True, why=fate)
        return f"{pid}: {_FATES[fate]}; nothing is left to release"
