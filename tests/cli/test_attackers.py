"""Whom the sensor has met, as its spool tells, is known; what lies in the spool's place does no harm."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from eudaemon.cli import _attackers
from eudaemon.cli._attackers import Attackers
from eudaemon.events import Endpoint, Event, IdSource, to_json
from eudaemon.events.catalogue import SessionOpened
from eudaemon.sensor.settings import SpoolSettings
from eudaemon.sensor.spool import Spool

NOW_S = 1_800_000_000.0


def meet(spool: Spool, ip: str, at_s: float) -> None:
    """Write down a session with an address."""
    ids = IdSource(os.urandom)
    fact, peer, here = SessionOpened("tcp", "telnet"), Endpoint(ip, 4711), Endpoint("192.0.2.1", 23)
    event = Event(ids.new(at_s), at_s, "lab", fact, ids.new(at_s), peer, here)
    spool.append(to_json(event).encode("ascii"))
    spool.written(spool.write(spool.take_pending()))


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    made = Spool(tmp_path / "spool", SpoolSettings(), os.urandom)
    made.open()
    yield made
    made.close()


def has_met(attackers: Attackers, ip: str, hours: float = 1.0) -> bool:
    return attackers.has_met(ipaddress.ip_address(ip), hours, NOW_S)


def test_before_and_after_we_began(spool: Spool, tmp_path: Path) -> None:
    meet(spool, "192.0.2.7", NOW_S - 1800)
    attackers = Attackers(tmp_path / "spool")
    attackers.look(1.0)
    assert has_met(attackers, "192.0.2.7")
    assert not has_met(attackers, "192.0.2.7", 0.4)
    meet(spool, "2001:db8::7", NOW_S - 60)
    attackers.look(1.0 + _attackers.LOOK_S / 2)
    assert not has_met(attackers, "2001:db8::7")
    attackers.look(2.0)
    assert has_met(attackers, "2001:db8::7")


def test_the_sensor_begins_anew_and_forgets(spool: Spool, tmp_path: Path) -> None:
    """A new start is a new segment; a new spool begins with number 0 again."""
    attackers = Attackers(tmp_path / "spool")
    meet(spool, "192.0.2.1", NOW_S)
    meet(spool, "192.0.2.1", NOW_S)
    attackers.look(1.0)
    spool.close()
    again = Spool(tmp_path / "spool", SpoolSettings(), os.urandom)
    again.open()
    meet(again, "192.0.2.2", NOW_S)
    attackers.look(2.0)
    again.close()
    for path in (tmp_path / "spool").iterdir():
        path.unlink()
    afresh = Spool(tmp_path / "spool", SpoolSettings(), os.urandom)
    afresh.open()
    meet(afresh, "192.0.2.3", NOW_S)
    attackers.look(3.0)
    afresh.close()
    assert [has_met(attackers, f"192.0.2.{n}") for n in (1, 2, 3, 4)] == [True, True, True, False]


def test_no_more_are_remembered_than_may_be(spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that were met longest ago go; and one look reads no more events than it may."""
    monkeypatch.setattr(_attackers, "ADDRESSES_MAX", 2)
    monkeypatch.setattr(_attackers, "EVENTS_MAX", 3)
    attackers = Attackers(tmp_path / "spool")
    for n in (1, 2, 1, 3):
        meet(spool, f"192.0.2.{n}", NOW_S)
    attackers.look(1.0)
    assert [has_met(attackers, f"192.0.2.{n}") for n in (1, 2, 3)] == [True, True, False]
    attackers.look(2.0)
    assert [has_met(attackers, f"192.0.2.{n}") for n in (1, 2, 3)] == [True, False, True]
    assert len(attackers) == 2


def test_what_is_no_segment_is_not_followed(tmp_path: Path) -> None:
    attackers = Attackers(tmp_path / "spool")
    attackers.look(1.0)  # there is no sensor
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool" / "0000000000000000.segment").symlink_to("/dev/zero")
    attackers.look(2.0)
    (tmp_path / "spool" / "0000000000000000.segment").unlink()
    os.mkfifo(tmp_path / "spool" / "0000000000000001.segment")
    attackers.look(3.0)
    (tmp_path / "spool" / "0000000000000002.segment").write_bytes(os.urandom(4096))
    attackers.look(4.0)
    assert len(attackers) == 0
