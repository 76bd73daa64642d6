"""Delivery over real TLS to a farm with moods: everything once, artefacts first, nothing given up."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
from dataclasses import replace
from pathlib import Path

import pytest

from sensor.farm import farm
from sensor.harness import events, free_port, running


async def test_all_that_was_seen_arrives_with_what_it_names(tmp_path: Path) -> None:
    big = os.urandom(300_000)
    async with farm(tmp_path) as (it, uplink), running(tmp_path, uplink=uplink) as sensor:
        await sensor.say(b"keep sample")
        await sensor.say(b"keep " + big)
        await it.until("session.closed", 2)
    assert it.missing == []
    assert it.events("sensor.stopped")  # the last delivery, at the end
    kept = [event["sha256"] for event in it.events("artefact.kept")]
    assert it.artefacts[kept[0]] == b"sample"
    assert 1000 < len(it.artefacts[kept[1]]) == it.events("artefact.kept")[1]["size"]
    assert big.startswith(it.artefacts[kept[1]])  # what one reading of the socket brought
    for closed in it.events("session.closed"):
        assert it.artefacts[closed["conversation"]].startswith(b"EUDCONV1")
    assert it.duplicates == 0
    assert [p.name for p in (tmp_path / "artefacts").iterdir()] == []  # the farm has them
    assert events(tmp_path) == [] or it.marks == {(tmp_path / "spool" / "id").read_text(): len(it.lines)}


async def test_artefacts_can_be_kept_here_too(tmp_path: Path) -> None:
    async with farm(tmp_path) as (it, uplink), running(tmp_path, uplink=uplink, capture_keep_artefacts=True) as sensor:
        await sensor.say(b"keep sample")
        await it.until("session.closed")
    assert [p.read_bytes() for p in (tmp_path / "artefacts").iterdir()] == [b"sample"]


async def test_what_the_farm_has_is_not_sent_again(tmp_path: Path) -> None:
    async with farm(tmp_path) as (it, uplink), running(tmp_path, uplink=uplink) as sensor:
        it.artefacts[hashlib.sha256(b"sample").hexdigest()] = b"sample"
        await sensor.say(b"keep sample")
        await it.until("session.closed")
    assert it.log.count(("HEAD", 200)) == 1
    assert it.log.count(("PUT", 201)) == 1  # the conversation


async def test_a_farm_that_is_away_and_comes_back(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    port = free_port()
    async with farm(tmp_path) as (_, known):
        pass
    uplink = replace(known, url=f"https://127.0.0.1:{port}")
    async with running(tmp_path, uplink=uplink) as sensor:
        await sensor.say(b"keep while away")
        await asyncio.sleep(0.5)
        async with farm(tmp_path, port) as (it, _):
            await it.until("session.closed")
            await sensor.say(b"keep when back")
            await it.until("session.closed", 2)
        await sensor.say(b"keep when away again")
    assert it.missing == []
    assert caplog.text.count("the farm takes nothing") >= 1
    assert "the farm takes events again" in caplog.text
    assert len(events(tmp_path, "session.closed")) >= 1  # the last one waits here for the next start
    async with farm(tmp_path, port) as (again, _):
        again.marks.update(it.marks)
        async with running(tmp_path, uplink=uplink):
            await again.until("session.closed")
    ids = [json.loads(line)["id"] for line in it.lines + again.lines]
    assert len(ids) == len(set(ids))  # an answer may have been lost with the farm; what it had is skipped


@pytest.mark.parametrize("moods", [[503], [500, 502, 507], [429], [401], [302]])
async def test_what_is_no_yes_is_asked_again(moods: list[int], tmp_path: Path) -> None:
    async with farm(tmp_path) as (it, uplink):
        it.moods = list(moods)
        async with running(tmp_path, uplink=uplink) as sensor:
            await sensor.say(b"keep sample")
            await it.until("session.closed")
    assert it.missing == []
    assert it.duplicates == 0


async def test_a_connection_that_breaks_at_every_request(tmp_path: Path) -> None:
    """However often it breaks, and wherever: everything arrives, nothing counts twice."""
    async with farm(tmp_path) as (it, uplink), running(tmp_path, uplink=uplink) as sensor:
        for number in range(12):
            it.hangs_up_after = number % 4
            await sensor.say(b"keep %d" % number)
            await asyncio.sleep(0.03)
        it.hangs_up_after = None
        await it.until("session.closed", 12)
    assert it.missing == []
    assert sorted(event["size"] for event in it.events("artefact.kept")) == [1] * 10 + [2] * 2


async def test_the_event_that_is_refused_is_found_and_set_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with farm(tmp_path) as (it, uplink):
        it.refuses = b'"name":"/tmp/x"'
        it.moods = [503] * 3  # so that more than one event waits
        async with running(tmp_path, uplink=uplink) as sensor:
            await sensor.say(b"before")
            await sensor.say(b"keep this is refused")
            await sensor.say(b"after")
            await it.until("session.closed", 3)
    assert len(it.events("session.opened")) == 3
    assert it.events("artefact.kept") == []
    assert (tmp_path / "spool" / "rejected").read_bytes().count(b'"name":"/tmp/x"') == 1
    assert "is set aside: no event" in caplog.text


async def test_a_farm_that_refuses_everything_makes_nobody_throw_anything_away(tmp_path: Path) -> None:
    async with farm(tmp_path) as (it, uplink):
        it.refuses_all = True
        async with running(tmp_path, uplink=replace(uplink, backoff_s_max=0.5)) as sensor:
            await sensor.say(b"x")
            async with asyncio.timeout(8):
                while it.refused_empty < 2:
                    await asyncio.sleep(0.01)
            it.refuses_all = False
            await it.until("session.closed")
    assert not (tmp_path / "spool" / "rejected").exists()
    assert len(it.events("session.opened")) == 1


async def test_another_server_s_certificate_gets_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with farm(tmp_path) as (it, uplink):
        wrong = replace(uplink, fingerprint="0" * 64)
        async with running(tmp_path, uplink=wrong) as sensor:
            await sensor.say(b"x")
            await asyncio.sleep(0.3)
    assert not it.requests
    assert "its certificate is not the one" in caplog.text


async def test_health_is_told_also_when_nothing_happens(tmp_path: Path) -> None:
    async with farm(tmp_path) as (it, uplink), running(tmp_path, uplink=replace(uplink, heartbeat_s=0.1)) as sensor:
        async with asyncio.timeout(5):
            while len(it.healths) < 4:
                await asyncio.sleep(0.02)
        assert sensor.sensor.health()["sessions_total"] == 0
    health = it.healths[-1]
    assert health["capture"] == health["spool"] == "ok"
    assert health["rss_bytes"] > 1_000_000
    assert health["listening"] == [f"echo tcp 127.0.0.1:{sensor.port}"]
    assert it.duplicates == 0


async def test_retry_after_is_honoured(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with farm(tmp_path) as (it, uplink):
        it.moods, it.headers = [429], "Retry-After: 1\r\n"
        with caplog.at_level(logging.WARNING):
            async with running(tmp_path, uplink=replace(uplink, backoff_s_max=10.0)):
                await it.until("sensor.started")
    assert it.log[0] == ("POST", 429)
    assert "a mood" in caplog.text
