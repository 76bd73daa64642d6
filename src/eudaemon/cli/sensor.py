"""`eudaemon sensor`: run a sensor."""

from __future__ import annotations

import argparse

from eudaemon import app, settings
from eudaemon.cli._common import add_place

HELP = """\
Run a sensor: it pretends to be vulnerable services and keeps what attackers bring.

With [sensor.uplink] in the settings it sends what it sees to a farm; without, it keeps it below --data.
As root it binds the real ports and then becomes an unprivileged user. Stop it with Ctrl-C or SIGTERM."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_place(parser)
    parser.add_argument("--port-offset", type=int, metavar="N", help="add N to every port, as in sensor.port_offset")


def run(arguments: argparse.Namespace) -> int:
    """Run until stopped."""
    app.serve_sensor(settings.read(arguments.config), arguments.data, arguments.port_offset)
    return 0
