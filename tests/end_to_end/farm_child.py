"""A farm that somebody will kill: `python farm_child.py HOME PORT`; says `up`, and at SIGTERM `down`."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from eudaemon.farm.outputs.settings import Directory
from eudaemon.farm.server import Farm
from eudaemon.farm.settings import FarmSettings, Intake, Page, StoreSettings

SECRET = "7a" * 32  # of sensors that tests admit by hand


def farm(home: Path, port: int) -> Farm:
    """Return the farm; it does not run yet."""
    return Farm(
        FarmSettings(
            page=Page(port=0),
            intake=Intake(addresses=("127.0.0.1",), port=port),
            store=StoreSettings(load_every_s=0.05, block_events_max=500),
        ),
        home,
        outputs={"events": Directory(), "samples": Directory(format="samples")},
    )


@asynccontextmanager
async def child(home: Path, port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a farm in a process of its own; kill it at the end if it still runs."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, __file__, str(home), str(port), stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])},
    )  # fmt: skip
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            assert await process.stdout.readline() == b"up\n"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


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
