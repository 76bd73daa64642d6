"""A farm that somebody will kill: `python farm_child.py HOME PORT`; says `up`, and at SIGTERM `down`."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from eudaemon.farm.server import Farm
from eudaemon.farm.settings import FarmSettings, Intake, Page, StoreSettings


def farm(home: Path, port: int) -> Farm:
    """Return the farm; it does not run yet."""
    return Farm(
        FarmSettings(
            page=Page(port=0),
            intake=Intake(addresses=("127.0.0.1",), port=port),
            store=StoreSettings(load_every_s=0.05, block_events_max=500),
        ),
        home,
    )


async def main(home: Path, port: int) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    running = farm(home, port)
    running.prepare()
    running.bind()
    print("up", flush=True)
    await running.run(stop)
    print("down", flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
