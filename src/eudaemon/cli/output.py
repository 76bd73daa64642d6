"""`eudaemon output`: which outputs there are, how they do, and whether their peers take what they are sent."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eudaemon import settings
from eudaemon.cli import DONE, FAILED, FOUND, WRONG_USE
from eudaemon.cli._common import add_place

if TYPE_CHECKING:
    from eudaemon.farm.outputs.journal import State

HELP = """\
What the farm hands on to others: files, S3, HTTP, syslog, hpfeeds, MISP, TAXII, Splunk, Elasticsearch, Redis, chats,
mail, questions to VirusTotal and CAPE, and reports to services against abuse. Each is a section [outputs.NAME] of the
settings file; docs/how-to/outputs.md has one of each.

  eudaemon output list --config FILE         all of them, and how they do
  eudaemon output show NAME --config FILE    one of them: its settings, and what was counted since it was set
  eudaemon output test NAME --config FILE    send one made-up event, and say what the peer answers

A service that takes reports of abuse is only asked something, because a made-up report would be a false one. The exit
code is 1 if an output waits for its peer, 3 if a test failed."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", title="what to do (default: list)")
    parser.set_defaults(verb="list")
    add_place(parser)
    for verb, summary in (
        ("list", "list the outputs, and how they do"),
        ("show", "show one output's settings and counts"),
        ("test", "send one made-up event, and say what the peer answers"),
    ):
        command = verbs.add_parser(verb, help=summary, description=summary)
        add_place(command, again=True)
        if verb != "list":
            command.add_argument("name", metavar="NAME", help="the output's name in the settings")


def run(arguments: argparse.Namespace) -> int:
    """Do what was asked."""
    from eudaemon.app import GeneralSettings
    from eudaemon.farm.outputs.settings import OUTPUTS
    from eudaemon.farm.settings import FarmSettings

    document = settings.read(arguments.config)
    outputs: dict[str, Any] = document.part("outputs", OUTPUTS)
    home: Path = arguments.data / "farm"
    if arguments.verb == "list":
        return _list(outputs, home)
    if arguments.name not in outputs:
        there = f"there are {', '.join(outputs)}" if outputs else "there are none; see docs/how-to/outputs.md"
        print(f"eudaemon: there is no output {arguments.name!r} in the settings; {there}", file=sys.stderr)
        return WRONG_USE
    if arguments.verb == "show":
        return _show(arguments.name, outputs[arguments.name], home)
    _hand_over(arguments.name, outputs[arguments.name], home, document.part("general", GeneralSettings).farm_uid)
    return _test(arguments.name, outputs[arguments.name], home, document.part("farm", FarmSettings))


def _list(outputs: dict[str, Any], home: Path) -> int:
    if not outputs:
        print("There is no output: the settings have no [outputs.NAME]; see docs/how-to/outputs.md.")
    states = _states(home)
    for name, one in outputs.items():
        state = states.get(name)
        print(f"{name:<20} {_kind(one):<14} {_how(state)}")
    return FOUND if any(state.trouble for name, state in states.items() if name in outputs) else DONE


def _show(name: str, one: Any, home: Path) -> int:
    print(f'[outputs.{name}]\nto = "{_kind(one)}"')
    for field in fields(one):
        value = getattr(one, field.name)
        if field.metadata["option"].secret:
            value = "…" if value else ""
        print(f"{field.name} = {json.dumps(value, ensure_ascii=False)}")
    state = _states(home).get(name)
    print(f"\n{_how(state)}")
    if state is not None:
        print(f"told {state.told:,}, refused by its peer {state.refused:,} (records, files or reports)")
        print(f"events: {state.waiting:,} wait, {state.dropped:,} were dropped because too many waited")
        if state.faults:
            print(f"faults of ours: {state.faults:,}; please report what the log says of them")
    return FOUND if state is not None and state.trouble else DONE


def _hand_over(name: str, one: Any, home: Path, uid: int) -> None:
    """Give a directory that is not there, or empty, to the farm, as its start would: afterwards it is empty no more."""
    from eudaemon.farm.outputs.outputs import place
    from eudaemon.farm.outputs.settings import Directory

    if os.geteuid() != 0 or not isinstance(one, Directory):
        return
    path = place(name, one, home)
    with contextlib.suppress(OSError):  # the test says what is wrong with it
        path.mkdir(mode=0o750, parents=True, exist_ok=True)
        if not any(path.iterdir()):
            os.chown(path, uid, uid, follow_symlinks=False)


def _test(name: str, one: Any, home: Path, farm: Any) -> int:
    from eudaemon.farm.outputs.outputs import OutputError, make
    from eudaemon.farm.outputs.peers import LaterError, RefusedError, without
    from eudaemon.farm.outputs.settings import secrets_of
    from eudaemon.farm.outputs.trial import tried

    secrets = secrets_of(one)
    try:
        format_, peer = make(name, one, home, farm.store)
        for said in tried(format_, peer):
            print(f"{name}: {without(said, secrets)}")
        peer.close()
    except (LaterError, RefusedError, OutputError) as error:
        print(f"eudaemon: output {name}: {without(str(error), secrets)}", file=sys.stderr)
        return FAILED
    return DONE


def _states(home: Path) -> dict[str, State]:
    from eudaemon.farm.outputs.journal import Journal
    from eudaemon.farm.outputs.outputs import journal_path

    path = journal_path(home)
    if not path.exists():
        return {}
    journal = Journal(path, 0)
    try:
        return {state.name: state for state in journal.states()}
    finally:
        journal.close()


def _kind(one: Any) -> str:
    from eudaemon.farm.outputs.settings import OUTPUTS

    return next(kind for kind, table in OUTPUTS.kinds.items() if isinstance(one, table))


def _how(state: State | None) -> str:
    from eudaemon.events import rfc3339

    if state is None:
        return "not started yet: it begins with what comes after the farm's next start"
    since = "nothing told yet" if state.told_s is None else f"last told {rfc3339(state.told_s)}"
    behind = f"{state.waiting:,} events wait" if state.waiting else "nothing waits"
    return f"waits: {state.trouble} ({behind})" if state.trouble else f"well: {since}, {behind}"
