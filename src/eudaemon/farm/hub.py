"""The live feed: every accepted event goes to whoever follows, at once. In this process, on its loop, nothing kept."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from eudaemon.farm.store.schema import Row

WAITING_MAX = 1_000  # events that may wait for one follower
MISSED = "feed.missed"


class Hub:
    """Hands rows to followers. A slow follower misses some, and is told how many."""

    def __init__(self) -> None:
        self._followers: dict[asyncio.Queue[dict[str, Any]], int] = {}  # -> how many it missed in a row

    @contextmanager
    def subscribe(self) -> Iterator[asyncio.Queue[dict[str, Any]]]:
        """Give a queue of rows as the page shows them, filled for as long as it is entered.

        What did not fit into it is said in one row of the kind `feed.missed` with the field `events`.
        """
        queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue(WAITING_MAX)
        self._followers[queue] = 0
        try:
            yield queue
        finally:
            del self._followers[queue]

    def publish(self, rows: Sequence[Row]) -> None:
        """Hand rows to all followers. Costs nothing while there are none."""
        if not self._followers:
            return
        shown = [row.shown() for row in rows]
        for queue, missed in self._followers.items():
            for row in shown:
                # The last place is kept for saying what was missed.
                if queue.qsize() < WAITING_MAX - (2 if missed else 1):
                    if missed:
                        queue.put_nowait(_told(missed))
                        missed = 0
                    queue.put_nowait(row)
                else:
                    missed += 1
            self._followers[queue] = missed


def _told(missed: int) -> dict[str, Any]:
    time = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {
        "id": "", "time": time, "sensor": "farm", "session": "", "kind": MISSED, "ip": "", "attacker_port": 0,
        "port": 0, "country": "", "asn": 0, "as_name": "", "fields": {"events": missed},
    }  # fmt: skip
