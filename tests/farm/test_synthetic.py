"""Made-up attacks are repeatable, as many as asked for, and well-formed."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict

import pytest

from eudaemon.events import catalogue as facts
from eudaemon.events import from_json, to_json
from eudaemon.testing.synthetic import Seen, Synthetic
from eudaemon.wire import conversation

END_S = 1_795_487_000.0


def made(count: int, seed: int = 1) -> list[Seen]:
    return list(Synthetic(seed=seed, end_s=END_S, days=2).events(count))


def test_one_seed_makes_one_set_of_events() -> None:
    assert made(500) == made(500)
    assert made(500) != made(500, seed=2)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 999])
def test_there_are_exactly_as_many_as_asked_for(count: int) -> None:
    assert len(made(count)) == count


def test_each_reads_back_as_it_was_and_has_an_id_of_its_own() -> None:
    events = [seen.event for seen in made(2000)]
    assert [from_json(to_json(event)) for event in events[:300]] == [
        from_json(to_json(from_json(to_json(event)))) for event in events[:300]
    ]
    assert len({event.id for event in events}) == len(events)


def test_sessions_are_whole_and_spread_over_the_days() -> None:
    sessions = defaultdict(list)
    for seen in made(5000):
        sessions[seen.event.session].append(seen.event)
    whole = list(sessions.values())[:-1]
    assert all(isinstance(events[0].fact, facts.SessionOpened) for events in whole)
    assert all(isinstance(events[-1].fact, facts.SessionClosed) for events in whole)
    begun = [events[0].at_s for events in whole]
    assert begun == sorted(begun)
    assert END_S - 2 * 86_400 <= begun[0] < END_S - 1.9 * 86_400
    assert END_S - 0.1 * 86_400 < begun[-1] <= END_S


def test_few_make_up_most() -> None:
    countries = Counter(s.attacker.country for s in made(5000) if s.attacker)
    assert sum(count for _, count in countries.most_common(5)) > 0.5 * countries.total()
    assert len(countries) > 25


def test_recordings_are_recordings() -> None:
    kept: dict[str, bytes] = {}

    def keep(data: bytes) -> str:
        kept[hashlib.sha256(data).hexdigest()] = data
        return hashlib.sha256(data).hexdigest()

    closed = [
        s.event.fact
        for s in Synthetic(end_s=END_S, keep=keep).events(800)
        if isinstance(s.event.fact, facts.SessionClosed)
    ]
    for fact in closed:
        if fact.conversation:
            pieces = list(conversation.decode(kept[fact.conversation]))
            assert sum(len(p.data) for p in pieces if p.side == conversation.ATTACKER) == fact.bytes_in
            assert [p.ms for p in pieces] == sorted(p.ms for p in pieces)
    assert len(kept) > 50
