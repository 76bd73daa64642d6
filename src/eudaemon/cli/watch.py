"""`eudaemon watch`: possess processes when a policy says so, and let them go again."""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from eudaemon.cli import ALERTED, DONE, FAILED, WRONG_USE
from eudaemon.cli._alerts import Keeper, add_store, keeper_of
from eudaemon.cli._attackers import Attackers
from eudaemon.cli._possession import fact, say
from eudaemon.cli._stops import held_back
from eudaemon.cli._vigil import Vigil
from eudaemon.possession import PossessionError, Taint
from eudaemon.possession.abi import Abi
from eudaemon.possession.engine import load_engine
from eudaemon.possession.eve import Address, Eve
from eudaemon.possession.forensics import disassembly, unwind
from eudaemon.possession.policies import Policy, WatchSettings
from eudaemon.possession.reasons import Reason, Reasons, Tables
from eudaemon.possession.status import status_of
from eudaemon.possession.watched import Target, targets
from eudaemon.settings import read

HELP = """\
Watch this machine, and possess processes when a policy of the settings file says so: when somebody connects to them,
when Suricata has an alert of their traffic, while the machine is idle, or always; with taint analysis, as `eudaemon
possess --taint` does. When the reason has gone, or has lasted long enough, they run natively again. It runs until
Ctrl-C or SIGTERM, and releases everybody before it ends. It needs root.

  eudaemon watch --config FILE
  eudaemon watch --config FILE --check          only say whether the policies are good

  [[watch.policies]]
  exe = "*/nginx"
  when = "connection"

The exit code is 0, 4 if there was an alert, 3 if a process could not be released, 2 where there is no policy."""

_TARGETS_S = 0.5  # between two looks at which processes there are
_ALERTED_S = 0.05  # ... if Suricata has an alert: it may be of a process that has just come
_REMIND_S = 60.0  # between two lines that a limit is reached


@dataclass
class _Spent:
    """Reasons that have lasted long enough, and until when they do not count."""

    reasons: set[Reason]
    until_s: float


@dataclass
class _Watch:
    """One policy, and what has been seen for it, by process."""

    policy: Policy
    taint: Taint
    reasons: Reasons
    targets: list[Target] = field(default_factory=list)
    wanted_until_s: dict[int, float] = field(default_factory=dict)
    since_s: dict[int, float] = field(default_factory=dict)  # since when it has been possessed for the policy
    spent: dict[int, _Spent] = field(default_factory=dict)

    def find(self) -> None:
        """Look which processes there are."""
        self.targets = list(targets(self.policy))
        living = {target.pid for target in self.targets}
        self.reasons.forget(living)
        for table in (self.wanted_until_s, self.since_s, self.spent):
            for pid in table.keys() - living:
                del table[pid]

    def fresh(self, pid: int, found: set[Reason], now_s: float) -> set[Reason]:
        """Return the reasons that are not spent."""
        if (spent := self.spent.get(pid)) is None:
            return found
        spent.reasons &= found
        if not spent.reasons or now_s >= spent.until_s:
            del self.spent[pid]
            return found
        return found - spent.reasons

    def spend(self, pid: int, found: set[Reason], now_s: float) -> None:
        """Let go: it has stayed long enough."""
        self.spent[pid] = _Spent(set(found), now_s + (self.policy.pause_s or math.inf))
        self.since_s.pop(pid, None)
        self.wanted_until_s.pop(pid, None)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--check", action="store_true", help="validate the policies and say which there are")
    parser.add_argument("--json", action="store_true", help="for machines: one object a line")
    add_store(parser)


def run(arguments: argparse.Namespace) -> int:
    """Watch until stopped."""
    settings = read(arguments.config).part("watch", WatchSettings)
    if not settings.policies:
        say("eudaemon: there is no policy\n  → add [[watch.policies]] to a file, and name it: --config", sys.stderr)
        return WRONG_USE
    if arguments.check:
        for policy in settings.policies:
            say(f"{policy.name}: possessed {policy.when}, taint {policy.taint}, on alert {policy.on_alert}")
        return DONE
    if os.geteuid() != 0:
        say("eudaemon: watching needs root\n  → run as root: sudo eudaemon watch …", sys.stderr)
        return FAILED
    keeper = keeper_of(arguments)
    with held_back() as stops:
        try:
            abi = load_engine().abi
        except PossessionError as error:
            say(f"eudaemon: {error.reason}\n  → {error.do}", sys.stderr)
            return FAILED
        disassembly.is_there()  # imported now, for every millisecond counts once somebody connects
        unwind.is_there()
        watcher = _Watcher(settings, abi, keeper, arguments.data / "sensor" / "spool", as_json=arguments.json)
        try:
            watcher.begin()
            while watcher.vigil.is_heard and not stops.within(settings.poll_ms / 1000):
                watcher.turn(time.monotonic())
        finally:
            watcher.close()
    if keeper.kept:
        return ALERTED
    return DONE if watcher.vigil.is_heard and watcher.vigil.code == DONE else FAILED


class _Watcher:
    """All policies, and the processes that are possessed by them."""

    def __init__(self, settings: WatchSettings, abi: Abi, keeper: Keeper, spool: Path, *, as_json: bool) -> None:
        self.vigil = Vigil(abi, keeper, as_json=as_json)
        self._settings = settings
        self._abi = abi
        self._keeper = keeper
        self._as_json = as_json
        self._watches = [
            _Watch(one, Taint.of(one.taint, one.on_alert), Reasons(one, self._has_met)) for one in settings.policies
        ]
        is_asked = any(one.when == "suricata" for one in settings.policies)
        self._eve = Eve(Path(settings.eve)) if is_asked else None
        self._attackers = Attackers(spool) if any(one.seen_hours for one in settings.policies) else None
        self._targets_s = 0.0
        self._remind_s = 0.0
        self._began: deque[float] = deque()
        self._held_back_s = 0.0  # until when no more is said of limits that are reached
        self._left_alone: dict[tuple[int, str], float] = {}  # process and when it began, until when

    def begin(self) -> None:
        """Look for the first time, and say that it watches."""
        self._find(time.monotonic())
        count = len({target.pid for watch in self._watches for target in watch.targets})
        if self._eve and not self._eve.is_there:
            self._say(0, "awaits", f"{self._settings.eve} is not there; it is read as soon as it is")
        processes = "1 process" if count == 1 else f"{count} processes"
        policies = "1 policy" if len(self._watches) == 1 else f"{len(self._watches)} policies"
        self._say(0, "watching", f"watching {processes}, by {policies}")

    def turn(self, now_s: float) -> None:
        """Look once."""
        self.vigil.listen()
        alerts = list(self._eve.alerts()) if self._eve else []
        if now_s >= self._targets_s or (alerts and now_s >= self._targets_s - _TARGETS_S + _ALERTED_S):
            self._find(now_s)
        if self._attackers is not None:
            self._attackers.look(now_s)
        self._pause(now_s)
        tables = Tables()
        for watch in self._watches:
            found = watch.reasons.look(watch.targets, tables, alerts)
            for target in watch.targets:
                self._consider(watch, target, found.get(target.pid, set()), now_s)
        wanted = {pid for watch in self._watches for pid, until_s in watch.wanted_until_s.items() if until_s > now_s}
        for pid in self.vigil.pids - wanted:
            self.vigil.let_go(pid)

    def close(self) -> None:
        """Release everybody."""
        self.vigil.release()
        if self._eve:
            self._eve.close()

    def _has_met(self, address: Address, hours: float) -> bool:
        return self._attackers is not None and self._attackers.has_met(address, hours, time.time())

    def _pause(self, now_s: float) -> None:
        """Let those go who have had an alert, where the policy says so."""
        for watch in self._watches:
            for target in watch.targets:
                if target.pid in self.vigil.alerted and watch.policy.pause_s:
                    self._left_alone[target.pid, target.started] = now_s + watch.policy.pause_s
                    watch.wanted_until_s.pop(target.pid, None)
                    watch.since_s.pop(target.pid, None)
        self.vigil.alerted.clear()

    def _find(self, now_s: float) -> None:
        self._targets_s = now_s + _TARGETS_S
        self.vigil.look()
        self.vigil.forget()
        for watch in self._watches:
            watch.find()
        self._left_alone = {who: until_s for who, until_s in self._left_alone.items() if until_s > now_s}
        if self._eve and self._eve.left_out and now_s >= self._remind_s:
            self._remind_s = now_s + _REMIND_S
            self._say(0, "left out", f"{self._settings.eve}: {self._eve.left_out} lines so far could not be read")

    def _consider(self, watch: _Watch, target: Target, found: set[Reason], now_s: float) -> None:
        pid, policy = target.pid, watch.policy
        if policy.stay_s_max and now_s >= watch.since_s.get(pid, math.inf) + policy.stay_s_max:
            watch.spend(pid, found, now_s)
        if watch.fresh(pid, found, now_s):
            if self._left_alone.get((pid, target.started), 0) > now_s:
                return
            watch.wanted_until_s[pid] = now_s + policy.linger_s + self._settings.poll_ms / 500
            if pid not in self.vigil.pids:
                self._possess(watch, target, now_s)
            if pid in self.vigil.pids:
                watch.since_s.setdefault(pid, now_s)
        elif watch.wanted_until_s.get(pid, 0) <= now_s:
            watch.since_s.pop(pid, None)

    def _possess(self, watch: _Watch, target: Target, now_s: float) -> None:
        while self._began and self._began[0] < now_s - 60:
            self._began.popleft()
        limits = {
            "possessed_max": len(self.vigil.pids) >= self._settings.possessed_max,
            "possessions_minute_max": len(self._began) >= self._settings.possessions_minute_max,
        }
        if reached := [name for name, is_reached in limits.items() if is_reached]:
            if now_s >= self._held_back_s:
                self._held_back_s = now_s + _REMIND_S
                self._say(target.pid, "held back", f"{target.pid}: not possessed, watch.{reached[0]} is reached")
            return
        try:
            if status_of(target.pid, self._abi) is not None:
                return  # a child of one that we hold, or somebody else's
        except PossessionError:
            return
        self._began.append(now_s)
        self.vigil.say(self.vigil.possess(target.pid, "none", watch.taint, is_to_stay=False))
        if target.pid not in self.vigil.pids:  # refused, which has been said: not again and again
            self._left_alone[target.pid, target.started] = now_s + max(watch.policy.pause_s, 1.0)

    def _say(self, pid: int, did: str, words: str) -> None:
        self.vigil.say(fact(pid, did, 0, [], as_json=True) if self._as_json else words)
