"""`eudaemon release PID…`: let possessed processes go, whoever possessed them."""

from __future__ import annotations

import argparse

from eudaemon.cli import ALERTED, DONE, FAILED
from eudaemon.cli._alerts import Keeper, add_store, keeper_of
from eudaemon.cli._possession import add_pids, fact, release_children, say, tell
from eudaemon.cli._stops import held_back
from eudaemon.possession import PossessionError, adopt
from eudaemon.possession.abi import Abi
from eudaemon.possession.engine import load_engine
from eudaemon.possession.listening import Listener
from eudaemon.possession.status import family_of, status_of

HELP = """\
Let possessed processes go: they run natively again, and nothing is left in them. It does not matter who possessed them,
nor whether that command still runs. The children that they have forked meanwhile are let go too.

  eudaemon release 4711
  eudaemon status                               which there are

Alerts that nobody has heard of yet (after `eudaemon possess --taint … --detach`) are collected first, and kept.

The exit code is 0 if all were released, 3 if not, 4 if there were alerts."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_pids(parser)
    parser.add_argument("--json", action="store_true", help="for machines: one object a line")
    add_store(parser)


def run(arguments: argparse.Namespace) -> int:
    """Release, and tell."""
    code = DONE
    keeper = keeper_of(arguments)  # before there is a thread
    with held_back() as stops:
        for pid in dict.fromkeys(arguments.pids):
            lines, is_free = _release(pid, keeper, as_json=arguments.json)
            are_heard = [say(line) for line in lines]
            if not (is_free and all(are_heard)):
                code = FAILED
            if came := stops.within():
                return 128 + came
        for line in filter(None, keeper.finish(as_json=arguments.json)):
            say(line)
    return ALERTED if keeper.kept else code


def _release(pid: int, keeper: Keeper, *, as_json: bool) -> tuple[list[str], bool]:
    """Release a process and its children. Return the lines, and if all are free."""
    try:
        abi = load_engine().abi
        status = status_of(pid, abi)
        family = family_of(status) if status else None  # while there is still somebody to ask
        possession = adopt(pid)
        lines: list[str] = []
        if status and status.mode == "taint":
            possession.last_look = lambda: lines.extend(_alerts(pid, abi, keeper, as_json=as_json))
        possession.release()
    except PossessionError as error:
        tell(pid, error)
        return [], False
    did = "gone" if possession.is_gone else "released"
    lines += [fact(pid, did, possession.released_ns, possession.remarks, as_json=as_json)]
    if family is None:
        return lines, True
    more, are_free = release_children(pid, family, abi, as_json=as_json)
    return lines + more, are_free


def _alerts(pid: int, abi: Abi, keeper: Keeper, *, as_json: bool) -> list[str]:
    """Collect the alerts of a process and its children that are in none of our folders yet."""
    with Listener(pid, abi) as listener:
        found = [evidence for evidence in listener.poll() if not keeper.has(evidence)]
        return [
            keeper.keep(one, child_of=0 if one.report.process.pid == pid else pid, as_json=as_json) for one in found
        ]
