"""`eudaemon release PID…`: let possessed processes go, whoever possessed them."""

from __future__ import annotations

import argparse
import json

from eudaemon.cli import DONE, FAILED
from eudaemon.cli._possession import add_pids, duration, tell
from eudaemon.possession import PossessionError, adopt

HELP = """\
Let possessed processes go: they run natively again, and nothing is left in them. It does not matter who possessed them,
nor whether that command still runs.

  eudaemon release 4711
  eudaemon status                               which there are

The exit code is 0 if all were released, 3 if not."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_pids(parser)
    parser.add_argument("--json", action="store_true", help="for machines: one object a line")


def run(arguments: argparse.Namespace) -> int:
    """Release, and tell."""
    code = DONE
    for pid in arguments.pids:
        try:
            possession = adopt(pid)
            possession.release()
        except PossessionError as error:
            tell(pid, error)
            code = FAILED
            continue
        if arguments.json:
            fact = {"pid": pid, "did": "released", "frozen_ns": possession.released_ns, "remarks": possession.remarks}
            print(json.dumps(fact))
        else:
            print(f"{pid}: released; it stood for {duration(possession.released_ns)}")
            for remark in possession.remarks:
                print(f"  ! {remark}")
    return code
