"""`eudaemon watch`: possess processes when a policy says so, and let them go again."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import deque
from dataclasses import dataclass, field

from eudaemon.cli import ALERTED, DONE, FAILED, WRONG_USE
from eudaemon.cli._alerts import Keeper, add_store, keeper_of
from eudaemon.cli._possession import fact, say
from eudaemon.cli._stops import held_back
from eudaemon.cli._vigil import Vigil
from eudaemon.possession import PossessionError, Taint
from eudaemon.possession.abi import Abi
from eudaemon.possession.engine import load_engine
from eudaemon.possession.forensics import disassembly, unwind
from eudaemon.possession.policies import Policy, WatchSettings
from eudaemon.possession.status import status_of
from eudaemon.possession.watched import Row, Target, connected, rows, targets
from eudaemon.settings import read

HELP = """\
Watch this machine, and possess processes when a policy of the settings file says so: when somebody connects to them,
while the machine is idle, or always; with taint analysis, as `eudaemon possess --taint` does. When the reason has gone
they run natively again. It runs until Ctrl-C or SIGTERM, and releases everybody before it ends. It needs root.

  eudaemon watch --config FILE
  eudaemon watch --config FILE --check          only say whether the policies are good

  [[watch.policies]]
  exe = "*/nginx"
  when = "connection"

The exit code is 0, 4 if there was an alert, 3 if a process could not be released, 2 where there is no policy."""

_TARGETS_S = 0.5  # between two looks at which processes there are
_REMIND_S = 60.0  # between two lines that a limit is reached


@dataclass
class _Watch:
    """One policy, and what has been seen for it."""

    policy: Policy
    taint: Taint
    targets: list[Target] = field(default_factory=list)
    known: dict[int, set[tuple[str, str]]] = field(default_factory=dict)  # connections, by process
    count: int = 0
    wanted_until_s: dict[int, float] = field(default_factory=dict)
    tracked: dict[int, set[tuple[str, str]]] = field(default_factory=dict)  # connections it is possessed for


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
        watcher = _Watcher(settings, abi, keeper, as_json=arguments.json)
        try:
            watcher.begin()
            while watcher.vigil.is_heard and not stops.within(settings.poll_ms / 1000):
                watcher.turn(time.monotonic())
        finally:
            watcher.vigil.release()
    if keeper.kept:
        return ALERTED
    return DONE if watcher.vigil.is_heard and watcher.vigil.code == DONE else FAILED


class _Watcher:
    """All policies, and the processes that are possessed by them."""

    def __init__(self, settings: WatchSettings, abi: Abi, keeper: Keeper, *, as_json: bool) -> None:
        self.vigil = Vigil(abi, keeper, as_json=as_json)
        self._settings = settings
        self._abi = abi
        self._keeper = keeper
        self._as_json = as_json
        self._watches = [_Watch(one, Taint.of(one.taint, one.on_alert)) for one in settings.policies]
        self._targets_s = 0.0
        self._began: deque[float] = deque()
        self._held_back_s = 0.0  # until when no more is said of limits that are reached
        self._left_alone: dict[tuple[int, str], float] = {}  # process and when it began, until when

    def begin(self) -> None:
        """Look for the first time, and say that it watches."""
        self._find(time.monotonic())
        count = len({target.pid for watch in self._watches for target in watch.targets})
        self._say(0, "watching", f"watching {count} processes, by {len(self._watches)} policies")

    def turn(self, now_s: float) -> None:
        """Look once."""
        self.vigil.listen()
        if now_s >= self._targets_s:
            self._find(now_s)
        self._pause(now_s)
        tables: dict[str, list[Row]] = {}
        for watch in self._watches:
            for target in watch.targets:
                self._consider(watch, target, tables, now_s)
        wanted = {pid for watch in self._watches for pid, until_s in watch.wanted_until_s.items() if until_s > now_s}
        for pid in self.vigil.pids - wanted:
            self.vigil.let_go(pid)

    def _pause(self, now_s: float) -> None:
        """Let those go who have had an alert, where the policy says so."""
        for watch in self._watches:
            for target in watch.targets:
                if target.pid in self.vigil.alerted and watch.policy.pause_s:
                    self._left_alone[target.pid, target.started] = now_s + watch.policy.pause_s
                    watch.wanted_until_s.pop(target.pid, None)
        self.vigil.alerted.clear()

    def _find(self, now_s: float) -> None:
        self._targets_s = now_s + _TARGETS_S
        self.vigil.look()
        self.vigil.forget()
        for watch in self._watches:
            watch.targets = list(targets(watch.policy))
            living = {target.pid for target in watch.targets}
            for table in (watch.known, watch.tracked, watch.wanted_until_s):
                for pid in table.keys() - living:
                    del table[pid]
        self._left_alone = {who: until_s for who, until_s in self._left_alone.items() if until_s > now_s}

    def _consider(self, watch: _Watch, target: Target, tables: dict[str, list[Row]], now_s: float) -> None:
        if watch.policy.when == "connection":
            if target.network not in tables:
                tables[target.network] = list(rows(target.pid))
            is_wanted = self._is_connected(watch, target, tables[target.network])
        else:
            is_wanted = watch.policy.when == "always" or os.getloadavg()[0] < watch.policy.idle_load
        if is_wanted:
            if self._left_alone.get((target.pid, target.started), 0) > now_s:
                return
            watch.wanted_until_s[target.pid] = now_s + watch.policy.linger_s + self._settings.poll_ms / 500
            if target.pid not in self.vigil.pids:
                self._possess(watch, target, now_s)

    def _is_connected(self, watch: _Watch, target: Target, seen: list[Row]) -> bool:
        there = connected(target, seen, watch.policy)
        # At first sight of a process those that are over are of before.
        known = watch.known.get(target.pid, {end for end, lives in there.items() if not lives})
        watch.known[target.pid] = set(there)
        tracked = watch.tracked.setdefault(target.pid, set())
        is_new = False
        for connection in there.keys() - known:
            watch.count += 1
            if watch.count % watch.policy.every == 0:
                is_new = True
                tracked.add(connection)
        tracked &= {connection for connection, lives in there.items() if lives}
        return is_new or bool(tracked)

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
