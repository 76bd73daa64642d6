"""An alert as facts for the farm: what happened, in a session of the peer's, and the artefacts that belong to it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace

from eudaemon.events import Endpoint, Event, Fact, IdSource
from eudaemon.events.catalogue import ArtefactKept, ControlHijacked, DownloadWished, SessionClosed, SessionOpened
from eudaemon.evidence.codec import dumps
from eudaemon.evidence.dump import plain
from eudaemon.evidence.model import Culprit, Evidence, Report, Stream

ROOM = "possession"
TEXT_CHARS_MAX = 512
REPORT_BYTES_MAX = 1024 * 1024  # of one that goes to the farm
_SENSOR = "local"  # until the sensor says its own


def events(evidence: Evidence, ids: IdSource, wishes: Sequence[tuple[str, str]] = ()) -> list[Event]:
    """Return the events of an alert; whose sensor they are of is for the sensor to say.

    `wishes` are what it would download: URL and command.

    Where the input came over the Internet they are a session of its own, else facts about the sensor.
    """
    report = evidence.report
    culprit = next(iter(report.culprits), None)
    stream = report.stream(culprit.label) if culprit else None
    attacker = _endpoint(stream.peer) if stream else None
    at_s = report.at_s
    wished = [DownloadWished(url, tool) for url, tool in wishes]
    if attacker is None or stream is None:
        return [Event(ids.new(at_s), at_s, _SENSOR, fact) for fact in [*_facts(evidence, culprit, stream), *wished]]
    session = ids.new(at_s)
    told = [
        SessionOpened(stream.transport or "tcp", ROOM),
        *_facts(evidence, culprit, stream),
        *wished,
        SessionClosed(ROOM, "room", 0.0, stream.received, 0),
    ]
    return [Event(ids.new(at_s), at_s, _SENSOR, fact, session, attacker, _endpoint(stream.local)) for fact in told]


def wished(told: Event, ids: IdSource, wishes: Sequence[tuple[str, str]]) -> list[Event]:
    """Return events of what else it would download, of the same time and peer as one that was told of it already."""
    facts = [DownloadWished(url, tool) for url, tool in wishes]
    return [replace(told, id=ids.new(told.at_s), fact=fact) for fact in facts]


def handed(evidence: Evidence) -> list[bytes]:
    """Return all bytes that are handed on with the events: the artefacts, and the report."""
    report = _report(evidence)
    return [*artefacts(evidence), *([report] if report else [])]


def artefacts(evidence: Evidence) -> list[bytes]:
    """Return the bytes that belong to it: the injected code, and the culprits' input."""
    named = [name for name, _ in _kept(evidence)]
    return [evidence.files[name] for name in named]


def _facts(evidence: Evidence, culprit: Culprit | None, stream: Stream | None) -> Iterator[Fact]:
    report = evidence.report
    hashes = dict(_kept(evidence))
    yield ControlHijacked(
        how=report.kind, process=_text(report.process.name), program=_text(report.process.exe), pid=report.process.pid,
        verdict=report.verdict, alert=report.id, instruction=report.instruction.text,
        source=stream.kind if stream else "", offset=culprit.offset if culprit else 0,
        size=len(culprit.data) if culprit else 0, culprit=hashlib.sha256(culprit.data).hexdigest() if culprit else "",
        code=hashes.get(report.injected.code.file, "") if report.injected else "",
        input=hashes.get(stream.input.file, "") if stream and stream.input else "",
        report=hashlib.sha256(text).hexdigest() if (text := _report(evidence)) else "",
    )  # fmt: skip
    for name, sha256 in hashes.items():
        yield ArtefactKept(sha256, len(evidence.files[name]), "payload", name)


def _report(evidence: Evidence) -> bytes:
    """Return the report for the farm; nothing if it is too large."""
    text = dumps(evidence.report, indent=None).encode("ascii")
    return text if len(text) <= REPORT_BYTES_MAX else b""


def _kept(evidence: Evidence) -> Iterator[tuple[str, str]]:
    """Yield file and SHA-256 of what goes to the farm."""
    for name in _names(evidence.report):
        if data := evidence.files.get(name):
            yield name, hashlib.sha256(data).hexdigest()


def _names(report: Report) -> Iterator[str]:
    if report.injected:
        yield report.injected.code.file
    labels = {culprit.label for culprit in report.culprits}
    for stream in report.streams:
        if stream.label in labels and stream.input:
            yield stream.input.file


def _text(text: str) -> str:
    return plain(text)[:TEXT_CHARS_MAX]


def _endpoint(address: str) -> Endpoint | None:
    host, _, port = address.rpartition(":")
    return Endpoint(host.strip("[]"), int(port)) if host and port.isdecimal() else None
