"""What the commands share that meet alerts: where they lie, how one is kept, and the line that says so."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from eudaemon.app import GeneralSettings, shellcode_bench
from eudaemon.cli._common import add_place
from eudaemon.cli._examining import Examined, Examiner
from eudaemon.cli._possession import say
from eudaemon.events import Event, IdSource
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
    """Keeps alerts as they happen, and has their code examined."""

    def __init__(self, store: Store, inbox: Path, examiner: Examiner | None = None) -> None:
        """Keep in a store; and hand on what is told to the farm, where a sensor of this machine has an inbox."""
        self._store = store
        self._inbox = inbox
        self._examiner = examiner
        self._ids = IdSource(os.urandom)
        self._awaited: dict[str, _Awaited] = {}  # alerts whose code is being examined
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
        name, wished = evidence.report.id, wishes(evidence)
        told = facts.events(evidence, self._ids, wished)
        pieces = facts.artefacts(evidence)
        self._hand_in(name, told, facts.handed(evidence))
        # A possessed process is of this machine's kind; what it was told may hold code for any.
        known = "x86-64" if evidence.report.injected else ""
        asked = [(data, "" if number else known) for number, data in enumerate(pieces)]
        if self._examiner is not None and asked and self._examiner.ask(name, asked):
            self._awaited[name] = _Awaited(evidence.report.process.pid, told[0], frozenset(url for url, _ in wished))
        return line_of(evidence.report, wished, child_of=child_of, as_json=as_json)

    def late(self, *, as_json: bool) -> Iterator[str]:
        """Yield a line for each alert of which it is known by now what its code does."""
        if self._examiner is not None:
            for found in self._examiner.answers():
                yield self._examined(found, as_json=as_json)

    def finish(self, *, as_json: bool) -> Iterator[str]:
        """Yield the lines that are still to come, for `FINISH_S_MAX` at most. Nothing is kept afterwards."""
        if self._examiner is not None:
            for found in self._examiner.finish():
                yield self._examined(found, as_json=as_json)

    def _examined(self, found: Examined, *, as_json: bool) -> str:
        """Hand on what the code would download, which its text did not show, and return the line."""
        about = self._awaited.pop(found.id)
        fresh = [(url, tool) for url, tool in found.downloads if url not in about.wished][:WISHES_MAX]
        if fresh:
            self._hand_in(f"{found.id}_examined", facts.wished(about.told, self._ids, fresh), [])
        if not (found.does or found.downloads):
            return ""
        if as_json:
            downloads = [{"url": url, "tool": tool} for url, tool in found.downloads]
            fact = {"pid": about.pid, "did": "examined", "id": found.id, "does": found.does, "downloads": downloads}
            return json.dumps(fact)
        lines = [f"{about.pid}: the code of alert {found.id}, on an emulated CPU:"]
        lines += [f"  {plain(sentence)}" for sentence in found.does]
        return "\n".join([*lines, *(f"  it would download {plain(url)} ({plain(tool)})" for url, tool in fresh)])

    def _hand_in(self, name: str, told: Sequence[Event], artefacts: Sequence[bytes]) -> None:
        try:
            hand_in(self._inbox, name, told, artefacts)
        except OSError as error:
            say(f"eudaemon: the alert was not handed on in {self._inbox}: {error.strerror}", sys.stderr)


@dataclass(frozen=True, slots=True)
class _Awaited:
    """An alert whose code is being examined: its process, the first that was told of it, and the URLs that were."""

    pid: int
    told: Event
    wished: frozenset[str]


def wishes(evidence: Evidence) -> list[tuple[str, str]]:
    """Return what the text of injected code and culprits' input would download, URL and command, each URL once.

    What stands in it only when it has decoded itself, the examiner finds.
    """
    host = Host.from_seed(Seed(b"alert"))
    found: dict[str, str] = {}
    for data in facts.artefacts(evidence):
        for download in extract(data, host).downloads:
            found.setdefault(download.url, download.tool)
    return list(found.items())[:WISHES_MAX]


def keeper_of(arguments: argparse.Namespace) -> Keeper:
    """Return who keeps alerts in the store of the settings. It may start a process, so that there must be no thread."""
    bench = shellcode_bench(read(arguments.config).part("general", GeneralSettings).farm_uid)
    examiner = None if bench is None else Examiner(bench)
    return Keeper(store_of(arguments), arguments.data / "sensor" / "inbox", examiner)


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
