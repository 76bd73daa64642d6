"""What the commands share that meet alerts: where they lie, how one is kept, and the line that says so."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from eudaemon.cli._common import add_place
from eudaemon.cli._possession import say
from eudaemon.events import IdSource
from eudaemon.evidence import facts, words
from eudaemon.evidence.dump import plain
from eudaemon.evidence.model import Evidence, Report
from eudaemon.evidence.settings import AlertSettings
from eudaemon.evidence.store import Store
from eudaemon.payload.extract import extract
from eudaemon.sensor.inbox import hand_in
from eudaemon.settings import read
from eudaemon.world.host import Host
from eudaemon.world.seed import Seed

WISHES_MAX = 32  # of one alert


def add_store(parser: argparse.ArgumentParser, *, again: bool = False) -> None:
    """Declare where alerts lie: the settings, and where all data lies."""
    add_place(parser, again=again)


def store_of(arguments: argparse.Namespace) -> Store:
    """Return the store that the settings name. Raises `SettingsError`."""
    settings = read(arguments.config).part("alerts", AlertSettings)
    place = settings.place(arguments.data)
    return Store(place, count_max=settings.count_max, bytes_max=settings.bytes_max)


class Keeper:
    """Keeps alerts as they happen."""

    def __init__(self, store: Store, inbox: Path) -> None:
        """Keep in a store; and hand on what is told to the farm, where a sensor of this machine has an inbox."""
        self._store = store
        self._inbox = inbox
        self._ids = IdSource(os.urandom)
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
        wished = wishes(evidence)
        try:
            told = facts.events(evidence, self._ids, wished)
            hand_in(self._inbox, evidence.report.id, told, facts.artefacts(evidence))
        except OSError as error:
            say(f"eudaemon: the alert was not handed on in {self._inbox}: {error.strerror}", sys.stderr)
        return line_of(evidence.report, wished, child_of=child_of, as_json=as_json)


def wishes(evidence: Evidence) -> list[tuple[str, str]]:
    """Return what the injected code and the culprits' input would download, URL and command, each URL once.

    Where something says more of a shellcode than its text does, this is the place to ask it; the farm emulates the
    same bytes, which are handed on, in its own time.
    """
    host = Host.from_seed(Seed(b"alert"))
    found: dict[str, str] = {}
    for data in facts.artefacts(evidence):
        for download in extract(data, host).downloads:
            found.setdefault(download.url, download.tool)
    return list(found.items())[:WISHES_MAX]


def keeper_of(arguments: argparse.Namespace) -> Keeper:
    """Return who keeps alerts in the store of the settings."""
    return Keeper(store_of(arguments), arguments.data / "sensor" / "inbox")


def line_of(report: Report, wished: Sequence[tuple[str, str]] = (), *, child_of: int = 0, as_json: bool) -> str:
    """Return what is said of an alert as it happens."""
    if as_json:
        culprits = [
            {
                "role": one.role,
                "peer": words.peer(report.stream(one.label)),
                "offset": one.offset,
                "bytes": len(one.data),
            }
            for one in report.culprits
        ]
        more: dict[str, object] = {"child_of": child_of} if child_of else {}
        more["downloads"] = [{"url": url, "tool": tool} for url, tool in wished]
        fact = {"pid": report.process.pid, "did": "alert", "id": report.id, "kind": report.kind}
        return json.dumps({**fact, "verdict": report.verdict, "in_time": report.in_time, "culprits": culprits, **more})
    child = f", a child of {child_of}" if child_of else ""
    lines = [f"{report.process.pid}: ALERT: {plain(report.process.name)}{child}: {report.words}"]
    lines += [f"  {words.culprit(report, one)}" for one in report.culprits]
    if not report.culprits and (origin := words.origin(report)):
        lines.append(f"  its tags say that it came from {origin}")
    lines += [f"  it would download {plain(url)} ({plain(tool)})" for url, tool in wished]
    lines += [f"  {words.answer(report)}", f"  → eudaemon alert show {report.id}"]
    return "\n".join(lines)
