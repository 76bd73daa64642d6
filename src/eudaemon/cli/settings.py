"""`eudaemon settings`: every setting with its default, or a file checked."""

from __future__ import annotations

import argparse
from pathlib import Path

from eudaemon import persona_file, settings
from eudaemon.sensor.settings import SensorSettings

HELP = """\
Print a settings file with every setting at its default and what it means; or check a file of yours.

  eudaemon settings > eudaemon.toml     begin a settings file
  eudaemon settings --check FILE        say what is wrong with it, with the line"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--check", type=Path, metavar="FILE", help="validate FILE and say nothing if it is good")
    form.add_argument("--markdown", action="store_true", help="print docs/settings.md")


def run(arguments: argparse.Namespace) -> int:
    """Print or check."""
    if arguments.check is not None:
        document = settings.read(arguments.check)
        persona_file.named(document.part("sensor", SensorSettings), arguments.check)
    else:
        print(settings.document() if arguments.markdown else settings.example(), end="")
    return 0
