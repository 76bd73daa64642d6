"""`eudaemon up`: sensor, farm and page on this machine."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import secrets
import signal
from pathlib import Path
from typing import Any

from eudaemon import __version__, app, settings
from eudaemon.cli import DONE
from eudaemon.cli._common import add_place
from eudaemon.supervisor import Part, Supervisor

HELP = """\
Run a sensor, the farm and its web page on this machine, until Ctrl-C or SIGTERM.

Without root all ports are moved up by 10000 (telnet is 10023); with root the real ports are bound and
root is given up. A part that dies is started again, at once the first time, after a pause of up to a
minute if it goes on dying; what it had stored is not lost."""

LOCAL_SENSOR = "local"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_place(parser)
    parser.add_argument("--port-offset", type=int, metavar="N",
                        help="add N to the sensor's ports (default: sensor.port_offset; if that is not set, 0 with "
                        "root, 10000 without)")  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Run until stopped."""
    settings.read(arguments.config)  # what is wrong is said here, once, before anything starts
    asyncio.run(_up(arguments))
    return DONE


async def _up(arguments: argparse.Namespace) -> None:
    document = settings.read(arguments.config)
    app.configure_logging(document.part("general", app.GeneralSettings))
    supervisor = Supervisor(logging.getLogger("eudaemon").warning)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, supervisor.stop)
    offset = arguments.port_offset
    if offset is None and os.geteuid() != 0 and "port_offset" not in document.values.get("sensor", {}):
        offset = app.UNPRIVILEGED_PORT_OFFSET
    place = ["--data", str(arguments.data.resolve())]
    if arguments.config:
        place += ["--config", str(arguments.config.resolve())]
    secret = _secret(app.folder(arguments.data / "up") / "local-sensor.secret")

    def farm_hello() -> dict[str, Any]:
        return {"sensor": LOCAL_SENSOR, "secret": secret, "password_is_told": bool(farm.ready)}

    farm = Part("farm", ["farm", "run", *place], farm_hello)

    def uplink() -> dict[str, Any]:
        return {"sensor": LOCAL_SENSOR, "uplink": {
            "url": farm.ready["intake"], "secret": secret, "fingerprint": farm.ready["fingerprint"]}}  # fmt: skip

    moved = [] if offset is None else ["--port-offset", str(offset)]
    sensor = Part("sensor", ["sensor", *place, *moved], uplink)
    print(f"Eudaemon {__version__}: starting the farm …", flush=True)
    await supervisor.start(farm)
    print("starting the sensor …", flush=True)
    await supervisor.start(sensor)
    print("\nUp.\n" + _welcome(arguments.data, farm, sensor) + "\n", flush=True)
    await supervisor.wait()
    print("eudaemon: stopped", flush=True)


def _secret(path: Path) -> str:
    if not path.exists():
        path.touch(mode=0o600, exist_ok=False)
        path.write_text(secrets.token_hex(32))
    return path.read_text()


def _welcome(data: Path, farm: Part, sensor: Part) -> str:
    password = farm.ready["first_password"]
    login = f"user admin, password {password}" if password else (
        "user admin, the password that you have; `eudaemon farm password` sets another")  # fmt: skip
    first, *rest = _by_room(sensor.ready["listening"])
    lines = [
        f"  page      {farm.ready['page']}",
        f"            {login}",
        f"  sensor    {first}",
        *(f"            {line}" for line in rest),
        f"  data      {data.resolve()}",
        "  try       `make demo` (or `eudaemon demo`) in another terminal: a harmless attack on your own sensor",
        "  stop      Ctrl-C",
    ]
    return "\n".join(lines)


def _by_room(listening: list[str]) -> list[str]:
    """Turn `telnet tcp 0.0.0.0:23` and its like into one line a room and transport."""
    ports: dict[str, set[int]] = {}
    for entry in listening:
        room, transport, address = entry.split(" ")
        ports.setdefault(f"{room} {transport}", set()).add(int(address.rpartition(":")[2]))
    return [f"{what:<14} {_ranges(sorted(numbers))}" for what, numbers in ports.items()]


def _ranges(numbers: list[int]) -> str:
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][-1] + 1:
            found[-1] = [found[-1][0], number]
        else:
            found.append([number])
    return " ".join("-".join(map(str, run)) for run in found)
