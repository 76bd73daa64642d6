"""Lockstep over real code: every victim and every server, natively and in the engine, fragment by fragment.

EUDAEMON_LOCKSTEP=20000 pytest tests/possession/test_twins.py      so many native instructions of each
EUDAEMON_POSSESSION=shadow …       with the shadow's tests
EUDAEMON_POSSESSION=taint …        with tags in some registers, which are followed
"""

from __future__ import annotations

import os
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from eudaemon.possession.errors import PossessionError
from eudaemon.possession.tracee import ENDED, state_of
from possession.cycles import MODE
from possession.running import running
from possession.servers import SERVERS
from possession.test_servers import start, stop
from possession.twins import Twins
from possession.victims import BY_NAME, missing

INSTRUCTIONS = int(os.environ.get("EUDAEMON_LOCKSTEP", "250"))
WITHIN_S = 5.0 + INSTRUCTIONS / 500  # of processes whose code between two system calls is short
TWINS_MIN = 3
# They check how their calls were cut short. A stop without an engine that would go on cuts some short, and they say so.
EXACT = {"blocking", "restarts"}


class Tally:
    """How much of one program has been compared."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.compared = 0
        self.twins = 0
        self.failed = 0
        self.ended: dict[str, int] = {}
        self._until_s = time.monotonic() + WITHIN_S

    @property
    def is_enough(self) -> bool:
        """Whether so many instructions have been compared, or for so long."""
        whole = self.compared >= INSTRUCTIONS and self.twins >= TWINS_MIN
        return whole or (self.compared > 0 and time.monotonic() > self._until_s)

    def add(self, pids: list[int]) -> None:
        """Compare a pair of twins of one of these processes."""
        seed = self.twins + self.failed
        try:
            with Twins(
                pids[-1 - seed % len(pids)], MODE, seed, past_a_call=seed % 2 == 1, tagged=MODE == "taint"
            ) as pair:
                self.compared += pair.run(max(100, INSTRUCTIONS - self.compared))
                self.ended[pair.ends_by] = self.ended.get(pair.ends_by, 0) + 1
                self.twins += 1
        except PossessionError as error:  # the process has ended meanwhile, or executes another program
            self.failed += 1
            print(error)

    def close(self) -> None:
        """Say what was compared; it must be something."""
        ended = ", ".join(f"{why or 'enough'} {count}" for why, count in sorted(self.ended.items()))
        print(f"{self.name}: {self.compared} instructions of {self.twins} pairs of twins, ended by: {ended}")
        assert self.compared > 0


ALL = [victim.name for victim in BY_NAME.values()]
AT_ONCE = {"nginx", "cpython"}  # the others are for the soak
COMPARED = [name for name in SERVERS if name != "vsftpd"]  # whose sessions may not fork


@pytest.mark.parametrize("name", ALL)
@pytest.mark.timeout(300 + 4 * WITHIN_S)
def test_victims_agree(name: str) -> None:
    if reason := missing(BY_NAME[name]):
        pytest.skip(reason)
    tally = Tally(name)
    while not tally.is_enough:
        with running(BY_NAME[name]) as victim:
            victim.advance()
            while not tally.is_enough:
                tally.add([victim.pid])
                if name in EXACT:
                    break
                victim.read()
            else:
                victim.advance()  # undisturbed
                victim.stop()
    tally.close()


def _busy(pids: list[int]) -> list[int]:
    """Return those that do something at present; all, if none does."""
    before = {pid: _ran_ns(pid) for pid in pids if not state_of(pid, pid).startswith(ENDED)}
    time.sleep(0.005)
    return [pid for pid, ran_ns in before.items() if _ran_ns(pid) != ran_ns] or list(before)


def _ran_ns(pid: int) -> int:
    with suppress(OSError):
        return sum(int((task / "schedstat").read_text().split()[0]) for task in Path(f"/proc/{pid}/task").iterdir())
    return 0


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in AT_ONCE else pytest.mark.soak) for name in COMPARED]
)
@pytest.mark.timeout(300 + 4 * WITHIN_S)
def test_servers_agree(name: str, tmp_path: Path) -> None:
    with SERVERS[name](tmp_path) as served, ExitStack() as stack:
        speakers = [start(stack, line) for line in served.clients]
        if served.speaks:
            speakers.append(served.speaks)
        for speaker in speakers:
            speaker.advance()
        tally = Tally(name)
        while not tally.is_enough:
            if pids := _busy(served.pids()):
                tally.add(pids)
            for speaker in speakers:
                speaker.read()
        tally.close()
        for speaker in speakers:
            speaker.advance()
            stop(speaker, tmp_path)
