"""The live feed: everybody gets everything, and who is slow is told what was missed."""

from __future__ import annotations

import asyncio
from typing import Any

from eudaemon.events import catalogue as facts
from eudaemon.farm.hub import MISSED, WAITING_MAX, Hub
from eudaemon.farm.store import Row, row_of
from farm.farms import NOW_S, event


def rows(count: int) -> list[Row]:
    return [row_of(event(facts.CommandEntered(f"{n}")), NOW_S) for n in range(count)]


def drained(feed: asyncio.Queue[dict[str, Any]]) -> list[dict[str, Any]]:
    return [feed.get_nowait() for _ in range(feed.qsize())]


async def test_every_follower_gets_every_event_in_order() -> None:
    hub, some = Hub(), rows(3)
    with hub.subscribe() as one, hub.subscribe() as other:
        hub.publish(some)
        assert [row["fields"]["line"] for row in drained(one)] == ["0", "1", "2"]
        assert len(drained(other)) == 3
    hub.publish(some)
    assert one.empty()


async def test_a_slow_follower_misses_some_and_is_told_how_many() -> None:
    hub, more = Hub(), 7
    with hub.subscribe() as feed:
        hub.publish(rows(WAITING_MAX - 1 + more))
        assert feed.qsize() == WAITING_MAX - 1
        feed.get_nowait()
        hub.publish(rows(1))  # no room yet for what was missed and for the event
        feed.get_nowait()
        hub.publish(rows(1))
        seen = drained(feed)
    assert [row["kind"] for row in seen[-2:]] == [MISSED, "command.entered"]
    assert seen[-2]["fields"] == {"events": more + 1}
    assert set(seen[-1]) == set(seen[-2])
    assert len(seen) == WAITING_MAX - 1
