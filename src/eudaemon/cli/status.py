"""`eudaemon status [PID…]`: which processes are possessed, and how they do."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator

from eudaemon.cli import DONE, FAILED, FOUND
from eudaemon.cli._possession import add_pids, say, table, tell, values
from eudaemon.possession import PossessionError
from eudaemon.possession.abi import Abi
from eudaemon.possession.engine import load_engine
from eudaemon.possession.status import Status, possessed, rights, status_of

HELP = """\
Show the possessed processes: mode, threads, what has been translated, how long they stood when they were possessed, and
since when they are. Nothing is stopped for it.

  eudaemon status                               all
  eudaemon status 4711 --watch                  one, again every second, until Ctrl-C
  eudaemon status --json                        for machines

Columns: `threads` that run translated code (others with their state: prepared, parked, left), `fragments` of code that
were translated, the `cache` they fill, `frozen`: how long it stood, `since`: for how long it has been possessed,
`alerts`: how often input was about to take control (with --taint; see `eudaemon alert list`), and `trouble`: what the
engine could not go on with (no memory, threads: too many, far transfer, panic).
With --json: `state` is possessed, or planted where a possession was broken off; `parent`: who forked it while it was
possessed (0: nobody); `possessed_at_ns` counts from 1970, other `_ns` are lengths; `doubled_bytes`
share their tags with other memory of the process (--taint); what has no unit is counted.

The exit code is 1 if a named process is not possessed, 3 if one cannot be looked into."""

_PAUSE_S_MIN, _PAUSE_S_MAX = 0.1, 86400
_CLEAR = "\x1b[H\x1b[J"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_pids(parser, "*")
    parser.add_argument("--watch", action="store_true", help="again and again, until Ctrl-C")
    parser.add_argument("--every", type=_pause_s, default=1.0, metavar="SECONDS", help="with --watch (default: 1)")
    parser.add_argument("--json", action="store_true", help="for machines: a list of objects (a line, with --watch)")


def run(arguments: argparse.Namespace) -> int:
    """Look, and tell."""
    try:
        abi = load_engine().abi
    except PossessionError as error:
        print(f"eudaemon: {error.reason}\n  → {error.do}", file=sys.stderr)
        return FAILED
    pids: list[int] = list(dict.fromkeys(arguments.pids))
    is_first, code = True, DONE
    while True:
        now, found = _look(pids, abi, is_first=is_first)
        code = max(code, now)
        shown = found or not arguments.pids or arguments.json
        if shown and not say("\n".join(_lines(arguments, found))):
            return FAILED
        if not arguments.watch or (arguments.pids and not found):
            return code
        if arguments.pids:
            pids = [status.pid for status in found]  # of the others it has been said
        is_first = False
        time.sleep(arguments.every)


def _look(pids: list[int], abi: Abi, *, is_first: bool) -> tuple[int, list[Status]]:
    hidden: list[int] = []
    if not pids:
        found = list(possessed(abi, hidden))
        if hidden and is_first:
            these = f"{len(hidden)} processes" if hidden[1:] else f"process {hidden[0]}"
            say(f"eudaemon: {these} may not be looked into\n  → {rights()}", sys.stderr)
        return DONE, found
    code, found = DONE, []
    for pid in pids:
        try:
            status = status_of(pid, abi)
        except PossessionError as error:
            tell(pid, error)
            code = FAILED
            continue
        if status is None:
            say(f"eudaemon: process {pid} is not possessed", sys.stderr)
            code = max(code, FOUND)
        else:
            found.append(status)
    return code, found


def _pause_s(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not _PAUSE_S_MIN <= seconds <= _PAUSE_S_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds from {_PAUSE_S_MIN} to {_PAUSE_S_MAX}")
    return seconds


def _lines(arguments: argparse.Namespace, found: list[Status]) -> Iterator[str]:
    if arguments.json:
        yield json.dumps([values(status) for status in found], indent=None if arguments.watch else 1)
        return
    if arguments.watch and sys.stdout.isatty():
        yield _CLEAR
    if found:
        yield from table(found)
    else:
        yield "no process is possessed"
