"""kill -9 at any moment: what was acknowledged is there, once; what was not may be sent again."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

from eudaemon.farm.settings import StoreSettings
from eudaemon.farm.store import Store

CHILD = Path(__file__).with_name("kill_child.py")
ROUNDS = 15
LIFE_S_MAX = 0.7


def live_and_die(home: Path, first: int, life_s: float) -> int:
    """Run the child from event `first` on, kill it after `life_s`; return the number that it acknowledged last."""
    child = subprocess.Popen([sys.executable, str(CHILD), str(home), str(first)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    time.sleep(life_s)
    child.kill()
    said = child.stdout.read().splitlines()
    child.wait()
    whole = [line for line in said if line.isdecimal()]
    return int(whole[-1]) if whole else first


async def test_nothing_acknowledged_is_lost_and_nothing_counted_twice(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    acknowledged = 0
    for _ in range(ROUNDS):
        # What was not acknowledged is sent again, and some of what was.
        first = max(0, acknowledged - dice.choice((0, 0, 20, 60)))
        acknowledged = max(acknowledged, live_and_die(tmp_path, first, dice.random() * LIFE_S_MAX))
    assert acknowledged > 0

    async with Store(tmp_path, StoreSettings(load_every_s=0.01)) as store:
        await store.settle()
        rows = await store.query(
            """SELECT count() AS n, uniqExact(id) AS u, uniqExact(command) AS c, max(toUInt64(command)) + 1 AS top,
                      countIf(toUInt64(command) < {acknowledged:UInt64}) AS kept FROM events""",
            {"acknowledged": acknowledged},
        )
        assert store.health()["queued_events"] == 0
    found = rows[0]
    assert found["n"] == found["u"] == found["c"] == found["top"]
    assert found["kept"] == acknowledged
