"""`eudaemon possess PID…`: move running processes into the engine, and let them go again."""

from __future__ import annotations

import argparse
import json
import re
import signal
import sys
import time
from types import FrameType

from eudaemon.cli import DONE, FAILED
from eudaemon.cli._possession import add_pids, duration, tell
from eudaemon.possession import MODES, Possession, PossessionError, Vanished, possess

HELP = """\
Move running processes, with all their threads, into the engine. They go on as before, only watched, until this command
ends by Ctrl-C, by SIGTERM or because the time is over: then they run natively again, and nothing of it is left in them.

  eudaemon possess $(pidof nginx)               until Ctrl-C
  eudaemon possess 4711 --for 10s               for ten seconds
  eudaemon possess 4711 --detach                and leave it so; later: eudaemon release 4711

If this command is killed the processes stay possessed; `eudaemon status` shows them, `eudaemon release` lets them go.
`eudaemon doctor PID` says beforehand whether it will work.
The exit code is 0 if all were possessed (and released), 3 if not."""

_UNITS_S = {"ms": 0.001, "s": 1, "min": 60, "m": 60, "h": 3600, "": 1}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_pids(parser)
    how_long = parser.add_mutually_exclusive_group()
    how_long.add_argument(
        "--for", type=_length_s, dest="length_s", metavar="TIME", help="how long: 10s, 5min, 1h (default: until Ctrl-C)"
    )
    how_long.add_argument("--detach", action="store_true", help="leave them possessed and return")
    parser.add_argument(
        "--mode", choices=MODES, default="none", help="what is added to their code: nothing, or a shadow of memory"
    )
    parser.add_argument("--json", action="store_true", help="for machines: one object a line")


def run(arguments: argparse.Namespace) -> int:
    """Possess, wait, release."""
    signal.signal(signal.SIGTERM, _stop)
    held: list[Possession] = []
    code = DONE
    try:
        for pid in arguments.pids:
            try:
                possession = possess(pid, mode=arguments.mode)
            except PossessionError as error:
                tell(pid, error)
                code = FAILED
            else:
                if possession.is_gone:
                    code = FAILED
                else:
                    held.append(possession)
                _say(arguments, possession, "gone" if possession.is_gone else "possessed", possession.frozen_ns)
        if held and not arguments.detach:
            _wait(arguments.length_s)
    except KeyboardInterrupt:
        pass
    finally:
        if not arguments.detach:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C does not keep anyone from being released
            code = max([code, *(_release(arguments, possession) for possession in held)])
    return code


def _release(arguments: argparse.Namespace, possession: Possession) -> int:
    try:
        possession.release()
    except Vanished:
        print(f"eudaemon: {possession.pid}: it has ended meanwhile", file=sys.stderr)
    except PossessionError as error:
        tell(possession.pid, error)
        return FAILED
    else:
        _say(arguments, possession, "gone" if possession.is_gone else "released", possession.released_ns)
    return DONE


def _say(arguments: argparse.Namespace, possession: Possession, verb: str, frozen_ns: int) -> None:
    if arguments.json:
        fact = {"pid": possession.pid, "did": verb, "frozen_ns": frozen_ns, "remarks": possession.remarks}
        print(json.dumps(fact), flush=True)
        return
    print(f"{possession.pid}: {verb}; it stood for {duration(frozen_ns)}", flush=True)
    for remark in possession.remarks:
        print(f"  ! {remark}", flush=True)
    possession.remarks.clear()


def _wait(length_s: float | None) -> None:
    if length_s is None:
        while True:
            signal.pause()
    time.sleep(length_s)


def _stop(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt


def _length_s(text: str) -> float:
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*(ms|s|min|m|h|)", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no length of time: 10s, 5min or 1h")
    return float(found[1]) * _UNITS_S[found[2]]
