"""`eudaemon possess PID…`: move running processes into the engine, and let them go again."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import re
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

from eudaemon.cli import ALERTED, DONE, FAILED, WRONG_USE
from eudaemon.cli._alerts import Keeper, add_store, keeper_of
from eudaemon.cli._possession import add_pids, fact, release_children, say, tell
from eudaemon.cli._stops import Stops, held_back
from eudaemon.evidence.model import Evidence
from eudaemon.possession import MODES, VERDICTS, Possession, PossessionError, Taint, Vanished, adopt, possess
from eudaemon.possession.abi import Abi
from eudaemon.possession.engine import load_engine
from eudaemon.possession.listening import POLL_S, Listener
from eudaemon.possession.maps import read_maps
from eudaemon.possession.status import Family, Program, family_of, fate_of, program_of, status_of

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
_LOOK_S = 0.5  # how often it is looked whether they are possessed still
_FATES = {
    "ended": "has ended",
    "executed": "has executed another program",
    "released": "was released by somebody else",
}


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
            vigil = _Vigil(load_engine().abi, keeper, as_json=arguments.json)
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


@dataclass(frozen=True, slots=True)
class _Held:
    possession: Possession
    program: Program
    family: Family
    listener: Listener | None = None


class _Vigil:
    """The processes that this command has possessed, until it has released them. Nothing in it is interrupted."""

    def __init__(self, abi: Abi, keeper: Keeper | None, *, as_json: bool) -> None:
        self.code = DONE
        self.is_heard = True
        self._keeper = keeper
        self._abi = abi
        self._as_json = as_json
        self._held: list[_Held] = []
        self._lost: list[_Held] = []  # gone from us, but their children may be possessed

    def possess(self, pid: int, mode: str, taint: Taint | None, *, is_to_stay: bool) -> str:
        """Possess a process; return what is to be said about it."""
        try:
            program = program_of(pid)
            possession = possess(pid, mode=mode, taint=taint)
            status = None if possession.is_gone else status_of(pid, self._abi)
            listener = possession.listener() if taint and status and not is_to_stay else None
        except PossessionError as error:
            tell(pid, error)
            self.code = FAILED
            return ""
        if status is None:
            return self._lost_line(pid, fate_of(pid, program))
        self._held.append(_Held(possession, program, family_of(status), listener))
        line = fact(pid, "possessed", possession.frozen_ns, possession.remarks, as_json=self._as_json)
        possession.remarks.clear()
        return line

    def say(self, line: str) -> None:
        """Say a line, if it is one, and note whether anybody hears it."""
        self.is_heard = (not line or say(line)) and self.is_heard

    def wait(self, stops: Stops, length_s: float | None) -> None:
        """Wait for the end: a signal, the time, that nobody is left or that nobody reads what we say."""
        until_s = math.inf if length_s is None else time.monotonic() + length_s
        pause_s = POLL_S if self._keeper else _LOOK_S
        look_s = 0.0
        while self._held and self.is_heard and (left_s := until_s - time.monotonic()) > 0:
            if stops.within(min(left_s, pause_s)):
                return
            self.listen()
            if time.monotonic() < look_s:
                continue
            look_s = time.monotonic() + _LOOK_S
            for held in [held for held in self._held if self._is_lost(held)]:
                self._lose(held)
                self.say(self._lost_line(held.possession.pid, fate_of(held.possession.pid, held.program)))

    def listen(self) -> None:
        """Hear of alerts, keep them, say so."""
        for held in list(self._held):
            if held.listener is None:
                continue
            for evidence in held.listener.poll():
                self._alert(held, evidence)
            for remark in held.listener.remarks:
                self.say(json.dumps({"pid": held.possession.pid, "did": "remarked", "remarks": [remark]})
                         if self._as_json else f"{held.possession.pid}:\n  ! {remark}")  # fmt: skip
            held.listener.remarks.clear()

    def _alert(self, held: _Held, evidence: Evidence) -> None:
        report, own = evidence.report, held.possession.pid
        self._keep(held, evidence)
        if report.verdict != "release":
            return
        if report.process.pid == own:
            self._lose(held)
            for line in self._released(held):
                self.say(line)
            return
        try:
            adopt(report.process.pid).release()
        except PossessionError as error:
            tell(report.process.pid, error)

    def _keep(self, held: _Held, evidence: Evidence) -> None:
        own = held.possession.pid
        if self._keeper is not None:
            child_of = 0 if evidence.report.process.pid == own else own
            self.say(self._keeper.keep(evidence, child_of=child_of, as_json=self._as_json))

    def _lose(self, held: _Held) -> None:
        if held in self._held:
            self._held.remove(held)
            self._lost.append(held)
        if held.listener:
            held.listener.close()

    def release(self) -> None:
        """Release all, and the children that were forked meanwhile; only then say so, for that may fail."""
        self.listen()
        lines: list[str] = []
        for held in list(self._held):
            lines += self._released(held)
        for held in [*self._held, *self._lost]:
            more, are_free = release_children(held.possession.pid, held.family, self._abi, as_json=self._as_json)
            lines += more
            if not are_free:
                self.code = FAILED
        for line in lines:
            self.say(line)

    def _released(self, held: _Held) -> Iterator[str]:
        possession = held.possession
        late: list[Evidence] = []  # what happened since we looked last
        if listener := held.listener:
            possession.last_look = lambda: late.extend(listener.poll())
        try:
            possession.release()
        except Vanished:
            possession.is_gone = True
        except PossessionError as error:
            tell(possession.pid, error)
            self.code = FAILED
            return
        for evidence in late:
            self._keep(held, evidence)
        if possession.is_gone:
            yield self._lost_line(possession.pid, fate_of(possession.pid, held.program))
        else:
            spent = possession.released_ns, possession.remarks
            yield fact(possession.pid, "released", *spent, as_json=self._as_json)

    def _is_lost(self, held: _Held) -> bool:
        pid = held.possession.pid
        try:
            status = status_of(pid, self._abi)
        except Vanished:
            return True
        except PossessionError:
            return False  # it is changing just now: the next look tells
        if status is not None:
            return status.possessed_at_ns != held.family.since_ns
        try:
            return program_of(pid) != held.program or bool(read_maps(pid))  # no memory: only its first thread has ended
        except Vanished:
            return True

    def _lost_line(self, pid: int, fate: str) -> str:
        self.code = FAILED
        if self._as_json:
            return fact(pid, "gone", 0, [], as_json=True, why=fate)
        return f"{pid}: {_FATES[fate]}; nothing is left to release"


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
