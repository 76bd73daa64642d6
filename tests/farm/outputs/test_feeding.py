"""Outputs as part of a farm: from a sensor's upload to the peer, through every kind of trouble."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock, Mock

import httpx
import pytest

from eudaemon.events import Event, Fact
from eudaemon.events import catalogue as facts
from eudaemon.farm.outputs import feeder, formats
from eudaemon.farm.outputs import settings as kinds
from eudaemon.farm.outputs.batch import Batch, Format, Item
from eudaemon.farm.outputs.journal import State
from eudaemon.farm.outputs.peers.services import UrlhausService
from eudaemon.farm.server import Farm
from eudaemon.farm.store.engine import EngineError, QueryTooLargeError
from farm.farms import Uplink, running
from farm.outputs.listeners import Answers, broker, web
from farm.outputs.told import ELF, ELF_SHA256, INFECTION, Told


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeder, "EVERY_S", 0.02)
    monkeypatch.setattr(feeder, "SETTLE_S", 0.0)
    monkeypatch.setattr(feeder, "PAUSE_S_MIN", 0.05)


@pytest.fixture
def server() -> Iterator[Answers]:
    with web() as answers:
        yield answers


def events(*said: Fact) -> list[Event]:
    told = Told()
    told.session(*said)
    return [row.event for row in told.rows]


def state(farm: Farm, name: str = "it") -> State:
    return next(state for state in farm.outputs.states() if state.name == name)


async def until(condition: Callable[[], Any], s_max: float = 10.0) -> None:
    async with asyncio.timeout(s_max):
        while not condition():
            await asyncio.sleep(0.01)


def lines(server: Answers) -> list[dict[str, Any]]:
    return [json.loads(line) for asked in server.asked for line in asked.body.splitlines()]


async def test_the_whole_way_from_a_sensor_to_every_format(tmp_path: Path) -> None:
    made = {name: kinds.Directory(format=name) for name in formats.FORMATS}
    (tmp_path / "outputs" / "samples").mkdir(parents=True)
    (tmp_path / "outputs" / "samples" / ".new-cut").write_bytes(b"a crash left it")
    channels = tuple(channel for channel in kinds.CHANNELS if channel != "dionaea.dcerpcrequests")
    async with broker(list(channels)) as real:
        outputs = {**made, "broker": kinds.Hpfeeds("127.0.0.1", real.port, "eudaemon", "s3cret", channels)}
        async with running(tmp_path, outputs=outputs) as farm, Uplink(farm) as uplink:
            await uplink.put(ELF)
            assert (await uplink.send(events(*INFECTION))).status_code == 200
            said = dict([await real.next() for _ in channels])
            await until(lambda: all(state(farm, name).told for name in made))
    assert set(said) == set(channels)
    assert said["mwbinary.dionaea.sensorunique"] == ELF
    assert json.loads(said["cowrie.sessions"])["hashes"] == [ELF_SHA256]
    home = tmp_path / "outputs"
    assert (home / "samples" / ELF_SHA256).read_bytes() == ELF
    wanted = {"events": 9, "cowrie": 8, "dionaea": 1, "eve": 2, "stix": 1, "misp": 1, "samples": 1}
    for name, count in wanted.items():
        (path,) = (home / name).iterdir()
        assert name not in kinds.LINES or len(path.read_text().splitlines()) >= count, name


async def test_while_a_peer_is_away_its_events_wait_also_through_a_new_start(tmp_path: Path, server: Answers) -> None:
    server.answers[:] = [(503, {}, "not now")]
    outputs = {"it": kinds.Post(server.url), "files": kinds.Directory()}
    async with running(tmp_path, outputs=outputs) as farm, Uplink(farm) as uplink:
        await uplink.send(events(facts.CommandEntered("first")))
        await until(lambda: state(farm).trouble)
        assert state(farm).trouble == "503 not now"
        assert state(farm).waiting == 3
        await until(lambda: state(farm, "files").told == 3)  # who can goes on
        shown = await farm.shown()
        assert "The output it has 3 events to tell, and waits: 503 not now" in str(shown["warnings"])
        assert {one["name"]: one["waiting"] for one in shown["farm"]["outputs"]} == {"it": 3, "files": 0}
    server.asked.clear()
    server.answers[:] = [(503, {}, "not now"), (200, {}, "thanks")]
    async with running(tmp_path, outputs=outputs) as farm, Uplink(farm) as uplink:
        await uplink.send(events(facts.CommandEntered("second")), 3)
        await until(lambda: state(farm).told == 6)
        assert state(farm).trouble == ""
    assert [line["line"] for line in lines(server)[3:] if line["kind"] == "command.entered"] == ["first", "second"]


async def test_who_was_told_how_long_to_wait_waits(
    tmp_path: Path, server: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    pauses: list[float] = []
    later = feeder.Feeder._later
    monkeypatch.setattr(feeder.Feeder, "_later", lambda self, e: pauses.append(later(self, e)) or 0.01)
    refusals: list[tuple[int, dict[str, str], str]] = [(429, {"Retry-After": "77"}, ""), (503, {}, ""), (503, {}, "")]
    server.answers[:] = [*refusals, (200, {}, "")]
    async with running(tmp_path, outputs={"it": kinds.Post(server.url)}) as farm, Uplink(farm) as uplink:
        await uplink.send(events())
        await until(lambda: state(farm).told == 2)
    assert pauses == [77.0, 0.1, 0.2]


async def test_what_a_peer_refuses_for_good_is_counted_and_holds_up_nothing(tmp_path: Path, server: Answers) -> None:
    server.answers[:] = [(400, {}, "no"), (200, {}, "")]
    async with running(tmp_path, outputs={"it": kinds.Post(server.url)}) as farm, Uplink(farm) as uplink:
        await uplink.send(events())
        await until(lambda: state(farm).refused == 2)
        await uplink.send(events(), 2)
        await until(lambda: state(farm).told == 2)
        assert len(server.asked) == 2


async def test_one_report_that_is_refused_costs_no_other(
    tmp_path: Path, server: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setattr(UrlhausService, "pause_s", 0.0)
    server.answers[:] = [(400, {}, "one of these is none"), (200, {}, ""), (400, {}, "this one"), (200, {}, "")]
    urls = [f"http://files{n}.example/x" for n in range(3)]
    done = [facts.DownloadFinished(url, "ok", sha256=ELF_SHA256, size=len(ELF)) for url in urls]
    outputs = {"it": kinds.Urlhaus("k", url=server.url)}
    async with running(tmp_path, outputs=outputs) as farm, Uplink(farm) as uplink:
        await uplink.put(ELF)
        await uplink.send(events(*done))
        await until(lambda: state(farm).told == 2)
        assert state(farm).refused == 1
    sent = [[one["url"] for one in asked.json["submission"]] for asked in server.asked]
    assert sent == [urls, *([url] for url in urls)]


async def test_a_peer_that_never_answers_holds_up_nobody_not_even_the_end(tmp_path: Path, server: Answers) -> None:
    silent = socket.create_server(("127.0.0.1", 0))  # connects, and never answers
    port = silent.getsockname()[1]
    outputs = {"stuck": kinds.Post(f"http://127.0.0.1:{port}/"), "it": kinds.Post(server.url)}
    async with asyncio.timeout(feeder.STOP_S_MAX):
        async with running(tmp_path, outputs=outputs) as farm, Uplink(farm) as uplink:
            for number in range(3):
                assert (await uplink.send(events(), 2 * number)).status_code == 200
            await until(lambda: state(farm).told == 6)
            assert state(farm, "stuck").told == 0
    silent.close()


async def test_sessions_that_are_too_much_together_are_asked_for_one_by_one(caplog: pytest.LogCaptureFixture) -> None:
    """One that is too much by itself is left out, and said to be; or the output would wait for ever."""
    asked: list[int] = []
    ids = [f"01a21837-65b6-7000-a397-{number:012x}" for number in range(feeder.SESSIONS_AT_A_TIME + 1)]

    class Fussy:
        async def query(self, sql: str, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
            asked.append(len(parameters["sessions"]))
            if len(parameters["sessions"]) > 1 or ids[3] in parameters["sessions"]:
                raise QueryTooLargeError
            return [{"session": parameters["sessions"][0]}]

    it = feeder.Feeder("it", Format(lambda _: [], ""), None, None, Fussy(), None, None)  # type: ignore[arg-type]
    it._loop = asyncio.get_running_loop()
    found = await asyncio.to_thread(it.sessions, ids)
    assert [row["session"] for row in found] == [*ids[:3], *ids[4:]]
    assert caplog.text.count(f"session {ids[3]} is too large") == 1
    assert asked == [feeder.SESSIONS_AT_A_TIME, *[1] * (feeder.SESSIONS_AT_A_TIME + 1)]


async def test_while_the_store_does_not_answer_an_entry_waits(
    tmp_path: Path, server: Answers, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(tmp_path, outputs={"it": kinds.Post(server.url, "eve")}) as farm, Uplink(farm) as uplink:
        with monkeypatch.context() as patched:
            patched.setattr(feeder, "whole_sessions", AsyncMock(side_effect=EngineError("busy")))
            await uplink.send(events())
            await until(lambda: state(farm).trouble == "EngineError: busy")
            await asyncio.sleep(0.3)
        await until(lambda: state(farm).told == 1)
        assert (state(farm).faults, state(farm).trouble) == (0, "")
    assert caplog.text.count("busy") == 1, "it is said once, however long it lasts"


async def test_a_fault_of_ours_costs_an_entry_is_told_and_counted(
    tmp_path: Path, server: Answers, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def make(batch: Batch) -> Iterator[Item]:
        if any(isinstance(told.event.fact, facts.CommandEntered) for told in batch.events):
            raise ZeroDivisionError
        yield Item(b"{}")

    monkeypatch.setitem(formats.FORMATS, "events", Format(make, "", lines=True))
    async with running(tmp_path, outputs={"it": kinds.Post(server.url)}) as farm, Uplink(farm) as uplink:
        await uplink.send(events(facts.CommandEntered("x")))
        await until(lambda: state(farm).faults == 1)
        await uplink.send(events(), 3)
        await until(lambda: state(farm).told == 1)
    assert "please report it" in caplog.text
    assert "ZeroDivisionError" in caplog.text


async def test_what_was_reported_is_not_reported_again(tmp_path: Path, server: Answers) -> None:
    server.answers[:] = [(200, {}, '{"query_status": "inserted"}')]
    outputs: dict[str, Any] = {
        "bazaar": kinds.MalwareBazaar("k", url=server.url), "abuse": kinds.AbuseIpdb("k", server.url),
        "haus": kinds.Urlhaus("k", url=server.url),
    }  # fmt: skip
    for start in range(2):  # also after a new start
        async with running(tmp_path, outputs=outputs) as farm, Uplink(farm) as uplink:
            await uplink.put(ELF)
            for number in range(2):
                await uplink.send(events(*INFECTION), 18 * start + 9 * number)
                await farm.store.settle()
                await until(lambda: all(one.waiting == 0 for one in farm.outputs.states()))
            await until(lambda: [one.told for one in farm.outputs.states()] == [1, 1, 1])
    assert len(server.asked) == 3


async def test_when_too_much_waits_the_oldest_is_dropped_and_the_newest_is_told(
    tmp_path: Path, server: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answers[:] = [(503, {}, "")]
    async with running(tmp_path, outputs={"it": kinds.Post(server.url)}) as farm, Uplink(farm) as uplink:
        assert farm.outputs._journal is not None
        monkeypatch.setattr(farm.outputs._journal, "_bytes_max", 2_000)
        for number in range(4):
            await uplink.send(events(facts.CommandEntered(f"{number}" * 1000)), 3 * number)
            await farm.store.settle()
        assert state(farm).dropped == 9
        server.asked.clear()
        server.answers[:] = [(200, {}, "")]
        await until(lambda: state(farm).told >= 3 and state(farm).waiting == 0)
    # What was under way when it was dropped may have been told all the same; what lay behind it was not.
    entered = [line["line"][0] for line in lines(server) if line["kind"] == "command.entered"]
    assert entered[-1] == "3"
    assert len(entered) <= 2


async def test_an_output_that_is_new_begins_with_what_is_new_and_one_that_is_gone_is_forgotten(
    tmp_path: Path, server: Answers
) -> None:
    send: Callable[[Uplink, int], Awaitable[httpx.Response]] = lambda up, n: up.send(events(), 2 * n)  # noqa: E731
    async with running(tmp_path) as farm, Uplink(farm) as uplink:
        await send(uplink, 0)
        assert not farm.outputs.states()
        assert not (tmp_path / "outgoing.sqlite").exists(), "who has no output pays nothing"
    async with running(tmp_path, outputs={"it": kinds.Post(server.url)}) as farm, Uplink(farm) as uplink:
        await send(uplink, 1)
        await until(lambda: state(farm).told == 2)
    async with running(tmp_path) as farm, Uplink(farm) as uplink:
        await send(uplink, 2)
        assert not farm.outputs.states()
    assert len(server.asked) == 1


async def test_secrets_stand_in_no_log(
    tmp_path: Path, server: Answers, caplog: pytest.LogCaptureFixture
) -> None:  # fmt: skip
    caplog.set_level("DEBUG")
    outputs: dict[str, Any] = {
        "post": kinds.Post(server.url, authorization="Bearer 0penSesame"), "misp": kinds.Misp(server.url, "0penSesame"),
        "feeds": kinds.Hpfeeds("127.0.0.1", 1, "eudaemon", "0penSesame", tls=True),
        "bucket": kinds.Bucket("s3://out", endpoint=server.url, access_key_id="a", secret_access_key="0penSesame"),
    }  # fmt: skip
    server.answers[:] = [(500, {}, "")]
    async with running(tmp_path, outputs=outputs) as farm, Uplink(farm) as uplink:
        await uplink.put(ELF)
        await uplink.send(events(*INFECTION))
        await until(lambda: all(one.trouble for one in farm.outputs.states()))
    assert "0penSesame" not in caplog.text
    assert "0penSesame" not in repr(outputs)
    assert b"0penSesame" not in (tmp_path / "outgoing.sqlite").read_bytes()


async def test_what_is_too_much_at_once_is_told_in_parts_and_of_what_is_refused_the_others_count_as_told(
    tmp_path: Path, server: Answers
) -> None:
    server.answers[:] = [(413, {}, ""), (413, {}, ""), (200, {}, ""), (413, {}, ""), (200, {}, "")]
    items = [{"create": {"status": status}} for status in (201, 400, 409, 201)]
    with web() as elastic:
        elastic.answers[:] = [(200, {}, json.dumps({"items": items}))]
        outputs = {"it": kinds.Post(server.url), "documents": kinds.Elasticsearch(elastic.url)}
        async with running(tmp_path, outputs=outputs) as farm, Uplink(farm) as uplink:
            await uplink.send(events(facts.CommandEntered("x"), facts.CommandEntered("y")))
            for name in outputs:
                await until(lambda name=name: state(farm, name).told + state(farm, name).refused == 4)  # type: ignore[misc]
                assert (state(farm, name).told, state(farm, name).refused) == (3, 1), name
    assert [len(asked.body.splitlines()) for asked in server.asked] == [4, 2, 1, 1, 2]
    assert len(elastic.asked) == 1


async def test_notices_are_told_together_and_once_and_a_secret_that_comes_back_is_not_logged(
    tmp_path: Path, server: Answers, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("DEBUG")
    clock = Mock(return_value=1000.0)
    monkeypatch.setattr(feeder, "monotonic", clock)
    server.answers[:] = [(500, {}, "no hook /services/0penSesame12"), (200, {}, "ok /services/0penSesame12")]
    outputs = {"it": kinds.Webhook(f"{server.url}/services/0penSesame12", every_s=60)}
    async with running(tmp_path, outputs=outputs) as farm, Uplink(farm) as uplink:
        await uplink.send(events(*INFECTION))
        await until(lambda: state(farm).told == 1)
        for number in range(3):
            await uplink.send(events(facts.CommandEntered("x"), facts.ExploitRecognised(f"e{number}")), 9 + 4 * number)
            await farm.store.settle()
        await asyncio.sleep(0.2)
        assert state(farm).told == 1, "what comes within a minute waits"
        clock.return_value += 60
        await until(lambda: state(farm).told == 4)
        await uplink.send(events(*INFECTION), 21)
        await farm.store.settle()
        clock.return_value += 60
        await until(lambda: state(farm).waiting == 0)
        assert state(farm).told == 4, "the same again is told once an hour"
    assert [asked.json["text"].count("lab: ") for asked in server.asked] == [1, 1, 3]
    assert "no hook /…/…" in caplog.text
    assert "0penSesame" not in caplog.text
    assert b"0penSesame" not in (tmp_path / "outgoing.sqlite").read_bytes()
