"""The whole way of an event: append, queue, engine, question. With the real engine."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from eudaemon.events import Endpoint, Event, Fact, IdSource, Unknown
from eudaemon.events import catalogue as facts
from eudaemon.farm.geo import Place
from eudaemon.farm.settings import StoreSettings
from eudaemon.farm.store import DiskFullError, QueueFullError, RowError, Store, cgroups, row_of
from eudaemon.farm.store.engine import EngineError, QueryTooLargeError

NOW_S = 1_795_487_000.0
SPOOL = "ab" * 16
IDS = IdSource(lambda n: b"\x07" * n)
QUICK = {"load_every_s": 0.02}


def event(fact: Fact, *, at_s: float = NOW_S, ip: str = "203.0.113.9") -> Event:
    return Event(IDS.new(NOW_S), at_s, "lab", fact, IDS.new(NOW_S), Endpoint(ip, 40226), Endpoint("192.0.2.1", 23))


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with Store(tmp_path, StoreSettings(**QUICK)) as opened:
        yield opened


async def keep(store: Store, *events: Event, first: int = 0, place: Place | None = None) -> None:
    await store.append("lab", SPOOL, first, [row_of(e, NOW_S, place or Place()) for e in events])
    await store.settle()


async def test_every_kind_comes_back_as_it_was(store: Store) -> None:
    values: dict[str, Any] = {"str": "a 'q' \\ \n\t\0 é 漢 \U0001f600", "int": 7, "float": 0.5, "bool": True,
                              "tuple[str, ...]": ("x", "y'")}  # fmt: skip
    every = [
        event(kind(**{f.name: values[str(f.type)] for f in facts.fields_of(kind)})) for kind in facts.KINDS.values()
    ]
    await keep(store, *every)
    rows = await store.query("SELECT toString(id) AS id, kind, fields FROM events")
    found = {row["id"]: row for row in rows}
    assert len(found) == len(every)
    for one in every:
        row = found[one.id]
        assert row["kind"] == one.fact.kind
        assert json.loads(row["fields"]) == {
            f.name: list(values["tuple[str, ...]"]) if "tuple" in str(f.type) else values[str(f.type)]
            for f in facts.fields_of(type(one.fact))
        }


async def test_columns_are_lifted_and_the_place_stands_beside(store: Store) -> None:
    await keep(
        store,
        event(facts.LoginTried("root", "xc3511", accepted=True)),
        event(facts.CommandEntered("uname -a")),
        event(facts.ExploitRecognised("gpon", "", "wget x"), ip="2001:db8::9"),
        event(facts.ArtefactKept("0" * 64, 12, "download", "bot.arm", "http://x/bot.arm")),
        place=Place("NL", 64500, "Example Net"),
    )
    rows = await store.query(
        """SELECT kind, user, password, accepted, command, name, url, sha256, size, country, asn, as_name, local_port,
                  toString(attacker_ip) AS ip, toString(time) AS at FROM events ORDER BY id"""
    )
    login, command, exploit, artefact = rows
    assert (login["user"], login["password"], login["accepted"], login["local_port"]) == ("root", "xc3511", True, 23)
    assert (login["country"], login["asn"], login["as_name"]) == ("NL", 64500, "Example Net")
    assert (login["ip"], login["at"]) == ("::ffff:203.0.113.9", "2026-11-24 02:23:20.000000")
    assert command["command"] == "uname -a"
    assert (exploit["name"], exploit["command"], exploit["ip"]) == ("gpon", "wget x", "2001:db8::9")
    assert (artefact["sha256"], artefact["size"], artefact["name"]) == ("0" * 64, 12, "bot.arm")
    assert artefact["url"] == "http://x/bot.arm"


async def test_unknown_kinds_are_stored(store: Store) -> None:
    await keep(store, event(Unknown("radio.heard", {"channel": 11, "odd": {"deep": [1, None]}})))
    rows = await store.query("SELECT fields FROM events WHERE kind = 'radio.heard'")
    assert json.loads(rows[0]["fields"]) == {"channel": 11, "odd": {"deep": [1, None]}}


@pytest.mark.parametrize("at_s", [0.0, 1e9, NOW_S + 90_000, 4e11 / 2])
async def test_a_clock_that_is_far_off_does_not_decide_when_it_was(store: Store, at_s: float) -> None:
    await keep(store, event(facts.CommandEntered("ls"), at_s=at_s))
    assert await store.query("SELECT toUnixTimestamp(time) AS at_s FROM events") == [{"at_s": int(NOW_S)}]


async def test_numbers_and_text_that_no_column_holds_do_not_stop_the_engine(store: Store) -> None:
    await keep(
        store,
        event(facts.ArtefactKept("f" * 64, 10**30, "upload")),
        event(facts.ArtefactKept("e" * 64, -5, "upload")),
        event(facts.CommandEntered("lone \ud800 surrogate")),
    )
    rows = await store.query("SELECT size, command FROM events ORDER BY id")
    assert [row["size"] for row in rows] == [2**64 - 1, 0, 0]
    assert rows[2]["command"] == "lone ? surrogate"
    assert store.health()["engine_fault"] == ""


async def test_ids_are_stored_as_ids_however_the_dashes_stand() -> None:
    odd = "0193f3f3-f3f3-7000-8000-00000-0000001"
    row = row_of(Event(odd, NOW_S, "lab", facts.CommandEntered("ls")), NOW_S)
    assert row.values[0] == "0193f3f3-f3f3-7000-8000-000000000001"


@pytest.mark.parametrize("ip", ["x" * 20, "1.2.3", "1.2.3.4.5", "::ffff::", "12"])
def test_what_is_no_address_is_no_row(ip: str) -> None:
    with pytest.raises(RowError, match="no address"):
        row_of(event(facts.CommandEntered("ls"), ip=ip), NOW_S)


async def test_parameters_are_values_and_never_sql(store: Store) -> None:
    nasty = "' OR 1=1 -- \\' \\\\ \n\t {x:String} \0"
    await keep(store, event(facts.CommandEntered(nasty)), event(facts.CommandEntered("other")))
    assert await store.query("SELECT command FROM events WHERE command = {c:String}", {"c": nasty}) == [
        {"command": nasty}
    ]
    found = await store.query("SELECT command FROM events WHERE command IN {c:Array(String)}", {"c": [nasty, "'"]})
    assert found == [{"command": nasty}]
    assert await store.query("SELECT {n:Array(UInt8)} AS n", {"n": [1, 2]}) == [{"n": [1, 2]}]


async def test_questions_can_only_read(store: Store) -> None:
    for sql in ("DROP TABLE events", "INSERT INTO events (kind) VALUES ('x')", "SET max_execution_time = 0"):
        with pytest.raises(EngineError, match="readonly"):
            await store.query(sql)


async def test_questions_have_limits(tmp_path: Path) -> None:
    async with Store(tmp_path, StoreSettings(**QUICK, query_rows_max=1_000, query_s_max=0.3)) as store:
        assert len(await store.query("SELECT number FROM numbers(1000)")) == 1000
        with pytest.raises(QueryTooLargeError):
            await store.query("SELECT number FROM numbers(100001)")
        with pytest.raises(QueryTooLargeError):
            await store.query("SELECT max(sipHash64(number)) FROM numbers(100000000000)")
        assert await store.query("SELECT 1 AS one") == [{"one": 1}]


async def test_many_questions_at_once_do_not_mix_their_parameters(store: Store) -> None:
    answers = await asyncio.gather(
        *(store.query("SELECT {a:UInt32} AS a, {b:String} AS b", {"a": n, "b": f"b{n}"}) for n in range(60))
    )
    assert answers == [[{"a": n, "b": f"b{n}"}] for n in range(60)]


async def test_a_repeated_batch_is_counted_once(store: Store) -> None:
    rows = [row_of(event(facts.CommandEntered(str(n))), NOW_S) for n in range(5)]
    assert (await store.append("lab", SPOOL, 0, rows)).taken == 5
    again = await store.append("lab", SPOOL, 0, rows)
    assert (again.next, again.taken, again.duplicates) == (5, 0, 5)
    await store.settle()
    assert await store.query("SELECT count() AS n FROM events") == [{"n": 5}]


async def test_it_goes_on_where_it_stopped(tmp_path: Path) -> None:
    for round_ in range(3):
        async with Store(tmp_path, StoreSettings(load_every_s=60.0)) as store:
            rows = [row_of(event(facts.CommandEntered(f"{round_} {n}")), NOW_S) for n in range(4)]
            accepted = await store.append("lab", SPOOL, round_ * 4, rows)
            assert accepted.taken == 4
    async with Store(tmp_path) as store:
        assert await store.query("SELECT count() AS n, uniqExact(id) AS u FROM events") == [{"n": 12, "u": 12}]


async def test_a_queue_that_was_lost_begins_anew_and_nothing_is_in_its_way(tmp_path: Path) -> None:
    for lost in (True, False):
        async with Store(tmp_path, StoreSettings(**QUICK)) as store:
            await keep(store, *(event(facts.CommandEntered(f"{n}")) for n in range(3 if lost else 2)))
            rows = await store.query("SELECT count() AS n FROM events")
        for path in tmp_path.glob("queue.sqlite*"):
            path.unlink()
    assert rows == [{"n": 5}]


async def test_appends_at_once_are_all_taken(store: Store) -> None:
    rows = [row_of(event(facts.CommandEntered("x")), NOW_S) for _ in range(3)]
    accepted = await asyncio.gather(*(store.append(f"s{n}", SPOOL, 0, rows) for n in range(40)))
    assert {a.next for a in accepted} == {3}
    await store.settle()
    assert await store.query("SELECT count() AS n FROM events") == [{"n": 120}]


async def test_a_full_queue_says_so_and_takes_what_fits(tmp_path: Path) -> None:
    rows = [row_of(event(facts.CommandEntered("x" * 1_000)), NOW_S) for _ in range(100)]
    async with Store(tmp_path, StoreSettings(queue_bytes_max=500_000, load_every_s=60.0)) as store:
        outcomes = await asyncio.gather(
            *(store.append(f"s{n}", SPOOL, 0, rows) for n in range(4)), return_exceptions=True
        )
        refused = [o for o in outcomes if isinstance(o, QueueFullError)]
        assert len(refused) == 2
        assert store.health()["queued_events"] == 200


async def test_nothing_is_taken_in_below_the_low_water_mark(tmp_path: Path) -> None:
    async with Store(tmp_path, StoreSettings(disk_free_bytes_min=2**62)) as store:
        with pytest.raises(DiskFullError, match="must stay"):
            await store.append("lab", SPOOL, 0, [row_of(event(facts.CommandEntered("ls")), NOW_S)])
        assert store.health()["disk_free_bytes"] < store.health()["disk_free_bytes_min"]


async def test_old_weeks_are_dropped_and_the_newest_never(tmp_path: Path) -> None:
    week_s = 7 * 86_400.0
    async with Store(tmp_path, StoreSettings(**QUICK, days_max=30)) as store:
        await keep(store, *(event(facts.CommandEntered(f"{n}"), at_s=NOW_S - n * week_s) for n in range(8)))
        assert await store.trim(NOW_S) == ["2026-10-05", "2026-10-12"]
        rows = await store.query("SELECT command FROM events ORDER BY command")
        assert [row["command"] for row in rows] == ["0", "1", "2", "3", "4", "5"]
        assert await store.trim(NOW_S) == []
        assert len(await store.trim(NOW_S + 90 * 86_400)) == 5


async def test_the_oldest_weeks_go_when_there_are_too_many_bytes(tmp_path: Path) -> None:
    async with Store(tmp_path, StoreSettings(**QUICK, bytes_max=1)) as store:
        await keep(store, *(event(facts.CommandEntered(f"{n}"), at_s=NOW_S - n * 7 * 86_400.0) for n in range(3)))
        assert len(await store.trim(NOW_S)) == 2
        assert await store.query("SELECT command FROM events") == [{"command": "0"}]


@pytest.mark.parametrize("small_disk", [24], indirect=True)
async def test_a_full_disk_harms_nothing_and_when_there_is_room_it_goes_on(small_disk: Path) -> None:
    """On a real file system of 24 megabytes, filled by events and by something else."""
    dice = random.Random(1)
    settings = StoreSettings(**QUICK, disk_free_bytes_min=1024 * 1024)
    ballast = small_disk / "ballast"
    taken = 0

    async def take(store: Store) -> None:
        nonlocal taken
        rows = [row_of(event(facts.CommandEntered(dice.randbytes(2_000).hex())), NOW_S) for _ in range(50)]
        taken = (await store.append("lab", SPOOL, taken, rows)).next

    async with Store(small_disk / "store", settings) as store:
        await take(store)
        await store.settle()
        with pytest.raises(DiskFullError):  # noqa: PT012 - which of them is refused is the file system's affair
            for _ in range(200):
                await take(store)
        assert taken > 50
        # Past our own low-water mark: somebody else fills what is left.
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        with pytest.raises(DiskFullError):
            await take(store)
        assert (await store.query("SELECT count() AS n FROM events"))[0]["n"] >= 50
        ballast.unlink()
    # A restart in between, and on a disk that was enlarged.
    subprocess.run(["mount", "-o", "remount,size=256m", str(small_disk)], check=True)
    async with Store(small_disk / "store", settings) as store:
        await take(store)
        await store.settle()
        assert await store.query("SELECT count() AS n, uniqExact(id) AS u FROM events") == [{"n": taken, "u": taken}]
        assert store.health()["engine_fault"] == ""


def test_an_engine_without_cgroups_does_not_tell_so_with_a_stack_trace(tmp_path: Path) -> None:
    """So it is within `ip netns exec`, whose /sys is a new one."""
    if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        pytest.skip("needs leave to make a mount namespace")
    told = {}
    for name, before in (
        ("as it is", "cgroups.without_cgroups = __import__('contextlib').nullcontext;"),
        ("quiet", ""),
    ):
        code = f"""from eudaemon.farm.store import cgroups
{before}
from pathlib import Path; from eudaemon.farm import preloading, settings; from eudaemon.farm.store.chdb import Chdb
preloading.load(s3=False); engine = Chdb(Path({str(tmp_path / name)!r}), settings.StoreSettings())
engine.create(); engine.close()"""
        line = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none /sys/fs/cgroup && exec "$@"', "sh"]
        done = subprocess.run([*line, sys.executable, "-c", code], capture_output=True, timeout=60)
        assert done.returncode == 0, done.stderr
        told[name] = done.stderr
    assert b"cgroups" in told["as it is"]
    assert told["quiet"] == b""


def test_what_else_the_engine_tells_meanwhile_is_passed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cgroups, "CGROUPS", tmp_path)
    with cgroups.without_cgroups():
        os.write(2, b"before\nCannot use cgroups reader: Code: 107.\n\n0. ? @ 0x1\n (version 26.9.2.1)\nbehind\n")
    os.write(2, b"later\n")
    assert capfd.readouterr().err == "before\nbehind\nlater\n"
    (tmp_path / "memory.stat").touch()
    with cgroups.without_cgroups():
        os.write(2, b"Cannot use cgroups reader: (version 1)\n")
        assert capfd.readouterr().err == "Cannot use cgroups reader: (version 1)\n"  # at once
