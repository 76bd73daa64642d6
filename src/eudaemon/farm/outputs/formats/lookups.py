"""Samples to ask others about: by their hash alone, unless the settings say that unknown ones are handed over."""

from __future__ import annotations

from collections.abc import Iterator

from eudaemon.events import catalogue as facts
from eudaemon.farm.outputs.batch import BROUGHT, Batch, Format, Item

AGAIN_S = 86_400.0  # what is brought again is asked for again, after a day at the earliest


def lookups(*, submit: bool) -> Format:
    """Return the format; with `submit` each item has the sample's bytes, for who does not know it."""

    def make(batch: Batch) -> Iterator[Item]:
        for told in batch.events:
            fact = told.event.fact
            if isinstance(fact, facts.ArtefactKept) and fact.origin in BROUGHT and not fact.partial:
                bytes_of = fact.sha256 if submit else ""
                yield Item(name=fact.sha256, key=f"asked {fact.sha256}", kept_s=AGAIN_S, sample=bytes_of)

    return Format(make, "")
