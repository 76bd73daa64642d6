"""What is published over hpfeeds: `CHANNELS` says for each channel what its readers expect there."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any

from eudaemon.farm.outputs.batch import Batch, Format, Item, Session, compact
from eudaemon.farm.outputs.formats import cowrie, dionaea

SESSION_CHANNELS = ("dionaea.dcerpcrequests", "cowrie.sessions", "kippo.sessions")
# The rooms that cowrie has too: who reads its channel knows no others.
COWRIES_ROOMS = ("ssh", "telnet")


def published(channels: Collection[str]) -> Format:
    """Return the format for these channels: each item's name is its channel."""

    def make(batch: Batch) -> Iterator[Item]:
        for channel in channels:
            yield from CHANNELS[channel](batch, channel)

    return Format(make, "", whole=any(channel in SESSION_CHANNELS for channel in channels))


def _records(of: Callable[[Batch], Iterator[dict[str, Any]]]) -> Callable[[Batch, str], Iterator[Item]]:
    def make(batch: Batch, channel: str) -> Iterator[Item]:
        for record in of(batch):
            yield Item(compact(record), name=channel)

    return make


def _sessions(of: Callable[[Session], dict[str, Any]]) -> Callable[[Batch, str], Iterator[Item]]:
    def make(batch: Batch, channel: str) -> Iterator[Item]:
        for session in batch.sessions:
            if session.room in COWRIES_ROOMS:
                yield Item(compact(of(session)), name=channel, key=f"{channel} {session.id}")

    return make


def _unique(batch: Batch, channel: str) -> Iterator[Item]:
    """Give a binary when a sensor has it for the first time, as dionaea does."""
    for event, kept in dionaea.brought(batch):
        yield Item(name=channel, key=f"{channel} {event.sensor} {kept.sha256}", sample=kept.sha256)


CHANNELS: dict[str, Callable[[Batch, str], Iterator[Item]]] = {
    "dionaea.connections": _records(dionaea.connections),
    "dionaea.capture": _records(dionaea.captures),
    "dionaea.dcerpcrequests": _records(dionaea.remote_calls),
    "mwbinary.dionaea.sensorunique": _unique,
    "cowrie.sessions": _sessions(cowrie.session_record),
    "kippo.sessions": _sessions(cowrie.session_record),
}
