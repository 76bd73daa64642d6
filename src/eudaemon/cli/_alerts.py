"""What the commands share that meet alerts: where they lie, how one is kept, and the line that says so."""

from __future__ import annotations

import argparse
import json
import sys

from eudaemon.cli._common import add_place
from eudaemon.cli._possession import say
from eudaemon.evidence.model import Culprit, Evidence, Report
from eudaemon.evidence.settings import AlertSettings
from eudaemon.evidence.store import Store
from eudaemon.settings import read

ANSWERS = {
    "observe": "it went on, as it was told to",
    "contain": "the thread has been ended",
    "kill": "the process has been ended",
    "release": "the thread has been ended, the process let go",
}


def add_store(parser: argparse.ArgumentParser) -> None:
    """Declare where alerts lie: the settings, and where all data lies."""
    add_place(parser)


def store_of(arguments: argparse.Namespace) -> Store:
    """Return the store that the settings name. Raises `SettingsError`."""
    settings = read(arguments.config).part("alerts", AlertSettings)
    place = settings.place(arguments.data)
    return Store(place, count_max=settings.count_max, bytes_max=settings.bytes_max)


class Keeper:
    """Keeps alerts as they happen."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.kept = 0

    def has(self, evidence: Evidence) -> bool:
        """Whether an alert is kept already, by whoever has listened before."""
        return evidence.report.id in self._store.ids()

    def keep(self, evidence: Evidence, *, child_of: int = 0, as_json: bool) -> str:
        """Keep an alert; return the line about it. What could not be kept is said on standard error."""
        try:
            self.kept += 1
            dropped = self._store.keep(evidence)
        except OSError as error:
            say(f"eudaemon: the alert could not be kept in {self._store.folder}: {error.strerror}", sys.stderr)
        else:
            if dropped:
                say(f"eudaemon: {dropped} of the oldest alerts were dropped, for there were too many", sys.stderr)
        return line_of(evidence.report, child_of=child_of, as_json=as_json)


def keeper_of(arguments: argparse.Namespace) -> Keeper:
    """Return who keeps alerts in the store of the settings."""
    return Keeper(store_of(arguments))


def line_of(report: Report, *, child_of: int = 0, as_json: bool) -> str:
    """Return what is said of an alert as it happens."""
    if as_json:
        culprits = [
            {"role": one.role, "peer": _peer(report, one), "offset": one.offset, "bytes": len(one.data)}
            for one in report.culprits
        ]
        more = {"child_of": child_of} if child_of else {}
        fact = {"pid": report.process.pid, "did": "alert", "id": report.id, "kind": report.kind}
        return json.dumps({**fact, "verdict": report.verdict, "in_time": report.in_time, "culprits": culprits, **more})
    child = f", a child of {child_of}," if child_of else ""
    late = "" if report.in_time else " (by the engine, for nobody had answered in time)"
    lines = [f"{report.process.pid}: ALERT: {report.process.name}{child}: {report.words}"]
    lines += [f"  {sentence(report, one)}" for one in report.culprits]
    lines += [f"  {ANSWERS.get(report.verdict, report.verdict)}{late}", f"  → eudaemon alert show {report.id}"]
    return "\n".join(lines)


def sentence(report: Report, one: Culprit) -> str:
    """Return whose bytes they are, in words."""
    what = "the value is" if one.role == "value" else "the code is"
    count = f"{len(one.data)} bytes" if len(one.data) != 1 else "one byte"
    return f"{what} {count} from offset {one.offset} of what came from {_peer(report, one)} ({one.certainty})"


def _peer(report: Report, one: Culprit) -> str:
    stream = report.stream(one.label)
    if stream is None:
        return "an unknown stream"
    return stream.peer or {"stdin": "standard input"}.get(stream.kind, f"descriptor {stream.descriptor}")
