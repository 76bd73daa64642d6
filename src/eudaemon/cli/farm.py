"""`eudaemon farm`: run the farm, admit sensors, set passwords."""

from __future__ import annotations

import argparse
import getpass
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from eudaemon import app, settings
from eudaemon.cli import DONE, FAILED, FOUND
from eudaemon.cli._common import add_place

if TYPE_CHECKING:
    from eudaemon.farm.server import Farm

HELP = """\
Run the farm: it takes in what sensors see, keeps it, and shows it on a web page.

  eudaemon farm run               run it (page on 127.0.0.1:8600, intake on port 8601)
  eudaemon farm enrol NAME --host FARM
                                  admit a sensor, and print the settings to put on it;
                                  FARM is a name or address under which it reaches this farm
  eudaemon farm revoke NAME       refuse it from now on
  eudaemon farm sensors           list them, with their health
  eudaemon farm password          set the page's password"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", title="what to do (default: run)")
    parser.set_defaults(verb="run", name="")
    add_place(parser)
    for verb, summary in (
        ("run", "run the farm until Ctrl-C or SIGTERM"),
        ("enrol", "admit a sensor, and print the settings to put on it"),
        ("revoke", "refuse a sensor from now on"),
        ("sensors", "list the sensors and their health"),
        ("password", "set the password of the page's user admin"),
    ):
        command = verbs.add_parser(verb, help=summary, description=summary)
        add_place(command, again=True)
        if verb in ("enrol", "revoke"):
            command.add_argument("name", help="the sensor's name")
        if verb == "enrol":
            command.add_argument("--host", required=True, help="name or address under which sensors reach this farm")
            command.add_argument("--renew", action="store_true", help="give a sensor that is admitted a new secret")


def run(arguments: argparse.Namespace) -> int:
    """Do what was asked."""
    document = settings.read(arguments.config)
    if arguments.verb == "run":
        from eudaemon.farm.outputs.settings import OUTPUTS
        from eudaemon.farm.settings import FarmSettings

        general, farm = document.part("general", app.GeneralSettings), document.part("farm", FarmSettings)
        app.serve_farm(general, farm, document.part("outputs", OUTPUTS), arguments.data)
        return DONE
    return _administer(document, arguments)


def _administer(document: settings.Document, arguments: argparse.Namespace) -> int:
    from eudaemon.farm.fleet import FleetError
    from eudaemon.farm.server import Farm
    from eudaemon.farm.settings import FarmSettings

    home: Path = arguments.data / "farm"
    if not home.is_dir():
        print(f"eudaemon: there is no farm in {arguments.data} yet; run `eudaemon farm run` once", file=sys.stderr)
        return FAILED
    farm = Farm(document.part("farm", FarmSettings), home)
    try:
        return VERBS[arguments.verb](farm, arguments)
    except (FleetError, ValueError) as error:
        print(f"eudaemon: {error}", file=sys.stderr)
        return FAILED


def _enrol(farm: Farm, arguments: argparse.Namespace) -> int:
    if not arguments.renew and arguments.name in (sensor.name for sensor in farm.fleet.sensors()):
        print(f"eudaemon: {arguments.name} is admitted already; --renew gives it a new secret, and the old one "
              "is refused from then on", file=sys.stderr)  # fmt: skip
        return FAILED
    secret = farm.fleet.enrol(arguments.name)
    host = f"[{arguments.host}]" if ":" in arguments.host else arguments.host
    print(
        f"# Put this into the sensor's settings file. The secret is shown this once.\n"
        f'[sensor]\nname = "{arguments.name}"\n\n[sensor.uplink]\n'
        f'url = "https://{host}:{farm.settings.intake.port}"\n'
        f'secret = "{secret}"\nfingerprint = "{farm.fingerprint}"'
    )
    return DONE


def _revoke(farm: Farm, arguments: argparse.Namespace) -> int:
    if farm.fleet.revoke(arguments.name):
        return DONE
    print(f"eudaemon: there is no sensor {arguments.name!r}, or it is revoked already", file=sys.stderr)
    return FOUND


def _sensors(farm: Farm, _: argparse.Namespace) -> int:
    sensors = farm.fleet.sensors()
    if not sensors:
        print("No sensor is admitted; `eudaemon farm enrol NAME --host FARM` admits one.")
    for sensor in sensors:
        shown = farm.fleet.shown(sensor)
        seen = shown["last_seen"] or "never heard of"
        print(f"{sensor.name:<24} {shown['status']:<8} {seen:<28} {' '.join(sensor.verdicts)}".rstrip())
    return DONE


def _password(farm: Farm, _: argparse.Namespace) -> int:
    asked = getpass.getpass("New password for admin: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    farm.accounts.set_password("admin", asked)
    return DONE


VERBS = {"enrol": _enrol, "revoke": _revoke, "sensors": _sensors, "password": _password}
