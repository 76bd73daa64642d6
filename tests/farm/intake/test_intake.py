"""The intake over real TLS: what is taken, what is refused, and that a refusal leaves nothing behind."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from eudaemon.events import Unknown, to_json
from eudaemon.events import catalogue as facts
from eudaemon.farm.server import Farm
from farm.farms import NOW_S, Uplink, body, event, running, settings, sha256

LIMITS = {
    "batch_bytes_max": 64 * 1024, "batch_events_max": 50, "line_bytes_max": 4096, "artefact_bytes_max": 4096,
    "failed_logins_max": 5, "body_s_max": 1.0, "concurrent_max": 3,
}  # fmt: skip
COMMAND = facts.CommandEntered("ls")


@pytest.fixture
async def farm(tmp_path: Path) -> AsyncIterator[Farm]:
    async with running(tmp_path, settings(intake=LIMITS)) as started:
        yield started


@pytest.fixture
async def uplink(farm: Farm) -> AsyncIterator[Uplink]:
    async with Uplink(farm) as connected:
        yield connected


async def stored(farm: Farm) -> int:
    await farm.store.settle()
    count: int = (await farm.store.query("SELECT count() AS n FROM events"))[0]["n"]
    return count


async def test_a_batch_is_taken_and_answered_with_what_is_wanted_next(farm: Farm, uplink: Uplink) -> None:
    answer = await uplink.send([event(COMMAND), event(Unknown("radio.heard", {"channel": 11}))], first=0)
    assert (answer.status_code, answer.json()) == (200, {"next": 2, "taken": 2, "duplicates": 0})
    assert await stored(farm) == 2


async def test_replayed_and_overlapping_batches_count_once(farm: Farm, uplink: Uplink) -> None:
    events = [event(COMMAND) for _ in range(6)]
    for first, last, taken in ((0, 4, 4), (0, 4, 0), (2, 6, 2), (0, 6, 0)):
        answer = await uplink.send(events[first:last], first=first)
        assert answer.json() == {"next": max(4, last), "taken": taken, "duplicates": last - first - taken} or taken == 0
        assert answer.json()["taken"] == taken
    assert await stored(farm) == 6
    assert await farm.store.query("SELECT uniqExact(id) AS u FROM events") == [{"u": 6}]


async def test_reordered_batches_never_count_twice(farm: Farm, uplink: Uplink) -> None:
    """A gap is taken for what the spool dropped; what comes after all then counts as taken before."""
    late = [event(COMMAND)]
    assert (await uplink.send([event(COMMAND)], first=5)).json()["next"] == 6
    assert (await uplink.send(late, first=2)).json() == {"next": 6, "taken": 0, "duplicates": 1}
    assert await stored(farm) == 1


async def test_a_heartbeat_carries_no_events(farm: Farm, uplink: Uplink) -> None:
    assert (await uplink.send([], first=0, health={"capture": "disk full"})).json()["next"] == 0
    sensor = farm.fleet.sensors()[0]
    assert sensor.health == {"capture": "disk full"}
    assert any("disk full" in verdict for verdict in sensor.verdicts)


GOOD = to_json(event(COMMAND))
DEEP = '{"v":1,"id":"%s","time":"2026-11-24T01:00:00Z","sensor":"lab","kind":"new.kind","x":%s}'


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"", 1),
        (b"\n", 1),
        (b"no json\n", 1),
        (b"[]\n", 1),
        (b'"text"\n', 1),
        (b"\xff\xfe\n", 1),
        (b'{"spool":"../../etc","first":0,"count":0}\n', 1),
        (b'{"spool":7,"first":0,"count":0}\n', 1),
        (body([], first=-1), 1),
        (body([], first=True), 1),
        (body([], first=1.5), 1),  # type: ignore[arg-type]
        (body([], first=2**62), 1),
        (body([], first=10**400), 1),
        (body([], health=[]), 1),
        (body([], health={"x": float("nan")}), 1),
        (body([DEEP % ("0193f3f3-f3f3-7000-8000-000000000001", "[NaN]")]), 2),
        (body([DEEP % ("0193f3f3-f3f3-7000-8000-000000000001", "1e999")]), 2),
        (body([GOOD], count=2), 1),
        (body([GOOD], count="1"), 1),
        (body([GOOD], count=None), 1),
        (body([GOOD, "", GOOD]), 3),
        (body([GOOD, "{}"]), 3),
        (body([GOOD, GOOD[:-5]]), 3),
        (body([GOOD.replace('"v":1', '"v":2')]), 2),
        (body([GOOD.replace("203.0.113.9", "999.0.113.9")]), 2),
        (body([GOOD.replace("203.0.113.9", "x; DROP")]), 2),
        (body([GOOD.replace("40226", "65536")]), 2),
        (body([GOOD, GOOD.replace('"line":"ls"', '"line":7')]), 3),
        (body([GOOD, DEEP % ("0193f3f3-f3f3-7000-8000-000000000001", "[" * 1900 + "]" * 1900)]), 3),
    ],
)
async def test_what_is_malformed_is_refused_whole_and_its_line_named(
    farm: Farm, uplink: Uplink, content: bytes, line: int
) -> None:
    answer = await uplink.post(content)
    assert answer.status_code == 400, answer.text
    assert answer.json()["line"] == line
    assert answer.json()["error"]
    assert await stored(farm) == 0
    assert (await uplink.send([event(COMMAND)])).status_code == 200


async def test_another_sensors_event_is_refused(farm: Farm, uplink: Uplink) -> None:
    for name in ("other", "farm", "LAB"):
        answer = await uplink.send([event(COMMAND), event(COMMAND, sensor=name)])
        assert (answer.status_code, answer.json()["line"]) == (403, 3)
    assert await stored(farm) == 0


async def test_each_limit_of_size_holds_and_one_past_is_refused(farm: Farm, uplink: Uplink) -> None:
    assert (await uplink.send([event(COMMAND) for _ in range(50)])).status_code == 200
    assert (await uplink.send([event(COMMAND) for _ in range(51)], first=50)).status_code == 413
    line = to_json(event(facts.CommandEntered("")))
    fits = facts.CommandEntered("x" * (4096 - len(line)))
    assert (await uplink.send([event(fits)], first=50)).status_code == 200
    answer = await uplink.send([event(facts.CommandEntered(fits.line + "x"))], first=51)
    assert (answer.status_code, answer.json()["line"]) == (413, 2)
    padding = b" " * (64 * 1024 - len(body([])) - 1)
    whole = body([])[:-2] + padding + b"}\n"
    assert (await uplink.post(whole)).status_code == 413  # a header line of 64 KiB
    assert (await uplink.post(whole + b"\n" * 2)).status_code == 413
    assert await stored(farm) == 51


async def test_without_a_length_nothing_is_read(uplink: Uplink) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield body([])

    assert (await uplink.post(chunks())).status_code == 411


@pytest.mark.parametrize("credential", ["", "Bearer", "Bearer lab", "Bearer lab:", "Bearer :", "Basic bGFiOmxhYg==",
                                        "Bearer lab:" + "0" * 64, "Bearer nobody:" + "0" * 64])  # fmt: skip
async def test_a_wrong_credential_gets_nowhere(farm: Farm, uplink: Uplink, credential: str) -> None:
    uplink.client.headers["Authorization"] = credential
    for answer in (await uplink.send([event(COMMAND)]), await uplink.put(b"data")):
        assert answer.status_code == 401
    assert await stored(farm) == 0
    assert await farm.samples.size(sha256(b"data")) is None


async def test_who_guesses_has_to_wait(farm: Farm, uplink: Uplink) -> None:
    good = uplink.client.headers["Authorization"]
    uplink.client.headers["Authorization"] = "Bearer lab:" + "0" * 64
    assert [(await uplink.send([])).status_code for _ in range(6)] == [401] * 5 + [429]
    answer = await uplink.send([])
    assert answer.status_code == 429
    assert 0 < int(answer.headers["Retry-After"]) <= 60
    # Somebody with the right one, behind the same address, does not have to.
    uplink.client.headers["Authorization"] = good
    assert (await uplink.send([])).status_code == 200


async def test_a_revoked_sensor_is_refused_at_once(farm: Farm, uplink: Uplink) -> None:
    assert (await uplink.send([])).status_code == 200
    assert farm.fleet.revoke("lab")
    assert (await uplink.send([])).status_code == 401


async def test_an_artefact_is_kept_once_and_byte_exact(farm: Farm, uplink: Uplink) -> None:
    data = bytes(range(256)) * 16
    name = sha256(data)
    assert (await uplink.client.head(f"/intake/v1/artefacts/{name}")).status_code == 404
    assert [(await uplink.put(data)).status_code for _ in range(3)] == [201, 200, 200]
    assert (await uplink.client.head(f"/intake/v1/artefacts/{name}")).status_code == 200
    assert await farm.samples.read(name, 0, 10_000) == data
    assert await farm.samples.read(name, 4090, 100) == data[4090:]


async def test_artefacts_that_are_not_what_they_say_are_not_kept(farm: Farm, uplink: Uplink, tmp_path: Path) -> None:
    name = sha256(b"other")
    answer = await uplink.put(b"data", name)
    assert (answer.status_code, sha256(b"data") in answer.json()["error"]) == (400, True)
    assert (await uplink.put(b"x" * 4097)).status_code == 413
    assert (await uplink.put(b"x" * 4096)).status_code == 201
    for odd in ("../../../etc/passwd", "A" * 64, name[:-1], name + "0", "%2e%2e"):
        assert (await uplink.client.put(f"/intake/v1/artefacts/{odd}", content=b"data")).status_code == 404
    assert await farm.samples.size(name) is None
    kept = [p for p in (tmp_path / "samples").rglob("*") if p.is_file() and "catalogue" not in p.name]
    assert [p.name for p in kept] == [sha256(b"x" * 4096)]
    assert kept[0].stat().st_mode & 0o777 == 0o400


async def test_there_is_nothing_else(uplink: Uplink) -> None:
    for method, path in (("GET", "/"), ("GET", "/intake/v1/batch"), ("POST", "/api/login"), ("GET", "/docs")):
        assert (await uplink.client.request(method, path)).status_code == 404


async def raw(farm: Farm, request: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    context = ssl.create_default_context(cafile=str(farm.certificate.path))
    context.check_hostname = False
    host, port = farm.intake_url.removeprefix("https://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), ssl=context)
    writer.write(request)
    await writer.drain()
    return reader, writer


def request(farm: Farm, length: int, secret: str) -> bytes:
    return (
        f"POST /intake/v1/batch HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer slow:{secret}\r\n"
        f"Content-Length: {length}\r\n\r\n"
    ).encode()


async def test_an_upload_that_never_ends_costs_its_time_and_no_more(farm: Farm, uplink: Uplink) -> None:
    secret = farm.fleet.enrol("slow")
    slow = [await raw(farm, request(farm, 5_000, secret) + b"{") for _ in range(3)]
    await asyncio.sleep(0.1)
    assert (await uplink.send([])).status_code == 503  # three at a time in this test
    for reader, writer in slow:
        assert b" 408 " in await reader.readline()
        writer.close()
    assert (await uplink.send([])).status_code == 200


async def test_a_connection_that_breaks_off_leaves_nothing(farm: Farm, uplink: Uplink, tmp_path: Path) -> None:
    secret = farm.fleet.enrol("slow")
    whole = body([event(COMMAND, sensor="slow")])
    _, writer = await raw(farm, request(farm, len(whole), secret) + whole[:-10])
    writer.transport.abort()
    data = b"x" * 4000
    head = request(farm, len(data), secret).replace(
        b"POST /intake/v1/batch", b"PUT /intake/v1/artefacts/" + sha256(data).encode()
    )
    _, writer = await raw(farm, head + data[:-1])
    await asyncio.sleep(0.2)
    writer.transport.abort()
    await asyncio.sleep(0.2)
    assert await stored(farm) == 0
    assert list((tmp_path / "samples").glob("*/*")) == []
    assert (await uplink.send([event(COMMAND)])).status_code == 200


async def test_a_full_queue_and_a_full_disk_are_told_apart(tmp_path: Path) -> None:
    events = [event(facts.CommandEntered("x" * 3000)) for _ in range(300)]
    small = settings(store={"queue_bytes_max": 1024 * 1024, "load_every_s": 60.0})
    async with running(tmp_path / "queue", small) as farm, Uplink(farm) as uplink:
        answer = await uplink.send(events)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        assert (await uplink.send(events[:10])).status_code == 200
    async with (
        running(tmp_path / "disk", settings(store={"disk_free_bytes_min": 2**62})) as farm,
        Uplink(farm) as uplink,
    ):
        assert (await uplink.send(events[:1])).status_code == 507
        assert (await uplink.put(b"data")).status_code == 507
        assert (await uplink.send([], health={"capture": "ok"})).status_code == 200
        assert farm.fleet.sensors()[0].health == {"capture": "ok"}
        shown = await farm.shown()
        assert "disk is full" in shown["warnings"][0]["text"]


async def test_every_event_is_on_the_live_feed_before_the_sensor_has_its_answer(farm: Farm, uplink: Uplink) -> None:
    with farm.hub.subscribe() as feed:
        events = [event(facts.LoginTried("root", "xc3511", accepted=True)), event(COMMAND)]
        await uplink.send(events)
        await uplink.send(events)
        rows: list[dict[str, Any]] = [feed.get_nowait() for _ in range(feed.qsize())]
    assert [row["id"] for row in rows] == [e.id for e in events]
    assert rows[0]["fields"] == {"user": "root", "password": "xc3511", "accepted": True}
    assert (rows[0]["ip"], rows[0]["port"], rows[0]["kind"]) == ("203.0.113.9", 23, "login.tried")
    json.dumps(rows)


async def test_the_clock_is_judged_by_the_sensors_word(farm: Farm, uplink: Uplink) -> None:
    await uplink.send([], health={"clock_s": NOW_S - 1e6})
    assert any("behind" in verdict for verdict in farm.fleet.sensors()[0].verdicts)
