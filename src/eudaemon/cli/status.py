"""`eudaemon status [PID…]`: which processes are possessed, and how they do."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator

from eudaemon.cli import DONE, FAILED, FOUND
from eudaemon.cli._possession import add_pids, table, tell, values
from eudaemon.possession import PossessionError
from eudaemon.possession.abi import Abi
from eudaemon.possession.engine import load_engine
from eudaemon.possession.status import Status, possessed, status_of

HELP = """\
Show the possessed processes: mode, threads, what has been translated, how long they stood when they were possessed, and
since when they are. Nothing is stopped for it.

  eudaemon status                               all
  eudaemon status 4711 --watch                  one, again every second, until Ctrl-C
  eudaemon status --json                        for machines

The exit code is 1 if a named process is not possessed, 3 if one cannot be looked into."""

_CLEAR = "\x1b[H\x1b[J"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_pids(parser, "*")
    parser.add_argument("--watch", action="store_true", help="again and again, until Ctrl-C")
    parser.add_argument("--every", type=float, default=1.0, metavar="SECONDS", help="with --watch (default: 1)")
    parser.add_argument("--json", action="store_true", help="for machines: a list of objects (a line, with --watch)")


def run(arguments: argparse.Namespace) -> int:
    """Look, and tell."""
    try:
        abi = load_engine().abi
    except PossessionError as error:
        print(f"eudaemon: {error.reason}\n  → {error.do}", file=sys.stderr)
        return FAILED
    while True:
        code, found = _look(arguments.pids, abi)
        print("\n".join(_lines(arguments, found)), flush=True)
        if not arguments.watch:
            return code
        time.sleep(arguments.every)


def _look(pids: list[int], abi: Abi) -> tuple[int, list[Status]]:
    if not pids:
        return DONE, list(possessed(abi))
    code, found = DONE, []
    for pid in pids:
        try:
            status = status_of(pid, abi)
        except PossessionError as error:
            tell(pid, error)
            code = FAILED
            continue
        if status is None:
            print(f"eudaemon: {pid}: not possessed", file=sys.stderr)
            code = max(code, FOUND)
        else:
            found.append(status)
    return code, found


def _lines(arguments: argparse.Namespace, found: list[Status]) -> Iterator[str]:
    if arguments.json:
        yield json.dumps([values(status) for status in found], indent=None if arguments.watch else 1)
        return
    if arguments.watch and sys.stdout.isatty():
        yield _CLEAR
    if found or arguments.pids:
        yield from table(found)
    else:
        yield "no process is possessed"
