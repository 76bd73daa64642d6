"""`eudaemon possess PID…`: move running processes into the engine, and let them go again."""

from __future__ import annotations

import argparse
import dataclasses
import re
import signal
import sys

from eudaemon.cli import ALERTED, FAILED, WRONG_USE
from eudaemon.cli._alerts import add_store, keeper_of
from eudaemon.cli._possession import add_pids, say
from eudaemon.cli._stops import held_back
from eudaemon.cli._vigil import Vigil
from eudaemon.possession import MODES, VERDICTS, PossessionError, Taint
from eudaemon.possession.engine import load_engine

HELP = """\
Move running processes, with all their threads, into the engine. They go on as before, only watched, until this command
ends by Ctrl-C, by SIGTERM or SIGHUP, or because the time is over: then they run natively again, and nothing of it is
left in them, nor in the children that they have forked. It ends by itself when none of them is possessed any more.

  eudaemon possess $(pidof nginx)               until Ctrl-C
  eudaemon possess 4711 --for 10s               for ten seconds
  eudaemon possess 4711 --detach                and leave it so; later: eudaemon release 4711

With --taint the bytes that come in are followed through memory and registers, and a thread that they are about to take
control of stands still before it happens. That is an alert: it is reported, kept (`eudaemon alert list`), and answered.

  eudaemon possess 4711 --taint inet                                what the Internet's sockets bring
  eudaemon possess 4711 --taint stdin,file:'/srv/in/*.png'          a program that reads files
  eudaemon possess 4711 --taint inet,unix --on-alert kill

The answer (--on-alert): `observe`, it goes on as if nothing were; `contain`, the thread ends where it stands; `kill`,
the process ends; `release`, the thread ends and the process runs natively from then on. With --detach nobody listens:
the engine gives the answer at once, and `eudaemon release` collects what it has noted.

With --json `did` is possessed, released (`child_of`: with whom), gone (`why`: ended, executed, released), or left
(`children`: who stay possessed); or alert (`id`, `kind`, `verdict`, `child_of`, `culprits`: whose bytes, from which
offset of the stream, how many), or remarked (`remarks`).

If this command is killed the processes stay possessed; `eudaemon status` shows them, `eudaemon release` lets them go.
`eudaemon doctor PID` says beforehand whether it will work.
The exit code is 0 if all were possessed and released (or left so, with --detach), 3 if not, 4 if there was an alert
(whatever else there was); 128 and the signal's number
if one came before all were possessed: then those that were are released."""

_UNITS_S = {"ms": 0.001, "s": 1, "min": 60, "m": 60, "h": 3600, "": 1}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_pids(parser)
    how_long = parser.add_mutually_exclusive_group()
    how_long.add_argument(
        "--for",
        type=_length_s,
        dest="length_s",
        metavar="TIME",
        help="how long: 500ms, 10s, 5m, 1h; a bare number is seconds (default: until Ctrl-C)",
    )
    how_long.add_argument("--detach", action="store_true", help="leave them possessed and return")
    parser.add_argument(
        "--mode", choices=MODES, default="none", help="what is added to their code: nothing, or a shadow of memory"
    )
    parser.add_argument(
        "--taint",
        type=_sources,
        metavar="SOURCES",
        help="follow what comes from inet, unix (and pipes), stdin, file:GLOB; several with commas between them",
    )
    parser.add_argument(
        "--on-alert",
        choices=VERDICTS,
        help="what happens when input takes control (default: contain, that is, the thread ends)",
    )
    parser.add_argument(
        "--taint-stores", action="store_true", help="an alert also where input is the address of a store"
    )
    parser.add_argument("--json", action="store_true", help="for machines: one object a line")
    add_store(parser)


def run(arguments: argparse.Namespace) -> int:
    """Possess, wait, release."""
    try:
        taint = _policy(arguments)
    except ValueError as error:
        say(f"eudaemon: {error}", sys.stderr)
        return WRONG_USE
    keeper = keeper_of(arguments) if taint else None
    with held_back() as stops:
        try:
            vigil = Vigil(load_engine().abi, keeper, as_json=arguments.json)
        except PossessionError as error:
            say(f"eudaemon: {error.reason}\n  → {error.do}", sys.stderr)
            return FAILED
        came: signal.Signals | None = None
        is_to_stay = False
        try:
            for pid in dict.fromkeys(arguments.pids):
                line = vigil.possess(pid, arguments.mode, taint, is_to_stay=arguments.detach)
                came = stops.within()  # before it is said: who has read the last line may end us as he likes
                vigil.say(line)
                if came or not (vigil.is_heard or arguments.detach):
                    break
            is_to_stay = arguments.detach and came is None
            if not arguments.detach and came is None:
                vigil.wait(stops, arguments.length_s)
        finally:
            if not is_to_stay:
                vigil.release()
    if came is not None:
        say(f"eudaemon: {came.name} came while they were being possessed, which has been undone", sys.stderr)
        return 128 + came
    if keeper and keeper.kept:
        return ALERTED
    return vigil.code if vigil.is_heard else FAILED


def _sources(text: str) -> Taint:
    try:
        return Taint.of(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _policy(arguments: argparse.Namespace) -> Taint | None:
    """Return what is asked of taint analysis. Raises `ValueError` where that does not fit together."""
    taint: Taint | None = arguments.taint
    if taint is None:
        if arguments.on_alert or arguments.taint_stores:
            raise ValueError("--on-alert and --taint-stores belong to --taint SOURCES, as in --taint inet")
        return None
    if arguments.mode != "none":
        raise ValueError("--taint is a mode of its own: leave --mode away")
    if arguments.detach and arguments.on_alert == "release":
        raise ValueError("--on-alert release needs somebody who listens: leave --detach away")
    return dataclasses.replace(
        taint, on_alert=arguments.on_alert or taint.on_alert, stores=arguments.taint_stores,
        patience_ms=0 if arguments.detach else taint.patience_ms,
    )  # fmt: skip


def _length_s(text: str) -> float:
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*(ms|s|min|m|h|)", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no length of time: 10s, 5min or 1h")
    return float(found[1]) * _UNITS_S[found[2]]
