"""Every attack succeeds natively; possessed, it is caught before its first instruction. Harmless talk is no alert."""

from __future__ import annotations

import pytest

from possession.alarms import watched, why_not
from possession.assault import STATUS, WAYS, assailed
from possession.attacks import ATTACKS, BY_NAME, EACH
from possession.victims import missing

ENDS_S = 20.0

each = pytest.mark.parametrize(("name", "way"), EACH)


def test_names_are_unique() -> None:
    assert len(BY_NAME) == len(ATTACKS)


@each
def test_succeeds_natively(name: str, way: str) -> None:
    attack = BY_NAME[name]
    if reason := missing(attack.victim):
        pytest.skip(reason)
    with assailed(attack.victim, WAYS[way]) as victim:
        talk = victim.conversation()
        for harmless in attack.benign:
            talk.ask(harmless)
        assert not victim.is_hijacked(0)
        talk.send(attack.payload(victim.at))
        assert victim.is_hijacked(ENDS_S)
        if "fork" in way:
            victim.conversation().ask(attack.benign[0])  # only the child is gone
        else:
            assert victim.status() == STATUS


def _cases() -> list[tuple[str, str, str, bool]]:
    """Each attack by each way with what is expected; those that only a tainted store shows under that policy again."""
    found = [(name, way, " ".join(sorted(BY_NAME[name].kinds)), False) for name, way in EACH]
    return found + [(name, way, BY_NAME[name].with_stores, True) for name, way in EACH if BY_NAME[name].with_stores]


@pytest.mark.skipif(bool(why_not()), reason=why_not())
@pytest.mark.parametrize(("name", "way", "kinds", "stores"), _cases())
def test_is_caught_possessed(name: str, way: str, kinds: str, stores: bool) -> None:
    attack = BY_NAME[name]
    if reason := missing(attack.victim):
        pytest.skip(reason)
    with assailed(attack.victim, WAYS[way]) as victim:
        source = WAYS[way].source.format(place=victim.folder)
        for number in range(len(attack.benign) + 1):  # files that are sources are there before they are read
            (victim.folder / f"message-{number + 1}").touch()
        with watched(victim.pid, source, stores=stores) as watch:
            talk = victim.conversation()
            if not stores:  # under that policy, what is stored at an index that a peer names is an alert as well
                for harmless in attack.benign:
                    talk.ask(harmless)
                assert watch.kinds() == [], "harmless talk is an alert"
            talk.send(attack.payload(victim.at))
            if kinds:
                assert watch.first(ENDS_S) in kinds.split()
                assert not victim.is_hijacked(0.1)
                if "fork" in way:
                    victim.conversation().ask(attack.benign[0])  # only the child is gone
            else:  # what the policy says nothing to
                assert victim.is_hijacked(ENDS_S)
                assert watch.kinds() == []
