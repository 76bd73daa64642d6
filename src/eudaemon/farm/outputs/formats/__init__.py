"""What is said: `FORMATS` is the table. A format makes items out of a batch of stored events, and asks nobody else."""

from __future__ import annotations

from collections.abc import Iterator

from eudaemon.events import catalogue as facts
from eudaemon.events import to_json
from eudaemon.farm.outputs.batch import BROUGHT, Batch, Format, Item
from eudaemon.farm.outputs.formats import cowrie, dionaea, eve, fail2ban, misp, notices, ocsf, stix

JSON, LINES, BYTES = "application/json", "application/x-ndjson", "application/octet-stream"
TEXT = "text/plain; charset=utf-8"
STIX = "application/stix+json;version=2.1"


def events(batch: Batch) -> Iterator[Item]:
    """Say everything as docs/events.md has it."""
    for told in batch.events:
        yield Item(to_json(told.event).encode("ascii"), at_s=told.event.at_s)


def samples(batch: Batch) -> Iterator[Item]:
    """Give the bytes of what attackers brought, each once, under its SHA-256."""
    for told in batch.events:
        fact = told.event.fact
        if isinstance(fact, facts.ArtefactKept) and fact.origin in BROUGHT and not fact.partial:
            yield Item(name=fact.sha256, key=f"sample {fact.sha256}", sample=fact.sha256)


FORMATS = {
    "events": Format(events, LINES, lines=True),
    "cowrie": Format(cowrie.make, LINES, lines=True),
    "dionaea": Format(dionaea.make, LINES, lines=True, whole=True),
    "eve": Format(eve.make, LINES, lines=True, whole=True),
    "ocsf": Format(ocsf.make, LINES, lines=True),
    "stix": Format(stix.make, STIX, whole=True),
    "misp": Format(misp.make, JSON, whole=True),
    "notices": Format(notices.make, TEXT, lines=True, whole=True, file="%Y-%m-%d.txt"),
    "fail2ban": Format(fail2ban.make, TEXT, lines=True, file="attackers.log"),
    "samples": Format(samples, BYTES),
}
