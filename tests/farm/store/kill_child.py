"""A farm's store that somebody will kill: takes in numbered events and says which are acknowledged, until it dies.

python kill_child.py HOME FIRST
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from eudaemon.events import Event
from eudaemon.events import catalogue as facts
from eudaemon.farm.settings import StoreSettings
from eudaemon.farm.store import Store, row_of

NOW_S = 1_795_487_000.0
WEEK_S = 7 * 86_400.0
SPOOL = "cd" * 16
BATCH = 20


def event_id(number: int) -> str:
    return f"0193f3f3-f3f3-7000-8000-{number:012x}"


async def main(home: Path, first: int) -> None:
    # Small blocks, and events of three weeks: many inserts, and each of several parts.
    async with Store(home, StoreSettings(load_every_s=0.01, block_events_max=100)) as store:
        print("ready", flush=True)
        while True:
            rows = [
                row_of(Event(event_id(n), NOW_S - n % 3 * WEEK_S, "lab", facts.CommandEntered(f"{n}")), NOW_S)
                for n in range(first, first + BATCH)
            ]
            accepted = await store.append("lab", SPOOL, first, rows)
            print(accepted.next, flush=True)
            first = accepted.next


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
