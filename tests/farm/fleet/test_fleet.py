"""Sensors: admission, revocation, and each verdict at its limit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from eudaemon.farm.fleet import Fleet, FleetError
from eudaemon.farm.settings import FleetSettings

SETTINGS = FleetSettings(silent_s=60.0, quiet_s=3_600.0, clock_off_s=120.0)


class Clock:
    """A clock that stands until it is set."""

    now_s = 1_000_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def fleet(tmp_path: Path, clock: Clock) -> Fleet:
    return Fleet(tmp_path / "fleet.sqlite", SETTINGS, clock=clock)


def heard(fleet: Fleet, health: dict[str, Any] | None = None, *, off_s: float = 0.0, session: bool = True) -> None:
    fleet.heard("lab", health or {}, session_s=fleet._clock() if session else None, clock_off_s=off_s)


def verdicts(fleet: Fleet) -> str:
    return "; ".join(fleet.sensors()[0].verdicts)


def test_a_secret_is_good_for_its_sensor_alone_and_kept_only_as_a_hash(fleet: Fleet, tmp_path: Path) -> None:
    secret, other = fleet.enrol("lab"), fleet.enrol("other")
    assert len(secret) == 64
    assert fleet.is_admitted("lab", secret)
    assert not fleet.is_admitted("lab", other)
    assert not fleet.is_admitted("lab", secret.upper())
    assert not fleet.is_admitted("nobody", secret)
    assert not fleet.is_admitted("lab", "")
    assert not fleet.is_admitted("lab", "\ud800")
    assert not any(secret.encode() in p.read_bytes() for p in tmp_path.iterdir())


def test_a_new_secret_replaces_the_old_one_and_revocation_ends_both(fleet: Fleet) -> None:
    old, new = fleet.enrol("lab"), fleet.enrol("lab")
    assert not fleet.is_admitted("lab", old)
    assert fleet.is_admitted("lab", new)
    assert fleet.revoke("lab")
    assert not fleet.revoke("lab")
    assert not fleet.is_admitted("lab", new)
    assert fleet.sensors() == []
    assert fleet.is_admitted("lab", fleet.enrol("lab"))


@pytest.mark.parametrize("name", ["", "farm", "a b", "-x", "x" * 65, "ü", "a/b", "a\n"])
def test_names_that_are_none_are_refused(fleet: Fleet, name: str) -> None:
    with pytest.raises(FleetError, match="no name"):
        fleet.enrol(name)


def test_a_short_secret_is_refused(fleet: Fleet) -> None:
    with pytest.raises(FleetError, match="at least 64"):
        fleet.admit("lab", "short")


def test_another_process_sees_the_same_fleet(fleet: Fleet, tmp_path: Path) -> None:
    secret = fleet.enrol("lab")
    heard(fleet, {"version": "1"})
    fleet.flush()
    beside = Fleet(tmp_path / "fleet.sqlite", SETTINGS, clock=fleet._clock)
    assert beside.sensors()[0].health == {"version": "1"}
    assert beside.revoke("lab")
    assert not fleet.is_admitted("lab", secret)


def test_never_well_and_silent(fleet: Fleet, clock: Clock) -> None:
    fleet.enrol("lab")
    assert fleet.shown(fleet.sensors()[0])["status"] == "never"
    assert "never reported" in verdicts(fleet)
    heard(fleet)
    assert verdicts(fleet) == ""
    assert fleet.shown(fleet.sensors()[0])["status"] == "well"
    clock.now_s += 60.0
    assert verdicts(fleet) == ""
    clock.now_s += 1.0
    assert "61 seconds" in verdicts(fleet)
    assert fleet.shown(fleet.sensors()[0])["status"] == "silent"


def test_connected_but_sees_nothing(fleet: Fleet, clock: Clock) -> None:
    fleet.enrol("lab")
    clock.now_s += 3_600.0
    heard(fleet, session=False)
    assert verdicts(fleet) == ""
    clock.now_s += 1.0
    heard(fleet, session=False)
    assert "no session" in verdicts(fleet)
    heard(fleet)
    assert verdicts(fleet) == ""


@pytest.mark.parametrize(
    ("health", "word"),
    [
        ({"capture": "disk full"}, "disk full"),
        ({"dropped_events": 3}, "3 events were dropped"),
        ({"spool_bytes": 51, "spool_bytes_max": 100}, "51% full"),
        ({"spool_bytes": 10**30, "spool_bytes_max": 0}, ""),
        ({"listening": []}, "listens nowhere"),
        ({"faults": 2}, "2 sessions ended"),
        ({"capture": "ok", "faults": 0, "dropped_events": 0, "spool_bytes": 50, "spool_bytes_max": 100}, ""),
        ({"capture": 7, "faults": "many", "dropped_events": -1, "spool_bytes": None, "listening": 3}, ""),
        ({"faults": float("nan"), "dropped_events": float("inf")}, ""),
    ],
)
def test_what_a_sensor_says_of_itself_is_judged(fleet: Fleet, health: dict[str, Any], word: str) -> None:
    fleet.enrol("lab")
    heard(fleet, health)
    assert word in verdicts(fleet)
    assert bool(word) == bool(verdicts(fleet))


def test_a_clock_that_is_off(fleet: Fleet) -> None:
    fleet.enrol("lab")
    for off_s, word in ((120.0, ""), (-120.0, ""), (121.0, "ahead"), (-121.0, "behind")):
        heard(fleet, off_s=off_s)
        assert word in verdicts(fleet)
        assert bool(word) == bool(verdicts(fleet))


def test_a_spool_that_grows_at_every_contact(fleet: Fleet) -> None:
    fleet.enrol("lab")
    for events in range(7):
        heard(fleet, {"spool_events": events})
    assert verdicts(fleet) == ""
    heard(fleet, {"spool_events": 7})
    assert "spool grows" in verdicts(fleet)
    heard(fleet, {"spool_events": 7})
    assert verdicts(fleet) == ""
