"""`eudaemon sensor`: run a sensor."""

from __future__ import annotations

import argparse
from dataclasses import asdict, replace
from pathlib import Path

from eudaemon import settings
from eudaemon.app import GeneralSettings
from eudaemon.cli import DONE
from eudaemon.cli._common import add_place
from eudaemon.payload.fetch.policy import FetchSettings
from eudaemon.sensor.settings import SensorSettings, is_file

HELP = """\
Run a sensor: it pretends to be vulnerable services and keeps what attackers bring.

With [sensor.uplink] in the settings it sends what it sees to a farm; without, it keeps it below --data.
As root it binds the real ports and then becomes an unprivileged user. Stop it with Ctrl-C or SIGTERM."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_place(parser)
    parser.add_argument("--port-offset", type=int, metavar="N", help="add N to every port, as in sensor.port_offset")


def run(arguments: argparse.Namespace) -> int:
    """Read all that the sensor is to be, and tell it to the process that will be the sensor: see `sensing`."""
    document = settings.read(arguments.config)
    sensor = document.part("sensor", SensorSettings)
    if arguments.port_offset is not None:
        try:
            sensor = replace(sensor, port_offset=arguments.port_offset)
        except ValueError as error:
            raise settings.SettingsError(str(error)) from None
    persona = None
    if is_file(sensor.persona):
        from eudaemon import persona_file

        persona = persona_file.read(Path(sensor.persona))
        if not sensor.listen:
            sensor = replace(sensor, listen=persona_file.listening(persona))
    arguments.tell({
        "persona": asdict(persona) if persona is not None else None,
        "general": asdict(document.part("general", GeneralSettings)),
        "sensor": asdict(sensor),
        "fetch": asdict(document.part("fetch", FetchSettings)),
        "data": str(arguments.data),
    })  # fmt: skip
    return DONE
