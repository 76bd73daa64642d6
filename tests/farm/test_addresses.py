"""What the page says of one address, against answers that were counted in Python."""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from eudaemon.events import catalogue as facts
from eudaemon.events import rfc3339
from eudaemon.farm.queries import addresses
from eudaemon.farm.queries.attacks import Window
from eudaemon.testing.synthetic import Seen
from farm.made_up import END_S, World, world
from farm.test_api import UNTIL, client_of

END = datetime.fromtimestamp(END_S + 1000, UTC)
ALL = Window(END - timedelta(days=30), END)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("farm"), count=3000) as made:
        yield made


@pytest.fixture(scope="module")
def by_address(full: World) -> dict[str, list[Seen]]:
    found = defaultdict(list)
    for seen in full.seen:
        if seen.attacker:
            found[str(ipaddress.ip_address(seen.attacker.ip))].append(seen)
    return dict(sorted(found.items(), key=lambda item: -len(item[1])))


async def test_when_an_address_was_where(full: World, by_address: dict[str, list[Seen]]) -> None:
    for ip, seen in [*by_address.items()][:12]:
        times = [rfc3339(one.event.at_s) for one in seen if isinstance(one.event.fact, facts.SessionOpened)]
        who = seen[0].attacker
        assert who
        assert await addresses.address(full.store, ip, ALL) == {
            "sessions": len(times), "first": min(times), "last": max(times),
            "country": who.country, "asn": who.asn, "as_name": who.as_name,
            "sensors": sorted({one.event.sensor for one in seen}),
        }  # fmt: skip
    assert await addresses.address(full.store, "203.0.113.254", ALL) is None


async def test_its_facts_across_sessions_by_pages(full: World, by_address: dict[str, list[Seen]]) -> None:
    ip, seen = next(iter(by_address.items()))
    assert len({one.event.session for one in seen}) > 2
    found: list[str] = []
    before = None
    while rows := await addresses.address_events(full.store, ip, ALL, limit=7, before=before):
        found += [row["id"] for row in rows]
        before = (rows[-1]["time"], rows[-1]["id"])
    wanted = sorted(seen, key=lambda one: (rfc3339(one.event.at_s), one.event.id), reverse=True)
    assert found == [one.event.id for one in wanted]


async def test_an_address_over_the_api(full: World, by_address: dict[str, list[Seen]]) -> None:
    key = full.accounts.create_token("admin", "tests")[1]
    async with client_of(full, Authorization=f"Bearer {key}") as script:
        for ip in (next(iter(by_address)), next(ip for ip in by_address if ":" in ip)):
            answer = (await script.get(f"/api/addresses/{ip}", params=UNTIL)).json()
            sessions = {one.event.session for one in by_address[ip]}
            assert (answer["ip"], answer["sessions"]) == (ip, len(sessions))
            mapped = ip if ":" in ip else f"::ffff:{ip}"
            assert (await script.get(f"/api/addresses/{mapped}", params=UNTIL)).json() == answer
            page = (await script.get(f"/api/addresses/{ip}/events", params={**UNTIL, "limit": 3})).json()
            assert [one["ip"] for one in page["events"]] == [ip] * 3
            more = (await script.get(f"/api/addresses/{ip}/events", params={**UNTIL, "before": page["next"]})).json()
            assert len(more["events"]) == min(100, len(by_address[ip]) - 3)
            assert page["events"][-1]["time"] >= more["events"][0]["time"]
        for path in ("/api/addresses/203.0.113.254", "/api/addresses/203.0.113.254/events"):
            nobody: httpx.Response = await script.get(path, params=UNTIL)
            assert nobody.status_code == 404 or nobody.json() == {"events": [], "next": None}
        for ip in ("x", "198.51.100.0/24", "1.2.3", "fe80::1%25eth0", "' OR 1"):
            wrong = await script.get(f"/api/addresses/{ip}")
            assert wrong.status_code in (404, 422)
            assert wrong.json()["error"]
        bad = await script.get("/api/addresses/198.51.100.1/events", params={"before": "x"})
        assert (bad.status_code, "before" in bad.json()["error"]) == (422, True)
