"""`eudaemon release PID…`: let possessed processes go, whoever possessed them."""

from __future__ import annotations

import argparse

from eudaemon.cli import DONE, FAILED
from eudaemon.cli._possession import add_pids, fact, release_children, say, tell
from eudaemon.cli._stops import held_back
from eudaemon.possession import PossessionError, adopt
from eudaemon.possession.engine import load_engine
from eudaemon.possession.status import family_of, status_of

HELP = """\
Let possessed processes go: they run natively again, and nothing is left in them. It does not matter who possessed them,
nor whether that command still runs. The children that they have forked meanwhile are let go too.

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
    with held_back() as stops:
        for pid in dict.fromkeys(arguments.pids):
            lines, is_free = _release(pid, as_json=arguments.json)
            are_heard = [say(line) for line in lines]
            if not (is_free and all(are_heard)):
                code = FAILED
            if came := stops.within():
                return 128 + came
    return code


def _release(pid: int, *, as_json: bool) -> tuple[list[str], bool]:
    """Release a process and its children. Return the lines, and if all are free."""
    try:
        abi = load_engine().abi
        status = status_of(pid, abi)
        family = family_of(status) if status else None  # while there is still somebody to ask
        possession = adopt(pid)
        possession.release()
    except PossessionError as error:
        tell(pid, error)
        return [], False
    did = "gone" if possession.is_gone else "released"
    lines = [fact(pid, did, possession.released_ns, possession.remarks, as_json=as_json)]
    if family is None:
        return lines, True
    more, are_free = release_children(pid, family, abi, as_json=as_json)
    return lines + more, are_free
