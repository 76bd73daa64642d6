"""Every attack succeeds natively, and harmless talk is answered: only then does an alert say anything."""

from __future__ import annotations

import pytest

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
