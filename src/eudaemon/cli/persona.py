"""`eudaemon persona`: who a sensor can pretend to be, what the seed makes of it, and a file for one's own."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from pathlib import Path

from eudaemon import persona_file
from eudaemon.cli import DONE
from eudaemon.cli._common import add_place
from eudaemon.settings import SettingsError
from eudaemon.world.host import Host
from eudaemon.world.personas import BY_NAME, DRAWN, PERSONAS, WINDOWS, Persona
from eudaemon.world.seed import Seed

HELP = """\
Who a sensor can pretend to be.

  eudaemon persona list                     the personas that there are, and their ports
  eudaemon persona show NAME                what this installation's seed makes of one
  eudaemon persona new NAME > NAME.toml     begin a persona of your own
  eudaemon persona show NAME.toml           say what is wrong with it, with the line, or what it is"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", title="what to do (default: list)")
    parser.set_defaults(verb="list")
    verbs.add_parser("list", help="list the personas", description="list the personas")
    show = verbs.add_parser("show", help="show what a persona is", description="show what a persona is")
    show.add_argument("name", metavar="NAME", help="a name of the list, or a file that ends in .toml")
    add_place(show)
    new = verbs.add_parser("new", help="print a file for a persona of one's own", description="print a persona's file")
    new.add_argument("name", metavar="NAME", help="what it is to be called: small letters, digits and dashes")
    new.add_argument("--like", default="router", choices=tuple(BY_NAME), help="which one it begins with")


def run(arguments: argparse.Namespace) -> int:
    """Do what was asked."""
    if arguments.verb == "list":
        for persona in PERSONAS:
            print(f"{persona.name:<15} {_ports(persona)}")
        drawn = ", ".join(persona.name for persona in PERSONAS[:DRAWN])
        print(f"\nWithout a persona in the settings, the seed draws one of {drawn}.")
        return DONE
    if arguments.verb == "new":
        try:
            persona_file.check_name(arguments.name)
        except ValueError as error:
            raise SettingsError(f"a persona's name: {error}; its file is printed, so redirect it to one") from None
        print(persona_file.example(BY_NAME[arguments.like], arguments.name), end="")
        return DONE
    return _show(arguments)


def _ports(persona: Persona) -> str:
    return "; ".join(persona_file.listening(persona))


def _show(arguments: argparse.Namespace) -> int:
    if arguments.name.endswith(".toml"):
        persona = persona_file.read(Path(arguments.name))
    elif arguments.name in BY_NAME:
        persona = BY_NAME[arguments.name]
    else:
        raise SettingsError(f"there is no persona {arguments.name!r}; there are {', '.join(BY_NAME)}")
    seed, whose = _seed(arguments.data)
    print(f"{persona.name}, as {whose} makes it:\n")
    for name, value in (*_rows(Host.of(seed, persona), time.time()), ("listens on", _ports(persona))):
        print(f"  {name:<12} {value}")
    return DONE


def _seed(data: Path) -> tuple[Seed, str]:
    """Return the installation's seed; where there is none, or it is somebody else's, one that is drawn now."""
    try:
        return Seed((data / "sensor" / "seed").read_bytes()), f"the seed of {data}"
    except OSError:
        return Seed(os.urandom(32)), "a seed that was drawn just now"


def _rows(host: Host, at_s: float) -> Iterator[tuple[str, str]]:
    if host.persona.name == WINDOWS:
        from eudaemon.world.windows.machine import windows_of

        machine = windows_of(host)
        yield "name", machine.name
        yield "system", f"{machine.release.name} {machine.version}"
        yield "address", f"{machine.address}, {machine.mac}"
        yield "memory", f"{machine.memory_mb:,} MiB"
        yield "users", ", ".join(machine.users)
        yield "up", f"{machine.uptime_s(at_s) / 86_400:.1f} days"
        return
    yield "name", host.name
    yield "title", host.title
    yield "kernel", f"{host.kernel} on {host.machine.name}"
    yield "BusyBox", host.busybox_version
    yield "address", f"{host.address}, {host.mac}"
    yield "memory", f"{host.memory_kb // 1024:,} MiB"
    yield "users", ", ".join(user.decode() for user in host.users)
    yield "up", f"{host.uptime_s(at_s) / 86_400:.1f} days"
