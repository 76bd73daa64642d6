"""A batch as a sensor uploads it: read, checked line by line, made into rows. Nothing of it is believed.

{"spool":"<32 hexadecimal digits>","first":17,"count":2,"health":{…}}      line 1
{"v":1,"id":…}                                                            lines 2 and 3: events
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from eudaemon.events import CodecError, from_json
from eudaemon.events import catalogue as facts
from eudaemon.farm.fleet import HEALTH_BYTES_MAX
from eudaemon.farm.geo import NOWHERE, Place
from eudaemon.farm.settings import Intake
from eudaemon.farm.store.queue import SEQUENCE_MAX
from eudaemon.farm.store.schema import Row, RowError, row_of

_SPOOL = re.compile(r"[0-9a-f]{32}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class BatchError(ValueError):
    """A batch that is refused whole. `line` counts from 1."""

    def __init__(self, line: int, what: str, status: int = 400) -> None:
        super().__init__(what)
        self.line, self.status = line, status


@dataclass(slots=True)
class Uploaded:
    """What a batch holds."""

    spool: str
    first: int
    health: dict[str, Any] | None
    rows: list[Row] = field(default_factory=list)
    samples: set[str] = field(default_factory=set)  # artefacts that its events name
    payloads: set[str] = field(default_factory=set)  # of these the raw ones, which may be code
    conversations: set[str] = field(default_factory=set)
    session_s: float | None = None  # when the newest session in it was opened


def read_batch(body: bytes, sensor: str, received_s: float, limits: Intake, locate: Callable[[str], Place]) -> Uploaded:
    """Read a batch of `sensor`. Raises `BatchError`."""
    lines = body.split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    if not lines:
        raise BatchError(1, "empty")
    uploaded, count = _header(lines[0])
    if count != len(lines) - 1:
        raise BatchError(1, f"count is {str(count)[:20]}, but {len(lines) - 1} events follow")
    if count > limits.batch_events_max:
        raise BatchError(1, f"more than {limits.batch_events_max} events", 413)
    for number, line in enumerate(lines[1:], 2):
        if len(line) > limits.line_bytes_max:
            raise BatchError(number, f"longer than {limits.line_bytes_max} bytes", 413)
        try:
            event = from_json(line)
            place = locate(event.attacker.ip) if event.attacker else NOWHERE
            row = row_of(event, received_s, place)
        except (CodecError, RowError) as error:
            raise BatchError(number, str(error)) from None
        if event.sensor != sensor:
            raise BatchError(number, f"the event is of sensor {event.sensor[:80]!r}", 403)
        uploaded.rows.append(row)
        _note(uploaded, row)
    return uploaded


def _header(line: bytes) -> tuple[Uploaded, object]:
    if len(line) > HEALTH_BYTES_MAX:
        raise BatchError(1, f"longer than {HEALTH_BYTES_MAX} bytes", 413)
    try:
        header = json.loads(line)
        json.dumps(header, allow_nan=False)
    except (ValueError, RecursionError):
        raise BatchError(1, "no JSON") from None
    if not isinstance(header, dict):
        raise BatchError(1, "no JSON object")
    spool, first, health = header.get("spool"), header.get("first"), header.get("health")
    if not isinstance(spool, str) or not _SPOOL.fullmatch(spool):
        raise BatchError(1, "spool is not 32 hexadecimal digits")
    if type(first) is not int or not 0 <= first < SEQUENCE_MAX:
        raise BatchError(1, f"first is no number from 0 to {SEQUENCE_MAX - 1}")
    if health is not None and not isinstance(health, dict):
        raise BatchError(1, "health is no object")
    return Uploaded(spool, first, health), header.get("count")


def _note(uploaded: Uploaded, row: Row) -> None:
    fact = row.event.fact
    if isinstance(fact, facts.SessionOpened):
        uploaded.session_s = max(uploaded.session_s or 0.0, row.event.at_s)
    elif isinstance(fact, facts.ArtefactKept | facts.DownloadFinished):
        if _SHA256.fullmatch(fact.sha256):
            uploaded.samples.add(fact.sha256)
            if isinstance(fact, facts.ArtefactKept) and fact.origin == "payload":
                uploaded.payloads.add(fact.sha256)
    elif isinstance(fact, facts.SessionClosed) and _SHA256.fullmatch(fact.conversation):
        uploaded.conversations.add(fact.conversation)
    elif isinstance(fact, facts.ControlHijacked) and _SHA256.fullmatch(fact.report):
        uploaded.conversations.add(fact.report)  # kept as long as they are
